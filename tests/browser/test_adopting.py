"""A session that others made on the gateway becomes a chat, goes on there, and is reset there."""

import pytest
from playwright.sync_api import expect

from tests.browser.screen import answers, button, pill, questions, say, text_of
from tests.browser.test_switcher import heading

TELEGRAM = "agent:main:telegram:direct:1"


@pytest.fixture
def gateway(own_app):
    sessions = own_app.gateway.sessions
    sessions.add(TELEGRAM, channel="telegram", derivedTitle="What is the <i>weather</i>")
    sessions.told[TELEGRAM] = [("user", "What is the weather?"), ("assistant", "Fine.")]
    return own_app.gateway


@pytest.fixture
def admin(own_app, gateway):
    own_app.person()  # makes the administrator, who has every right
    return own_app.admin


@pytest.fixture
def page(admin, visit):
    return visit(admin, "/sessions/")


def adopt(page):
    page.get_by_role("link", name="From the gateway…").click()
    page.get_by_role("checkbox", name="Choose What is the").check()
    button(page, "Make them sessions of mine").click()


def test_one_is_found_chosen_and_talked_on_in(page, gateway):
    page.get_by_role("link", name="From the gateway…").click()
    search = page.get_by_role("searchbox", name="Search by name or key")
    search.fill("signal")
    search.press("Enter")
    expect(page.locator("main")).to_contain_text("no other session with these words")
    page.go_back()
    expect(page.locator("main")).to_contain_text("What is the <i>weather</i>")
    page.get_by_role("checkbox", name="Choose What is the").check()
    button(page, "Make them sessions of mine").click()
    expect(heading(page)).to_have_text("What is the <i>weather</i>")
    expect(pill(page)).to_have_text(f"Session: {TELEGRAM}")
    expect(text_of(questions(page))).to_have_text("What is the weather?")
    expect(answers(page)).to_contain_text("from Telegram")
    say(page, "remember the umbrella")
    expect(text_of(answers(page).last)).to_have_text("I will remember the umbrella.")
    assert gateway.requests[-1].headers["x-openclaw-session-key"] == TELEGRAM
    page.goto("/sessions/adopt/")
    expect(page.locator("main")).to_contain_text("no session that is not somebody’s chat already")


def test_it_is_reset_there_after_a_question_that_can_be_declined(page, gateway):
    adopt(page)
    say(page, "remember the umbrella")
    expect(answers(page)).to_have_count(2)
    for choice in ("Cancel", "Reset on the gateway"):
        button(page, "Session menu").click()
        button(page, "Start a new chapter").click()
        dialog = page.get_by_role("dialog", name="Reset the session on the gateway?")
        expect(dialog).to_be_visible()
        assert not [call for call in gateway.tool_calls if call["args"].get("action") == "reset"]
        dialog.get_by_role("link" if choice == "Cancel" else "button", name=choice).click()
        expect(dialog).to_be_hidden()
    expect(page.locator("#messages > [data-role=notice]")).to_contain_text("reset")
    say(page, "recall")
    expect(text_of(answers(page).last)).to_have_text("You told me: nothing.")
    assert len([call for call in gateway.tool_calls if call["args"].get("action") == "reset"]) == 1


def test_who_has_not_the_right_is_not_offered_it(own_app, gateway, visit):
    page = visit(own_app.person(), "/sessions/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("link", name="From the gateway…")).to_have_count(0)
    assert page.goto("/sessions/adopt/").status == 404


def test_without_javascript_it_works_too(admin, gateway, visit):
    page = visit(admin, "/sessions/", java_script_enabled=False)
    adopt(page)
    expect(heading(page)).to_have_text("What is the <i>weather</i>")


def test_a_gateway_that_is_gone_is_named_and_nothing_is_lost(page, gateway):
    page.get_by_role("link", name="From the gateway…").click()
    page.get_by_role("checkbox", name="Choose What is the").check()
    gateway.stop()
    button(page, "Make them sessions of mine").click()
    expect(page.locator("main")).to_contain_text("gateway")
    page.goto("/sessions/adopt/")
    expect(page.get_by_role("alert")).to_contain_text("gateway")
