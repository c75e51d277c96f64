"""What the app stands on goes away in the middle of replies, and comes back."""

import asyncio
import sqlite3
import threading
import time
from contextlib import closing

import pytest

from tests import postgres
from tests.faults.soak.crowd import Outbox, Page, open_pages, settled, states, until
from tests.faults.soak.figures import longest
from tests.faults.soak.upstream import counting_until


async def going(outbox, gateway, replies, server=None):
    """Pages of replies that go on until the flag is set."""
    gateway.script(None, counting_until(over := threading.Event()))
    chats = await outbox.chats(f"Question {n}" for n in range(replies))
    return [Page(chat, server) for chat in chats], over


def begun(pages):
    return all(len(page.text) > 20 for page in pages)


async def recovered(pages, since, within=60):
    """Seconds until every page has had new text."""
    return await until(lambda: all(page.took_at > since for page in pages), within) - since


def test_pages_go_on_while_redis_is_away(with_redis, redis, gateway, figures, scale):
    """L11, R22: Redis away"""
    seconds, replies = scale(5, 30), scale(10, 40)
    here, there, _ = with_redis.pages(), with_redis.pages(), with_redis.relay()
    ada = here.first_account()

    async def scene():
        async with Outbox(ada) as outbox:
            pages, over = await going(outbox, gateway, replies, there)
            async with open_pages(pages):
                await until(lambda: begun(pages))
                for page in pages:
                    page.begin_again()
                redis.kill()
                await asyncio.sleep(seconds)
                pauses = [max(page.longest_pause, time.monotonic() - page.took_at) for page in pages]
                await asyncio.to_thread(redis.start)
                back = await recovered(pages, time.monotonic())
                over.set()
                await settled(here)
                await until(lambda: all(page.message in page.told_of_end for page in pages))
            return pages, pauses, back

    pages, pauses, back = asyncio.run(scene())
    assert states(here) == {"done": replies}
    reconnects = sum(page.connections - 1 for page in pages)
    assert reconnects == 0
    assert max(pauses) < 15
    figures.add(
        f"Redis killed for {seconds} s during {replies} replies; pages and relay apart",
        "updates at least every 2.5 s, 0 reconnects, 0 violations",
        f"longest pause {longest(pauses)}, {reconnects} reconnects, live again after {back:.1f} s",
        max(pauses) <= 2.5 and reconnects == 0,
    )


def test_replies_go_on_after_sqlite_was_locked(server, gateway, figures, scale):
    """L12, R28: SQLite locked"""
    seconds, replies = scale(3, 8), scale(10, 40)
    ada = server.first_account()

    async def scene():
        async with Outbox(ada) as outbox:
            pages, over = await going(outbox, gateway, replies)
            async with open_pages(pages):
                await until(lambda: begun(pages))
                with closing(sqlite3.connect(server.data / "webchat.sqlite3", isolation_level=None)) as other:
                    other.execute("begin immediate")
                    shown = sum(page.positions for page in pages)
                    meanwhile = asyncio.create_task(outbox.chat("Sent meanwhile"))
                    await asyncio.sleep(seconds)
                    late = sum(page.positions for page in pages) - shown
                    other.execute("rollback")
                back = await recovered(pages, time.monotonic())
                await meanwhile
                over.set()
                await settled(server)
            return pages, late, back, outbox.repeated

    pages, late, back, repeated = asyncio.run(scene())
    assert late < 3 * len(pages), "the lock held nothing up"
    assert states(server) == {"done": replies + 1}
    figures.add(
        f"another process holds SQLite's write lock for {seconds} s during {replies} replies",
        "0 lost, recovery ≤ 1 s; a message sent meanwhile arrives",
        f"0 lost, all pages go on after {back:.1f} s; the message arrived, repeated {repeated} times",
        back <= 1,
    )


@pytest.fixture
def own_postgres():
    with postgres.running() as own:
        yield own


def test_replies_go_on_after_postgresql_crashed(own_postgres, make_cluster, redis, room, gateway, figures, scale):
    """R31: PostgreSQL restarted"""
    rounds, replies = scale(1, 5), scale(10, 40)
    cluster = make_cluster(DATABASE_URL=own_postgres.url, REDIS_URL=redis.url, **room)
    cluster.database = own_postgres.url
    pages_process, _ = cluster.pages(), cluster.relay()
    ada = pages_process.first_account()
    recoveries = []

    async def scene():
        async with Outbox(ada) as outbox:
            pages, over = await going(outbox, gateway, replies)
            async with open_pages(pages):
                await until(lambda: begun(pages))
                for n in range(rounds):
                    await asyncio.to_thread(own_postgres.stop)
                    await asyncio.to_thread(own_postgres.start)
                    recoveries.append(await recovered(pages, time.monotonic()))
                    await outbox.chat(f"After restart {n}")
                over.set()
                await settled(pages_process)

    asyncio.run(scene())
    assert states(pages_process) == {"done": replies + rounds}
    figures.add(
        f"PostgreSQL restarted as after a crash during {replies} replies, {rounds} times",
        "text exact, errors for at most 10 s",
        f"all {replies} done and exact, all pages go on after {longest(recoveries)} at most",
        max(recoveries) <= 10,
    )
