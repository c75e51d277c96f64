"""The gateway: the only file that knows the wire.

GatewayError                 state        may be tried again by itself
├── Unreachable              failed       yes: refused, no route, DNS, TLS
├── Busy                     failed       yes: 429
├── Down                     failed       yes: 503
├── AuthRefused              failed       no: 401, 403
├── NotOffered               failed       no: 404, 405
├── Rejected                 failed       no: 400, 413 and other 4xx
├── Failed                   failed       no: 5xx, it may have seen the message
├── BadReply                 failed       no: not a chat completion
├── Empty                    failed       no: ended without a word
├── UpstreamError            failed       no: an error event in the stream
├── StartTimeout             failed       no: no answer at all
└── CutOff                   interrupted  no: ended before its end
    ├── TooLarge
    └── TotalTimeout
"""

import asyncio
import json
import re
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson

from .secrets import redact
from .sse import EventDecoder, LineTooLong
from .text import StreamCleaner, clean_text

CONNECT_TIMEOUT = 10  # seconds
START_TIMEOUT = 300  # seconds until the response's headers
TOTAL_TIMEOUT = 24 * 3600  # seconds; silence in between is patience: an agent's tool may run for an hour
MAX_REPLY = 2_000_000  # characters
MAX_EVENTS = 200_000
MAX_MALFORMED = 20  # events
WIRE_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
RETRY_AFTER_MOST = 30.0  # seconds
SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


class GatewayError(Exception):
    """Why a reply could not be finished; its text is for the person who waits for it."""

    code = "gateway_error"
    state = "failed"
    safe_to_repeat = False  # only where the gateway cannot have accepted the turn
    says = "The gateway failed; it may have seen your message."

    def __init__(self, says: str = "", retry_after: float | None = None) -> None:
        super().__init__(says or self.says)
        self.retry_after = retry_after


class Unreachable(GatewayError):
    code = "gateway_unreachable"
    safe_to_repeat = True
    says = "The assistant's gateway cannot be reached."


class Busy(GatewayError):
    code = "busy"
    safe_to_repeat = True
    says = "The assistant is busy. Try again in a moment."


class Down(GatewayError):
    code = "gateway_down"
    safe_to_repeat = True
    says = "The gateway is starting or stopping. Try again in a moment."


class AuthRefused(GatewayError):
    code = "gateway_auth"
    says = "The gateway refused our credentials; an administrator has to mend that."


class NotOffered(GatewayError):
    code = "gateway_config"
    says = "The gateway does not offer this service; an administrator has to enable its chat completions endpoint."


class Rejected(GatewayError):
    code = "rejected"
    says = "The gateway did not accept this message."


class Failed(GatewayError):
    pass


class BadReply(GatewayError):
    code = "bad_reply"
    says = "The gateway sent something that is not a reply."


class Empty(GatewayError):
    code = "empty"
    says = "The assistant sent no answer."


class UpstreamError(GatewayError):
    code = "upstream_error"
    says = "The assistant reported an error."


class StartTimeout(GatewayError):
    code = "timeout_start"
    says = "The gateway took the message but did not begin to answer."


class CutOff(GatewayError):
    code = "cut_off"
    state = "interrupted"
    says = "The reply was cut off; what arrived is kept."


class TooLarge(CutOff):
    code = "too_large"
    says = "The reply grew too large and was stopped; what arrived is kept."


class TotalTimeout(CutOff):
    code = "timeout_total"
    says = "The reply took too long and was stopped; what arrived is kept."


BY_STATUS: dict[int, type[GatewayError]] = {
    401: AuthRefused,
    403: AuthRefused,
    404: NotOffered,
    405: NotOffered,
    429: Busy,
    503: Down,
}


@dataclass
class Reply:
    """What is known of a reply besides its text; filled while it streams."""

    upstream_id: str = ""
    usage: dict[str, Any] | None = None
    finished: bool = False
    characters: int = 0
    events: int = 0
    malformed: int = 0
    cleaner: StreamCleaner = field(default_factory=StreamCleaner)


class Gateway:
    """An OpenClaw gateway at an address, spoken to as the OpenAI SDK speaks, one connection per reply."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        start_timeout: float = START_TIMEOUT,
        total_timeout: float = TOTAL_TIMEOUT,
    ):
        self.url = url
        self.token = token
        self.start_timeout = start_timeout
        self.total_timeout = total_timeout

    async def stream(self, turns: list[dict[str, str]], key: str, agent: str, reply: Reply) -> AsyncGenerator[str]:
        """The text of the reply in pieces as they come; closing the iterator stops the run on the gateway.

        Raises a GatewayError; `reply` is filled on the way.
        """
        async with self._open(turns, key, agent) as response:
            async for text in self._read(response, reply):
                yield text

    def _open(self, turns: list[dict[str, str]], key: str, agent: str) -> "_Open":
        if not WIRE_KEY.fullmatch(key):
            raise Rejected(f"The session key {key!r} does not fit the gateway.")
        create = self.client.chat.completions.with_streaming_response.create(
            model=f"openclaw:{key}",
            messages=turns,
            stream=True,
            stream_options={"include_usage": True},
            extra_headers={
                "x-openclaw-agent-id": agent,
                "x-openclaw-session-key": f"agent:{agent}:{key}",
                "accept-encoding": "identity",
            },
        )
        return _Open(create, self.start_timeout)

    async def _read(self, response: Any, reply: Reply) -> AsyncIterator[str]:
        """The pieces of one response, whatever form it came in."""
        import httpx2

        form = response.headers.get("content-type", "").split(";")[0].strip()
        pieces = {"text/event-stream": _events, "application/json": _whole}.get(form.lower())
        if pieces is None:
            named = redact(form)[:100] or "something without a type"
            raise BadReply(f"The gateway answered with {named}, not with a reply.")
        try:
            async for text in pieces(response.http_response.aiter_raw(), reply):
                fitting = text[: MAX_REPLY - reply.characters]
                reply.characters += len(fitting)
                if fitting:
                    yield fitting
                if len(fitting) < len(text) or reply.events > MAX_EVENTS:
                    raise TooLarge
        except httpx2.RequestError:
            if not reply.finished:  # what breaks after the end was said breaks nothing
                broke = Empty("The connection to the gateway broke before any answer.")
                raise CutOff() if reply.characters else broke from None
        if not reply.characters:
            raise Empty
        if not reply.finished:
            raise CutOff

    @cached_property
    def client(self) -> Any:
        """The SDK's client; imported here because importing it takes up to two seconds."""
        import httpx2
        from openai import AsyncOpenAI, DefaultAioHttpClient
        from openai._vendor.httpx_aiohttp import AiohttpTransport

        http_client = DefaultAioHttpClient(
            follow_redirects=False,
            trust_env=False,
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT),
            transport=AiohttpTransport(client=_session),
            event_hooks={"response": [_refuse_compressed]},
        )
        return AsyncOpenAI(
            base_url=f"{self.url}/v1", api_key=self.token or "none", max_retries=0, http_client=http_client
        )

    async def close(self) -> None:
        if "client" in self.__dict__:
            await self.client.close()


def _session() -> Any:
    """A connection per reply: one kept open may be closed by the gateway just when a message is sent on it, and then
    nobody knows whether the message was seen. TCP keep-alive finds a peer that died without a word."""
    import aiohttp

    class Response(aiohttp.ClientResponse):
        """Its body ends with its connection: aiohttp's parser drops a body with a malformed chunk without a word."""

        async def start(self, connection: Any) -> aiohttp.ClientResponse:
            await super().start(connection)
            if connection.protocol is not None and (closed := connection.protocol.closed):
                closed.add_done_callback(self.end)
            return self

        def end(self, closed: asyncio.Future) -> None:
            if not closed.cancelled():
                closed.exception()  # looked at, so that asyncio does not complain
            if not self.content.is_eof() and not self.content.exception():
                self.content.set_exception(aiohttp.ClientPayloadError("The connection ended before the body did."))

    connector = aiohttp.TCPConnector(force_close=True, limit=0, socket_factory=_kept_alive)
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), response_class=Response, trust_env=False
    )


async def _refuse_compressed(response: Any) -> None:
    """Before anything decodes it, an error's body too: a small one may grow to any size."""
    if (response.headers.get("content-encoding") or "identity").lower() != "identity":
        raise BadReply("The gateway sent a compressed reply, which was not asked for.")


def _kept_alive(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)
    return made


class _Open:
    """The response once its headers are there; translates what the SDK raises until then."""

    def __init__(self, create: Any, start_timeout: float) -> None:
        self.create = create
        self.start_timeout = start_timeout

    async def __aenter__(self) -> Any:
        import aiohttp
        import httpx2
        import openai

        try:
            async with asyncio.timeout(self.start_timeout):
                return await self.create.__aenter__()
        except TimeoutError:
            raise StartTimeout from None
        except openai.APIStatusError as error:
            raise _from_status(error) from None
        except openai.APIConnectionError as error:
            raise _from_connection(error) from None
        except (aiohttp.ClientResponseError, httpx2.RequestError):  # no HTTP, or an error's body that broke off
            raise BadReply from None

    async def __aexit__(self, *details: Any) -> None:
        await self.create.__aexit__(*details)


def _from_status(error: Any) -> GatewayError:
    status = error.status_code
    if 300 <= status < 400:
        return BadReply(
            "The gateway answered with a redirect; its address in OPENCLAW_GATEWAY_URL is not the right one."
        )
    kind = BY_STATUS.get(status) or (Failed if status >= 500 else Rejected)
    if kind is Busy:
        seconds = _retry_after(error.response.headers.get("retry-after", ""))
        return Busy(f"The assistant is busy. Try again in {seconds:.0f} s." if seconds else "", retry_after=seconds)
    if kind is Rejected:
        return Rejected(f"{Rejected.says} It says: {_words(error.body)}" if _words(error.body) else "")
    return kind(retry_after=_retry_after(error.response.headers.get("retry-after", "")))


def _from_connection(error: Exception) -> GatewayError:
    """Unreachable only when no connection was made: anything later may have been seen by the gateway."""
    import aiohttp

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | ssl.SSLError):
            return Unreachable()
        cause = cause.__cause__ or cause.__context__
    return Failed("The gateway closed the connection without an answer; it may have seen your message.")


def _retry_after(value: str) -> float | None:
    return min(float(value), RETRY_AFTER_MOST) if SECONDS.fullmatch(value) else None


def _words(body: Any) -> str:
    """What an error body says, at most 300 characters, without credentials."""
    if isinstance(body, dict):
        body = body.get("error", body)
        body = body.get("message", "") if isinstance(body, dict) else body
    return clean_text(redact(str(body or "")))[:300]


async def _events(raw: AsyncIterator[bytes], reply: Reply) -> AsyncIterator[str]:
    """Text out of an event stream; ends at [DONE], and what follows that is not read."""
    decoder = EventDecoder()
    try:
        async for piece in raw:
            for data in decoder.feed(piece):
                if data.strip() == "[DONE]":
                    reply.finished = True
                    yield reply.cleaner.end()
                    return
                if data.strip():  # an empty event is how some servers keep the connection open
                    yield _text_of(data, reply)
    except LineTooLong:
        raise BadReply("The gateway sent a line of more than a megabyte.") from None
    yield reply.cleaner.end()


async def _whole(raw: AsyncIterator[bytes], reply: Reply) -> AsyncIterator[str]:
    """A server that does not stream answers with one JSON document: one piece."""
    body = b""
    async for piece in raw:
        body += piece
        if len(body) > 4 * MAX_REPLY:
            raise TooLarge
    document = _json(body.decode(errors="replace"))
    if document is None:
        raise BadReply
    reply.finished = True
    yield _text_in(document, "message", reply) + reply.cleaner.end()


def _text_of(data: str, reply: Reply) -> str:
    reply.events += 1
    chunk = _json(data)
    if chunk is None:
        reply.malformed += 1
        if reply.malformed > MAX_MALFORMED or (reply.events >= 4 and reply.malformed * 2 > reply.events):
            raise BadReply
        return ""
    return _text_in(chunk, "delta", reply)


def _text_in(document: dict[str, Any], part: str, reply: Reply) -> str:
    """Choice 0's content; the rest of what a chunk may carry (tool calls, other choices) is not text."""
    if document.get("error"):
        raise UpstreamError(f"{UpstreamError.says} It says: {_words(document)}")
    reply.upstream_id = reply.upstream_id or clean_text(str(document.get("id") or ""))[:200]
    if isinstance(document.get("usage"), dict):
        reply.usage = {
            clean_text(name): n for name, n in document["usage"].items() if type(n) is int and 0 <= n < 2**53
        }
    choices = document.get("choices")
    found = [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    choice = next((choice for choice in found if choice.get("index", 0) == 0), {})
    if choice.get("finish_reason"):
        reply.finished = True
    content = choice.get(part)
    text = content.get("content") if isinstance(content, dict) else None
    return reply.cleaner.feed(text) if isinstance(text, str) else ""


def _json(data: str) -> dict[str, Any] | None:
    """An object, or None; the standard parser takes the halves of characters that the fast one refuses."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            return None
    return document if isinstance(document, dict) else None
