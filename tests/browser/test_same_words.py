"""A persistent session is reset through no door, and every door says so in the same words."""

import json
import subprocess
import sys

import httpx2
from playwright.sync_api import expect

from tests.browser.screen import address_of, answers, expect_state, say, text_of
from tests.browser.test_session_menu import choose
from tests.server import ROOT, own_environment

WORDS = "This is a persistent session “{}”. Use /session delete to clear it, or switch to another session."


def refusals(page, server, key):
    """What each door answers to a reset of the session that the page shows; the key is its reference everywhere."""
    notices = page.locator("#messages > [data-role=notice]")
    said = {}
    for number, (door, reset) in enumerate({"menu": by_menu, "slash": by_slash}.items(), notices.count() + 1):
        reset(page)
        expect(notices).to_have_count(number)
        said[door] = text_of(notices.last).text_content()
    return said | {"API": by_api(page, server, key), "command line": by_command_line(server, key)}


def by_menu(page):
    choose(page, "Start a new chapter")


def by_slash(page):
    say(page, "/new")


def by_api(page, server, key):
    answer = httpx2.post(
        f"{server.url}/api/sessions/{key}/reset",
        headers={"Authorization": f"Bearer {new_token(page)}"},
        trust_env=False,
        timeout=30,
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "protected")
    return answer.json()["error"]["message"]


def new_token(page):
    """As a person makes one; the page that is open stays."""
    account = page.context.new_page()
    account.goto("/account/")
    account.get_by_label("Name").fill("a program")
    account.get_by_role("button", name="Make a token").click()
    secret = account.locator(".secret code").text_content()
    account.close()
    return secret


def by_command_line(server, key):
    done = subprocess.run(
        [sys.executable, "manage.py", "sessions", "reset", key],
        cwd=ROOT,
        env=own_environment(WEBCHAT_DATA=str(server.data), **server.env),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.strip().removeprefix("CommandError: ")


def test_every_door_refuses_in_the_same_words_and_nothing_is_forgotten(person, visit):
    talk = person.chat("remember the train at 7:42")
    talk.reply()
    talk.do("rename", title="Täglich <b>&")
    talk.do("persist", on="1")
    page = visit(person, address_of(talk))
    said = refusals(page, person.server, talk.key)
    assert said == dict.fromkeys(said, WORDS.format("Täglich <b>&")), json.dumps(said, indent=1, ensure_ascii=False)
    say(page, "recall")
    expect(answers(page)).to_have_count(2)
    expect_state(answers(page).last, "done")
    expect(text_of(answers(page).last)).to_have_text("You told me: the train at 7:42.")
    expect(page.locator(".chapter")).to_have_count(0)
