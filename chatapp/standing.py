"""What the rows say of a chat, for an open page that may have missed something."""

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.db import close_old_connections, connection

from sessions_core.blocks import BlockSplitter
from sessions_core.models import Chat, Delta
from sessions_core.text import utf16_length

from . import markdown

RENDERER = ThreadPoolExecutor(1, thread_name_prefix="blocks")  # one: it takes many times the text's memory
# By hand, because every open page asks them again and again, and to build them would cost ten times what they read.
# The first one's last line is `Chat.objects.for_user`.
STANDING = """
    select chat.rev, person.rev, reply.id, reply.state,
        (select max(seq) from sessions_core_delta where message_id = reply.id)
    from sessions_core_chat chat
    join sessions_core_user person on person.id = chat.owner_id
    left join sessions_core_message reply
        on reply.chat_id = chat.id and reply.role = 'assistant' and reply.state in ('waiting', 'streaming')
    where chat.id = %s and chat.owner_id = %s and chat.deleted_at is null
"""
PIECE = """
    select seq, text from (
        select seq, text, sum(length(text)) over (order by seq) - length(text) as ahead
        from sessions_core_delta where message_id = %s and seq > %s
    ) later
    where ahead < %s order by seq
"""  # so that no more is read than is sent
LIST_REV = "select rev from sessions_core_user where id = %s"
MOST_BLOCKS = 1_000_000  # characters of HTML; beyond it a page shows what it joins as plain text until the end


def in_thread(function: Callable) -> Any:
    @wraps(function)
    async def call(*args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, with_connection, function, *args)

    return call


def with_connection(function: Callable, *args: Any) -> Any:
    close_old_connections()
    try:
        return function(*args)
    finally:
        close_old_connections()


@dataclass
class Standing:
    """A chat's rev, its owner's, its running reply (or 0), and a piece of it; `more`: there was no room for all."""

    rev: int
    list_rev: int
    message: int
    begun: bool = False  # somebody writes it
    after: int = 0
    seq: int = 0
    text: str = ""
    more: bool = False


@in_thread
def read(user: int, chat: uuid.UUID, message: int, after: int, room: int) -> Standing | None:
    """From where the page is, with so many characters and the rest of a delta; None when it is not this person's."""
    found = asked(STANDING, Chat._meta.pk.get_db_prep_value(chat, connection), user)
    if not found:
        return None
    rev, list_rev, running, state, newest = found[0]
    if running is None:
        return Standing(rev, list_rev, 0)
    standing = Standing(rev, list_rev, running, state == "streaming")
    return piece(standing, after if running == message else 0, newest or 0, room)


def piece(standing: Standing, after: int, newest: int, room: int) -> Standing:
    """With what it has after a delta, up to the newest."""
    if after > newest and room > 0:  # ahead of the rows, which cannot be: it gets everything
        after = 0
    standing.after = standing.seq = after
    if after < newest and room > 0:  # a page that takes nothing must not cost a look at all of it with every tick
        rows = asked(PIECE, standing.message, after, room)
        standing.seq = rows[-1][0] if rows else after
        standing.text = "".join(text for _, text in rows)
    standing.more = standing.seq < newest
    return standing


async def blocks(message: int, upto: int) -> dict[str, Any] | None:
    """All complete blocks of the reply's first deltas as one frame; None when they are too many."""
    text = await text_upto(message, upto)
    return await asyncio.get_running_loop().run_in_executor(RENDERER, framed, message, text)


@in_thread
def text_upto(message: int, seq: int) -> str:
    return "".join(Delta.objects.filter(message=message, seq__lte=seq).order_by("seq").values_list("text", flat=True))


def framed(message: int, text: str) -> dict[str, Any] | None:
    closed = BlockSplitter().feed(text)
    html, _ = markdown.render(closed)
    if len(html) > MOST_BLOCKS:
        return None
    return {"type": "block", "message": message, "start": 0, "upto": utf16_length(closed), "html": html}


@in_thread
def list_rev(user: int) -> int:
    return asked(LIST_REV, user)[0][0]


def asked(statement: str, *values: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()
