"""A plain OpenAI-compatible server: that it answers, has the model, takes what we send along, and streams."""

import asyncio
from collections.abc import Iterator
from typing import Any

from django.conf import settings

from ..gateway import AuthRefused, Gateway, GatewayError, NoModel, NotOffered, Unreachable, kinds, tools
from . import Finding, bad, note, ok
from .upstream import COUNT, WITHIN, ask, streams

SHOWN = 30  # models
REMEDIES = {
    Unreachable: "Check OPENCLAW_GATEWAY_URL, and that the server runs.",
    AuthRefused: "Set OPENCLAW_GATEWAY_TOKEN to the server's key.",
    NoModel: "Set GATEWAY_MODEL to a model that the server has.",
    NotOffered: "Set OPENCLAW_GATEWAY_URL to the address before /v1, such as http://127.0.0.1:11434.",
}
NO_CONTEXT = "Set GATEWAY_CONTEXT_TOKENS to what the server gives the model, which it does not tell."


def remedy(error: GatewayError) -> str:
    found = (words for kind, words in REMEDIES.items() if isinstance(error, kind))
    return next(found, "Look into the server's log.")


def server() -> Iterator[Finding]:
    try:
        models = {str(model.get("id")): model for model in tools.listed_models()}
    except GatewayError as error:
        yield bad("gateway", str(error), remedy(error))
        return
    yield ok("gateway", f"{settings.OPENCLAW_GATEWAY_URL} answers.")
    name = settings.GATEWAY_MODEL
    found = models.get(name) or models.get(f"{name}:latest")  # as Ollama completes a name
    if found is None:
        yield bad("model", f"It has no model “{name}”; it has: {some_of(models)}.", "Set GATEWAY_MODEL to one of them.")
        return
    yield ok("model", f"It has the model “{name}”.")
    yield context(found)
    yield asyncio.run(talk())


def some_of(models: dict[str, Any]) -> str:
    names = sorted(models)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "none") + more


def context(model: dict[str, Any]) -> Finding:
    """What vLLM and llama.cpp tell beside the name; the others keep it to themselves."""
    meta = model.get("meta")
    takes = model.get("max_model_len") or (meta.get("n_ctx") if isinstance(meta, dict) else None)
    set_to = settings.GATEWAY_CONTEXT_TOKENS
    if not isinstance(takes, int):
        return note("context", f"{set_to:,} tokens are taken for what the model takes.", NO_CONTEXT)
    if takes < set_to:
        words = f"The model takes {takes:,} tokens, and GATEWAY_CONTEXT_TOKENS is {set_to:,}."
        return bad("context", words, f"Set GATEWAY_CONTEXT_TOKENS={takes}: longer conversations would be refused.")
    if takes >= 2 * set_to:
        words = f"The model takes {takes:,} tokens, of which {set_to:,} are used."
        return note("context", words, f"GATEWAY_CONTEXT_TOKENS={takes} lets it remember more, at more work for it.")
    return ok("context", f"The model takes {takes:,} tokens, of which {set_to:,} are used.")


async def talk() -> Finding:
    upstream = Gateway(settings.OPENCLAW_GATEWAY_URL, settings.OPENCLAW_GATEWAY_TOKEN, kinds.configured())
    try:
        return streams(await ask(upstream, "", "", COUNT))
    except GatewayError as error:
        return bad("reply", str(error), remedy(error))
    except TimeoutError:
        return bad("reply", f"No whole reply within {WITHIN:.0f} s.", "Look into the server's log and its load.")
    finally:
        await upstream.close()
