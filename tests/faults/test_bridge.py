"""The hub over a real Redis: heard by other processes, silent about secrets, and no harm done when it is away."""

import asyncio
import uuid

import pytest
import redis

from sessions_core import bridge
from sessions_core.hub import Hub
from tests.chaos_proxy import ChaosProxy
from tests.loops import run
from tests.redis_server import Redis

CHAT = ("chat", uuid.UUID(int=7))


@pytest.fixture(scope="module")
def server():
    with Redis() as server:
        yield server


async def until(true, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


class Two:
    """Two hubs as two processes have them."""

    def __init__(self, url):
        self.here, self.there = Hub(url), Hub(url)
        self.heard_here, self.heard_there = [], []

    async def __aenter__(self):
        for hub in (self.here, self.there):
            hub.connect()
        await until(lambda: self.here.bridge.up and self.there.bridge.up)
        return self

    async def __aexit__(self, *_):
        for hub in (self.here, self.there):
            await hub.disconnect()

    async def listen(self, *topics):
        for topic in topics:
            self.here.subscribe(topic, self.heard_here.append)
            self.there.subscribe(topic, self.heard_there.append)
        await asyncio.sleep(0.2)


def test_an_event_is_heard_once_here_and_once_there(server):
    async def scene():
        async with Two(server.url) as two:
            await two.listen(CHAT)
            two.here.publish(CHAT, {"type": "delta", "text": "ü 💚"})
            await until(lambda: two.heard_there)
            await asyncio.sleep(0.1)
            assert two.heard_here == two.heard_there == [{"type": "delta", "text": "ü 💚"}]

    run(scene())


def test_order_is_kept_and_a_thread_may_publish(server):
    async def scene():
        async with Two(server.url) as two:
            await two.listen(CHAT)
            publish = [two.here.publish, two.here.publish]
            for n in range(500):
                if n % 2:
                    publish[0](CHAT, {"n": n})
                else:
                    await asyncio.get_running_loop().run_in_executor(None, publish[1], CHAT, {"n": n})
            await until(lambda: len(two.heard_there) == 500)
            assert [event["n"] for event in two.heard_there] == list(range(500))

    run(scene())


def test_only_what_is_watched_is_sent_to_a_process(server):
    async def scene():
        async with Two(server.url) as two:
            await two.listen(CHAT)
            two.there.unsubscribe(CHAT, two.heard_there.append)
            await asyncio.sleep(0.2)
            with redis.from_url(server.url) as client:
                assert client.pubsub_numsub(f"webchat:chat:{CHAT[1]}") == [(f"webchat:chat:{CHAT[1]}".encode(), 1)]

    run(scene())


def test_a_sessions_key_is_not_shown_to_redis(server):
    async def scene():
        async with Two(server.url) as two:
            await two.listen(("session", "secret-cookie-canary"))
            with redis.from_url(server.url) as client:
                assert not [name for name in client.pubsub_channels() if b"canary" in name]
            two.here.sign_out(session="secret-cookie-canary")
            await until(lambda: two.heard_there)

    run(scene())


def test_when_redis_comes_back_so_do_the_events(server):
    async def scene():
        async with Two(server.url) as two:
            await two.listen(CHAT)
            server.kill()
            await until(lambda: not two.here.bridge.up and not two.there.bridge.up)
            two.here.publish(CHAT, {"n": 1})
            assert two.heard_here == [{"n": 1}]
            server.start()
            await until(lambda: two.here.bridge.up and two.there.bridge.up)
            await asyncio.sleep(0.3)
            two.here.publish(CHAT, {"n": 2})
            await until(lambda: {"n": 2} in two.heard_there)

    run(scene())


def test_a_redis_that_falls_silent_is_noticed_and_events_come_back(server, monkeypatch):
    """Half open: the connections stand, but nothing passes on them any more."""
    monkeypatch.setattr(bridge, "PING", 0.1)
    monkeypatch.setattr(bridge, "SILENCE", 0.5)
    monkeypatch.setattr(bridge, "ANSWER", 0.5)

    async def scene():
        with ChaosProxy(server.url) as proxy:
            async with Two(proxy.url) as two:
                await two.listen(CHAT)
                await asyncio.sleep(1)
                assert two.here.bridge.up and two.there.bridge.up, "silence of the hub is no silence of Redis"
                proxy.silent = True
                await until(lambda: not two.here.bridge.up and not two.there.bridge.up)
                await asyncio.sleep(1)
                assert not two.here.bridge.up, "a connection that says nothing is not up"
                proxy.silent = False
                await until(lambda: two.here.bridge.up and two.there.bridge.up)
                await asyncio.sleep(0.3)
                two.here.publish(CHAT, {"n": 1})
                await until(lambda: {"n": 1} in two.heard_there)

    run(scene())


def test_a_stumble_of_redis_s_client_is_a_broken_connection_and_no_end(server, monkeypatch):
    """After a process was suspended, its connection may be closed under what it just writes."""
    monkeypatch.setattr(bridge, "PING", 0.1)
    monkeypatch.setattr(bridge, "SILENCE", 0.5)
    follow, stumbled = bridge.Bridge.follow, []

    async def stumbles_once(self, pubsub):
        if self in stumbled:
            await follow(self, pubsub)
        stumbled.append(self)
        raise AttributeError("'NoneType' object has no attribute 'writelines'")

    monkeypatch.setattr(bridge.Bridge, "follow", stumbles_once)

    async def scene():
        async with Two(server.url) as two:
            await asyncio.sleep(0.7)
            await until(lambda: two.here.bridge.up and two.there.bridge.up)
            await two.listen(CHAT)
            two.here.publish(CHAT, {"n": 1})
            await until(lambda: two.heard_there)

    run(scene())
    assert len(stumbled) > 1


def test_a_command_without_a_loop_is_heard(server):
    async def scene():
        async with Two(server.url) as two:
            await two.listen(("user", 5))
            alone = Hub(server.url)
            await asyncio.get_running_loop().run_in_executor(None, lambda: alone.sign_out(user=5))
            await until(lambda: two.heard_here and two.heard_there)

    run(scene())


def test_a_command_goes_on_when_redis_is_away():
    Hub("redis://127.0.0.1:1/0").sign_out(user=5)
