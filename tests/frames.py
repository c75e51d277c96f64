"""Frames of the socket, as `docs/socket.md` describes them."""

from typing import Any


def in_full(frame: dict[str, Any]) -> dict[str, Any]:
    """With what a piece of a reply leaves out because it goes without saying."""
    if "type" in frame:
        return frame
    return {"type": "delta", "message": frame["reply"], "after": frame["seq"] - 1} | frame
