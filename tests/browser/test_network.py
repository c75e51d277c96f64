"""The way between a browser and the app breaks, in each of the ways networks have."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import copied, running_app
from tests.browser.screen import address_of, answers, expect_state, start_chat, text_of
from tests.chaos_proxy import ChaosProxy

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


def test_what_could_not_be_fetched_once_is_fetched_later(page, reply):
    page.clock.resume()
    page.route("**/messages/?*", lambda route: route.fulfill(status=503), times=2)
    reply.rest()
    expect_state(answers(page), "done")


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
