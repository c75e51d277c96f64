"""Each invariant complains when it is broken, and only then: the checks of the fault tests, checked."""

import sqlite3
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.fake_gateway import PATH, Request
from tests.invariants import INVARIANTS, Broken, check_invariants
from tests.watcher import STANDING, Watcher

CHAT = uuid.UUID(int=1)
KEY = f"webchat-{CHAT}"
ASKED = uuid.UUID(int=2)
TABLES = """
    create table sessions_core_chat (
        id, openclaw_session_key, rev, title, pinned, persistent, chapter, archived_at, deleted_at
    );
    create table sessions_core_message (
        id, chat_id, seq, role, state, text, parent_id, key_number, client_id, lease_until
    );
    create table sessions_core_delta (message_id, seq, text);
    create index one_running_reply on sessions_core_message (chat_id);
"""


class Rows:
    """A database as a test leaves it: a chat with one question and its answer."""

    def __init__(self):
        self.database, self.people, self.relays = "", [], True
        self.sqlite = sqlite3.connect(":memory:", check_same_thread=False)
        self.sqlite.row_factory = sqlite3.Row
        self.sqlite.executescript(TABLES)
        self.add("chat", CHAT.hex, KEY, 3, "Hello", 0, 0, 1, None, None)
        self.add("message", 1, CHAT.hex, 1, "user", "sent", "Hello", None, 1, ASKED.hex, None)
        self.add("message", 2, CHAT.hex, 2, "assistant", "done", "Hello you", 1, 1, None, None)

    def add(self, table, *values):
        self.change(f"insert into sessions_core_{table} values ({', '.join('?' * len(values))})", *values)

    def change(self, sql, *values):
        self.sqlite.execute(sql, values)

    def rows(self, sql, *values):
        return [dict(row) for row in self.sqlite.execute(sql, values)]


class Log:
    def __init__(self):
        self.requests = []
        self.called("Hello", "Hello you")

    def called(self, message, sent, code=200, **more):
        body = {"model": f"openclaw:{KEY}", "messages": [{"role": "user", "content": message}]}
        request = Request("POST", PATH, {"x-openclaw-session-key": f"agent:main:{KEY}"}, body, code=code, sent=sent)
        self.requests.append(request)


class Page:
    def __init__(self, shown=None, final=None):
        self.shown, self.final = shown or {}, final or {}


@pytest.fixture
def rows():
    return Rows()


@pytest.fixture
def log():
    return Log()


def running(rows, lease=timedelta(seconds=8), pk=2):
    until = (datetime.now(UTC) + lease).replace(tzinfo=None).isoformat(" ")
    rows.change(
        "update sessions_core_message set state = 'streaming', text = '', lease_until = ? where id = ?", until, pk
    )


def complains(about, rows, log, **more):
    with pytest.raises(Broken, match=f"^{about}: "):
        check_invariants(rows, log, **more)


def test_what_is_well_is_well(rows, log):
    check_invariants(rows, log, viewers=[Page({2: "Hello"}, {2: "Hello you"})], accepted=[(CHAT, ASKED, "Hello")])


def test_what_is_being_written_is_well(rows, log):
    running(rows)
    rows.add("delta", 2, 1, "Hel")
    check_invariants(rows, log, viewers=[Page({2: "He"})])


def test_i1_a_message_that_is_gone(rows, log):
    complains("I1", rows, log, accepted=[(CHAT, uuid.UUID(int=9), "Lost")])


def test_i1_a_message_that_is_there_twice(rows, log):
    rows.add("message", 3, CHAT.hex, 3, "user", "sent", "Hello", None, 1, ASKED.hex, None)
    complains("I1", rows, log, accepted=[(CHAT, ASKED, "Hello")])


def test_i1_a_message_with_another_text(rows, log):
    complains("I1", rows, log, accepted=[(CHAT, ASKED, "Hello there")])


def test_i2_two_replies_at_once(rows, log):
    running(rows)
    rows.add("message", 3, CHAT.hex, 3, "assistant", "waiting", "", 1, 1, None, None)
    complains("I2", rows, log)


def test_i2_the_index_is_gone(rows, log):
    rows.change("drop index one_running_reply")
    complains("I2", rows, log)


def test_i3_a_second_call_for_one_reply(rows, log):
    log.called("Hello", "")
    complains("I3", rows, log)


def test_i3_a_call_for_a_message_that_was_never_said(rows, log):
    log.called("Something else", "")
    complains("I3", rows, log)


def test_i3_a_call_that_the_gateway_refused_may_be_made_again(rows, log):
    log.called("Hello", "", code=503)
    check_invariants(rows, log)


def test_i4_a_page_shows_what_is_not_stored(rows, log):
    complains("I4", rows, log, viewers=[Page({2: "Hello me"})])
    complains("I4", rows, log, viewers=[Page({2: "Hello you and"})])


def test_i4_a_page_ends_with_less(rows, log):
    complains("I4", rows, log, viewers=[Page({}, {2: "Hello"})])


@pytest.mark.parametrize(
    ("state", "text"),
    [("done", "Hello"), ("done", "Hello you!"), ("interrupted", "Hallo"), ("stopped", "Hello you too")],
)
def test_i5_another_text_than_was_sent(rows, log, state, text):
    rows.change("update sessions_core_message set state = ?, text = ? where id = 2", state, text)
    complains("I5", rows, log)


def test_i5_a_text_that_nobody_sent(rows, log):
    log.requests.clear()
    complains("I5", rows, log)


def test_i5_a_cut_reply_has_the_beginning(rows, log):
    rows.change("update sessions_core_message set state = 'interrupted', text = 'Hello' where id = 2")
    check_invariants(rows, log)


def test_i5_two_answers_to_one_question_are_told_apart(rows, log):
    rows.change("update sessions_core_message set state = 'interrupted', text = 'Hello' where id = 2")
    rows.add("message", 3, CHAT.hex, 3, "assistant", "done", "Good day", 1, 1, None, None)
    log.called("Hello", "Good day")
    check_invariants(rows, log)


def test_i6_a_piece_that_was_left_behind(rows, log):
    rows.add("delta", 2, 1, "Hello")
    rows.change("update sessions_core_message set text = ' you' where id = 2")
    complains("I6", rows, None)


def test_i7_a_lease_that_nobody_looks_after(rows, log):
    running(rows, lease=-timedelta(seconds=6))
    complains("I7", rows, log)
    rows.relays = False
    check_invariants(rows, log)


def test_i8_a_hole_in_the_conversation(rows, log):
    rows.change("update sessions_core_message set seq = 3 where id = 2")
    complains("I8", rows, log)


def test_i8_a_hole_in_a_reply(rows, log):
    running(rows)
    rows.add("delta", 2, 2, "Hello")
    complains("I8", rows, log)


class TestWatched:
    @pytest.fixture
    def look(self, rows):
        watcher = Watcher(rows)
        look = lambda: watcher.take(rows.rows(STANDING))  # noqa: E731
        look()
        return look

    def test_a_change_that_counts_is_well(self, rows, look):
        rows.change("update sessions_core_chat set rev = 4, title = 'Hi'")
        look()
        look()

    def test_i2_two_replies_at_once(self, rows, look):
        running(rows)
        rows.add("message", 3, CHAT.hex, 3, "assistant", "waiting", "", 1, 1, None, None)
        with pytest.raises(Broken, match=r"^I2"):
            look()

    def test_i9_what_ended_runs_again(self, rows, look):
        running(rows)
        with pytest.raises(Broken, match=r"^I9"):
            look()

    @pytest.mark.parametrize(
        "sql",
        [
            "update sessions_core_chat set title = 'Hi'",
            "update sessions_core_chat set rev = 2",
            "delete from sessions_core_message where id = 2",
        ],
    )
    def test_i10_a_change_that_does_not_count(self, rows, look, sql):
        rows.change(sql)
        with pytest.raises(Broken, match=r"^I10"):
            look()

    def test_it_looks_by_itself_and_tells_at_the_end(self, rows):
        with pytest.raises(Broken, match=r"^I9"), Watcher(rows, every=0.001) as watcher:
            while not watcher.looks:
                pass
            running(rows)


def test_no_invariant_is_forgotten():
    names = {invariant.__name__.split("_")[0] for invariant in INVARIANTS}
    names |= {name.split("_")[0] for name in vars(Watcher) if name.startswith("i")}
    assert names >= {f"i{n}" for n in range(1, 11)}
