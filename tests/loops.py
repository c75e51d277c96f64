"""Async code in a sync test."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections


def run(coroutine: Coroutine, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> Any:
    """In a loop of its own; the database connection that its threads made goes back to the pool."""

    async def and_tidy() -> Any:
        try:
            return await coroutine
        finally:
            await sync_to_async(connections.close_all)()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(and_tidy())


def beside(function: Callable, *args: Any) -> Any:
    """In a thread: where Playwright has been at work, its own loop runs in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function, *args).result()
