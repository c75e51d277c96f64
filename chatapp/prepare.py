"""What a start does before the first page: database brought up to date, a copy kept, static files in place."""

import ctypes
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from sessions_core import health

KEPT_COPIES = 5
UNUSED = ["htm*-4.js", "htm*-4.min.js", "hx-*.js"]  # of django-htmx: compressing them takes seconds

M_ARENA_MAX = -8  # of glibc's malloc.h
ARENAS = 2

Say = Callable[[str], None]


def memory() -> None:
    """Let all threads share two of malloc's arenas, before there are threads; MALLOC_ARENA_MAX says otherwise.

    With one for each thread, up to eight a core, what one gives back is of no use to the next, and the process grows
    for hours (docs/performance.md). Only glibc has arenas.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(AttributeError, OSError, TypeError):
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def database(say: Say) -> None:
    """Migrate, after copying a SQLite database aside; refuse a database of a newer release."""
    with in_a_sentence("The database cannot be opened"):
        connection.ensure_connection()
    if connection.vendor == "sqlite":
        check_wal()
    executor = MigrationExecutor(connection)
    refuse_newer(executor)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        if executor.loader.applied_migrations:
            copy_aside(say)
        say("Preparing the database …")
        call_command("migrate", verbosity=0, interactive=False)


@contextmanager
def in_a_sentence(what: str) -> Iterator[None]:
    """What the database or the disk refuses is for whoever starts this to mend; a traceback would bury it."""
    try:
        yield
    except (OperationalError, OSError) as error:
        full = [check.says for check in health.disk() if check.state == "dead"]
        raise CommandError(full[0] if full else f"{what}: {error}") from None


def check_wal() -> None:
    with connection.cursor() as cursor:
        mode = cursor.execute("PRAGMA journal_mode").fetchone()[0]
    if mode != "wal":
        raise CommandError(
            f"The folder {settings.DATA} is on a disk that cannot hold the database safely (SQLite's journal mode is "
            f"{mode}, not wal). Set WEBCHAT_DATA to a local disk, or use PostgreSQL (DATABASE_URL)."
        )


def refuse_newer(executor: MigrationExecutor) -> None:
    known = executor.loader.graph.nodes.keys() | executor.loader.replacements.keys()
    apps = {app for app, _ in executor.loader.graph.nodes}
    unknown = sorted(
        f"{app}.{name}" for app, name in executor.loader.applied_migrations if app in apps and (app, name) not in known
    )
    if unknown:
        raise CommandError(
            f"The database belongs to a newer release of this app (it has {unknown[0]}). "
            "Install that release, or choose another folder with WEBCHAT_DATA."
        )


def copy_aside(say: Say) -> None:
    """SQLite's own backup: a plain copy of a database in use would be torn."""
    source = Path(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or not source.stat().st_size:
        return
    copy = source.with_name(f"{source.stem}-before-update-{timezone.now():%Y%m%d-%H%M%S}.sqlite3")
    say(f"Copying the database to {copy.name} …")
    try:
        with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(copy)) as new:
            old.backup(new)
    except sqlite3.Error as error:
        copy.unlink(missing_ok=True)
        raise CommandError(f"The database could not be copied aside, so nothing was changed: {error}") from None
    for old_copy in sorted(source.parent.glob(f"{source.stem}-before-update-*.sqlite3"))[:-KEPT_COPIES]:
        old_copy.unlink(missing_ok=True)


def static_files(say: Say) -> None:
    """Hashed and compressed into the data folder, once for each change."""
    stamp, now = settings.STATIC_ROOT / ".made-from", fingerprint()
    if stamp.exists() and stamp.read_text() == now:
        return
    say("Preparing the static files …")
    call_command("collectstatic", verbosity=0, interactive=False, ignore_patterns=UNUSED)
    stamp.write_text(now)


def fingerprint() -> str:
    found = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list([]):
            file = Path(storage.path(path)).stat()
            found.update(f"{path} {file.st_size} {file.st_mtime_ns}\n".encode())
    return found.hexdigest()
