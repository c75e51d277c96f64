"""The dialog that makes a named session: based on another, sent twice, refused."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.screen import answers, box, button, items, say, text_of


@pytest.fixture
def talk(person):
    talk = person.chat("remember the train at 7:42")
    talk.reply()
    return talk


@pytest.fixture
def dialog(person, talk, visit):
    page = visit(person)
    page.get_by_role("link", name="New session…").first.click()
    dialog = page.get_by_role("dialog", name="New session")
    expect(dialog).to_be_visible()
    return dialog


def test_a_session_goes_on_from_another(dialog):
    page = dialog.page
    dialog.get_by_label("Name").fill("Travel")
    dialog.get_by_label("Based on").select_option("remember the train at 7:42")
    button(dialog, "Create & switch").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Travel")
    expect(page.get_by_text("This goes on from")).to_be_visible()
    say(page, "recall")
    expect(text_of(answers(page).last)).to_have_text("You told me: the train at 7:42.")


def test_a_refusal_keeps_what_was_chosen(dialog):
    dialog.get_by_label("Name").fill("main")
    dialog.get_by_label("Based on").select_option(index=1)
    dialog.get_by_label("Make persistent").uncheck()
    button(dialog, "Create & switch").click()
    expect(dialog.get_by_role("alert")).to_contain_text("reserved")
    expect(dialog.get_by_label("Based on").locator("option:checked")).to_have_text("remember the train at 7:42")
    expect(dialog.get_by_label("Make persistent")).not_to_be_checked()


def test_a_double_click_makes_one_session(dialog):
    page = dialog.page
    dialog.get_by_label("Name").fill("Once")
    button(dialog, "Create & switch").dblclick()
    expect(page.get_by_role("heading", level=1)).to_have_text("Once")
    expect(items(page).filter(has_text="Once")).to_have_count(1)
    expect(box(page)).to_be_visible()


WHEN_REFUSED = """() => new MutationObserver((_, observer) => {
    if (!document.querySelector("#create-session [role=alert]")) return;
    observer.disconnect();
    setTimeout(() => document.querySelector("#create-session button[type=submit]").click(), 3);
}).observe(document.getElementById("dialog"), { childList: true, subtree: true })"""


def test_a_click_just_when_the_answer_comes_stays_in_the_dialog(dialog):
    page = dialog.page
    page.evaluate(WHEN_REFUSED)
    dialog.get_by_label("Name").fill("main")
    with page.expect_response("**/chats/"), page.expect_response("**/chats/"):
        button(dialog, "Create & switch").click()
    page.wait_for_timeout(500)
    expect(dialog.get_by_role("alert")).to_contain_text("reserved")
    expect(page).to_have_url(re.compile("/chat/$"))
