"""Copying what was said, as it was written."""

import pytest
from playwright.sync_api import expect

from tests.browser.screen import address_of, answers, box, button, expect_state, start_chat
from tests.fake_gateway import answer

WRITTEN = "It is **bold**, `a < b` & 🦞\n\n* one\n* two"
PASTE = "ControlOrMeta+v"


@pytest.fixture
def talk(person, gateway):
    talk = start_chat(person, gateway, answer(WRITTEN))
    talk.reply()
    return talk


@pytest.fixture
def page(person, talk, visit):
    page = visit(person, address_of(talk))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expect_state(answers(page), "done")
    return page


def copy(page):
    answers(page).hover()
    button(answers(page), "Copy").click()


def test_a_reply_is_copied_as_it_was_written(page):
    copy(page)
    expect(button(answers(page), "Copied")).to_be_visible()
    expect(button(answers(page), "Copy")).to_be_visible()
    box(page).press(PASTE)
    expect(box(page)).to_have_value(WRITTEN)


def test_it_is_copied_where_the_browser_has_no_clipboard_for_pages(page):
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")  # as on plain http
    copy(page)
    expect(button(answers(page), "Copied")).to_be_visible()
    box(page).press(PASTE)
    expect(box(page)).to_have_value(WRITTEN)


def test_what_cannot_be_fetched_is_not_said_to_be_copied_and_can_be_tried_again(page):
    page.route("**/source/*", lambda route: route.abort())
    copy(page)
    expect(button(answers(page), "Not copied")).to_be_visible()
    expect(button(answers(page), "Copy")).to_be_visible()
    page.unroute("**/source/*")
    copy(page)
    expect(button(answers(page), "Copied")).to_be_visible()
    box(page).press(PASTE)
    expect(box(page)).to_have_value(WRITTEN)
