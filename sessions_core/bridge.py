"""Carries the hub's events between processes over Redis publish/subscribe. Any may be lost: the rows are true.

One connection to publish and one to listen, for the whole process; it listens only to what its own pages watch.
"""

import asyncio
import hashlib
import logging
import uuid
from collections import deque
from collections.abc import Hashable
from contextlib import suppress
from time import monotonic
from typing import Any

import orjson
import redis
from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

log = logging.getLogger(__name__)

PREFIX = "webchat"
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0  # seconds between attempts to reach Redis
MOST_UNSENT = 10_000  # events; the oldest are dropped while Redis does not take them
LOST = (redis.RedisError, OSError, asyncio.TimeoutError)
CONNECT, ANSWER = 2.0, 5.0  # seconds
CLOSE_WITHIN = 5.0  # seconds
PING, SILENCE = 3.0, 8.0  # seconds between two questions whether Redis is there; without a word, it is not
ALONE_WITHIN = 1.0  # seconds that a command without a loop waits for Redis


def channel(topic: Hashable) -> str:
    """Redis never learns a session's key: it would be as good as the cookie."""
    kind, name = topic if isinstance(topic, tuple) else (topic, "")
    if kind == "session":
        name = hashlib.sha256(str(name).encode()).hexdigest()
    return f"{PREFIX}:{kind}:{name}"


class Bridge:
    def __init__(self, url: str, deliver: Any) -> None:
        self.url = url
        self.deliver = deliver  # takes a topic and an event, in the loop
        self.me = uuid.uuid4().hex
        self.topics: dict[str, Hashable] = {}
        self.unsent: deque[tuple[str, bytes]] = deque(maxlen=MOST_UNSENT)
        self.work = asyncio.Event()
        self.changed = asyncio.Event()  # what is listened to
        self.up = False
        self.tasks: list[asyncio.Task] = []

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.tasks = [loop.create_task(work()) for work in (self.send_for_ever, self.listen_for_ever)]

    async def heard(self, within: float) -> None:
        """Until Redis is, or for so many seconds."""
        until = monotonic() + within
        while not self.up and monotonic() < until:
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        for _ in range(20):  # what was said last is worth a moment
            if not self.unsent or not self.up:
                break
            await asyncio.sleep(0.01)
        await self._cancel()

    async def _cancel(self) -> None:
        """Again and again: what waits inside Redis's client may not notice a first call, and would work on for ever."""
        running, until = set(self.tasks), monotonic() + CLOSE_WITHIN
        while running and monotonic() < until:
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=0.2)

    # --- what the hub says; in the loop

    def listen_to(self, topic: Hashable) -> None:
        self.topics[channel(topic)] = topic
        self.changed.set()

    def forget(self, topic: Hashable) -> None:
        self.topics.pop(channel(topic), None)
        self.changed.set()

    def send(self, topic: Hashable, event: dict[str, Any]) -> None:
        self.unsent.append((channel(topic), packed(self.me, event)))
        self.work.set()

    # --- out

    async def send_for_ever(self) -> None:
        pause = FIRST_PAUSE
        while True:
            client = self.client()
            try:
                while True:
                    await self.send_some(client)
                    pause = FIRST_PAUSE
            except LOST as error:
                log.warning("Redis does not take events, again in %.1f s: %s", pause, error)
            finally:
                with suppress(*LOST):
                    await client.aclose()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def send_some(self, client: aioredis.Redis) -> None:
        """All that waits, in one round trip."""
        await self.work.wait()
        self.work.clear()
        async with client.pipeline(transaction=False) as pipeline:
            while self.unsent:
                pipeline.publish(*self.unsent.popleft())
            await pipeline.execute()

    # --- in

    async def listen_for_ever(self) -> None:
        pause = FIRST_PAUSE
        while True:
            client = self.client()
            try:
                async with client.pubsub() as pubsub:
                    await pubsub.subscribe(f"{PREFIX}:{self.me}")  # so that there is always something to listen to
                    await self.hear(pubsub)
            except LOST as error:
                log.warning("Redis is not heard, again in %.1f s: %s", pause, error)
            finally:
                pause = FIRST_PAUSE if self.up else pause
                self.up = False
                with suppress(*LOST):
                    await client.aclose()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def hear(self, pubsub: Any) -> None:
        """Until the connection breaks, or nothing comes for so long that it must be dead: the pings are answered."""
        self.changed.set()
        following = asyncio.create_task(self.follow(pubsub))
        following.add_done_callback(lambda task: task.cancelled() or task.exception())  # or asyncio logs it as lost
        try:
            while True:
                async with asyncio.timeout(SILENCE):
                    message = await pubsub.get_message(timeout=None)
                self.up = True
                self.take(message)
                if following.done():  # on a connection closed under it, Redis's client fails with errors of any kind
                    raise ConnectionError(f"no more questions: {following.exception()}")
        finally:
            following.cancel()

    async def follow(self, pubsub: Any) -> None:
        """Keep Redis's subscriptions those of the hub, and ask whether it is still there."""
        subscribed: set[str] = set()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(PING):
                    await self.changed.wait()
            self.changed.clear()
            wanted = set(self.topics)
            if more := wanted - subscribed:
                await pubsub.subscribe(*more)
            if fewer := subscribed - wanted:
                await pubsub.unsubscribe(*fewer)
            subscribed = wanted
            await pubsub.ping()

    def client(self) -> aioredis.Redis:
        """One attempt at a time: the loops here try again, and meanwhile it shows that Redis is away."""
        within = {"socket_connect_timeout": CONNECT, "socket_timeout": ANSWER}
        return aioredis.from_url(self.url, retry=Retry(NoBackoff(), 0), **within)

    def take(self, message: dict[str, Any] | None) -> None:
        if not message or message["type"] != "message":
            return
        topic = self.topics.get(message["channel"].decode())
        if topic is None:
            return
        sender, event = orjson.loads(message["data"])
        if sender != self.me:
            self.deliver(topic, event)


def packed(sender: str, event: dict[str, Any]) -> bytes:
    return orjson.dumps([sender, event])


def send_once(url: str, topic: Hashable, event: dict[str, Any]) -> None:
    """From a process without a loop, such as an operator's command; without Redis the pages notice by themselves."""
    try:
        with redis.from_url(url, socket_connect_timeout=ALONE_WITHIN, socket_timeout=ALONE_WITHIN) as client:
            client.publish(channel(topic), packed("", event))
    except LOST as error:
        log.warning("Redis did not take an event: %s", error)
