"""A real browser, the real app and the real gateway: what each session remembers, and what it does not.

The provider answers from what it was sent, so `what do you remember?` tells which memory the gateway gave it.
"""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import base_url, browser_type_launch_args, visit, watch  # noqa: F401
from tests.browser.screen import answers, box, button, pill, say, text_of
from tests.browser.test_same_words import WORDS, refusals
from tests.browser.test_session_menu import choose
from tests.browser.test_switcher import heading, switch_to, switcher
from tests.server import Server

from .test_app import RECALL

A_TURN = 120_000  # ms; the first of a session takes the gateway longest
NOTHING = "Facts: none. I saw 1 user and 0 assistant turns."


@pytest.fixture(scope="module")
def server(openclaw, tmp_path_factory):
    server = Server(
        tmp_path_factory.mktemp("browser") / "data",
        OPENCLAW_GATEWAY_URL=openclaw.url,
        OPENCLAW_GATEWAY_TOKEN=openclaw.token,
    )
    try:
        yield server.start()
    finally:
        server.end()


@pytest.fixture(scope="module")
def ada(server):
    """The first account: an administrator, who may use the main session."""
    return server.first_account()


@pytest.fixture
def page(ada, visit):  # noqa: F811
    return visit(ada)


def create(page, name, *, persistent=True):
    button(page, "Switch session").click()
    switcher(page).get_by_role("link", name="New session…").click()
    dialog = page.get_by_role("dialog", name="New session")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_label("Make persistent").set_checked(persistent)
    button(dialog, "Create & switch").click()
    expect(heading(page)).to_have_text(name)
    expect(box(page)).to_be_focused()
    return key_of(page)


def key_of(page):
    return pill(page).text_content().removeprefix("Session: ")


def ask(page, text):
    """Say it, and the whole answer."""
    before = answers(page).count()
    say(page, text)
    return heard(page, before + 1)


def heard(page, number):
    expect(answers(page)).to_have_count(number, timeout=A_TURN)
    expect(answers(page).last).to_have_attribute("data-state", "done", timeout=A_TURN)
    return text_of(answers(page).last).text_content().strip()


def test_sessions_made_talked_to_and_switched_between_remember_their_own(page):
    create(page, "Train")
    assert ask(page, "remember: train at 7:42") == "Noted: train at 7:42."
    create(page, "Plane")
    assert ask(page, "remember: plane at 9:15") == "Noted: plane at 9:15."
    for name, fact in (("Train", "train at 7:42"), ("Plane", "plane at 9:15")):
        switch_to(page, name)
        expect(heading(page)).to_have_text(name)
        expect(text_of(answers(page))).to_have_text(f"Noted: {fact}.")
        assert ask(page, RECALL) == f"Facts: {fact}. I saw 2 user and 1 assistant turns."


def test_two_tabs_hold_two_sessions_that_answer_at_once_and_never_mix(page, provider):
    other = page.context.new_page()
    other.goto("/chat/")
    tabs = {"amber": page, "basin": other}
    keys = {word: create(tab, f"Tab of {word}") for word, tab in tabs.items()}
    for round_, text in enumerate(("remember: {}", RECALL), 1):
        for word, tab in tabs.items():
            say(tab, text.format(word))
        told = {word: heard(tab, round_) for word, tab in tabs.items()}
    assert told == {word: f"Facts: {word}. I saw 2 user and 1 assistant turns." for word in tabs}
    for word, tab in tabs.items():
        expect(heading(tab)).to_have_text(f"Tab of {word}")
        expect(pill(tab)).to_have_text(f"Session: {keys[word]}")
        assert [request.facts for request in provider.requests_of(keys[word])] == [[word], [word]]


def test_a_reset_forgets_undo_remembers_and_the_old_chapter_stays_to_read(page, provider):
    key = create(page, "Cedar", persistent=False)
    ask(page, "remember: cedar")
    choose(page, "Start a new chapter")
    expect(page.locator(".chapter summary")).to_contain_text("Earlier conversation · 2 messages")
    button(page.locator("#new-chapter"), "Undo").click()
    expect(page.locator(".chapter")).to_have_count(0)
    assert ask(page, RECALL) == "Facts: cedar. I saw 2 user and 1 assistant turns."
    choose(page, "Start a new chapter")
    expect(page.locator(".chapter summary")).to_contain_text("Earlier conversation · 4 messages")
    assert ask(page, RECALL) == NOTHING
    page.reload()
    old = page.locator(".chapter").get_by_text("Noted: cedar.")
    expect(old).to_be_hidden()
    page.locator(".chapter summary").click()
    expect(old).to_be_visible()
    assert [request.facts for request in provider.requests_of(f"{key}-c2")] == [[]]


def test_a_fork_tells_the_gateway_once_what_it_goes_on_from(page, provider):
    source = create(page, "Delta")
    ask(page, "remember: delta")
    choose(page, "Fork")
    expect(page.get_by_text("This goes on from “Delta”.")).to_be_visible()
    fork = key_of(page)
    assert fork != source
    assert "Facts: delta." in ask(page, RECALL)
    assert ask(page, "remember: egret") == "Noted: egret."
    first, second = provider.requests_of(fork)
    assert "remember: delta" in first.user_texts[-1] and "Noted: delta." in first.user_texts[-1]
    assert "remember: delta" not in second.user_texts[-1], "the gateway knows it by now"
    assert second.facts == ["delta", "egret"], "and has it once"
    page.goto(f"/chat/?session={source}")
    assert ask(page, RECALL) == "Facts: delta. I saw 2 user and 1 assistant turns."


def test_the_main_session_is_reset_for_everybody_after_asking(page):
    button(page, "Switch session").click()
    switcher(page).get_by_role("link", name="New session…").click()
    button(page, "Open the agent’s main session").click()
    expect(pill(page)).to_have_text("Session: main")
    ask(page, "remember: ember")
    assert "ember" in ask(page, RECALL)
    choose(page, "Reset for everybody…")
    button(page.get_by_role("dialog"), "Reset for everybody").click()
    expect(page.locator("#messages > [data-role=notice]")).to_contain_text("The agent's main session was reset")
    assert ask(page, RECALL) == NOTHING


def test_a_persistent_session_is_refused_by_every_door_and_remembers(page, server):
    key = create(page, "Fjord")
    ask(page, "remember: fjord")
    said = refusals(page, server, key)
    assert said == dict.fromkeys(("menu", "slash", "API", "command line"), WORDS.format("Fjord"))
    assert ask(page, RECALL) == "Facts: fjord. I saw 2 user and 1 assistant turns."
