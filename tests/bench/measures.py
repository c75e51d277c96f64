"""What is measured, in groups that each have an installation of their own."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.bench.clients import Result
from tests.bench.figures import Figure, histogram, middle, part
from tests.bench.machine import memory_of
from tests.bench.stage import Stage, pid_of, readers, stage
from tests.server import Pages, RelayProcess, Server

RATE = 50  # tokens a second
LIVE_RATIO = {200: 0.95, 500: 0.8}  # of the tokens a second that arrive without us
PACED, AT_ONCE = 50, (50, 200)  # readers for which there are budgets


@dataclass(frozen=True)
class Sizes:
    repeats: int = 3
    counts: tuple[int, ...] = (1, 50, 200, 500)  # readers at once
    tokens: int = 150
    spread: float = 1.0  # seconds in which all have begun
    rounds: int = 20  # where one reader is alone
    burst: tuple[int, int] = (10, 2000)  # readers, tokens
    texts: tuple[int, ...] = (2, 8)  # times the same text in a reply
    idle: int = 1000  # sockets
    chats: int = 10_000
    messages: int = 100_000
    requests: int = 100
    streams: tuple[int, int] = (100, 300)  # replies, tokens
    starts: int = 3
    settled: float = 3.0  # seconds after a start; what is loaded later than the first page is there then


FULL = Sizes()
QUICK = Sizes(
    repeats=1, counts=(1, 50), idle=200, chats=1000, messages=10_000, requests=30, streams=(50, 200), starts=1
)
TINY = Sizes(1, (1, 2), 5, 0.1, 2, (2, 50), (1,), 5, 20, 200, 3, (2, 20), 1, 0.1)

Figures = Iterator[Figure]
Group = Callable[[Sizes], Figures]


# --- replies


def streaming(sizes: Sizes) -> Figures:
    """From the message to the text on the page, with and without us between."""
    with stage() as here:
        here.fill(people=max(sizes.counts))
        here.serve()
        here.read("paced 1 50", min(10, len(here.people)), tokens=1)  # what is imported with the first message
        for count in sizes.counts:
            yield from of_count(here, sizes, count)


def of_count(here: Stage, sizes: Sizes, count: int) -> Figures:
    runs = both_ways(here, sizes, count)
    alone, budgeted = count == 1, count in AT_ONCE
    where, ways = f"C = {count}", ([raw for raw, _, _ in runs], [ours for _, ours, _ in runs])
    lost = sum(expected(sizes, count) - ours.tokens for _, ours, _ in runs)
    yield Figure(f"{where}: tokens lost", "", lost, at_most=0)
    for percent, most in ((50, 20), (95, 100)):
        raw, ours = (middle(1e3 * part(each.first, percent) for each in way) for way in ways)
        budget = most if alone or count == PACED else None
        yield Figure(f"{where}: first token p{percent}", "ms", ours, raw, at_most=budget, of="over")
    for percent, most in ((50, 40), (95, 100)):
        raw, ours = (middle(1e3 * part(each.latency, percent) for each in way) for way in ways)
        yield Figure(f"{where}: token latency p{percent}", "ms", ours, raw, at_most=most if budgeted else None)
    if not alone:
        raw, ours = (middle(map(speed, way)) for way in ways)
        yield Figure(f"{where}: delivered", "tokens/s", ours, raw, at_least=LIVE_RATIO.get(count), of="ratio")
        cpu = middle(1e6 * cpu / max(1, ours.tokens) for _, ours, cpu in runs)
        yield Figure(f"{where}: CPU for 1000 tokens", "ms", cpu, at_most=150 if count == PACED else None)


def both_ways(here: Stage, sizes: Sizes, count: int) -> list[tuple[Result, Result, float]]:
    """Raw and ours in turns, so that a busy moment of the machine meets both."""
    alone: dict[str, Any] = {"rounds": sizes.rounds} if count == 1 else {"spread": sizes.spread}
    text, more = f"paced {sizes.tokens} {RATE}", alone | {"tokens": sizes.tokens}
    if count == 1:
        text, more = f"paced 5 {RATE}", alone | {"tokens": 5}
    runs = []
    for _ in range(sizes.repeats):
        raw, _ = here.read(text, count, "direct", **more)
        runs.append((raw, *here.read(text, count, **more)))
    return runs


def expected(sizes: Sizes, count: int) -> int:
    return 5 * sizes.rounds if count == 1 else sizes.tokens * count


def speed(result: Result) -> float:
    """Tokens a second, from the first message to the last token."""
    return result.tokens / max(1e-9, result.ended - result.began)


def burst(sizes: Sizes) -> Figures:
    """The gateway sends everything at once."""
    count, tokens = sizes.burst
    with stage() as here:
        here.fill(people=count)
        here.serve()
        here.read("paced 1 50", count, tokens=1)
        runs = [
            [speed(here.read(f"burst {tokens}", count, way, tokens=tokens)[0]) for way in ("direct", "ours")]
            for _ in range(sizes.repeats)
        ]
        raw, ours = map(middle, zip(*runs, strict=True))
        yield Figure(f"burst of {count} × {tokens}", "tokens/s", ours, raw, at_least=30_000)


def size(sizes: Sizes) -> Figures:
    """What the browser is sent for a reply, pages included, against the HTML it ends up with."""
    with stage() as here:
        here.fill(people=1)
        here.serve()
        for times in sizes.texts:
            sent = here.read(f"markdown {times} {RATE}", 1, pages=True)[0].bytes
            html = here.processes[0].rows("select html from sessions_core_message order by id desc limit 1")[0]["html"]
            name = f"sent for a reply of {len(html) / 1000:.0f} KB of HTML"
            yield Figure(name, "KB", sent / 1000, len(html.encode()) / 1000, at_most=3, of="ratio")


def load(sizes: Sizes) -> Figures:
    """Many replies stream to two tabs each, and some people go on sending."""
    count, tokens = sizes.streams
    senders = max(1, count // 25)
    with stage() as here, ThreadPoolExecutor() as pool:
        here.fill(people=count + senders)
        server = here.serve()
        here.read("paced 1 50", count, tokens=1, spread=5.0 if count > 10 else 0)
        streams = here.plan(f"paced {tokens} 20", "ours", here.people[:count], sockets=2, spread=sizes.spread)
        sends = here.plan("paced 5 50", "ours", here.people[count:], rounds=sizes.rounds, spread=sizes.spread)
        with readers(streams) as stream, readers(sends) as send:
            streaming = pool.submit(stream)
            time.sleep(2 * sizes.spread)
            before, cpu, begun = here.metrics(), here.cpu, time.monotonic()
            submits = send().submits
            used = 100 * (here.cpu - cpu) / (time.monotonic() - begun)
            after = here.metrics()
            failed = streaming.result().failed
        where = f"while {count} replies stream"
        yield Figure(f"{where}: submit p95", "ms", 1e3 * part(submits, 95), at_most=100)
        yield Figure(f"{where}: submit p99", "ms", 1e3 * part(submits, 99), at_most=300)
        yield Figure(f"{where}: replies that failed", "", len(failed), at_most=0)
        yield Figure(f"{where}: CPU of one core", "%", used, at_most=70)
        for name, metric, most in (
            ("flush", "webchat_flush_seconds", 100),
            ("loop delay", "webchat_loop_delay_seconds", 50),
        ):
            if metric in after:
                yield Figure(f"{where}: {name} p99", "ms", 1e3 * histogram(metric, before, after, 0.99), at_most=most)
        assert server.process and server.process.poll() is None


# --- what it takes


def idle(sizes: Sizes) -> Figures:
    """Open pages on which nothing happens."""
    with stage() as here:
        here.fill(people=sizes.idle)
        here.serve()
        time.sleep(sizes.settled)
        here.read("", min(20, sizes.idle), "idle")
        before = here.memory
        with readers(here.plan("", "idle", here.people)) as done:
            time.sleep(1)
            yield Figure("idle socket", "KB", 1024 * (here.memory - before) / sizes.idle, at_most=30)
            cpu, seconds = here.cpu, 10.0 if sizes.idle > 100 else 0.5
            time.sleep(seconds)
            yield Figure(
                f"{sizes.idle} idle sockets: CPU of one core", "%", 100 * (here.cpu - cpu) / seconds, at_most=5
            )
            done()


def start(sizes: Sizes) -> Figures:
    """From nothing to the first page, in a folder that has served before."""
    times, sizes_first, sizes_later = [], [], []
    with stage() as here:
        here.fill()
        for _ in range(sizes.starts + 1):  # the first one compiles what has changed
            begun = time.monotonic()
            server = here.serve()
            assert isinstance(server, Server)
            httpx2.get(f"{server.url}/login/", trust_env=False).raise_for_status()
            times.append(time.monotonic() - begun)
            sizes_first.append(memory_of(pid_of(server)))
            time.sleep(sizes.settled)
            sizes_later.append(memory_of(pid_of(server)))
            here.end()
    yield Figure("start to first page", "s", middle(times[1:]), at_most=2.5)
    yield Figure("memory at first page", "MB", middle(sizes_first[1:]), at_most=120)
    yield Figure("memory when everything is loaded", "MB", middle(sizes_later[1:]))


def pages(sizes: Sizes) -> Figures:
    """What is looked at most, where there is much."""
    with stage() as here:
        here.fill(chats=sizes.chats, messages=sizes.messages)
        person = here.people[0]
        counted = here.inside("tests.bench.queries", person)
        for name, most in (("chat page", 8), ("sidebar", 3), ("submit", 8)):
            yield Figure(f"queries: {name}", "", counted[name], at_most=most)
        server = here.serve()
        assert isinstance(server, Server)
        cookies = {"Cookie": f"webchat={person['session']}", "HX-Request": "true"}
        with httpx2.Client(base_url=server.url, headers=cookies, timeout=30, trust_env=False) as http:
            for name, addresses, most in (
                ("chat page", [f"/chat/?session={person['key']}"], 30),
                ("sidebar", ["/chats/list/"], 15),
                ("search", [f"/chats/search/?q={words}" for words in ("river", "zymurgy", "nothing like it")], 60),
            ):
                yield from of_page(here, http, sizes.requests, name, addresses, most)


def of_page(here: Stage, http: httpx2.Client, count: int, name: str, addresses: list[str], most: float) -> Figures:
    times, cpu = [], here.cpu
    for n in range(count):
        begun = time.monotonic()
        http.get(addresses[n % len(addresses)]).raise_for_status()
        times.append(time.monotonic() - begun)
    where = f"{name} of {here.size}"
    yield Figure(f"{where}: p95", "ms", 1e3 * part(times, 95), at_most=most)
    yield Figure(f"{where}: CPU", "ms", 1e3 * (here.cpu - cpu) / count)


# --- many processes


def cluster(sizes: Sizes) -> Figures:
    """On PostgreSQL and Redis: one process, two, and pages and relay apart."""
    from tests import postgres
    from tests.redis_server import Redis

    one: float | None = None
    for name, kinds in (
        ("one process", (Server,)),
        ("two processes", (Server, Server)),
        ("pages and relay", (Pages, RelayProcess)),
    ):
        with ExitStack() as stack:
            database, redis = stack.enter_context(postgres.server()), stack.enter_context(Redis())
            here = stack.enter_context(stage(DATABASE_URL=database, REDIS_URL=redis.url))
            count = sizes.counts[-2]
            here.fill(people=count)
            for kind in kinds:
                here.serve(kind)
            here.read("paced 1 50", min(10, count), tokens=1)
            more: dict[str, Any] = {"tokens": sizes.tokens, "spread": sizes.spread}
            runs = [here.read(f"paced {sizes.tokens} {RATE}", count, **more) for _ in range(sizes.repeats)]
            fast = middle(speed(result) for result, _ in runs)
            yield Figure(f"{name}, C = {count}: delivered", "tokens/s", fast, one)
            yield Figure(
                f"{name}, C = {count}: CPU for 1000 tokens", "ms", middle(1e6 * c / max(1, r.tokens) for r, c in runs)
            )
            lost = sum(sizes.tokens * count - result.tokens for result, _ in runs)
            yield Figure(f"{name}, C = {count}: tokens lost", "", lost, at_most=0)
            latency = middle(1e3 * part(result.latency, 95) for result, _ in runs)
            yield Figure(f"{name}, C = {count}: token latency p95", "ms", latency)
            one = one or fast


GROUPS: dict[str, Group] = {
    "start": start,
    "idle": idle,
    "streaming": streaming,
    "burst": burst,
    "size": size,
    "load": load,
    "pages": pages,
    "cluster": cluster,
}
