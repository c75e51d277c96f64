"""An open page's socket: who may open it, what it is told, how it finds what got lost."""

import asyncio
import uuid
from contextlib import asynccontextmanager
from importlib import import_module

import orjson
import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.db import OperationalError
from django.test import Client
from django.utils.module_loading import import_string

from chatapp import consumers, flow, standing
from chatapp.asgi import application
from sessions_core.hub import hub
from sessions_core.models import Chat, Message, User
from tests.frames import Frames
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


def knock(cookie="", origin=f"http://{HOST}", host=HOST, **more):
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
    } | more
    return Socket(application, scope)


@asynccontextmanager
async def page(cookie, **more):
    socket = knock(cookie, **more)
    assert await socket.connect()
    try:
        yield Page(socket)
    finally:
        await socket.disconnect()


class Page:
    def __init__(self, socket):
        self.socket = socket
        self.frames = Frames()

    async def say(self, **frame):
        await self.socket.send_to(text_data=orjson.dumps(frame).decode())

    async def subscribe(self, chat, message=0, after=0, rev=0, **more):
        await self.say(type="sub", chat=str(chat.pk), rev=rev, message=message, after=after, **more)

    async def hear(self, *kinds):
        """The next frame of these kinds; others are passed over."""
        async with asyncio.timeout(5):
            while True:
                frame = self.frames.read(await self.socket.receive_from())
                if not kinds or frame["type"] in kinds:
                    return frame

    async def piece(self):
        """The next of a reply, as it comes over the wire."""
        async with asyncio.timeout(5):
            while "type" in (frame := orjson.loads(await self.socket.receive_from())):
                pass
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


class TestBegun:
    """Until somebody writes a reply it waits for a free slot, and the page says so."""

    def test_a_page_hears_when_a_reply_is_begun(self, cookie, chat):
        async def scenario():
            reply = await db(Message.objects.running().get)(chat=chat)
            async with page(cookie) as tab:
                await tab.subscribe(chat)
                await tab.hear("rev", "end")
                event = {"type": "begun", "message": reply.pk}
                hub.publish(("chat", chat.pk), event)
                hub.publish(("chat", chat.pk), event)
                heard = await tab.hear("begun")
                await tab.say(type="ping", t=1)
                return heard == event, (await tab.hear())["type"]

        assert run(scenario()) == (True, "pong"), "once"

    def test_one_that_missed_it_finds_it_in_the_rows(self, cookie, chat):
        async def scenario():
            async with page(cookie) as tab:
                await tab.subscribe(chat)
                return (await tab.hear("begun"))["message"]

        reply = Message.objects.running().get()
        Message.objects.filter(pk=reply.pk).update(state="streaming", owner_process="p")
        assert run(scenario()) == reply.pk


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

    def test_nobody_while_the_database_is_away(self, cookie, monkeypatch, caplog):
        def away(key):
            raise OperationalError("it restarts")

        monkeypatch.setattr("chatapp.doors.signed_in", away)
        assert not self.accepted(cookie=cookie)
        assert [record.getMessage() for record in caplog.records] == [
            "A socket does not open while the database is away: it restarts"
        ]


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


def test_a_piece_says_whose_it_is_where_that_changes(cookie, ada, chat, slow_ticks):
    """What goes without saying is not said: that comes twenty times a second."""
    other = Chat.objects.start(ada, title="Other")
    other.receive("Hello")

    async def pieces(tab, chat, *texts):
        await tab.subscribe(chat)
        await tab.hear("rev")
        heard = []
        for seq, text in enumerate(texts, start=1):
            reply = await write_and_publish(text, seq, chat)
            heard.append(await tab.piece())
        return reply.pk, heard

    async def scenario():
        async with page(cookie) as tab:
            reply, heard = await pieces(tab, chat, "one", "two")
            assert heard == [{"seq": 1, "text": "one", "reply": reply}, {"seq": 2, "text": "two"}]
            others, heard = await pieces(tab, other, "three")
            assert heard == [{"seq": 1, "text": "three", "reply": others}]
            await tab.subscribe(chat)
            assert (await tab.hear("delta"))["text"] == "onetwo"
            await tab.subscribe(chat, message=reply, after=1)
            assert await tab.piece() == {"seq": 2, "text": "two", "reply": reply}, "the page may have lost the first"

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


def test_a_reply_that_runs_is_looked_at_soon_though_the_page_rested_before(cookie, chat, monkeypatch):
    monkeypatch.setattr(consumers, "TICK_IDLE", 60)

    async def scenario():
        async with page(cookie) as tab:
            await tab.subscribe(chat)
            await tab.hear("rev")
            await write("one", 1, chat)
            assert (await tab.hear("delta"))["text"] == "one"

    run(scenario())


def test_where_no_process_hears_the_others_a_resting_page_looks_as_often_as_one_that_waits(cookie, ada, monkeypatch):
    monkeypatch.setattr(consumers, "TICK_IDLE", 60)
    monkeypatch.setattr(consumers.hub, "others", True)
    resting = Chat.objects.start(ada)

    async def scenario():
        async with page(cookie) as tab:
            await tab.subscribe(resting)
            await tab.say(type="ping", t=1)
            await tab.hear("pong")
            await db(Chat.objects.filter(pk=resting.pk).update)(rev=99)
            while (await tab.hear("end"))["rev"] != 99:
                pass

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


@pytest.mark.parametrize("unsent", [0, 10_000_000], ids=["reads", "has not read what it was sent"])
@pytest.mark.parametrize("whose", ["foreign", "missing", "deleted"])
def test_a_chat_that_is_not_ones_own_is_gone(cookie, chat, whose, unsent, slow_ticks, monkeypatch):
    monkeypatch.setattr(flow, "MOST_UNSENT", 2 * unsent or flow.MOST_UNSENT)

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
        async with page(cookie, unsent=lambda: unsent) as tab:
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


def test_a_reader_that_acknowledges_nothing_gets_no_more_than_the_bound(cookie, chat, slow_ticks, settings):
    settings.SOCKET_UNACKED = 1000

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
            rest = []
            for _ in range(3):  # in pieces that keep to the bound, too
                rest.append(await tab.hear("delta"))
                await tab.say(type="ack", message=reply.pk, seq=rest[-1]["seq"])
            assert [(piece["after"], piece["seq"]) for piece in rest] == [(3, 6), (6, 9), (9, 10)]

    run(scenario())


def test_a_page_that_asks_again_without_reading_gets_nothing_and_costs_no_look_at_the_rows(
    cookie, chat, slow_ticks, settings, monkeypatch
):
    settings.SOCKET_UNACKED = 1000
    looks, unsent = [], [0]
    real = standing.read

    def read(*args):
        looks.append(args)
        return real(*args)

    monkeypatch.setattr(standing, "read", read)

    async def scenario():
        reply = await write("x" * 1100, 1, chat)
        async with page(cookie, unsent=lambda: unsent[0]) as tab:
            await tab.subscribe(chat)
            assert (await tab.hear("delta"))["seq"] == 1
            unsent[0] = 1100
            for n in range(5):
                await tab.subscribe(chat)
                await tab.say(type="ping", t=n)
                assert (await tab.hear("delta", "pong"))["type"] == "pong"
            assert len(looks) == 1
            unsent[0] = 0
            await tab.subscribe(chat, message=reply.pk, after=0)
            assert (await tab.hear("delta"))["after"] == 0

    run(scenario())


def test_a_page_that_asked_before_it_had_read_is_answered_when_there_is_room(cookie, chat, settings):
    settings.SOCKET_UNACKED = 1000
    unsent = [1100]

    async def scenario():
        await write("text\n\n", 1, chat)
        async with page(cookie, unsent=lambda: unsent[0]) as tab:
            await tab.subscribe(chat)
            await asyncio.sleep(0.2)
            await tab.say(type="ping", t=1)
            assert (await tab.hear("delta", "pong"))["type"] == "pong"
            unsent[0] = 0
            assert (await tab.hear("delta"))["text"] == "text\n\n"
            assert (await tab.hear("block"))["start"] == 0

    run(scenario())


def test_a_page_that_asks_again_and_again_but_reads_nothing_is_let_go(cookie, chat, settings):
    settings.SOCKET_ACK_SECONDS = 0.5

    async def scenario():
        await write("text", 1, chat)
        async with page(cookie, unsent=lambda: 500) as tab:
            asking = asyncio.create_task(ask_again(tab))
            assert await tab.closed_with() == 4408
            asking.cancel()

    async def ask_again(tab):
        while True:
            await tab.subscribe(chat)
            await asyncio.sleep(0.15)

    run(scenario())


def test_a_reader_that_never_acknowledges_is_let_go(cookie, chat, settings):
    settings.SOCKET_ACK_SECONDS = 0.1

    async def scenario():
        async with page(cookie) as tab:
            await tab.subscribe(chat)
            await write_and_publish("text", 1, chat)
            assert await tab.closed_with() == 4408

    run(scenario())


def test_a_page_that_joins_a_long_reply_late_gets_it_in_pieces_and_then_its_blocks(cookie, chat, slow_ticks, settings):
    settings.SOCKET_UNACKED = 1000

    async def scenario():
        await write("# Title\n\n", 1, chat)
        for seq in range(2, 9):
            reply = await write("x" * 400, seq, chat)
        async with page(cookie) as tab:
            await tab.subscribe(chat)
            pieces = []
            while not pieces or pieces[-1]["seq"] < 8:
                pieces.append(await tab.hear("delta"))
                await tab.say(type="ack", message=reply.pk, seq=pieces[-1]["seq"])
            assert [piece["after"] for piece in pieces] == [0, *(piece["seq"] for piece in pieces[:-1])]
            assert all(len(piece["text"]) < 1400 for piece in pieces)
            block = await tab.hear("delta", "block")
            assert (block["type"], block["start"], block["upto"]) == ("block", 0, 8)

    run(scenario())


def test_a_block_that_a_page_missed_comes_with_all_the_others(cookie, chat, slow_ticks, settings):
    settings.SOCKET_UNACKED = 1000

    async def scenario():
        async with page(cookie) as tab:
            await tab.subscribe(chat)
            await tab.hear("rev")
            for seq, text in enumerate(["x" * 1100, "\n\n", "more"], start=1):
                reply = await write_and_publish(text, seq, chat)
            upto = {"start": 0, "upto": 1102, "html": "<p>missed</p>"}
            hub.publish(("chat", chat.pk), {"type": "block", "message": reply.pk} | upto)
            assert (await tab.hear("delta", "block"))["seq"] == 1
            await tab.say(type="ack", message=reply.pk, seq=1)
            assert (await tab.hear("delta", "block"))["text"] == "\n\nmore"
            block = await tab.hear("delta", "block")
            assert (block["upto"], block["html"][:5]) == (1102, "<p>xx")

    run(scenario())


@pytest.mark.parametrize("kind", ["sub", "ping"])
def test_a_page_whose_connection_takes_nothing_is_let_go(cookie, chat, slow_ticks, kind):
    async def scenario():
        socket = knock(cookie, unsent=lambda: 2_000_000)
        assert await socket.connect()
        tab = Page(socket)
        await tab.say(type=kind, chat=str(chat.pk), t=1)
        assert await tab.closed_with() == 4408
        await socket.disconnect()

    run(scenario())


BROKEN_PLACES = [
    *("chatapp.following.Following.start", "chatapp.following.Following.catch_up", "chatapp.standing.list_rev"),
    *("chatapp.following.Following.acked", "chatapp.consumers.natural", "chatapp.following.Following.pass_delta"),
    *("chatapp.following.Following.pass_block", "chatapp.following.Following.pass_rev"),
    *("chatapp.consumers.PageConsumer.pass_list", "chatapp.consumers.PageConsumer.still_welcome"),
]


def test_a_socket_that_finds_the_database_away_ends_with_one_line_in_the_log(cookie, chat, monkeypatch, caplog):
    def away(*args, **options):
        raise OperationalError("it restarts")

    async def scenario():
        async with page(cookie) as one:
            monkeypatch.setattr(consumers.PageConsumer, "on_sub", away)
            await one.subscribe(chat)
            assert await one.closed_with() == 4500

    run(scenario())
    assert [record.getMessage() for record in caplog.records] == [
        "A socket ends while the database is away: it restarts"
    ]
    assert not caplog.records[0].exc_info


@pytest.mark.thorough
@pytest.mark.parametrize("where", BROKEN_PLACES)
def test_an_error_in_any_handler_closes_this_socket_only_and_the_page_goes_on_where_it_was(
    cookie, chat, where, monkeypatch, caplog
):
    """Everything that can happen to a page happens to two of them; one comes to the handler that fails, once."""
    name = where.rsplit(".", 1)[-1]
    owner = import_string(where.removesuffix(f".{name}")) if "Following" in where or "Page" in where else None
    owner = owner or import_module(where.removesuffix(f".{name}"))
    real, failures = getattr(owner, name), iter([True])

    def once(*args, **options):
        if next(failures, False):
            raise RuntimeError("nobody thought of this")
        return real(*args, **options)

    async def scenario():
        monkeypatch.setattr(consumers, "TICK_IDLE", 60)
        async with page(cookie) as other:
            await other.say(type="ping", t=1)
            await other.hear("pong")
            monkeypatch.setattr(consumers, "TICK_IDLE", 0.05)
            monkeypatch.setattr(owner, name, once)
            async with page(cookie) as one:
                await happen(one, chat)
                assert await one.closed_with() == 4500
            await other.subscribe(chat)
            assert (await other.hear("delta"))["text"] == "one "
        async with page(cookie) as again:
            reply = await write("two", 2, chat)
            await again.subscribe(chat, message=reply.pk, after=1)
            assert (await again.hear("delta"))["text"] == "two"
        assert not hub.subscribers

    async def happen(tab, chat):
        reply = await write("one ", 1, chat)
        await tab.subscribe(chat)
        await tab.say(type="ack", message=reply.pk, seq=1)
        await tab.say(type="ping", t=1)
        await asyncio.sleep(0.3)  # until it listens to the chat, where it gets that far
        for event in (
            {"type": "delta", "message": reply.pk, "after": 0, "seq": 1, "text": "one "},
            {"type": "block", "message": reply.pk, "start": 0, "upto": 0, "html": ""},
            {"type": "rev", "chat": str(chat.pk), "rev": 0},
            {"type": "list"},
        ):
            hub.publish(("chat", chat.pk), event)

    run(scenario())
    assert "A socket failed" in caplog.text


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


def test_a_page_says_which_chat_is_to_be_listened_to_on_the_gateway(cookie, chat, ada, monkeypatch):
    watched = []
    monkeypatch.setattr(consumers.listening, "watch", lambda pk: watched.append(("watch", pk)))
    monkeypatch.setattr(consumers.listening, "unwatch", lambda pk: watched.append(("unwatch", pk)))
    other = Chat.objects.start(ada, title="Other")
    strange = Chat.objects.start(User.objects.create_user("bob"), title="Strange")

    async def story():
        async with page(cookie) as socket:
            for one in (chat, other):
                await socket.subscribe(one)
                await socket.hear("rev", "end")
            await socket.subscribe(strange)
            await socket.hear("bye")

    run(story())
    assert watched == [("watch", chat.pk), ("watch", other.pk), ("unwatch", chat.pk), ("unwatch", other.pk)]
