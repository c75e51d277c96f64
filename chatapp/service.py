"""What runs beside the pages or without them: the hub, the relay, and the demo gateway where no other is set."""

import asyncio
import fcntl
import secrets
import threading
from typing import IO

from django.conf import settings
from django.db import connection

from sessions_core.demo import DemoGateway
from sessions_core.gateway import tools

from .prepare import Say


class Service:
    def __init__(self, say: Say, *, relay: bool = True) -> None:
        self.say = say
        self.with_relay = relay
        self.demo: DemoGateway | None = None

    async def begin(self) -> None:
        from sessions_core.hub import hub

        hub.connect()
        if self.with_relay:
            await self._begin_relay()

    async def _begin_relay(self) -> None:
        from sessions_core.gateway import Gateway
        from sessions_core.hub import hub
        from sessions_core.relay import Relay

        url, token = settings.OPENCLAW_GATEWAY_URL, settings.OPENCLAW_GATEWAY_TOKEN
        if not url:
            url, token = await self.begin_demo()
        self.gateway = Gateway(url, token)
        self.relay = Relay(self.gateway, hub)
        self.lock, alone = lock_data_folder()
        self.relay.start(alone=alone)
        asyncio.get_running_loop().call_later(0.5, self._warm_up)

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

        if self.with_relay:
            wait = f"Stopping: running replies may take up to {in_words(drain)} to end …"
            self.say(wait if self.relay.running else "Stopping …")
            await self.relay.drain(drain)
        if self.demo:
            tools.demo = None
            await self.demo.stop()
        await hub.disconnect()


def in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


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
