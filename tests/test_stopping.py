"""How a process is asked to stop."""

import asyncio
import os
import signal

import pytest

from chatapp.service import asked_to_stop, end_in_peace


@pytest.fixture(autouse=True)
def handlers():
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_heard_however_much_wakes_the_loop(number):
    """By then the pipe is full by which threads wake it."""

    async def scenario():
        loop = asyncio.get_running_loop()
        stopping = asked_to_stop(loop)
        for _ in range(10_000):
            loop.call_soon_threadsafe(int)
        os.kill(os.getpid(), number)
        async with asyncio.timeout(10):
            await stopping.wait()

    asyncio.run(scenario())


def test_who_ends_is_not_killed_by_being_asked_again():
    end_in_peace()
    os.kill(os.getpid(), signal.SIGTERM)
