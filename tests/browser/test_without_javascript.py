"""Forms and links do everything where no script runs."""

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
    pill,
    questions,
    start_chat,
    stop_button,
    text_of,
)
from tests.server import PASSWORD


@pytest.fixture
def plain(visit):
    """Opens a page in a browser that runs no script."""
    return lambda person, path="/chat/", **options: visit(person, path, java_script_enabled=False, **options)


def send(page, text):
    box(page).fill(text)
    button(page, "Send").click()


def test_signing_in_asking_reading_and_signing_out(app, person, plain):
    sql = "select username from sessions_core_user order by id desc"
    name = app.server.rows(sql)[0]["username"]
    page = plain(None, server=app.server)
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill("wrong")
    button(page, "Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("correct username and password")
    page.get_by_label("Password").fill(PASSWORD)
    button(page, "Sign in").click()
    expect(page.get_by_role("heading", name="What shall we do?")).to_be_visible()
    send(page, "Hello")
    expect(text_of(questions(page))).to_have_text("Hello")
    expect(pill(page)).to_contain_text("Session: webchat-")
    until_read(page, "You said: Hello")
    button(page, "Sign out").click()
    expect(button(page, "Sign in")).to_be_visible()
    page.goto("/chat/")
    expect(button(page, "Sign in")).to_be_visible()


def until_read(page, text):
    """Reload, as the page says, until the answer is there."""
    for _ in range(100):
        if text in (text_of(answers(page).last).text_content() or ""):
            return
        page.get_by_role("link", name="reload the page").click()
    raise AssertionError(f"{text!r} did not come")


def test_a_named_session_is_made_on_a_page_of_its_own_and_one_can_switch(person, plain):
    talk = start_chat(person)
    page = plain(person)
    page.get_by_role("link", name="New session…").click()
    page.get_by_label("Name").fill("main")
    button(page, "Create & switch").click()
    expect(page.get_by_role("alert")).to_contain_text("is reserved")
    expect(page.get_by_label("Name")).to_have_value("main")
    page.get_by_label("Name").fill("Work")
    button(page, "Create & switch").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Work")
    expect(items(page).locator("[data-badge=persistent]")).to_have_count(1)
    work = page.url
    items(page).filter(has_text="What is new?").get_by_role("link").click()
    expect(page).to_have_url(at(talk))
    page.go_back()
    expect(page).to_have_url(work)


def test_stopping_and_asking_again(person, gateway, plain, held):
    talk = start_chat(person, gateway, reply := held("Half", " and half"))
    reply.next()
    page = plain(person, address_of(talk))
    until_read(page, "Half")
    stop_button(page).click()
    until_state(page, "stopped")
    expect(text_of(answers(page))).to_have_text("Half")
    button(answers(page), "Ask again (may repeat actions)").click()
    until_read(page, "You said: What is new?")


def until_state(page, state):
    for _ in range(100):
        if answers(page).last.get_attribute("data-state") == state:
            return
        page.reload()
    raise AssertionError(f"the reply did not become {state}")


def test_waiting_messages_show_and_can_be_cancelled(person, gateway, plain, held):
    talk = start_chat(person, gateway, held("Half"))
    page = plain(person, address_of(talk))
    send(page, "And then?")
    expect(page.locator(".queue__item")).to_contain_text("And then?")
    expect(page).to_have_url(at(talk))
    button(page.locator(".queue__item"), "Cancel").click()
    expect(page.locator(".queue__item")).to_have_count(0)


def test_what_is_in_the_box_stays_whatever_is_done_with_those_that_wait(person, gateway, plain, held):
    talk = start_chat(person, gateway, held("Half"))
    page = plain(person, address_of(talk))
    send(page, "First")
    send(page, "Second")
    box(page).fill("Being typed")
    button(page.locator(".queue__item", has_text="First"), "Cancel").click()
    expect(page.locator(".queue__item")).to_have_count(1)
    expect(box(page)).to_have_value("Being typed")
    button(page.locator(".queue__item", has_text="Second"), "Edit").click()
    expect(page.locator(".queue__item")).to_have_count(0)
    expect(box(page)).to_have_value("Second\nBeing typed")
    expect(questions(page)).to_have_count(1)
    send(page, "In other words")
    expect(page.locator(".queue__item")).to_contain_text("In other words")
    expect(box(page)).to_have_value("")


def test_stopping_keeps_what_is_in_the_box(person, gateway, plain, held):
    talk = start_chat(person, gateway, reply := held("Half", " and half"))
    reply.next()
    page = plain(person, address_of(talk))
    box(page).fill("What I was about to say")
    stop_button(page).click()
    until_state(page, "stopped")
    expect(box(page)).to_have_value("What I was about to say")
    expect(questions(page)).to_have_count(1)
    send(page, "What I say instead")
    expect(text_of(questions(page).last)).to_have_text("What I say instead")
    expect(box(page)).to_have_value("")


def test_refused_text_is_given_back_with_the_reason(person, plain):
    talk = start_chat(person)
    talk.reply()
    page = plain(person, address_of(talk))
    send(page, "x" * 100_001)
    expect(page.get_by_role("alert")).to_contain_text("100,000 is the most")
    expect(box(page)).to_have_value("x" * 100_001)
    send(page, "Short")
    expect(text_of(questions(page))).to_have_text(["What is new?", "Short"])
    until_read(page, "You said: Short")
    expect_state(answers(page).last, re.compile("streaming|done"))
