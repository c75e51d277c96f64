"""An open page without a browser: follows a chat over the socket as `static/js` does, and keeps what it was shown."""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import aiohttp

from tests.frames import Frames
from tests.server import Talk

STATE = re.compile(r'<article id="message-(\d+)"[^>]* data-role="assistant" data-state="(\w+)"')
SOURCE = re.compile(r'data-from="([^"]*\?message=(\d+))"')  # where a reply that is over can be had as it was written

OVER = (4401, 4404)  # signed out, gone
ACK_EVERY = 64_000  # characters
AGAIN = 0.3  # seconds before the next connection


class Viewer:
    def __init__(self, talk: Talk, url: str = "") -> None:
        self.talk = talk
        self.url = url  # of a proxy; without one it goes straight to the person's server
        self.connections = 0
        self.unacked = 0
        self.message = self.seq = 0
        self.shown: dict[int, str] = {}  # while it was written, by reply
        self.final: dict[int, str] = {}  # once it was over, as the page would copy it
        self.states: dict[str, str] = {}
        self.jumped = 0  # frames that did not follow what was there
        self.close_code: int | None = None
        talk.person.viewers.append(self)

    async def follow(self) -> None:
        """Until the server closes or breaks the connection."""
        url = self.address
        cookies = {cookie["name"]: cookie["value"] for cookie in self.talk.person.cookies}
        with suppress(aiohttp.ClientError):
            async with (
                aiohttp.ClientSession(cookies=cookies) as self.http,
                self.http.ws_connect(f"{url}/ws/", origin=url, max_msg_size=0) as socket,
            ):
                await self._listen(socket)

    async def stay(self) -> None:
        """Comes back whenever the connection breaks, unless it was told that there is nothing to come back to."""
        while self.close_code not in OVER:
            self.close_code = None
            await self.follow()
            await asyncio.sleep(AGAIN)

    @property
    def address(self) -> str:
        return self.url or self.talk.person.server.url

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.connections += 1
        await self._subscribe(socket)
        frames = Frames()
        async for message in socket:
            frame = frames.read(message.data)
            if frame["type"] == "delta":
                await self._take(socket, frame)
            elif frame["type"] in ("rev", "end"):
                await self._fetch()
        self.close_code = socket.close_code

    async def _subscribe(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        place = {"message": self.message, "after": self.seq}
        await socket.send_json({"type": "sub", "chat": str(self.talk.pk), "rev": 0} | place)

    async def _take(self, socket: aiohttp.ClientWebSocketResponse, frame: dict) -> None:
        if frame["message"] != self.message or frame["after"] == 0:
            self.message, self.seq = frame["message"], 0
            self.shown[self.message] = ""
        if frame["after"] != self.seq:
            self.jumped += 1
            await self._subscribe(socket)
            return
        self.seq = frame["seq"]
        self.shown[self.message] += frame["text"]
        self.unacked += len(frame["text"])
        if self.seq % 50 == 0 or self.unacked > ACK_EVERY:
            self.unacked = 0
            await socket.send_json({"type": "ack", "message": self.message, "seq": self.seq})

    async def _fetch(self) -> None:
        """As the page does when something else changed; what it gets holds the replies that are over."""
        path = f"/chats/{self.talk.pk}/messages/?after=0"
        async with self.http.get(f"{self.address}{path}", headers={"HX-Request": "true"}) as answer:
            if answer.status == 200:
                await self._read(await answer.text())

    async def _read(self, page: str) -> None:
        states = dict(STATE.findall(page))
        for path, pk in SOURCE.findall(page):
            if self.states.get(pk) != states[pk]:
                async with self.http.get(f"{self.address}{path}") as answer:
                    if answer.status == 200:
                        self.final[int(pk)], self.states[pk] = await answer.text(), states[pk]


async def watching(viewers: list[Viewer]) -> list[asyncio.Task]:
    return [asyncio.create_task(viewer.follow()) for viewer in viewers]


@contextmanager
def staying(*viewers: Viewer) -> Iterator[None]:
    """Open pages beside a test that does something else."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="viewers", daemon=True)
    thread.start()
    tasks = [asyncio.run_coroutine_threadsafe(viewer.stay(), loop) for viewer in viewers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        asyncio.run_coroutine_threadsafe(_all_over(), loop).result(timeout=30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _all_over() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
