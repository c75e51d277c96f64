"""Many chats and many open pages of one person in one event loop, cheap enough for the cores the server runs on."""

import asyncio
import math
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress

import aiohttp

from tests.frames import Frames
from tests.server import Person, Process, Server, Talk
from tests.viewer import Viewer

ACK_EVERY = 1.0  # seconds
COMES_BACK = 0.1, 0.5  # seconds after a connection broke


class Page(Viewer):
    """An open page that comes back by itself, and keeps the time."""

    def __init__(
        self, talk: Talk, server: Server | None = None, *, life: float = math.inf, reads: bool = False
    ) -> None:
        super().__init__(talk)
        self.server = server or talk.person.server
        self.life = life  # seconds after which its connection breaks, about
        self.reads = reads  # whether it fetches a reply that is over, as a browser does
        self.positions = 0  # of the replies' deltas that it took
        self.connections = 0
        self.close_codes: list[int | None] = []
        self.rev = self.rest_rev = 0  # the chat's, as it was told last; and when no reply was running
        self.live_since = 0.0  # when the present connection first said something; 0 without one
        self.took_at = 0.0
        self.longest_pause = 0.0  # between two pieces of text
        self.told_of_end: dict[int, float] = {}  # by reply: when

    @property
    def text(self) -> str:
        """Of the reply it shows."""
        return self.shown.get(self.message, "")

    async def stay(self) -> None:
        while True:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(self.life * random.uniform(0.7, 1.3) if self.life < math.inf else None):
                    await self.follow()
            self.live_since = 0.0
            await asyncio.sleep(random.uniform(*COMES_BACK))

    def begin_again(self) -> None:
        """From now on, the longest pause counts anew."""
        self.took_at, self.longest_pause = time.monotonic(), 0.0

    async def follow(self) -> None:
        cookies = {cookie["name"]: cookie["value"] for cookie in self.talk.person.cookies}
        with suppress(aiohttp.ClientError):
            async with (
                aiohttp.ClientSession(cookies=cookies) as self.http,
                self.http.ws_connect(f"{self.server.url}/ws/", origin=self.server.url, max_msg_size=0) as socket,
            ):
                self.connections += 1
                acknowledging = asyncio.create_task(self._acknowledge(socket))
                try:
                    await self._listen(socket)
                finally:
                    acknowledging.cancel()
                    self.close_codes.append(socket.close_code)

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        await self._subscribe(socket)
        frames = Frames()
        async for message in socket:
            frame = frames.read(message.data)
            now = time.monotonic()
            self.live_since = self.live_since or now
            if frame["type"] == "delta":
                await self._take_in_time(socket, frame, now)
            elif frame["type"] in ("rev", "end"):
                self.rev = frame["rev"]
                if frame["type"] == "end":
                    self.rest_rev = frame["rev"]
                    self.told_of_end.setdefault(self.message, now)
                    if self.reads:
                        await self._fetch()

    async def _take_in_time(self, socket: aiohttp.ClientWebSocketResponse, frame: dict, now: float) -> None:
        before = (self.message, self.seq)
        await self._take(socket, frame)
        had = before[1] if before[0] == self.message else 0
        if self.seq > had:
            self.positions += self.seq - had
            self.longest_pause = max(self.longest_pause, now - self.took_at if self.took_at else 0.0)
            self.took_at = now

    async def _acknowledge(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        told = 0
        with suppress(aiohttp.ClientError, ConnectionError):
            while True:
                await asyncio.sleep(ACK_EVERY)
                if self.positions > told:
                    told = self.positions
                    await socket.send_json({"type": "ack", "message": self.message, "seq": self.seq})


@asynccontextmanager
async def open_pages(pages: Iterable[Page]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(page.stay()) for page in pages]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Outbox:
    """Sends as a page does: the same message with the same id, until some process answers."""

    def __init__(self, person: Person, *servers: Server) -> None:
        self.person = person
        self.servers = servers or (person.server,)
        self.repeated = 0

    async def __aenter__(self) -> "Outbox":
        cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in self.person.cookies)
        headers = {"Cookie": cookies, "X-CSRFToken": self.person.http.cookies["csrf"], "HX-Request": "true"}
        self.http = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(30),
            connector=aiohttp.TCPConnector(limit=100, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    async def chat(self, text: str) -> Talk:
        talk = Talk(self.person)
        await self._send(talk, "/chats/", text, {"id": str(talk.pk)})
        return talk

    async def chats(self, texts: Iterable[str]) -> list[Talk]:
        return list(await asyncio.gather(*(self.chat(text) for text in texts)))

    async def say(self, talk: Talk, text: str, after: int = 0) -> None:
        """From a page that has everything up to a place."""
        await self._send(talk, f"/chats/{talk.pk}/messages/", text, {"after": str(after)})

    async def _send(self, talk: Talk, path: str, text: str, fields: dict[str, str], within: float = 60) -> None:
        client_id = uuid.uuid4()
        fields |= {"text": text, "client_id": str(client_id)}
        until = time.monotonic() + within
        while (code := await self.post(random.choice(self.servers), path, fields)) not in (200, 201, 204):
            assert code in (0, 500, 502, 503) and time.monotonic() < until, f"{text!r} was answered with {code}"
            self.repeated += 1
            await asyncio.sleep(random.uniform(0.2, 0.6))
        self.person.accepted.append((talk.pk, client_id, text))

    async def post(self, server: Server, path: str, fields: dict[str, str]) -> int:
        """The status; 0 when there was no answer."""
        try:
            async with self.http.post(
                f"{server.url}{path}", data=fields, headers={"Origin": server.url}, allow_redirects=False
            ) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0


async def converse(outbox: Outbox, page: Page, over: Callable[[], bool], first: int = 1) -> int:
    """Ask, see the answer end, ask again; gives the number of questions."""
    asked = first
    while not over():
        rev = page.rev
        await outbox.say(page.talk, f"Question {asked}", after=2 * asked)
        await until(lambda rev=rev: page.rest_rev >= rev + 2 or over(), 120)  # one for the question, one for the end
        asked += 1
    return asked


UNFINISHED = "select count(*) as n from sessions_core_message where state in ('waiting', 'streaming', 'queued')"


async def settled(process: Process, seconds: float = 60.0) -> float:
    """Wait until nothing runs and nothing waits; gives the time."""
    end = time.monotonic() + seconds
    while (left := (await asyncio.to_thread(process.rows, UNFINISHED))[0]["n"]) > 0:
        assert time.monotonic() < end, f"{left} are not finished:\n{process.log.read_text()[-3000:]}"
        await asyncio.sleep(0.1)
    return time.monotonic()


def states(process: Process) -> dict[str, int]:
    """Of all replies."""
    sql = "select state, count(*) as n from sessions_core_message where role = 'assistant' group by state"
    return {row["state"]: row["n"] for row in process.rows(sql)}


async def until(true: Callable[[], object], seconds: float = 60.0, otherwise: Callable[[], object] = str) -> float:
    """Wait until it is true; gives the time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, otherwise()
        await asyncio.sleep(0.02)
    return time.monotonic()
