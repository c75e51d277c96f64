"""A backup while replies run, put back somewhere else: nothing that was acknowledged before it is missing."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fake_gateway import answer, words
from tests.faults.conftest import new_database
from tests.invariants import check_invariants
from tests.server import ROOT, Process, Server, own_environment, wait_until

CHATS = 12


def manage(*command: object, data: Path, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "manage.py", *map(str, command)],
        cwd=ROOT,
        env=own_environment(WEBCHAT_DATA=str(data)) | env,
        capture_output=True,
        text=True,
    )


def done(*command: object, data: Path, **env: str) -> str:
    finished = manage(*command, data=data, **env)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def backup_of(folder: Path) -> Path:
    (file,) = (path for path in folder.iterdir() if path.suffix in (".sqlite3", ".pgdump"))
    return file


@pytest.fixture
def elsewhere(tmp_path: Path, gateway) -> Iterator[Callable[..., Server]]:
    """A server on another data folder, which answers for the same people."""
    made: list[Server] = []

    def start(data: Path, **env: str) -> Server:
        env = {"OPENCLAW_GATEWAY_URL": gateway.url, "OPENCLAW_GATEWAY_TOKEN": gateway.token} | env
        made.append(Server(data, **env).start())
        return made[-1]

    yield start
    for server in made:
        server.end()


def talk_in_many(server: Server, gateway) -> list:
    """Every chat has an ended reply, and one that is being written."""
    ada = server.first_account()
    chats = [ada.chat(f"First {n}") for n in range(CHATS)]
    for chat in chats:
        chat.reply()
    gateway.script(None, answer(words("seed", 5000), pace=0.02))
    for n, chat in enumerate(chats):
        assert chat.say(f"Second {n}").status_code == 200
    for chat in chats:
        wait_until(lambda chat=chat: len(chat.replies) == 2 and chat.replies[1]["text"])
    return chats


def check_restored(there: Process, chats: list, texts: dict) -> None:
    said = there.rows("select text from sessions_core_message where role = 'user' order by id")
    assert {row["text"] for row in said} == {f"{which} {n}" for which in ("First", "Second") for n in range(CHATS)}
    replies = "select id, state, text from sessions_core_message where role = 'assistant' order by id"
    wait_until(lambda: {row["state"] for row in there.rows(replies)} == {"done", "interrupted"}, 30)
    rows = there.rows(replies)
    assert [row["state"] for row in rows].count("interrupted") == CHATS
    for row in rows:
        assert row["text"].startswith(texts[row["id"]]), "less than a page had shown before the backup"
    check_invariants(there, None)


def seen(chats: list) -> dict[int, str]:
    return {reply["id"]: reply["text"] for chat in chats for reply in chat.replies}


def test_a_backup_during_replies_restored_elsewhere_has_all_that_was_acknowledged(server, gateway, tmp_path, elsewhere):
    chats = talk_in_many(server, gateway)
    texts = seen(chats)
    done("backup", tmp_path / "backups", data=server.data)
    file = backup_of(tmp_path / "backups")
    told = done("restore", file, "--check", data=server.data)
    assert f"1 accounts, {CHATS} chats, {4 * CHATS} messages, {CHATS} of them replies being written" in told
    for chat in chats:
        assert chat.replies[1]["state"] == "streaming"  # nobody was disturbed
    refused = manage("restore", file, "--yes", data=server.data)
    assert refused.returncode and "The app is running" in refused.stderr and not refused.stdout

    new = tmp_path / "new"
    done("restore", file, data=new)
    there = elsewhere(new)
    check_restored(there, chats, texts)
    ada = type(chats[0].person)(there)  # the secret key came along: who was signed in still is
    for cookie in chats[0].person.http.cookies.jar:
        ada.http.cookies.set(cookie.name, cookie.value, domain="127.0.0.1")
    page = ada.get(f"/chat/?session={chats[0].key}")
    assert "Second 0" in page.text and "what arrived is kept" in page.text


def test_the_same_on_postgresql(cluster, gateway, database, database_server, tmp_path, elsewhere):
    here = cluster.serve()
    chats = talk_in_many(here, gateway)
    texts = seen(chats)
    old = {"data": here.data, "DATABASE_URL": database}
    done("backup", tmp_path / "backups", **old)
    file = backup_of(tmp_path / "backups")
    assert f"{CHATS} of them replies being written" in done("restore", file, "--check", **old)
    refused = manage("restore", file, "--yes", **old)
    assert refused.returncode and "The app is running" in refused.stderr

    new = {"data": tmp_path / "new", "DATABASE_URL": new_database(database_server)}
    done("restore", file, **new)
    there = elsewhere(new["data"], DATABASE_URL=new["DATABASE_URL"])
    check_restored(there, chats, texts)


def test_a_restore_that_is_killed_leaves_one_database_or_the_other(data, gateway, tmp_path, elsewhere):
    server = elsewhere(data)
    ada = server.first_account()
    ada.chat("Before").reply()
    done("backup", tmp_path / "backups", data=data)
    ada.chat("After").reply()
    server.stop()
    command = [sys.executable, "manage.py", "restore", str(backup_of(tmp_path / "backups")), "--yes"]
    for moment in (0.6, 0.9, 1.2, 1.5):
        restoring = subprocess.Popen(command, cwd=ROOT, env=own_environment(WEBCHAT_DATA=str(data)))
        time.sleep(moment)
        restoring.kill()
        restoring.wait()
        texts = {row["text"] for row in server.rows("select text from sessions_core_message where role = 'user'")}
        assert texts in ({"Before", "After"}, {"Before"})
        assert server.rows("pragma integrity_check") == [{"integrity_check": "ok"}]


def test_an_older_backup_is_brought_up_to_date_by_the_next_start(tmp_path, elsewhere):
    old, new = tmp_path / "old", tmp_path / "new"
    done("migrate", "sessions_core", "0004", data=old)
    done("migrate", "sessions", data=old)
    done("backup", tmp_path / "backups", data=old)
    done("restore", backup_of(tmp_path / "backups"), data=new)
    there = elsewhere(new)
    ada = there.first_account()
    ada.chat("Still there?").reply()
