"""The sessions page as a person uses it: filter, select, undo; by keyboard, on a phone, without JavaScript."""

import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.screen import button
from tests.browser.test_look import PHONE, look, violations  # noqa: F401

LONG = "W" * 60


@pytest.fixture
def names(person):
    names = ["Work", "Home", "Garden", "<b>&markup", "تقرير الميزانية", LONG]
    for name in names:
        person.post("/chats/", title=name, persistent="on")
    return names


@pytest.fixture
def page(person, names, visit):
    page = visit(person, "/sessions/")
    expect(page.locator("#found")).to_be_attached()
    return page


def rows(page):
    return page.locator("#found tbody tr")


def row(page, name):
    return rows(page).filter(has_text=name)


def tick(page, *names):
    for name in names:
        row(page, name).get_by_role("checkbox").check()


def test_the_filter_works_while_typing_and_is_in_the_address(page, names):
    expect(rows(page)).to_have_count(len(names))
    page.get_by_label("Filter by name or key").press_sequentially("ard")
    expect(rows(page)).to_have_count(1)
    expect(page).to_have_url(re.compile(r"/sessions/\?q=ard$"))
    expect(page.get_by_label("Filter by name or key")).to_be_focused()
    page.reload()
    expect(rows(page)).to_have_text([re.compile("Garden")])


def test_what_is_typed_before_the_files_have_come_is_looked_for_too(page, names):
    held = []
    page.route("**/js/*.js", lambda route: held.append(route))
    page.goto("/sessions/", wait_until="commit")
    page.get_by_label("Filter by name or key").fill("ard")
    expect(rows(page)).to_have_count(len(names))
    page.unroute("**/js/*.js")
    expect(rows(page)).to_have_text([re.compile("Garden")])


def test_what_is_selected_takes_the_filters_place_and_undo_brings_back(page, names):
    tick(page, "Work", "Garden")
    expect(page.locator("#filter")).to_be_hidden()
    expect(page.locator("#bulk-count")).to_have_text("2 selected")
    button(page.locator("#bulk"), "Delete").click()
    toast = page.locator(".toast")
    expect(toast).to_contain_text("2 sessions are in the trash.")
    expect(rows(page)).to_have_count(len(names) - 2)
    button(toast, "Undo").click()
    expect(rows(page)).to_have_count(len(names))


def test_all_of_the_page_and_none_again_by_keyboard(page, names):
    page.get_by_label("Select all on this page").focus()
    page.keyboard.press("Space")
    expect(page.locator("#bulk-count")).to_have_text(f"{len(names)} selected")
    page.keyboard.press("Escape")
    expect(page.locator("#filter")).to_be_visible()
    expect(page.locator("[name=ids]:checked")).to_have_count(0)


def test_several_are_one_download_and_come_back_by_import(page, names):
    tick(page, "Work", "Home")
    with page.expect_download() as download:
        button(page.locator("#bulk"), "Export").click()
    path = download.value.path()
    assert {chat["title"] for chat in json.loads(path.read_text())["chats"]} == {"Work", "Home"}
    button(page, "Clear").click()
    button(page, "Import…").click()
    page.get_by_label("Import sessions").set_input_files(
        {"name": "x.json", "mimeType": "application/json", "buffer": path.read_bytes()}
    )
    button(page, "Import").click()
    expect(page.locator(".toast")).to_contain_text("2 sessions are imported.")
    expect(rows(page)).to_have_count(len(names) + 2)


def test_a_switch_protects_and_the_selection_stays(page):
    tick(page, "Home")
    switch = row(page, "Work").get_by_role("switch")
    switch.focus()
    page.keyboard.press("Enter")
    expect(switch).to_have_attribute("aria-checked", "false")
    expect(switch).to_be_focused()
    expect(page.locator("#bulk-count")).to_have_text("1 selected")


def test_a_refusal_is_said_on_the_page(page, person):
    blank = person.chat("Work")
    blank.reply()
    page.reload()  # a click on a row that is just being replaced goes nowhere
    switch = row(page, "Work").filter(has_text="2 messages").get_by_role("switch")
    switch.click()
    expect(page.locator("#sessions-error")).to_contain_text("already")
    expect(switch).to_have_attribute("aria-checked", "false")


def test_a_session_is_renamed_archived_and_deleted_from_its_menu(page, names):
    button(page.locator("#found"), "Menu of Work").click()
    page.locator("#row-menu").get_by_label("Name").fill("Job")
    page.keyboard.press("Enter")
    expect(row(page, "Job")).to_be_visible()
    button(page.locator("#found"), "Menu of Job").click()
    button(page.locator("#row-menu"), "Archive").click()
    expect(rows(page)).to_have_count(len(names) - 1)
    button(page.locator("#found"), "Menu of Home").click()
    page.locator("#row-menu").get_by_text("Delete…").click()
    button(page.get_by_role("dialog"), "Delete").click()
    expect(page.locator(".toast")).to_contain_text("is in the trash")
    expect(rows(page)).to_have_count(len(names) - 2)
    expect(page.get_by_role("link", name="Trash · 1")).to_be_visible()


def test_what_changes_elsewhere_shows_and_the_selection_stays(page, person):
    tick(page, "Home")
    person.post("/chats/", title="From elsewhere")
    expect(row(page, "From elsewhere")).to_be_visible()
    expect(page.locator("#sidebar")).to_contain_text("From elsewhere")
    expect(row(page, "Home").get_by_role("checkbox")).to_be_checked()


def test_the_trash_gives_back_and_deletes_for_good_after_asking(page):
    tick(page, "Work", "Home")
    button(page.locator("#bulk"), "Delete").click()
    page.get_by_role("link", name="Trash · 2").click()
    button(page, "Restore Work").click()
    expect(rows(page)).to_have_count(1)
    page.get_by_role("link", name="Delete Home for good").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Nobody can bring it back")
    button(dialog, "Delete for good").click()
    expect(page.get_by_role("heading", name="The trash is empty")).to_be_visible()


def test_a_file_that_is_too_large_is_not_sent(page):
    button(page, "Import…").click()
    field = page.get_by_label("Import sessions")
    page.locator("size-limit").evaluate("e => { e.dataset.most = 5; e.replaceWith(e.cloneNode(true)) }")
    field.set_input_files({"name": "x.json", "mimeType": "application/json", "buffer": b"123456"})
    assert "is larger" in field.evaluate("field => field.validationMessage")


def test_everything_works_without_javascript(person, names, visit):
    page = visit(person, "/sessions/", java_script_enabled=False)
    page.get_by_label("Filter by name or key").fill("o")
    button(page, "Filter").click()
    expect(rows(page)).to_have_count(2)
    tick(page, "Work")
    button(page.locator("#bulk"), "Archive").click()
    expect(rows(page)).to_have_text([re.compile("Home")])
    row(page, "Home").get_by_role("switch").click()
    expect(row(page, "Home").get_by_role("switch")).to_have_attribute("aria-checked", "false")
    button(page.locator("#found"), "Menu of Home").click()
    page.get_by_role("link", name="History").click()
    expect(page.locator(".history li").first).to_contain_text("You: made not persistent")


@pytest.mark.parametrize("query", ["", "?show=trash", "?show=archived", "?q=nothing"])
def test_axe_finds_nothing(person, names, look, query):  # noqa: F811
    work = person.chat("Work")
    work.do("delete")
    page = look(person, f"/sessions/{query}")
    assert violations(page) == []
    if not query:
        tick(page, "Home")
        assert violations(page) == []


def test_axe_finds_nothing_in_the_history(person, look):  # noqa: F811
    work = person.chat("Work")
    assert violations(look(person, f"/chats/{work.pk}/history/")) == []


@pytest.mark.parametrize("query", ["", "?show=trash", "?q=nothing"])
def test_nothing_is_wider_than_320_pixels(person, names, visit, query):
    person.chat(LONG).do("delete")
    page = visit(person, f"/sessions/{query}", **PHONE | {"viewport": {"width": 320, "height": 640}})
    sizes = "e => [e.scrollWidth, e.clientWidth]"
    for selector in ("html", ".sessions__body", ".sessions__header"):
        wide, most = page.locator(selector).evaluate(sizes)
        assert wide <= most, selector
    if not query:
        page.locator("[name=ids]").first.check()
        assert page.locator(".sessions__body").evaluate(sizes)[0] <= 320
