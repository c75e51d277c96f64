import asyncio

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, connections

from chatapp import checks, prepare
from chatapp.service import Service, asked_to_stop, end_in_peace


class Command(BaseCommand):
    help = "Carry replies without serving pages, beside `serve --no-relay`. SIGTERM lets running replies end."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--drain",
            type=float,
            default=settings.RELAY_DRAIN_SECONDS,
            help="Seconds that running replies may take to end at SIGTERM (RELAY_DRAIN_SECONDS).",
        )
        parser.add_argument("--metrics-port", type=int, help="Serve /metrics on this port of this machine only.")

    def handle(self, *, drain: float, metrics_port: int | None, **options) -> None:
        if drain < 0:
            raise CommandError("--drain is a number of seconds from 0 on.")
        prepare.memory()
        checks.refuse_unsafe()
        with prepare.in_a_sentence("It cannot start"):
            prepare.database(self.say)
        connections.close_all()
        if metrics_port is not None:
            serve_metrics(metrics_port)
        asyncio.run(self.run(drain))
        self.say("Stopped.")

    async def run(self, drain: float) -> None:
        stopping = asked_to_stop(asyncio.get_running_loop())
        service = Service(self.say)
        with prepare.in_a_sentence("It cannot start"):
            await service.begin()
        self.say(f"The relay works on {connection.vendor}. Ctrl-C stops it.")
        await stopping.wait()
        await service.end(drain)
        end_in_peace()

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def serve_metrics(port: int) -> None:
    from prometheus_client import start_http_server

    from sessions_core.metrics import registry

    try:
        start_http_server(port, addr="127.0.0.1", registry=registry)
    except (OSError, OverflowError) as error:
        raise CommandError(f"Metrics cannot be served on port {port}: {error}.") from None
