"""The gateway: that it answers, that text streams, and that a session key is a memory of its own."""

import asyncio
import secrets
import uuid
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic

from django.conf import settings

from ..gateway import AuthRefused, Gateway, GatewayError, NotOffered, Reply, ThroughProxy, Unreachable, about, tools
from . import Finding, bad, note, ok, openclaw

WITHIN = 180.0  # seconds for one turn; the first after a gateway's start is slow
ENDPOINT = '"gateway": {"http": {"endpoints": {"chatCompletions": {"enabled": true}}}}'
OTHER_KIND = "For an OpenAI-compatible server set GATEWAY_KIND=openai, and GATEWAY_MODEL to one of its models."
REMEDIES = {
    Unreachable: "Check OPENCLAW_GATEWAY_URL and OPENCLAW_GATEWAY_CA, and that the gateway runs.",
    ThroughProxy: "Name the proxy in openclaw.json, gateway.trustedProxies, or let OPENCLAW_GATEWAY_URL lead past it.",
    AuthRefused: "Set OPENCLAW_GATEWAY_TOKEN to the gateway's token.",
    NotOffered: f"Set in openclaw.json: {ENDPOINT}",
}
RECALL = "What do you remember? Answer with the word only."
COUNT = "Count from one to forty in words, one after the other."


def remedy(error: GatewayError) -> str:
    found = (words for kind, words in REMEDIES.items() if isinstance(error, kind))
    return next(found, "Look into the gateway's log.")


def gateway() -> Iterator[Finding]:
    try:
        listed = tools.listed_agents()
    except NotOffered as error:
        yield bad("gateway", str(error), remedy(error))
        yield from unspoken()
        return
    except GatewayError as error:
        yield bad("gateway", str(error), remedy(error))
        return
    yield ok("gateway", f"{settings.OPENCLAW_GATEWAY_URL} answers and takes our token.")
    if not listed:
        yield bad("agent", "It offers no agent: it seems to be another kind of server than OpenClaw.", OTHER_KIND)
        return
    yield openclaw.release(told := about.release())
    agent = settings.OPENCLAW_AGENT_ID
    if agent not in listed:
        known = ", ".join(listed)
        yield bad("agent", f"It has no agent “{agent}”; it has: {known}.", "Set OPENCLAW_AGENT_ID to one of them.")
        return
    yield ok("agent", f"It has the agent “{agent}”.")
    yield from asyncio.run(talk(agent, [other for other in listed if other != agent]))
    yield from openclaw.upkeep(told, agent)


def unspoken() -> Iterator[Finding]:
    """What can be seen while nobody can be asked: all there is to set, so that it is set at once."""
    with suppress(GatewayError):
        yield openclaw.visible(about.configuration())
        yield from openclaw.upkeep(about.release(), settings.OPENCLAW_AGENT_ID)


async def talk(agent: str, others: list[str]) -> list[Finding]:
    """Two turns under one key, one under another and one with another agent; all of it is deleted afterwards."""
    upstream = Gateway(settings.OPENCLAW_GATEWAY_URL, settings.OPENCLAW_GATEWAY_TOKEN)
    mine, other = (f"webchat-doctor-{uuid.uuid4().hex[:12]}" for _ in range(2))
    word = f"{secrets.choice(('amber', 'cedar', 'fjord', 'lagoon'))}{secrets.randbelow(9000) + 1000}"
    sessions = [(mine, agent), (other, agent), *((mine, another) for another in others[:1])]
    findings = []
    try:
        findings.append(streams(await ask(upstream, mine, agent, f"remember: {word}\n{COUNT}")))
        findings.append(remembers(await ask(upstream, mine, agent, RECALL), word))
        findings.append(keeps_apart(await ask(upstream, other, agent, RECALL), word))
        for _, another in sessions[2:]:
            findings.append(several(await ask(upstream, mine, another, RECALL), word, another))
        findings.append(await asyncio.to_thread(openclaw.reads_others, mine, other, agent, word))
    except GatewayError as error:
        findings.append(bad("reply", str(error), remedy(error)))
    except TimeoutError:
        says = f"No whole reply within {WITHIN:.0f} s."
        findings.append(bad("reply", says, "Look into the gateway's log and its model."))
    finally:
        await upstream.close()
        findings.append(await asyncio.to_thread(openclaw.forgets, sessions))
    return findings


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


def several(pieces: list[tuple[float, str]], word: str, another: str) -> Finding:
    if word not in text_of(pieces):
        return ok("agents", f"The agent “{another}” is asked too, in a session of its own.")
    return bad("agents", f"The agent “{another}” knows what was said to another.", "Use OpenClaw 2026.6 or newer.")
