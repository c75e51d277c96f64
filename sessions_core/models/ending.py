"""How a reply ends: once, whole, with what waits behind it sent on or held. Each function is a method of Message."""

from typing import TYPE_CHECKING, Any

from django.db.models.functions import Now

from .event import ChatEvent

if TYPE_CHECKING:
    from .message import Message

FOR_OPERATORS = ("gateway_auth", "gateway_config")  # failures that a person cannot mend by trying again


class AlreadyEnded(Exception):
    """Somebody else settled the reply, or it belongs to another process now."""


def text_so_far(reply: "Message") -> tuple[str, int]:
    """The text and the number of deltas it is made of."""
    rows = list(reply.deltas.order_by("seq").values_list("seq", "text"))
    return (reply.text + "".join(text for _, text in rows), rows[-1][0] if rows else 0)


def settle(
    reply: "Message",
    state: str,
    *,
    process: str | None = None,
    orphaned: bool = False,
    code: str = "",
    error: str = "",
    text: str | None = None,
    html: str = "",
    html_version: int = 0,
    upstream_id: str = "",
    usage: dict | None = None,
    thinking: str = "",
) -> bool:
    """End this reply, once: fold its deltas, then promote or hold what waits. False when it had ended already.

    With `process`, only while that process owns it: one that was suspended past its lease writes nothing. It
    knows the `text` it has written; without, that is read from the deltas.
    With `orphaned`, only while its lease is over: whoever owns it may have renewed it since it was found.
    """
    fence: dict[str, Any] = {"owner_process": process} if process else {}
    if orphaned:
        fence["lease_until__lt"] = Now()
    result = {
        "state": state,
        "html": html,
        "html_version": html_version,
        "error_code": code,
        "error_text": error[:400],
        "upstream_id": upstream_id[:200],
        "usage": usage,
        "thinking": thinking,
    }
    try:
        with reply.chat.changing():
            _end(reply, fence, result if text is None else result | {"text": text})
            if text is None:
                _fold(reply)
            reply.deltas.all().delete()
            reply.chat.line_up(after=state)
            if code in FOR_OPERATORS:
                ChatEvent.objects.create(chat=reply.chat, verb="gateway refused", detail={"code": code})
    except AlreadyEnded:
        return False
    _forget(reply, *result, "text", "ended_at", "lease_until", "owner_process")
    return True


def _end(reply: "Message", fence: dict[str, Any], result: dict[str, Any]) -> None:
    result = result | {"ended_at": Now(), "lease_until": None, "owner_process": ""}
    if not type(reply).objects.running().filter(pk=reply.pk, **fence).update(**result):
        raise AlreadyEnded


def _fold(reply: "Message") -> None:
    if folded := text_so_far(reply)[0]:
        type(reply).objects.filter(pk=reply.pk).update(text=folded)


def _forget(reply: "Message", *names: str) -> None:
    """Each is read again if somebody asks for it."""
    for name in names:
        reply.__dict__.pop(name, None)


def interrupt(reply: "Message", process: str | None = None, code: str = "restarted", *, orphaned: bool = False) -> bool:
    """The process that was writing this is gone; what arrived is kept. Who had asked for it to stop has that."""
    if reply.stop_requested_at:
        return reply.settle("stopped", process=process, orphaned=orphaned)
    words = "The server was restarted while this was being written; what arrived is kept."
    return reply.settle("interrupted", process=process, orphaned=orphaned, code=code, error=words)
