"""A gateway that is never the slowest: OpenAI's event stream over plain sockets, its events made ahead.

The message says what it answers: `paced 150 50` is 150 tokens, 50 a second; `burst 2000` all at once; `markdown 4 50`
a text with code, a list and a table in it four times. A paced token is the moment it was sent, as eight digits of the
monotonic clock's microseconds, so that whoever gets it knows how long it took.

    python -m tests.bench.upstream        prints its port
"""

import asyncio
import re
import sys
import time
from collections.abc import Callable

import orjson

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
MARKDOWN = """## What to do about it

There are **three** ways, and the *second* is the one most people take:

1. Ask first, then read what `settings.py` says.
2. Write a small function and look at what it gives.
3. Leave it as it is.

```python
def total(prices: dict[str, float], wanted: list[str]) -> float:
    # what nobody sells costs nothing
    return sum(prices.get(name, 0.0) for name in wanted)
```

| way | minutes | risk |
|---|---|---|
| ask | 5 | none |
| write | 30 | some |

The table is a guess. Whoever has done it once will be quicker, and whoever reads the code first will be surprised less.

"""


def now() -> int:
    """Microseconds of the clock that all processes of a machine share, as eight hexadecimal digits hold them."""
    return time.monotonic_ns() // 1000 & 0xFFFFFFFF


def event(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    document = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1, "model": "openclaw"}
    return chunk(b"data: " + orjson.dumps(document | {"choices": [choice]}) + b"\n\n")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


BEFORE, AFTER = event("00000000 ").split(b"00000000")
END = chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
PIECES = [event(piece) for piece in re.findall(r"\s*\S{1,5}\s*", MARKDOWN)]


def token() -> bytes:
    return b"%b%08x%b" % (BEFORE, now(), AFTER)


class Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if found and len(body) >= (int(length[1]) if length else 0):
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        if not head.startswith(b"POST /v1/chat/completions"):
            self.transport.write(NOT_FOUND)
            return self.transport.close()
        name, *numbers = orjson.loads(body)["messages"][-1]["content"].split()
        self.transport.write(HEAD)
        answers: dict[str, Callable[..., None]] = {"paced": self.paced, "burst": self.burst, "markdown": self.markdown}
        answers[name](*map(int, numbers))

    def paced(self, count: int, rate: int) -> None:
        self.send([token] * count, rate)

    def markdown(self, times: int, rate: int) -> None:
        self.send([lambda piece=piece: piece for piece in PIECES * times], rate)

    def send(self, tokens: list, rate: int) -> None:
        loop, left = asyncio.get_running_loop(), iter(tokens)
        begun = loop.time()

        def one(number: int) -> None:
            made = next(left, None)
            if self.transport.is_closing():
                return
            if made is None:
                return self.end()
            self.transport.write(made())
            loop.call_at(begun + (number + 1) / rate, one, number + 1)

        one(0)

    def burst(self, count: int) -> None:
        self.transport.write(b"".join(token() for _ in range(count)))
        self.end()

    def end(self) -> None:
        self.transport.write(END)
        self.transport.close()


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
