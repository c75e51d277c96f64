"""Pages that do not read, or hardly: each costs little, is let go, and nobody else notices."""

import asyncio
import base64
import json
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.fake_gateway import FakeGateway, delta, done, finish, role, sleep, words
from tests.frames import Frames
from tests.server import Server, Talk, wait_until
from tests.viewer import Viewer, watching

READERS = 50
MOST_EACH = 2_000_000  # bytes of the server's memory
MOST_EACH_ASKING = 4_000_000  # the same; what is read for them meanwhile, 50 at a time, counts too
LET_GO_WITHIN = 60  # seconds
TEXT = "".join(f"{words(n, 1600)}\n\n" for n in range(190))[:1_900_000]
PIECES = [TEXT[at : at + 10_000] for at in range(0, len(TEXT), 10_000)]
BIG = [role(), *[step for piece in PIECES for step in (delta(piece), sleep(0.02))], finish(), done()]


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server(SOCKETS_PER_USER="100", SOCKET_ACK_SECONDS="10").start()


class Silent:
    """A page that opens a socket and subscribes, by hand, so that nothing reads behind its back."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", talk.person.server.port))
        self.socket.sendall(self._request())
        while not self.socket.recv(4096, socket.MSG_PEEK).count(b"\r\n\r\n"):
            time.sleep(0.01)
        self._skip_head()
        self.subscribe()
        assert self.socket.recv(1, socket.MSG_PEEK)  # it is heard and answered

    def _request(self) -> bytes:
        server = self.talk.person.server
        cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in self.talk.person.cookies)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            *("GET /ws/ HTTP/1.1", f"Host: 127.0.0.1:{server.port}", f"Origin: {server.url}", f"Cookie: {cookies}"),
            *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"),
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    def _skip_head(self) -> None:
        head = self.socket.recv(4096, socket.MSG_PEEK).partition(b"\r\n\r\n")[0]
        assert b" 101 " in head, head
        self.socket.recv(len(head) + 4)

    def subscribe(self) -> None:
        frame = {"type": "sub", "chat": str(self.talk.pk), "rev": 0, "list": 0, "message": 0, "after": 0}
        body, mask = json.dumps(frame).ljust(126).encode(), os.urandom(4)
        masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(body))
        self.socket.sendall(struct.pack("!BBH", 0x81, 0x80 | 126, len(body)) + mask + masked)

    @property
    def let_go(self) -> bool:
        """Whether the server has broken the connection; found without reading."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        return bool(poll.poll(0))


@contextmanager
def silent_readers(talk: Talk, number: int = READERS) -> Iterator[list[Silent]]:
    readers = [Silent(talk) for _ in range(number)]
    try:
        yield readers
    finally:
        for reader in readers:
            reader.socket.close()


@contextmanager
def peak_memory(server: Server) -> Iterator[list[int]]:
    """The most bytes the process held meanwhile."""
    peak, over = [memory(server)], threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            peak[0] = max(peak[0], memory(server))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def memory(server: Server) -> int:
    assert server.process
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def watched(talk: Talk) -> Viewer:
    """Somebody who reads, until the reply is over."""
    viewer = Viewer(talk)

    async def scenario() -> None:
        tasks = await watching([viewer])
        talk.say("Something long")
        await asyncio.to_thread(talk.reply, len(talk.replies) or 1, "done", 120)
        async with asyncio.timeout(120):
            while viewer.final.get(viewer.message) is None:
                await asyncio.sleep(0.05)
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(scenario())
    return viewer


def begin(server: Server, gateway: FakeGateway) -> Talk:
    """A chat where one such reply was given already: what that alone costs is not counted."""
    talk = server.first_account().chat("Hello")
    talk.reply()
    gateway.script(None, BIG)
    assert watched(talk).jumped == 0
    return talk


def test_fifty_pages_that_never_read_cost_little_are_let_go_and_hurt_nobody(server, gateway):
    talk = begin(server, gateway)
    before = memory(server)
    with silent_readers(talk) as readers, peak_memory(server) as peak:
        viewer = watched(talk)
        assert viewer.jumped == 0
        assert viewer.final[viewer.message] == TEXT
        assert TEXT.startswith(viewer.shown[viewer.message])  # what was not shown before the end comes with it
        wait_until(lambda: all(reader.let_go for reader in readers), LET_GO_WITHIN)
    assert peak[0] - before < READERS * MOST_EACH


def test_pages_that_ask_for_everything_again_and_again_without_reading_are_bounded_too(server, gateway):
    talk = begin(server, gateway)
    before = memory(server)
    over = threading.Event()

    def ask_again(readers: list[Silent]) -> None:
        while not over.wait(0.2):
            for reader in readers:
                if not reader.let_go:
                    reader.subscribe()

    with silent_readers(talk) as readers, peak_memory(server) as peak:
        asking = threading.Thread(target=ask_again, args=[readers])
        asking.start()
        try:
            viewer = watched(talk)
        finally:
            over.set()
            asking.join()
        assert viewer.final[viewer.message] == TEXT
        assert TEXT.startswith(viewer.shown[viewer.message])  # what was not shown before the end comes with it
    assert peak[0] - before < READERS * MOST_EACH_ASKING


def test_a_page_that_reads_slowly_is_let_go_with_the_beginning_of_the_text(make_server, gateway):
    server = make_server(SOCKET_UNACKED="100000", SOCKET_ACK_SECONDS="5").start()
    talk = server.first_account().chat("Hello")
    talk.reply()
    gateway.script(None, BIG)
    with silent_readers(talk, 1) as [reader]:
        received, over = bytearray(), threading.Event()

        def read_slowly() -> None:
            with suppress(ConnectionError):
                while piece := reader.socket.recv(1024):
                    received.extend(piece)
                    over.wait(0.05)  # 20 KB a second

        reading = threading.Thread(target=read_slowly)
        reading.start()
        assert watched(talk).jumped == 0
        wait_until(lambda: reader.let_go, LET_GO_WITHIN)
        over.set()
        reading.join()
    text, place, codes = "", 0, []
    for frame in whole_frames(bytes(received)):
        if frame["type"] in ("bye", "close"):
            codes.append(frame["code"])
        elif frame["type"] == "delta":
            assert frame["after"] == place
            place, text = frame["seq"], text + frame["text"]
    assert text and TEXT.startswith(text), (len(received), bytes(received)[:300])
    assert set(codes) <= {4408}, "with this code, or broken off before it could be read"


def whole_frames(data: bytes) -> Iterator[dict]:
    """What the server sent, as far as it came."""
    frames = Frames()
    while len(data) >= 4:
        length, begin = data[1], 2
        if length >= 126:
            begin = 4 if length == 126 else 10
            length = int.from_bytes(data[2:begin], "big")
        if len(data) < begin + length:
            return
        if data[0] == 0x81:  # a text in one frame
            yield frames.read(data[begin : begin + length])
        elif data[0] == 0x88:
            yield {"type": "close", "code": int.from_bytes(data[begin : begin + 2], "big")}
        data = data[begin + length :]
