"""Frames of the socket, as `docs/socket.md` describes them."""

from typing import Any

import orjson


class Frames:
    """What comes over one socket, with what a piece of a reply leaves out because it goes without saying."""

    def __init__(self) -> None:
        self.reply = 0

    def read(self, data: str | bytes) -> dict[str, Any]:
        frame = orjson.loads(data)
        if "type" in frame:
            return frame
        self.reply = frame.get("reply", self.reply)
        return {"type": "delta", "message": self.reply, "after": frame["seq"] - 1} | frame
