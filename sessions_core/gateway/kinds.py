"""The kinds of server: how each is asked, how long it may be silent, and what its refusals mean."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Protocol

from django.conf import settings

from .errors import AuthRefused, ContextFull, FellSilent, GatewayError, NoModel, NotOffered, NoWord, Rejected
from .reading import Reply
from .thoughts import Thoughts

WIRE_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# What the gateway itself made, such as agent:main:telegram:direct:1; the three names are for its own doings.
FULL_KEY = re.compile(r"agent:([a-z0-9][a-z0-9_-]{0,63}):(?!(?:subagent|cron|acp):)[\x21-\x7e]{1,180}")
NO_MODEL = re.compile(r"model.*(not found|not exist)|no such model|failed to load model", re.IGNORECASE | re.DOTALL)
CONTEXT_FULL = re.compile(
    r"context (size|length|window)|maximum (context|model) length|too many tokens|prompt is too long", re.IGNORECASE
)


class Kind(Protocol):
    has_agents: bool  # which have tools, a main session, and a memory for each session's key

    def address(self, key: str, agent: str) -> tuple[str, dict[str, str]]:
        """The model to name and the headers to send; raises Rejected."""

    def listen(self, pieces: AsyncIterator[str], reply: Reply) -> AsyncIterator[str]:
        """The text in what the server sends."""

    def explained(self, error: GatewayError) -> GatewayError:
        """The same failure in words that fit this kind of server."""


class OpenClaw:
    """Silence is patience: an agent's tool may run for an hour."""

    has_agents = True

    def address(self, key: str, agent: str) -> tuple[str, dict[str, str]]:
        if not fits(key):
            raise Rejected(f"The session key {key!r} does not fit the gateway.")
        model = f"openclaw:{key}"
        if adopted := FULL_KEY.fullmatch(key):
            agent = adopted[1]
            model = f"openclaw/{agent}"
        return model, {"x-openclaw-agent-id": agent, "x-openclaw-session-key": full_key(key, agent)}

    def listen(self, pieces: AsyncIterator[str], reply: Reply) -> AsyncIterator[str]:
        return pieces

    def explained(self, error: GatewayError) -> GatewayError:
        return error


class Plain:
    """An OpenAI-compatible server: a model that remembers nothing, so the history goes along with every question."""

    has_agents = False

    def __init__(self, model: str, silence: float | None = None) -> None:
        self.model = model
        self.silence = settings.GATEWAY_SILENCE_SECONDS if silence is None else silence

    def address(self, key: str, agent: str) -> tuple[str, dict[str, str]]:
        return self.model, {}

    async def listen(self, pieces: AsyncIterator[str], reply: Reply) -> AsyncIterator[str]:
        """Without reasoning, and no longer than it goes on: whatever is no ping counts, also what is no text."""
        thoughts = Thoughts(reply.thinking.add)
        try:
            while (piece := await self._next(pieces)) is not None:
                yield thoughts.feed(piece)
        except TimeoutError:
            if not reply.finished:
                raise (FellSilent if reply.characters else NoWord) from None
        yield thoughts.end()

    async def _next(self, pieces: AsyncIterator[str]) -> str | None:
        async with asyncio.timeout(self.silence):
            return await anext(pieces, None)

    def explained(self, error: GatewayError) -> GatewayError:
        said = f" It says: {error.words}" if error.words else ""
        if CONTEXT_FULL.search(error.words):
            return ContextFull(ContextFull.says + said)
        if NO_MODEL.search(error.words):
            return NoModel(f"The server has no model “{self.model}”; {NoModel.says}{said}")
        if isinstance(error, NotOffered):
            return NotOffered(
                "The server has no chat completions at this address; an administrator has to correct "
                f"OPENCLAW_GATEWAY_URL.{said}"
            )
        if error.words in str(error) or isinstance(error, AuthRefused):
            return error
        return type(error)(f"{error}{said}", error.retry_after, error.words)


def fits(key: str) -> bool:
    return bool(WIRE_KEY.fullmatch(key) or FULL_KEY.fullmatch(key))


def full_key(key: str, agent: str) -> str:
    """As the gateway itself calls a session."""
    return key if FULL_KEY.fullmatch(key) else f"agent:{agent}:{key}"


def configured() -> Kind:
    return Plain(settings.GATEWAY_MODEL) if settings.GATEWAY_KIND == "openai" else OpenClaw()
