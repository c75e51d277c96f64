"""An open page's socket. It is told what to listen to and that text arrived; everything else goes over HTTP.

One lock and one cursor: live text and text read from the rows pass the same gate, so a page gets each piece once, in
order. `docs/socket.md` describes the frames.
"""

import asyncio
import logging
import random
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

import orjson
from autobahn.exception import Disconnected
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from sessions_core import metrics
from sessions_core.blocks import BlockSplitter
from sessions_core.hub import hub
from sessions_core.models import Chat, Delta, Message, User
from sessions_core.text import utf16_length

from . import markdown
from .doors import signed_in

log = logging.getLogger(__name__)

TICK_RUNNING, TICK_IDLE = 2.0, 20.0  # seconds, ± 20 %
RECHECK = 5.0  # seconds, at the least, between two looks at the session
MOST_AGE = 12 * 3600.0  # seconds
MOST_UNACKED = 256_000  # characters
ACK_WITHIN = 30.0  # seconds
MOST_WAITING = 500  # events of the hub; beyond it the rows are read instead
MOST_FRAME = 4096  # bytes
FRAMES_PER_SECOND, BURST = 10.0, 50.0
SIGNED_OUT, GONE, TOO_OLD, BAD_FRAME, TOO_SLOW, TOO_FAST, BROKEN = 4401, 4404, 4012, 4400, 4408, 4429, 4500


def in_thread(function: Any) -> Any:
    return database_sync_to_async(function, thread_sensitive=False)


open_pages: Counter[int] = Counter()  # of this process, by person


class PageConsumer(AsyncWebsocketConsumer):
    tasks: Sequence[asyncio.Task] = ()  # once it is let in

    async def connect(self) -> None:
        self.user: User = self.scope["user"]
        if open_pages[self.user.pk] >= settings.SOCKETS_PER_USER or open_pages.total() >= settings.SOCKETS_MAX:
            await self.accept()  # a page understands a code only once it is accepted
            await self.bye(TOO_FAST)
            return
        self.chat: uuid.UUID | None = None
        self.rev = self.list_rev = 0
        self.message = self.seq = 0  # the cursor: which reply, and up to which delta the page has it
        self.running = False
        self.unacked, self.acked_at = 0, monotonic()
        self.lagging = False
        self.allowance, self.heard_at = BURST, monotonic()
        self.born = self.checked_at = monotonic()
        self.lock = asyncio.Lock()
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MOST_WAITING)
        self.missed = False
        self.topics = {("user", self.user.pk), ("session", self.scope["session_key"])}
        for topic in self.topics:
            hub.subscribe(topic, self.hear)
        await self.accept()
        open_pages[self.user.pk] += 1
        metrics.SOCKETS.inc()
        self.tasks = [asyncio.create_task(self.guarded(work())) for work in (self.pass_on, self.tick)]

    async def disconnect(self, code: int) -> None:
        for topic in getattr(self, "topics", ()):
            hub.unsubscribe(topic, self.hear)
        if self.tasks:
            open_pages[self.user.pk] -= 1
            metrics.SOCKETS.dec()
        for task in self.tasks:
            task.cancel()

    async def guarded(self, work: Any) -> None:
        """An error in one socket's work closes that socket only; the page comes back and reads the rows."""
        try:
            await work
        except Disconnected:
            pass  # the page went away in the middle of a frame
        except Exception:
            log.exception("A socket failed")
            await self.close(BROKEN)

    # --- what the page says

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self.tasks:  # refused already, and on its way out
            return
        frame = parsed(text_data)
        if not self.within_rate():
            await self.bye(TOO_FAST)
            return
        action = {"sub": self.on_sub, "unsub": self.on_unsub, "ack": self.on_ack, "ping": self.on_ping}.get(
            frame.get("type", "")
        )
        if action is None:
            await self.bye(BAD_FRAME)
            return
        try:
            await action(frame)
        except (TypeError, ValueError, KeyError, AttributeError):
            await self.bye(BAD_FRAME)

    def within_rate(self) -> bool:
        now = monotonic()
        self.allowance = min(BURST, self.allowance + (now - self.heard_at) * FRAMES_PER_SECOND) - 1
        self.heard_at = now
        return self.allowance >= 0

    async def on_sub(self, frame: dict[str, Any]) -> None:
        """Listen to a chat from where the page is: first the hub, then the rows, so that nothing falls between.

        A page without a chat listens to the list only.
        """
        chat = uuid.UUID(frame["chat"]) if frame["chat"] != "" else None
        async with self.lock:
            self.listen_to(chat)
            self.rev, self.list_rev = natural(frame, "rev"), natural(frame, "list", self.list_rev)
            self.message, self.seq = natural(frame, "message"), natural(frame, "after")
            self.unacked, self.acked_at, self.lagging = 0, monotonic(), False
            await self.catch_up(blocks=True)
            await self.look_at_list()

    async def on_unsub(self, frame: dict[str, Any]) -> None:
        async with self.lock:
            self.listen_to(None)

    async def on_ack(self, frame: dict[str, Any]) -> None:
        natural(frame, "seq")
        async with self.lock:
            self.unacked, self.acked_at = 0, monotonic()
            if self.lagging:
                self.lagging = False
                await self.catch_up()

    async def on_ping(self, frame: dict[str, Any]) -> None:
        await self.say({"type": "pong", "t": natural(frame, "t")})

    def listen_to(self, chat: uuid.UUID | None) -> None:
        if self.chat != chat:
            if self.chat:
                hub.unsubscribe(("chat", self.chat), self.hear)
                self.topics.discard(("chat", self.chat))
            if chat:
                hub.subscribe(("chat", chat), self.hear)
                self.topics.add(("chat", chat))
            self.chat = chat

    # --- what the hub says

    def hear(self, event: dict[str, Any]) -> None:
        try:
            self.inbox.put_nowait(event)
        except asyncio.QueueFull:
            self.missed = True

    async def pass_on(self) -> None:
        while True:
            event = await self.inbox.get()
            async with self.lock:
                await {
                    "delta": self.pass_delta,
                    "block": self.pass_block,
                    "rev": self.pass_rev,
                    "list": self.pass_list,
                    "signed_out": self.sign_out,
                }[event["type"]](event)
                if self.missed and self.inbox.empty():
                    self.missed = False
                    await self.catch_up(blocks=True)

    async def pass_delta(self, event: dict[str, Any]) -> None:
        if event["message"] > self.message:  # a new reply in this chat
            self.message, self.seq, self.running = event["message"], 0, True
        if event["message"] < self.message or event["seq"] <= self.seq:
            return
        if event["after"] != self.seq:
            return await self.catch_up()
        await self.send_text(event)

    async def pass_block(self, event: dict[str, Any]) -> None:
        if event["message"] == self.message and not self.lagging:
            await self.say(event)

    async def pass_rev(self, event: dict[str, Any]) -> None:
        if event["chat"] == str(self.chat) and event["rev"] > self.rev:
            await self.catch_up()

    async def pass_list(self, event: dict[str, Any]) -> None:
        await self.look_at_list()

    async def sign_out(self, event: dict[str, Any]) -> None:
        await self.bye(SIGNED_OUT)

    # --- what the page is told

    async def send_text(self, frame: dict[str, Any]) -> None:
        """A piece of the reply, unless the page is so far behind that it gets it all in one piece later."""
        if self.unacked > MOST_UNACKED:
            self.lagging = True
            return
        if not self.unacked:
            self.acked_at = monotonic()
        self.unacked += len(frame["text"])
        self.seq = frame["seq"]
        await self.say(frame)

    async def catch_up(self, *, blocks: bool = False) -> None:
        """Everything the page lacks, read from the rows."""
        if self.chat is None:
            return
        state = await read_state(self.user.pk, self.chat, self.message, self.seq)
        if state is None:
            await self.bye(GONE)
            return
        self.running = state["running"]
        if state["message"]:
            self.message, self.seq = state["message"], state["after"]
        if state["text"]:
            piece = {
                "type": "delta",
                "message": self.message,
                "after": self.seq,
                "seq": state["seq"],
                "text": state["text"],
            }
            await self.send_text(piece)
        if blocks and state["whole"] and not self.lagging:
            await self.say(await closed_blocks(self.message, state["whole"]))
        if state["rev"] != self.rev:
            self.rev = state["rev"]
            kind = "rev" if state["running"] else "end"
            await self.say({"type": kind, "chat": str(self.chat), "message": self.message, "rev": self.rev})

    async def look_at_list(self) -> None:
        rev = await list_rev(self.user.pk)
        if rev != self.list_rev:
            self.list_rev = rev
            await self.say({"type": "list", "rev": rev})

    async def tick(self) -> None:
        """Whatever hint got lost, and whatever ended behind the socket's back, is found here."""
        while True:
            pause = TICK_RUNNING if self.running else TICK_IDLE
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311
            async with self.lock:
                if not await self.still_welcome():
                    return
                await self.catch_up()
                await self.look_at_list()

    async def still_welcome(self) -> bool:
        now = monotonic()
        if now - self.born > MOST_AGE:
            return await self.bye(TOO_OLD)
        if self.unacked and now - self.acked_at > ACK_WITHIN:
            return await self.bye(TOO_SLOW)
        if now - self.checked_at > RECHECK:
            self.checked_at = now
            user = await in_thread(signed_in)(self.scope["session_key"])
            if user is None or user.pk != self.user.pk:
                return await self.bye(SIGNED_OUT)
        return True

    async def bye(self, code: int) -> bool:
        """Close with a code the page understands; always False, so that it can end a check."""
        with suppress(Exception):
            await self.say({"type": "bye", "code": code})
        await self.close(code)
        return False

    async def say(self, frame: dict[str, Any]) -> None:
        await self.send(orjson.dumps(frame).decode())


def parsed(text: str | None) -> dict[str, Any]:
    """A frame as an object; anything else as an empty one, which no action takes."""
    if not text or len(text.encode(errors="replace")) > MOST_FRAME:
        return {}
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return frame if isinstance(frame, dict) and isinstance(frame.get("type"), str) else {}


def natural(frame: dict[str, Any], name: str, default: int = 0) -> int:
    value = frame.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError(name)
    return value


@in_thread
def read_state(user: int, chat: uuid.UUID, message: int, after: int) -> dict[str, Any] | None:
    """A chat's rev, its running reply, and what the page lacks of it; None when the chat is not this person's."""
    row = Chat.objects.for_user(user).filter(pk=chat).values("rev").first()
    if row is None:
        return None
    running = Message.objects.running().filter(chat=chat).values_list("pk", flat=True).first()
    after = after if running == message else 0
    deltas = list(Delta.objects.filter(message=running).order_by("seq").values_list("seq", "text")) if running else []
    if after > (deltas[-1][0] if deltas else 0):
        after = 0  # the page is ahead of the rows, which cannot be: it gets everything
    return {
        "rev": row["rev"],
        "running": running is not None,
        "message": running or 0,
        "after": after,
        "seq": deltas[-1][0] if deltas else 0,
        "text": "".join(text for seq, text in deltas if seq > after),
        "whole": "".join(text for _, text in deltas),
    }


@in_thread
def closed_blocks(message: int, text: str) -> dict[str, Any]:
    closed = BlockSplitter().feed(text)
    html, _ = markdown.render(closed)
    return {"type": "block", "message": message, "start": 0, "upto": utf16_length(closed), "html": html}


@in_thread
def list_rev(user: int) -> int:
    return User.objects.values_list("rev", flat=True).get(pk=user)
