"""The relay carries the gateway's streams into the database and from there to every open page.

Commit, then publish: what a person has seen survives any crash. All replies of the process share one transaction per
beat, made by one thread with its own connection.
"""

import asyncio
import contextvars
import logging
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.utils.module_loading import import_string

from . import gateway as wire
from . import metrics, retention
from .blocks import BlockSplitter
from .hub import Hub
from .models import Chat, Delta, Message
from .text import utf16_length

log = logging.getLogger(__name__)

FLUSH = 0.05  # seconds between two commits, at least; a reply's first delta does not wait
STOP_POLL = 0.5  # seconds
BEAT = 2.0  # seconds; the lease is eight
CLAIM = 0.2  # seconds, when no hint comes
CAPACITY = 500  # replies
MOST_UNWRITTEN = 1_000_000  # characters per reply, then the gateway is not read further
ENDS_PER_FLUSH = 20
TIDY_FIRST, TIDY = 60.0, 600.0  # seconds after the start, then between two looks whether somebody did it today
LAST_WRITES = 5.0  # seconds at the end of a drain; what cannot be written by then is interrupted by its lease
RETRIES = 2
FIRST_PAUSE = 0.5  # seconds before the second attempt, three times as long before the third
RETRY_WITHIN = 60.0  # seconds
BREAKER_AFTER, BREAKER_PAUSE = 5, 10.0  # connect failures in a row; seconds without a new attempt


@dataclass
class Ending:
    state: str
    code: str = ""
    error: str = ""


@dataclass(eq=False)
class Running:
    """A reply this process is writing."""

    reply: Message
    known: wire.Reply = field(default_factory=wire.Reply)
    unwritten: list[str] = field(default_factory=list)
    unwritten_size: int = 0
    since: float = 0.0  # when the oldest of what the last delta holds arrived
    next_since: float = 0.0
    seq: int = 0
    text: list[str] = field(default_factory=list)
    ending: Ending | None = None
    task: asyncio.Task | None = None
    written: asyncio.Event = field(default_factory=asyncio.Event)
    blocks: BlockSplitter = field(default_factory=BlockSplitter)
    upto: int = 0  # how far blocks are rendered, as a browser counts

    def add(self, text: str) -> None:
        if not self.unwritten:
            self.next_since = monotonic()
        self.unwritten.append(text)
        self.unwritten_size += len(text)

    def take(self) -> Delta | None:
        """What arrived since the last beat, as the next delta."""
        if not self.unwritten:
            return None
        text = "".join(self.unwritten)
        self.since = self.next_since
        self.unwritten.clear()
        self.unwritten_size = 0
        self.seq += 1
        return Delta(message_id=self.reply.pk, seq=self.seq, text=text)

    def end(self, state: str, code: str = "", error: str = "") -> None:
        self.ending = self.ending or Ending(state, code, error)


class Relay:
    def __init__(self, gateway: wire.Gateway, hub: Hub, *, capacity: int = CAPACITY) -> None:
        self.gateway = gateway
        self.hub = hub
        self.capacity = capacity
        self.process = f"{socket.gethostname()[:60]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.render: Callable[[str], tuple[str, int]] = import_string(settings.MESSAGE_RENDERER)
        self.running: dict[int, Running] = {}
        self.writer = ThreadPoolExecutor(1, thread_name_prefix="relay-writer")
        self.renderer = ThreadPoolExecutor(1, thread_name_prefix="relay-renderer")
        self.reaper = ThreadPoolExecutor(1, thread_name_prefix="relay-reaper")
        self.work = asyncio.Event()  # something to write
        self.first = asyncio.Event()  # something that does not wait for the beat
        self.waiting = asyncio.Event()  # something to claim
        self.draining = False
        self.failures = 0
        self.trouble = ""  # the code of what the gateway did wrong last; empty after a reply that went well
        self.paused_until = 0.0
        self.tasks: set[asyncio.Task] = set()

    # --- life

    def start(self, *, alone: bool = False) -> None:
        """Begin to work in the running loop. `alone`: no other process can own a reply, so all are interrupted now."""
        self.hub.subscribe("relay", self.hint)
        for loop in (
            partial(self.sweep, alone),
            self.flush_for_ever,
            self.claim_for_ever,
            self.reap_for_ever,
            self.tidy_for_ever,
        ):
            self.spawn(loop())

    def spawn(self, coroutine: Any) -> asyncio.Task:
        """A task with a context of its own (a request's would be closed under it) that nothing forgets."""
        task = asyncio.get_running_loop().create_task(coroutine, context=contextvars.Context())
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("A task of the relay failed", exc_info=error)

    @contextmanager
    def surviving(self, what: str) -> Iterator[None]:
        """One bad turn of a loop that everybody depends on is logged, and the loop goes on."""
        try:
            yield
        except Exception:
            log.exception("The relay's %s failed once", what)

    def hint(self, event: dict[str, Any]) -> None:
        if event["type"] == "waiting":
            self.waiting.set()
        elif event["type"] == "stop" and (running := self.running.get(event["message"])):
            self.stop(running)

    async def drain(self, seconds: float) -> None:
        """Take nothing new, let the running replies end within so many seconds, interrupt the rest, write all."""
        self.draining = True
        until = monotonic() + seconds
        while self.running and monotonic() < until:
            await asyncio.sleep(0.05)
        for running in list(self.running.values()):
            self.finish(
                running,
                "interrupted",
                "shutdown",
                "The server was restarted while this was being written; what arrived is kept.",
            )
        until = monotonic() + LAST_WRITES
        while self.running and monotonic() < until:
            await asyncio.sleep(0.02)
        self.hub.unsubscribe("relay", self.hint)
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.gateway.close()
        await self.write(close_connection)
        self.writer.shutdown(wait=False)
        self.reaper.submit(close_connection)
        self.reaper.shutdown(wait=False)
        self.renderer.shutdown(wait=False)

    async def write(self, function: Callable, *args: Any) -> Any:
        """Run in the writer's thread; a broken connection is made anew and the same is done again."""
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(self.writer, function, *args)
            except (OperationalError, InterfaceError) as error:
                log.warning("The database did not take a write, again in 0.2 s: %s", error)
                await asyncio.get_running_loop().run_in_executor(self.writer, close_connection)
                await asyncio.sleep(0.2)

    # --- claim

    async def claim_for_ever(self) -> None:
        while not self.draining:
            self.waiting.clear()
            with self.surviving("claim"):
                await self.claim()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.waiting.wait(), CLAIM)

    async def claim(self) -> None:
        room = self.capacity - len(self.running)
        if room > 0 and monotonic() >= self.paused_until:
            for reply in await self.write(Message.objects.claim, self.process, min(room, 50)):
                self.begin(reply)

    def begin(self, reply: Message) -> None:
        running = Running(reply)
        self.running[reply.pk] = running
        running.task = self.spawn(self.carry(running))

    # --- one reply

    async def carry(self, running: Running) -> None:
        """From the question to the ending, with another attempt only where the gateway cannot have seen it."""
        began = monotonic()
        try:
            turns = await self.write(running.reply.turns)
            for attempt in range(RETRIES + 1):
                try:
                    return await self.attempt(running, turns)
                except wire.GatewayError as error:
                    self.count(error)
                    pause = error.retry_after if error.retry_after is not None else FIRST_PAUSE * 3**attempt
                    last = attempt == RETRIES or monotonic() - began + pause > RETRY_WITHIN
                    if last or not error.safe_to_repeat or running.known.characters:
                        return self.finish(running, error.state, error.code, str(error))
                    await asyncio.sleep(pause)
        except asyncio.CancelledError:
            if not running.ending:
                raise
        except Exception:
            log.exception("A reply could not be carried")
            self.finish(running, "failed", "internal", "Something went wrong in this app; what arrived is kept.")

    async def attempt(self, running: Running, turns: list[dict[str, str]]) -> None:
        chat = running.reply.chat
        stream = self.gateway.stream(turns, key_of(running.reply), chat.agent, running.known)
        try:
            async with asyncio.timeout(self.gateway.total_timeout), aclosing(stream):
                async for text in stream:
                    await self.take(running, text)
        except TimeoutError:
            raise wire.TotalTimeout from None
        self.failures, self.trouble = 0, ""
        self.finish(running, "done")

    async def take(self, running: Running, text: str) -> None:
        running.add(text)
        self.work.set()
        if running.seq == 0:
            self.first.set()
        while running.unwritten_size > MOST_UNWRITTEN:
            running.written.clear()
            await running.written.wait()

    def count(self, error: wire.GatewayError) -> None:
        """After several connect failures in a row, nothing new is tried for a while; what waits keeps waiting."""
        self.failures = self.failures + 1 if isinstance(error, wire.Unreachable) else 0
        self.trouble = error.code
        metrics.GATEWAY_ERRORS.labels(error.code).inc()
        if self.failures >= BREAKER_AFTER:
            self.paused_until = monotonic() + BREAKER_PAUSE
            log.warning("The gateway cannot be reached; the next attempt is in %.0f s", BREAKER_PAUSE)

    def stop(self, running: Running) -> None:
        self.finish(running, "stopped")

    def finish(self, running: Running, state: str, code: str = "", error: str = "") -> None:
        """Settle it with the next beat; cancelling the task closes the stream, which stops the gateway's run."""
        running.end(state, code, error)
        if running.task and running.task is not asyncio.current_task():
            running.task.cancel()
        self.work.set()
        self.first.set()

    # --- write

    async def flush_for_ever(self) -> None:
        beaten = polled = 0.0
        while True:
            await self.wait_for_work(beaten + FLUSH)
            now = monotonic()
            if self.work.is_set() or now - beaten >= BEAT:
                self.work.clear()
                self.first.clear()
                with self.surviving("flush"):
                    await self.flush()
                beaten = monotonic()
            if self.running and now - polled >= STOP_POLL:
                with self.surviving("stop poll"):
                    await self.poll_stops()
                polled = now

    async def wait_for_work(self, not_before: float) -> None:
        """Until there is something to write and the beat is over; a first delta or an ending cuts the beat short."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.work.wait(), STOP_POLL / 2)
            if (rest := not_before - monotonic()) > 0:
                await asyncio.wait_for(self.first.wait(), rest)

    async def flush(self) -> None:
        batch = {pk: delta for pk, running in self.running.items() if (delta := running.take())}
        ended = [running for running in self.running.values() if running.ending][:ENDS_PER_FLUSH]
        if self.running:
            asked = set(self.running)  # what begins while this is written is not lost
            with metrics.FLUSH.time():
                mine = await self.write(Message.objects.append, self.process, batch, asked)
            self.drop_lost(asked - mine)
            for pk in batch.keys() & mine:
                metrics.LAG.observe(monotonic() - self.running[pk].since)
                self.publish_delta(self.running[pk], batch[pk])
        for running in ended:
            if running.reply.pk in self.running:
                await self.settle_somehow(running)
        if any(running.ending for running in self.running.values()):
            self.work.set()

    def drop_lost(self, gone: set[int]) -> None:
        """Another process took these for dead while this one slept: not a word more is written."""
        for pk in gone & self.running.keys():
            lost = self.running.pop(pk)
            log.warning("Reply %s was taken over by another process", pk)
            lost.ending = lost.ending or Ending("lost")
            if lost.task:
                lost.task.cancel()

    def publish_delta(self, running: Running, delta: Delta) -> None:
        running.text.append(delta.text)
        running.written.set()
        event = {
            "type": "delta",
            "message": delta.message_id,
            "after": delta.seq - 1,
            "seq": delta.seq,
            "text": delta.text,
        }
        self.hub.publish(("chat", running.reply.chat_id), event)
        if closed := running.blocks.feed(delta.text):
            self.spawn(self.publish_block(running, closed))

    async def publish_block(self, running: Running, closed: str) -> None:
        """Markdown that is complete is rendered once, for all pages."""
        start, running.upto = running.upto, running.upto + utf16_length(closed)
        upto = running.upto
        html, _ = await asyncio.get_running_loop().run_in_executor(self.renderer, self.render, closed)
        event = {"type": "block", "message": running.reply.pk, "start": start, "upto": upto, "html": html}
        self.hub.publish(("chat", running.reply.chat_id), event)

    async def settle_somehow(self, running: Running) -> None:
        """One reply that cannot be settled as it is must not hold up the others: it ends without its details."""
        try:
            await self.settle(running)
        except Exception:
            log.exception("Reply %s could not be settled", running.reply.pk)
            self.running.pop(running.reply.pk, None)
            with self.surviving("settle"):
                await self.write(partial(running.reply.interrupt, self.process, "internal"))

    async def settle(self, running: Running) -> None:
        ending, known = running.ending, running.known
        assert ending is not None
        loop = asyncio.get_running_loop()
        html, version = await loop.run_in_executor(self.renderer, self.render, "".join(running.text))
        settle = partial(
            running.reply.settle,
            ending.state,
            process=self.process,
            code=ending.code,
            error=ending.error,
            html=html,
            html_version=version,
            upstream_id=known.upstream_id,
            usage=known.usage,
        )
        await self.write(settle)
        metrics.ENDED.labels(ending.state).inc()
        self.running.pop(running.reply.pk, None)

    async def poll_stops(self) -> None:
        for pk in await self.write(Message.objects.stop_wanted, self.process):
            if pk in self.running:
                self.stop(self.running[pk])

    # --- others' leftovers

    async def sweep(self, alone: bool) -> None:
        if alone:
            await self.write(interrupt_all)

    async def reap_for_ever(self) -> None:
        """In a thread of its own: a process that was suspended in the middle of a write still holds that row."""
        while not self.draining:
            with self.surviving("reaper"):
                try:
                    await asyncio.get_running_loop().run_in_executor(self.reaper, reap)
                except (OperationalError, InterfaceError) as error:
                    log.warning("What a dead process left was not reaped, again in %.0f s: %s", BEAT, error)
                    await asyncio.get_running_loop().run_in_executor(self.reaper, close_connection)
            await asyncio.sleep(BEAT)

    # --- what is over

    async def tidy_for_ever(self) -> None:
        """In a thread of its own: no reply waits for it. A drain ends it after the step it is at."""
        await asyncio.sleep(TIDY_FIRST)
        while not self.draining:
            with self.surviving("tidying"):
                await asyncio.to_thread(self.tidy)
            await asyncio.sleep(TIDY)

    def tidy(self) -> None:
        try:
            retention.tidy(stopped=lambda: self.draining)
        finally:
            close_connection()


def close_connection() -> None:
    connection.close()  # looked up here, in its thread: each has a connection of its own


def key_of(reply: Message) -> str:
    """The gateway session a reply was asked under; the chat may have gone on to another since."""
    key = reply.chat.key
    return key if reply.key_number == 1 else f"{key}-c{reply.key_number}"


def interrupt_all() -> None:
    for reply in Message.objects.replies().filter(state=Message.State.STREAMING).select_related("chat"):
        reply.interrupt()


def reap() -> None:
    """What a dead process left: replies to interrupt, stops nobody took, messages waiting behind nothing."""
    for reply in Message.objects.orphaned().select_related("chat")[:ENDS_PER_FLUSH]:
        reply.interrupt()
    for reply in Message.objects.waiting().exclude(stop_requested_at=None).select_related("chat"):
        reply.settle(Message.State.STOPPED)
    for chat in Chat.objects.stranded():
        with chat.changing():
            chat.promote()
