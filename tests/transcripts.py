"""Transcripts as the gateway tells them, for tests."""

import time
from itertools import count
from typing import Any

numbers = count(1)
SOURCE = "source-1"


def entry(role: str, content: Any, *, at: int | None = None, **meta: Any) -> dict[str, Any]:
    """One entry; what is no field of the entry itself stands in its `__openclaw`."""
    number = next(numbers)
    own = {name: meta.pop(name) for name in ("stopReason", "provenance", "idempotencyKey") if name in meta}
    position = {"source": meta.pop("source", SOURCE), "rawSeq": number}
    meta = {"id": f"entry-{number}", "seq": number, "transcriptPosition": position} | meta
    return {
        "role": role,
        "content": content,
        "timestamp": at or int(time.time() * 1000) + number,
        "__openclaw": meta,
    } | own


def asked(text: str, **meta: Any) -> dict[str, Any]:
    """Over HTTP, as this app asks."""
    return entry("user", text, **({"idempotencyKey": f"key-{next(numbers)}:user"} | meta))


def typed(text: str, program: str = "openclaw-control-ui", **meta: Any) -> dict[str, Any]:
    """In one of the gateway's own programs."""
    return asked(text, transport={"clients": [{"id": program, "mode": "ui"}]}, **meta)


def answered(text: str, run: str = "", **meta: Any) -> dict[str, Any]:
    named = {"runId": run} if run else {}
    return entry("assistant", [{"type": "text", "text": text}], **({"stopReason": "stop"} | named | meta))


def turn(question: str, answer: str, run: str = "") -> list[dict[str, Any]]:
    return [asked(question), answered(answer, run)]


def was_reset(**meta: Any) -> dict[str, Any]:
    return entry("system", [{"type": "text", "text": "Reset"}], kind="reset", **meta)


def was_compacted() -> dict[str, Any]:
    return entry("system", [{"type": "text", "text": "Compaction"}], kind="compaction")
