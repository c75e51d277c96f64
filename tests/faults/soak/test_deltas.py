"""Pages come and go and hints are lost, but every piece of every reply reaches every page once."""

import asyncio
import threading
import time

import pytest

from tests.faults.soak.crowd import Outbox, Page, converse, open_pages, settled, until
from tests.faults.soak.upstream import counting

LOSS = 0.1
REVS = "select id, rev from sessions_core_chat"


@pytest.fixture(params=["embedded", "apart"])
def lossy(request, make_server, make_cluster, redis, room):
    """One process on SQLite; or on PostgreSQL and Redis, pages and relay apart. Each loses a part of all hints."""
    fault = f"lossy:7:{LOSS}"
    if request.param == "embedded":
        server = make_server(faults=(fault,), **room).start()
        return server, server, "embedded on SQLite"
    cluster = make_cluster(REDIS_URL=redis.url, **room)
    pages = cluster.pages(fault)
    cluster.relay(fault)
    return cluster, pages, "pages and relay apart on PostgreSQL and Redis"


def test_deltas_reach_pages_that_lose_hints_and_reconnect_once(lossy, gateway, figures, scale):
    """L1: lost hints"""
    installation, server, where = lossy
    positions, chats, each, life = scale(6_000, 1_000_000), scale(12, 20), scale(5, 10), scale(4, 30)
    ada = server.first_account()
    gateway.script(None, counting(scale(60, 600)))
    over = threading.Event()
    begun = time.monotonic()

    async def scene():
        async with Outbox(ada) as outbox:
            talks = await outbox.chats(f"Chat {n}" for n in range(chats))
            pages = [Page(talk, life=life, reads=n == 0) for talk in talks for n in range(each)]
            async with open_pages(pages):
                async with asyncio.TaskGroup() as tasks:
                    for page in pages[::each]:
                        tasks.create_task(converse(outbox, page, over.is_set))
                    await until(lambda: sum(page.positions for page in pages) >= positions, 1500)
                    over.set()
                await settled(server, 90)
                revs = {str(row["id"]).replace("-", ""): row["rev"] for row in installation.rows(REVS)}
                await until(lambda: all(page.rev == revs[page.talk.pk.hex] for page in pages))
            return pages

    pages = asyncio.run(scene())
    took = time.monotonic() - begun
    assert sum(page.jumped for page in pages) == 0
    delivered, connections = sum(page.positions for page in pages), sum(page.connections for page in pages)
    assert connections > 1.5 * len(pages), "nobody reconnected"
    figures.add(
        f"{len(pages)} pages that reconnect every {life} s, {LOSS:.0%} of all hints lost; {where}",
        f"{positions:,} deltas: 0 lost, 0 doubled",
        f"{delivered:,} in {took / 60:.1f} min over {connections:,} connections: 0 lost, 0 doubled, "
        "all pages told the last state",
        True,
    )
