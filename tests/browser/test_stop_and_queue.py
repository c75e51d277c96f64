"""While a reply is being written: stopping it, and what is typed meanwhile."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import copied, running_app
from tests.browser.screen import (
    address_of,
    answers,
    at,
    box,
    button,
    draft_of,
    expect_state,
    questions,
    say,
    start_chat,
    stop_button,
    text_of,
)
from tests.fake_gateway import eventually
from tests.server import wait_until


@pytest.fixture
def reply(held):
    return held("It goes", " on.")


@pytest.fixture
def talk(person, gateway, reply):
    return start_chat(person, gateway, reply)


@pytest.fixture
def page(person, talk, reply, visit):
    """A chat whose reply is half written."""
    page = visit(person, address_of(talk))
    reply.next()
    expect(text_of(answers(page))).to_have_text("It goes")
    return page


def waiting(page):
    return page.get_by_role("region", name="Waiting messages").locator(".queue__item")


# --- stop


def delayed(page, path):
    """The next request there waits until this is called."""
    late = []
    page.route(path, lambda route: late.append(route), times=1)

    def go_on():
        wait_until(lambda: page.wait_for_timeout(50) or late)
        late[0].continue_()

    return go_on


def then(talk, gateway, reply):
    """What the next message is answered with."""
    gateway.script(talk.key, reply.steps, times=1)
    return reply


def by_button(page):
    stop_button(page).click()


def by_escape(page):
    page.keyboard.press("Escape")


@pytest.mark.parametrize("stop", [by_button, by_escape])
def test_stop_keeps_what_came_and_ends_the_gateways_run(page, talk, gateway, stop):
    stop(page)
    expect_state(answers(page), "stopped")
    expect(answers(page)).to_contain_text("Stopped by you")
    expect(text_of(answers(page))).to_have_text("It goes")
    expect(stop_button(page)).to_be_hidden()
    (request,) = gateway.requests_of(talk.key)
    assert eventually(lambda: request.client_left)


def test_stop_in_one_tab_shows_in_the_other(page, talk):
    other = page.context.new_page()
    other.goto(address_of(talk))
    expect(stop_button(other)).to_be_visible()
    stop_button(page).click()
    expect_state(answers(other), "stopped")
    expect(answers(other)).to_contain_text("Stopped by you")
    expect(stop_button(other)).to_be_hidden()


def test_stopping_twice_stops_one_reply_and_not_the_next(page, talk, gateway, held):
    then(talk, gateway, held("The next one", " goes on.")).next()
    say(page, "And then?")
    expect(waiting(page)).to_have_count(1)
    page.evaluate("() => { const now = performance.now(); performance.now = () => now }")  # however slow the machine is
    page.keyboard.press("Escape")
    expect(waiting(page)).to_have_count(0)
    page.keyboard.press("Escape")
    stop_button(page).click()
    expect_state(answers(page).first, "stopped")
    expect(text_of(answers(page).last)).to_have_text("The next one")
    expect_state(answers(page).last, "streaming")


def test_a_press_that_comes_late_is_for_the_reply_that_was_shown(page, talk, gateway, reply, held):
    coming = then(talk, gateway, held("The next one", " goes on."))
    coming.next()
    say(page, "And then?")
    expect(waiting(page)).to_have_count(1)
    go_on = delayed(page, "**/stop/")
    stop_button(page).click()
    reply.rest()
    expect(text_of(answers(page).last)).to_have_text("The next one")
    with page.expect_response("**/stop/"):
        go_on()
    coming.rest()
    expect_state(answers(page).last, "done")
    expect(text_of(answers(page))).to_have_text(["It goes on.", "The next one goes on."])


def test_escape_right_after_enter_stops_the_reply_to_that(page, talk, gateway, reply, held):
    reply.rest()
    expect_state(answers(page), "done")
    then(talk, gateway, held("Never", " to its end."))
    go_on = delayed(page, "**/messages/")
    say(page, "And then?")
    page.keyboard.press("Escape")
    go_on()
    expect_state(answers(page).last, "stopped")


def test_escape_stops_the_reply_to_what_was_sent_last(page, talk, gateway, reply, held):
    reply.rest()
    expect_state(answers(page), "done")
    then(talk, gateway, held("Never", " to its end."))
    go_on = delayed(page, "**/messages/")
    say(page, "/help")
    say(page, "And then?")
    page.keyboard.press("Escape")
    go_on()
    expect_state(answers(page).last, "stopped")


def test_escape_right_after_the_first_message_stops_the_reply_to_that(person, gateway, held, visit):
    page = visit(person, "/chat/")
    key = f"webchat-{page.locator('#composer').get_attribute('data-chat')}"
    gateway.script(key, held("Never", " to its end.").steps, times=1)
    go_on = delayed(page, "**/chats/")
    say(page, "What is new?")
    page.keyboard.press("Escape")
    go_on()
    expect(page).to_have_url(re.compile("session="))
    expect_state(answers(page), "stopped")


def test_escape_when_nothing_is_written_stops_nothing_later(page, talk, gateway, reply, held):
    reply.rest()
    expect_state(answers(page), "done")
    coming = then(talk, gateway, held("The next one", " goes on."))
    page.keyboard.press("Escape")
    say(page, "And then?")
    coming.next()
    expect(text_of(answers(page).last)).to_have_text("The next one")
    coming.rest()
    expect_state(answers(page).last, "done")


def test_escape_closes_the_dialog_before_it_stops_a_reply(page, reply):
    page.get_by_role("link", name="New session…").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(stop_button(page)).to_be_visible()
    reply.rest()
    expect_state(answers(page), "done")
    expect(text_of(answers(page))).to_have_text("It goes on.")


def test_after_a_stop_one_can_go_on_or_ask_again(page):
    stop_button(page).click()
    button(answers(page), "Ask again (may repeat actions)").click()
    expect_state(answers(page), "done")
    expect(text_of(answers(page))).to_contain_text("You said: What is new?")
    say(page, "And now?")
    expect(text_of(answers(page).last)).to_contain_text("You said: And now?")


# --- the queue


def test_a_message_typed_meanwhile_waits_visibly_and_is_sent_after_the_end(page, reply):
    say(page, "And then?")
    expect(waiting(page)).to_have_count(1)
    expect(waiting(page)).to_contain_text("And then?")
    expect(waiting(page)).to_contain_text("waits for the reply before")
    expect(questions(page)).to_have_count(1)
    reply.rest()
    expect(text_of(answers(page).last)).to_contain_text("You said: And then?")
    expect(text_of(questions(page))).to_have_text(["What is new?", "And then?"])
    expect(text_of(answers(page).first)).to_have_text("It goes on.")
    expect(waiting(page)).to_have_count(0)


def test_a_message_being_sent_stands_below_those_that_wait_and_in_the_conversation_when_none_does(page, talk, reply):
    line = page.get_by_role("region", name="Waiting messages").locator(".queue__text, .message__body")
    say(page, "One")
    expect(waiting(page)).to_have_count(1)
    page.route("**/messages/", lambda route: route.abort())
    say(page, "Three")
    say(page, "Four")
    expect(line).to_have_text(["One", "Three", "Four"])
    talk.say("Two")
    expect(line).to_have_text(["One", "Two", "Three", "Four"])
    for number in ("One", "Two"):
        button(waiting(page).filter(has_text=number), "Cancel").click()
    expect(line).to_have_count(0)
    expect(text_of(questions(page))).to_have_text(["What is new?", "Three", "Four"])
    page.unroute("**/messages/")
    expect(line).to_have_text(["Three", "Four"])
    expect(waiting(page)).to_have_count(2)
    expect(questions(page)).to_have_count(1)


def test_a_waiting_message_can_be_cancelled(page, talk, reply, gateway):
    say(page, "Never mind")
    say(page, "And then?")
    expect(waiting(page)).to_have_count(2)
    button(waiting(page).filter(has_text="Never mind"), "Cancel").click()
    expect(waiting(page)).to_have_count(1)
    reply.rest()
    expect(text_of(answers(page).last)).to_contain_text("You said: And then?")
    expect(text_of(questions(page))).to_have_text(["What is new?", "And then?"])
    assert gateway.turns[talk.key] == ["What is new?", "And then?"]


def test_a_waiting_message_can_be_edited(page, talk, reply, gateway):
    say(page, "And than?")
    box(page).fill("typed since")
    button(waiting(page), "Edit").click()
    expect(box(page)).to_have_value("And than?\ntyped since")
    expect(waiting(page)).to_have_count(0)
    box(page).fill("And then?")
    page.keyboard.press("Enter")
    reply.rest()
    expect(text_of(answers(page).last)).to_contain_text("You said: And then?")
    assert gateway.turns[talk.key] == ["What is new?", "And then?"]


@pytest.mark.parametrize(("typed", "said"), [("And then?", ["What is new?", "And then?"]), ("", ["What is new?"])])
def test_what_was_edited_at_once_does_not_come_back(page, talk, reply, gateway, typed, said):
    say(page, "And than?")
    button(waiting(page), "Edit").click()
    expect(box(page)).to_have_value("And than?")
    box(page).fill(typed)
    page.keyboard.press("Enter")
    expect(waiting(page)).to_have_count(1 if typed else 0)
    wait_until(lambda: page.wait_for_timeout(50) or draft_of(talk) == "")
    page.reload()
    expect(box(page)).to_have_value("")
    reply.rest()
    expect(text_of(questions(page))).to_have_text(said)


def test_edit_that_was_pressed_without_a_connection_comes_with_it(page, talk, person, visit):
    talk.say("And than?")
    page = visit(person, address_of(talk))
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    button(waiting(page), "Edit").click()
    expect(page.get_by_role("alert")).to_contain_text("No connection")
    page.context.set_offline(False)
    expect(box(page)).to_have_value("And than?")
    expect(waiting(page)).to_have_count(0)


def test_an_edit_that_is_refused_says_so(page):
    say(page, "And than?")
    page.route("**/queue/", lambda route: route.fulfill(status=403, content_type="text/html", body="No."))
    button(waiting(page), "Edit").click()
    expect(page.get_by_role("alert")).to_contain_text("That did not work (403). Reload the page")
    expect(waiting(page)).to_have_count(1)


def test_what_is_edited_is_there_though_its_first_answer_is_lost(page, talk):
    say(page, "And than?")
    expect(waiting(page)).to_have_count(1)
    lost = []

    def lose(route):
        lost.append(route.fetch())  # the server has done it
        route.abort()

    page.route("**/queue/", lose, times=1)
    button(waiting(page), "Edit").click()
    expect(box(page)).to_have_value("And than?")
    expect(waiting(page)).to_have_count(0)
    assert lost


def test_what_is_edited_and_left_is_in_the_box_later_and_elsewhere(page, person, talk, visit):
    say(page, "And than?")
    button(waiting(page), "Edit").click()
    expect(box(page)).to_have_value("And than?")
    page.close()
    expect(box(visit(person, address_of(talk)))).to_have_value("And than?")


def test_an_action_that_fails_says_so(page):
    page.route("**/stop/", lambda route: route.abort())
    by_button(page)
    expect(page.get_by_role("alert")).to_contain_text("No connection")
    page.unroute("**/stop/")
    late = []
    page.route("**/stop/", lambda route: late.append((route, route.fetch())))
    by_button(page)
    expect_state(answers(page), "stopped")
    wait_until(lambda: page.wait_for_timeout(50) or late)
    ((route, answer),) = late
    route.fulfill(response=answer)  # after the news of it
    expect(page.get_by_role("alert")).to_be_hidden()


@pytest.fixture
def refused_elsewhere(page, person, talk, watch):
    """Another session, in which a message of the first is refused after that was left; what comes of it in the page."""
    watch.asked = []
    other = person.chat("Something else")
    for number in range(2, 7):
        say(page, f"Number {number}")
    expect(waiting(page)).to_have_count(5)
    page.route("**/messages/", lambda route: route.abort())
    say(page, "For here only")
    expect(box(page)).to_have_value("")
    page.goto(address_of(other))
    page.unroute("**/messages/")
    expect(page.get_by_role("alert")).to_contain_text("A message in another session was not sent.")
    return other


def test_what_is_refused_after_its_page_was_left_is_in_the_box_of_its_own_session(page, talk, refused_elsewhere):
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("A message in another session was not sent.")
    expect(box(page)).to_have_value("")
    page.get_by_role("alert").get_by_role("link").click()
    expect(page).to_have_url(at(talk))
    expect(box(page)).to_have_value("For here only")
    expect(page.get_by_role("alert")).to_contain_text("5 messages are waiting already")
    page.reload()
    expect(box(page)).to_have_value("For here only")
    expect(page.get_by_role("alert")).to_be_hidden()
    assert [reply["text"] for reply in refused_elsewhere.replies] == [refused_elsewhere.reply()]


def test_what_was_refused_elsewhere_can_be_discarded(page, talk, refused_elsewhere):
    button(page.get_by_role("alert"), "Discard it").click()
    expect(page.get_by_role("alert")).to_be_hidden()
    page.goto(address_of(talk))
    expect(waiting(page)).to_have_count(5)
    expect(box(page)).to_have_value("")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_waiting_message_shows_in_the_other_tab(page, talk):
    other = page.context.new_page()
    other.goto(address_of(talk))
    expect(stop_button(other)).to_be_visible()
    say(page, "And then?")
    expect(waiting(other)).to_have_text(re.compile("And then\\?"))


def test_five_wait_and_the_seventh_message_comes_back_with_the_reason(page, reply):
    for number in range(2, 7):
        say(page, f"Number {number}")
    expect(waiting(page)).to_have_count(5)
    say(page, "Number 7")
    expect(page.get_by_role("alert")).to_contain_text("5 messages are waiting already")
    expect(box(page)).to_have_value("Number 7")
    expect(waiting(page)).to_have_count(5)
    reply.rest()
    expect(answers(page)).to_have_count(6)
    expect_state(answers(page).last, "done")
    box(page).press("Enter")
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(text_of(answers(page).last)).to_contain_text("You said: Number 7")
    expect(text_of(questions(page))).to_have_text(["What is new?", *(f"Number {n}" for n in range(2, 8))])


def test_a_reply_waits_for_a_free_slot_and_says_so_until_somebody_writes_it(app, tmp_path, held, visit):
    with running_app(copied(app, tmp_path), REPLIES_PER_USER="1") as small:
        ada = small.server.first_account()
        first, second = held("One."), held("Two.")
        start_chat(ada, small.gateway, first)
        page = visit(ada, address_of(start_chat(ada, small.gateway, second)), server=small.server)
        page.clock.install()
        page.reload()
        expect(answers(page)).to_contain_text("Sent")
        page.clock.fast_forward("00:15")
        expect(answers(page)).to_contain_text(re.compile(r"waiting for a free slot \(\d+ s\)"))
        first.rest()
        expect(answers(page)).to_contain_text("the agent is working")
        expect(text_of(answers(page))).to_have_text("")
        second.rest()
        expect(text_of(answers(page))).to_have_text("Two.")
