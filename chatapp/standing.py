"""What the rows say of a chat, for an open page that may have missed something."""

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.db import close_old_connections
from django.db.models import CharField, F, IntegerField, Sum, Window
from django.db.models.expressions import RawSQL
from django.db.models.functions import Length

from sessions_core.blocks import BlockSplitter
from sessions_core.models import Chat, Delta, User
from sessions_core.text import utf16_length

from . import markdown

SIZE_UPTO = Window(Sum(Length("text")), order_by="seq")  # so that no more is read than is sent
RENDERER = ThreadPoolExecutor(1, thread_name_prefix="blocks")  # one: it takes many times the text's memory
RUNNING = """select {what} from sessions_core_message where chat_id = sessions_core_chat.id
    and role = 'assistant' and state in ('waiting', 'streaming')"""
ID = RawSQL(RUNNING.format(what="id"), (), IntegerField())  # noqa: S611  # a constant
STATE = RawSQL(RUNNING.format(what="state"), (), CharField())  # noqa: S611
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
    chats = Chat.objects.for_user(user).filter(pk=chat)
    found = chats.values_list("rev", "owner__rev", ID, STATE).first()
    if found is None:
        return None
    rev, list_rev, running, state = found
    if running is None:
        return Standing(rev, list_rev, 0)
    return piece(Standing(rev, list_rev, running, state == "streaming"), after if running == message else 0, room)


def piece(standing: Standing, after: int, room: int) -> Standing:
    deltas = Delta.objects.filter(message=standing.message).order_by("seq").values_list("seq", "text")
    if room <= 0:  # a page that takes nothing must not cost a look at all of it with every tick
        standing.after = standing.seq = after
        standing.more = deltas.filter(seq__gt=after).exists()
        return standing
    if after and not deltas.filter(seq=after).exists():  # ahead of the rows, which cannot be: it gets everything
        after = 0
    later = deltas.filter(seq__gt=after)
    rows = list(later.annotate(size=Length("text"), upto=SIZE_UPTO).filter(upto__lt=room + F("size")))
    standing.after, standing.seq = after, rows[-1][0] if rows else after
    standing.text = "".join(row[1] for row in rows)
    standing.more = len(standing.text) >= room and later.filter(seq__gt=standing.seq).exists()
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
    return User.objects.values_list("rev", flat=True).get(pk=user)
