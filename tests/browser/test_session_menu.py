"""The session menu: name, protection, chapters, trash."""

import re
import shutil

import pytest
from playwright.sync_api import expect

from tests.browser.screen import address_of, answers, box, button, items, pill, say, text_of
from tests.browser.test_look import PHONE
from tests.server import Server


@pytest.fixture
def talk(person):
    talk = person.chat("remember the train at 7:42")
    talk.reply()
    return talk


@pytest.fixture
def page(person, talk, visit):
    return visit(person, address_of(talk))


def choose(page, name):
    button(page, "Session menu").click()
    page.locator("#session-menu").get_by_text(name, exact=True).click()


def test_a_session_is_renamed_and_found_by_its_old_name(page, talk):
    for name in ("Travel", "Journeys"):
        button(page, "Session menu").click()
        page.get_by_label("Name").fill(name)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
    page.goto("/chat/?session=travel")
    expect(page.get_by_role("heading", level=1)).to_have_text("Journeys")
    expect(pill(page)).to_contain_text(talk.key)


def test_a_protected_session_is_not_reset_until_it_is_unprotected(page, talk):
    choose(page, "Make persistent")
    expect(page.locator("#chat-header .persistent")).to_be_visible()
    choose(page, "Start a new chapter")
    notice = page.locator("#messages > [data-role=notice]")
    expect(notice).to_contain_text("This is a persistent session")
    expect(notice.get_by_role("link", name="Start a new chat")).to_be_visible()
    button(notice, "Unprotect and start a new chapter").click()
    expect(page.locator(".chapter summary")).to_contain_text("Earlier conversation · 2 messages")
    say(page, "recall")
    expect(text_of(answers(page))).to_have_text("You told me: nothing.")


def test_undoing_a_reset_brings_conversation_and_memory_back(page, talk, gateway):
    choose(page, "Start a new chapter")
    expect(page.get_by_text("A new chapter:")).to_be_visible()
    button(page, "Undo").click()
    expect(page.locator(".chapter")).to_have_count(0)
    say(page, "recall")
    expect(text_of(answers(page).last)).to_have_text("You told me: the train at 7:42.")
    assert {request.key for request in gateway.requests_of(talk.key)} == {talk.key}


def test_another_tab_follows_a_reset(page, person, talk, visit):
    other = visit(person, address_of(talk))
    choose(page, "Start a new chapter")
    expect(other.locator(".chapter summary")).to_contain_text("Earlier conversation")


def test_a_deleted_session_can_be_taken_back_at_once(page, talk):
    choose(page, "Delete…")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("2 messages")
    button(dialog, "Delete").click()
    expect(page.get_by_text("is in the trash")).to_be_visible()
    button(page, "Undo").click()
    expect(page).to_have_url(re.compile(re.escape(address_of(talk))))
    expect(answers(page)).to_have_count(1)
    expect(box(page)).to_be_visible()


def test_a_session_deleted_from_the_list_is_taken_back_and_the_toast_goes(page, person):
    other = person.chat("Another one")
    other.reply()
    items(page).filter(has_text="Another one").get_by_role("button").click()
    page.locator("#item-menu").get_by_text("Delete…").click()
    button(page.get_by_role("dialog"), "Delete").click()
    expect(items(page)).to_have_count(1)
    button(page.locator(".toast"), "Undo").click()
    expect(page.locator(".toast")).to_have_count(0)
    expect(items(page)).to_have_count(2)


def test_a_way_back_that_is_refused_says_why_in_the_toast(page, person):
    person.post("/chats/", title="Budget")
    items(page).filter(has_text="Budget").get_by_role("button").click()
    page.locator("#item-menu").get_by_text("Delete…").click()
    button(page.get_by_role("dialog"), "Delete").click()
    toast = page.locator(".toast")
    expect(toast).to_contain_text("is in the trash")
    pk = toast.locator("form").get_attribute("action").split("/")[2]
    person.post(f"/chats/{pk}/restore/")
    person.post(f"/chats/{pk}/delete/")
    person.post("/chats/bulk/", do="restore", ids=pk)
    button(toast, "Undo").click()
    expect(toast.get_by_role("alert")).to_contain_text("That did not work (404)")


@pytest.fixture
def admin(app):
    """Who may use the agent's main session."""
    app.person()
    app.admin.post("/chats/", main=1)
    return app.admin


@pytest.mark.parametrize("place", ["the chat", "the list", "the sessions page"])
def test_resetting_main_asks_in_a_dialog(admin, visit, place):
    page = visit(admin, "/sessions/" if place == "the sessions page" else "/chat/?session=main")
    expect(page.locator("#sidebar")).to_be_attached()
    if place == "the chat":
        button(page, "Session menu").click()
    elif place == "the list":
        items(page).filter(has_text="Main").get_by_role("button").click()
    else:
        button(page.locator("#found"), "Menu of Main").click()
    page.locator(":popover-open").get_by_text("Reset for everybody…").click()
    dialog = page.get_by_role("dialog", name="Reset the main session for everybody?")
    expect(dialog).to_contain_text("is shared by everybody and every channel")
    expect(page.locator(":popover-open")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_resetting_main_asks_on_a_page_without_javascript(admin, visit):
    page = visit(admin, "/chat/?session=main", java_script_enabled=False)
    items(page).filter(has_text="Main").get_by_role("button").click()
    button(page, "Reset for everybody…").click()
    expect(page.get_by_role("heading", name="Reset the main session for everybody?")).to_be_visible()
    page.get_by_role("link", name="Cancel").click()
    expect(page).to_have_url(re.compile("session=main$"))


def test_the_title_has_room_on_the_narrowest_phone_with_the_demo(app, visit, tmp_path):
    shutil.copytree(app.server.data / "static", tmp_path / "data" / "static")
    server = Server(tmp_path / "data").start()
    try:
        person = server.first_account()
        talk = person.chat("What shall we cook this evening?")
        page = visit(person, address_of(talk), server=server, **PHONE | {"viewport": {"width": 320, "height": 640}})
        title, label = page.locator(".title").bounding_box(), page.locator(".demo-label").bounding_box()
        assert title["width"] >= 120
        assert label["x"] >= 0 and label["x"] + label["width"] <= 320
        expect(page.get_by_text("Demo gateway: replies are scripted")).to_be_visible()
        page.close()
    finally:
        server.end()
