"""From the question to the ending: the attempts at one reply, and what all of them say about the gateway."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from time import monotonic

from .. import gateway as wire
from .. import metrics
from ..gateway import tools
from ..models import Message
from .running import Running
from .writing import Writing

log = logging.getLogger(__name__)

RETRIES = 2
FIRST_PAUSE = 0.5  # seconds before the second attempt, three times as long before the third
RETRY_WITHIN = 60.0  # seconds
ARCHIVE_WITHIN = 10.0  # seconds, for a look into the gateway's archive and for what is done there
BREAKER_AFTER, BREAKER_PAUSE = 5, 10.0  # connect failures in a row; seconds without a new attempt


class Breaker:
    """After several connect failures in a row, nothing new is tried for a while; what waits keeps waiting."""

    def __init__(self) -> None:
        self.failures = 0
        self.paused_until = 0.0
        self.trouble = ""  # the code of what the gateway did wrong last; empty after a reply that went well
        self.tried = False  # since somebody was told

    @property
    def open(self) -> bool:
        return monotonic() < self.paused_until

    def succeeded(self) -> None:
        self.failures, self.trouble, self.tried = 0, "", True

    def failed(self, error: wire.GatewayError) -> None:
        self.failures = self.failures + 1 if isinstance(error, wire.Unreachable) else 0
        self.trouble, self.tried = error.code, True
        metrics.GATEWAY_ERRORS.labels(error.code).inc()
        if self.failures >= BREAKER_AFTER:
            self.paused_until = monotonic() + BREAKER_PAUSE
            log.warning("The gateway cannot be reached; the next attempt is in %.0f s", BREAKER_PAUSE)


class Carrying:
    def __init__(self, gateway: wire.Gateway, writing: Writing, answered: Callable[[Message], None]) -> None:
        self.gateway = gateway
        self.writing = writing
        self.answered = answered  # told of each reply that went well
        self.breaker = Breaker()

    async def carry(self, running: Running) -> None:
        """Every way out ends the reply, but for a drain that cancels what it could not end."""
        try:
            await self._try(running)
        except asyncio.CancelledError:
            if not running.ending:
                raise
        except Exception:
            log.exception("A reply could not be carried")
            words = "Something went wrong in this app; what arrived is kept."
            self.writing.finish(running, "failed", "internal", words)

    async def _try(self, running: Running) -> None:
        """Another attempt only where the gateway cannot have seen the message."""
        began = monotonic()
        turns = await self.writing.thread.write(running.reply.turns)
        for number in range(RETRIES + 1):
            try:
                return await self._attempt(running, turns)
            except wire.GatewayError as error:
                self.breaker.failed(error)
                pause = error.retry_after if error.retry_after is not None else FIRST_PAUSE * 3**number
                late = number == RETRIES or monotonic() - began + pause > RETRY_WITHIN
                if late or not error.safe_to_repeat or running.known.characters:
                    return self.writing.finish(running, error.state, error.code, str(error))
                await asyncio.sleep(pause)

    async def _attempt(self, running: Running, turns: list[dict[str, str]]) -> None:
        """A session in the gateway's archive takes no turn, and only fails: nobody has heard this one, nor is it kept
        there. So once the session is taken out, the same is asked again, once."""
        try:
            await self._ask(running, turns)
        except (wire.Failed, wire.UpstreamError):
            if running.known.characters or not await self._unarchived(running):
                raise
            running.known.upstream_id = ""  # of the attempt that nobody heard
            await self._ask(running, turns)
        self.breaker.succeeded()
        self.writing.finish(running, "done", *running.known.trouble)
        self.answered(running.reply)

    async def _unarchived(self, running: Running) -> bool:
        """False also where that cannot be known: the failure stands as it is."""
        key, agent = running.key, running.reply.chat.agent
        try:
            restored = tools.manages_sessions() and await asyncio.to_thread(
                tools.restore_session, key, agent, ARCHIVE_WITHIN
            )
        except wire.GatewayError as error:
            log.info("Whether the gateway has archived %s is not known: %s", key, error)
            return False
        if restored:
            log.warning("The gateway had archived %s; it is taken out and asked again", key)
        return restored

    async def _ask(self, running: Running, turns: list[dict[str, str]]) -> None:
        stream = self.gateway.stream(turns, running.key, running.reply.chat.agent, running.known)
        try:
            async with asyncio.timeout(self.gateway.total_timeout), aclosing(stream):
                async for text in stream:
                    await self.writing.take(running, text)
        except TimeoutError:
            raise wire.TotalTimeout from None
