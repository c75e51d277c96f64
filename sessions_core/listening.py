"""What happens on the gateway in the chats that are open here: their transcripts are looked at when a page opens one,
when a reply of ours has ended, and when the gateway's live feed says that there is more.

One `Listening` for each process that serves pages. It is a courtesy: a gateway that has no transcripts, or refuses
them, is left alone for some minutes, and every chat works without it.
"""

import asyncio
import logging
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from .gateway import AuthRefused, GatewayError, NotOffered, feed, kinds, transcript
from .hub import Hub
from .models import Chat
from .relay.tasks import Tasks, close_connection

log = logging.getLogger(__name__)

LOOKS_AT_ONCE = 4
PAUSE = 1.0  # seconds between two looks at a chat
OPENED = 5.0  # seconds between two looks because somebody opens it
AGAIN = 10.0  # seconds until a look that met a running reply, whose end is told by the hub if nothing is lost
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds until a feed that broke off is opened again
SOUND = 3.0  # seconds that a feed lasts which did not break off at once
LEFT_ALONE = 300.0  # seconds that a gateway which does not offer this is not asked again


class Listening:
    """`watch` and `unwatch` count the pages that show a chat; before `start` they do nothing else."""

    def __init__(self) -> None:
        self.pages: Counter[uuid.UUID] = Counter()
        self.ears: dict[uuid.UUID, Ear] = {}
        self.feeds = 0
        self.not_before = 0.0  # on the monotonic clock: when the gateway may be asked again
        self.hub: Hub | None = None

    def start(self, hub: Hub) -> None:
        """In the loop that serves."""
        if not kinds.configured().has_agents:
            return
        self.hub, self.tasks = hub, Tasks()
        self.threads = ThreadPoolExecutor(LOOKS_AT_ONCE, thread_name_prefix="transcripts")
        self.client: Any = None

    async def stop(self) -> None:
        if self.hub is None:
            return
        for ear in self.ears.values():
            self.hub.unsubscribe(("chat", ear.chat), ear.hear)
        self.hub = None
        self.ears.clear()
        await self.tasks.cancel()
        if self.client:
            await self.client.aclose()
        self.threads.shutdown(wait=False, cancel_futures=True)

    def watch(self, chat: uuid.UUID) -> None:
        """A page shows it, or has come back to it."""
        self.pages[chat] += 1
        if self.hub is None:
            return
        if chat not in self.ears:
            self.ears[chat] = ear = Ear(self, chat)
            self.hub.subscribe(("chat", chat), ear.hear)
            ear.tasks = [self.tasks.spawn(work()) for work in (ear.look_for_ever, ear.listen_for_ever)]
        self.ears[chat].opened()

    def unwatch(self, chat: uuid.UUID) -> None:
        self.pages[chat] -= 1
        if self.pages[chat] > 0:
            return
        del self.pages[chat]
        if (ear := self.ears.pop(chat, None)) and self.hub:
            self.hub.unsubscribe(("chat", chat), ear.hear)
            for task in ear.tasks:
                task.cancel()

    # --- for the ears

    @property
    def left_alone(self) -> bool:
        return monotonic() < self.not_before

    def leave_alone(self, why: GatewayError) -> None:
        log.info("The gateway's transcripts are not looked at for %.0f minutes: %s", LEFT_ALONE / 60, why)
        self.not_before = monotonic() + LEFT_ALONE

    async def in_thread(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.threads, with_connection, function, *args)

    def feed_client(self) -> Any:
        self.client = self.client or feed.client()
        return self.client


class Ear:
    """What one open chat needs: looks, one at a time and not too often, and a feed that says when."""

    def __init__(self, listening: Listening, chat: uuid.UUID) -> None:
        self.listening, self.chat = listening, chat
        self.due = asyncio.Event()
        self.there = asyncio.Event()  # a session on the gateway, as far as is known
        self.there.set()
        self.opened_at = -OPENED
        self.tasks: list[asyncio.Task] = []

    def opened(self) -> None:
        if monotonic() - self.opened_at >= OPENED:
            self.opened_at = monotonic()
            self.due.set()

    def hear(self, event: dict[str, Any]) -> None:
        """The chat changed here: a reply may have ended, and with the first one there is a session."""
        if event["type"] == "rev":
            self.due.set()

    async def look_for_ever(self) -> None:
        while True:
            await self.due.wait()
            self.due.clear()
            if not self.listening.left_alone:
                await self._look()
            await asyncio.sleep(PAUSE)

    async def _look(self) -> None:
        try:
            found = await self.listening.in_thread(look, self.chat)
        except (NotOffered, AuthRefused) as error:
            self.listening.leave_alone(error)
        except (GatewayError, DatabaseError, Chat.DoesNotExist) as error:
            log.info("The transcript of %s was not looked at: %s", self.chat, error)
        except Exception:
            log.exception("The transcript of %s could not be heard", self.chat)
        else:
            if found is None:  # a reply of ours runs
                asyncio.get_running_loop().call_later(AGAIN, self.due.set)
            elif found:
                self.there.set()

    async def listen_for_ever(self) -> None:
        wait = FIRST_WAIT
        while settings.GATEWAY_FEEDS:
            await self.there.wait()
            began = monotonic()
            if not self.listening.left_alone and self.listening.feeds < settings.GATEWAY_FEEDS:
                await self._listen()
            wait = FIRST_WAIT if monotonic() - began > SOUND else min(wait * 2, LONGEST_WAIT)
            await asyncio.sleep(wait)

    async def _listen(self) -> None:
        """Until the feed ends: the gateway closes it too when the session begins anew."""
        self.listening.feeds += 1
        try:
            if address := await self.listening.in_thread(address_of, self.chat):
                async with aclosing(feed.events(self.listening.feed_client(), *address)) as events:
                    async for _ in events:
                        self.due.set()
        except feed.Gone:
            self.there.clear()
        except (NotOffered, AuthRefused) as error:
            self.listening.leave_alone(error)
        except (GatewayError, DatabaseError) as error:
            log.info("The feed of %s broke off: %s", self.chat, error)
        except Exception:
            log.exception("The feed of %s failed", self.chat)
        finally:
            self.listening.feeds -= 1


def look(pk: uuid.UUID) -> bool | None:
    """Whether there is a session; None while a reply of ours runs. Raises a GatewayError."""
    chat = found(pk)
    if chat is None:
        return False
    if chat.messages.running().exists():
        return None
    told = transcript.read(chat.wire_key, chat.agent, chat.known_entries())
    chat.hear(told)
    return told.exists


def address_of(pk: uuid.UUID) -> tuple[str, str] | None:
    chat = found(pk)
    return (chat.wire_key, chat.agent) if chat else None


def found(pk: uuid.UUID) -> Chat | None:
    """Whoever may not go on in a chat does not read along there either."""
    chat = Chat.objects.filter(pk=pk, deleted_at=None).select_related("owner").defer("draft").first()
    return chat if chat and chat.in_reach else None


def with_connection(function: Any, *args: Any) -> Any:
    try:
        return function(*args)
    finally:
        close_connection()


listening = Listening()
