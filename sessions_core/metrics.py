"""What a process counts about itself, and what the rows say, for Prometheus."""

from collections.abc import Iterator

from django.db import DatabaseError
from django.db.models import Count
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from .models import Message, Process

BEATS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)  # seconds
UNFINISHED = ("waiting", "streaming", "queued")  # which have an index

registry = CollectorRegistry()
FLUSH = Histogram("webchat_flush_seconds", "Time one commit of new text takes.", buckets=BEATS, registry=registry)
LAG = Histogram("webchat_delta_lag_seconds", "From text arriving to text committed.", buckets=BEATS, registry=registry)
LOOP = Histogram("webchat_loop_delay_seconds", "How late the event loop is.", buckets=BEATS, registry=registry)
ENDED = Counter("webchat_replies_ended", "Replies this process ended.", ["state"], registry=registry)
GATEWAY_ERRORS = Counter("webchat_gateway_errors", "Failed attempts by their code.", ["code"], registry=registry)
SOCKETS = Gauge("webchat_sockets", "Open pages of this process.", registry=registry)


class Rows(Collector):
    """What the database knows: the same whichever process is asked."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Without a database, what the process counts about itself is still told."""
        try:
            found = list(self.look())
        except DatabaseError:
            found = []
        yield GaugeMetricFamily("webchat_database_up", "Whether the database answered just now.", bool(found))
        yield from found

    def look(self) -> Iterator[GaugeMetricFamily]:
        counted = Message.objects.in_motion().values("state").annotate(n=Count("pk")).order_by()
        found = {row["state"]: row["n"] for row in counted}
        messages = GaugeMetricFamily("webchat_messages", "What is not finished, by state.", labels=["state"])
        for state in UNFINISHED:
            messages.add_metric([state], found.get(state, 0))
        yield messages
        alive = list(Process.objects.alive())
        yield GaugeMetricFamily("webchat_processes", "Processes that are there.", len(alive))
        carrying = sum(process.relay for process in alive)
        yield GaugeMetricFamily("webchat_relays", "Those of them that carry replies.", carrying)


registry.register(Rows())
