"""What runs beside the loop that serves: tasks that nothing forgets, and threads with a connection of their own."""

import asyncio
import contextvars
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import InterfaceError, OperationalError, connection

log = logging.getLogger(__name__)

AGAIN = 0.2  # seconds until a write that the database did not take is tried again


class Tasks:
    def __init__(self) -> None:
        self.all: set[asyncio.Task] = set()

    def spawn(self, coroutine: Any) -> asyncio.Task:
        """A task with a context of its own (a request's would be closed under it) that nothing forgets."""
        task = asyncio.get_running_loop().create_task(coroutine, context=contextvars.Context())
        self.all.add(task)
        task.add_done_callback(self._ended)
        return task

    async def cancel(self) -> None:
        """Until all have ended: one that was just given what it waited for does not notice a first call."""
        while self.all:
            for task in self.all:
                task.cancel()
            await asyncio.wait(self.all, timeout=AGAIN)

    def _ended(self, task: asyncio.Task) -> None:
        self.all.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("A task of the relay failed", exc_info=error)


@contextmanager
def surviving(what: str) -> Iterator[None]:
    """One bad turn of a loop that everybody depends on is logged, and the loop goes on."""
    try:
        yield
    except Exception:
        log.exception("The relay's %s failed once", what)


class Thread:
    """One thread, so that what it is given happens one after the other, on one connection to the database."""

    def __init__(self, name: str) -> None:
        self.pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, function: Callable, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.pool, function, *args)

    async def write(self, function: Callable, *args: Any) -> Any:
        """A broken connection is made anew and the same is done again."""
        while True:
            try:
                return await self.run(function, *args)
            except (OperationalError, InterfaceError) as error:
                log.warning("The database did not take a write, again in %.1f s: %s", AGAIN, error)
                await self.run(close_connection)
                await asyncio.sleep(AGAIN)

    def end(self) -> None:
        self.pool.submit(close_connection)
        self.pool.shutdown(wait=False)


def close_connection() -> None:
    connection.close()  # looked up here, in its thread: each has a connection of its own
