"""A copy of all this installation holds, made while it works; and putting one back.

A backup is a file with the database, and beside it the generated secret key, where that is in use. What a start makes
again (static files, the demo's memory) is not in it, neither are the settings nor what the gateway remembers.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, connections
from django.utils import timezone

from ..models import Process, User
from . import postgresql, sqlite
from .contents import BackupFailed, Contents, look

__all__ = ["BackupFailed", "Contents", "Made", "Restored", "examine", "make", "restore"]

NAME = re.compile(r"webchat-\d{8}-\d{6}\.(sqlite3|pgdump)")
KEY = ".secret_key"
LOCK = "serve.lock"  # held by the process that carries the replies of this data folder


@dataclass(frozen=True)
class Made:
    file: Path
    size: int
    key: Path | None = None
    removed: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Restored:
    content: Contents
    kept: str  # what was there before; empty: nothing
    key: str  # what became of the secret key


def engine() -> ModuleType:
    return sqlite if connection.vendor == "sqlite" else postgresql


def secret_key_file() -> Path:
    return settings.DATA / "secret_key"


def make(folder: Path | None = None, keep: int = 0) -> Made:
    """Write a backup into the folder and check it; of older ones keep so many, with 0 all. Raises BackupFailed."""
    folder = folder or settings.DATA / "backups"
    if "django_migrations" not in tables():
        raise BackupFailed("There is no database of this app yet. Start `manage.py serve` once.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with unfinished(folder) as part:
            engine().dump(part)
            engine().read_through(part)
            sqlite.write_through(part)
            file = folder / f"webchat-{timezone.now():%Y%m%d-%H%M%S}{engine().SUFFIX}"
            key = copy_key(file)
            part.rename(file)  # last: where the file is, all of it is
        sqlite.write_through(folder)
        return Made(file, file.stat().st_size, key, keep_newest(folder, keep))
    except OSError as error:
        raise BackupFailed(f"The backup cannot be written to {folder}: {error.strerror}.") from None


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """An empty file for this user only, which one backup at a time fills; gone unless it was given its name."""
    path = folder / ".webchat.part"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        if not (locked(file.fileno()) and is_at(path, file.fileno())):
            raise BackupFailed(f"Another backup is being written to {folder}. Wait for it, or use another folder.")
        file.truncate(0)  # what one that was killed left behind
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


def is_at(path: Path, descriptor: int) -> bool:
    """Not so, when another backup has given the file its name since it was opened."""
    return path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor))


def locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def copy_key(file: Path) -> Path | None:
    """The key that signs cookies and links, where the app made it: without it all must sign in again."""
    if not uses_generated_key():
        return None
    key = file.with_suffix(KEY)
    write(key, settings.SECRET_KEY)
    return key


def uses_generated_key() -> bool:
    with suppress(FileNotFoundError):
        return secret_key_file().read_text().strip() == settings.SECRET_KEY
    return False


def write(path: Path, text: str) -> None:
    """Whole or not at all, for this user only."""
    fresh = path.with_name(f".{path.name}.part")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def keep_newest(folder: Path, keep: int) -> list[Path]:
    """Remove what is older than the newest so many; gives what is gone."""
    found = sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))
    older = found[:-keep] if keep else []
    for path in older:
        path.unlink(missing_ok=True)
        path.with_suffix(KEY).unlink(missing_ok=True)
    return older


def examine(file: Path) -> Contents:
    """What is in a backup, after reading all of it; changes nothing. Raises BackupFailed."""
    return kind_of(file).examine(file)


def kind_of(file: Path) -> ModuleType:
    try:
        with file.open("rb") as content:
            first = content.read(16)
    except OSError as error:
        raise BackupFailed(f"{file} cannot be read: {error.strerror}.") from None
    kind = next((kind for kind in (sqlite, postgresql) if first.startswith(kind.BEGINS_WITH)), None)
    if kind is None:
        raise BackupFailed(f"{file} is no backup of this app. Use a file that `manage.py backup` made.")
    if kind is postgresql and connection.vendor != "postgresql":
        raise BackupFailed(f"{file} is a backup of PostgreSQL. Set DATABASE_URL to a PostgreSQL database.")
    return kind


def restore(file: Path, *, replace: bool = False) -> Restored:
    """Put a backup in the place of what is there, which is kept; raises BackupFailed and then has changed nothing.

    `replace`: also where there are accounts already.
    """
    if kind_of(file) is not engine():
        raise BackupFailed(f"{file} is a backup of SQLite, and DATABASE_URL names another database. Take it out first.")
    with alone():
        if not is_empty() and not replace:
            raise BackupFailed("The database is in use by people already. --yes keeps it aside and restores.")
        connections.close_all()
        kept = engine().restore(file, f"before-restore-{timezone.now():%Y%m%d-%H%M%S}")
        key = restore_key(file.with_suffix(KEY))
        return Restored(here(), kept, key)


@contextmanager
def alone() -> Iterator[None]:
    """While no process of the app works on the database, as far as can be told."""
    with (settings.DATA / LOCK).open("a") as lock:
        names = processes()
        if names or not locked(lock.fileno()):
            who = f" ({', '.join(names)})" if names else ""
            raise BackupFailed(
                f"The app is running{who}. Stop `serve` and `relay` first; one that was killed counts for 20 seconds."
            )
        yield


def processes() -> list[str]:
    with suppress(DatabaseError):  # there is none yet, or a broken one, which is why somebody restores
        return list(Process.objects.alive().values_list("name", flat=True))
    return []


def is_empty() -> bool:
    try:
        return "sessions_core_user" not in tables() or not User.objects.exists()
    except DatabaseError:  # it cannot be read, but that need not mean that there is nothing
        return False


def tables() -> list[str]:
    if connection.vendor == "sqlite" and not sqlite.database().exists():
        return []
    try:
        connection.ensure_connection()
    except OperationalError as error:
        raise BackupFailed(f"The database does not answer: {str(error).strip().splitlines()[0]}.") from None
    return connection.introspection.table_names()


def restore_key(copy: Path) -> str:
    if not copy.exists():
        return "The backup has no secret key: the one in use stays."
    if not uses_generated_key():
        return "SECRET_KEY is set, so the backup's own was left where it is."
    key = copy.read_text().strip()
    if key == settings.SECRET_KEY:
        return ""
    write(secret_key_file(), key)
    return "The secret key was restored too."


def here() -> Contents:
    """Of the database in use."""
    with connection.cursor() as cursor:

        def ask(query: str) -> list[tuple]:
            cursor.execute(query)
            return cursor.fetchall()

        return look(ask)
