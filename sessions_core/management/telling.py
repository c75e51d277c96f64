"""Sessions as operators read them, in a terminal or with a program; and what they keep."""

import os
import re
import stat
from typing import Any

from sessions_core import retention
from sessions_core.export.data import as_time
from sessions_core.models import Chat
from sessions_core.models.adopting import Found
from sessions_core.models.chats import ChatQuerySet

UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def counted(chats: ChatQuerySet) -> ChatQuerySet:
    return chats.counted().select_related("owner").defer("draft")


def as_rows(chats: Any) -> list[dict[str, Any]]:
    """As they are now; of those that are gone for good, as they were."""
    now = counted(Chat.objects.all()).in_bulk([chat.pk for chat in chats])
    return [as_row(now.get(chat.pk, chat)) for chat in chats]


def as_row(chat: Chat) -> dict[str, Any]:
    return {
        "key": chat.key,
        "name": chat.name,
        "owner": chat.owner.get_username(),
        "agent": chat.agent,
        "messages": getattr(chat, "said", 0),
        "chapter": chat.chapter,
        "persistent": chat.persistent,
        "pinned": chat.pinned,
        "created_at": as_time(chat.created_at),
        "last_active_at": as_time(chat.last_active_at),
        "archived_at": as_time(chat.archived_at),
        "deleted_at": as_time(chat.deleted_at),
        "goes_at": as_time(retention.goes_at(chat)),
    }


def as_columns(rows: list[dict[str, Any]]) -> list[str]:
    heads = ("KEY", "OWNER", "MESSAGES", "LAST ACTIVE", "MARKS", "NAME")
    return aligned([heads, *(as_cells(row) for row in rows)])


def aligned(table: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]


def as_cells(row: dict[str, Any]) -> tuple[str, ...]:
    marks = {"persistent": "persistent", "pinned": "pinned", "archived_at": "archived", "deleted_at": "trash"}
    told = " ".join(mark for name, mark in marks.items() if row[name]) or "–"
    day = row["last_active_at"][:10]
    return (row["key"], printable(row["owner"]), str(row["messages"]), day, told, printable(row["name"]))


def as_found(sessions: list[Found]) -> list[dict[str, Any]]:
    """What the gateway has and nobody's chat is."""
    told = ("key", "agent", "name", "channel")
    return [{n: getattr(one, n) for n in told} | {"last_active_at": as_time(one.last_active)} for one in sessions]


def found_columns(sessions: list[Found]) -> list[str]:
    heads = ("KEY", "LAST ACTIVE", "CHANNEL", "NAME")
    cells = [(as_time(one.last_active) or "–", one.channel or "–", printable(one.name)) for one in sessions]
    rows = [(one.key, at[:10], channel, name) for one, (at, channel, name) in zip(sessions, cells, strict=True)]
    return aligned([heads, *rows]) if rows else ["The gateway has no session that is not a chat already."]


def as_lines(row: dict[str, Any]) -> list[str]:
    return [f"{label.replace('_', ' ')}: {shown(value)}" for label, value in row.items()]


def sentence(what: str, chat: Chat) -> str:
    return f"{what}: {named(chat)} of {printable(chat.owner.get_username())} ({chat.key})"


def named(chat: Chat) -> str:
    return f"“{printable(chat.name)}”"


def shown(value: Any) -> str:
    if type(value) is bool:
        return "yes" if value else "no"
    return "–" if value is None else printable(str(value))


def printable(text: str) -> str:
    """Nothing that a terminal would obey."""
    return UNPRINTABLE.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def save(path: str, content: bytes) -> None:
    """Into a file that only this user can read, also when it was there before; raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, 0o600)
        file.write(content)
