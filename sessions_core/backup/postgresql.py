"""A PostgreSQL database, with the programs that come with it: pg_dump, pg_restore and psql."""

import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.db import connection

from .contents import BackupFailed, Contents, look, refuse_foreign

SUFFIX = ".pgdump"
BEGINS_WITH = b"PGDMP"
FOR_DJANGO = {"pool", "options", "isolation_level", "assume_role", "server_side_binding"}
OF_DEBIAN = Path("/usr/lib/postgresql")
PLAIN = ("--no-owner", "--no-privileges")
# Tables only: to rename the schema one must own it, which before PostgreSQL 15 only its superuser does.
SET_ASIDE = """
    CREATE SCHEMA {kept};
    DO $$ DECLARE mine record; BEGIN
        FOR mine IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
            EXECUTE format('ALTER TABLE public.%I SET SCHEMA {kept}', mine.tablename);
        END LOOP;
    END $$;
"""


def dump(target: Path) -> None:
    """One moment of the database; whoever writes to it meanwhile goes on."""
    run("pg_dump", "--format=custom", *PLAIN, "--exclude-schema=before_restore_*", f"--file={target}", address())


def examine(file: Path) -> Contents:
    """Read it into a database of its own, which is gone afterwards."""
    refuse_foreign(migrations(file))
    with scratch() as name:
        run("pg_restore", "--exit-on-error", "--single-transaction", *PLAIN, f"--dbname={address(name)}", str(file))
        return contents_of(name)


def read_through(file: Path) -> None:
    """Every byte is unpacked once."""
    run("pg_restore", f"--file={os.devnull}", str(file))


def migrations(file: Path) -> list[tuple]:
    rows = run("pg_restore", "--data-only", "--table=django_migrations", "--file=-", str(file))
    return re.findall(r"^\d+\t(\w+)\t(\w+)\t", rows, re.MULTILINE)


@contextmanager
def scratch() -> Iterator[str]:
    import psycopg

    name = f"webchat_check_{uuid.uuid4().hex}"
    with psycopg.connect(address(), password=password(), autocommit=True) as server:
        try:
            server.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        except psycopg.errors.InsufficientPrivilege:
            user = connection.settings_dict["USER"]
            raise BackupFailed(
                f"The file can be read to its end. To look into it, PostgreSQL must let {user} make a database for "
                f'a moment: ALTER ROLE "{user}" CREATEDB;'
            ) from None
        try:
            yield name
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def contents_of(name: str) -> Contents:
    import psycopg

    with psycopg.connect(address(name), password=password()) as database:
        return look(lambda query: database.execute(query.encode()).fetchall())


def restore(file: Path, kept: str) -> str:
    """Set the tables that are there aside and read in the file, all in one transaction; gives where they are kept."""
    read_through(file)
    refuse_foreign(migrations(file))
    kept = kept.replace("-", "_")
    filled = bool(connection.introspection.table_names())
    connection.close()
    first = SET_ASIDE.format(kept=kept) if filled else "SELECT 1"
    psql = [program("psql"), "--quiet", "--no-psqlrc", "--single-transaction", "--set=ON_ERROR_STOP=1"]
    psql += ["--output", os.devnull, "--dbname", address(), "--command", first, "--file=-"]
    source = [program("pg_restore"), *PLAIN, "--file=-", str(file)]
    with (
        subprocess.Popen(source, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reading,  # noqa: S603
        subprocess.Popen(psql, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as writing,  # noqa: S603
    ):
        pass_on(reading, writing)
        said = "".join(end.stderr.read().decode(errors="replace") for end in (writing, reading) if end.stderr)
    if reading.returncode or writing.returncode:
        raise BackupFailed(f"The database is as it was; reading the backup in failed: {first_line(said)}")
    return f"the schema {kept} of the database" if filled else ""


def pass_on(reading: subprocess.Popen, writing: subprocess.Popen) -> None:
    """psql takes the end of its input for the end of the work: it hears of one only when all has been read."""
    assert reading.stdout and writing.stdin
    try:
        shutil.copyfileobj(reading.stdout, writing.stdin, 1 << 20)
        if reading.wait():
            writing.kill()
        writing.stdin.close()
    except BrokenPipeError:  # psql gave up, and has said why
        reading.kill()
        with suppress(BrokenPipeError):
            writing.stdin.close()


def run(name: str, *arguments: str) -> str:
    command = [program(name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment())  # noqa: S603
    if done.returncode:
        raise BackupFailed(f"{name} failed: {first_line(done.stderr)}")
    return done.stdout


def first_line(said: str) -> str:
    lines = said.strip().splitlines() or ["it said nothing."]
    return next((line for line in lines if "error" in line.lower()), lines[0])


def program(name: str) -> str:
    """One at least as new as the server; Debian keeps one for each version beside the one on the PATH."""
    wanted = server_version()
    beside = sorted(OF_DEBIAN.glob(f"*/bin/{name}"), key=lambda path: -float(path.parts[-3]))
    there = [path for path in (shutil.which(name), *map(str, beside)) if path]
    if fitting := next((path for path in there if version(path) >= wanted), None):
        return fitting
    remedy = f"Install PostgreSQL's client programs of version {wanted} (Debian: postgresql-client-{wanted})."
    if there:
        raise BackupFailed(f"{name} is of version {version(there[0])} and the server of {wanted}. {remedy}")
    raise BackupFailed(f"{name} is not installed here. {remedy}")


def version(path: str) -> int:
    said = subprocess.run([path, "--version"], capture_output=True, text=True).stdout  # noqa: S603
    found = re.search(r"\d+", said)
    return int(found[0]) if found else 0


def server_version() -> int:
    connection.ensure_connection()
    return int(getattr(connection, "pg_version", 0)) // 10_000


def address(name: str = "") -> str:
    """Where the database is, for a command line: others on this machine can read that, so without the password."""
    from psycopg.conninfo import make_conninfo

    known = connection.settings_dict
    parts: dict[str, Any] = {key: value for key, value in known["OPTIONS"].items() if key not in FOR_DJANGO}
    parts |= {"dbname": name or known["NAME"], "user": known["USER"], "host": known["HOST"], "port": known["PORT"]}
    return make_conninfo("", **{key: value for key, value in parts.items() if value})


def password() -> str:
    return connection.settings_dict["PASSWORD"]


def environment() -> dict[str, str]:
    return os.environ | ({"PGPASSWORD": password()} if password() else {})
