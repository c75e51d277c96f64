"""Ports for what tests start, stop and start again at the same place."""

import os
import socket
from itertools import count

FIRST, EACH = 12_000, 2_500  # below those that the system gives to whoever asks for any
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
_next = count(os.getpid() % EACH)


def free_port() -> int:
    """One that nobody else is given while its server is down: neither another worker's tests nor any program."""
    for n in _next:
        port = FIRST + _worker * EACH + n % EACH
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("unreachable")
