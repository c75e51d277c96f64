"""Hours in short: the same work again and again must leave nothing behind, and everybody comes back at once."""

import asyncio
import random
import threading
import time
from pathlib import Path

from tests.faults.soak.crowd import Outbox, Page, converse, open_pages, settled, until
from tests.faults.soak.figures import longest
from tests.faults.soak.upstream import counting

MB = 1024 * 1024


class Sample:
    """What a process holds at one moment, as the kernel tells it."""

    def __init__(self, pid: int) -> None:
        folder = Path(f"/proc/{pid}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        self.at = time.monotonic()
        self.memory = int(status["RssAnon"].split()[0]) * 1024  # each connection maps the database, which grows
        self.threads = int(status["Threads"])
        links = [link.readlink() for link in (folder / "fd").iterdir() if link.is_symlink()]
        self.files = len(links)
        self.connections = sum(link.name == "webchat.sqlite3" for link in links)


def slope(samples: list[Sample]) -> float:
    """Of the memory, in MB an hour: the straight line that fits best."""
    n, start = len(samples), samples[0].at
    times = [sample.at - start for sample in samples]
    middle, mean = sum(times) / n, sum(sample.memory for sample in samples) / n
    over = sum((at - middle) * (sample.memory - mean) for at, sample in zip(times, samples, strict=True))
    return over / sum((at - middle) ** 2 for at in times) * 3600 / MB


def spread(values: list[int]) -> str:
    return f"{min(values)}–{max(values)}"


def test_long_work_leaves_nothing_in_memory(server, gateway, figures, scale, pytestconfig):
    """L7: memory"""
    seconds, replies = scale(10, 60 * pytestconfig.getoption("--memory-minutes")), scale(15, 50)
    warm_up = seconds / 2  # malloc takes half an hour and more until it finds room in what it has
    ada = server.first_account()
    gateway.script(None, counting(scale(30, 400)))
    samples = []
    over = threading.Event()

    async def watch():
        begun = time.monotonic()
        while (now := time.monotonic() - begun) < seconds:
            if now > warm_up:
                samples.append(await asyncio.to_thread(Sample, server.process.pid))
            await asyncio.sleep(scale(0.5, 3))
        over.set()

    async def scene():
        async with Outbox(ada) as outbox:
            pages = [Page(chat) for chat in await outbox.chats(f"Chat {n}" for n in range(replies))]
            async with open_pages(pages), asyncio.TaskGroup() as tasks:
                talking = [tasks.create_task(converse(outbox, page, over.is_set)) for page in pages]
                await watch()
            await settled(server)
            return sum(task.result() for task in talking)

    asked = asyncio.run(scene())
    files, threads, connections = ([getattr(s, name) for s in samples] for name in ("files", "threads", "connections"))
    half = len(samples) // 2
    assert min(threads[half:]) <= max(threads[:half]) and min(connections[half:]) <= max(connections[:half])
    grown = slope(samples)
    figures.add(
        f"{replies} conversations for {seconds / 60:.1f} min, {asked} questions; measured in the second half",
        "memory grows < 1 MB/h; files, threads, database connections flat",
        f"{grown:+.1f} MB/h at {samples[-1].memory / MB:.0f} MB; files {spread(files)}, threads {spread(threads)}, "
        f"connections {spread(connections)}",
        grown < 1 and max(threads[half:]) <= max(threads[:half]) and max(connections[half:]) <= max(connections[:half]),
    )


def test_everybody_comes_back_at_once_after_a_restart(server, gateway, figures, scale):
    """L10: reconnect storm"""
    sockets, chats = scale(100, 1000), scale(20, 100)
    ada = server.first_account()
    gateway.script(None, counting(20))
    times = {}

    async def scene():
        async with Outbox(ada) as outbox:
            talks = await outbox.chats(f"Chat {n}" for n in range(chats))
            pages = [Page(random.choice(talks)) for _ in range(sockets)]
            async with open_pages(pages):
                await until(lambda: all(page.live_since for page in pages), 120)
                await settled(server)
                await asyncio.to_thread(server.stop)
                await until(lambda: not any(page.live_since for page in pages))
                await asyncio.to_thread(server.start)
                served = time.monotonic()
                sending = asyncio.gather(*(outbox.say(talk, "Said in the storm") for talk in talks))
                times["live"] = await until(lambda: all(page.live_since for page in pages), 120) - served
                await sending
                times["sent"] = time.monotonic() - served
                await settled(server)
            return outbox.repeated

    repeated = asyncio.run(scene())
    figures.add(
        f"{sockets} sockets on {chats} chats come back after a restart, a message in every chat meanwhile",
        "all live ≤ 15 s, no submit fails",
        f"live after {longest([times['live']])}; {chats} messages arrived within {longest([times['sent']])}, "
        f"{repeated} repeats",
        times["live"] <= 15,
    )
