"""What runs beside the pages or without them: the hub, the relay, and the demo gateway where no other is set."""

import asyncio
import contextvars
import fcntl
import logging
import os
import secrets
import signal
import socket
import threading
import uuid
from contextlib import suppress
from time import monotonic
from typing import IO, TYPE_CHECKING, Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import DatabaseError, connection

from sessions_core import health, metrics
from sessions_core.demo import DemoGateway
from sessions_core.gateway import tools
from sessions_core.listening import listening
from sessions_core.models import Process

from .prepare import Say

if TYPE_CHECKING:
    from sessions_core.relay import Relay


BEAT = 5.0  # seconds between two signs of life
HEARD_WITHIN = 0.5  # seconds that the first one waits for Redis, which would else be said not to answer
LOOK = 0.2  # seconds between two looks how late the loop is

log = logging.getLogger(__name__)


class Service:
    def __init__(self, say: Say, *, pages: bool = False, relay: bool = True) -> None:
        self.say = say
        self.with_pages, self.with_relay = pages, relay
        self.name = f"{socket.gethostname()[:60]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.demo: DemoGateway | None = None
        self.relay: Relay | None = None

    async def begin(self) -> None:
        from sessions_core.hub import hub

        hub.connect()
        if self.with_relay:
            await self._begin_relay()
        else:
            self._begin_reaping()
        if self.with_pages:
            listening.start(hub)
        if hub.bridge:
            await hub.bridge.heard(within=HEARD_WITHIN)
        await self._beat()
        self.beating = [
            asyncio.create_task(work(), context=contextvars.Context())
            for work in (self._beat_for_ever, self._watch_loop)
        ]

    async def _begin_relay(self) -> None:
        from sessions_core.gateway import Gateway, kinds
        from sessions_core.hub import hub
        from sessions_core.relay import Relay

        url, token = settings.OPENCLAW_GATEWAY_URL, settings.OPENCLAW_GATEWAY_TOKEN
        if not url:
            url, token = await self.begin_demo()
        self.gateway = Gateway(url, token, kinds.configured())
        self.relay = Relay(self.gateway, hub)
        self.lock, alone = lock_data_folder()
        self.relay.start(alone=alone)
        asyncio.get_running_loop().call_later(0.5, self._warm_up)

    def _begin_reaping(self) -> None:
        """Where all relays died, what they were writing still ends, and who stops it is obeyed."""
        from sessions_core.relay.tidying import Tidying

        self.tidying = Tidying()
        self.reaping = asyncio.create_task(self.tidying.reap_for_ever(), context=contextvars.Context())

    async def _beat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            try:
                await self._beat()
            except DatabaseError as error:
                log.warning("No sign of life could be left: %s", error)

    async def _watch_loop(self) -> None:
        while True:
            due = monotonic() + LOOK
            await asyncio.sleep(LOOK)
            metrics.LOOP.observe(max(0.0, monotonic() - due))

    async def _beat(self) -> None:
        from sessions_core.hub import hub

        standing: dict[str, Any] = {
            "pages": self.with_pages,
            "relay": self.relay is not None and not self.relay.draining,
            "redis": hub.bridge.up if hub.bridge else None,
        } | (self.relay.news() if self.relay else {})
        others = await in_thread(Process.objects.beat)(self.name, **standing)
        hub.others = bool(others)
        health.carried = any(process.relay for process in others) or standing["relay"]

    async def begin_demo(self) -> tuple[str, str]:
        token = secrets.token_urlsafe(32)
        self.demo = DemoGateway(settings.DATA / "demo-gateway.sqlite3", token)
        tools.demo = await self.demo.start(), token
        return tools.demo

    def _warm_up(self) -> None:
        """Importing the SDK takes up to two seconds: neither the first page nor the first message waits for it."""
        threading.Thread(target=lambda: self.gateway.client, daemon=True).start()

    async def end(self, drain: float) -> None:
        """Let running replies end for so many seconds, then stop."""
        from sessions_core.hub import hub

        if self.relay:
            wait = f"Stopping: running replies may take up to {in_words(drain)} to end …"
            self.say(wait if self.relay.running else "Stopping …")
            await self.relay.drain(drain)
        else:
            self.tidying.over = True
            self.reaping.cancel()
            self.tidying.thread.end()
        await listening.stop()
        for task in self.beating:
            task.cancel()
        with suppress(DatabaseError):
            await in_thread(Process.objects.filter(name=self.name).delete)()
        if self.demo:
            tools.demo = None
            await self.demo.stop()
        await hub.disconnect()


def in_thread(function: Any) -> Any:
    return database_sync_to_async(function, thread_sensitive=False)


def in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def asked_to_stop(loop: asyncio.AbstractEventLoop) -> asyncio.Event:
    """Set by SIGTERM and Ctrl-C.

    Not by the loop's own `add_signal_handler`: that writes to the pipe by which threads wake the loop, and where so
    many have that it is full, the signal is lost.
    """
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopping.set))
    return stopping


def end_in_peace() -> None:
    """From here on the process only ends: SIGTERM once more must not kill it in the middle of that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def lock_data_folder() -> tuple[IO | None, bool]:
    """On SQLite, whether this is the only relay with this data folder: then no other can be writing a reply."""
    if connection.vendor != "sqlite":
        return None, False
    file = (settings.DATA / "serve.lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file, True
    except OSError:
        return file, False
