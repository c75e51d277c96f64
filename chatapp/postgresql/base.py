"""Django's PostgreSQL, except that a connection which died while nobody used it is not given to anybody."""

from select import POLLIN, poll
from typing import Any

from django.db.backends.postgresql import base
from psycopg import Connection


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """After a restart of PostgreSQL the pool has only dead ones. Its own check would wait a second after each."""
        while hung_up(connection := super().get_new_connection(conn_params)):
            connection.close()
            self.pool.putconn(connection)  # which throws it away and makes a new one
        return connection


def hung_up(connection: Connection) -> bool:
    """Nobody asked anything, so there is nothing to read but the last words and the end."""
    waiting = poll()
    waiting.register(connection.fileno(), POLLIN)
    return bool(waiting.poll(0))
