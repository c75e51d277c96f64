"""Proves the whole path of a message, from the database to the gateway's memory; what is wrong has its remedy."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True)
class Finding:
    name: str
    state: str  # ok, note or bad
    says: str
    remedy: str = ""


def ok(name: str, says: str) -> Finding:
    return Finding(name, "ok", says)


def note(name: str, says: str, remedy: str = "") -> Finding:
    return Finding(name, "note", says, remedy)


def bad(name: str, says: str, remedy: str) -> Finding:
    return Finding(name, "bad", says, remedy)


def examine() -> Iterator[Finding]:
    """One finding after the other, as they are made; the last ones talk to the gateway and may take a minute."""
    from . import here, plain, upstream, web

    stored = list(here.database())
    yield from stored
    if all(finding.state != "bad" for finding in stored):
        yield from here.processes()
    yield from here.redis()
    yield from web.pages()
    if settings.GATEWAY_KIND == "openai":
        yield from plain.server()
    elif settings.OPENCLAW_GATEWAY_URL:
        yield from upstream.gateway()
    else:
        yield note("gateway", "No gateway is set: the demo answers.", "Set OPENCLAW_GATEWAY_URL and its token.")
