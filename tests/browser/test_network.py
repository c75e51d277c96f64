"""The way between a browser and the app breaks, in each of the ways networks have."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import copied, running_app
from tests.browser.screen import address_of, answers, expect_state, questions, say, start_chat, text_of
from tests.chaos_proxy import ChaosProxy
from tests.server import wait_until

LINE = "Connection lost, reconnecting…"


@pytest.fixture
def proxy(app):
    with ChaosProxy(app.server.url) as proxy:
        yield proxy


@pytest.fixture
def reply(held):
    return held("Before. ", "Between. ", "After.")


@pytest.fixture
def talk(person, gateway, reply):
    return start_chat(person, gateway, reply)


@pytest.fixture
def page(person, talk, reply, visit, proxy):
    """A page behind the proxy that shows the beginning of a reply."""
    page = visit(person, address_of(talk), server=proxy)
    page.clock.install()
    page.reload()
    reply.next()
    expect(text_of(answers(page))).to_have_text("Before.")
    return page


def test_a_short_break_says_so_and_the_reply_goes_on_without_a_reload(page, reply, proxy):
    proxy.refuse()
    expect(page.get_by_text(LINE)).to_be_visible()
    reply.next()
    proxy.accept()
    expect(text_of(answers(page))).to_have_text("Before. Between.")
    expect(page.get_by_text(LINE)).to_be_hidden()
    reply.rest()
    expect(text_of(answers(page))).to_have_text("Before. Between. After.")
    expect_state(answers(page), "done")


def test_ten_minutes_without_a_network_in_which_the_reply_ended(page, talk, reply, proxy):
    proxy.refuse()
    reply.rest()
    assert talk.reply() == "Before. Between. After."
    page.clock.fast_forward("10:00")
    expect(page.get_by_text(LINE)).to_be_visible()
    proxy.accept()
    page.clock.fast_forward("00:30")
    expect(text_of(answers(page))).to_have_text("Before. Between. After.")
    expect_state(answers(page), "done")


def test_a_connection_that_is_dead_without_a_word_is_found_by_the_pages_own_ping(page, reply, proxy):
    proxy.silent = True
    reply.next()
    page.wait_for_timeout(500)
    expect(text_of(answers(page))).to_have_text("Before.")
    proxy.silent = False  # for new connections; the old one stays dead
    page.clock.fast_forward("00:26")
    page.clock.fast_forward("00:11")
    page.clock.fast_forward("00:02")
    expect(text_of(answers(page))).to_have_text("Before. Between.")
    reply.rest()
    expect_state(answers(page), "done")


def test_after_an_hours_sleep_the_page_comes_back_as_soon_as_it_is_looked_at(page, talk, reply, proxy):
    proxy.refuse()
    expect(page.get_by_text(LINE)).to_be_visible()
    page.clock.pause_at(page.evaluate("Date.now() + 3600 * 1000"))
    reply.rest()
    talk.reply()
    proxy.accept()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.clock.resume()
    expect(text_of(answers(page))).to_have_text("Before. Between. After.")
    expect_state(answers(page), "done")


def test_as_soon_as_the_server_answers_at_all_the_connection_is_tried_again(page, reply, proxy):
    proxy.refuse()
    for _ in range(8):  # until the next try is a quarter of a minute away at the least
        page.clock.fast_forward("00:31")
        page.wait_for_timeout(100)
    page.clock.pause_at(page.evaluate("Date.now() + 1000"))
    proxy.accept()
    page.clock.run_for(4_000)
    expect(page.get_by_text(LINE)).to_be_hidden()
    reply.rest()
    expect(text_of(answers(page))).to_have_text("Before. Between. After.")


def test_what_could_not_be_fetched_once_is_fetched_later(page, reply):
    page.clock.resume()
    page.route("**/messages/?*", lambda route: route.fulfill(status=503), times=2)
    reply.rest()
    expect_state(answers(page), "done")


@pytest.mark.parametrize("place", ["/chat/", "/sessions/"])
def test_a_page_that_was_signed_out_while_it_had_no_connection_leads_to_signing_in(person, visit, proxy, place):
    page = visit(person, place, server=proxy)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    proxy.refuse()
    person.post("/logout/")
    proxy.accept()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_a_page_that_is_slow_to_fetch_a_new_reply_asks_for_its_text_once(person, talk, gateway, reply, visit, held):
    reply.rest()
    talk.reply()
    asked, late = [], []

    def listen(socket):
        server = socket.connect_to_server()
        socket.on_message(lambda frame: asked.append(frame) or server.send(frame))

    page = visit(person, "about:blank")
    page.route_web_socket("**/ws/", listen)
    page.goto(address_of(talk))
    subscriptions = lambda: [frame for frame in asked if '"sub"' in frame]  # noqa: E731
    wait_until(lambda: page.wait_for_timeout(50) or subscriptions())
    page.route("**/messages/?*", lambda route: late.append(route))
    gateway.script(talk.key, (coming := held("One. ", "Two. ", "Three.")).steps, times=1)
    talk.say("And then?")
    for _ in coming.pieces:
        text = coming.next()
        wait_until(lambda text=text: page.wait_for_timeout(50) or talk.replies[1]["text"] == text)
    wait_until(lambda: page.wait_for_timeout(50) or late)
    assert len(subscriptions()) == 1, asked
    late[0].continue_()
    page.unroute("**/messages/?*")
    expect(text_of(answers(page).last)).to_have_text("One. Two. Three.")
    assert len(subscriptions()) == 2, asked


@pytest.mark.parametrize("file", ["versions", "giving-back"])  # the second is what the first imports
def test_a_file_that_did_not_come_with_the_page_comes_when_it_is_needed(person, talk, reply, visit, file):
    reply.rest()
    talk.reply()
    page = visit(person, "about:blank")
    missed = []
    page.route(f"**/js/{file}.*", lambda route: route.abort() or missed.append(route))
    page.goto(address_of(talk))
    wait_until(lambda: page.wait_for_timeout(50) or missed)
    questions(page).hover()
    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_role("alert")).to_contain_text("No connection")
    page.unroute(f"**/js/{file}.*")
    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_role("textbox", name="Edit your message")).to_have_value("What is new?")


# --- without a socket


@pytest.fixture
def deaf(person, talk, reply, visit):
    """A page that shows the beginning of a reply; its socket never comes up, as behind a proxy that knows none."""
    page = visit(person, "about:blank")
    page.clock.install()
    page.route_web_socket("**/ws/", lambda socket: socket.close())
    reply.next()
    wait_until(lambda: talk.replies[0]["text"] == "Before. ")
    page.goto(address_of(talk))
    expect(text_of(answers(page))).to_have_text("Before.")
    page.clock.run_for(10_000)
    return page


def test_without_a_socket_the_text_grows_all_the_same_and_the_list_says_when_it_ends(deaf, reply):
    running = deaf.locator("#chat-list").get_by_role("img", name="A reply is being written")
    expect(running).to_be_visible()
    reply.next()
    expect(text_of(answers(deaf))).to_have_text("Before. Between.")
    expect_state(answers(deaf), "streaming")
    expect(answers(deaf)).to_contain_text(re.compile(r"the agent is working \(\d+ s\)"))
    reply.rest()
    expect_state(answers(deaf), "done")
    expect(text_of(answers(deaf))).to_have_text("Before. Between. After.")
    expect(running).to_have_count(0)


def test_an_older_picture_of_the_reply_that_comes_late_takes_no_text_away(deaf, reply):
    late = []
    deaf.route("**/messages/", lambda route: late.append((route, route.fetch())), times=1)
    say(deaf, "And then?")
    wait_until(lambda: deaf.wait_for_timeout(50) or late)
    reply.next()
    expect(text_of(answers(deaf))).to_have_text("Before. Between.")
    ((route, answer),) = late
    assert "Before." in answer.text() and "Between." not in answer.text()
    deaf.clock.pause_at(deaf.evaluate("Date.now() + 1000"))  # so that nothing newer mends it
    deaf.locator("#queue").evaluate("queue => queue.dataset.before = ''")
    route.fulfill(response=answer)
    expect(deaf.locator("#queue[data-before]")).to_have_count(0)
    expect(text_of(answers(deaf))).to_have_text("Before. Between.")


def test_while_the_socket_is_up_nothing_else_redraws_the_text(page, reply):
    said, lost = [], []

    def lose_one(socket):
        def hear(frame):
            if "Between" in frame and not lost:
                return lost.append(frame)
            socket.send(frame)
            said.append(frame)

        socket.connect_to_server().on_message(hear)

    page.route_web_socket("**/ws/", lose_one)
    page.reload()
    text = text_of(answers(page)).locator("live-reply")
    expect(text).to_have_text("Before.")
    wait_until(lambda: page.wait_for_timeout(50) or said)
    text.evaluate("text => text.dataset.drawn = 'once'")
    reply.next()
    wait_until(lambda: page.wait_for_timeout(50) or lost)
    with page.expect_response("**/messages/?*") as fetched:
        page.evaluate("document.querySelector('chat-messages').sync()")
    assert "Between." in fetched.value.text()
    expect(text).to_have_text("Before.")
    reply.next()
    expect(text).to_have_text("Before. Between. After.")
    expect(text).to_have_attribute("data-drawn", "once")
    pieces = [frame for frame in said if "After." in frame]
    assert len(pieces) == 2, f"it asked again once: {said}"


def test_a_page_more_than_may_be_open_says_so_and_looks_for_news(app, tmp_path, visit):
    with running_app(copied(app, tmp_path), SOCKETS_PER_USER="1") as small:
        ada = small.server.first_account()
        talk = start_chat(ada)
        talk.reply()
        first = visit(ada, address_of(talk), server=small.server)
        expect(answers(first)).to_have_count(1)
        page = visit(ada, address_of(talk), server=small.server)
        expect(page.get_by_text(LINE)).to_be_visible()
        talk.say("And then?")
        expect(answers(page)).to_have_count(2)
        expect_state(answers(page).last, "done")
