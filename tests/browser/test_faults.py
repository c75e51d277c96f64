"""The server dies, the network breaks, the gateway refuses: nothing is lost, and the page says what happened."""

import pytest
from playwright.sync_api import expect

from tests.browser.screen import (
    ASK_AGAIN,
    address_of,
    answers,
    button,
    expect_state,
    questions,
    say,
    start_chat,
    text_of,
)
from tests.fake_gateway import answer, status
from tests.server import wait_until

LINE = "Connection lost, reconnecting…"


# --- the server


def test_a_message_sent_while_the_server_is_away_arrives_once(own_app, visit):
    person = own_app.person()
    talk = start_chat(person)
    page = visit(person, address_of(talk))
    expect_state(answers(page), "done")
    own_app.server.kill()
    say(page, "Are you there?")
    expect(questions(page).last).to_contain_text("Sending…")
    expect_state(questions(page).last, "sending")
    expect(page.get_by_text(LINE)).to_be_visible()
    own_app.server.start()
    expect(text_of(answers(page).last)).to_contain_text("You said: Are you there?")
    expect(page.get_by_text(LINE)).to_be_hidden()
    expect(text_of(questions(page))).to_have_text(["What is new?", "Are you there?"])
    assert own_app.gateway.turns[talk.key] == ["What is new?", "Are you there?"]


def test_a_message_survives_a_reload_while_the_network_is_away(person, visit, watch):
    talk = start_chat(person)
    page = visit(person, address_of(talk))
    expect_state(answers(page), "done")
    page.route("**/messages/", lambda route: route.abort())
    say(page, "Are you there?")
    expect_state(questions(page).last, "sending")
    page.unroute("**/messages/")
    watch.asked = []  # which is for a tab that is closed, and a browser tells no difference
    page.reload()
    expect(text_of(answers(page).last)).to_contain_text("You said: Are you there?")
    expect(text_of(questions(page))).to_have_text(["What is new?", "Are you there?"])


def test_a_message_whose_receipt_got_lost_is_not_made_twice(person, gateway, visit):
    talk = start_chat(person)
    page = visit(person, address_of(talk))
    expect_state(answers(page), "done")

    def lose_the_receipt(route):
        route.fetch()
        route.abort()

    page.route("**/messages/", lose_the_receipt, times=1)
    with page.expect_response(lambda response: response.request.method == "POST" and "messages" in response.url):
        say(page, "Are you there?")
    expect(text_of(answers(page).last)).to_contain_text("You said: Are you there?")
    expect(text_of(questions(page))).to_have_text(["What is new?", "Are you there?"])
    assert gateway.turns[talk.key] == ["What is new?", "Are you there?"]


def test_after_a_kill_in_a_reply_its_text_is_kept_and_asking_again_brings_the_whole(own_app, visit, held):
    person = own_app.person()
    talk = start_chat(person, own_app.gateway, reply := held("This was\n\nseen", " and this not."))
    page = visit(person, address_of(talk))
    reply.next()
    expect(text_of(answers(page))).to_have_text("This was seen")
    own_app.server.kill()
    own_app.server.start()
    expect_state(answers(page), "interrupted")
    expect(text_of(answers(page))).to_have_text("This was seen")
    expect(answers(page)).to_contain_text("The server was restarted while this was being written")
    own_app.gateway.script(talk.key, answer("This is the whole."), times=1)
    button(answers(page), ASK_AGAIN).click()
    expect(text_of(answers(page))).to_have_text("This is the whole.")
    expect_state(answers(page), "done")
    earlier_version(page)
    expect(page.get_by_role("region", name="An earlier version")).to_contain_text("This was seen")
    page.reload()
    expect(text_of(answers(page))).to_have_text("This is the whole.")


def test_what_waited_behind_an_interrupted_reply_is_held_until_it_is_sent_on(own_app, visit, held):
    person = own_app.person()
    talk = start_chat(person, own_app.gateway, held("Never"))
    page = visit(person, address_of(talk))
    say(page, "And then?")
    expect(page.locator(".queue__item")).to_have_count(1)
    wait_until(lambda: own_app.gateway.requests_of(talk.key))
    own_app.server.kill()
    own_app.server.start()
    expect(page.locator(".queue__item")).to_contain_text("held: it waits until you send it on")
    expect(answers(page).get_by_role("note")).to_contain_text("The server was restarted")
    expect(answers(page).get_by_role("note")).not_to_contain_text("what arrived is kept")  # nothing did
    button(page, "Send the rest").click()
    expect(text_of(answers(page).last)).to_contain_text("You said: And then?")
    expect(page.locator(".queue__item")).to_have_count(0)


def earlier_version(page):
    answers(page).get_by_role("link", name="Earlier version").click()


# --- the gateway


@pytest.mark.parametrize(
    ("code", "words", "name"),
    [
        (503, "The gateway is starting or stopping.", "Try again"),
        (401, "The gateway refused our credentials", "Try again"),
        (500, "it may have seen your message", ASK_AGAIN),
    ],
)
def test_a_refusal_is_said_in_the_message_and_trying_again_works(person, gateway, visit, code, words, name):
    talk = start_chat(person, gateway, [status(code)])
    gateway.script(talk.key, [status(code)])
    page = visit(person, address_of(talk))
    expect_state(answers(page), "failed")
    expect(answers(page).get_by_role("note")).to_contain_text(words)
    gateway.script(talk.key, answer("Here I am."))
    button(answers(page), name).click()
    expect_state(answers(page), "done")
    expect(text_of(answers(page))).to_have_text("Here I am.")
    earlier_version(page)
    expect(page.get_by_role("region", name="An earlier version")).to_contain_text(words)


def test_a_gateway_that_cannot_be_reached_is_named_and_trying_again_works(own_app, visit):
    person = own_app.person()
    own_app.gateway.stop()
    page = visit(person)
    say(page, "Hello")
    expect_state(answers(page), "failed")
    expect(answers(page).get_by_role("note")).to_contain_text("The assistant's gateway cannot be reached.")
    own_app.gateway.start()
    button(answers(page), "Try again").click()
    expect(text_of(answers(page))).to_contain_text("You said: Hello")
    expect_state(answers(page), "done")


def test_a_failure_shows_on_an_open_page_and_the_box_goes_on(person, gateway, visit):
    talk = start_chat(person)
    page = visit(person, address_of(talk))
    expect_state(answers(page), "done")
    gateway.script(talk.key, [status(400, body={"error": {"message": "Too much"}})], times=1)
    say(page, "Hello")
    expect(answers(page).last.get_by_role("note")).to_contain_text("The gateway did not accept this message.")
    expect(page.locator("#announcer")).to_have_text("The reply failed.")
    say(page, "Hello again")
    expect(text_of(answers(page).last)).to_contain_text("You said: Hello again")
