"""The first account, chats and their memories, their addresses, and the dialog that makes a named one."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.screen import address_of, answers, at, box, button, items, pill, say, start_chat, text_of
from tests.server import PASSWORD

KEY = re.compile(r"webchat-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def test_the_printed_link_makes_the_first_account_and_leads_to_the_empty_page(own_app, visit):
    link = re.search(r"(/first-account/\S+)", own_app.server.log.read_text())[1]
    page = visit(None, link, server=own_app.server)
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password confirmation").fill(PASSWORD)
    button(page, "Make my account").click()
    expect(page).to_have_url(f"{own_app.server.url}/chat/")
    expect(page.get_by_role("heading", name="What shall we do?")).to_be_visible()
    expect(box(page)).to_be_focused()
    expect(page.locator("#sidebar")).to_contain_text("ada")
    assert page.goto(link).status == 404


def test_an_example_goes_into_the_box_and_is_not_sent(person, visit):
    page = visit(person)
    button(page, "What do you remember about me?").click()
    expect(box(page)).to_have_value("What do you remember about me?")
    expect(box(page)).to_be_focused()
    expect(page).to_have_url(f"{person.server.url}/chat/")


def tell(page, what):
    """Begin a chat in which something is to be remembered; gives its key."""
    page.get_by_role("link", name="New chat").click()
    say(page, f"remember {what}")
    expect(text_of(answers(page))).to_have_text(f"I will remember {what}.")
    expect(page).to_have_url(KEY)
    return KEY.search(page.url)[0]


def test_two_chats_have_two_memories_and_each_says_which_session_it_is(person, visit):
    page = visit(person)
    blue, red = tell(page, "blue"), tell(page, "red")
    assert blue != red
    expect(items(page)).to_have_count(2)
    for key, what in ((blue, "blue"), (red, "red")):
        items(page).filter(has_text=f"remember {what}").get_by_role("link").click()
        expect(pill(page)).to_have_text(f"Session: {key}")
        say(page, "recall")
        expect(text_of(answers(page).last)).to_have_text(f"You told me: {what}.")
        current = items(page).filter(has=page.locator("[aria-current=page]"))
        expect(current).to_contain_text(f"remember {what}")
        expect(current.locator("[data-badge=oc]")).to_have_text("OC")
        expect(page).to_have_url(f"{person.server.url}/chat/?session={key}")


def test_back_and_forward_walk_through_the_sessions(person, visit):
    page = visit(person)
    blue, red = tell(page, "blue"), tell(page, "red")
    items(page).filter(has_text="remember blue").get_by_role("link").click()
    expect(pill(page)).to_have_text(f"Session: {blue}")
    page.go_back()
    expect(pill(page)).to_have_text(f"Session: {red}")
    expect(text_of(answers(page))).to_have_text("I will remember red.")
    page.go_forward()
    expect(pill(page)).to_have_text(f"Session: {blue}")
    expect(text_of(answers(page))).to_have_text("I will remember blue.")
    say(page, "recall")
    expect(text_of(answers(page).last)).to_have_text("You told me: blue.")


def test_a_chat_made_elsewhere_appears_in_the_list(person, visit):
    page = visit(person)
    expect(page.get_by_text("Your chats will be listed here.")).to_be_visible()
    talk = start_chat(person)
    expect(items(page)).to_have_count(1)
    items(page).get_by_role("link").click()
    expect(page).to_have_url(at(talk))


def test_two_tabs_hold_two_sessions(person, visit):
    first, second = start_chat(person), start_chat(person)
    page = visit(person, address_of(first))
    other = page.context.new_page()
    other.goto(address_of(second))
    say(page, "remember blue")
    say(other, "remember red")
    expect(text_of(answers(page).last)).to_have_text("I will remember blue.")
    expect(text_of(answers(other).last)).to_have_text("I will remember red.")


# --- the dialog


@pytest.fixture
def dialog(person, visit):
    page = visit(person)
    expect(page.locator("chat-messages")).to_be_attached()
    page.get_by_role("link", name="New session…").click()
    dialog = page.get_by_role("dialog", name="New session")
    expect(dialog).to_be_visible()
    return dialog


def test_the_dialog_opens_with_the_focus_in_the_name(dialog):
    expect(dialog.get_by_label("Name")).to_be_focused()
    expect(dialog.get_by_label("Make persistent")).to_be_checked()


def by_escape(dialog):
    dialog.page.keyboard.press("Escape")


def by_the_backdrop(dialog):
    dialog.page.mouse.click(5, 5)


def by_cancel(dialog):
    dialog.get_by_role("link", name="Cancel").click()


@pytest.mark.parametrize("close", [by_escape, by_the_backdrop, by_cancel])
def test_the_dialog_closes_and_gives_the_focus_back(dialog, close):
    page = dialog.page
    close(dialog)
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("link", name="New session…")).to_be_focused()
    expect(page).to_have_url(re.compile("/chat/$"))
    page.keyboard.press("Enter")
    expect(dialog.get_by_label("Name")).to_be_focused()


def test_a_refused_name_stays_with_the_reason_beside_it(dialog):
    dialog.get_by_label("Name").fill("x" * 101)
    dialog.get_by_label("Make persistent").uncheck()
    button(dialog, "Create & switch").click()
    expect(dialog.get_by_role("alert")).to_contain_text("100 is the most")
    expect(dialog.get_by_label("Name")).to_have_value("x" * 101)
    expect(dialog.get_by_label("Name")).to_be_focused()
    expect(dialog.get_by_label("Make persistent")).not_to_be_checked()
    by_escape(dialog)
    expect(dialog).to_be_hidden()
    expect(dialog.page.get_by_role("link", name="New session…")).to_be_focused()


def test_create_and_switch_leads_to_the_persistent_session(dialog):
    page = dialog.page
    dialog.get_by_label("Name").fill("Work")
    button(dialog, "Create & switch").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Work")
    expect(pill(page)).to_have_text(KEY)
    expect(page.locator("#chat-header .persistent")).to_contain_text("Persistent")
    expect(items(page).locator("[data-badge=persistent]")).to_have_attribute("title", "Protected: cannot be reset.")
    expect(page).to_have_url(KEY)
    say(page, "remember blue")
    expect(text_of(answers(page))).to_have_text("I will remember blue.")


def test_a_name_that_is_taken_is_said_so(dialog):
    page = dialog.page
    dialog.get_by_label("Name").fill("Work")
    dialog.get_by_label("Name").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Work")
    page.get_by_role("link", name="New session…").click()
    dialog.get_by_label("Name").fill("WORK")
    dialog.get_by_label("Name").press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("You have a session named")
    expect(dialog.get_by_label("Name")).to_have_value("WORK")
