"""Saying something anew: another version of a reply, a question in other words, and looking back at what was there."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import copied, running_app
from tests.browser.screen import (
    address_of,
    answers,
    box,
    button,
    expect_state,
    questions,
    say,
    start_chat,
    stop_button,
    text_of,
)
from tests.browser.test_look import PHONE, look, violations  # noqa: F401
from tests.fake_gateway import answer, status

LINE = "An earlier version. The conversation goes on from the newest."


@pytest.fixture
def talk(person, gateway):
    talk = start_chat(person, gateway, answer("The first answer."))
    talk.reply()
    return talk


@pytest.fixture
def page(person, talk, visit):
    page = visit(person, address_of(talk))
    expect(text_of(answers(page))).to_have_text("The first answer.")
    return page


def sent(gateway, key):
    """What the gateway heard under a key, request by request."""
    return [[turn["content"] for turn in request.body["messages"]] for request in gateway.requests_of(key)]


def regenerate(page):
    answers(page).last.hover()
    button(answers(page).last, "Regenerate").click()


def edit(page, question, text):
    question.hover()
    question.get_by_role("link", name="Edit").click()
    field = page.get_by_role("textbox", name="Edit your message")
    expect(field).to_be_focused()
    field.fill(text)
    field.press("Enter")


def older(message):
    return message.get_by_role("link", name="Earlier version")


def newer(message):
    return message.get_by_role("link", name="Later version")


def past(page):
    return page.get_by_role("region", name="An earlier version")


# --- another version of the reply


def test_a_refused_regenerate_says_why(app, tmp_path, visit):
    with running_app(copied(app, tmp_path), MESSAGE_RATE="2/day") as own:
        person = own.person()
        talk = start_chat(person, own.gateway, answer("The first answer."))
        talk.reply()
        page = visit(person, address_of(talk))
        regenerate(page)
        expect(answers(page)).to_contain_text("2/2")
        expect_state(answers(page), "done")
        regenerate(page)
        expect(answers(page).last.get_by_role("alert")).to_contain_text("too many messages in a short time")


def test_a_reply_is_regenerated_under_a_new_key_and_the_old_one_is_looked_back_at(page, talk, gateway):
    gateway.script(f"{talk.key}-c2", answer("The second answer."), times=1)
    regenerate(page)
    expect(text_of(answers(page))).to_have_text("The second answer.")
    expect(answers(page)).to_contain_text("2/2")
    expect_state(answers(page), "done")
    older(answers(page)).click()
    expect(past(page)).to_contain_text("The first answer.")
    expect(past(page)).to_contain_text(LINE)
    expect(text_of(answers(page))).to_be_hidden()
    newer(past(page)).click()
    expect(past(page)).to_have_count(0)
    expect(text_of(answers(page))).to_be_visible()
    say(page, "And then?")
    expect(text_of(answers(page).last)).to_contain_text("You said: And then?")
    assert sent(gateway, talk.key) == [["What is new?"]]
    assert sent(gateway, f"{talk.key}-c2") == [["What is new?"], ["And then?"]]


def test_looking_back_goes_on_when_the_reply_ends_meanwhile(page, talk, gateway, held):
    gateway.script(f"{talk.key}-c2", (reply := held("The second", " answer.")).steps, times=1)
    regenerate(page)
    reply.next()
    expect(answers(page)).to_contain_text("2/2")
    fetches = []
    page.route("**/messages/?version=*", lambda route: fetches.append(route), times=1)
    older(answers(page)).click()
    reply.rest()
    expect_state(answers(page), "done")
    fetches.pop().continue_()
    expect(past(page)).to_contain_text("The first answer.")


def test_what_was_said_before_goes_along_and_what_was_replaced_does_not(page, talk, gateway):
    say(page, "One more")
    expect(text_of(answers(page).last)).to_contain_text("You said: One more")
    regenerate(page)
    expect(answers(page).last).to_contain_text("2/2")
    expect_state(answers(page).last, "done")
    assert sent(gateway, f"{talk.key}-c2") == [["What is new?", "The first answer.", "One more"]]


def test_sending_while_one_looks_back_shows_the_newest_again(page):
    regenerate(page)
    expect(answers(page)).to_contain_text("2/2")
    expect_state(answers(page), "done")
    older(answers(page)).click()
    expect(past(page)).to_be_visible()
    say(page, "Go on")
    expect(past(page)).to_have_count(0)
    expect(text_of(answers(page).last)).to_contain_text("You said: Go on")


def test_a_regenerate_that_fails_leaves_the_old_version_and_can_be_tried_again(page, talk, gateway):
    gateway.script(f"{talk.key}-c2", [status(500)], times=1)
    regenerate(page)
    expect_state(answers(page), "failed")
    older(answers(page)).click()
    expect(past(page)).to_contain_text("The first answer.")
    newer(past(page)).click()
    answers(page).get_by_role("button", name="again").click()
    expect(text_of(answers(page))).to_contain_text("You said: What is new?")
    expect(answers(page)).to_contain_text("3/3")
    assert sent(gateway, f"{talk.key}-c2") == [["What is new?"]] * 2


def test_while_a_reply_is_written_nothing_is_said_anew(page, talk, gateway, held):
    gateway.script(talk.key, (reply := held("Half")).steps, times=1)
    say(page, "Wait")
    expect(stop_button(page)).to_be_visible()
    expect(questions(page)).to_have_count(2)
    expect(page.get_by_role("link", name="Edit")).to_have_count(0)
    expect(button(page, "Regenerate")).to_have_count(0)
    reply.rest()
    expect_state(answers(page).last, "done")
    answers(page).last.hover()
    expect(button(page, "Regenerate")).to_have_count(1)
    expect(page.get_by_role("link", name="Edit")).to_have_count(2)


# --- a question in other words


def test_an_edited_question_replaces_what_followed_which_stays_to_read(page, talk, gateway):
    say(page, "A second one")
    expect(text_of(answers(page).last)).to_contain_text("You said: A second one")
    edit(page, questions(page).first, "What is old?")
    expect(text_of(questions(page))).to_have_text(["What is old?"])
    expect(text_of(answers(page))).to_contain_text("You said: What is old?")
    expect(box(page)).to_be_focused()
    older(questions(page)).click()
    for words in ("What is new?", "The first answer.", "A second one", LINE):
        expect(past(page)).to_contain_text(words)
    page.get_by_role("link", name="Show the newest").click()
    expect(past(page)).to_have_count(0)
    say(page, "And then?")
    expect(text_of(answers(page).last)).to_contain_text("You said: And then?")
    assert sent(gateway, f"{talk.key}-c2") == [["What is old?"], ["And then?"]]


def test_escape_and_cancel_leave_the_question_as_it_was(page, talk, gateway):
    for leave in (lambda: page.keyboard.press("Escape"), lambda: page.get_by_role("link", name="Cancel").click()):
        questions(page).hover()
        questions(page).get_by_role("link", name="Edit").click()
        page.get_by_role("textbox", name="Edit your message").fill("Something else")
        leave()
        expect(page.get_by_role("textbox", name="Edit your message")).to_have_count(0)
        expect(questions(page).get_by_role("link", name="Edit")).to_be_focused()
        expect(text_of(questions(page))).to_have_text("What is new?")
    expect(box(page)).to_have_value("")
    assert sent(gateway, talk.key) == [["What is new?"]]


def test_a_refused_edit_says_why_and_keeps_the_text(page):
    edit(page, questions(page), "/session status")
    expect(page.get_by_role("alert")).to_contain_text("This is a command")
    field = page.get_by_role("textbox", name="Edit your message")
    expect(field).to_have_value("/session status")
    field.fill("//session status")
    field.press("Enter")
    expect(text_of(answers(page))).to_contain_text("You said: /session status")


# --- for everybody


def test_the_keyboard_alone_is_enough(page, talk, gateway):
    button(answers(page), "Regenerate").focus()
    page.keyboard.press("Enter")
    expect(answers(page)).to_contain_text("2/2")
    expect_state(answers(page), "done")
    older(answers(page)).focus()
    page.keyboard.press("Enter")
    expect(past(page)).to_contain_text("The first answer.")
    expect(newer(past(page))).to_be_focused()
    page.keyboard.press("Enter")
    expect(older(answers(page))).to_be_focused()
    questions(page).get_by_role("link", name="Edit").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Edit your message")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("By keys")
    page.keyboard.press("Enter")
    expect(text_of(answers(page))).to_contain_text("You said: By keys")


def test_on_a_phone_it_is_all_there_without_hovering(person, talk, visit):
    page = visit(person, address_of(talk), **PHONE | {"viewport": {"width": 320, "height": 640}})
    button(answers(page), "Regenerate").tap()
    expect(answers(page)).to_contain_text("2/2")
    expect_state(answers(page), "done")
    questions(page).get_by_role("link", name="Edit").tap()
    page.get_by_role("textbox", name="Edit your message").fill("On a phone\nin two lines")
    button(page, "Send").first.tap()
    expect(text_of(answers(page))).to_contain_text("You said: On a phone")
    expect_state(answers(page), "done")
    older(questions(page)).tap()
    expect(past(page)).to_contain_text("What is new?")
    assert page.locator("html").evaluate("html => html.scrollWidth") == 320
    for link in older(page.locator("#messages")).all() + newer(page.locator("#messages")).all():
        if link.is_visible():
            area = link.bounding_box()
            assert min(area["width"], area["height"]) >= 44


def test_axe_finds_nothing(person, talk, look):  # noqa: F811
    page = look(person, address_of(talk))
    regenerate(page)
    expect(answers(page)).to_contain_text("2/2")
    expect_state(answers(page), "done")
    assert violations(page) == []
    questions(page).hover()
    questions(page).get_by_role("link", name="Edit").click()
    expect(page.get_by_role("textbox", name="Edit your message")).to_be_focused()
    assert violations(page) == []
    page.keyboard.press("Escape")
    older(answers(page)).click()
    expect(past(page)).to_be_visible()
    assert violations(page) == []


def test_without_javascript_it_is_all_there(person, talk, gateway, visit):
    page = visit(person, address_of(talk), java_script_enabled=False)
    answers(page).hover()
    button(answers(page), "Regenerate").click()
    talk.reply(2)
    page.reload()
    expect(text_of(answers(page))).to_contain_text("You said: What is new?")
    older(answers(page)).click()
    expect(text_of(answers(page))).to_have_text("The first answer.")
    expect(page.locator("#messages")).to_contain_text(LINE)
    expect(page.get_by_role("link", name="Edit")).to_have_count(0)
    page.get_by_role("link", name="Show the newest").click()
    expect(text_of(answers(page))).to_contain_text("You said: What is new?")
    questions(page).hover()
    questions(page).get_by_role("link", name="Edit").click()
    field = page.get_by_role("textbox", name="Edit your message")
    field.fill("x" * 100_001)
    button(page, "Send").click()
    expect(page.get_by_role("alert")).to_contain_text("100,000 is the most")
    expect(field).to_have_value("x" * 100_001)
    field.fill("What is old?")
    button(page, "Send").click()
    talk.reply(3)
    page.reload()
    expect(text_of(answers(page))).to_contain_text("You said: What is old?")
    older(questions(page)).click()
    expect(text_of(questions(page))).to_have_text("What is new?")
