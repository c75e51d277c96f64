import socket
from functools import partial

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import connections
from django.utils.module_loading import import_string

from chatapp import checks, prepare
from chatapp.service import Service
from sessions_core import links
from sessions_core.models import User

WILDCARDS = ("0.0.0.0", "::", "")  # noqa: S104


class Command(BaseCommand):
    help = "Start the web chat: prepares everything it needs, then serves until Ctrl-C or SIGTERM."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen on (default: this machine only).")
        parser.add_argument("--port", type=int, default=8000, help="Port to listen on; 0 takes a free one.")
        parser.add_argument(
            "--no-relay", action="store_true", help="Only pages: `manage.py relay` carries the replies."
        )

    def handle(self, *, host: str, port: int, no_relay: bool, **options) -> None:
        from chatapp.server import WebServer, listen

        prepare.memory()
        checks.refuse_unsafe(host)
        bound = listen(host, port)
        if host in WILDCARDS:
            settings.ALLOWED_HOSTS += [socket.gethostname(), f"{socket.gethostname()}.local"]
        elif host not in settings.ALLOWED_HOSTS:
            settings.ALLOWED_HOSTS.append(f"[{host}]" if ":" in host else host)
        with prepare.in_a_sentence("It cannot start"):
            prepare.database(self.say)
            prepare.static_files(self.say)
            first_link = None if User.objects.exists() else links.first_account_path()
        connections.close_all()
        self.address = settings.PUBLIC_URL or address_of(bound, host)
        server = WebServer(import_string(settings.ASGI_APPLICATION), bound)
        service = Service(self.say, pages=True, relay=not no_relay)

        async def begin() -> None:
            with prepare.in_a_sentence("It cannot start"):
                await service.begin()
                self.announce(service, first_link)

        server.run(begin, partial(service.end, settings.SERVE_DRAIN_SECONDS))
        self.say("Stopped.")

    def announce(self, service: Service, first_link: str | None) -> None:
        links.remember_address(self.address)
        self.say(f"OpenClaw WebChat is at {self.address}/")
        if first_link:
            self.say(f"There is no account yet. Make the first one, an administrator:\n  {self.address}{first_link}")
        if service.demo:
            self.say("No gateway is set, so a demo answers. OPENCLAW_GATEWAY_URL connects a real one (see README.md).")
        self.say("Ctrl-C stops it.")

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def address_of(bound: socket.socket, host: str) -> str:
    name = "127.0.0.1" if host in WILDCARDS else f"[{host}]" if ":" in host else host
    return f"http://{name}:{bound.getsockname()[1]}"
