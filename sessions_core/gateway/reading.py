"""What a response says: an event stream, or one JSON document, in pieces of text."""

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.conf import settings

from ..sse import EventDecoder, LineTooLong
from ..text import StreamCleaner, clean_text
from .errors import BadReply, GatewayError, TooLarge, UpstreamError, words_of
from .thoughts import Thinking

MAX_MALFORMED = 20  # events
SHORTENED = {
    "length": ("length_limit", "it reached the length that the model may answer with"),
    "content_filter": ("content_filter", "a content filter ended it"),
}


@dataclass
class Reply:
    """What is known of a reply besides its text; filled while it streams."""

    upstream_id: str = ""
    usage: dict[str, Any] | None = None
    finished: bool = False
    shortened: tuple[str, str] = ("", "")  # the code and why, where it has an end but not its own
    characters: int = 0
    events: int = 0
    malformed: int = 0
    cleaner: StreamCleaner = field(default_factory=StreamCleaner)
    thinking: Thinking = field(default_factory=Thinking)

    @property
    def trouble(self) -> tuple[str, str]:
        """The code and the words for what is wrong with it although it is done; empty where nothing is."""
        code, why = self.shortened
        return code, f"The answer was cut short: {why}." if why else ""


async def events(raw: AsyncIterator[bytes], reply: Reply) -> AsyncIterator[str]:
    """Text out of an event stream, of all events that came at once together; ends at [DONE], and what follows that is
    not read."""
    decoder = EventDecoder(settings.REPLY_MAX_LINE)
    try:
        async for piece in raw:
            texts: list[str] = []
            try:
                over = _hear(decoder.feed(piece), texts, reply)
            except (LineTooLong, GatewayError):
                yield "".join(texts)  # what came before it is kept
                raise
            if texts:  # a ping is nothing said
                yield "".join(texts)
            if over:
                break
    except LineTooLong:
        raise BadReply(f"The gateway sent a line of more than {settings.REPLY_MAX_LINE:,} bytes.") from None
    yield reply.cleaner.end()


def _hear(told: Iterable[str], texts: list[str], reply: Reply) -> bool:
    """Adds the text of each event; True at the last one."""
    for data in told:
        if data.strip() == "[DONE]":
            reply.finished = True
            return True
        if data.strip():  # an empty event is how some servers keep the connection open
            texts.append(_text_of(data, reply))
    return False


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
    """Choice 0's content; of the rest that a chunk may carry, reasoning is kept apart, tool calls are not read."""
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
    if reason := choice.get("finish_reason"):
        reply.finished = True
        reply.shortened = SHORTENED.get(str(reason), reply.shortened)
    content = choice.get(part)
    if not isinstance(content, dict):
        return ""
    reply.thinking.add(_reasoning_in(content))
    text = content.get("content")
    return reply.cleaner.feed(text) if isinstance(text, str) else ""


def _reasoning_in(content: dict[str, Any]) -> str:
    """Servers have two names for it; one that uses both says the same twice."""
    found = content.get("reasoning_content") or content.get("reasoning")
    return found if isinstance(found, str) else ""


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
