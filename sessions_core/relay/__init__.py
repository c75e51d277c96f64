"""The relay carries the gateway's streams into the database and from there to every open page.

Commit, then publish: what a person has seen survives any crash. All replies of the process share one transaction per
beat, made by one thread with its own connection.
"""

import asyncio
import os
import socket
import uuid
from contextlib import suppress
from time import monotonic
from typing import Any

from django.conf import settings

from .. import gateway as wire
from ..hub import Hub
from ..models import Message
from .carrying import Carrying
from .errands import Errands
from .publishing import Publishing
from .running import Running
from .tasks import Tasks, close_connection, surviving
from .tidying import Tidying, interrupt_others
from .titling import Titling
from .writing import Writing

CLAIM = 0.2  # seconds, when no hint comes
CLAIMED_AT_ONCE = 50  # replies
LAST_WRITES = 5.0  # seconds at the end of a drain; what cannot be written by then is interrupted by its lease


class Relay:
    """Its life: it claims what waits, as far as it has room, until it is drained."""

    def __init__(self, gateway: wire.Gateway, hub: Hub, *, capacity: int | None = None) -> None:
        self.gateway = gateway
        self.hub = hub
        self.capacity = settings.RELAY_CAPACITY if capacity is None else capacity
        self.process = f"{socket.gethostname()[:60]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.tasks = Tasks()
        self.publishing = Publishing(hub, self.tasks)
        self.writing = Writing(self.process, self.publishing)
        self.carrying = Carrying(gateway, self.writing, self.answered)
        self.tidying = Tidying(self.running)
        self.errands = Errands()
        self.titling = Titling(gateway, self.tasks, self.errands)
        self.waiting = asyncio.Event()  # something to claim
        self.draining = False

    @property
    def running(self) -> dict[int, Running]:
        return self.writing.running

    def news(self) -> dict[str, str]:
        """How the gateway did since this was last asked: under `trouble` the code of what it did wrong, or nothing."""
        breaker = self.carrying.breaker
        tried, breaker.tried = breaker.tried, False
        return {"trouble": breaker.trouble} if tried else {}

    def start(self, *, alone: bool = False) -> None:
        """Begin to work in the running loop. `alone`: no other process can own a reply, so all are interrupted now."""
        self.hub.subscribe("relay", self.hint)
        if alone:
            self.tasks.spawn(self.writing.thread.write(interrupt_others, self.process))
        self.claiming = self.tasks.spawn(self.claim_for_ever())
        for work in (
            self.writing.flush_for_ever,
            self.writing.stop_for_ever,
            self.tidying.reap_for_ever,
            self.tidying.tidy_for_ever,
            self.errands.run_for_ever,
        ):
            self.tasks.spawn(work())

    def hint(self, event: dict[str, Any]) -> None:
        if event["type"] == "waiting":
            self.waiting.set()
        elif event["type"] == "stop":
            self.writing.stop(event["message"])

    # --- claim

    async def claim_for_ever(self) -> None:
        while not self.draining:
            self.waiting.clear()
            with surviving("claim"):
                await self.claim()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLAIM):
                    await self.waiting.wait()

    async def claim(self) -> None:
        room = min(self.capacity - len(self.running), CLAIMED_AT_ONCE)
        if room > 0 and not self.carrying.breaker.open:
            claimed = await self.writing.thread.write(Message.objects.claim, self.process, room, self.writing.begun)
            if self.draining:
                return await self.give_back(claimed)
            for reply in claimed:
                self.begin(reply)

    async def give_back(self, claimed: list[Message]) -> None:
        """The drain began while these were claimed: they wait for the next process."""
        if claimed:
            await self.writing.thread.write(Message.objects.give_back, self.process, [reply.pk for reply in claimed])
            self.hub.reply_waiting()

    def begin(self, reply: Message) -> None:
        running = self.running[reply.pk] = Running(reply)
        running.task = self.tasks.spawn(self.carrying.carry(running))
        self.publishing.begun(running)

    def answered(self, reply: Message) -> None:
        self.errands.answered(reply.chat_id)
        self.titling.answered(reply)

    # --- drain

    async def drain(self, seconds: float) -> None:
        """Take nothing new, let the running replies end within so many seconds, interrupt the rest, write all."""
        self.draining = self.tidying.over = self.errands.over = True
        self.waiting.set()
        await asyncio.wait({self.claiming}, timeout=LAST_WRITES)
        await self._all_ended(seconds)
        words = "The server was restarted while this was being written; what arrived is kept."
        for running in list(self.running.values()):
            self.writing.finish(running, "interrupted", "shutdown", words)
        await self._all_ended(LAST_WRITES)
        self.hub.unsubscribe("relay", self.hint)
        await self.tasks.cancel()
        await self.gateway.close()
        await self.writing.thread.run(close_connection)
        for thread in (self.writing.thread, self.tidying.thread, self.publishing.thread, self.errands.thread):
            thread.end()

    async def _all_ended(self, within: float) -> None:
        until = monotonic() + within
        while self.running and monotonic() < until:
            await asyncio.sleep(0.02)
