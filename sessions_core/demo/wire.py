"""The demo gateway that `serve` starts until a real one is set: OpenClaw's wire, scripted replies."""

import asyncio
import hmac
import json
import re
import socket
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from .script import Memory, paced

if TYPE_CHECKING:
    from aiohttp import web


MODELS = ("openclaw", "openclaw/default", "openclaw/main")
AGENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
MODEL = re.compile(rf"(?:openclaw|(?:openclaw[:/]|agent:)({AGENT.pattern}))?")
RESERVED = re.compile(r"(?:agent:[^:]*:)?(?:subagent|cron|acp):")
MAX_BODY = 20_000_000  # bytes
DRAIN = 0.5  # seconds, which aiohttp allows twice
ROUNDS = 5  # of the loop: asyncio leaves open what it had just accepted when its server is closed


class Refused(Exception):
    """An answer other than 200; its text is the error's message."""

    def __init__(self, message: str, kind: str = "invalid_request_error", status: int = 400) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status

    def as_json(self) -> dict[str, Any]:
        return {"error": {"message": str(self), "type": self.kind}}


class ToolRefused(Refused):
    def as_json(self) -> dict[str, Any]:
        return {"ok": False} | super().as_json()


@dataclass
class Ask:
    """One request for a completion, checked."""

    model: str
    key: str
    said: list[str]
    stream: bool
    with_usage: bool
    run: str = field(default_factory=lambda: f"chatcmpl_{uuid.uuid4()}")
    created: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    def read(cls, body: Any, headers: Mapping[str, str]) -> "Ask":
        """Raises Refused where OpenClaw would."""
        if not isinstance(body, dict):
            raise Refused("The body is not a JSON object.")
        model = str(body.get("model") or "")
        options = body.get("stream_options") or {}
        return cls(
            model=model,
            key=session_key(body, headers, agent_of(model, headers)),
            said=user_texts(body.get("messages")),
            stream=bool(body.get("stream")),
            with_usage=isinstance(options, dict) and bool(options.get("include_usage")),
        )

    def document(self, kind: str, **fields: Any) -> dict[str, Any]:
        return {"id": self.run, "object": kind, "created": self.created, "model": self.model} | fields

    def chunk(self, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return self.document("chat.completion.chunk", choices=[choice])

    def whole(self, text: str) -> dict[str, Any]:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return self.document("chat.completion", choices=[choice], usage=self.usage(text))

    def usage(self, text: str) -> dict[str, int]:
        """Tokens at four characters each, as good as a script can tell."""
        prompt, completion = len("".join(self.said)) // 4 + 1, len(text) // 4 + 1
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def agent_of(model: str, headers: Mapping[str, str]) -> str:
    """The header's agent wins over the model's; by header any is known: no setting spoils a demo."""
    named = MODEL.fullmatch(model.lower())
    if not named:
        raise Refused("Invalid `model`. Use `openclaw` or `openclaw/<agentId>`.")
    asked = headers.get("x-openclaw-agent-id", "").strip().lower()
    if asked and AGENT.fullmatch(asked):
        return asked
    agent = asked or named[1] or "main"
    if agent not in ("main", "default"):
        raise Refused(f"Unknown agent '{agent}'.")
    return "main"


def session_key(body: dict[str, Any], headers: Mapping[str, str], agent: str) -> str:
    """The header, else `user`, else one nobody comes back to; a short key and the full one are the same."""
    key = headers.get("x-openclaw-session-key", "").strip().lower()
    if RESERVED.match(key):
        raise Refused("`x-openclaw-session-key` cannot use reserved internal session namespaces.")
    if not key:
        user = str(body.get("user") or "").strip().lower()
        key = f"openai-user:{user}" if user else f"openai:{uuid.uuid4()}"
    return key if key.startswith("agent:") else f"agent:{agent}:{key}"


def user_texts(messages: Any) -> list[str]:
    turns = [turn for turn in messages if isinstance(turn, dict)] if isinstance(messages, list) else []
    said = [text for turn in turns if turn.get("role") == "user" and (text := plain(turn.get("content")).strip())]
    if not said:
        raise Refused("Missing user message in `messages`.")
    return said


def plain(content: Any) -> str:
    """The text of a message, which may come in parts."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def key_to_reset(body: Any) -> str:
    """The session that a tool call resets; as on OpenClaw, the one it runs in can only be named by its short key."""
    call = body if isinstance(body, dict) else {}
    name = str(call.get("name") or call.get("tool") or "")
    if name != "sessions":
        raise ToolRefused(f"Tool not available: {name}", "not_found", 404)
    args = call["args"] if isinstance(call.get("args"), dict) else {}
    if (action := args.get("action", call.get("action"))) != "reset":
        raise ToolRefused(f"Unknown action: {action}", "tool_error")
    agent = str(call.get("agentId") or "main")
    key = str(args.get("sessionKey") or "").strip().lower()
    if not key:
        raise ToolRefused("sessionKey required", "tool_error")
    if key == f"agent:{agent}:main":
        raise ToolRefused("Cannot reset the session running this tool", "tool_error")
    return key if key.startswith("agent:") else f"agent:{agent}:{key}"


async def body_of(request: "web.Request") -> Any:
    try:
        return await request.json()
    except (ValueError, RecursionError):
        raise Refused("The body is not JSON.") from None


class DemoGateway:
    """Serves on a loopback port, in the loop that starts it; `pace` is the seconds between two words."""

    def __init__(self, memory: Path, token: str, pace: float = 0.03) -> None:
        self.path = memory
        self.token = token
        self.pace = pace
        self.lines: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Begins to serve and gives the address; OSError or sqlite3.Error when it cannot."""
        from aiohttp import web

        self.memory = Memory(self.path)
        # A client that leaves cancels the handler, also while that is silent or in line: so a run is stopped.
        self.runner = web.AppRunner(self._app(), access_log=None, handler_cancellation=True, shutdown_timeout=DRAIN)
        await self.runner.setup()
        self.listening = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(self.runner, self.listening).start()
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    async def stop(self) -> None:
        """Running replies get about a second to end, then they are cut."""
        if self.runner:
            asyncio.get_running_loop().remove_reader(self.listening.fileno())
            for _ in range(ROUNDS):
                await asyncio.sleep(0)
            await self.runner.cleanup()
            self.memory.close()
            self.runner = None

    def _app(self) -> "web.Application":
        from aiohttp import web

        app = web.Application(middlewares=[web.middleware(self._guard())], client_max_size=MAX_BODY)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/tools/invoke", self._invoke_tool)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._health)
        return app

    def _guard(self) -> Callable[..., Awaitable["web.StreamResponse"]]:
        from aiohttp import web

        async def guard(request: web.Request, handler: Callable) -> web.StreamResponse:
            try:
                if request.path.startswith(("/v1/", "/tools/")):
                    self._check_token(request)
                return await handler(request)
            except Refused as refused:
                return web.json_response(refused.as_json(), status=refused.status)

        return guard

    def _check_token(self, request: "web.Request") -> None:
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
            raise Refused("Unauthorized", "unauthorized", 401)

    async def _health(self, request: "web.Request") -> "web.Response":
        from aiohttp import web

        return web.json_response({"ok": True})

    async def _models(self, request: "web.Request") -> "web.Response":
        from aiohttp import web

        models = [{"id": name, "object": "model", "created": 0, "owned_by": "openclaw"} for name in MODELS]
        return web.json_response({"object": "list", "data": models})

    async def _invoke_tool(self, request: "web.Request") -> "web.Response":
        """The tool `sessions` with its action `reset`, at once; what is being said there now is not remembered."""
        from aiohttp import web

        key = key_to_reset(await body_of(request))
        self.memory.forget(key)
        self.lines.pop(key, None)
        said = {"ok": True, "key": key}
        result = {"content": [{"type": "text", "text": json.dumps(said)}], "details": said}
        return web.json_response({"ok": True, "result": result})

    async def _complete(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        ask = Ask.read(await body_of(request), request.headers)
        if ask.stream:
            return await self._stream(request, ask)
        return web.json_response(ask.whole("".join([word async for word in self._run(ask)])))

    async def _stream(self, request: "web.Request", ask: Ask) -> "web.StreamResponse":
        from aiohttp import web

        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        async with aclosing(self._events(ask)) as events:
            async for event in events:
                await response.write(f"data: {event}\n\n".encode())
        return response

    async def _events(self, ask: Ask) -> AsyncGenerator[str, None]:
        """The first goes out at once, also while the turn waits in line."""
        text = ""
        yield json.dumps(ask.chunk({"role": "assistant"}))
        async with aclosing(self._run(ask)) as words:
            async for word in words:
                text += word
                yield json.dumps(ask.chunk({"content": word}))
        yield json.dumps(ask.chunk({}, finish="stop"))
        if ask.with_usage:
            usage = ask.document("chat.completion.chunk", choices=[], usage=ask.usage(text))
            yield json.dumps(usage)
        yield "[DONE]"

    async def _run(self, ask: Ask) -> AsyncGenerator[str, None]:
        """One turn, when it is the session's turn; kept only when all of it was said."""
        async with (line := self.lines.setdefault(ask.key, asyncio.Lock())):
            session = self.memory.session(ask.key)
            for paces, word in paced(session.answer(ask.said)):
                await asyncio.sleep(self.pace * paces)
                yield word
            if self.lines.get(ask.key) is line:  # it was not reset meanwhile
                self.memory.keep(ask.key, session)
