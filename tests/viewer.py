"""An open page without a browser: follows a chat over the socket as `static/js` does, and keeps what it was shown."""

import asyncio
import json
from contextlib import suppress

import aiohttp

from tests.server import Talk


class Viewer:
    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.message = self.seq = 0
        self.shown: dict[int, str] = {}  # by reply
        self.jumped = 0  # frames that did not follow what was there
        self.close_code: int | None = None

    async def follow(self) -> None:
        """Until the server closes or breaks the connection."""
        server = self.talk.person.server
        cookies = {cookie["name"]: cookie["value"] for cookie in self.talk.person.cookies}
        with suppress(aiohttp.ClientError):
            async with (
                aiohttp.ClientSession(cookies=cookies) as http,
                http.ws_connect(f"{server.url}/ws/", origin=server.url, max_msg_size=0) as socket,
            ):
                await self._listen(socket)

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        await self._subscribe(socket)
        async for message in socket:
            frame = json.loads(message.data)
            if frame["type"] == "delta":
                await self._take(socket, frame)
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
        if self.seq % 50 == 0:
            await socket.send_json({"type": "ack", "message": self.message, "seq": self.seq})


async def watching(viewers: list[Viewer]) -> list[asyncio.Task]:
    return [asyncio.create_task(viewer.follow()) for viewer in viewers]
