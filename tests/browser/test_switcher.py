"""Switching, renaming in place, the list's menus: what a chat is told is remembered when one comes back to it."""

import re
import uuid

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.screen import address_of, answers, at, box, button, expect_state, items, pill, say, text_of

PHONE = {"has_touch": True, "is_mobile": True, "viewport": {"width": 390, "height": 780}}


@pytest.fixture
def talk(person):
    talk = person.chat("remember the train at 7:42")
    talk.reply()
    return talk


@pytest.fixture
def page(person, talk, visit):
    return visit(person, address_of(talk))


def switcher(page):
    return page.locator("#switcher")


def heading(page):
    return page.get_by_role("heading", level=1)


def switch_to(page, name):
    button(page, "Switch session").click()
    switcher(page).get_by_role("link", name=name).click()


def item_of(page, talk):
    return page.locator(f"#item-{talk.pk}")


def open_menu(page, talk):
    item_of(page, talk).hover()
    page.locator(f"#menu-of-{talk.pk}").click()
    menu = page.locator("#item-menu")
    expect(menu).to_be_visible()
    return menu


# --- the switcher


def test_a_session_made_talked_to_left_and_come_back_to_remembers(page, talk):
    button(page, "Switch session").click()
    switcher(page).get_by_role("link", name="New session…").click()
    page.get_by_role("dialog").get_by_label("Name").fill("Garden")
    button(page, "Create & switch").click()
    expect(heading(page)).to_have_text("Garden")
    garden = page.url
    say(page, "remember the roses")
    expect(text_of(answers(page))).to_have_text("I will remember the roses.")
    switch_to(page, "remember the train")
    expect(page).to_have_url(at(talk))
    expect(pill(page)).to_have_text(f"Session: {talk.key}")
    say(page, "recall")
    expect(text_of(answers(page).last)).to_have_text("You told me: the train at 7:42.")
    switch_to(page, "Garden")
    expect(page).to_have_url(garden)
    expect(text_of(answers(page))).to_have_text("I will remember the roses.")
    say(page, "recall")
    expect(text_of(answers(page).last)).to_have_text("You told me: the roses.")


def test_the_present_session_is_marked_and_the_keyboard_walks_through(page, person, talk):
    person.chat("Something else").reply()
    expect(items(page)).to_have_count(2)
    page.reload()
    button(page, "Switch session").focus()
    page.keyboard.press("Enter")
    expect(switcher(page).locator("[aria-current=page]")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator(":focus")).to_contain_text("Something else")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.locator(":focus")).to_have_text("Manage sessions…")
    page.keyboard.press("Escape")
    expect(switcher(page)).to_be_hidden()
    expect(button(page, "Switch session")).to_be_focused()


def test_opened_it_shows_what_has_come_since_the_page_and_the_focus_stays(page, person):
    expect(switcher(page)).not_to_contain_text("Made elsewhere")
    person.chat("Made elsewhere")
    button(page, "Switch session").click()
    expect(switcher(page)).to_contain_text("Made elsewhere")
    expect(switcher(page).locator("[aria-current=page]")).to_be_focused()
    expect(switcher(page).get_by_role("link")).to_have_count(4)


def test_a_reply_brings_the_header_again_only_where_it_shows_something_else(page, talk):
    page.locator("#chat-header").evaluate("(header) => (header.dataset.there = 'since the page')")
    say(page, "recall")
    expect(text_of(answers(page).last)).to_have_text("You told me: the train at 7:42.")
    expect(page.locator("#chat-header")).to_have_attribute("data-there", "since the page")
    talk.do("rename", title="Travel")
    expect(heading(page)).to_have_text("Travel")


def test_a_dialog_from_the_switcher_gives_the_focus_back_to_its_button(page):
    button(page, "Switch session").click()
    switcher(page).get_by_role("link", name="New session…").click()
    expect(page.get_by_role("dialog").get_by_label("Name")).to_be_focused()
    page.keyboard.press("Escape")
    expect(button(page, "Switch session")).to_be_focused()


def test_without_javascript_it_switches_too(person, talk, visit):
    other = person.chat("Something else")
    page = visit(person, address_of(other), java_script_enabled=False)
    switch_to(page, "remember the train")
    expect(page).to_have_url(at(talk))
    heading(page).get_by_role("button").click()
    page.locator("#session-menu").get_by_label("Name").fill("Travel")
    button(page.locator("#session-menu"), "Rename").click()
    expect(heading(page)).to_have_text("Travel")


# --- addresses


def test_a_name_leads_to_the_session_and_an_old_name_too(page, person, talk):
    for name in ("Travel", "Journeys"):
        talk.do("rename", title=name)
    for reference in ("journeys", "travel", "TRAVEL"):
        page.goto(f"/chat/?session={reference}")
        expect(pill(page)).to_have_text(f"Session: {talk.key}")
    page.reload()
    expect(heading(page)).to_have_text("Journeys")
    say(page, "recall")
    expect(text_of(answers(page).last)).to_have_text("You told me: the train at 7:42.")


def test_back_and_forward_walk_through_what_was_switched_to(page, person, talk):
    other = person.chat("Something else")
    expect(items(page)).to_have_count(2)
    page.reload()
    switch_to(page, "Something else")
    expect(page).to_have_url(at(other))
    page.go_back()
    expect(pill(page)).to_have_text(f"Session: {talk.key}")
    page.go_forward()
    expect(pill(page)).to_have_text(f"Session: {other.key}")
    page.reload()
    expect(pill(page)).to_have_text(f"Session: {other.key}")


def test_two_tabs_never_mix_whatever_news_comes(page, person, talk):
    other = person.chat("remember the roses")
    other.reply()
    second = page.context.new_page()
    second.goto(address_of(other))
    for tab in (page, second):
        say(tab, "recall")
        expect(answers(tab)).to_have_count(2)
        expect_state(answers(tab).last, "done")
    talk.do("rename", title="Travel")
    expect(heading(page)).to_have_text("Travel")
    for tab, own, name, told in (
        (page, talk, "Travel", "the train at 7:42"),
        (second, other, "remember the roses", "the roses"),
    ):
        expect(text_of(answers(tab).last)).to_have_text(f"You told me: {told}.")
        expect(heading(tab)).to_have_text(name)
        expect(pill(tab)).to_have_text(f"Session: {own.key}")
        expect(tab.locator("#composer")).to_have_attribute("action", f"/chats/{own.pk}/messages/")
        expect(tab).to_have_title(f"{name} · WebChat")


# --- renaming in place


def rename(page, name):
    heading(page).get_by_role("button").click()
    field = page.get_by_label("Title")
    expect(field).to_be_focused()
    field.fill(name)
    return field


def test_the_title_is_renamed_where_it_stands(page, talk):
    rename(page, "Travel").press("Enter")
    expect(heading(page)).to_have_text("Travel")
    expect(heading(page).get_by_role("button")).to_be_focused()
    expect(page).to_have_title("Travel · WebChat")
    expect(item_of(page, talk)).to_contain_text("Travel")
    page.reload()
    expect(heading(page)).to_have_text("Travel")


def test_escape_takes_it_back_and_leaving_the_field_saves(page):
    rename(page, "Nothing").press("Escape")
    expect(heading(page)).to_have_text("remember the train at 7:42")
    rename(page, "Travel")
    box(page).click()
    expect(heading(page)).to_have_text("Travel")
    rename(page, "")
    box(page).click()
    expect(heading(page)).to_have_text("Travel")


def test_a_refused_name_stays_with_the_reason_beside_it(page, person):
    person.post("/chats/", title="Work", id=uuid.uuid4())
    field = rename(page, "WORK")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("You have a session named “WORK” already")
    expect(field).to_have_value("WORK")
    person.chat("Something else")
    expect(items(page)).to_have_count(3)
    expect(field).to_have_value("WORK")
    field.fill("Workshop")
    field.press("Enter")
    expect(heading(page)).to_have_text("Workshop")


# --- the list's menus


def test_an_action_on_another_chat_leaves_the_open_one_alone(page, person, talk):
    other = person.chat("Something else")
    other.reply()
    box(page).fill("being typed")
    button(open_menu(page, other), "Pin to the top").click()
    expect(page.locator(".chat-list__group").first).to_have_text("Pinned")
    menu = open_menu(page, other)
    menu.get_by_label("Name").fill("Garden")
    button(menu, "Rename").click()
    expect(item_of(page, other)).to_contain_text("Garden")
    button(open_menu(page, other), "Make persistent").click()
    expect(item_of(page, other).locator("[data-badge=persistent]")).to_be_visible()
    button(open_menu(page, other), "Archive").click()
    expect(items(page)).to_have_count(1)
    expect(page).to_have_url(at(talk))
    expect(box(page)).to_have_value("being typed")
    expect(page.locator("#item-menu")).to_be_hidden()


def test_a_refusal_is_said_in_the_menu_and_the_name_stays(page, person):
    person.post("/chats/", title="Work", id=uuid.uuid4())
    other = person.chat("Something else")
    menu = open_menu(page, other)
    menu.get_by_label("Name").fill("work")
    button(menu, "Rename").click()
    expect(menu.get_by_role("alert")).to_contain_text("You have a session named")
    expect(menu.get_by_label("Name")).to_have_value("work")


def test_deleting_another_chat_offers_the_way_back_and_stays(page, person, talk):
    other = person.chat("Something else")
    other.reply()
    open_menu(page, other).get_by_role("link", name="Delete…").click()
    button(page.get_by_role("dialog"), "Delete").click()
    expect(page.get_by_text("is in the trash")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(items(page)).to_have_count(1)
    button(page, "Undo").click()
    expect(items(page)).to_have_count(2)
    expect(page.get_by_text("is in the trash")).to_have_count(0)
    expect(page).to_have_url(at(talk))


def test_deleting_the_open_chat_leads_to_the_empty_page(page, talk):
    open_menu(page, talk).get_by_role("link", name="Delete…").click()
    button(page.get_by_role("dialog"), "Delete").click()
    expect(page).to_have_url(re.compile("/chat/$"))
    button(page, "Undo").click()
    expect(page).to_have_url(at(talk))


def test_an_archived_chat_says_so_and_goes_back_to_the_list(page, talk):
    button(page, "Session menu").click()
    button(page.locator("#session-menu"), "Archive").click()
    expect(page.locator(".archived")).to_contain_text("Archived")
    expect(items(page)).to_have_count(0)
    button(page, "Back to the list").click()
    expect(items(page)).to_have_count(1)
    expect(page.locator(".archived")).to_have_count(0)


def test_a_fork_remembers_what_it_goes_on_from(page, talk):
    button(page, "Session menu").click()
    button(page.locator("#session-menu"), "Fork").click()
    expect(page.get_by_text("This goes on from")).to_be_visible()
    expect(page).not_to_have_url(at(talk))
    expect(text_of(answers(page)).first).to_have_text("I will remember the train at 7:42.")


def test_without_javascript_the_menu_is_a_page_that_leads_back(person, talk, visit):
    other = person.chat("Something else")
    page = visit(person, address_of(talk), java_script_enabled=False)
    page.locator(f"#menu-of-{other.pk}").click()
    expect(heading(page)).to_have_text("Something else")
    button(page, "Archive").click()
    expect(page).to_have_url(at(talk))
    expect(items(page)).to_have_count(1)


# --- many chats


@pytest.fixture
def many(person):
    for n in range(60):
        person.post("/chats/", id=uuid.uuid4(), title=f"Note {n}") if n < 40 else person.chat(f"Note {n}")


def test_more_come_on_scroll_and_a_refresh_does_not_throw_the_reader_back(many, person, visit):
    page = visit(person)
    wrapper = page.locator(".sidebar__list")
    expect(items(page)).to_have_count(50)
    wrapper.evaluate("list => (list.scrollTop = list.scrollHeight)")
    expect(items(page)).to_have_count(60)
    wrapper.evaluate("list => (list.scrollTop = list.scrollHeight)")
    place = wrapper.evaluate("list => list.scrollTop")
    assert place > 0
    page.locator("#chat-list").evaluate("list => (list.dataset.old = 1)")
    person.chat("Something new")
    expect(page.locator("#chat-list[data-old]")).to_have_count(0)
    # The one that no longer fits comes by itself if "More" is in sight at the end of the list.
    expect(items(page).nth(59)).to_be_attached()
    assert abs(wrapper.evaluate("list => list.scrollTop") - place) < 50
    ids = items(page).evaluate_all("all => all.map(({id}) => id)")
    assert len(set(ids)) == len(ids)


# --- for everybody


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("where", ["switcher", "session menu", "item menu", "renaming"])
def test_axe_finds_nothing_in_what_opens(person, talk, visit, scheme, where):
    other = person.chat("Something else")
    other.keep = person.post(f"/chats/{other.pk}/draft/", text="half")
    page = visit(person, address_of(talk), color_scheme=scheme, reduced_motion="reduce", bypass_csp=True)
    if where == "renaming":
        rename(page, "main").press("Enter")
        expect(page.get_by_role("alert")).to_be_visible()
    elif where == "item menu":
        open_menu(page, other)
    else:
        button(page, {"switcher": "Switch session", "session menu": "Session menu"}[where]).click()
    found = Axe().run(page).response
    assert [(rule["id"], node["target"]) for rule in found["violations"] for node in rule["nodes"]] == []


@pytest.mark.parametrize("width", [320, 390])
def test_what_is_touched_is_large_enough_and_nothing_is_wider_than_the_screen(person, talk, visit, width):
    talk.do("rename", title="long" * 24)
    page = visit(person, address_of(talk), **PHONE | {"viewport": {"width": width, "height": 640}})
    targets = "#chat-header :is(button, a), #switcher a, #session-menu :is(button, a)"
    for opener in ("Switch session", "Session menu", "Chats"):
        button(page, opener).tap()
        small = page.locator(f"{targets}, #sidebar :is(button, a, input:not([type=hidden]))").evaluate_all(
            """all => all.filter((one) => one.checkVisibility()).filter((one) => {
                 const { width, height } = one.getBoundingClientRect();
                 return width < 44 || height < 44;
               }).map((one) => one.outerHTML.slice(0, 80))"""
        )
        assert small == []
        assert page.locator("html").evaluate("html => html.scrollWidth") == width
        page.keyboard.press("Escape")
    button(page, "Chats").tap()
    page.locator(f"#menu-of-{talk.pk}").tap()
    expect(page.locator("#item-menu")).to_be_in_viewport()
    expect(page.locator("#sidebar")).to_be_visible()
