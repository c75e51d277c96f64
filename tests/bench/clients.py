"""Many readers at once, in a process of their own: each sends a message and takes what comes back.

It reads a plan from standard input, says `ready` once everybody is connected, begins at the next line, and prints what
was measured; times are in seconds.

    python -m tests.bench.clients
"""

import asyncio
import re
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from tests.bench.upstream import now
from tests.frames import Frames

REV = re.compile(rb'<meta name="rev" content="(\d+)"')
FACE = re.compile(rb'data-face="(\w+)"')
TOKEN = re.compile(rb'"content":"([0-9a-f]{8}) "')
ACK_EVERY = 64_000  # characters, as the page does
CSRF = "b" * 32
AT_ONCE = 20  # connections being opened


@dataclass
class Plan:
    """What a run does. People are {"url", "session", "chat", "after"}: whom they ask, a cookie, a chat's id, and its
    last place."""

    way: str  # direct, ours, idle
    people: list[dict[str, Any]]
    text: str = ""
    tokens: int = 0
    rounds: int = 1  # one after the other
    spread: float = 0.0  # seconds over which everybody begins
    sockets: int = 1  # for each person
    pages: bool = False  # whether a page is fetched again when it changed, as a browser does
    within: float = 60.0


@dataclass
class Result:
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    tokens: int = 0
    bytes: int = 0  # that came over the sockets and with the pages
    frames: int = 0
    jumped: int = 0  # frames that did not follow what was there
    failed: list[str] = field(default_factory=list)
    submits: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)  # from the message to the first token
    latency: list[float] = field(default_factory=list)  # of each token

    def take(self, sent: list[Any]) -> None:
        """Tokens that arrived just now."""
        moment = now()
        self.latency += [((moment - int(one, 16)) & 0xFFFFFFFF) / 1e6 for one in sent]
        self.tokens += len(sent)
        self.ended = time.monotonic()


class Direct:
    """Reads the upstream itself, with nothing between."""

    def __init__(self, plan: Plan, person: dict, http: aiohttp.ClientSession, result: Result) -> None:
        self.plan, self.http, self.result = plan, http, result
        self.url = person["url"]

    async def connect(self) -> None:
        pass

    async def ask(self) -> None:
        asked, taken, rest = time.monotonic(), 0, b""
        body = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": self.plan.text}]}
        async with self.http.post(f"{self.url}/v1/chat/completions", json=body) as response:
            async for data in response.content.iter_any():
                rest += data
                if found := TOKEN.findall(rest):
                    if not taken:
                        self.result.first.append(time.monotonic() - asked)
                    taken += len(found)
                    self.result.take(found)
                    rest = rest[rest.rfind(b"\n\n") :]

    async def close(self) -> None:
        pass


class Page:
    """A tab of the app's page: its socket, and the form that sends."""

    def __init__(self, plan: Plan, person: dict, http: aiohttp.ClientSession, result: Result) -> None:
        self.plan, self.http, self.result = plan, http, result
        self.url = person["url"]
        self.chat, self.after = person["chat"], person["after"]
        self.headers = {
            "Cookie": f"webchat={person['session']}; csrf={CSRF}",
            "X-CSRFToken": CSRF,
            "Origin": self.url,
            "HX-Request": "true",
        }
        self.message = self.seq = self.unacked = self.taken = 0
        self.asked = 0.0
        self.rev, self.face = -1, ""
        self.answered = asyncio.Event()
        self.answered.set()
        self.ended = asyncio.Event()

    async def connect(self) -> None:
        headers = {name: self.headers[name] for name in ("Cookie", "Origin")}
        self.socket = await self.http.ws_connect(f"{self.url}/ws/", headers=headers, max_msg_size=0)
        self.listening = asyncio.create_task(self.listen())
        await self.subscribe()
        await self.ended.wait()  # it says at once that it has more than nothing
        self.ended.clear()
        if self.plan.text:  # whoever asks has a page, and knows what it shows
            await self.fetch(f"/chats/{self.chat}/messages/?after={self.after}&face={self.face}")

    async def subscribe(self) -> None:
        place = {"rev": 0, "list": 0, "message": self.message, "after": self.seq}
        await self.socket.send_json({"type": "sub", "chat": self.chat} | place)

    async def listen(self) -> None:
        frames = Frames()
        async for message in self.socket:
            self.result.bytes += len(message.data)
            self.result.frames += 1
            frame = frames.read(message.data)
            if take := getattr(self, f"on_{frame['type']}", None):
                await take(frame)

    async def on_delta(self, frame: dict) -> None:
        if frame["message"] != self.message or frame["after"] == 0:
            self.message, self.seq = frame["message"], 0
        if frame["after"] != self.seq:
            self.result.jumped += 1
            return await self.subscribe()
        self.seq = frame["seq"]
        if self.asked and not self.taken:
            self.result.first.append(time.monotonic() - self.asked)
        self.taken += 1
        if self.plan.tokens:
            self.result.take(frame["text"].split())
        self.unacked += len(frame["text"])
        if self.unacked > ACK_EVERY:
            self.unacked = 0
            await self.socket.send_json({"type": "ack", "message": self.message, "seq": self.seq})

    async def on_rev(self, frame: dict) -> None:
        if not self.plan.pages:
            return
        await self.answered.wait()  # as the page does: news of what it sent is old when that is answered
        if frame["rev"] > self.rev:
            await self.fetch(f"/chats/{self.chat}/messages/?after={self.after}&face={self.face}")

    async def on_end(self, frame: dict) -> None:
        await self.on_rev(frame)
        self.ended.set()

    async def on_list(self, frame: dict) -> None:
        if self.plan.pages:
            await self.fetch("/chats/list/?shown=50")

    async def fetch(self, address: str) -> None:
        async with self.http.get(self.url + address, headers=self.headers) as response:
            await self.look_at(response)

    async def look_at(self, response: aiohttp.ClientResponse) -> None:
        """What it says of itself is what the page's own script keeps of it."""
        page = await response.read()
        self.result.bytes += int(response.headers.get("Content-Length", len(page)))  # as it came, compressed
        if rev := REV.search(page):
            self.rev = int(rev[1])
        if face := FACE.search(page):
            self.face = face[1].decode()

    async def ask(self) -> None:
        self.ended.clear()
        self.answered.clear()
        self.taken, self.asked = 0, time.monotonic()
        fields = {"text": self.plan.text, "client_id": str(uuid.uuid4()), "after": str(self.after), "face": self.face}
        address = f"{self.url}/chats/{self.chat}/messages/"
        async with self.http.post(address, data=fields, headers=self.headers) as response:
            await self.look_at(response)
            self.result.submits.append(time.monotonic() - self.asked)
            if response.status != 200:
                raise RuntimeError(f"HTTP {response.status}")
        self.answered.set()
        self.after += 1  # the reply is not complete
        await self.ended.wait()
        self.after += 1

    async def close(self) -> None:
        self.listening.cancel()
        await self.socket.close()


class Idle(Page):
    async def ask(self) -> None:
        pass


READERS: dict[str, Callable[..., Any]] = {"direct": Direct, "ours": Page, "idle": Idle}


async def run(plan: Plan, go: Callable[[], Any]) -> Result:
    result = Result()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
        tabs = [[READERS[plan.way](plan, p, http, result) for _ in range(plan.sockets)] for p in plan.people]
        await connected([tab for person in tabs for tab in person])
        await asyncio.to_thread(go)
        result.began, result.bytes, result.frames = time.monotonic(), 0, 0
        askers = [asyncio.create_task(asking(person[0], plan, result, n / len(tabs))) for n, person in enumerate(tabs)]
        await asyncio.gather(*askers)
        for person in tabs:
            for tab in person:
                await tab.close()
    return result


async def connected(readers: list[Any]) -> None:
    turn = asyncio.Semaphore(AT_ONCE)

    async def connect(reader: Any) -> None:
        async with turn:
            await asyncio.wait_for(reader.connect(), 60)

    await asyncio.gather(*map(connect, readers))


async def asking(reader: Any, plan: Plan, result: Result, share: float) -> None:
    await asyncio.sleep(plan.spread * share)
    try:
        async with asyncio.timeout(plan.within):
            for _ in range(plan.rounds):
                await reader.ask()
    except (TimeoutError, RuntimeError, aiohttp.ClientError) as error:
        result.failed.append(f"{type(error).__name__} {error}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def begin() -> None:
    say("ready")
    sys.stdin.readline()


def main() -> None:
    plan = Plan(**orjson.loads(sys.stdin.readline()))
    with suppress(KeyboardInterrupt):
        result = asyncio.run(run(plan, begin))
        say(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()
