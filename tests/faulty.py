"""The app with something wrong inside: wraps functions of it by name, then runs Django's command.

    python -m tests.faulty die:sessions_core.models.message.Message.settle:exit -- serve --port 0

The code that operators run knows nothing of this. A fault is a word:

    die:FUNCTION:WHEN[:NTH]    the process kills itself at the n-th call, WHEN it begins (`entry`) or is over (`exit`)
    lossy:SEED:SHARE           the hub loses this share of all events
    twisted:SEED               the hub says everything twice and in another order, late
    evict:SECONDS              the hub forgets every subscriber after so long
    clock:SECONDS              the clock of this host is so far ahead, or behind
    sick:SEED:SHARE            this share of all transactions fails, at the beginning or when it is committed
"""

import asyncio
import functools
import importlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LATEST = 0.3  # seconds that a twisted event is late


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatapp.settings")
    import django
    from django.core.management import execute_from_command_line

    at = sys.argv.index("--")
    faults = [fault.split(":") for fault in sys.argv[1:at]]
    for name, *words in sorted(faults, key=lambda fault: fault[0] != "clock"):  # before anybody has asked for the time
        if name != "clock":
            django.setup()
        FAULTS[name](*words)
    execute_from_command_line(["manage.py", *sys.argv[at + 1 :]])


def place(path: str) -> tuple[Any, str]:
    """Where a function is kept, and its name there: `package.module.Class.method`."""
    module, rest = path, []
    while True:
        module, _, last = module.rpartition(".")
        rest.insert(0, last)
        try:
            holder = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        for name in rest[:-1]:
            holder = getattr(holder, name)
        return holder, rest[-1]


def wrap(path: str, around: Callable[[Callable], Callable]) -> None:
    holder, name = place(path)
    wrapped = functools.wraps(getattr(holder, name))(around(getattr(holder, name)))
    setattr(holder, name, wrapped)


def die(path: str, when: str, nth: str = "1") -> None:
    left = int(nth)

    def here(at: str) -> None:
        nonlocal left
        if at == when:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(function: Callable) -> Callable:
        def dying(*args: Any, **kwargs: Any) -> Any:
            here("entry")
            result = function(*args, **kwargs)
            here("exit")
            return result

        return dying

    wrap(path, around)


def lossy(seed: str, share: str) -> None:
    chance = random.Random(seed)

    def around(deliver: Callable) -> Callable:
        def losing(hub: Any, topic: Any, event: Any) -> None:
            if chance.random() >= float(share):
                deliver(hub, topic, event)

        return losing

    wrap("sessions_core.hub.Hub._deliver", around)


def twisted(seed: str) -> None:
    chance = random.Random(seed)

    def around(deliver: Callable) -> Callable:
        def twice(hub: Any, topic: Any, event: Any) -> None:
            loop = asyncio.get_running_loop()
            for _ in range(2):
                loop.call_later(chance.uniform(0, LATEST), deliver, hub, topic, event)

        return twice

    wrap("sessions_core.hub.Hub._deliver", around)


def evict(seconds: str) -> None:
    def around(subscribe: Callable) -> Callable:
        def for_a_while(hub: Any, topic: Any, subscriber: Any) -> None:
            subscribe(hub, topic, subscriber)
            asyncio.get_running_loop().call_later(float(seconds), hub.subscribers[topic].discard, subscriber)

        return for_a_while

    wrap("sessions_core.hub.Hub.subscribe", around)


def sick(seed: str, share: str) -> None:
    """As a statement that times out, or a deadlock: the database gives up what was begun."""
    from django.db import OperationalError, transaction

    chance = random.Random(seed)

    def fails(atomic: Any) -> bool:
        connection = transaction.get_connection(atomic.using)
        return not connection.in_atomic_block and chance.random() < float(share) / 2

    def around_enter(enter: Callable) -> Callable:
        def entering(atomic: Any) -> None:
            if fails(atomic):
                raise OperationalError("deadlock detected, says the test")
            enter(atomic)

        return entering

    def around_exit(leave: Callable) -> Callable:
        def leaving(atomic: Any, kind: Any, error: Any, trace: Any) -> None:
            outermost = len(transaction.get_connection(atomic.using).savepoint_ids) == 0
            if kind is None and outermost and chance.random() < float(share) / 2:
                error = OperationalError("canceling statement due to statement timeout, says the test")
                leave(atomic, type(error), error, None)
                raise error
            leave(atomic, kind, error, trace)

        return leaving

    wrap("django.db.transaction.Atomic.__enter__", around_enter)
    wrap("django.db.transaction.Atomic.__exit__", around_exit)


def clock(seconds: str) -> None:
    from datetime import datetime, timedelta

    from django.utils import timezone

    now, time_now = timezone.now, time.time

    def wrong_now() -> datetime:
        return now() + timedelta(seconds=float(seconds))

    timezone.now = wrong_now
    time.time = lambda: time_now() + float(seconds)


FAULTS: dict[str, Callable[..., None]] = {
    "die": die,
    "lossy": lossy,
    "twisted": twisted,
    "evict": evict,
    "clock": clock,
    "sick": sick,
}

if __name__ == "__main__":
    main()
