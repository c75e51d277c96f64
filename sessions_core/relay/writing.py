"""Every beat, all new text of all replies goes into the database in one transaction; then it is published."""

import asyncio
import logging
from contextlib import suppress
from functools import partial
from time import monotonic

from .. import metrics
from ..models import Delta, Message
from .publishing import Publishing
from .running import Running
from .tasks import Thread, surviving

log = logging.getLogger(__name__)

FLUSH = 0.05  # seconds between two commits, at least; a reply's first delta does not wait
STOP_POLL = 0.5  # seconds
BEAT = 2.0  # seconds; the lease is nearly four of them
ENDS_PER_FLUSH = 20
MOST_UNWRITTEN = 1_000_000  # characters per reply, then the gateway is not read further


class Writing:
    def __init__(self, process: str, publishing: Publishing) -> None:
        self.process = process  # whose replies these are
        self.publishing = publishing
        self.thread = Thread("relay-writer")
        self.running: dict[int, Running] = {}
        self.renewed = 0.0  # their leases
        self.given_up: set[int] = set()  # replies that could not be settled: left to their lease, never begun again
        self.work = asyncio.Event()  # something to write
        self.beat = asyncio.Event()  # the next one
        self.first = asyncio.Event()  # something that does not wait for the beat

    @property
    def begun(self) -> set[int]:
        return self.running.keys() | self.given_up

    # --- what happens to a reply

    async def take(self, running: Running, text: str) -> None:
        """Until more is to be read: what comes before the next beat is read at once then."""
        running.add(text)
        self.work.set()
        if running.seq == 0:
            self.first.set()
        if not running.known.finished:
            await self.beat.wait()
        while running.unwritten_size > MOST_UNWRITTEN:
            running.written.clear()
            await running.written.wait()

    def finish(self, running: Running, state: str, code: str = "", error: str = "") -> None:
        """Settle it with the next beat."""
        running.end(state, code, error)
        self.work.set()
        self.first.set()

    # --- the beat

    async def flush_for_ever(self) -> None:
        beaten = 0.0
        while True:
            await self._wait_for_work(beaten + FLUSH)
            if self.work.is_set() or monotonic() - beaten >= BEAT:
                self.work.clear()
                self.first.clear()
                await self._gather()
                with surviving("flush"):
                    await self.flush()
                beaten = monotonic()

    async def _wait_for_work(self, not_before: float) -> None:
        """Until there is something to write and the beat is over; a first delta or an ending cuts the beat short."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT / 4):
                await self.work.wait()
            if (rest := not_before - monotonic()) > 0:
                async with asyncio.timeout(rest):
                    await self.first.wait()

    async def _gather(self) -> None:
        """Let every reader take what has come since it last did."""
        self.beat.set()
        self.beat = asyncio.Event()
        await asyncio.sleep(0)

    async def flush(self) -> None:
        batch = {pk: delta for pk, running in self.running.items() if (delta := running.take())}
        ended = [running for running in self.running.values() if running.ending][:ENDS_PER_FLUSH]
        if batch or ended or (self.running and monotonic() - self.renewed >= BEAT):
            await self._append(batch)
        for running in ended:
            if running.reply.pk in self.running:
                await self._settle_somehow(running)
        if any(running.ending for running in self.running.values()):
            self.work.set()

    async def _append(self, batch: dict[int, Delta]) -> None:
        """Commit, then publish."""
        asked = set(self.running)  # what begins while this is written is not lost
        with metrics.FLUSH.time():
            mine = await self.thread.write(Message.objects.append, self.process, batch, asked)
        self.renewed = monotonic()
        self._drop_lost(asked - mine)
        for pk in batch.keys() & mine:
            running = self.running[pk]
            metrics.LAG.observe(monotonic() - running.since)
            running.written.set()
            self.publishing.delta(running, batch[pk])

    def _drop_lost(self, gone: set[int]) -> None:
        """Another process took these for dead while this one slept: not a word more is written."""
        for pk in gone & self.running.keys():
            log.warning("Reply %s was taken over by another process", pk)
            self.running.pop(pk).end("lost")

    async def stop_for_ever(self) -> None:
        """A stop whose hint was lost stands in the rows."""
        while True:
            await asyncio.sleep(STOP_POLL)
            if self.running:
                with surviving("stop poll"):
                    for pk in await self.thread.write(Message.objects.stop_wanted, self.process):
                        self.stop(pk)

    def stop(self, pk: int) -> None:
        if running := self.running.get(pk):
            self.finish(running, "stopped")

    # --- the end of a reply

    async def _settle_somehow(self, running: Running) -> None:
        """One reply that cannot be settled as it is must not hold up the others: it ends without its details."""
        try:
            await self._settle(running)
        except Exception:
            log.exception("Reply %s could not be settled", running.reply.pk)
            self.given_up.add(running.reply.pk)
            self.running.pop(running.reply.pk, None)
            with surviving("settle"):
                await self.thread.write(partial(running.reply.interrupt, self.process, "internal"))

    async def _settle(self, running: Running) -> None:
        ending, known = running.ending, running.known
        assert ending is not None
        text = "".join(running.text)
        html, version = await self.publishing.rendered(text)
        settle = partial(
            running.reply.settle,
            ending.state,
            process=self.process,
            code=ending.code,
            error=ending.error,
            text=text,
            html=html,
            html_version=version,
            upstream_id=known.upstream_id,
            usage=known.usage,
            thinking=str(known.thinking),
        )
        if await self.thread.write(settle):
            metrics.ENDED.labels(ending.state).inc()
        self.running.pop(running.reply.pk, None)
