"""Whether this installation can do its work; each answer in a sentence for whoever runs it."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from .models import Process

FULL, LOW = 10**6, 10**8  # bytes that are free

_migrated = False  # never undone while a process runs
carried = True  # whether somebody carries replies, by this process's last sign of life


@dataclass(frozen=True)
class Check:
    name: str
    state: str  # ok, degraded: slower but nothing is lost, or dead
    says: str = ""


def checks() -> list[Check]:
    """The database first: where it does not answer, nothing else can be told."""
    try:
        return list(look())
    except DatabaseError as error:
        said = str(error).strip().splitlines()[0]
        return [Check("database", "dead", f"The database does not answer: {said}"), *disk()]


def look() -> Iterator[Check]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    yield Check("database", "ok")
    yield from disk()
    yield migrations()
    alive = list(Process.objects.alive())
    yield relay(alive)
    yield redis(alive)
    yield gateway(alive)


def disk() -> Iterator[Check]:
    """Asked of the system: on a full disk SQLite goes on with what fits into the files it has, and little shows."""
    if connection.vendor != "sqlite":
        return
    folder = Path(connection.settings_dict["NAME"]).parent
    free = shutil.disk_usage(folder).free
    if free < FULL:
        yield Check("disk", "dead", f"The disk of {folder} is full. Make room on it.")
    elif free < LOW:
        yield Check("disk", "degraded", f"The disk of {folder} has only {free // 10**6} MB left. Make room on it.")
    else:
        yield Check("disk", "ok")


def migrations() -> Check:
    global _migrated
    if not _migrated:
        executor = MigrationExecutor(connection)
        _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    if _migrated:
        return Check("migrations", "ok")
    return Check("migrations", "dead", "The database is of an older release. Start `manage.py serve` to update it.")


def relay(alive: list[Process]) -> Check:
    if any(process.relay for process in alive):
        return Check("relay", "ok")
    return Check("relay", "dead", "No process carries replies. Start `manage.py relay`, or `serve` without --no-relay.")


def redis(alive: list[Process]) -> Check:
    if not settings.REDIS_URL:
        if len(alive) > 1:
            return Check("redis", "degraded", "Several processes without REDIS_URL: pages follow every two seconds.")
        return Check("redis", "ok", "Not needed for one process.")
    deaf = [process.name for process in alive if not process.redis]
    if deaf:
        return Check("redis", "degraded", f"Redis does not answer {', '.join(deaf)}: pages follow every two seconds.")
    return Check("redis", "ok")


def gateway(alive: list[Process]) -> Check:
    troubles = sorted({process.trouble for process in alive if process.relay and process.trouble})
    if troubles:
        return Check("gateway", "degraded", f"The last attempt failed: {', '.join(troubles)}.")
    return Check("gateway", "ok")
