"""What runs beside the loop ends when it is told to."""

import asyncio

from sessions_core.relay.tasks import Tasks


async def deaf_once():
    """As `asyncio.wait_for` is in Python 3.11 where what it waits for comes at the moment of the cancellation."""
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(3600)


async def ends():
    tasks = Tasks()
    task = tasks.spawn(deaf_once())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await tasks.cancel()
    return task.cancelled() and not tasks.all


def test_a_task_that_did_not_notice_is_cancelled_again():
    assert asyncio.run(ends())
