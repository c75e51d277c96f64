"""ASGI middleware in front of Django and the socket: who is calling, from where, and how much they may send."""

import logging
import re
from collections.abc import Awaitable, Callable
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import orjson
from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest, parse_cookie
from django.http.request import split_domain_port, validate_host

from .middleware import AWAY

log = logging.getLogger(__name__)

App = Callable[[dict, Callable, Callable], Awaitable[None]]
IMPORT = "/chats/import/"  # the one address that takes a file
TOO_MUCH = "This is more than the app takes at once. Shorten it and send it again."
FOREIGN_CHARSET = re.compile(r"charset=(?!\s*\"?utf-?8\b)", re.IGNORECASE)
FORWARDED = {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"x-real-ip"}


def header(scope: dict, name: bytes) -> str:
    return next((value.decode("latin1") for key, value in scope["headers"] if key == name), "")


class Proxied:
    """Believes X-Forwarded-For and -Proto from TRUSTED_PROXIES only, and hides them from everything behind it."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.trusted = [ip_network(network) for network in settings.TRUSTED_PROXIES]

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] in ("http", "websocket"):
            allow_own_address(scope)
            scope = scope | self.seen_from(scope)
        await self.app(scope, receive, send)

    def seen_from(self, scope: dict) -> dict[str, Any]:
        kept = [pair for pair in scope["headers"] if pair[0] not in FORWARDED]
        peer = (scope.get("client") or ["", 0])[0]
        if not self.trusts(peer):
            return {"headers": kept}
        hops = [hop.strip() for hop in header(scope, b"x-forwarded-for").split(",") if hop.strip()]
        client = next((hop for hop in reversed(hops) if not self.trusts(hop)), peer)
        secure = header(scope, b"x-forwarded-proto").split(",")[-1].strip() == "https"
        web = {"http": ("http", "https"), "websocket": ("ws", "wss")}[scope["type"]][secure]
        return {"headers": kept, "client": [client, 0], "scheme": web}

    def trusts(self, address: str) -> bool:
        try:
            return any(ip_address(address) in network for network in self.trusted)
        except ValueError:
            return False


def allow_own_address(scope: dict) -> None:
    """The address a connection came in on is a host of ours: a page asked for by it on a LAN is answered."""
    address = (scope.get("server") or [""])[0]
    host = f"[{address}]" if ":" in address else address
    if host and host not in settings.ALLOWED_HOSTS:
        settings.ALLOWED_HOSTS.append(host)


class Alive:
    """`/healthz`: the process answers. Nothing else is asked, nor waited for, so that a database that is slow or hangs
    does not get it restarted."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["path"] != "/healthz" or scope["method"] not in ("GET", "HEAD"):
            return await self.app(scope, receive, send)
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"alive": true}' if scope["method"] == "GET" else b""})


class BodyLimit:
    """Refuses a body over the limit while it comes in, before Django would spool it to disk."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if scope["path"] == IMPORT:
            limit += settings.IMPORT_MAX_SIZE
        if FOREIGN_CHARSET.search(header(scope, b"content-type")):
            return await self.refuse(scope, send, 415, "Send it in UTF-8.")
        length = header(scope, b"content-length")
        if length and (not length.isdigit() or int(length) > limit):
            return await self.refuse(scope, send)
        body, more = bytearray(), True
        while more:  # at most the limit is held; then Django gets it in one piece
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            body += event.get("body", b"")
            more = event.get("more_body", False)
            if len(body) > limit:
                return await self.refuse(scope, send)
        await self.app(scope, replay(bytes(body), receive), send)

    async def refuse(self, scope: dict, send: Callable, status: int = 413, words: str = TOO_MUCH) -> None:
        kind, body = b"text/plain; charset=utf-8", words.encode()
        if scope["path"].startswith("/api/"):  # where programs read
            error = {"code": {413: "too_large", 415: "unsupported"}[status], "message": words, "field": None}
            kind, body = b"application/json", orjson.dumps({"error": error})
        headers = [(b"content-type", kind), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def replay(body: bytes, receive: Callable) -> Callable:
    sent = False

    async def first_body_then_the_rest() -> dict:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return first_body_then_the_rest


class SameOrigin:
    """A socket is opened by our own pages only: Origin must be exactly the address they come from."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if self.allows(scope):
            return await self.app(scope, receive, send)
        await receive()
        await send({"type": "websocket.close"})  # before accept: 403

    def allows(self, scope: dict) -> bool:
        origin, host = header(scope, b"origin"), header(scope, b"host")
        if not validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS):
            return False
        scheme = "https" if scope.get("scheme") == "wss" else "http"
        return origin in {f"{scheme}://{host}", *settings.CSRF_TRUSTED_ORIGINS} and bool(urlsplit(origin).hostname)


class SignedIn:
    """Puts the person into the scope; nobody: 403. Reads the session once instead of on every frame."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        key = parse_cookie(header(scope, b"cookie")).get(settings.SESSION_COOKIE_NAME, "")
        try:
            user = await database_sync_to_async(signed_in, thread_sensitive=False)(key)
        except AWAY as error:
            log.warning("A socket does not open while the database is away: %s", error)
            user = None
        if user is not None:
            return await self.app(scope | {"user": user, "session_key": key}, receive, send)
        await receive()
        await send({"type": "websocket.close"})


def signed_in(session_key: str) -> Any:
    """The active person a session belongs to, or None; as Django decides it for a page."""
    if not session_key:
        return None
    request = HttpRequest()
    request.session = SessionStore(session_key)
    user = get_user(request)
    return user if user.is_authenticated and user.is_active else None
