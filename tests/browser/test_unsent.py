"""A message on its way, or refused: nothing is lost by going elsewhere, and what is said of it is true."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.screen import (
    address_of,
    answers,
    at,
    box,
    button,
    expect_state,
    items,
    left_in,
    questions,
    say,
    start_chat,
    stop_button,
    text_of,
)
from tests.chaos_proxy import ChaosProxy
from tests.server import wait_until


@pytest.fixture
def reply(held):
    return held("It goes", " on.")


@pytest.fixture
def talk(person, gateway, reply):
    return start_chat(person, gateway, reply)


@pytest.fixture
def page(person, talk, visit):
    return visit(person, address_of(talk))


def stuck(page, path="**/messages/"):
    """What is sent does not arrive, until this is called."""
    page.route(path, lambda route: route.fulfill(status=503) if route.request.method == "POST" else route.continue_())
    return lambda: page.unroute(path)


# --- without a connection


def test_messages_arrive_in_order_however_long_the_connection_is_away(page, talk, reply, gateway):
    reply.rest()
    expect_state(answers(page), "done")
    page.clock.install()
    page.context.set_offline(True)
    for words in ("One", "Two", "Three"):
        say(page, words)
    for _ in range(120):
        page.clock.run_for(1_000)
    expect(button(questions(page).nth(1), "Not sent. Try again")).to_be_visible()
    page.clock.resume()
    page.context.set_offline(False)
    expect(text_of(answers(page).last)).to_contain_text("You said: Three")
    assert gateway.turns[talk.key] == ["What is new?", "One", "Two", "Three"]


def test_trying_again_tries_at_once(page, talk):
    page.clock.install()
    arrive = stuck(page)
    say(page, "Are you there?")
    for _ in range(40):
        page.clock.run_for(1_000)
    with page.expect_response("**/messages/"):
        page.clock.run_for(15_000)
    arrive()
    with page.expect_request("**/messages/", timeout=5_000):  # it would try by itself in fifteen
        button(page, "Not sent. Try again").click()
    expect(page.locator(".queue__item")).to_contain_text("Are you there?")


def test_what_the_server_cannot_take_for_a_reason_of_its_own_comes_back(page, talk):
    page.clock.install()
    answer = {"status": 500, "content_type": "text/html", "body": "It broke."}
    page.route("**/messages/", lambda r: r.fulfill(**answer) if r.request.method == "POST" else r.continue_())
    say(page, "Are you there?")
    for _ in range(60):
        page.clock.run_for(1_000)
    expect(page.get_by_role("alert")).to_contain_text("Not sent (500).")
    expect(box(page)).to_have_value("Are you there?")


def test_what_hangs_in_a_lost_connection_is_sent_again_with_the_next(page, talk):
    page.clock.install()
    hanging = []
    page.route("**/messages/", lambda route: hanging.append(route), times=1)
    say(page, "Are you there?")
    wait_until(lambda: page.wait_for_timeout(50) or hanging)
    page.clock.run_for(6_000)
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(page.locator(".queue__item")).to_contain_text("Are you there?")


# --- leaving


def test_closing_the_tab_asks_only_while_something_is_not_sent(page, talk, watch):
    watch.asked, watch.agrees = [], False
    arrive = stuck(page)
    say(page, "Are you there?")
    expect_state(questions(page).last, "sending")
    page.close(run_before_unload=True)
    wait_until(lambda: page.wait_for_timeout(50) or watch.asked)
    assert watch.asked == ["beforeunload"]
    assert not page.is_closed()
    arrive()
    expect(page.locator(".queue__item")).to_contain_text("Are you there?")
    with page.expect_event("close"):
        page.close(run_before_unload=True)
    assert watch.asked == ["beforeunload"]


@pytest.mark.parametrize("path", ["/sessions/", "/account/"])
def test_a_page_without_a_message_box_asks_too(page, talk, watch, path):
    watch.asked = []
    stuck(page)
    say(page, "Are you there?")
    expect_state(questions(page).last, "sending")
    page.goto(path)
    watch.asked, watch.agrees = [], False
    page.get_by_role("heading", level=1).click()  # a page that nobody touched may not ask
    page.close(run_before_unload=True)
    wait_until(lambda: page.wait_for_timeout(50) or watch.asked)
    assert watch.asked == ["beforeunload"]
    if path == "/sessions/":
        button(page, "Sign out").click()
        assert "not sent" in watch.asked[-1]
    expect(page).to_have_url(re.compile(path))
    watch.agrees = True
    page.unroute("**/messages/")
    page.goto(address_of(talk))
    expect(page.locator(".queue__item")).to_contain_text("Are you there?")


def test_another_page_of_the_app_is_opened_without_a_question_and_goes_on_sending(page, person, talk, watch):
    watch.asked = []
    other = person.chat("Something else")
    expect(items(page)).to_have_count(2)
    arrive = stuck(page)
    say(page, "Are you there?")
    expect_state(questions(page).last, "sending")
    items(page).filter(has_text="Something else").get_by_role("link").click()
    expect(page).to_have_url(at(other))
    arrive()
    wait_until(lambda: page.wait_for_timeout(50) or not any("there" in kept for kept in left_in(page)))
    page.goto(address_of(talk))
    expect(page.locator(".queue__item")).to_contain_text("Are you there?")
    assert watch.asked == []


@pytest.mark.parametrize("where", ["a chat", "the empty page"])
def test_signing_out_asks_while_something_is_not_sent(page, watch, where):
    watch.asked, watch.agrees = [], False
    if where == "a chat":
        stuck(page)
        say(page, "Are you there?")
    else:
        page.goto("/chat/")
        box(page).fill("half a thought")
    button(page, "Sign out").click()
    wait_until(lambda: page.wait_for_timeout(50) or watch.asked)
    expect(box(page)).to_be_visible()
    watch.agrees = True
    button(page, "Sign out").click()
    expect(button(page, "Sign in")).to_be_visible()
    assert [question[:21] for question in watch.asked] == ["Something is not sent"] * 2
    assert left_in(page) == []


# --- new chats


def test_a_first_message_that_arrives_later_leaves_the_page_one_has_gone_to_alone(page, talk):
    page.goto("/chat/")
    arrive = stuck(page, "**/chats/")
    say(page, "A new one")
    expect_state(questions(page).last, "sending")
    items(page).get_by_role("link").click()
    expect(page).to_have_url(at(talk))
    box(page).press_sequentially("Dear")
    arrive()
    expect(items(page)).to_have_count(2)
    box(page).press_sequentially(" A, a letter")
    page.wait_for_timeout(1_000)
    expect(page).to_have_url(at(talk))
    expect(box(page)).to_have_value("Dear A, a letter")


def test_a_reload_of_the_empty_page_still_leads_to_the_chat_of_its_first_message(page, person, watch):
    watch.asked = []
    page.goto("/chat/")
    arrive = stuck(page, "**/chats/")
    say(page, "A new one")
    box(page).press_sequentially("and then")
    page.reload()
    expect(text_of(questions(page))).to_have_text(["A new one"])
    expect(box(page)).to_have_value("and then")
    arrive()
    expect(page).to_have_url(re.compile(r"\?session=webchat-"))
    expect(text_of(questions(page))).to_have_text(["A new one"])
    expect(box(page)).to_have_value("and then")


# --- refused


@pytest.fixture
def full(page, talk):
    """A chat in which as many messages wait as may."""
    for number in range(2, 7):
        talk.say(f"Number {number}")
    expect(page.locator(".queue__item")).to_have_count(5)
    return page


def test_refused_messages_come_back_in_the_order_they_were_written(full):
    held = []
    full.route("**/messages/", lambda route: held.append(route), times=1)
    for number in (7, 8, 9):
        say(full, f"Number {number}")
    box(full).press_sequentially("typed since")
    held[0].continue_()
    expect(box(full)).to_have_value("Number 7\nNumber 8\nNumber 9\ntyped since")
    expect(questions(full)).to_have_count(1)


def test_they_do_so_after_a_reload_too(full, watch):
    watch.asked = []
    held = []
    full.route(
        "**/messages/", lambda route: held.append(route) if route.request.method == "POST" else route.continue_()
    )
    for number in (7, 8):
        say(full, f"Number {number}")
    held[0].continue_()
    expect(box(full)).to_have_value("Number 7")
    box(full).press("End")
    box(full).press_sequentially(", and more")
    full.unroute("**/messages/")
    full.reload()
    expect(box(full)).to_have_value("Number 7, and more\nNumber 8")


def test_why_a_message_was_refused_is_said_no_longer_when_fewer_wait(full, reply):
    say(full, "Number 7")
    expect(full.get_by_role("alert")).to_contain_text("5 messages are waiting already")
    reply.rest()
    expect(answers(full)).to_have_count(6)
    expect(full.get_by_role("alert")).to_be_hidden()
    expect(box(full)).to_have_value("Number 7")


def test_why_a_message_was_refused_is_said_until_the_next_word(full):
    say(full, "Number 7")
    expect(full.get_by_role("alert")).to_contain_text("5 messages are waiting already")
    box(full).press_sequentially("!")
    expect(full.get_by_role("alert")).to_be_hidden()


def test_a_message_that_cannot_be_taken_out_of_the_line_comes_when_it_can(page, talk):
    say(page, "And than?")
    expect(page.locator(".queue__item")).to_have_count(1)
    page.route("**/queue/", lambda route: route.abort())
    button(page, "Edit").dblclick()
    expect(page.get_by_role("alert")).to_contain_text("The message comes into the box when there is one")
    expect(box(page)).to_have_value("")
    page.unroute("**/queue/")
    expect(box(page)).to_have_value("And than?")
    expect(page.locator(".queue__item")).to_have_count(0)
    expect(page.get_by_role("alert")).to_be_hidden()
    page.wait_for_timeout(500)
    expect(box(page)).to_have_value("And than?")


def test_that_there_is_no_connection_is_said_until_there_is_one(app, person, talk, visit):
    with ChaosProxy(app.server.url) as proxy:
        page = visit(person, address_of(talk), server=proxy)
        expect(stop_button(page)).to_be_visible()
        proxy.refuse()
        stop_button(page).click()
        expect(page.get_by_role("alert")).to_contain_text("No connection")
        expect(page.get_by_text("Connection lost, reconnecting…")).to_be_visible()
        expect(page.get_by_role("alert")).to_contain_text("No connection")
        proxy.accept()
        expect(page.get_by_role("alert")).to_be_hidden()
