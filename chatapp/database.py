"""Which database, and how it is used: one file of SQLite, or a PostgreSQL for several processes."""

from pathlib import Path
from typing import Any

from environ import Env

from .environment import refuse

SQLITE = "django.db.backends.sqlite3"
POSTGRESQL = "chatapp.postgresql"
SQLITE_OPTIONS = {
    # IMMEDIATE: a transaction that reads and then writes would otherwise fail at once when another writes.
    "transaction_mode": "IMMEDIATE",
    "timeout": 10,
    # Read where the system has the file in memory already: a search through all messages takes half the time.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
    "PRAGMA mmap_size=536870912;",
}
POSTGRESQL_OPTIONS = {
    # There are more threads than connections they may take, so these are pooled, not kept by thread.
    # Attempts to connect are a second apart and given up soon, so that the next request makes new ones: left to itself
    # the pool waits twice as long after each, and the app would be away for as long again as the database was.
    "pool": {"min_size": 1, "max_size": 20, "timeout": 3, "reconnect_timeout": 2},
    "connect_timeout": 5,
    # A host that is gone says nothing: 10 s of silence to what was sent, or to being asked, and it is taken for dead.
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    # No transaction of ours waits for anything: one that idles belongs to a process that is suspended or lost.
    "options": "-c statement_timeout=10s -c idle_in_transaction_session_timeout=5s",
}


def database(url: str, file: Path) -> dict[str, Any]:
    """For Django: what the address names, or the file where there is none."""
    config: dict[str, Any] = known(url) if url else {"ENGINE": SQLITE, "NAME": str(file)}
    sqlite = config["ENGINE"] == SQLITE
    config["CONN_MAX_AGE"] = None if sqlite else 0  # opening a file anew costs more than what is read there
    return config | {"OPTIONS": config.get("OPTIONS", {}) | (SQLITE_OPTIONS if sqlite else POSTGRESQL_OPTIONS)}


def known(url: str) -> dict[str, Any]:
    engines = {SQLITE: SQLITE, "django.db.backends.postgresql": POSTGRESQL}
    try:
        config = Env.db_url_config(url)
        return config | {"ENGINE": engines[config["ENGINE"]]}
    except (ValueError, KeyError):
        refuse("DATABASE_URL is no address of a database, such as postgres://user:password@host:5432/webchat.")
