"""A SQLite file: copied while it is written to, looked through, exchanged in one step."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from django.db import connection

from .contents import BackupFailed, Contents, look

SUFFIX = ".sqlite3"
BEGINS_WITH = b"SQLite format 3\x00"


def database() -> Path:
    return Path(connection.settings_dict["NAME"])


def dump(target: Path) -> None:
    """One moment of the database; whoever writes to it meanwhile goes on. A plain copy would be torn."""
    source = database()
    size, free = source.stat().st_size, shutil.disk_usage(target.parent).free
    if free < size * 1.1:
        raise BackupFailed(f"The backup takes {megabytes(size)} and {target.parent} has {megabytes(free)} left.")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(source))}?mode=rw", uri=True, timeout=30)) as live:
            live.execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as error:
        raise BackupFailed(f"SQLite could not copy the database: {error}.") from None


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """A file that nobody writes to; reading it leaves nothing beside it."""
    if file.with_name(f"{file.name}-wal").exists():
        raise BackupFailed(f"{file} is a database in use, or a plain copy of one. Use a file that `backup` made.")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro&immutable=1", uri=True)) as copy:
            yield copy
    except sqlite3.Error as error:
        raise BackupFailed(f"{file} is damaged, or no backup of this app: {error}. Use another.") from None


def read_through(file: Path) -> None:
    """Every page of it is as SQLite wrote it, and every row leads to rows that are there."""
    with opened(file) as copy:
        found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
        dangling = copy.execute("PRAGMA foreign_key_check").fetchone()
    if found != "ok" or dangling:
        why = f"a row of {dangling[0]} belongs to none" if dangling else " ".join(found.split())
        raise BackupFailed(f"{file} is damaged: {why}. Use another.")


def examine(file: Path) -> Contents:
    read_through(file)
    with opened(file) as copy:
        return look(lambda query: copy.execute(query).fetchall())


def restore(file: Path, kept: str) -> str:
    """Put the file in the database's place; gives where the one that was there is kept, if any was.

    The new one is whole and checked before one rename exchanges them, so that no moment has half a database.
    """
    target = database()
    fresh = target.with_name(f".{target.name}.restore")
    try:
        shutil.copyfile(file, fresh)
        fresh.chmod(0o600)
        examine(fresh)
        write_through(fresh)
        old = set_aside(target, kept) if target.exists() else None
        fresh.replace(target)
        write_through(target.parent)
    except OSError as error:
        raise BackupFailed(f"{target.parent} cannot be written: {error.strerror}. The database is as it was.") from None
    finally:
        fresh.unlink(missing_ok=True)
    return str(old) if old else ""


def set_aside(target: Path, kept: str) -> Path:
    """The same file under a second name; its journal goes along, or SQLite would play it into the new database."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(target)) as old:
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    aside = target.with_name(f"{target.stem}-{kept}{target.suffix}")
    os.link(target, aside)
    for part in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            target.with_name(target.name + part).rename(aside.with_name(aside.name + part))
    return aside


def write_through(path: Path) -> None:
    """A file, or the names in a folder, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
