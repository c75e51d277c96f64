"""The message box: what sends, what does not, and that each message is made once."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.screen import (
    address_of,
    answers,
    box,
    button,
    expect_state,
    items,
    questions,
    say,
    start_chat,
    text_of,
)

PHONE = {"has_touch": True, "is_mobile": True, "viewport": {"width": 390, "height": 780}}


@pytest.fixture
def talk(person):
    talk = start_chat(person)
    talk.reply()
    return talk


@pytest.fixture
def page(person, talk, visit):
    return visit(person, address_of(talk))


def messages_of(talk):
    """What the person said, as the server has it."""
    sql = "select text from sessions_core_message where chat_id = ? and role = 'user' order by seq"
    return [row["text"] for row in talk.person.server.rows(sql, talk.pk.hex)]


def test_enter_sends_and_empties_the_box(page, talk):
    say(page, "Hello")
    expect(box(page)).to_have_value("")
    expect(box(page)).to_be_focused()
    expect(text_of(questions(page))).to_have_text(["What is new?", "Hello"])
    expect(text_of(answers(page).last)).to_contain_text("You said: Hello")


def test_shift_enter_breaks_the_line(page, talk):
    box(page).press_sequentially("One")
    box(page).press("Shift+Enter")
    box(page).press_sequentially("two")
    expect(box(page)).to_have_value("One\ntwo")
    box(page).press("Enter")
    expect(answers(page)).to_have_count(2)
    expect_state(answers(page).last, "done")
    assert messages_of(talk) == ["What is new?", "One\ntwo"]


def test_enter_that_ends_a_composition_does_not_send(page, talk):
    box(page).fill("にほん")
    for composing in ({"isComposing": True}, {"keyCode": 229}):
        box(page).dispatch_event("keydown", {"key": "Enter", "bubbles": True, "cancelable": True} | composing)
    expect(box(page)).to_have_value("にほん")
    box(page).press_sequentially("ご")
    box(page).press("Enter")
    expect(answers(page)).to_have_count(2)
    expect_state(answers(page).last, "done")
    assert messages_of(talk) == ["What is new?", "にほんご"]


def by_enter(page):
    box(page).press("Enter")
    box(page).press("Enter")


def by_button(page):
    button(page, "Send").dblclick()


@pytest.mark.parametrize("twice", [by_enter, by_button])
def test_sent_twice_at_once_is_one_message(page, talk, twice):
    box(page).fill("Hello")
    twice(page)
    expect(answers(page)).to_have_count(2)
    expect_state(answers(page).last, "done")
    expect(questions(page)).to_have_count(2)
    assert messages_of(talk) == ["What is new?", "Hello"]


@pytest.mark.parametrize("twice", [by_enter, by_button])
def test_a_first_message_sent_twice_at_once_makes_one_chat(person, visit, twice):
    page = visit(person)
    box(page).fill("Hello")
    twice(page)
    expect(answers(page)).to_have_count(1)
    expect_state(answers(page), "done")
    expect(questions(page)).to_have_count(1)
    expect(items(page)).to_have_count(1)


def test_a_second_message_typed_before_the_new_chat_is_there_goes_to_the_same_chat(person, visit):
    page = visit(person)
    held = []
    page.route("**/chats/", lambda route: held.append(route), times=1)
    say(page, "First")
    expect(questions(page)).to_have_count(1)
    say(page, "Second")
    box(page).fill("Third, unfinished")
    held[0].continue_()
    expect(page).to_have_url(re.compile(r"\?session=webchat-"))
    expect(answers(page)).to_have_count(2)
    expect_state(answers(page).last, "done")
    expect(text_of(questions(page))).to_have_text(["First", "Second"])
    expect(items(page)).to_have_count(1)
    expect(box(page)).to_have_value("Third, unfinished")


@pytest.mark.parametrize("text", ["", "   \n "])
def test_an_empty_message_is_not_sent(page, talk, text):
    box(page).fill(text)
    box(page).press("Enter")
    button(page, "Send").click()
    say(page, "Hello")
    expect(answers(page)).to_have_count(2)
    expect_state(answers(page).last, "done")
    assert messages_of(talk) == ["What is new?", "Hello"]


@pytest.mark.parametrize("place", ["in a chat", "on the empty page"])
def test_text_the_server_refuses_stays_in_the_box_with_the_reason(person, talk, visit, place):
    page = visit(person, address_of(talk) if place == "in a chat" else "/chat/")
    before = questions(page).count()
    say(page, "x" * 100_001)
    expect(page.get_by_role("alert")).to_contain_text("100,001 characters; 100,000 is the most")
    expect(box(page)).to_have_value("x" * 100_001)
    expect(questions(page)).to_have_count(before)
    say(page, "Short")
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(text_of(answers(page).last)).to_contain_text("You said: Short")


def test_more_than_the_browser_can_put_aside_is_refused_in_words_and_stays(page):
    # Not shown: to lay it out takes the browser minutes.
    box(page).evaluate(
        "(box) => (box.style.display = 'none', box.value = 'x'.repeat(6_000_000), box.form.requestSubmit())"
    )
    expect(page.locator("#composer-error")).not_to_be_empty(timeout=60_000)  # it takes its time
    assert page.locator("#composer textarea").evaluate("(box) => box.value.length") == 6_000_000


def test_what_was_typed_is_shown_as_it_is(page, talk):
    text = "<b>not bold</b> *nor this*\n\n  - an  item\n<script>alert(1)</script>"
    say(page, text)
    expect_state(answers(page).last, "done")
    expect(answers(page)).to_have_count(2)
    assert text_of(questions(page).last).text_content() == text


def test_on_a_touch_device_enter_breaks_the_line_and_the_button_sends(person, talk, visit):
    page = visit(person, address_of(talk), **PHONE)
    box(page).tap()
    box(page).press_sequentially("One")
    box(page).press("Enter")
    box(page).press_sequentially("two")
    expect(box(page)).to_have_value("One\ntwo")
    button(page, "Send").tap()
    expect(answers(page)).to_have_count(2)
    expect_state(answers(page).last, "done")
    assert messages_of(talk) == ["What is new?", "One\ntwo"]


def test_what_is_in_the_box_survives_a_reload_and_stays_with_its_chat(page, person, talk):
    other = person.chat("Something else")
    box(page).fill("not sent yet")
    page.reload()
    expect(box(page)).to_have_value("not sent yet")
    page.goto(address_of(other))
    expect(box(page)).to_have_value("")
    page.goto(address_of(talk))
    expect(box(page)).to_have_value("not sent yet")


def test_text_that_a_stale_page_could_not_send_survives_the_reload_it_asks_for(page, person):
    page.context.clear_cookies(name="csrf")
    say(page, "written with care")
    expect(page.get_by_role("alert")).to_contain_text("too old to send from")
    page.reload()
    expect(box(page)).to_have_value("written with care")


def test_who_was_signed_out_signs_in_where_the_page_says_and_has_the_text(page, person):
    page.context.clear_cookies(name="webchat")
    say(page, "written with care")
    expect(page.get_by_role("alert")).to_contain_text("You are signed out. Reload this page to sign in")
    page.reload()
    expect(button(page, "Sign in")).to_be_visible()
    page.context.add_cookies(person.cookies)  # as after signing in
    page.reload()
    expect(box(page)).to_have_value("written with care")


def test_what_somebody_may_not_do_is_said_in_the_servers_words(page, app, person, talk):
    group = {"name": "Nobody", "agent_grants-INITIAL_FORMS": 0, "agent_grants-TOTAL_FORMS": 1}
    app.admin.post("/admin/auth/group/add/", **group, **{"agent_grants-0-agent": "main"})
    try:
        say(page, "written with care")
        expect(page.get_by_role("alert")).to_contain_text("The agent “main” is not open to you any more.")
        expect(box(page)).to_have_value("written with care")
    finally:
        app.admin.post("/admin/auth/group/", action="delete_selected", _selected_action=1, post="yes")
    page.keyboard.press("Enter")
    expect(box(page)).to_have_value("")
