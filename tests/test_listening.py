"""Who looks at the gateway's transcripts, and when: only for chats that are open, and never in anybody's way."""

import asyncio
import uuid
from time import monotonic

import pytest

from sessions_core import listening as module
from sessions_core.demo import DemoGateway
from sessions_core.gateway import tools
from sessions_core.hub import hub
from sessions_core.listening import Listening
from sessions_core.models import By, Chat, Message
from tests.fake_gateway import status
from tests.loops import run
from tests.transcripts import answered, turn, typed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.thorough]


@pytest.fixture
def gateway(fake_gateway, settings):
    settings.OPENCLAW_GATEWAY_URL = fake_gateway.url
    settings.OPENCLAW_GATEWAY_TOKEN = fake_gateway.token
    fake_gateway.transcripts = {}
    return fake_gateway


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name, seconds in (("PAUSE", 0.05), ("AGAIN", 0.1), ("FIRST_WAIT", 0.05), ("LONGEST_WAIT", 0.2)):
        monkeypatch.setattr(module, name, seconds)


@pytest.fixture
def chat(ada):
    chat = Chat.objects.start(ada, title="Work")
    reply = chat.receive("Hello").reply
    reply.settle("done", text="Fine.", upstream_id="chatcmpl_1")
    return chat


def key(chat):
    return f"agent:main:{chat.key}"


def texts(chat):
    return list(chat.messages.order_by("seq").values_list("text", flat=True))


def feeds(gateway):
    return [one for one in gateway.looks if "event-stream" in one.headers.get("accept", "")]


def looks(gateway):
    return [one for one in gateway.looks if one not in feeds(gateway)]


async def until(condition, seconds=8):
    end = monotonic() + seconds
    while not (found := await asyncio.to_thread(in_thread, condition)) and monotonic() < end:
        await asyncio.sleep(0.02)
    return found


def in_thread(condition):
    return module.with_connection(condition)


def listen(story):
    """A listener in a loop of its own, and what happens meanwhile."""

    async def told():
        listener = Listening()
        hub.connect()
        listener.start(hub)
        try:
            await story(listener)
        finally:
            await listener.stop()
            await hub.disconnect()

    run(told())


def test_what_is_said_elsewhere_while_a_page_shows_the_chat_is_stored(gateway, chat):
    gateway.transcripts[key(chat)] = told = turn("Hello", "Fine.", "chatcmpl_1")

    async def story(listener):
        listener.watch(chat.pk)
        assert await until(lambda: listener.feeds == 1 and len(looks(gateway)) >= 1)
        told.extend([typed("Hi"), answered("Ho.", "r")])
        assert await until(lambda: texts(chat) == ["Hello", "Fine.", "Hi", "Ho."])

    listen(story)


def test_what_was_said_while_no_page_was_open_comes_when_one_is(gateway, chat, settings):
    settings.GATEWAY_FEEDS = 0
    gateway.transcripts[key(chat)] = [*turn("Hello", "Fine.", "chatcmpl_1"), typed("Hi")]

    async def story(listener):
        listener.watch(chat.pk)
        assert await until(lambda: texts(chat) == ["Hello", "Fine.", "Hi"])
        before = len(looks(gateway))
        for _ in range(20):
            listener.watch(chat.pk)
        await asyncio.sleep(0.3)
        assert len(looks(gateway)) <= before + 1, "however many pages there are"

    listen(story)


def test_nobody_listens_to_a_chat_that_no_page_shows(gateway, chat):
    gateway.transcripts[key(chat)] = told = turn("Hello", "Fine.", "chatcmpl_1")

    async def story(listener):
        for _ in range(2):
            listener.watch(chat.pk)
        assert await until(lambda: listener.feeds == 1)
        listener.unwatch(chat.pk)
        assert listener.ears
        listener.unwatch(chat.pk)
        assert not listener.ears
        assert await until(lambda: listener.feeds == 0)
        await asyncio.sleep(0.5)  # a look that is under way goes on
        seen = len(gateway.looks)
        told.append(typed("Hi"))
        await asyncio.sleep(0.3)
        assert len(gateway.looks) == seen

    listen(story)


def test_it_waits_until_our_own_reply_has_ended(gateway, chat):
    reply = chat.receive("And?").reply
    gateway.transcripts[key(chat)] = [*turn("Hello", "Fine.", "chatcmpl_1"), typed("Hi")]

    async def story(listener):
        listener.watch(chat.pk)
        await asyncio.sleep(0.3)
        assert not looks(gateway)
        await asyncio.to_thread(in_thread, lambda: reply.settle("done", text="So.", upstream_id="chatcmpl_2"))
        assert await until(lambda: texts(chat) == ["Hello", "Fine.", "And?", "So.", "Hi"])

    listen(story)


def test_a_session_that_is_made_with_the_first_message_is_listened_to_from_then_on(gateway, chat):
    async def story(listener):
        listener.watch(chat.pk)
        assert await until(lambda: len(looks(gateway)) >= 1)
        await asyncio.sleep(1)
        assert len(feeds(gateway)) <= 1, "it is not asked for again and again"
        gateway.transcripts[key(chat)] = told = turn("Hello", "Fine.", "chatcmpl_1")
        await asyncio.to_thread(in_thread, lambda: Chat.objects.get(pk=chat.pk).pin(True, By(None)))
        assert await until(lambda: listener.feeds == 1)
        told.append(typed("Hi"))
        assert await until(lambda: "Hi" in texts(chat))

    listen(story)


def test_there_are_only_so_many_feeds(gateway, chat, ada, settings):
    settings.GATEWAY_FEEDS = 1
    chats = [chat, Chat.objects.start(ada, title="Other")]
    for one in chats:
        gateway.transcripts[key(one)] = []

    async def story(listener):
        for one in chats:
            listener.watch(one.pk)
        assert await until(lambda: listener.feeds == 1)
        await asyncio.sleep(0.5)
        assert listener.feeds == 1

    listen(story)


@pytest.mark.parametrize("code", [404, 401, 403])
def test_a_gateway_that_does_not_offer_it_is_left_alone(gateway, chat, code, monkeypatch):
    refusal = [status(code, body={"error": {"message": "Not found"}})]
    monkeypatch.setattr(gateway, "_history", lambda request: refusal)

    async def story(listener):
        listener.watch(chat.pk)
        assert await until(lambda: listener.left_alone)
        await asyncio.sleep(0.3)
        seen = len(gateway.looks)
        assert seen <= 2  # a look and a feed
        listener.ears[chat.pk].due.set()
        await asyncio.sleep(0.3)
        assert len(gateway.looks) == seen

    listen(story)


def test_a_feed_that_breaks_off_is_opened_again(gateway, chat):
    gateway.transcripts[key(chat)] = told = turn("Hello", "Fine.", "chatcmpl_1")

    async def story(listener):
        listener.watch(chat.pk)
        assert await until(lambda: any(feed.code == 200 for feed in feeds(gateway)))
        await asyncio.to_thread(gateway.stop)
        told.append(typed("Hi"))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(gateway.start)
        assert await until(lambda: "Hi" in texts(chat))

    listen(story)


def test_a_plain_server_and_a_chat_that_is_not_there_are_asked_nothing(gateway, chat, settings):
    async def story(listener):
        listener.watch(uuid.uuid4())
        await asyncio.sleep(0.3)
        assert not gateway.looks

    listen(story)
    settings.GATEWAY_KIND, settings.GATEWAY_MODEL = "openai", "m"

    async def plain(listener):
        listener.watch(chat.pk)
        await asyncio.sleep(0.2)
        assert not listener.ears and not gateway.looks

    listen(plain)


def test_a_deleted_chat_hears_nothing(gateway, chat):
    gateway.transcripts[key(chat)] = [*turn("Hello", "Fine.", "chatcmpl_1"), typed("Hi")]
    Chat.objects.filter(pk=chat.pk).update(deleted_at="2026-01-01T00:00:00Z")
    assert module.look(chat.pk) is False
    assert Message.objects.filter(chat=chat).count() == 2 and not gateway.looks


def test_the_demo_is_left_alone_too(chat, settings, tmp_path):
    settings.OPENCLAW_GATEWAY_URL = ""

    async def story(listener):
        demo = DemoGateway(tmp_path / "demo.sqlite3", "token")
        tools.demo = await demo.start(), "token"
        try:
            listener.watch(chat.pk)
            assert await until(lambda: listener.left_alone)
        finally:
            tools.demo = None
            await demo.stop()

    listen(story)
