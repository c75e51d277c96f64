"""Things that happen at the same moment: only one of them may win, and it wins once."""

import asyncio
import random
import threading
import time
import uuid
from collections import Counter

import pytest

from tests.fake_gateway import eventually
from tests.faults.soak.crowd import Outbox, Page, open_pages, settled, states, until
from tests.faults.soak.figures import quantile
from tests.faults.soak.upstream import counting, counting_until
from tests.server import Talk


@pytest.mark.parametrize(("redis_too", "most"), [(True, 0.5), (False, 1.5)], ids=["redis", "alone"])
def test_stop_through_another_process_closes_the_stream_soon(
    make_cluster, redis, room, gateway, figures, scale, redis_too, most
):
    """L9, R48–49: stop"""
    stops = scale(6, 60)
    cluster = make_cluster(**room, **({"REDIS_URL": redis.url} if redis_too else {}))
    pages_process, _ = cluster.pages(), cluster.relay()
    ada = pages_process.first_account()
    gateway.script(None, counting_until(threading.Event()))

    async def stop(outbox, chat):
        await asyncio.sleep(random.uniform(0, 0.5))
        asked = time.monotonic()
        assert await outbox.post(pages_process, f"/chats/{chat.pk}/stop/", {}) == 204
        request = gateway.requests_of(chat.key)[0]
        await until(lambda: request.closed_at, 20)
        return request.closed_at - asked

    async def scene():
        async with Outbox(ada) as outbox:
            chats = await outbox.chats(f"Question {n}" for n in range(stops))
            pages = [Page(chat) for chat in chats]
            async with open_pages(pages):
                await until(lambda: all(page.text for page in pages))
                times = [await stop(outbox, chat) for chat in chats]
                await settled(pages_process)
                await until(lambda: all(page.message in page.told_of_end for page in pages), 30)
            return times

    times = asyncio.run(scene())
    assert states(pages_process) == {"stopped": stops}
    assert max(times) < 10
    figure = "stream closed ≤ 0.3 s (p95)" if redis_too else "stream closed ≤ 1.5 s (longest)"
    measured = quantile(times, 0.95) if redis_too else max(times)
    figures.add(
        f"{stops} stops, pages and relay apart, {'with' if redis_too else 'without'} Redis",
        figure,
        f"p95 {quantile(times, 0.95):.2f} s, longest {max(times):.2f} s",
        measured <= (0.3 if redis_too else most),
    )


def test_the_same_message_a_hundred_times_at_once_is_one(with_redis, gateway, figures, scale):
    """L14, R52: sent 100 times at once"""
    rounds = scale(1, 50)
    servers = [with_redis.serve(), with_redis.serve()]
    ada = servers[0].first_account()

    async def storm(outbox, chat, n):
        fields = {"text": f"Once {n}", "client_id": str(uuid.uuid4())}
        path = f"/chats/{chat.pk}/messages/"
        codes = await asyncio.gather(*(outbox.post(servers[m % 2], path, dict(fields)) for m in range(100)))
        ada.accepted.append((chat.pk, uuid.UUID(fields["client_id"]), fields["text"]))
        await settled(servers[0])
        return codes

    async def scene():
        async with Outbox(ada, *servers) as outbox:
            chat = await outbox.chat("Hello")
            await settled(servers[0])
            answered = [await storm(outbox, chat, n) for n in range(rounds)]
            return chat, Counter(code for codes in answered for code in codes)

    chat, codes = asyncio.run(scene())
    assert set(codes) == {200}
    said = [request.message for request in gateway.requests_of(chat.key)]
    assert said == ["Hello", *(f"Once {n}" for n in range(rounds))]
    rows = with_redis.rows("select count(*) as n from sessions_core_message where role = 'user'")[0]["n"]
    assert rows == rounds + 1
    figures.add(
        f"one message posted 100 times at once to two processes, {rounds} times",
        "1 row and 1 call to the gateway for each",
        f"{rounds} rows, {len(said) - 1} calls; {codes[200]} of {codes.total()} answered with 200",
        True,
    )


def test_stop_at_the_moment_of_the_end_ends_a_reply_once(server, gateway, figures, scale):
    """L15, R50: stop against the end"""
    trials, at_once = scale(30, 1000), 10
    ada = server.first_account()
    gateway.script(None, counting(5, pace=0.02))
    outcomes = Counter()
    pause = 0.1

    async def race(outbox, n):
        """A reply that ends about when it is stopped, and a message in line behind it."""
        nonlocal pause
        chat = await outbox.chat(f"First {n}")
        await outbox.say(chat, f"Second {n}")
        await asyncio.sleep(pause * random.uniform(0.7, 1.3))
        assert await outbox.post(server, f"/chats/{chat.pk}/stop/", {}) == 204
        return chat

    async def scene():
        nonlocal pause
        async with Outbox(ada) as outbox:
            for n in range(0, trials, at_once):
                chats = await asyncio.gather(*(race(outbox, n + m) for m in range(at_once)))
                await settled(server)
                ended = [await asyncio.to_thread(pair, chat) for chat in chats]
                outcomes.update(ended)
                stopped = sum(first == "stopped" for first, _ in ended)
                pause *= 1.2 if 2 * stopped > at_once else 0.8  # to where either may win

    asyncio.run(scene())
    assert outcomes.total() == trials
    assert {state for pair in outcomes for state in pair} == {"done", "stopped"}
    first = Counter()
    for (state, _), n in outcomes.items():
        first[state] += n
    figures.add(
        f"{trials} replies stopped at about the moment they end, a message in line behind each",
        "exactly one end, the message in line promoted once",
        f"{first['stopped']} stopped, {first['done']} done, each once; {trials} promoted once",
        True,
    )


def pair(chat: Talk) -> tuple[str, str]:
    """How the two replies of a chat ended: exactly two, and the second asked once."""
    first, second = chat.replies
    return first["state"], second["state"]


def test_several_relays_claim_each_reply_once(with_redis, gateway, figures, scale):
    """L15: claims"""
    replies, at_once = scale(60, 2040), 60
    pages_process = with_redis.pages()
    for _ in range(scale(2, 4)):
        with_redis.relay()
    ada = pages_process.first_account()
    gateway.script(None, counting(10))
    owners = set()

    async def scene():
        async with Outbox(ada) as outbox:
            for n in range(0, replies, at_once):
                asking = asyncio.create_task(outbox.chats(f"Question {n + m}" for m in range(at_once)))
                while not asking.done():
                    owners.update(await asyncio.to_thread(owning, pages_process))
                    await asyncio.sleep(0.1)
                await asking
            await settled(pages_process)

    asyncio.run(scene())
    assert len(owners) > 1, "one relay claimed them all"
    assert eventually(lambda: states(pages_process) == {"done": replies})
    assert len(gateway.requests) == replies
    figures.add(
        f"{replies} questions, {at_once} at a time, claimed by {len(owners)} relays",
        "0 claimed twice: one call to the gateway for each",
        f"{len(gateway.requests)} calls for {replies} replies, all done",
        True,
    )


def owning(process):
    rows = process.rows("select distinct owner_process from sessions_core_message where state = 'streaming'")
    return {row["owner_process"] for row in rows}
