"""What the gateway keeps of a session: its transcript, newest first asked for, as entries that mean something here.

Whatever is missing in an answer or has another form is left out; what a session has not got is an empty transcript.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from ..text import clean_text
from . import kinds, origins, tools
from .errors import BadReply, NotOffered

PAGE = 20  # entries: each may be 8,000 characters, and an answer has them twice
MOST_PAGES = 10
WITHIN = 15.0  # seconds for a page
NO_SESSION = "Session not found"
CUT = "\n...(truncated)..."
# How the gateway keeps a turn that earlier ones went along with.
CONTEXT, CURRENT = "[Chat messages since your last reply", "[Current message - respond to this]\nUser: "
STAMP = re.compile(r"\[\w{3} \d{4}-\d\d-\d\d \d\d:\d\d [^\]\n]{1,40}\] ")
TEXTS = ("text", "input_text", "output_text")
DIVIDERS = ("reset", "compaction")
RESUMES = "main_session_restart_recovery"  # what the gateway tells the agent itself, to go on after it was killed


@dataclass(frozen=True)
class Entry:
    id: str
    role: str  # user, assistant, or a divider
    text: str = ""
    run: str = ""  # which of the gateway's runs it belongs to; an answer's is the id of its stream
    origin: str = ""  # where it was said, if the transcript tells that it was not over HTTP
    at: datetime | None = None
    whole: bool = True  # a long text is cut
    final: bool = False  # what an agent said last in a run, no step on the way and no failure


@dataclass(frozen=True)
class Transcript:
    entries: tuple[Entry, ...] = ()  # oldest first
    complete: bool = False  # from where the memory begins
    memory: str = ""  # names the memory; empty where the release does not tell
    exists: bool = True


def path_of(key: str, agent: str, **query: object) -> str:
    asked = "&".join(f"{name}={quote(str(value))}" for name, value in query.items() if value)
    return f"/sessions/{quote(kinds.full_key(key, agent), safe='')}/history?{asked}"


def read(key: str, agent: str, known: Collection[str] = (), *, most_pages: int = MOST_PAGES) -> Transcript:
    """Its end, back to an entry that is known or to its beginning, within so many pages. Raises a GatewayError."""
    found: list[dict[str, Any]] = []
    cursor = ""
    for _ in range(most_pages):
        page = _page(path_of(key, agent, limit=PAGE, cursor=cursor))
        if page is None:
            return Transcript(complete=True, exists=False)
        found = [message for message in page["messages"] if isinstance(message, dict)] + found
        cursor = str(page.get("nextCursor") or "") if page.get("hasMore") else ""
        if not cursor or any(_meta(message).get("id") in known for message in found):
            break
    return parsed(found, complete=not cursor)


def _page(path: str) -> dict[str, Any] | None:
    """None where there is no such session."""
    try:
        page = tools.ask("GET", path, None, WITHIN)
    except NotOffered as error:
        if error.words.startswith(NO_SESSION):
            return None
        raise
    if not isinstance(page, dict) or not isinstance(page.get("messages"), list):
        raise BadReply("The gateway did not answer with a transcript.")
    return page


def parsed(messages: list[dict[str, Any]], *, complete: bool) -> Transcript:
    """What is before the last reset is forgotten: the memory begins there."""
    entries: dict[str, Entry] = {}
    for message in messages:
        if entry := entry_of(message):
            before = entries.get(entry.id)  # one that is shown in parts
            entries[entry.id] = replace(entry, text=f"{before.text}\n{entry.text}") if before else entry
    told = list(entries.values())
    begins = max((n for n, entry in enumerate(told) if entry.role == "reset"), default=-1)
    reset = told[begins].id if begins >= 0 else ""
    source = next((_source(message) for message in reversed(messages) if _source(message)), "")
    complete = complete or begins >= 0
    first = told[0].id if told and complete else ""
    return Transcript(tuple(told[max(begins, 0) :]), complete, (f"{source}/{reset}" if source or reset else first)[:80])


def entry_of(message: dict[str, Any]) -> Entry | None:
    meta, role = _meta(message), str(message.get("role"))
    id, text = str(meta.get("id") or "")[:100], _text(message)
    if not id or (role == "system" and meta.get("kind") not in DIVIDERS):
        return None
    at = _moment(message.get("timestamp"))
    if role == "system":
        return Entry(id, meta["kind"], at=at)
    whole, text = not text.endswith(CUT), clean_text(text.removesuffix(CUT))
    run = str(meta.get("runId") or _key(message, meta).split(":")[0])
    if role == "user" and origins.table(message, "provenance").get("sourceTool") == RESUMES:
        return None  # the answer is one to the question before it
    if role == "user":
        text, channel = _as_said(text)
        origin = origins.of_question(message, meta) or channel
        return Entry(id, role, text, run, origin, at, whole)
    if role != "assistant" or not text.strip():
        return None
    final = message.get("stopReason") == "stop" and not _key(message, meta).endswith("error")
    return Entry(id, role, text, run, origins.of_answer(message, run), at, whole, final)


def _meta(message: dict[str, Any]) -> dict[str, Any]:
    return origins.table(message, "__openclaw")


def _source(message: dict[str, Any]) -> str:
    return str(origins.table(_meta(message), "transcriptPosition").get("source") or "")


def _key(message: dict[str, Any], meta: dict[str, Any]) -> str:
    return str(message.get("idempotencyKey") or meta.get("idempotencyKey") or "")


def _text(message: dict[str, Any]) -> str:
    content = message.get("content", message.get("text"))
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    blocks = [block for block in content if isinstance(block, dict) and block.get("type") in TEXTS]
    return "\n".join(block["text"] for block in blocks if isinstance(block.get("text"), str))


def _as_said(text: str) -> tuple[str, str]:
    """Without what the gateway put around it, and the channel that earlier releases wrote before it."""
    if text.startswith(CONTEXT):
        text = text.rpartition(CURRENT)[2] if CURRENT in text else ""  # cut before the message: nobody can tell
    text = STAMP.sub("", text, count=1) if STAMP.match(text) else text
    if not (envelope := origins.ENVELOPE.match(text)):
        return text, ""
    return text[envelope.end() :], origins.CHANNELS[envelope[1].lower()]


def _moment(value: Any) -> datetime | None:
    if type(value) not in (int, float) or not 0 < value < 32_503_680_000_000:  # the year 3000
        return None
    return datetime.fromtimestamp(value / 1000, UTC)
