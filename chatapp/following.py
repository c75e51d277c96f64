"""An open page's place in a chat: a cursor that live text and text read from the rows pass alike, each piece once."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from . import standing
from .flow import Flow

Say = Callable[[dict[str, Any]], Awaitable[None]]


class Gone(Exception):
    """The chat is not there, or not this person's."""


class Following:
    """Its caller holds a lock around each call."""

    def __init__(self, user: int, flow: Flow, say: Say) -> None:
        self.user, self.flow, self.say = user, flow, say
        self.chat: uuid.UUID | None = None
        self.rev = 0
        self.list_rev = 0  # as it was at the last look
        self.message = self.seq = 0  # which reply, and up to which delta the page has it
        self.named = 0  # the reply that the last piece of text was of, since the page said where it is
        self.runs = asyncio.Event()  # a reply does
        self.begun = 0  # the reply that the page knows somebody writes
        self.blocks, self.blocks_due = True, False  # whether it is told of blocks; whether it lacks all of them

    async def start(self, chat: uuid.UUID | None, rev: int, message: int, seq: int) -> None:
        """From where the page says it is; one that has not read what it was sent gets it with a tick."""
        known = chat in (None, self.chat)
        self.chat, self.rev, self.message, self.seq = chat, rev, message, seq
        self.named = self.begun = 0
        self.flow.rejoined()
        if self.flow.full:
            self.flow.check()
            if not known and await standing.read(self.user, self.chat, message, seq, 0) is None:
                raise Gone
            self.blocks_due = True
            self.runs.set()
        else:
            await self.catch_up(blocks=True)

    async def acked(self) -> None:
        lacking = self.flow.lagging or (self.runs.is_set() and self.blocks_due)
        self.flow.acked()
        if lacking:
            await self.catch_up()

    # --- live

    async def pass_delta(self, event: dict[str, Any]) -> None:
        if event["message"] > self.message:  # a new reply in this chat
            self.message, self.seq = event["message"], 0
            self.blocks, self.blocks_due = True, False
            self.runs.set()
        if event["message"] < self.message or event["seq"] <= self.seq:
            return
        if self.flow.lagging or self.flow.room < 0:
            self.flow.lagging = True  # the page gets this with what it lacks, after its next ack
            return
        if event["after"] != self.seq:
            return await self.catch_up()
        await self._send(event["after"], event["seq"], event["text"])

    async def pass_begun(self, event: dict[str, Any]) -> None:
        if event["message"] > self.begun or "thinking" in event:
            self.begun = event["message"]
            await self.say(event)

    async def pass_block(self, event: dict[str, Any]) -> None:
        if event["message"] != self.message or not self.blocks or self.blocks_due:
            return
        if self.flow.lagging:
            self.blocks_due = True
        else:
            await self.say(event)

    async def pass_rev(self, event: dict[str, Any]) -> None:
        if event["chat"] == str(self.chat) and event["rev"] > self.rev:
            await self.catch_up()

    # --- from the rows

    async def catch_up(self, *, blocks: bool = False) -> None:
        """What the page lacks, as much as may be sent ahead of its acks."""
        if self.chat is None:
            self.list_rev = await standing.list_rev(self.user)
            return
        found = await standing.read(self.user, self.chat, self.message, self.seq, self.flow.room)
        if found is None:
            raise Gone
        self.list_rev = found.list_rev
        if found.message:
            self.runs.set()
        else:
            self.runs.clear()
        self.blocks_due = self.blocks_due or blocks
        if found.message:
            await self._go_on(found)
        if found.rev != self.rev:
            self.rev = found.rev
            kind = "rev" if found.message else "end"
            await self.say({"type": kind, "chat": str(self.chat), "message": self.message, "rev": self.rev})

    async def _go_on(self, found: standing.Standing) -> None:
        if found.message != self.message:
            self.blocks, self.blocks_due = True, True
        self.message, self.seq = found.message, found.after
        if found.begun:
            await self.pass_begun({"type": "begun", "message": found.message})
        if found.text:
            await self._send(found.after, found.seq, found.text)
        self.flow.lagging = found.more
        if self.blocks_due and not found.more and self.flow.half_empty:
            await self._send_blocks()

    async def _send(self, after: int, seq: int, text: str) -> None:
        """Twenty times a second, so the frame says nothing that goes without saying."""
        frame: dict[str, Any] = {"seq": seq, "text": text}
        if self.named != self.message:
            frame["reply"] = self.named = self.message
        if after != seq - 1:
            frame["after"] = after
        self.flow.sent(len(text))
        self.seq = seq
        await self.say(frame)

    async def _send_blocks(self) -> None:
        frame = await standing.blocks(self.message, self.seq) if self.seq else None
        self.blocks, self.blocks_due = frame is not None or not self.seq, False
        if frame and frame["upto"]:
            await self.say(frame)
