"""A throw-away PostgreSQL server for tests: loopback only, nothing synced to disk, gone at the end."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.ports import free_port

CLUSTER = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
CARELESS = "-c fsync=off -c full_page_writes=off"  # it may lose what it said when the machine dies, not by itself


class Failed(RuntimeError):
    """Says which program, and what it and the server's log said."""


class Postgres:
    """A server in a folder; it can be started again on the same port."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.port = free_port()
        if os.geteuid() == 0:
            shutil.chown(folder, account().pw_uid, account().pw_gid)
        run(folder, "initdb", *CLUSTER)

    @property
    def url(self) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        where = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories=''"
        run(self.folder, "pg_ctl", "start", "--log=log", "--options", f"{where} {CARELESS}")

    def stop(self) -> None:
        run(self.folder, "pg_ctl", "stop", "--mode=immediate")


@contextmanager
def running() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="webchat-postgres-") as folder:
        postgres = Postgres(folder)
        try:
            postgres.start()
            yield postgres
        finally:
            with suppress(Failed):  # when it did not start, that is what to say
                postgres.stop()


@contextmanager
def server() -> Iterator[str]:
    """Yields the DATABASE_URL."""
    with running() as postgres:
        yield postgres.url


def run(folder: str, program: str, *arguments: str) -> None:
    path = (programs() or Path()) / program
    command = [str(path), *arguments, "--pgdata=data"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, **unprivileged())
    if done.returncode:
        raise Failed(f"{program} failed: {done.stdout}{done.stderr}{log_in(folder)}")


def programs() -> Path | None:
    """The folder of initdb and pg_ctl, which Debian keeps off the PATH, one for each version."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    initdb: Path | str | None = debian[-1] if debian else shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


def unprivileged() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": account().pw_uid, "group": account().pw_gid, "extra_groups": []}


def account() -> pwd.struct_passwd:
    """PostgreSQL refuses to run as root."""
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def log_in(folder: str) -> str:
    log = Path(folder, "log")
    return log.read_text() if log.exists() else ""
