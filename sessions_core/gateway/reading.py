"""What a response says: an event stream, or one JSON document, in pieces of text."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.conf import settings

from ..sse import EventDecoder, LineTooLong
from ..text import StreamCleaner, clean_text
from .errors import BadReply, TooLarge, UpstreamError, words_of

MAX_MALFORMED = 20  # events


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


async def events(raw: AsyncIterator[bytes], reply: Reply) -> AsyncIterator[str]:
    """Text out of an event stream; ends at [DONE], and what follows that is not read."""
    decoder = EventDecoder(settings.REPLY_MAX_LINE)
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
        raise BadReply(f"The gateway sent a line of more than {settings.REPLY_MAX_LINE:,} bytes.") from None
    yield reply.cleaner.end()


async def whole(raw: AsyncIterator[bytes], reply: Reply) -> AsyncIterator[str]:
    """A server that does not stream answers with one JSON document: one piece."""
    body = b""
    async for piece in raw:
        body += piece
        if len(body) > 4 * settings.REPLY_MAX_LENGTH:
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
    """Choice 0's content; the rest of what a chunk may carry (reasoning, tool calls, other choices) is not text."""
    if document.get("error") or document.get("object") == "error":
        words = words_of(document)
        raise UpstreamError(f"{UpstreamError.says} It says: {words}", words=words)
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
