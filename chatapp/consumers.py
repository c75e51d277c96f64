"""An open page's socket. It is told what to listen to and that text arrived; everything else goes over HTTP.

`docs/socket.md` describes the frames.
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
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from sessions_core import metrics
from sessions_core.hub import hub
from sessions_core.listening import listening
from sessions_core.models import User

from . import standing
from .doors import signed_in
from .flow import Clogged, Flow, Pace
from .following import Following, Gone
from .middleware import AWAY

log = logging.getLogger(__name__)

TICK_RUNNING, TICK_IDLE = 2.0, 20.0  # seconds, ± 20 %
RECHECK = 5.0  # seconds, at the least, between two looks at the session
MOST_AGE = 12 * 3600.0  # seconds
MOST_WAITING = 500  # events of the hub; beyond it the rows are read instead
SIGNED_OUT, GONE, TOO_OLD, BAD_FRAME, TOO_SLOW, TOO_FAST, BROKEN = 4401, 4404, 4012, 4400, 4408, 4429, 4500

open_pages: Counter[int] = Counter()  # of this process, by person


class PageConsumer(AsyncWebsocketConsumer):
    tasks: Sequence[asyncio.Task] = ()  # once it is let in
    topics: Any = ()
    watched: uuid.UUID | None = None  # the chat whose gateway session is listened to for this page

    async def connect(self) -> None:
        self.user: User = self.scope["user"]
        self.flow, self.pace = Flow(self.scope.get("unsent", int)), Pace()
        self.place = Following(self.user.pk, self.flow, self.say)
        await self.accept()  # a page understands a code only once it is accepted
        if open_pages[self.user.pk] >= settings.SOCKETS_PER_USER or open_pages.total() >= settings.SOCKETS_MAX:
            await self.bye(TOO_FAST)
            return
        self.list_rev = 0
        self.born = self.checked_at = monotonic()
        self.begin()

    def begin(self) -> None:
        open_pages[self.user.pk] += 1
        metrics.SOCKETS.inc()
        self.lock = asyncio.Lock()  # one at a time goes through the page's place
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MOST_WAITING)
        self.missed = False
        self.topics = {("user", self.user.pk), ("session", self.scope["session_key"])}
        for topic in self.topics:
            hub.subscribe(topic, self.hear)
        self.tasks = [asyncio.create_task(self.guarded(work())) for work in (self.pass_on, self.tick)]

    async def disconnect(self, code: int) -> None:
        self.watch(None)
        for topic in self.topics:
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
        except Gone:
            await self.bye(GONE)
        except Clogged:
            await self.close(TOO_SLOW)
        except AWAY as error:
            log.warning("A socket ends while the database is away: %s", error)
            await self.close(BROKEN)
        except Exception:
            log.exception("A socket failed")
            await self.close(BROKEN)

    # --- what the page says

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self.tasks:  # refused already, and on its way out
            return
        if self.pace.allows():
            await self.guarded(self.obey(parsed(text_data)))
        else:
            await self.bye(TOO_FAST)

    async def obey(self, frame: dict[str, Any]) -> None:
        actions = {"sub": self.on_sub, "unsub": self.on_unsub, "ack": self.on_ack, "ping": self.on_ping}
        try:
            await actions[frame.get("type", "")](frame)
        except (TypeError, ValueError, KeyError, AttributeError):
            await self.bye(BAD_FRAME)

    async def on_sub(self, frame: dict[str, Any]) -> None:
        """Listen to a chat from where the page is: first the hub, then the rows, so that nothing falls between.

        A page without a chat listens to the list only.
        """
        chat = uuid.UUID(frame["chat"]) if frame["chat"] != "" else None
        async with self.lock:
            self.listen_to(chat)
            self.list_rev = natural(frame, "list", self.list_rev)
            await self.place.start(chat, natural(frame, "rev"), natural(frame, "message"), natural(frame, "after"))
            self.watch(chat)  # it is this person's
            if not self.flow.full:
                await self.tell_list(self.place.list_rev)

    async def on_unsub(self, frame: dict[str, Any]) -> None:
        async with self.lock:
            self.listen_to(None)
            self.watch(None)
            self.place.chat = None

    async def on_ack(self, frame: dict[str, Any]) -> None:
        natural(frame, "seq")
        async with self.lock:
            await self.place.acked()

    async def on_ping(self, frame: dict[str, Any]) -> None:
        await self.say({"type": "pong", "t": natural(frame, "t")})

    def listen_to(self, chat: uuid.UUID | None) -> None:
        for topic in [topic for topic in self.topics if topic[0] == "chat" and topic[1] != chat]:
            hub.unsubscribe(topic, self.hear)
            self.topics.discard(topic)
        if chat and ("chat", chat) not in self.topics:
            hub.subscribe(("chat", chat), self.hear)
            self.topics.add(("chat", chat))

    def watch(self, chat: uuid.UUID | None) -> None:
        if chat:
            listening.watch(chat)
        if self.watched:
            listening.unwatch(self.watched)
        self.watched = chat

    # --- what the hub says

    def hear(self, event: dict[str, Any]) -> None:
        try:
            self.inbox.put_nowait(event)
        except asyncio.QueueFull:
            self.missed = True

    async def pass_on(self) -> None:
        passing = {
            "delta": self.place.pass_delta,
            "block": self.place.pass_block,
            "begun": self.place.pass_begun,
            "rev": self.place.pass_rev,
            "list": self.pass_list,
            "signed_out": self.sign_out,
        }
        while True:
            event = await self.inbox.get()
            async with self.lock:
                await passing[event["type"]](event)
                if self.missed and self.inbox.empty():
                    self.missed = False
                    await self.place.catch_up(blocks=True)

    async def pass_list(self, event: dict[str, Any]) -> None:
        if event["chat"] and event["chat"] == str(self.place.chat):
            return await self.tell_list(max(self.list_rev, self.place.list_rev))
        await self.tell_list(await standing.list_rev(self.user.pk))

    async def sign_out(self, event: dict[str, Any]) -> None:
        await self.bye(SIGNED_OUT)

    # --- what the page is told

    async def tell_list(self, rev: int) -> None:
        if rev != self.list_rev:
            self.list_rev = rev
            await self.say({"type": "list", "rev": rev})

    async def tick(self) -> None:
        """Whatever hint got lost, and whatever ended behind the socket's back, is found here."""
        while True:
            await self.pause()
            async with self.lock:
                if not await self.still_welcome():
                    return
                await self.place.catch_up()
                await self.tell_list(self.place.list_rev)

    async def pause(self) -> None:
        """Long while no reply runs; one that begins meanwhile ends it, because its hints may be lost too. Short where
        there are no hints."""
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK_IDLE * random.uniform(0.8, 1.2)):  # noqa: S311
                if not hub.deaf:
                    await self.place.runs.wait()
                await asyncio.sleep(TICK_RUNNING * random.uniform(0.8, 1.2))  # noqa: S311

    async def still_welcome(self) -> bool:
        now = monotonic()
        if now - self.born > MOST_AGE:
            return await self.bye(TOO_OLD)
        if self.flow.overdue:
            return await self.bye(TOO_SLOW)
        if now - self.checked_at > RECHECK:
            self.checked_at = now
            user = await standing.in_thread(signed_in)(self.scope["session_key"])
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
        self.flow.check()
        await self.send(orjson.dumps(frame).decode())


def parsed(text: str | None) -> dict[str, Any]:
    """A frame as an object; anything else as an empty one, which no action takes."""
    if not text or len(text.encode(errors="replace")) > settings.SOCKET_FRAME_SIZE:
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
