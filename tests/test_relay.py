"""The relay in this process, against the scripted gateway: what it writes, what it publishes, how replies end."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest
from asgiref.sync import sync_to_async as db
from django.db import OperationalError, connection

from sessions_core import metrics
from sessions_core.gateway import Gateway
from sessions_core.hub import Hub, hub
from sessions_core.models import Chat, Delta, Message, User
from sessions_core.models.message import MessageQuerySet
from sessions_core.relay import Relay, carrying, tidying
from sessions_core.relay.running import Running
from sessions_core.relay.tidying import ENDS_PER_TURN, interrupt_others, reap
from tests.fake_gateway import (
    answer,
    cut,
    delta,
    done,
    error,
    event,
    eventually,
    finish,
    hang,
    reset,
    role,
    sleep,
    status,
    wait,
    words,
)
from tests.loops import run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ada():
    return User.objects.create_user("ada")


@pytest.fixture
def chat(ada):
    return Chat.objects.start(ada)


@asynccontextmanager
async def working(fake_gateway, the_hub=hub, drain=0.0, **options):
    gateway = Gateway(fake_gateway.url, fake_gateway.token)
    relay = Relay(gateway, the_hub, **options)
    relay.start()
    try:
        yield relay
    finally:
        await relay.drain(drain)


async def settled(chat, number=1, timeout=10.0):  # noqa: ASYNC109
    """The reply with this number, when it has ended."""
    async with asyncio.timeout(timeout):
        while True:
            replies = [reply async for reply in chat.messages.replies().order_by("pk")]
            if len(replies) >= number and not replies[number - 1].running:
                return replies[number - 1]
            await asyncio.sleep(0.01)


async def idle(relay):
    """When it has said that a reply has ended; the row says it first."""
    async with asyncio.timeout(5):
        while relay.running:
            await asyncio.sleep(0.01)


async def seen(chat, text):
    """When the rows hold this text of the running reply."""
    async with asyncio.timeout(10):
        while text not in "".join([row.text async for row in Delta.objects.filter(message__chat=chat).order_by("seq")]):
            await asyncio.sleep(0.01)


def test_a_reply_is_written_rendered_and_done(chat, fake_gateway):
    fake_gateway.script(None, answer("Some **bold** words"))

    async def scenario():
        async with working(fake_gateway):
            await db(chat.receive)("Hello")
            return await settled(chat)

    reply = run(scenario())
    assert (reply.state, reply.text) == ("done", "Some **bold** words")
    assert "<strong>bold</strong>" in reply.html
    assert reply.upstream_id == "chatcmpl-fake" and reply.usage["total_tokens"]
    assert reply.first_delta_at and reply.ended_at >= reply.first_delta_at
    assert not Delta.objects.exists()


def test_the_request_is_for_this_chats_session_and_newest_message(chat, fake_gateway):
    async def scenario():
        async with working(fake_gateway):
            for number, text in enumerate(["one", "two"], start=1):
                await db(chat.receive)(text)
                await settled(chat, number)

    run(scenario())
    request = fake_gateway.requests[-1]
    assert request.body["model"] == f"openclaw:{chat.key}"
    assert request.headers["x-openclaw-session-key"] == f"agent:main:{chat.key}"
    assert [turn["content"] for turn in request.body["messages"]] == ["two"]


def test_text_is_committed_before_it_is_published(chat, fake_gateway):
    gate = threading.Event()
    fake_gateway.script(None, [role(), delta("one "), wait(gate), delta("two"), done()])
    events, looks = [], []

    def hear(event):
        if event["type"] == "delta":
            stored = "".join(Delta.objects.order_by("seq").values_list("text", flat=True))
            events.append((event["text"], event["text"] in stored or not Delta.objects.exists()))

    async def scenario():
        async with working(fake_gateway) as relay:
            hub.subscribe(("chat", chat.pk), lambda event: looks.append(loop.run_in_executor(None, hear, event)))
            loop = asyncio.get_running_loop()
            await db(chat.receive)("Hello")
            await seen(chat, "one")
            gate.set()
            await settled(chat)
            await idle(relay)
            await asyncio.gather(*looks)
        hub.subscribers.clear()

    run(scenario())
    assert [text for text, _ in events] == ["one ", "two"]
    assert all(stored for _, stored in events)


def test_a_page_hears_pieces_that_follow_each_other_and_finished_blocks(chat, fake_gateway):
    fake_gateway.script(None, answer("# Title\n\n" + words("x", 60), pace=0.002))
    events = []

    async def scenario():
        async with working(fake_gateway) as relay:
            hub.subscribe(("chat", chat.pk), events.append)
            await db(chat.receive)("Hello")
            reply = await settled(chat)
            await idle(relay)
            hub.unsubscribe(("chat", chat.pk), events.append)
            return reply

    reply = run(scenario())
    deltas = [event for event in events if event["type"] == "delta"]
    assert "".join(event["text"] for event in deltas) == reply.text
    assert [event["after"] for event in deltas] == [0, *(event["seq"] for event in deltas[:-1])]
    block = next(event for event in events if event["type"] == "block")
    assert (block["start"], block["upto"], block["html"]) == (0, 8, "<h1>Title</h1>\n")
    assert events[-1]["type"] == "rev"


@pytest.mark.parametrize(
    ("steps", "state", "code", "text"),
    [
        ([status(401)], "failed", "gateway_auth", ""),
        ([status(404)], "failed", "gateway_config", ""),
        ([status(400, body={"error": {"message": "too odd"}})], "failed", "rejected", ""),
        ([status(500)], "failed", "gateway_error", ""),
        ([cut()], "failed", "gateway_error", ""),
        ([role(), done()], "failed", "empty", ""),
        ([role(), delta("half"), error("no money")], "failed", "upstream_error", "half"),
        ([role(), delta("half"), reset()], "interrupted", "cut_off", "half"),
        ([role(), delta("half")], "interrupted", "cut_off", "half"),
        ([role(), delta("half"), finish("length"), done()], "done", "length_limit", "half"),
        ([role(), delta("half"), finish("content_filter"), done()], "done", "content_filter", "half"),
        ([role(), finish("length"), done()], "failed", "empty", ""),
    ],
)
def test_what_the_gateway_does_ends_in_its_named_state_after_one_call(chat, fake_gateway, steps, state, code, text):
    fake_gateway.script(None, steps)

    async def scenario():
        async with working(fake_gateway):
            await db(chat.receive)("Hello")
            return await settled(chat)

    reply = run(scenario())
    assert (reply.state, reply.error_code, reply.text) == (state, code, text)
    assert reply.error_text
    assert len(fake_gateway.requests) == 1


def test_a_busy_gateway_is_asked_again_after_the_time_it_names(chat, fake_gateway):
    fake_gateway.script(None, [status(429, {"retry-after": "0.2"})], times=1)
    fake_gateway.script(None, answer("There you are"))

    async def scenario():
        async with working(fake_gateway):
            await db(chat.receive)("Hello")
            return await settled(chat)

    assert run(scenario()).text == "There you are"
    one, two = fake_gateway.requests
    assert two.opened_at - one.opened_at >= 0.2


def test_a_gateway_that_stays_busy_is_asked_three_times(chat, fake_gateway):
    fake_gateway.script(None, [status(429, {"retry-after": "0"})])

    async def scenario():
        async with working(fake_gateway):
            await db(chat.receive)("Hello")
            return await settled(chat)

    assert run(scenario()).error_code == "busy"
    assert len(fake_gateway.requests) == 3


def test_a_gateway_that_is_not_there_is_tried_again_and_asking_again_works_later(chat, fake_gateway, monkeypatch):
    monkeypatch.setattr(carrying, "FIRST_PAUSE", 0.01)
    fake_gateway.stop()

    async def scenario():
        async with working(fake_gateway):
            await db(chat.receive)("Hello")
            failed = await settled(chat)
            fake_gateway.start()
            await db(chat.retry)(failed)
            return failed, await settled(chat, 2)

    failed, reply = run(scenario())
    assert (failed.state, failed.error_code) == ("failed", "gateway_unreachable")
    assert (reply.state, reply.version) == ("done", 2)


@pytest.mark.thorough
def test_after_five_unreachable_attempts_nothing_is_claimed_for_a_while(ada, fake_gateway, monkeypatch):
    monkeypatch.setattr(carrying, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(carrying, "BREAKER_PAUSE", 0.5)
    fake_gateway.stop()
    chats = [Chat.objects.start(ada) for _ in range(3)]

    async def scenario():
        async with working(fake_gateway) as relay:
            for chat in chats[:2]:
                await db(chat.receive)("Hello")
                await settled(chat)
            assert relay.carrying.breaker.paused_until
            fake_gateway.start()
            await db(chats[2].receive)("Hello")
            await asyncio.sleep(0.2)
            waiting = await db(chats[2].messages.waiting().count)()
            return waiting, await settled(chats[2])

    waiting, reply = run(scenario())
    assert waiting == 1
    assert reply.state == "done"


def test_stopping_keeps_what_came_and_closes_the_stream(chat, fake_gateway):
    fake_gateway.script(None, [role(), delta("so far"), hang()])

    async def scenario():
        async with working(fake_gateway):
            await db(chat.receive)("Hello")
            await seen(chat, "so far")
            await db(chat.stop)()
            return await settled(chat, timeout=2)

    reply = run(scenario())
    assert (reply.state, reply.text) == ("stopped", "so far")
    assert eventually(lambda: fake_gateway.requests[0].client_left)


def test_a_stop_whose_hint_is_lost_is_found_in_the_rows(chat, fake_gateway):
    fake_gateway.script(None, [role(), delta("so far"), hang()])

    async def scenario():
        async with working(fake_gateway, Hub()):  # a hub that nobody publishes to
            await db(chat.receive)("Hello")
            await seen(chat, "so far")
            await db(chat.stop)()
            return await settled(chat, timeout=3)

    assert run(scenario()).state == "stopped"


@pytest.mark.thorough
def test_stop_races_with_the_end_and_one_of_them_wins(ada, fake_gateway):
    async def trial(n):
        chat = await db(Chat.objects.start)(ada)
        fake_gateway.script(chat.key, [role(), delta("all"), sleep(0.002 * (n % 20)), done()])
        await db(chat.receive)("Hello")
        await seen_or_settled(chat)
        await db(chat.stop)()
        return await settled(chat)

    async def seen_or_settled(chat):
        while not await chat.messages.replies().exclude(state="waiting").aexists():
            await asyncio.sleep(0.001)

    async def scenario():
        async with working(fake_gateway):
            return [await trial(n) for n in range(20)]

    replies = run(scenario())
    assert {reply.state for reply in replies} <= {"done", "stopped"}
    assert all("all".startswith(reply.text) for reply in replies)
    assert not Delta.objects.exists()


def test_messages_in_line_are_answered_in_order(chat, fake_gateway):
    async def scenario():
        for text in ("one", "two", "three"):
            await db(chat.receive)(text)
        async with working(fake_gateway):
            await settled(chat, 3)

    run(scenario())
    assert [request.message for request in fake_gateway.requests] == ["one", "two", "three"]
    assert list(chat.messages.shown().values_list("role", flat=True)) == ["user", "assistant"] * 3


def test_many_chats_are_answered_side_by_side(ada, fake_gateway):
    gate = threading.Event()
    fake_gateway.script(None, [role(), wait(gate), delta("yes"), done()])
    chats = [Chat.objects.start(ada) for _ in range(10)]

    async def scenario():
        async with working(fake_gateway):
            for chat in chats:
                await db(chat.receive)("Hello")
            async with asyncio.timeout(10):
                while len(fake_gateway.requests) < 10:
                    await asyncio.sleep(0.01)
            gate.set()
            return [await settled(chat) for chat in chats]

    assert {reply.state for reply in run(scenario())} == {"done"}


def ended(state):
    return metrics.registry.get_sample_value("webchat_replies_ended_total", {"state": state}) or 0


def test_what_a_dead_process_left_is_counted_once(chat):
    chat.receive("Hello")
    Message.objects.claim("a process that died", 1)
    Message.objects.update(lease_until="2020-01-01T00:00Z")
    before = ended("interrupted")
    reap()
    reap()
    assert ended("interrupted") == before + 1


def test_what_a_person_stopped_is_stopped_though_its_process_died(chat):
    """And what waits in line goes on, as after any stop."""
    chat.receive("Hello")
    chat.receive("And then")
    reply = Message.objects.claim("a process that died", 1)[0]
    chat.stop()
    Message.objects.filter(pk=reply.pk).update(lease_until="2020-01-01T00:00Z")
    reap()
    assert [(m.state, m.error_text) for m in chat.messages.replies().order_by("pk")] == [
        ("stopped", ""),
        ("waiting", ""),
    ]


def test_a_reply_whose_process_died_is_interrupted_and_its_text_kept(chat, fake_gateway):
    chat.receive("Hello")
    reply = Message.objects.claim("a process that died", 1)[0]
    reply.deltas.create(seq=1, text="half an answer")
    Message.objects.filter(pk=reply.pk).update(lease_until="2020-01-01T00:00Z")

    async def scenario():
        async with working(fake_gateway):
            return await settled(chat, timeout=4)

    reply = run(scenario())
    assert (reply.state, reply.text) == ("interrupted", "half an answer")
    assert "restarted" in reply.error_text
    assert not fake_gateway.requests


def test_a_lease_renewed_since_it_was_found_to_be_over_keeps_the_reply_alive(chat):
    chat.receive("Hello")
    reply = Message.objects.claim("a process that was held up", 1)[0]
    assert not reply.interrupt(orphaned=True)
    Message.objects.filter(pk=reply.pk).update(lease_until="2020-01-01T00:00Z")
    assert reply.interrupt(orphaned=True)


def test_many_replies_of_a_dead_process_are_ended_turn_by_turn_without_a_pause(ada, monkeypatch):
    for _ in range(5):
        Chat.objects.start(ada).receive("Hello")
    Message.objects.claim("dead", 5)
    Message.objects.update(lease_until="2020-01-01T00:00Z")
    monkeypatch.setattr(tidying, "ENDS_PER_TURN", 2)
    monkeypatch.setattr(tidying, "REAP", 60.0)

    async def scenario():
        work = tidying.Tidying(())
        reaping = asyncio.create_task(work.reap_for_ever())
        async with asyncio.timeout(10):
            while await db(Message.objects.running().exists)():
                await asyncio.sleep(0.02)
        reaping.cancel()
        work.thread.end()

    run(scenario())


def test_a_process_does_not_take_its_own_running_replies_for_dead(chat):
    chat.receive("Hello")
    reply = Message.objects.claim("a process whose database was away", 1)[0]
    Message.objects.filter(pk=reply.pk).update(lease_until="2020-01-01T00:00Z")
    reap(alive=[reply.pk])
    assert Message.objects.running().get() == reply
    reap()
    assert not Message.objects.running()


def test_a_reply_that_another_process_still_owns_is_left_alone(chat, fake_gateway):
    chat.receive("Hello")
    Message.objects.claim("another process", 1)

    async def scenario():
        async with working(fake_gateway):
            await asyncio.sleep(0.3)

    run(scenario())
    assert Message.objects.running().get().owner_process == "another process"


def test_a_process_that_is_alone_interrupts_at_once_what_an_earlier_one_left(chat, fake_gateway):
    chat.receive("Hello")
    Message.objects.claim("killed", 1)

    async def scenario():
        relay = Relay(Gateway(fake_gateway.url, ""), hub)
        relay.start(alone=True)
        reply = await settled(chat, timeout=2)
        await relay.drain(0)
        return reply

    assert run(scenario()).state == "interrupted"


def test_a_process_that_lost_its_lease_writes_nothing_more(chat, fake_gateway):
    gate = threading.Event()
    fake_gateway.script(None, [role(), delta("mine "), wait(gate), delta("no longer mine"), hang()])
    published = []

    async def scenario():
        async with working(fake_gateway) as relay:
            hub.subscribe(("chat", chat.pk), published.append)
            await db(chat.receive)("Hello")
            await seen(chat, "mine")
            reply = await db(Message.objects.running().select_related("chat").get)()
            await db(reply.interrupt)()  # as another process' reaper does
            gate.set()
            await idle(relay)
            hub.unsubscribe(("chat", chat.pk), published.append)

    run(scenario())
    reply = chat.messages.replies().get()
    assert (reply.state, reply.text) == ("interrupted", "mine ")
    assert not Delta.objects.exists()
    assert "no longer" not in str(published)


@pytest.mark.thorough
def test_a_reply_that_begins_while_others_are_written_is_not_taken_for_lost(ada, fake_gateway, monkeypatch):
    fake_gateway.script(None, answer(words("x", 40), pace=0.01))
    chats = [Chat.objects.start(ada) for _ in range(8)]
    real = Delta.objects.write

    def slow(deltas, **options):
        time.sleep(0.03)
        return real(deltas, **options)

    monkeypatch.setattr(Delta.objects, "write", slow)

    async def scenario():
        async with working(fake_gateway):
            for chat in chats:
                await db(chat.receive)("Hello")
                await asyncio.sleep(0.02)
            return [await settled(chat) for chat in chats]

    assert [reply.text for reply in run(scenario())] == [words("x", 40)] * 8


def test_a_message_stranded_behind_nothing_is_promoted(chat, fake_gateway):
    Message.objects.create(chat=chat, role="user", state="queued", text="Hello", chapter=1, key_number=1)

    async def scenario():
        async with working(fake_gateway):
            return await settled(chat)

    assert run(scenario()).state == "done"


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite's planner needs the index's own words")
def test_what_is_asked_all_the_time_reads_only_what_is_not_finished(chat):
    chat.receive("Hello")
    plans = []

    def explained(execute, sql, params, many, context):
        if sql.startswith("SELECT"):
            execute(f"EXPLAIN QUERY PLAN {sql}", params, many, context)
            plans.extend(row[3] for row in context["cursor"].fetchall())
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explained):
        reap()
        list(metrics.Rows().collect())
        Message.objects.claim("p", 5, {7})
    assert "SEARCH sessions_core_message USING COVERING INDEX message_unfinished (state=?)" in plans
    assert [plan for plan in plans if plan.startswith(("SCAN U0", "SCAN sessions_core_message"))] == []


def test_a_drain_lets_replies_end_that_can(chat, fake_gateway):
    fake_gateway.script(None, answer(words("x", 20), pace=0.02))

    async def scenario():
        async with working(fake_gateway, drain=10):
            await db(chat.receive)("Hello")
            await seen(chat, words("x", 1))

    run(scenario())
    assert chat.messages.replies().get().text == words("x", 20)


def test_a_drain_interrupts_what_does_not_end_and_claims_nothing_new(chat, ada, fake_gateway):
    fake_gateway.script(None, [role(), delta("so far"), hang()])
    other = Chat.objects.start(ada)

    async def scenario():
        async with working(fake_gateway, drain=0.2) as relay:
            await db(chat.receive)("Hello")
            await seen(chat, "so far")
            relay.draining = True
            await db(other.receive)("Too late")

    run(scenario())
    reply = chat.messages.replies().get()
    assert (reply.state, reply.error_code, reply.text) == ("interrupted", "shutdown", "so far")
    assert other.messages.replies().get().state == "waiting"


def test_a_claim_under_way_when_the_drain_begins_is_given_back(chat, fake_gateway, monkeypatch):
    under_way, drained, heard = threading.Event(), threading.Event(), []
    real = MessageQuerySet.claim

    def slow(self, *args):
        under_way.set()
        drained.wait(5)
        return real(self, *args)

    async def scenario():
        async with working(fake_gateway, drain=5) as relay:
            monkeypatch.setattr(type(Message.objects), "claim", lambda self, *args: slow(self.get_queryset(), *args))
            await db(chat.receive)("Hello")
            hub.subscribe("relay", heard.append)
            while not under_way.is_set():
                await asyncio.sleep(0.01)
            asyncio.get_running_loop().call_later(0.2, drained.set)
            assert not relay.running
        hub.subscribers.clear()

    run(scenario())
    reply = chat.messages.replies().get()
    assert (reply.state, reply.owner_process, reply.lease_until) == ("waiting", "", None)
    assert {"type": "waiting"} in heard
    assert not fake_gateway.requests


def test_what_was_claimed_though_the_connection_broke_at_once_is_begun_once(chat, fake_gateway, monkeypatch):
    real, failures = MessageQuerySet.claim, []

    def breaking(self, *args):
        claimed = real(self, *args)
        if claimed and not failures:
            failures.append(claimed)
            raise OperationalError("the connection broke")
        return claimed

    monkeypatch.setattr(type(Message.objects), "claim", lambda self, *args: breaking(self.get_queryset(), *args))

    async def scenario():
        async with working(fake_gateway):
            await db(chat.receive)("Hello")
            return await settled(chat, timeout=5)

    assert run(scenario()).state == "done"
    assert failures and len(fake_gateway.requests) == 1


def test_a_reply_is_asked_under_the_key_its_chat_had(chat, ada, fake_gateway):
    main = Chat(owner=ada, openclaw_session_key=None)
    for number, keys in {1: ("main", chat.key), 2: ("main", f"{chat.key}-c2")}.items():
        for each, key in zip((main, chat), keys, strict=True):
            each.key_number = number
            assert Running(Message(chat=each, key_number=number)).key == each.wire_key == key


def test_a_database_that_fails_for_a_moment_loses_nothing_and_doubles_nothing(chat, fake_gateway, monkeypatch):
    fake_gateway.script(None, answer(words("x", 30), pace=0.005))
    calls = []
    real = Delta.objects.write

    def flaky(deltas, **options):
        calls.append(len(deltas))
        made = real(deltas, **options)
        if len(calls) in (1, 3):
            raise OperationalError("the connection broke")
        return made

    monkeypatch.setattr(Delta.objects, "write", flaky)

    async def scenario():
        async with working(fake_gateway):
            await db(chat.receive)("Hello")
            return await settled(chat)

    assert run(scenario()).text == words("x", 30)
    assert len(calls) > 3


def test_a_batch_whose_commit_was_not_heard_of_is_written_once(chat):
    chat.receive("Hello")
    reply = Message.objects.claim("p", 1)[0]
    for _ in range(2):
        batch = {reply.pk: Delta(message=reply, seq=1, text="once")}
        assert Message.objects.append("p", batch, [reply.pk]) == {reply.pk}
    assert reply.text_so_far() == ("once", 1)


@pytest.mark.thorough
def test_twenty_minutes_of_silence_end_in_the_whole_answer(chat, fake_gateway):
    gate = threading.Event()
    fake_gateway.script(None, [role(), delta("before "), wait(gate), delta("after"), done()])

    class HurriedLoop(asyncio.SelectorEventLoop):
        """A scripted clock: every second of waiting passes as ten minutes."""

        def time(self):
            return super().time() * 600

    async def scenario():
        async with working(fake_gateway):
            await db(chat.receive)("Hello")
            while not await Delta.objects.aexists():
                await asyncio.sleep(1)
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(20 * 60)
            assert asyncio.get_running_loop().time() - began >= 20 * 60
            assert (await Message.objects.aget(role="assistant")).state == "streaming"
            gate.set()
            while not await chat.messages.replies().filter(state="done").aexists():
                await asyncio.sleep(1)

    run(scenario(), HurriedLoop)
    assert chat.messages.replies().get().text == "before after"


@pytest.mark.parametrize(
    "odd",
    [
        {"error": {"message": "bad \ud83d"}},
        {"id": "\ud83d\x00", "choices": []},
        {"usage": {"b": float("inf"), "\ud83d": 1, "n": 10**400, "ok": 3}, "choices": []},
    ],
)
def test_what_no_database_can_hold_ends_one_reply_and_none_of_the_others(ada, fake_gateway, odd):
    chats = [Chat.objects.start(ada) for _ in range(2)]
    fake_gateway.script(chats[0].key, [role(), event(odd), delta("text"), done()])

    async def scenario():
        async with working(fake_gateway):
            for chat in chats:
                await db(chat.receive)("Hello")
            return [await settled(chat) for chat in chats]

    first, second = run(scenario())
    assert first.state in ("done", "failed")
    assert second.state == "done"


def test_a_reply_that_cannot_be_settled_holds_up_nobody(ada, fake_gateway, monkeypatch):
    chats = [Chat.objects.start(ada) for _ in range(2)]
    real = Message.settle

    def settle(self, state, **details):
        if self.chat_id == chats[0].pk and state == "done":
            raise ValueError("nobody thought of this")
        return real(self, state, **details)

    monkeypatch.setattr(Message, "settle", settle)

    async def scenario():
        async with working(fake_gateway):
            for chat in chats:
                await db(chat.receive)("Hello")
            return [await settled(chat) for chat in chats]

    assert [reply.state for reply in run(scenario())] == ["interrupted", "done"]


@pytest.mark.thorough
def test_a_reply_that_cannot_be_ended_at_all_is_left_to_its_lease_and_not_asked_again(chat, fake_gateway, monkeypatch):
    def settle(self, state, **details):
        raise ValueError("nobody thought of this")

    monkeypatch.setattr(Message, "settle", settle)

    async def scenario():
        async with working(fake_gateway) as relay:
            await db(chat.receive)("Hello")
            async with asyncio.timeout(10):
                while not relay.writing.given_up:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.6)

    run(scenario())
    assert Message.objects.running().get().owner_process
    assert len(fake_gateway.requests) == 1


@pytest.mark.thorough
@pytest.mark.parametrize("verb", ["claim", "append", "stop_wanted"])
def test_a_loop_that_fails_once_goes_on(chat, fake_gateway, monkeypatch, verb):
    real = getattr(MessageQuerySet, verb)
    failures = iter([True])

    def once(self, *args):
        if next(failures, False):
            raise ValueError("nobody thought of this")
        return real(self, *args)

    monkeypatch.setattr(type(Message.objects), verb, lambda self, *args: once(self.get_queryset(), *args))
    fake_gateway.script(None, answer(words("x", 10), pace=0.1))

    async def scenario():
        async with working(fake_gateway):
            await db(chat.receive)("Hello")
            return await settled(chat)

    assert run(scenario()).state == "done"


class TestRepliesPerPerson:
    @pytest.fixture(autouse=True)
    def two(self, settings):
        settings.REPLIES_PER_USER = 2

    @pytest.fixture
    def chats(self, ada):
        chats = [Chat.objects.start(ada) for _ in range(5)]
        for chat in chats:
            chat.receive("Hello")
        return chats

    def claimed(self, process="p", capacity=50):
        begun = Message.objects.running().filter(owner_process=process).values_list("pk", flat=True)
        return [reply.chat for reply in Message.objects.claim(process, capacity, list(begun))]

    def test_the_oldest_are_written_first_and_the_others_wait(self, chats):
        assert self.claimed() == chats[:2]
        assert self.claimed("another process") == []

    def test_one_that_waits_goes_on_when_one_ends(self, chats):
        first, _ = Message.objects.claim("p", 50)
        first.settle("done", process="p")
        assert self.claimed("another process") == [chats[2]]

    def test_other_people_do_not_wait(self, chats):
        others = [Chat.objects.start(User.objects.create_user(name)) for name in ("bob", "cora")]
        for chat in others:
            chat.receive("Hello")
        assert self.claimed(capacity=3) == [*chats[:2], others[0]]
        assert self.claimed(capacity=3) == [others[1]]

    def test_what_is_stopped_while_it_waits_gives_its_place_away(self, chats):
        chats[0].messages.waiting().get().settle("stopped")
        assert self.claimed() == chats[1:3]

    def test_without_a_limit_all_are_written(self, chats, settings):
        settings.REPLIES_PER_USER = 0
        assert self.claimed() == chats

    def test_nothing_to_claim_is_one_query_that_reads_no_ended_message(self, chat, django_assert_num_queries):
        with django_assert_num_queries(1):
            assert Message.objects.claim("p", 50, {5, 7}) == []
        if connection.vendor == "sqlite":
            assert "USING INDEX message_unfinished" in Message.objects.waiting().values("pk").explain()

    def test_relays_that_look_at_the_same_time_keep_to_it(self, ada, settings):
        settings.REPLIES_PER_USER = 3
        for _ in range(12):
            Chat.objects.start(ada).receive("Hello")
        together = threading.Barrier(4)

        def relay(name):
            together.wait()
            taken = [len(self.claimed(name)) for _ in range(3)]
            connection.close()
            return taken

        with ThreadPoolExecutor(4) as pool:
            taken = list(pool.map(relay, "abcd"))
        assert sum(map(sum, taken)) == Message.objects.filter(state="streaming").count() == 3

    def test_all_of_them_are_answered_two_at_a_time(self, chats, fake_gateway):
        fake_gateway.script(None, answer(words("x", 10), pace=0.01))

        async def scenario():
            most = 0
            async with working(fake_gateway) as relay:
                async with asyncio.timeout(20):
                    while await db(Message.objects.running().exists)():
                        most = max(most, len(relay.running))
                        await asyncio.sleep(0.01)
            return most

        assert run(scenario()) == 2
        assert [chat.messages.replies().get().state for chat in chats] == ["done"] * 5


def test_a_start_alone_interrupts_what_others_left_and_not_what_it_has_begun_meanwhile(ada):
    chats = [Chat.objects.start(ada) for _ in range(ENDS_PER_TURN + 2)]
    for chat in chats:
        chat.receive("Hello")
    Message.objects.running().update(state="streaming", owner_process="dead")
    Message.objects.running().filter(chat=chats[0]).update(owner_process="me")
    interrupt_others("me")
    assert Message.objects.running().get().chat == chats[0]
    assert Message.objects.filter(state="interrupted").count() == len(chats) - 1
