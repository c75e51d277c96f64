"""Publish and subscribe: inside the process, and across processes where REDIS_URL is set.

Every event is only a hint: whoever misses one finds it in the rows.
"""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from .bridge import Bridge

Subscriber = Callable[[dict[str, Any]], None]


class Hub:
    """Subscribers are called in the event loop and must not wait."""

    def __init__(self, redis_url: str = "") -> None:
        self.subscribers: dict[Hashable, set[Subscriber]] = defaultdict(set)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.redis_url = redis_url
        self.bridge: Bridge | None = None
        self.others = False  # there are other processes

    @property
    def deaf(self) -> bool:
        """What happens in other processes is not heard here: only the rows tell."""
        return self.others and not (self.bridge and self.bridge.up)

    def connect(self) -> None:
        """In the loop that serves: be heard by the other processes, and hear them."""
        self.loop = asyncio.get_running_loop()
        if self.redis_url:
            from .bridge import Bridge

            self.bridge = Bridge(self.redis_url, self._deliver)
            for topic in self.subscribers:
                self.bridge.listen_to(topic)
            self.bridge.start()

    async def disconnect(self) -> None:
        if self.bridge:
            await self.bridge.close()
            self.bridge = None

    def subscribe(self, topic: Hashable, subscriber: Subscriber) -> None:
        self.loop = asyncio.get_running_loop()
        if self.bridge and topic not in self.subscribers:
            self.bridge.listen_to(topic)
        self.subscribers[topic].add(subscriber)

    def unsubscribe(self, topic: Hashable, subscriber: Subscriber) -> None:
        self.subscribers[topic].discard(subscriber)
        if not self.subscribers[topic]:
            del self.subscribers[topic]
            if self.bridge:
                self.bridge.forget(topic)

    def publish(self, topic: Hashable, event: dict[str, Any]) -> None:
        """From any thread, with or without a loop: where nobody listens, nothing happens."""
        if self.bridge is None and topic not in self.subscribers:
            return self._publish_alone(topic, event)
        if self.loop is None or self.loop.is_closed():
            return
        try:
            in_loop = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            in_loop = False
        if in_loop:
            self._publish(topic, event)
        else:
            self.loop.call_soon_threadsafe(self._publish, topic, event)

    def _publish(self, topic: Hashable, event: dict[str, Any]) -> None:
        self._deliver(topic, event)
        if self.bridge:
            self.bridge.send(topic, event)

    def _publish_alone(self, topic: Hashable, event: dict[str, Any]) -> None:
        """An operator's command has no loop, but what it changed is on somebody's page."""
        if self.redis_url and self.loop is None:
            from .bridge import send_once

            send_once(self.redis_url, topic, event)

    def _deliver(self, topic: Hashable, event: dict[str, Any]) -> None:
        for subscriber in list(self.subscribers.get(topic, ())):
            subscriber(event)

    # --- what the domain says

    def chat_changed(self, chat: uuid.UUID, rev: int, owner: int) -> None:
        self.publish(("chat", chat), {"type": "rev", "chat": str(chat), "rev": rev})
        self.list_changed(owner, chat)

    def list_changed(self, owner: int, chat: uuid.UUID | None = None) -> None:
        """With the chat that changed as well: who follows it has heard that already."""
        self.publish(("user", owner), {"type": "list", "chat": str(chat) if chat else ""})

    def reply_waiting(self) -> None:
        self.publish("relay", {"type": "waiting"})

    def stop_wanted(self, reply: int) -> None:
        self.publish("relay", {"type": "stop", "message": reply})

    def sign_out(self, *, user: int | None = None, session: str | None = None) -> None:
        """Close the sockets of one session, or of all of a person's sessions."""
        if session is not None:
            self.publish(("session", session), {"type": "signed_out"})
        if user is not None:
            self.publish(("user", user), {"type": "signed_out"})


hub = Hub(settings.REDIS_URL)
