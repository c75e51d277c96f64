"""The database is locked, restarted, cut off at the worst moment or fails now and then: nothing is lost or doubled."""

import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests import postgres
from tests.fake_gateway import answer, words
from tests.faults.conftest import new_database
from tests.server import wait_until
from tests.viewer import Viewer, staying

TEXT = words("seed", 300)
LOCK = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("begin immediate")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
database.execute("rollback")
"""


def begun(chat):
    return wait_until(lambda: chat.replies and chat.replies[0]["text"], 30)


def test_a_database_that_another_program_locks_is_waited_for(server, gateway):
    """Longer than SQLite waits by itself, so what is written then fails and is written again."""
    ada = server.first_account()
    gateway.script(None, answer(TEXT, pace=0.02))
    chats = [ada.chat(f"Question {n}") for n in range(3)]
    viewers = [Viewer(chat) for chat in chats]
    with staying(*viewers):
        for chat in chats:
            begun(chat)
        command = [sys.executable, "-c", LOCK, str(server.data / "webchat.sqlite3"), "12"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as locker:
            assert locker.stdout.readline() == b"locked\n"
            before = [chat.replies[0]["text"] for chat in chats]
            time.sleep(1)
            assert [chat.replies[0]["text"] for chat in chats] == before, "nobody writes"
            chats[0].insist("Said while it was locked")
        for chat in chats:
            assert chat.reply() == TEXT
        assert chats[0].reply(2)
        for chat, viewer in zip(chats, viewers, strict=True):
            wait_until(lambda chat=chat, viewer=viewer: chat.replies[-1]["id"] in viewer.final)


@pytest.fixture
def own_postgres():
    with postgres.running() as running:
        yield running


def test_no_page_meets_a_connection_that_died_with_postgresql(make_cluster, own_postgres, redis):
    """While nobody used it: the first page after a restart is a page as any other."""
    cluster = make_cluster(DATABASE_URL=new_database(own_postgres.url), REDIS_URL=redis.url)
    ada = cluster.pages().first_account()
    with ThreadPoolExecutor(12) as people:
        crowd = list(people.map(lambda _: ada.http.get("/").status_code, range(60)))
        own_postgres.stop()
        own_postgres.start()
        after = list(people.map(lambda _: ada.http.get("/").status_code, range(60)))
    assert set(crowd) == {200} and set(after) == {200}


def test_postgresql_restarts_in_the_middle_of_a_reply(make_cluster, own_postgres, redis, gateway):
    cluster = make_cluster(DATABASE_URL=new_database(own_postgres.url), REDIS_URL=redis.url)
    cluster.database = cluster.env["DATABASE_URL"]
    pages, _ = cluster.pages(), cluster.relay()
    ada = pages.first_account()
    gateway.script(None, answer(TEXT, pace=0.02))
    chats = [ada.chat(f"Question {n}") for n in range(3)]
    viewers = [Viewer(chat) for chat in chats]
    with staying(*viewers):
        for chat in chats:
            begun(chat)
        own_postgres.stop()
        time.sleep(1)
        own_postgres.start()
        chats[0].insist("Said as soon as it was back")
        for chat in chats:
            assert chat.reply() == TEXT
        assert chats[0].reply(2) == TEXT
        for chat, viewer in zip(chats, viewers, strict=True):
            wait_until(lambda chat=chat, viewer=viewer: chat.replies[-1]["id"] in viewer.final)
    assert len(gateway.requests) == 4


OUTAGE = 17  # seconds: a pool that waits twice as long from attempt to attempt next tries at about 31
SOON = 10  # seconds


def test_the_end_of_a_long_outage_is_noticed_soon(make_cluster, own_postgres, redis, gateway):
    """And while it lasts, whoever asks is told so soon."""
    cluster = make_cluster(DATABASE_URL=new_database(own_postgres.url), REDIS_URL=redis.url)
    cluster.database = cluster.env["DATABASE_URL"]
    pages, _ = cluster.pages(), cluster.relay()
    ada = pages.first_account()
    chat = ada.chat("Before")
    assert chat.reply()
    own_postgres.stop()
    away_until = time.monotonic() + OUTAGE
    for _ in range(2):
        page, ready = ada.get("/chat/", accept="text/html"), httpx2.get(f"{pages.url}/readyz", timeout=30)
        assert (page.status_code, ready.status_code) == (503, 503) and "Try again in a moment" in page.text
        assert page.elapsed.total_seconds() < 8 and ready.elapsed.total_seconds() < 8
    time.sleep(max(0, away_until - time.monotonic()))
    own_postgres.start()
    wait_until(lambda: httpx2.get(f"{pages.url}/readyz", timeout=30).is_success, SOON)
    chat.insist("After", 15)
    assert chat.reply(2, timeout=15)


def test_commits_whose_answer_is_lost_are_neither_lost_nor_doubled(make_cluster, database, proxied, redis, gateway):
    """The connection breaks after COMMIT was sent: nobody knows whether it was done."""
    proxy = proxied(database)
    cluster = make_cluster(DATABASE_URL=proxy.url, REDIS_URL=redis.url)
    pages, _ = cluster.pages(), cluster.relay()
    ada = pages.first_account()
    text = words("seed", 100)
    gateway.script(None, answer(text, pace=0.02))
    chance, lost = random.Random(1), []

    def some_commits(sent):
        unlucky = b"COMMIT" in sent and chance.random() < 0.2
        lost.extend([sent] * unlucky)
        return unlucky

    chat = ada.chat("First")
    viewer = Viewer(chat)
    with staying(viewer):
        begun(chat)
        proxy.loses_answer_to = some_commits
        chat.insist("Second")
        for n in range(3):
            ada.chat(f"Aside {n}") if n == 0 else chat.insist(f"Line {n}")
        assert chat.reply(1) == chat.reply(2) == text
        proxy.loses_answer_to = None
        assert chat.reply(4) == text
    assert len(lost) > 10, "or nothing was tested"


@pytest.mark.parametrize("kind", ["SQLite", "PostgreSQL"])
def test_one_in_twenty_transactions_fails(make_server, request, gateway, kind):
    env = {"DATABASE_URL": request.getfixturevalue("database")} if kind == "PostgreSQL" else {}
    server = make_server(**env).start()
    ada = server.first_account()
    server.stop()
    server.faults = ("sick:1:0.05",)
    server.start()
    gateway.script(None, answer(words("seed", 40), pace=0.02))
    chats = [first_said(ada, f"Question {n}") for n in range(8)]
    viewers = [Viewer(chat) for chat in chats]
    with staying(*viewers):
        for n in range(2):
            for chat in chats:
                chat.insist(f"And then {n}?")
        for chat in chats:
            wait_until(lambda chat=chat: ended(chat, 3), 90, lambda chat=chat: f"{chat.replies}")


def first_said(person, text):
    from tests.server import Talk

    talk = Talk(person)
    wait_until(lambda: talk.send("/chats/", text, id=talk.pk).is_success, 30)
    return talk


def ended(chat, count):
    return [reply["state"] for reply in chat.replies] == ["done"] * count
