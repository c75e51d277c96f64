"""What an operator's command says when the database does not do what it asks: each cause has another remedy."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError
from django.db import OperationalError, ProgrammingError, connection

from sessions_core import health


@contextmanager
def a_ready_database() -> Iterator[None]:
    try:
        yield
    except (OperationalError, ProgrammingError) as error:
        raise CommandError(why_not(error)) from None


def why_not(error: Exception) -> str:
    if connection.connection is None or not connection.is_usable():
        return f"The database {place()} cannot be reached ({error}). Check DATABASE_URL, and that it runs."
    if health.migrations().state != "ok":
        return f"The database is not ready ({error}). Start `manage.py serve` once."
    return f"The database did not do it ({error}). `manage.py doctor` looks for the cause."


def place() -> str:
    """Without the password."""
    known = connection.settings_dict
    if connection.vendor == "sqlite":
        return str(known["NAME"])
    return f"{known['NAME']} at {known['HOST'] or 'localhost'}:{known['PORT'] or 5432}"
