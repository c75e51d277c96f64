"""The session menu: name, protection, chapters, trash."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.screen import address_of, answers, box, button, expect_state, pill, say, text_of


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
    expect_state(answers(page).last, "done")
    expect(text_of(answers(page).last)).not_to_contain_text("7:42")


def test_undoing_a_reset_brings_conversation_and_memory_back(page, talk, gateway):
    choose(page, "Start a new chapter")
    expect(page.get_by_text("A new chapter:")).to_be_visible()
    button(page, "Undo").click()
    expect(page.locator(".chapter")).to_have_count(0)
    say(page, "recall")
    expect_state(answers(page).last, "done")
    expect(text_of(answers(page).last)).to_contain_text("7:42")
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
