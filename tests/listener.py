"""What the servers of tests that live in a thread listen with."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable

RST = struct.pack("ii", 1, 0)  # linger for no time at all
ROUNDS = 10  # of the loop: what was accepted is served after some, and closed after more

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Listener:
    """Takes connections on a loopback port, and at its end leaves none of them half open: one that was accepted at
    that moment would be closed by nobody, and show as a warning in whatever test runs then."""

    def __init__(self, serve: Serve) -> None:
        self.serve = serve
        self._tasks: set[asyncio.Future[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Raises OSError where the port is another's."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port, backlog=1000, ssl=tls)

    async def close(self) -> None:
        """Take no more, and break what there is."""
        for listening in self._server.sockets:
            asyncio.get_running_loop().remove_reader(listening.fileno())
        for _ in range(ROUNDS):
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for writer in list(self._writers):  # of those that were broken off before their first step
                writer.transport.abort()
            await asyncio.sleep(0)
        self._server.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._served(reader, writer))
        self._tasks.add(task)
        self._writers.add(writer)
        task.add_done_callback(self._tasks.discard)

    async def _served(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.serve(reader, writer)
        self._writers.discard(writer)


def break_off(writer: asyncio.StreamWriter) -> None:
    """With RST, as a router does that was switched off and on."""
    if not writer.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
    writer.transport.abort()
