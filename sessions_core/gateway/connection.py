"""How aiohttp connects to the gateway. Imported late: that takes its time, and not every process asks."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from . import trust
from .errors import BadReply

KEEP_ALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 4))  # seconds, seconds, times


def session() -> aiohttp.ClientSession:
    """A connection per reply: one kept open may be closed by the gateway just when a message is sent on it, and then
    nobody knows whether the message was seen. TCP keep-alive finds a peer that died without a word."""
    connector = aiohttp.TCPConnector(force_close=True, limit=0, socket_factory=kept_alive, ssl=trust.verify())
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), response_class=Response, trust_env=False
    )


class Response(aiohttp.ClientResponse):
    """Its body ends with its connection: aiohttp's parser drops a body with a malformed chunk without a word."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        await super().start(connection)
        self.content = Body(self.content)  # type: ignore[assignment]
        if connection.protocol is not None and (closed := connection.protocol.closed):
            closed.add_done_callback(self.end)
        return self

    def end(self, closed: asyncio.Future) -> None:
        if not closed.cancelled():
            closed.exception()  # looked at, so that asyncio does not complain
        if not self.content.is_eof() and not self.content.exception():
            self.content.set_exception(aiohttp.ClientPayloadError("The connection ended before the body did."))


class Body:
    """All that has come at once, and what came before the connection broke, which aiohttp would not give any more:
    the relay reads with its beat."""

    def __init__(self, reader: aiohttp.StreamReader) -> None:
        self.reader = reader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reader, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        try:
            async for piece in self.reader.iter_any():
                yield piece
        except aiohttp.ClientError:
            if unread := self.reader._read_nowait(-1):
                yield unread
            raise


async def refuse_compressed(response: Any) -> None:
    """Before anything decodes it, an error's body too: a small one may grow to any size."""
    if (response.headers.get("content-encoding") or "identity").lower() != "identity":
        raise BadReply("The gateway sent a compressed reply, which was not asked for.")


def kept_alive(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE:
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
