"""The gateway: that it answers, that text streams, and that a session key is a memory of its own."""

import asyncio
import secrets
import uuid
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic

from django.conf import settings

from ..gateway import AuthRefused, Gateway, GatewayError, NotOffered, Reply, Unreachable, tools
from . import Finding, bad, note, ok

WITHIN = 180.0  # seconds for one turn; the first after a gateway's start is slow
ENDPOINT = '"gateway": {"http": {"endpoints": {"chatCompletions": {"enabled": true}}}}'
REMEDIES = {
    Unreachable: "Check OPENCLAW_GATEWAY_URL, and that the gateway runs.",
    AuthRefused: "Set OPENCLAW_GATEWAY_TOKEN to the gateway's token.",
    NotOffered: f"Set in openclaw.json: {ENDPOINT}",
}
COUNT = "Count from one to forty in words, one after the other."


def remedy(error: GatewayError) -> str:
    found = (words for kind, words in REMEDIES.items() if isinstance(error, kind))
    return next(found, "Look into the gateway's log.")


def gateway() -> Iterator[Finding]:
    try:
        listed = tools.listed_agents()
    except GatewayError as error:
        yield bad("gateway", str(error), remedy(error))
        return
    yield ok("gateway", f"{settings.OPENCLAW_GATEWAY_URL} answers and takes our token.")
    agent = settings.OPENCLAW_AGENT_ID
    if agent not in listed:
        known = ", ".join(listed) or "none"
        yield bad("agent", f"It has no agent “{agent}”; it has: {known}.", "Set OPENCLAW_AGENT_ID to one of them.")
        return
    yield ok("agent", f"It has the agent “{agent}”.")
    yield from asyncio.run(talk(agent))


async def talk(agent: str) -> list[Finding]:
    """Two turns under one key and one under another, which are deleted afterwards."""
    upstream = Gateway(settings.OPENCLAW_GATEWAY_URL, settings.OPENCLAW_GATEWAY_TOKEN)
    mine, other = (f"webchat-doctor-{uuid.uuid4().hex[:12]}" for _ in range(2))
    word = f"{secrets.choice(('amber', 'cedar', 'fjord', 'lagoon'))}{secrets.randbelow(9000) + 1000}"
    try:
        streamed = await ask(upstream, mine, agent, f"remember: {word}\n{COUNT}")
        recalled = await ask(upstream, mine, agent, "What do you remember? Answer with the word only.")
        apart = await ask(upstream, other, agent, "What do you remember? Answer with the word only.")
        return [streams(streamed), remembers(recalled, word), keeps_apart(apart, word)]
    except GatewayError as error:
        return [bad("reply", str(error), remedy(error))]
    except TimeoutError:
        return [bad("reply", f"No whole reply within {WITHIN:.0f} s.", "Look into the gateway's log and its model.")]
    finally:
        await upstream.close()
        for key in (mine, other):
            with suppress(GatewayError):
                await asyncio.to_thread(tools.forget_session, key, agent)


async def ask(upstream: Gateway, key: str, agent: str, text: str) -> list[tuple[float, str]]:
    """The pieces of the reply, each with the seconds since the question."""
    began, pieces = monotonic(), []
    async with asyncio.timeout(WITHIN):
        async for piece in upstream.stream([{"role": "user", "content": text}], key, agent, Reply()):
            pieces.append((monotonic() - began, piece))
    return pieces


def text_of(pieces: list[tuple[float, str]]) -> str:
    return "".join(piece for _, piece in pieces)


def streams(pieces: list[tuple[float, str]]) -> Finding:
    whole = [at for at, piece in pieces if piece]
    if len(whole) > 1:
        return ok("reply", f"Text streams: {len(whole)} pieces, the first after {whole[0]:.1f} s.")
    words = "The whole reply came in one piece."
    return note("reply", words, "A model that does not stream, or a proxy before the gateway that buffers.")


def remembers(pieces: list[tuple[float, str]], word: str) -> Finding:
    if word in text_of(pieces):
        return ok("memory", "The session's key keeps its memory over two turns.")
    remedy = "Use an OpenClaw that knows the header x-openclaw-session-key (2026.6 or newer), or ask a better model."
    return bad("memory", "A second turn under the same key did not know the first.", remedy)


def keeps_apart(pieces: list[tuple[float, str]], word: str) -> Finding:
    if word not in text_of(pieces):
        return ok("apart", "Another key does not know it.")
    remedy = 'Keep one session from reading another, in openclaw.json: "tools": {"sessions": {"visibility": "tree"}}'
    return bad("apart", "Another key knows what was said under the first.", remedy)
