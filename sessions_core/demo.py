"""The demo gateway that `serve` starts until a real one is set: OpenClaw's wire, scripted replies."""

import asyncio
import hmac
import json
import re
import sqlite3
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from aiohttp import web

Script = list[str | int]  # what to say; a number is a silence of so many paces

MODELS = ("openclaw", "openclaw/default", "openclaw/main")
AGENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
MODEL = re.compile(rf"(?:openclaw|(?:openclaw[:/]|agent:)({AGENT.pattern}))?")
RESERVED = re.compile(r"(?:agent:[^:]*:)?(?:subagent|cron|acp):")
MAX_BODY = 20_000_000  # bytes
MAX_READ = 2_000  # characters of a message that are looked at
MAX_FACT = 200  # characters
MAX_FACTS = 50  # per session
MOST_QUOTED = 3  # facts
DRAIN = 0.5  # seconds, which aiohttp allows twice


# --- The script

INTRO = """\
Hello! You are talking to the **demo gateway** that comes with OpenClaw WebChat. My replies are scripted: \
there is no assistant behind them. To connect a real OpenClaw gateway, set `OPENCLAW_GATEWAY_URL` and \
`OPENCLAW_GATEWAY_TOKEN` and start the server again.

"""

HELP = """\
Here is what you can try with me:

- `remember that the meeting is at ten`, or `my name is Ada`
- `what do you remember?`, first here and then in another chat
- `show me a list`, `a table`, `some code`, or all three with `markdown`
- `something long`: about 30 seconds, time for Stop, a reload or another chat
- `something silent`: a pause in the middle, as when an assistant uses its tools"""

LIST = """\
Here is a list, with a second one inside:

1. Open another chat with **New chat**.
2. Tell each of the two something else:
   - here, `my name is Ada`
   - there, `my name is Grace`
3. Ask both `who am I?`"""

TABLE = """\
Here is a small table:

| Say `something long`, then … | and see that … |
|---|---|
| reload the page | the text is all there and goes on |
| press Stop | what has arrived is kept |
| open the chat in a second tab | both show the same words |"""

CODE = """\
Here is a little Python:

```python
def greet(name: str) -> str:
    return f"Hello, {name}!"

print(greet("world"))
```"""

TIPS = (
    "Press Stop whenever you like: what has arrived so far is kept.",
    "Reload the page: the text is all there, and goes on.",
    "Open this chat in a second tab: both show the same words.",
    "Write something in another chat: the replies do not wait for each other.",
    "Send one more message here: it waits in line until this reply has ended.",
    "Close the tab and come back: the reply is written on the server, not in your browser.",
)
STEPS = 30  # of about a second each
STEP = 33  # paces


def tip(number: int) -> Script:
    """One step of the long reply, filled up with silence so that all take the same time."""
    text = f"**{number} of {STEPS}.** {TIPS[number % len(TIPS)]}\n\n"
    return [text, STEP - len(text.split())]


LONG: Script = [
    "This takes about 30 seconds, so there is time to try a few things.\n\n",
    *(part for number in range(1, STEPS + 1) for part in tip(number)),
    "That was all of it.",
]

SILENT: Script = [
    "I am going to be silent for a few seconds …\n\n",
    200,
    "… and here I am again. A real assistant is as quiet as that while it uses its tools. Nothing was lost.",
]

UNKNOWN = (
    "Your message has arrived, but I cannot understand it: I only follow a script. ",
    "I have your message, and no idea what it means: I know a few keywords and nothing else. ",
    "That is beyond a script like me, I am afraid. ",
)
MORE = "Say `help` for everything I know."
APART = "I know nothing of your other chats: each one has a memory of its own."

SCRIPTS: tuple[tuple[str, Script], ...] = (
    (r"\bhelp\b|\bwhat (?:can|do) you do\b|\bwhat can i (?:do|try|ask|say)\b", [HELP]),
    (r"\bsilen(?:t|ce)\b", SILENT),
    (r"\b(?:slow|slowly|long|longer)\b", LONG),
)
SAMPLES = (
    (r"\b(?:lists?|markdown)\b", LIST),
    (r"\b(?:tables?|markdown)\b", TABLE),
    (r"\b(?:code|python|markdown)\b", CODE),
)

SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
REMEMBER = re.compile(
    r"(?:^\W*(?:(?:please|also|and|now|ok|okay|hi|hello|hey)\W+)*remember(?:\s+(?:this|that))?"
    r"|\bremember\s+(?:this|that))\b[\s:,]*(\S.*)",
    re.IGNORECASE,
)
MY_IS = re.compile(r"\bmy\s+(?:[\w'’-]+\s+){1,3}?(?:is|are)\s+\S.*", re.IGNORECASE)
IS = re.compile(r"\s+(?:is|are)\s+")
WHAT_IS = re.compile(
    r"\b(?:(?:what|who|when|where)(?:['’]?s|\s+is|\s+are)|do you (?:know|remember))"
    r"\s+(my|the)\s+([^?.!,\n]{1,60})",
    re.IGNORECASE,
)
WHO_AM_I = re.compile(r"\bwho am i\b", re.IGNORECASE)
RECALL = re.compile(
    r"\bwhat (?:do|did|can) you (?:\w+ )?(?:remember|know(?: about me|\W*$))|\bdo you (?:\w+ )?remember\b"
    r"|\bwhat (?:did|have) i (?:say|said|tell|told)\b",
    re.IGNORECASE,
)


@dataclass
class Session:
    """What one session was told, and how often it was spoken to."""

    facts: list[str] = field(default_factory=list)
    turns: int = 0

    def answer(self, said: list[str]) -> Script:
        """The reply to the last of some messages; those before it are news to the session too."""
        first = self.turns == 0
        *_, learned = [self._learn(text[:MAX_READ]) for text in said]
        self.turns += len(said)
        return [INTRO] * first + self._reply(said[-1][:MAX_READ], learned)

    def _learn(self, text: str) -> list[str]:
        learned = list(facts_in(text))
        for fact in learned:
            self.facts = [known for known in self.facts if subject(known) != subject(fact)] + [fact]
        self.facts = self.facts[-MAX_FACTS:]
        return learned

    def _reply(self, text: str, learned: list[str]) -> Script:
        if recalled := self._recall(text):
            return [f"{recalled}\n\nThis is message {self.turns} in this chat. {APART}"]
        if learned:
            return [f"I will remember, in this chat only: {quoted(learned)}. Ask me `what do you remember?`"]
        scripts = [script for asked, script in SCRIPTS if re.search(asked, text, re.IGNORECASE)]
        samples = [sample for asked, sample in SAMPLES if re.search(asked, text, re.IGNORECASE)]
        if scripts:
            return scripts[0]
        return ["\n\n".join(samples)] if samples else self._unknown()

    def _recall(self, text: str) -> str:
        """What was told of the thing that is asked for, or all of it; empty when nothing is asked for."""
        if WHO_AM_I.search(text):
            return self._told("name") or "You have not told me your name in this chat."
        if asked := WHAT_IS.search(text):
            thing = asked[2].strip().casefold()
            missing = f"You have not told me your {thing} in this chat." if asked[1].lower() == "my" else ""
            return self._told(thing) or missing
        return self._everything() if RECALL.search(text) else ""

    def _told(self, thing: str) -> str:
        known = [fact for fact in self.facts if begin_alike(subject(fact), thing)]
        return f"You told me: {quoted([min(known, key=len)])}." if known else ""

    def _everything(self) -> str:
        if not self.facts:
            return "You have not asked me to remember anything in this chat."
        return "You told me in this chat:\n\n" + "\n".join(f"- {fact}" for fact in self.facts)

    def _unknown(self) -> Script:
        turn = self.turns - 1
        return [UNKNOWN[turn % len(UNKNOWN)], SAMPLES[turn % len(SAMPLES)][1], f"\n\n{MORE}"]


def facts_in(text: str) -> Iterator[str]:
    for sentence in SENTENCE_END.split(text):
        question = sentence.rstrip().endswith("?")
        told = REMEMBER.search(sentence) or (not question and MY_IS.search(sentence))
        if told and (fact := told[told.lastindex or 0].strip(" .!?,;\"'“”")):
            yield fact if len(fact) <= MAX_FACT else fact[:MAX_FACT] + "…"


def subject(fact: str) -> str:
    """What a fact is about: a newer one about the same replaces it."""
    return re.sub(r"^(?:my|the)\s+", "", IS.split(fact.casefold(), 1)[0])


def begin_alike(one: str, other: str) -> bool:
    """Whether the shorter one is the other's first words, as `name` is of `name again`."""
    return f"{one} ".startswith(f"{other} ") or f"{other} ".startswith(f"{one} ")


def quoted(facts: list[str]) -> str:
    more = f" and {len(facts) - MOST_QUOTED} more" if len(facts) > MOST_QUOTED else ""
    return ", ".join(f"“{fact}”" for fact in facts[:MOST_QUOTED]) + more


def paced(script: Script) -> Iterator[tuple[int, str]]:
    """The words of a script, each with the paces to wait before it."""
    silence = 0
    for part in script:
        if isinstance(part, int):
            silence += part
            continue
        for word in re.findall(r"\s*\S+\s*", part):
            yield silence + 1, word
            silence = 0


class Memory:
    """The sessions, in a file that the next start finds again."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        # NORMAL: no fsync in the event loop; only a power cut may take the last turns.
        self.db.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
            "CREATE TABLE IF NOT EXISTS session (key TEXT PRIMARY KEY, facts TEXT, turns INTEGER)"
        )

    def session(self, key: str) -> Session:
        row = self.db.execute("SELECT facts, turns FROM session WHERE key = ?", (key,)).fetchone()
        return Session(json.loads(row[0]), row[1]) if row else Session()

    def keep(self, key: str, session: Session) -> None:
        row = (key, json.dumps(session.facts), session.turns)
        self.db.execute("INSERT OR REPLACE INTO session (key, facts, turns) VALUES (?, ?, ?)", row)

    def close(self) -> None:
        self.db.close()


# --- The wire


class Refused(Exception):
    """An answer other than 200; its text is the error's message."""

    def __init__(self, message: str, kind: str = "invalid_request_error", status: int = 400) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status

    def as_json(self) -> dict[str, Any]:
        return {"error": {"message": str(self), "type": self.kind}}


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


class DemoGateway:
    """Serves on a loopback port, in the loop that starts it; `pace` is the seconds between two words."""

    def __init__(self, memory: Path, token: str, pace: float = 0.03) -> None:
        self.path = memory
        self.token = token
        self.pace = pace
        self.locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Begins to serve and gives the address; OSError or sqlite3.Error when it cannot."""
        from aiohttp import web

        self.memory = Memory(self.path)
        # A client that leaves cancels the handler, also while that is silent or in line: so a run is stopped.
        self.runner = web.AppRunner(self._app(), access_log=None, handler_cancellation=True, shutdown_timeout=DRAIN)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Running replies get about a second to end, then they are cut."""
        if self.runner:
            await self.runner.cleanup()
            self.memory.close()
            self.runner = None

    def _app(self) -> "web.Application":
        from aiohttp import web

        app = web.Application(middlewares=[web.middleware(self._guard())], client_max_size=MAX_BODY)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._health)
        return app

    def _guard(self) -> Callable[..., Awaitable["web.StreamResponse"]]:
        from aiohttp import web

        async def guard(request: web.Request, handler: Callable) -> web.StreamResponse:
            try:
                if request.path.startswith("/v1/"):
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

    async def _complete(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        try:
            body = await request.json()
        except (ValueError, RecursionError):
            raise Refused("The body is not JSON.") from None
        ask = Ask.read(body, request.headers)
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
        async with self.locks.setdefault(ask.key, asyncio.Lock()):
            session = self.memory.session(ask.key)
            for paces, word in paced(session.answer(ask.said)):
                await asyncio.sleep(self.pace * paces)
                yield word
            self.memory.keep(ask.key, session)
