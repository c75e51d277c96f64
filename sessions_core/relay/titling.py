"""Titles that the gateway thinks of, each in a session of its own that is removed afterwards: what is said there is in
no chat's memory."""

import asyncio
import logging
import secrets
from contextlib import aclosing
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db.models.functions import Now

from .. import gateway as wire
from ..gateway import tools
from ..models import Chat, Leftover, Message
from ..models.names import KEY_PREFIX
from ..models.titling import Untitled, entitle, untitled
from .errands import Errands
from .tasks import Tasks

log = logging.getLogger(__name__)

SETTLED = 0.5  # seconds until the reply that just ended stands in its row
LOOKS = 10  # of so many seconds
AT_ONCE = 2
MOST_WAITING = 20  # further ones keep the first words as their title
WITHIN = 60.0  # seconds, for a title
MOST = 1_000  # characters that are read of an answer
HELD = timedelta(minutes=2)  # until the session may be removed, should this process not do it before


class Titling:
    def __init__(self, gateway: wire.Gateway, tasks: Tasks, errands: Errands) -> None:
        self.gateway = gateway
        self.tasks = tasks
        self.errands = errands
        self.thread = errands.thread
        self.room = asyncio.Semaphore(AT_ONCE)
        self.waiting = 0

    def answered(self, reply: Message) -> None:
        """Think of a title, where that is wanted and this is the first answer."""
        wanted = settings.CHAT_TITLES == "gateway" and bool(settings.OPENCLAW_GATEWAY_URL)
        if wanted and not reply.chat.named and self.waiting < MOST_WAITING:
            self.waiting += 1
            self.tasks.spawn(self._title(reply.pk))

    async def _title(self, pk: int) -> None:
        try:
            async with self.room:
                if found := await self._untitled(pk):
                    await self._ask(found)
        except (wire.GatewayError, TimeoutError) as error:
            log.info("No title from the gateway: %s", error or "it took too long")
        finally:
            self.waiting -= 1

    async def _untitled(self, pk: int) -> Untitled | None:
        for _ in range(LOOKS):
            await asyncio.sleep(SETTLED)
            reply = await self.thread.run(Message.objects.select_related("chat", "parent").filter(pk=pk).first)
            if reply is None or not reply.running:
                return await self.thread.run(untitled, reply) if reply else None
        return None

    async def _ask(self, found: Untitled) -> None:
        key = f"{KEY_PREFIX}title-{secrets.token_hex(12)}"
        if tools.manages_sessions():  # noted before it is made: it goes also if this process does
            note = partial(Leftover.objects.create, key=key, agent=found.agent, not_before=Now() + HELD)
            await self.thread.run(note)
        try:
            answer = await self._answer(found, key)
        finally:
            await self.thread.run(partial(Leftover.objects.filter(key=key).update, not_before=Now()))
        if await self.thread.run(entitle, Chat.objects.all(), found, answer):
            self.errands.answered(found.pk)

    async def _answer(self, found: Untitled, key: str) -> str:
        text = ""
        stream = self.gateway.stream([{"role": "user", "content": found.prompt}], key, found.agent, wire.Reply())
        async with asyncio.timeout(WITHIN), aclosing(stream):
            async for piece in stream:
                text += piece
                if len(text) > MOST:
                    break
        return text
