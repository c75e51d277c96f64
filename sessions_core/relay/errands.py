"""What is done on the gateway that nobody waits for: sessions whose chats are gone for good are deleted there, and
others are labelled as people call them.

A chat works without it. Every call has seconds, a few are made at a time, and what fails is tried again later or not at
all.
"""

import asyncio
import logging
import uuid

from django.conf import settings
from django.db import InterfaceError, OperationalError

from ..gateway import Failed, GatewayError, Rejected, tools
from ..models import Chat, ChatEvent, Leftover
from ..models.titling import label_of
from .tasks import Thread, close_connection, surviving

log = logging.getLogger(__name__)

PAUSE = 5.0  # seconds
AT_ONCE = 5  # sessions to forget, and sessions to label
WITHIN = 5.0  # seconds, for each call: a process that ends waits for the one it is at
MOST_REMEMBERED = 10_000  # sessions and their labels
ENDINGS = ("", " (2)", " (3)")  # labels are unique on the gateway


class Errands:
    """In a thread of its own. A drain ends it after the step it is at."""

    def __init__(self) -> None:
        self.over = False
        self.thread = Thread("relay-errands")
        self.changed: dict[uuid.UUID, None] = {}  # chats that may have another label now, in the order of the changes
        self.labelled: dict[str, str] = {}  # by key
        self.seen: int | None = None  # of the history

    async def run_for_ever(self) -> None:
        while not self.over and tools.manages_sessions():
            await asyncio.sleep(PAUSE)
            with surviving("errands"):
                await self.run()

    async def run(self) -> None:
        try:
            await self.thread.run(self.forget)
            if settings.GATEWAY_LABELS:
                await self.thread.run(self.label)
        except (OperationalError, InterfaceError) as error:
            log.warning("What is to be done on the gateway is not known, again in %.0f s: %s", PAUSE, error)
            await self.thread.run(close_connection)

    def forget(self) -> None:
        """Sessions whose chats are gone for good."""
        for leftover in Leftover.objects.take(AT_ONCE):
            if self.over:
                return
            try:
                tools.forget_session(leftover.key, leftover.agent, WITHIN)
                leftover.delete()
            except GatewayError as error:
                leftover.put_off(error)

    # --- labels

    def answered(self, chat: uuid.UUID) -> None:
        """From then on there is something to label."""
        if settings.GATEWAY_LABELS and len(self.changed) < MOST_REMEMBERED:
            self.changed[chat] = None

    def label(self) -> None:
        """Chats that were answered here or renamed anywhere, unless their label is that already."""
        self.notice_renamed()
        for pk in list(self.changed)[:AT_ONCE]:
            del self.changed[pk]
            if self.over:
                return
            if chat := Chat.objects.filter(pk=pk).first():
                self.label_one(chat)

    def notice_renamed(self) -> None:
        """What was renamed while no relay ran keeps the label it has until its next answer."""
        events = ChatEvent.objects.order_by("pk")
        if self.seen is None:
            self.seen = events.values_list("pk", flat=True).last() or 0
        for pk, chat in events.filter(pk__gt=self.seen, verb="renamed").values_list("pk", "chat"):
            self.seen = pk
            if chat:
                self.changed[chat] = None

    def label_one(self, chat: Chat) -> None:
        wanted = label_of(chat)
        if not wanted or self.labelled.get(chat.wire_key) == wanted:
            return
        self.labelled[chat.wire_key] = wanted
        for ending in (*ENDINGS, f" ({chat.pk.hex[:6]})"):
            try:
                tools.label_session(chat.wire_key, chat.agent, wanted + ending, WITHIN)
                return
            except GatewayError as error:
                log.info("A label of %s was not taken: %s", chat.wire_key, error.code)  # the words have it in them
                if not isinstance(error, Failed | Rejected):  # another label would not help
                    return
