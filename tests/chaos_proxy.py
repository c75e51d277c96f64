"""A TCP proxy on a loopback port that does to connections what networks do; it works in a thread of its own.

with ChaosProxy(gateway.url) as proxy:
    app_uses(proxy.url)
    proxy.cut()            # all connections break, with RST
    proxy.silent = True    # half-open: nothing passes, and nobody is told
    proxy.slice = True     # one byte at a time
    proxy.loses_answer_to = lambda sent: b"COMMIT" in sent
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self
from urllib.parse import urlsplit

from tests.listener import Listener, break_off
from tests.ports import free_port

PIECE = 65536  # bytes
TO_BE_READ = 0.2  # seconds that the other end has for the last words


class ChaosProxy:
    def __init__(self, url: str) -> None:
        self.behind = urlsplit(url)
        self.port = free_port()
        self.latency = 0.0  # seconds, each way
        self.bandwidth = 0.0  # bytes per second, each way; 0: all there is
        self.slice = False
        self.silent = False
        self.loses_answer_to: Callable[[bytes], bool] | None = None
        self.accepted = 0  # connections so far
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """The address behind it, with this port."""
        credentials, at, _ = self.behind.netloc.rpartition("@")
        return self.behind._replace(netloc=f"{credentials}{at}127.0.0.1:{self.port}").geturl()

    def cut(self) -> None:
        """Break every connection there is."""
        self._do(self._cut)

    async def cutting(self) -> None:
        """The same from another loop."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._cut(), self._loop))

    def refuse(self) -> None:
        """Break all, and take no new ones."""
        self._do(self._close)

    def accept(self) -> None:
        """Take connections again, on the same port."""
        self._do(self._open)

    # --- life

    def __enter__(self) -> Self:
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), name="chaos-proxy", daemon=True)
        self._thread.start()
        ready.result(timeout=10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _run(self, ready: "Future[None]") -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._listener = Listener(self._take)
        await self._open()
        ready.set_result(None)
        await self._over.wait()
        await self._close()

    def _do(self, what: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(what(), self._loop).result(timeout=10)

    async def _open(self) -> None:
        await self._listener.open(self.port)

    async def _close(self) -> None:
        await self._cut()
        await self._listener.close()

    async def _cut(self) -> None:
        for writer in list(self._writers):
            break_off(writer)

    # --- one connection

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.add(writer)
        away: asyncio.StreamWriter | None = None
        try:
            there, away = await asyncio.open_connection(self.behind.hostname, self.behind.port)
            self._writers.add(away)
            await asyncio.gather(self._pass(reader, away, writer), self._pass(there, writer))
        except OSError:
            pass
        finally:
            for end in {writer, away} - {None}:
                self._writers.discard(end)
                end.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asker: asyncio.StreamWriter | None = None
    ) -> None:
        """From one end to the other; `asker` where what is read is what the client says."""
        swallowed = False
        while data := await reader.read(PIECE):
            swallowed |= self.silent
            if swallowed:  # for good: no connection recovers from a hole
                continue
            await asyncio.sleep(self.latency)
            if asker and self.loses_answer_to and self.loses_answer_to(data):
                asker.transport.abort()
                await self._send(data, writer)
                await asyncio.sleep(TO_BE_READ)
                return
            await self._send(data, writer)
        if writer.can_write_eof():
            writer.write_eof()

    async def _send(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        size = 1 if self.slice else len(data)
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(len(piece) / self.bandwidth if self.bandwidth else 0)
