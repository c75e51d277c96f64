"""An open page's socket: who may open it, what it is told, how it finds what got lost."""

import asyncio
import uuid
from contextlib import asynccontextmanager

import orjson
import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.test import Client

from chatapp import consumers
from chatapp.asgi import application
from sessions_core.hub import hub
from sessions_core.models import Chat, Message, User
from tests.loops import run

pytestmark = pytest.mark.django_db(transaction=True)

HOST = "localhost"


@pytest.fixture
def ada():
    return User.objects.create_user("ada", password="a")


@pytest.fixture
def chat(ada):
    chat = Chat.objects.start(ada, title="Work")
    chat.receive("Hello")
    return chat


@pytest.fixture
def cookie(ada):
    client = Client()
    client.force_login(ada)
    return client.cookies["webchat"].value


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(consumers, "TICK_RUNNING", 0.05)
    monkeypatch.setattr(consumers, "TICK_IDLE", 0.05)


@pytest.fixture
def slow_ticks(monkeypatch, quick):
    """For tests of the live path: the tick must not be what helps."""
    monkeypatch.setattr(consumers, "TICK_RUNNING", 60)
    monkeypatch.setattr(consumers, "TICK_IDLE", 60)


class Socket(ApplicationCommunicator):
    """Without the test helper of Channels, which keeps database connections from being closed."""

    async def connect(self):
        await self.send_input({"type": "websocket.connect"})
        return (await self.receive_output(5))["type"] == "websocket.accept"

    async def send_to(self, text_data):
        await self.send_input({"type": "websocket.receive", "text": text_data})

    async def receive_from(self):
        event = await self.receive_output(5)
        assert event["type"] == "websocket.send", event
        return event["text"]

    async def disconnect(self):
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(5)


def knock(cookie="", origin=f"http://{HOST}", host=HOST):
    headers = [(b"host", host.encode()), (b"cookie", f"webchat={cookie}".encode())]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    scope = {
        "type": "websocket",
        "path": "/ws/",
        "scheme": "ws",
        "headers": headers,
        "query_string": b"",
        "subprotocols": [],
    }
    return Socket(application, scope)


@asynccontextmanager
async def page(cookie):
    socket = knock(cookie)
    assert await socket.connect()
    try:
        yield Page(socket)
    finally:
        await socket.disconnect()


class Page:
    def __init__(self, socket):
        self.socket = socket

    async def say(self, **frame):
        await self.socket.send_to(text_data=orjson.dumps(frame).decode())

    async def subscribe(self, chat, message=0, after=0, rev=0, **more):
        await self.say(type="sub", chat=str(chat.pk), rev=rev, message=message, after=after, **more)

    async def hear(self, *kinds):
        """The next frame of these kinds; others are passed over."""
        async with asyncio.timeout(5):
            while True:
                frame = orjson.loads(await self.socket.receive_from())
                if not kinds or frame["type"] in kinds:
                    return frame

    async def closed_with(self):
        async with asyncio.timeout(2):
            while True:
                event = await self.socket.receive_output(2)
                if event["type"] == "websocket.close":
                    return event["code"]


db = sync_to_async


@db
def write(text, seq, chat):
    reply = Message.objects.running().get(chat=chat)
    Message.objects.filter(pk=reply.pk).update(state="streaming", owner_process="p")
    reply.deltas.create(seq=seq, text=text)
    return reply


async def write_and_publish(text, seq, chat):
    reply = await write(text, seq, chat)
    event = {"type": "delta", "message": reply.pk, "after": seq - 1, "seq": seq, "text": text}
    hub.publish(("chat", chat.pk), event)
    return reply


class TestWhoMayOpenIt:
    def accepted(self, **who):
        async def scenario():
            socket = knock(**who)
            accepted = await socket.connect()
            await socket.disconnect()
            return accepted

        return run(scenario())

    def test_a_signed_in_person_from_our_own_page(self, cookie):
        assert self.accepted(cookie=cookie)

    @pytest.mark.parametrize(
        "origin",
        [
            *(None, "null", "", "file://", "http://[::1", "http://evil.example", "https://localhost"),
            *("http://localhost:8080", "http://localhost.evil.example", "http://evil-localhost", "localhost"),
        ],
    )
    def test_nobody_from_elsewhere(self, cookie, origin):
        assert not self.accepted(cookie=cookie, origin=origin)

    def test_not_under_a_forged_host(self, cookie):
        assert not self.accepted(cookie=cookie, origin="http://evil.example", host="evil.example")

    @pytest.mark.parametrize("key", ["", "nonsense", "x" * 32])
    def test_no_visitor(self, db, key):
        assert not self.accepted(cookie=key)

    def test_nobody_who_was_deactivated(self, ada, cookie):
        ada.deactivate()
        assert not self.accepted(cookie=cookie)


def test_live_text_is_passed_on_in_order(cookie, chat, slow_ticks):
    async def scenario():
        async with page(cookie) as tab:
            await tab.subscribe(chat)
            await tab.hear("rev")
            for seq, text in enumerate(["one ", "two ", "three"], start=1):
                await write_and_publish(text, seq, chat)
            frames = [await tab.hear("delta") for _ in range(3)]
            assert [(f["after"], f["seq"], f["text"]) for f in frames] == [
                (0, 1, "one "),
                (1, 2, "two "),
                (2, 3, "three"),
            ]

    run(scenario())


def test_a_page_that_joins_gets_what_it_lacks_in_one_piece(cookie, chat, slow_ticks):
    async def scenario():
        await write("# Title\n\n", 1, chat)
        reply = await write("some text", 2, chat)
        async with page(cookie) as tab:
            await tab.subscribe(chat, message=reply.pk, after=1)
            assert (await tab.hear("delta"))["text"] == "some text"
            block = await tab.hear("block")
            assert (block["start"], block["html"]) == (0, "<h1>Title</h1>\n")

    run(scenario())


def test_a_lost_piece_is_read_from_the_rows(cookie, chat, slow_ticks):
    async def scenario():
        async with page(cookie) as tab:
            await tab.subscribe(chat)
            await tab.hear("rev")
            await write("one ", 1, chat)
            await write("two ", 2, chat)
            await write_and_publish("three", 3, chat)
            frame = await tab.hear("delta")
            assert (frame["after"], frame["seq"], frame["text"]) == (0, 3, "one two three")

    run(scenario())


def test_pieces_that_come_twice_are_passed_on_once(cookie, chat, slow_ticks):
    async def scenario():
        async with page(cookie) as tab:
            await tab.subscribe(chat)
            await tab.hear("rev")
            for _ in range(3):
                hub.publish(
                    ("chat", chat.pk),
                    {"type": "delta", "message": (await write_once(chat)).pk, "after": 0, "seq": 1, "text": "one"},
                )
            assert (await tab.hear("delta"))["text"] == "one"
            await tab.say(type="ping", t=1)
            assert (await tab.hear("delta", "pong"))["type"] == "pong"

    run(scenario())


@db
def write_once(chat):
    reply = Message.objects.running().get(chat=chat)
    reply.deltas.get_or_create(seq=1, defaults={"text": "one"})
    return reply


def test_without_any_hint_the_tick_finds_text_and_end(cookie, chat):
    async def scenario():
        async with page(cookie) as tab:
            await tab.subscribe(chat)
            reply = await write("one", 1, chat)
            assert (await tab.hear("delta"))["text"] == "one"
            await db(Message.objects.filter(pk=reply.pk).update)(state="done")
            await db(Chat.objects.filter(pk=chat.pk).update)(rev=99)
            assert (await tab.hear("end"))["rev"] == 99

    run(scenario())


def test_a_cursor_beyond_the_text_gets_everything_from_the_beginning(cookie, chat, slow_ticks):
    async def scenario():
        reply = await write("one", 1, chat)
        async with page(cookie) as tab:
            await tab.subscribe(chat, message=reply.pk, after=2**52)
            frame = await tab.hear("delta")
            assert (frame["after"], frame["text"]) == (0, "one")

    run(scenario())


def test_a_change_of_the_list_before_the_page_subscribed_is_told(cookie, chat, slow_ticks, ada):
    async def scenario():
        for key in ("", str(chat.pk)):
            async with page(cookie) as tab:
                await tab.say(type="sub", chat=key, rev=0, list=0, message=0, after=0)
                assert (await tab.hear("list"))["rev"] > 0

    run(scenario())


def test_a_change_of_the_list_is_told(cookie, chat, slow_ticks, ada):
    async def scenario():
        async with page(cookie) as tab:
            await db(ada.refresh_from_db)()
            await tab.subscribe(chat, list=ada.rev)
            await db(Chat.objects.start)(ada, title="Other")
            assert (await tab.hear("list"))["rev"] == ada.rev + 1

    run(scenario())


@pytest.mark.parametrize("whose", ["foreign", "missing", "deleted"])
def test_a_chat_that_is_not_ones_own_is_gone(cookie, chat, whose, slow_ticks):
    @db
    def other():
        if whose == "deleted":
            Chat.objects.filter(pk=chat.pk).update(deleted_at="2026-01-01T00:00Z")
            return chat
        if whose == "missing":
            return Chat(pk=uuid.uuid4())
        foreign = Chat.objects.start(User.objects.create_user("bob"))
        foreign.receive("Secret")
        return foreign

    async def scenario():
        async with page(cookie) as tab:
            await tab.subscribe(await other())
            assert await tab.hear() == {"type": "bye", "code": 4404}
            assert await tab.closed_with() == 4404

    run(scenario())


def test_a_chat_deleted_while_it_is_open_goes_silent(cookie, chat):
    async def scenario():
        async with page(cookie) as tab:
            await tab.subscribe(chat)
            await db(Chat.objects.filter(pk=chat.pk).update)(deleted_at="2026-01-01T00:00Z")
            assert await tab.closed_with() == 4404

    run(scenario())


def test_signing_out_closes_the_socket_at_once(cookie, chat, slow_ticks):
    async def scenario():
        async with page(cookie) as tab:
            await tab.subscribe(chat)
            hub.sign_out(session=cookie)
            assert await tab.closed_with() == 4401

    run(scenario())


def test_a_session_that_ended_unheard_is_found_by_the_tick(cookie, chat, ada, monkeypatch):
    monkeypatch.setattr(consumers, "RECHECK", 0)

    async def scenario():
        async with page(cookie) as tab:
            await tab.subscribe(chat)
            await db(User.objects.filter(pk=ada.pk).update)(is_active=False)
            assert await tab.closed_with() == 4401

    run(scenario())


def test_a_reader_that_acknowledges_nothing_gets_no_more_than_the_bound(cookie, chat, slow_ticks, monkeypatch):
    monkeypatch.setattr(consumers, "MOST_UNACKED", 1000)

    async def scenario():
        async with page(cookie) as tab:
            await tab.subscribe(chat)
            await tab.hear("rev")
            for seq in range(1, 11):
                reply = await write_and_publish("x" * 400, seq, chat)
            received = [await tab.hear("delta") for _ in range(3)]
            await tab.say(type="ping", t=1)
            assert (await tab.hear("delta", "pong"))["type"] == "pong"
            await tab.say(type="ack", message=reply.pk, seq=received[-1]["seq"])
            rest = await tab.hear("delta")
            assert (rest["after"], rest["seq"], len(rest["text"])) == (3, 10, 2800)

    run(scenario())


def test_a_reader_that_never_acknowledges_is_let_go(cookie, chat, monkeypatch):
    monkeypatch.setattr(consumers, "ACK_WITHIN", 0.1)

    async def scenario():
        async with page(cookie) as tab:
            await tab.subscribe(chat)
            await write_and_publish("text", 1, chat)
            assert await tab.closed_with() == 4408

    run(scenario())


def test_an_old_socket_is_renewed(cookie, chat, monkeypatch):
    monkeypatch.setattr(consumers, "MOST_AGE", 0)

    async def scenario():
        async with page(cookie) as tab:
            assert await tab.closed_with() == 4012

    run(scenario())


@pytest.mark.parametrize(
    "frame",
    [
        *('{"type":"sub","chat":5}', '{"type":"sub","chat":["a"]}'),
        *("[]", "null", "1", '"x"', "{}", '{"type":1}', '{"type":"delete"}', "not json", "[" * 4000, "x" * 5000),
        *('{"type":"sub"}', '{"type":"sub","chat":"x"}', '{"type":"sub","chat":null}', '{"type":"ping","t":-1}'),
        *('{"type":"ping","t":1.5}', '{"type":"ping","t":true}', '{"type":"ping","t":1' + "0" * 400 + "}"),
        '{"type":"sub","chat":"00000000-0000-4000-8000-000000000000","after":"1"}',
        '{"type":"ack","seq":[]}',
    ],
)
def test_a_senseless_frame_closes_this_socket_only(cookie, chat, frame, slow_ticks):
    async def scenario():
        async with page(cookie) as tab, page(cookie) as other:
            await tab.socket.send_to(text_data=frame)
            assert await tab.closed_with() == 4400
            await other.say(type="ping", t=7)
            assert await other.hear("pong") == {"type": "pong", "t": 7}

    run(scenario())


def test_a_flood_of_frames_is_ended(cookie, chat, slow_ticks):
    async def scenario():
        async with page(cookie) as tab:
            for _ in range(60):
                await tab.say(type="ping", t=1)
            assert await tab.closed_with() == 4429

    run(scenario())


def test_more_open_pages_than_a_person_may_have_are_let_go_and_room_comes_back(cookie, chat, slow_ticks, settings):
    settings.SOCKETS_PER_USER = 1

    async def scenario():
        async with page(cookie), page(cookie) as second:
            assert await second.closed_with() == 4429
        async with page(cookie) as third:
            await third.say(type="ping", t=1)
            assert await third.hear("pong")

    run(scenario())


def test_what_was_subscribed_is_forgotten_when_the_socket_closes(cookie, chat, slow_ticks):
    async def scenario():
        async with page(cookie) as tab:
            await tab.subscribe(chat)
            await tab.hear("rev")
            assert ("chat", chat.pk) in hub.subscribers
        assert not hub.subscribers

    run(scenario())


def test_more_events_than_the_inbox_holds_are_read_from_the_rows(cookie, chat, slow_ticks, monkeypatch):
    monkeypatch.setattr(consumers, "MOST_WAITING", 3)

    async def scenario():
        async with page(cookie) as tab:
            await tab.subscribe(chat)
            await tab.hear("rev")
            reply = await write("1", 1, chat)
            for seq in range(2, 21):
                await write(str(seq % 10), seq, chat)
            for seq in range(1, 21):  # all at once: nothing is taken out in between
                event = {"type": "delta", "message": reply.pk, "after": seq - 1, "seq": seq, "text": str(seq % 10)}
                hub.publish(("chat", chat.pk), event)
            text = ""
            while len(text) < 20:
                text += (await tab.hear("delta"))["text"]
            assert text == "".join(str(seq % 10) for seq in range(1, 21))

    run(scenario())
