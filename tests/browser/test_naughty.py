"""A thousand chats with the worst names there are, in a real browser: shown to the letter, and none of them acts.

That nothing opens a dialog, breaks the policy, raises an error or asks another host is the watch's to see.
"""

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import running_app
from tests.browser.screen import answers, button, expect_state, items, questions, say, text_of
from tests.browser.test_search import by_keys, dialog, field, hits
from tests.browser.test_sessions_page import rows
from tests.browser.test_switcher import heading, switcher
from tests.naughty import HTML, INVISIBLE, LETTERS, MARKS, TEMPLATES, as_name, names

MANY, IN_A_FILE = 1000, 200
NAMES = names(MANY)
CANDIDATES = [as_name(text) for text in (*HTML, *TEMPLATES, *INVISIBLE, *LETTERS, *MARKS)]
WORST = [name for name in CANDIDATES if name in NAMES and sum(name in other for other in NAMES) < 5][::4]
UNNAMED = "\u05d0\u05d1 (1) <b>x"  # right to left, with a bracket; nobody has it yet


@pytest.fixture(scope="module")
def app(app, tmp_path_factory):
    """On a server of its own, which allows one person a thousand names."""
    data = tmp_path_factory.mktemp("naughty") / "data"
    shutil.copytree(app.server.data / "static", data / "static")
    with running_app(data, SESSION_MAX_PER_USER="0") as app:
        yield app


@pytest.fixture(scope="module")
def person(app):
    """With a thousand chats, which came by files; the first name is the newest."""
    person, now = app.person(), datetime.now(UTC)
    for first in range(0, MANY, IN_A_FILE):
        chats = [as_chat(n, now) for n in range(first, first + IN_A_FILE)]
        file = json.dumps({"format": "openclaw-webchat", "version": 1, "chats": chats})
        answer = person.http.post(
            "/chats/import/",
            files={"file": ("sessions.json", file)},
            headers={"X-CSRFToken": person.http.cookies["csrf"], "Origin": person.server.url},
        )
        assert f"{IN_A_FILE} sessions are imported." in answer.text
    return person


def as_chat(n, now):
    moment = (now - timedelta(minutes=n)).isoformat()
    said = {
        "chosen": True,
        "old_names": [],
        "agent": "main",
        "pinned": False,
        "chapter": 1,
        "draft": "",
        "messages": [],
    }
    times = {"archived_at": None, "created_at": moment, "last_active_at": moment}
    return said | times | {"title": NAMES[n], "persistent": n % 2 == 0}


def is_trouble(message):
    """What is still asked for when a page is left is broken off, and htmx says so twice."""
    return message.type == "error" and not message.text.startswith(("htmx:afterRequest", "htmx:sendAbort"))


@pytest.fixture
def look(person, visit):
    """Opens a page on which nothing may be reported as an error."""
    said = []

    def look(path="/chat/", **options):
        page = visit(person, "about:blank", **options)
        page.on("console", lambda message: is_trouble(message) and said.append(f"{message.text} {message.location}"))
        page.goto(path)
        return page

    yield look
    assert said == []


def test_the_sidebar_shows_all_of_them_to_the_letter_and_each_in_its_line(look):
    page = look()
    wrapper = page.locator(".sidebar__list")
    for shown in range(50, MANY + 1, 50):
        expect(items(page)).to_have_count(shown)
        wrapper.evaluate("list => (list.scrollTop = list.scrollHeight)")
    assert page.locator(".chat-item__title").all_text_contents() == NAMES
    boxes = items(page).evaluate_all(
        """all => all.map((item) => {
             const { left, right, height } = item.getBoundingClientRect();
             const badge = item.querySelector('[data-badge]').getBoundingClientRect().right;
             return [left, right, height, badge].map(Math.round).join();
           })"""
    )
    told = "no name is taller than a line, and none turns its line round"
    assert len(set(boxes[::2])) == len(set(boxes[1::2])) == 1, told  # each second one has a lock
    assert page.evaluate("getComputedStyle(document.body).direction") == "ltr"
    assert page.locator("html").evaluate("html => [html.scrollWidth, html.scrollHeight]") == [1280, 720]


def test_the_sessions_page_shows_them_and_finds_them_by_their_letters(look):
    page = look("/sessions/")
    for number in range(1, 4):
        expect(page.locator(".pages")).to_contain_text(f"{50 * number - 49}–{50 * number} of {MANY}")
        assert rows(page).locator("th bdi").all_text_contents() == NAMES[50 * number - 50 : 50 * number]
        page.get_by_role("link", name="Next").click()
    for name in WORST:
        page.get_by_label("Filter by name or key").fill(name)
        expect(rows(page).get_by_role("link", name=name, exact=True)).to_be_visible()
    assert page.locator("html").evaluate("html => html.scrollWidth") == 1280


def test_the_search_finds_them_and_repeats_what_it_does_not_find(look):
    page = look()
    by_keys(page)
    for name in WORST:
        field(page).fill(name)
        expect(hits(page).locator("bdi").get_by_text(name, exact=True)).to_be_visible()
        field(page).fill(f"nowhere {name}")
        expect(dialog(page).locator(".hits__none")).to_have_text(f"Nothing found for “nowhere {name}”.")


@pytest.mark.parametrize("name", WORST[::3])
def test_the_page_of_one_shows_its_name_everywhere_and_switches(look, name):
    page = look()
    by_keys(page)
    field(page).fill(name)
    hits(page).locator("bdi").get_by_text(name, exact=True).click()
    expect(heading(page)).to_have_text(name)
    expect(page).to_have_title(f"{name} · WebChat")
    button(page, "Session menu").click()
    expect(page.locator("#session-menu").get_by_label("Name")).to_have_value(name)
    page.keyboard.press("Escape")
    button(page, "Switch session").click()
    expect(switcher(page).locator("[aria-current=page]")).to_have_text(name)
    switcher(page).get_by_role("link").nth(1).click()
    expect(heading(page)).to_have_text(NAMES[0])


def test_one_is_made_in_the_dialog_talked_in_and_deleted(look):
    page = look()
    page.get_by_role("link", name="New session…").first.click()
    made = page.get_by_role("dialog", name="New session")
    expect(made.get_by_label("Based on").locator("option").nth(1)).to_have_text(NAMES[0][:59])
    made.get_by_label("Name").fill(UNNAMED)
    button(made, "Create & switch").click()
    expect(heading(page)).to_have_text(UNNAMED)
    for number, text in enumerate((*HTML[:4], *TEMPLATES[:2]), 1):
        say(page, text)
        expect(answers(page)).to_have_count(number)
        expect_state(answers(page).last, "done")
        expect(text_of(questions(page).last)).to_have_text(text)
        expect(text_of(answers(page).last)).to_contain_text(f"You said: {text}")
    assert page.locator("#messages :is(script, img, svg, iframe, base, details:not([class]))").count() == 0
    page.goto("/chat/")
    expect(items(page).first.locator("bdi")).to_have_text(UNNAMED)
    items(page).first.hover()
    items(page).first.get_by_role("button").click()
    page.locator("#item-menu").get_by_role("link", name="Delete…").click()
    expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text(f"Delete “{UNNAMED}”?")
    button(page.get_by_role("dialog"), "Delete").click()
    expect(page.locator(".toast")).to_contain_text(UNNAMED)


@pytest.mark.parametrize("path", ["/chat/", "/sessions/", "/chats/new/"])
def test_axe_finds_nothing(look, path):
    page = look(path, bypass_csp=True, reduced_motion="reduce")
    found = Axe().run(page).response
    assert [(rule["id"], node["target"]) for rule in found["violations"] for node in rule["nodes"]] == []
