"""What others left and what is over: replies of dead processes, stranded messages, what nobody uses any more."""

import asyncio
import logging
from collections.abc import Collection

from django.db import InterfaceError, OperationalError, transaction

from .. import metrics, retention
from ..models import Chat, Message
from .tasks import Thread, close_connection, surviving

log = logging.getLogger(__name__)

REAP = 1.0  # seconds: after the lease, and with the end of many, a page is told within ten
ENDS_PER_TURN = 20
TIDY_FIRST, TIDY = 60.0, 600.0  # seconds after the start, then between two looks whether somebody did it today


class Tidying:
    """In threads of its own: no reply waits for it. A drain ends it after the step it is at."""

    def __init__(self, running: Collection[int] = ()) -> None:
        self.running = running  # the replies this process is writing
        self.over = False
        self.thread = Thread("relay-reaper")

    async def reap_for_ever(self) -> None:
        """A process that was suspended in the middle of a write still holds that row, and this waits for it."""
        while not self.over:
            more = False
            with surviving("reaper"):
                more = await self._reap()
            if not more:
                await asyncio.sleep(REAP)

    async def _reap(self) -> bool:
        try:
            return await self.thread.run(reap, list(self.running))
        except (OperationalError, InterfaceError) as error:
            log.warning("What a dead process left was not reaped, again in %.0f s: %s", REAP, error)
            await self.thread.run(close_connection)
            return False

    async def tidy_for_ever(self) -> None:
        await asyncio.sleep(TIDY_FIRST)
        while not self.over:
            with surviving("tidying"):
                await asyncio.to_thread(self._tidy)
            await asyncio.sleep(TIDY)

    def _tidy(self) -> None:
        try:
            retention.tidy(stopped=lambda: self.over)
        finally:
            close_connection()


def interrupt_others(process: str) -> None:
    """All that this process does not write itself. Only where no other is, which could lock the same chats in another
    order: many in one transaction."""
    streaming = Message.objects.in_motion().replies().filter(state=Message.State.STREAMING)
    left = list(streaming.exclude(owner_process=process).select_related("chat"))
    for first in range(0, len(left), ENDS_PER_TURN):
        with transaction.atomic():
            for reply in left[first : first + ENDS_PER_TURN]:
                counted(reply, reply.interrupt())


def reap(alive: Collection[int] = ()) -> bool:
    """What a dead process left: replies to interrupt, stops nobody took, messages waiting behind nothing. True when
    there may be more of it than is done in one turn.

    What is `alive` here is spared even when its lease is over: the database was away, not this process.
    """
    left = list(Message.objects.orphaned().exclude(pk__in=alive).select_related("chat")[:ENDS_PER_TURN])
    ended = [counted(reply, reply.interrupt(orphaned=True)) for reply in left]
    for reply in Message.objects.waiting().exclude(stop_requested_at=None).select_related("chat"):
        counted(reply, reply.settle(Message.State.STOPPED))
    for chat in Chat.objects.stranded():
        with chat.changing():
            chat.promote()
    return sum(ended) == ENDS_PER_TURN


def counted(reply: Message, ended: bool) -> bool:
    """Whether this process ended it, for the operator's figures too."""
    if ended:
        metrics.ENDED.labels("stopped" if reply.stop_requested_at else "interrupted").inc()
    return ended
