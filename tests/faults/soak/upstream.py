"""What the gateway says in a long run: numbers that count up, so that a hole or a doubled piece shows."""

import asyncio
import threading

from tests.fake_gateway import Exchange, Step, delta, done, finish, role

PACE = 0.05  # seconds between two pieces


def counting(pieces: int, pace: float = PACE) -> list[Step]:
    """A reply of so many pieces."""
    return [role(), _count(lambda n: n < pieces, pace), finish(), done()]


def counting_until(flag: threading.Event, pace: float = PACE) -> list[Step]:
    """A reply that goes on until the flag is set, and is never empty."""
    return [role(), _count(lambda n: n == 0 or not flag.is_set(), pace), finish(), done()]


def _count(more, pace: float) -> Step:
    async def step(exchange: Exchange) -> None:
        n = 0
        while more(n):
            await delta(f"{n} ")(exchange)
            await asyncio.sleep(pace)
            n += 1

    return step
