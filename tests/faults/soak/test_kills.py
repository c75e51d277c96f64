"""Processes are killed, stopped and replaced while replies run."""

import asyncio
import signal
import threading
import time

from tests.faults.soak.crowd import Outbox, Page, converse, open_pages, settled, states, until
from tests.faults.soak.figures import longest
from tests.faults.soak.upstream import counting, counting_until
from tests.invariants import check_invariants


def begun(pages):
    return all(len(page.text) > 20 for page in pages)


def told(pages):
    return all(page.message in page.told_of_end for page in pages)


def test_kill_during_many_replies_loses_nothing(server, gateway, figures, scale):
    """L2, R11: kill -9"""
    rounds, replies = scale(2, 20), scale(20, 100)
    ada = server.first_account()
    gateway.script(None, counting_until(threading.Event()))
    seen = []

    async def fall_and_rise(outbox, n):
        pages = [Page(chat) for chat in await outbox.chats(f"Question {n}.{m}" for m in range(replies)) for _ in "ab"]
        async with open_pages(pages):
            await until(lambda: begun(pages), 120)
            await asyncio.to_thread(server.kill)
            killed = time.monotonic()
            await asyncio.to_thread(server.start)
            seen.append(await until(lambda: told(pages), 120) - killed)
        assert sum(page.jumped for page in pages) == 0
        check_invariants(server, gateway, viewers=pages)

    async def scene():
        async with Outbox(ada) as outbox:
            for n in range(rounds):
                await fall_and_rise(outbox, n)

    asyncio.run(scene())
    assert states(server) == {"interrupted": rounds * replies}
    done = f"kill -9 during {replies} replies with two pages each, restart; {rounds} rounds, embedded on SQLite"
    figures.add(
        done,
        "0 messages lost, 0 stuck; all pages told ≤ 10 s after the kill",
        f"0 lost, 0 stuck of {rounds * replies}; told after {longest(seen)} at most",
        max(seen) <= 10,
    )


def test_kill_of_one_of_two_processes_leaves_the_replies_of_the_other_alone(with_redis, gateway, figures, scale):
    """L3, R16: one of two killed"""
    rounds, replies = scale(1, 12), scale(12, 40)
    servers = [with_redis.serve(), with_redis.serve()]
    ada = servers[0].first_account()
    marked, pauses, orphans = [], [], 0

    async def lose_one(outbox, n):
        nonlocal orphans
        victim, other = servers[n % 2], servers[1 - n % 2]
        gateway.script(None, counting_until(over := threading.Event()))
        pages = [Page(chat, other) for chat in await outbox.chats(f"Question {n}.{m}" for m in range(replies))]
        async with open_pages(pages):
            await until(lambda: begun(pages), 120)
            lost = [page for page in pages if page.message in owned_by(victim)]
            kept = [page for page in pages if page not in lost]
            assert lost and kept, "one process claimed them all"
            for page in kept:
                page.begin_again()
            await asyncio.to_thread(victim.kill)
            killed = time.monotonic()
            marked.append(await until(lambda: told(lost), 120) - killed)
            over.set()
            await until(lambda: told(kept), 120)
        orphans += len(lost)
        pauses.extend(page.longest_pause for page in kept)
        assert {state_of(other, page.message) for page in kept} == {"done"}
        assert {state_of(other, page.message) for page in lost} == {"interrupted"}
        check_invariants(other, gateway, viewers=pages, accepted=ada.accepted)
        await asyncio.to_thread(victim.start)

    async def scene():
        async with Outbox(ada, *servers) as outbox:
            for n in range(rounds):
                await lose_one(outbox, n)

    asyncio.run(scene())
    figures.add(
        f"two processes on PostgreSQL and Redis, one killed and started again; {rounds} rounds of {replies} replies",
        "its replies interrupted ≤ 10 s later; the other's go on, no pause above 2.5 s",
        f"{orphans} interrupted after {longest(marked)} at most; the others all done, longest pause {longest(pauses)}",
        max(marked) <= 10 and max(pauses) <= 2.5,
    )


def owned_by(process):
    sql = "select id from sessions_core_message where state = 'streaming' and owner_process like ?"
    return {row["id"] for row in process.rows(sql, f"%-{process.process.pid}-%")}


def state_of(process, message):
    return process.rows("select state from sessions_core_message where id = ?", message)[0]["state"]


def test_sigterm_during_long_replies_is_told_to_every_page(server, gateway, figures, scale):
    """L13, R19: SIGTERM"""
    replies, drain = scale(10, 30), 10
    ada = server.first_account()
    gateway.script(None, counting_until(threading.Event()))
    times = {}

    async def scene():
        async with Outbox(ada) as outbox:
            pages = [Page(chat) for chat in await outbox.chats(f"Question {n}" for n in range(replies))]
            async with open_pages(pages):
                await until(lambda: begun(pages))
                asked = time.monotonic()
                assert await asyncio.to_thread(server.stop) == 0
                times["exit"] = time.monotonic() - asked
                await asyncio.to_thread(server.start)
                served = time.monotonic()
                times["visible"] = max(0.0, await until(lambda: told(pages)) - served)
            assert {page.close_codes[0] for page in pages} == {1012}

    asyncio.run(scene())
    assert states(server) == {"interrupted": replies}
    assert times["exit"] < drain + 20 and times["visible"] < 60
    figures.add(
        f"SIGTERM to `serve` during {replies} replies that do not end",
        f"exit ≤ {drain + 3} s, pages hear 1012, interrupted visible ≤ 5 s after the new one serves",
        f"exit after {times['exit']:.1f} s, 1012 on all, visible after {times['visible']:.1f} s",
        times["exit"] <= drain + 3 and times["visible"] <= 5,
    )


def test_deploy_during_long_replies_cuts_none(with_redis, gateway, figures, scale):
    """Deploy of a relay"""
    seconds = scale(4, 300)
    pages_process, old = with_redis.pages(), with_redis.relay()
    ada = pages_process.first_account()
    gateway.script(None, counting_until(over := threading.Event()))

    async def scene():
        async with Outbox(ada) as outbox:
            pages = [Page(chat) for chat in await outbox.chats(f"Question {n}" for n in range(10))]
            async with open_pages(pages):
                await until(lambda: begun(pages))
                old.signal(signal.SIGTERM)
                await asyncio.to_thread(with_redis.relay)
                meanwhile = Page(await outbox.chat("Asked meanwhile"))
                async with open_pages([meanwhile]):
                    await until(lambda: begun([meanwhile]))
                    await asyncio.sleep(seconds)
                    assert old.process.poll() is None
                    over.set()
                    await until(lambda: told([*pages, meanwhile]))
            return [*pages, meanwhile]

    pages = asyncio.run(scene())
    assert states(pages_process) == {"done": 11}
    assert old.process.wait(60) == 0
    assert {page.connections for page in pages} == {1}
    pause = max(page.longest_pause for page in pages)
    figures.add(
        f"SIGTERM to `relay` during ten replies of {seconds} s, a new relay beside it",
        "10 of 10 finish, the old relay ends with 0; what is asked meanwhile is answered",
        f"10 of 10, exit code 0, answered; longest pause {pause:.1f} s",
        True,
    )


def test_rolling_restart_under_load_loses_no_message(with_redis, gateway, figures, scale):
    """R20: rolling restart"""
    rounds, chats = scale(1, 5), scale(12, 40)
    servers = [with_redis.serve() for _ in range(3)]
    ada = servers[0].first_account()
    gateway.script(None, counting(20))
    over = threading.Event()

    async def restart_all():
        try:
            for server in servers * rounds:
                assert await asyncio.to_thread(server.stop) == 0
                await asyncio.to_thread(server.start)
                await asyncio.sleep(1)
        finally:
            over.set()

    async def scene():
        async with Outbox(ada, *servers) as outbox:
            talks = await outbox.chats(f"Chat {n}" for n in range(chats))
            pages = [Page(talk, servers[n % 3]) for n, talk in enumerate(talks)]
            async with open_pages(pages), asyncio.TaskGroup() as tasks:
                talking = [tasks.create_task(converse(outbox, page, over.is_set)) for page in pages]
                await restart_all()
            async with open_pages(pages):
                await settled(servers[0], 90)
            return pages, sum(task.result() for task in talking), outbox.repeated

    pages, asked, repeated = asyncio.run(scene())
    assert sum(page.jumped for page in pages) == 0
    ended = states(servers[0])
    assert ended.keys() <= {"done", "interrupted"}
    figures.add(
        f"three processes restarted one after the other, {rounds} times, under {chats} conversations",
        "0 failed submits after the page's own repeats, 0 violations",
        f"{asked} questions, {repeated} repeated by the pages, 0 failed; {ended.get('interrupted', 0)} interrupted",
        True,
    )
