"""Daphne in our own loop, with what it lacks: a socket bound before anything else, the relay, a drain at the end."""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from daphne.server import Server  # first: it installs the reactor that everything below runs in
from daphne.ws_protocol import WebSocketProtocol
from django.core.management.base import CommandError
from twisted.internet import reactor as twisted_reactor

from .service import asked_to_stop, end_in_peace

MOST_FRAME = 64_000  # bytes
CLOSE_WITHIN = 2.0  # seconds for pages to answer the close frame
SERVICE_RESTART = 1012

reactor: Any = twisted_reactor  # its stubs do not know what it is at run time


def listen(host: str, port: int) -> socket.socket:
    """A bound, listening socket, or one sentence that says why not."""
    if not 0 <= port <= 65535:
        raise CommandError(f"{port} is no port; ports go from 1 to 65535, and 0 takes a free one.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(512)
        bound.setblocking(False)
    except socket.gaierror:
        raise CommandError(f"{host} is no address of this machine.") from None
    except OSError as error:
        raise CommandError(why_not_bound(error, host, port)) from None
    return bound


def why_not_bound(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use already. Stop what uses it, or choose another: serve --port {port + 1}"
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights than this user has. Choose one above 1023: serve --port 8000"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine."
    return f"Cannot listen on {host}:{port}: {error.strerror}."


class Socket(WebSocketProtocol):
    maxMessagePayloadSize: int

    def sendMessage(self, *args: Any, **options: Any) -> None:
        """Autobahn holds what goes out to the bound for what comes in, and a long piece of a reply would break off."""
        most, self.maxMessagePayloadSize = self.maxMessagePayloadSize, 0
        try:
            super().sendMessage(*args, **options)
        finally:
            self.maxMessagePayloadSize = most

    def unsent(self) -> int:
        """Bytes that the system has not taken yet."""
        return len(self.transport.dataBuffer) - self.transport.offset + self.transport._tempDataLen


class Daphne(Server):
    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        """The socket's consumer may ask how much of what it sent was not read: every send returns at once here."""
        if isinstance(protocol, Socket):
            scope["unsent"] = protocol.unsent
        return super().create_application(protocol, scope)


class WebServer:
    """Serves an ASGI application on a bound socket until SIGTERM or Ctrl-C."""

    def __init__(self, application: Any, bound: socket.socket) -> None:
        self.bound = bound
        self.daphne = Daphne(
            application,
            endpoints=["bound below"],
            signal_handlers=False,
            websocket_max_message_size=MOST_FRAME,
            websocket_max_frame_size=MOST_FRAME,
            verbosity=0,
            server_name="webchat",
            ready_callable=self._ready,
        )
        self.daphne.endpoints = []

    def run(self, begin: Callable[[], Awaitable[None]], end: Callable[[], Awaitable[None]]) -> None:
        """Serve; `begin` runs in the loop before the first request, `end` after the last connection was taken."""
        self.begin, self.end = begin, end
        self.error: BaseException | None = None
        self.daphne.run()
        if self.error:
            raise self.error

    def _ready(self) -> None:
        self.daphne.ws_factory.protocol = Socket
        loop = asyncio.get_event_loop()
        self.stopping = asked_to_stop(loop)
        self.life = loop.create_task(self._live())

    async def _live(self) -> None:
        try:
            await self.begin()
            port = reactor.adoptStreamPort(self.bound.fileno(), self.bound.family, self.daphne.http_factory)
            await self.stopping.wait()
            port.stopListening()
            await self.end()
            await self._close_connections()
        except Exception as error:
            self.error = error
        finally:
            self._forget_idle()
            end_in_peace()
            reactor.stop()

    async def _close_connections(self) -> None:
        """Pages hear 1012, "service restart", and come back by themselves; requests under way are finished."""
        for protocol in list(self.daphne.connections):
            if isinstance(protocol, WebSocketProtocol):
                protocol.sendCloseFrame(code=SERVICE_RESTART, reasonUtf8=b"", isReply=False)
        until = asyncio.get_running_loop().time() + CLOSE_WITHIN
        while self._busy() and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.02)

    def _busy(self) -> bool:
        return any("disconnected" not in details for details in self.daphne.connections.values())

    def _forget_idle(self) -> None:
        """Daphne's own shutdown stumbles over connections without an application."""
        self.daphne.connections = {
            protocol: details
            for protocol, details in self.daphne.connections.items()
            if "application_instance" in details
        }
