"""A reply this process is writing."""

import asyncio
from dataclasses import dataclass, field
from time import monotonic

from .. import gateway as wire
from ..blocks import BlockSplitter
from ..models import Delta, Message


@dataclass
class Ending:
    state: str
    code: str = ""
    error: str = ""


@dataclass(eq=False)
class Running:
    reply: Message
    known: wire.Reply = field(default_factory=wire.Reply)
    unwritten: list[str] = field(default_factory=list)
    unwritten_size: int = 0
    since: float = 0.0  # when the oldest of what the last delta holds arrived
    next_since: float = 0.0
    seq: int = 0
    text: list[str] = field(default_factory=list)  # published
    ending: Ending | None = None
    task: asyncio.Task | None = None
    written: asyncio.Event = field(default_factory=asyncio.Event)
    blocks: BlockSplitter = field(default_factory=BlockSplitter)
    upto: int = 0  # how far blocks are rendered, as a browser counts

    def add(self, text: str) -> None:
        if not self.unwritten:
            self.next_since = monotonic()
        self.unwritten.append(text)
        self.unwritten_size += len(text)

    def take(self) -> Delta | None:
        """What arrived since the last beat, as the next delta."""
        if not self.unwritten:
            return None
        text = "".join(self.unwritten)
        self.since = self.next_since
        self.unwritten.clear()
        self.unwritten_size = 0
        self.seq += 1
        return Delta(message_id=self.reply.pk, seq=self.seq, text=text)

    def end(self, state: str, code: str = "", error: str = "") -> None:
        """Once; cancelling the task closes the stream, which stops the gateway's run."""
        self.ending = self.ending or Ending(state, code, error)
        if self.task and self.task is not asyncio.current_task():
            self.task.cancel()

    @property
    def key(self) -> str:
        """The gateway session it was asked under; the chat may have gone on to another since."""
        return self.reply.chat.key_of_memory(self.reply.key_number)
