"""A scripted OpenClaw gateway on a loopback port, in a thread of its own, for tests of every kind.

    with FakeGateway() as gateway:
        gateway.script("webchat-1", [delta("Hel"), wait(event), delta("lo"), reset()])

A script is a list of steps; a step is a function of the exchange, so a test may bring its own. What ends without
`done()`, `eof()` or a break is ended cleanly by the server. Without a script it answers like an echo that remembers.
"""

import asyncio
import json
import math
import random
import re
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fake_sessions import FakeSessions, NotDone
from tests.listener import Listener, break_off
from tests.ports import free_port

TOKEN = "token-of-the-fake-gateway"
PATH = "/v1/chat/completions"
MODELS = "/v1/models"
TOOLS = "/tools/invoke"
STARTED = "/startupz"
HISTORY = re.compile(r"/sessions/([^/?]+)/history(?:\?.*)?$")
WORDS = ["amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "island", "lagoon", "meadow", "river"]


def words(seed: object, n: int) -> str:
    """The same n words for the same seed, in every process."""
    return " ".join(random.Random(str(seed)).choices(WORDS, k=n))


def echo(message: str, n: int) -> str:
    """What the gateway answers to a message without a script."""
    return f"You said: {message}\n\n{words(message, n)}"


def eventually(condition: Callable[[], Any], seconds: float = 5.0) -> Any:
    """What the condition gives as soon as that is something, or at the latest after so many seconds."""
    until = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < until:
        time.sleep(0.005)
    return result


@dataclass(eq=False)
class Request:
    """One request as it came, and what became of it; times are of the monotonic clock."""

    method: str
    path: str
    headers: dict[str, str]  # by lower-case name
    body: Any  # parsed JSON, otherwise the bytes
    opened_at: float = field(default_factory=time.monotonic)
    closed_at: float | None = None
    client_left: bool = False  # before the answer was complete
    complete: bool = False
    code: int | None = None  # of the answer, once it has begun
    sent: str = ""  # the text of all deltas so far

    @property
    def key(self) -> str:
        """The session, as this app names it."""
        session = self.headers.get("x-openclaw-session-key", "")
        return session.split(":", 2)[-1] or self._field("model").removeprefix("openclaw:")

    @property
    def said(self) -> list[str]:
        """The user's turns: the newest, and before it those that go along."""
        turns = self.body.get("messages") if isinstance(self.body, dict) else None
        return [turn["content"] for turn in turns or [] if turn.get("role") == "user"]

    @property
    def message(self) -> str:
        """The newest user turn."""
        return self.said[-1] if self.said else ""

    def _field(self, name: str) -> str:
        return str(self.body.get(name, "")) if isinstance(self.body, dict) else ""


class Exchange:
    """A request and the connection its answer goes out on; what steps work with."""

    def __init__(self, gateway: "FakeGateway", request: Request, writer: asyncio.StreamWriter) -> None:
        self.gateway = gateway
        self.request = request
        self.writer = writer
        self.code = 200
        self.headers = {
            "content-type": "text/event-stream; charset=utf-8",
            "transfer-encoding": "chunked",
            "connection": "close",
        }
        self.begun = False
        self.over = False

    async def begin(self) -> None:
        if self.begun:
            return
        self.begun = True
        self.request.code = self.code
        lines = [f"HTTP/1.1 {self.code} Scripted", *(f"{name}: {value}" for name, value in self.headers.items())]
        await self.wire("\r\n".join([*lines, "", ""]).encode())

    async def body(self, data: bytes) -> None:
        await self.begin()
        chunked = "transfer-encoding" in self.headers
        await self.wire(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)

    async def event(self, data: Any) -> None:
        await self.body(b"data: " + json.dumps(data).encode() + b"\n\n")

    async def choice(self, delta: dict[str, Any], finish_reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        await self.event({"id": "chatcmpl-fake", "object": "chat.completion.chunk", "choices": [choice]})

    async def wire(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def end(self) -> None:
        """The end of the body as HTTP says it."""
        self.over = self.request.complete = True
        await self.begin()
        if "transfer-encoding" in self.headers:
            await self.wire(b"0\r\n\r\n")

    def cut(self) -> None:
        self.over = self.request.complete = True


Step = Callable[[Exchange], Awaitable[None]]


def head(code: int = 200, **headers: str | None) -> Step:
    """Another head for the stream that follows; `content_type="text/html"`, None takes a header away.

    Without `transfer_encoding` the body ends where the connection ends.
    """

    async def step(exchange: Exchange) -> None:
        exchange.code = code
        for name, value in headers.items():
            exchange.headers.pop(name.replace("_", "-"), None)
            if value is not None:
                exchange.headers[name.replace("_", "-")] = value

    return step


def status(code: int, headers: dict[str, str] | None = None, body: Any = "") -> Step:
    """A whole answer that is no stream; a body that is neither text nor bytes goes out as JSON."""
    form = "text/plain" if isinstance(body, str | bytes) else "application/json"
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    data = text.encode() if isinstance(text, str) else text

    async def step(exchange: Exchange) -> None:
        exchange.code = code
        exchange.headers = {"content-type": form, "content-length": str(len(data)), "connection": "close"}
        exchange.headers |= headers or {}
        await exchange.begin()
        exchange.cut()
        await exchange.wire(data)

    return step


def completion(text: str, **more: Any) -> Step:
    """The answer of a server that does not stream: one JSON document."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return status(200, body={"id": "chatcmpl-fake", "object": "chat.completion", "choices": [choice], **more})


def role() -> Step:
    return lambda exchange: exchange.choice({"role": "assistant", "content": ""})


def delta(text: str) -> Step:
    async def step(exchange: Exchange) -> None:
        await exchange.choice({"content": text})
        exchange.request.sent += text

    return step


def event(data: Any) -> Step:
    """Any JSON as one event."""
    return lambda exchange: exchange.event(data)


def raw(data: bytes) -> Step:
    """Bytes of the body, framed as one chunk."""
    return lambda exchange: exchange.body(data)


def wire(data: bytes) -> Step:
    """Bytes of the connection, as they are: half a chunk, a broken head."""
    return lambda exchange: exchange.wire(data)


def ping() -> Step:
    return raw(b": ping\n\n")


def finish(reason: str = "stop") -> Step:
    return lambda exchange: exchange.choice({}, reason)


def usage(prompt: int = 1, completed: int = 1) -> Step:
    counts = {"prompt_tokens": prompt, "completion_tokens": completed, "total_tokens": prompt + completed}
    return event({"id": "chatcmpl-fake", "object": "chat.completion.chunk", "choices": [], "usage": counts})


def error(message: str) -> Step:
    return event({"error": {"message": message, "type": "scripted"}})


def done() -> Step:
    async def step(exchange: Exchange) -> None:
        exchange.request.complete = True
        await exchange.body(b"data: [DONE]\n\n")

    return step


def sleep(seconds: float) -> Step:
    return lambda exchange: asyncio.sleep(seconds)


def wait(flag: threading.Event) -> Step:
    async def step(exchange: Exchange) -> None:
        while not flag.is_set():
            await asyncio.sleep(0.005)

    return step


def hang() -> Step:
    """Nothing more, until the client leaves."""
    return lambda exchange: asyncio.sleep(math.inf)


def eof() -> Step:
    """The body ends here, whatever was said."""
    return lambda exchange: exchange.end()


def cut() -> Step:
    """The connection closes here, in the middle of whatever it is; first of all steps: without any answer."""

    async def step(exchange: Exchange) -> None:
        exchange.cut()

    return step


def reset() -> Step:
    """The connection breaks here: RST."""

    async def step(exchange: Exchange) -> None:
        exchange.cut()
        break_off(exchange.writer)

    return step


def answer(text: str, pace: float = 0.0) -> list[Step]:
    """A whole reply, word by word, so many seconds apart."""
    pieces = re.findall(r"\S+\s*|\s+", text)
    paced = [step for piece in pieces for step in ([sleep(pace)] * (pace > 0) + [delta(piece)])]
    return [role(), *paced, finish(), usage(completed=len(pieces)), done()]


def tool_result(said: Any) -> Step:
    """What a tool says, as the gateway wraps it."""
    text = said if isinstance(said, str) else json.dumps(said)
    return status(200, body={"ok": True, "result": {"content": [{"type": "text", "text": text}], "details": said}})


def tool_refused(code: int, message: str, kind: str = "tool_error") -> Step:
    return status(code, body={"ok": False, "error": {"type": kind, "message": message}})


class FakeGateway:
    """The server. `requests` are in the order in which they came, `turns` are the user's by session key.

    `tool_calls` are the bodies of /tools/invoke, `agents` what /v1/models lists. Steps in `instead` are what one of
    these two paths answers from then on: `gateway.instead[TOOLS] = [tool_refused(403, "no")]`.
    """

    def __init__(
        self, *, token: str = TOKEN, pace: float = 0.0, count: int = 20, tls: ssl.SSLContext | None = None
    ) -> None:
        self.token = token
        self.pace = pace  # seconds between the deltas of an answer without a script
        self.count = count  # words of it
        self.tls = tls
        self.port = free_port()
        self.requests: list[Request] = []
        self.looks: list[Request] = []  # at transcripts; they come when they come, so they are not counted among those
        self.turns: dict[str, list[str]] = defaultdict(list)
        self.memory: dict[str, list[str]] = defaultdict(list)  # the same, and what went along with them
        self.tool_calls: list[Any] = []
        self.agents = ["main"]
        self.sessions = FakeSessions()
        self.archived = [role(), error("internal error"), done()]  # what an archived one answers
        self.instead: dict[str, list[Step]] = {}
        self.transcripts: dict[str, list[dict[str, Any]]] | None = None  # by full key; none: it does not offer them
        self._scripts: dict[str | None, list[tuple[list[Step], float]]] = defaultdict(list)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def script(self, key: str | None, steps: list[Step], times: float = math.inf) -> None:
        """What the next so many requests of a session get, in the order of the calls; None: all without one of theirs.

        Without `times` it holds until the next call for the same key.
        """
        scripts = self._scripts[key]
        if scripts and scripts[-1][1] == math.inf:
            scripts.pop()
        scripts.append((steps, times))

    def requests_of(self, key: str) -> list[Request]:
        return [request for request in self.requests if request.key == key]

    # --- life

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; after a stop, on the same port again."""
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), name="fake-gateway", daemon=True)
        self._thread.start()
        ready.result(timeout=10)

    def stop(self) -> None:
        """Stop listening and break what is running."""
        with suppress(RuntimeError):  # its loop is closed: it was stopped before
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    async def _run(self, ready: "Future[None]") -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        listener = Listener(self._serve)
        try:
            await listener.open(self.port, self.tls)
        except OSError as failure:
            return ready.set_exception(failure)
        ready.set_result(None)
        await self._stopping.wait()
        await listener.close()

    # --- one connection, one request

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.tls:  # a drained write has left this process; under TLS it would wait for ever
            writer.transport.set_write_buffer_limits(high=0)
        request = None
        try:
            request = await _read(reader)
            (self.looks if HISTORY.match(request.path) else self.requests).append(request)
            await self._answer(request, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            if request:
                request.client_left = not request.complete
        finally:
            if request:
                request.closed_at = time.monotonic()
            writer.close()

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = Exchange(self, request, writer)
        speaking = asyncio.ensure_future(_perform(exchange, self._steps(request)))
        leaving = asyncio.ensure_future(_left(reader))
        try:
            await asyncio.wait({speaking, leaving}, return_when=asyncio.FIRST_COMPLETED)
            request.client_left = not speaking.done() and not request.complete
            if speaking.done():
                speaking.result()
        finally:
            for task in (speaking, leaving):
                task.cancel()
            await asyncio.gather(speaking, leaving, return_exceptions=True)

    def _steps(self, request: Request) -> list[Step]:
        places = {("POST", PATH): self._chat, ("POST", TOOLS): self._tool, ("GET", MODELS): self._models}
        if (request.method, request.path) == ("GET", STARTED):
            return [status(200, body={"ok": True, "status": "started", "version": "2026.9.6"})]
        if request.method == "GET" and self._tells_of(request.path):
            places["GET", request.path] = self._history
        if not (place := places.get((request.method, request.path))):
            return [status(404, body={"error": {"message": "Not found"}})]
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return [status(401, body={"error": {"message": "Unauthorized", "type": "unauthorized"}})]
        return place(request)

    def _chat(self, request: Request) -> list[Step]:
        if self.sessions.add(request.headers.get("x-openclaw-session-key", f"agent:main:{request.key}"))["archived"]:
            return self.archived
        self.turns[request.key].append(request.message)
        self.memory[request.key] += request.said
        told = self.sessions.told.get(request.headers.get("x-openclaw-session-key", ""), [])
        now = int(time.time() * 1000)
        told.append(("user", request.message, now))
        if scripted := self._scripted(request.key):
            return scripted
        told.append(("assistant", self._says(request), now))
        return answer(self._says(request), self.pace)

    def _tool(self, request: Request) -> list[Step]:
        """Every tool agrees; `sessions` with its action `reset` makes a session forget, others change its row."""
        self.tool_calls.append(request.body)
        if TOOLS in self.instead:
            return self.instead[TOOLS]
        key = request.body["args"].get("sessionKey", "")
        short = key.split(":", 2)[-1]
        if (request.body["tool"], request.body["args"].get("action")) == ("sessions", "reset"):
            for kept in (self.turns[short], self.memory[short], self.sessions.told.get(key, [])):
                kept.clear()
        try:
            return [tool_result(self.sessions.tool(request.body["tool"], request.body["args"]))]
        except NotDone:
            return [tool_refused(500, "tool execution failed")]

    def _tells_of(self, path: str) -> bool:
        """What is said here by turns has no transcript, unless a test gives it one."""
        key = unquote(match[1]) if (match := HISTORY.match(path)) else ""
        scripted = self.transcripts is not None or key in self.sessions.told
        return bool(key) and (scripted or key.split(":", 2)[-1] not in self.turns)

    def _history(self, request: Request) -> list[Step]:
        """A session's transcript, its newest entries first asked for; or a feed, which says again what is newest
        whenever there is more."""
        address = urlsplit(request.path)
        key, asked = unquote(address.path.split("/")[2]), parse_qs(address.query)
        limit, cursor = (int(asked.get(name, ["0"])[0]) for name in ("limit", "cursor"))
        page = self._page(key, limit, cursor)
        if page is None:
            return [tool_refused(404, f"Session not found: {key}", "not_found")]
        if "text/event-stream" in request.headers.get("accept", ""):
            return [lambda exchange: self._feed(exchange, key, limit)]
        return [status(200, body=page)]

    def _page(self, key: str, limit: int, cursor: int = 0) -> dict[str, Any] | None:
        if self.transcripts is None:
            return self.sessions.history(key, limit, cursor)
        if key not in self.transcripts:
            return None
        told = [one for one in self.transcripts[key] if one["__openclaw"]["seq"] < (cursor or math.inf)]
        page, more = told[-limit:], len(told) > limit
        following = {"nextCursor": str(page[0]["__openclaw"]["seq"])} if more else {}
        return {"sessionKey": key, "items": page, "messages": page, "hasMore": more} | following

    async def _feed(self, exchange: Exchange, key: str, limit: int) -> None:
        """Until the client leaves, or the session is gone."""
        await exchange.body(b"retry: 1000\n\n")
        told = None
        while self.transcripts and key in self.transcripts:
            if told != (told := [one["__openclaw"]["id"] for one in self.transcripts[key]]):
                await exchange.body(b"event: history\ndata: " + json.dumps(self._page(key, limit)).encode() + b"\n\n")
            await asyncio.sleep(0.02)

    def _models(self, request: Request) -> list[Step]:
        names = ["openclaw", "openclaw/default", *(f"openclaw/{agent}" for agent in self.agents)]
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "openclaw"} for name in names]
        return self.instead.get(MODELS) or [status(200, body={"object": "list", "data": models})]

    def _scripted(self, key: str) -> list[Step] | None:
        for scripts in (self._scripts[key], self._scripts[None]):
            if scripts:
                steps, times = scripts[0]
                scripts[:1] = [(steps, times - 1)] if times > 1 else []
                return steps
        return None

    def _says(self, request: Request) -> str:
        message, heard = request.message, dict.fromkeys(self.memory[request.key])
        if message.startswith("remember "):
            return f"I will remember {message.removeprefix('remember ')}."
        if message.startswith("remember: "):
            return f"I will: {words(message, 40)}"
        if message == "recall" or message.startswith("What do you remember?"):
            told = [turn.removeprefix("remember ") for turn in heard if turn.startswith("remember ")]
            told += [turn.removeprefix("remember: ") for turn in heard if turn.startswith("remember: ")]
            return f"You told me: {', '.join(told) or 'nothing'}."
        return echo(message, self.count)


async def _perform(exchange: Exchange, steps: list[Step]) -> None:
    for step in steps:
        await step(exchange)
        if exchange.over:
            return
    await exchange.end()


async def _left(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        while await reader.read(1000):
            pass


async def _read(reader: asyncio.StreamReader) -> Request:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b"".join([chunk async for chunk in _chunks(reader)])
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    try:
        return Request(method, path, headers, json.loads(body))
    except ValueError:
        return Request(method, path, headers, body)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
