"""Looks at the rows while a test goes on: for what is not over at the end, but must never have been."""

import threading
from typing import Any

from tests.invariants import ENDED, RUNNING, Broken, hexed, one_running_reply

EVERY = 0.25  # seconds between two looks
STANDING = """
    select c.id as chat, c.rev, c.title, c.pinned, c.persistent, c.chapter, c.archived_at, c.deleted_at,
           m.id as message, m.seq, m.role, m.state
    from sessions_core_chat c left join sessions_core_message m on m.chat_id = c.id
    order by c.id, m.id
"""


class Watcher:
    """Looks at the rows again and again, in a thread: I2, I9 and I10 as long as it lasts; leaving it complains."""

    def __init__(self, process: Any, every: float = EVERY) -> None:
        self.process = process
        self.every = every
        self.looks = 0
        self.broken: Broken | None = None
        self.states: dict[int, str] = {}
        self.chats: dict[str, tuple[int, list]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self.broken and kind is None:
            raise self.broken

    def _watch(self) -> None:
        last = False
        while not last and not self.broken:
            last = self._over.wait(self.every)
            try:
                rows = self.process.rows(STANDING)  # one statement, so one moment
            except Exception:  # the database is not there yet, or was taken away by the test
                continue
            self._take(rows)

    def _take(self, rows: list[dict]) -> None:
        try:
            self.take(rows)
        except Broken as broken:
            self.broken = broken

    def take(self, rows: list[dict]) -> None:
        """One look."""
        self.looks += 1
        one_running_reply([row for row in rows if row["role"] == "assistant"], "chat")
        for row in rows:
            if row["message"]:
                self.i9_what_ended_stays_as_it_is(row["message"], row["state"])
        chats: dict[str, tuple[int, list]] = {}
        for row in rows:
            chats.setdefault(hexed(row["chat"]), (row["rev"], []))[1].append(visible(row))
        for chat, (rev, shown) in chats.items():
            self.i10_a_change_counts(chat, rev, shown)

    def i9_what_ended_stays_as_it_is(self, message: int, state: str) -> None:
        before = self.states.get(message)
        if before in ENDED and state != before:
            raise Broken("I9", f"Reply {message} was {before} and is {state} now.")
        self.states[message] = state

    def i10_a_change_counts(self, chat: str, rev: int, shown: list) -> None:
        before, was = self.chats.get(chat, (rev, shown))
        if rev < before or (rev == before and shown != was):
            changed = [part for part in shown if part not in was] or [part for part in was if part not in shown]
            raise Broken("I10", f"Chat {chat} changed from {before} to {rev}: {changed}")
        self.chats[chat] = (rev, shown)


def visible(row: dict) -> tuple:
    """Of a row of STANDING; that a waiting reply is begun shows by its text, which has a way of its own."""
    state = "running" if row["state"] in RUNNING else row["state"]
    return (*(str(value) for name, value in row.items() if name not in ("chat", "rev", "state")), state)
