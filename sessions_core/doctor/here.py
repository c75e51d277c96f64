"""This machine's side: database, clock, processes, Redis."""

import time
from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from .. import health
from ..models import Process, User
from . import Finding, bad, note, ok

CLOCKS_APART = timedelta(seconds=2)
TWO_MEGABYTES = """
    create temporary table webchat_room on commit drop as
    select repeat(md5(n::text), 30) as filling from generate_series(1, 2000) n
"""
SLOW = 0.1  # seconds for a question that touches no row


def database() -> Iterator[Finding]:
    began = time.monotonic()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        yield bad("database", f"It does not answer: {first_line(error)}", "Check DATABASE_URL, and that it runs.")
        yield from disk()
        return
    took = time.monotonic() - began
    yield (note if took > SLOW else ok)("database", f"{connection.display_name} answers in {took * 1000:.0f} ms.")
    yield from [room()] if connection.vendor == "postgresql" else disk()
    migrated = health.migrations()
    if migrated.state != "ok":
        yield bad("database", "It is empty, or of an older release.", "Start `manage.py serve` once.")
        return
    yield clock()


def disk() -> Iterator[Finding]:
    for check in health.disk():
        says, _, remedy = check.says.partition(". ")
        if check.state == "ok":
            yield ok("disk", "There is room for more.")
        else:
            yield (bad if check.state == "dead" else note)("disk", f"{says}.", remedy)


def room() -> Finding:
    """PostgreSQL tells nobody how full its disk is: it is asked to write two megabytes, and to forget them."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(TWO_MEGABYTES)
    except OperationalError as error:
        return bad("disk", f"PostgreSQL cannot write: {first_line(error)}", "Make room on its disk.")
    except DatabaseError as error:
        return note("disk", f"Whether there is room cannot be tried: {first_line(error)}", "Watch PostgreSQL's disk.")
    return ok("disk", "There is room for more.")


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def clock() -> Finding:
    """Leases run by the database's clock, times on the page by this machine's."""
    theirs = User.objects.order_by().values_list(Now(), flat=True).first()
    apart = abs(timezone.now() - theirs) if theirs else timedelta(0)
    if apart > CLOCKS_APART:
        words = f"This machine's clock and the database's are {apart.total_seconds():.0f} s apart."
        return note("clock", words, "Let both follow a time server.")
    return ok("clock", "The clocks agree.")


def processes() -> Iterator[Finding]:
    alive = list(Process.objects.alive())
    found = health.relay(alive)
    if found.state == "ok":
        yield ok("relay", f"{sum(process.relay for process in alive)} of {len(alive)} processes carry replies.")
    else:
        yield bad("relay", "No process carries replies.", "Start `manage.py serve` or `manage.py relay`.")
    shared = health.redis(alive)
    if shared.state == "degraded":
        own = "See whether they reach it: their REDIS_URL, and the network between."
        yield note("redis", shared.says, own if settings.REDIS_URL else "Set REDIS_URL to one Redis for all processes.")


def redis() -> Iterator[Finding]:
    if not settings.REDIS_URL:
        return
    from redis import RedisError, from_url

    try:
        with from_url(settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=2) as client:
            listener = client.pubsub(ignore_subscribe_messages=True)
            listener.subscribe("webchat:doctor")
            listener.get_message(timeout=1)
            client.publish("webchat:doctor", "here")
            heard = any(listener.get_message(timeout=0.5) for _ in range(4))
    except (RedisError, OSError) as error:
        yield bad("redis", f"It does not answer: {first_line(error)}", "Check REDIS_URL, and that it runs.")
        return
    if heard:
        yield ok("redis", "What is published is heard.")
    else:
        yield bad("redis", "What is published is not heard.", "Allow PUBLISH and SUBSCRIBE to this user of Redis.")
