import asyncio
import fcntl
import secrets
import socket
import threading
from typing import IO

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import connection, connections
from django.utils.module_loading import import_string

from chatapp import prepare
from sessions_core import links
from sessions_core.demo import DemoGateway
from sessions_core.gateway import tools
from sessions_core.models import User

DRAIN = 10.0  # seconds for running replies to end at SIGTERM
WILDCARDS = ("0.0.0.0", "::", "")  # noqa: S104


class Command(BaseCommand):
    help = "Start the web chat: prepares everything it needs, then serves until Ctrl-C or SIGTERM."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen on (default: this machine only).")
        parser.add_argument("--port", type=int, default=8000, help="Port to listen on; 0 takes a free one.")

    def handle(self, *, host: str, port: int, **options) -> None:
        from chatapp.server import WebServer, listen

        bound = listen(host, port)
        if host in WILDCARDS:
            settings.ALLOWED_HOSTS += [socket.gethostname(), f"{socket.gethostname()}.local"]
        elif host not in settings.ALLOWED_HOSTS:
            settings.ALLOWED_HOSTS.append(f"[{host}]" if ":" in host else host)
        prepare.database(self.say)
        prepare.static_files(self.say)
        first_link = None if User.objects.exists() else links.first_account_path()
        connections.close_all()
        address = settings.PUBLIC_URL or address_of(bound, host)
        server = WebServer(import_string(settings.ASGI_APPLICATION), bound)
        service = Service(address, first_link, self.say)
        server.run(service.begin, service.end)
        self.say("Stopped.")

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def address_of(bound: socket.socket, host: str) -> str:
    name = "127.0.0.1" if host in WILDCARDS else f"[{host}]" if ":" in host else host
    return f"http://{name}:{bound.getsockname()[1]}"


class Service:
    """What runs beside the pages in the same loop: the demo gateway, where no other is set, and the relay."""

    def __init__(self, address: str, first_link: str | None, say: prepare.Say) -> None:
        self.address, self.first_link, self.say = address, first_link, say
        self.demo: DemoGateway | None = None

    async def begin(self) -> None:
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
        self.announce()
        asyncio.get_running_loop().call_later(0.5, self.warm_up)

    async def begin_demo(self) -> tuple[str, str]:
        token = secrets.token_urlsafe(32)
        self.demo = DemoGateway(settings.DATA / "demo-gateway.sqlite3", token)
        tools.demo = await self.demo.start(), token
        return tools.demo

    def announce(self) -> None:
        links.remember_address(self.address)
        self.say(f"OpenClaw WebChat is at {self.address}/")
        if self.first_link:
            self.say(
                f"There is no account yet. Make the first one, an administrator:\n  {self.address}{self.first_link}"
            )
        if self.demo:
            self.say("No gateway is set, so a demo answers. OPENCLAW_GATEWAY_URL connects a real one (see README.md).")
        self.say("Ctrl-C stops it.")

    def warm_up(self) -> None:
        """Importing the SDK takes up to two seconds: neither the first page nor the first message waits for it."""
        threading.Thread(target=lambda: self.gateway.client, daemon=True).start()

    async def end(self) -> None:
        self.say("Stopping: running replies may take up to 10 s to end …" if self.relay.running else "Stopping …")
        await self.relay.drain(DRAIN)
        if self.demo:
            tools.demo = None
            await self.demo.stop()


def lock_data_folder() -> tuple[IO | None, bool]:
    """On SQLite, whether this is the only process with this data folder: then no other can be writing a reply."""
    if connection.vendor != "sqlite":
        return None, False
    file = (settings.DATA / "serve.lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file, True
    except OSError:
        return file, False
