"""The processes of a benchmark: a fast upstream, the app as a user starts it, and the readers."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx2
import orjson

from tests.bench import machine
from tests.bench.clients import Plan, Result
from tests.server import ROOT, Process, Server, own_environment

TOKEN = "token-of-the-benchmark"
LIMITS = {"SOCKETS_PER_USER": "5000", "SOCKETS_MAX": "5000", "METRICS_TOKEN": TOKEN}


class Stage:
    """One installation with its rows, and what runs of it."""

    def __init__(self, folder: Path, upstream: str, **env: str) -> None:
        self.folder = folder
        self.upstream = upstream
        self.env = LIMITS | {"OPENCLAW_GATEWAY_URL": upstream, "OPENCLAW_GATEWAY_TOKEN": TOKEN} | env
        self.processes: list[Process] = []
        self.people: list[dict[str, Any]] = []
        self.size = ""

    # --- what there is

    def fill(self, people: int = 1, chats: int = 1, messages: int = 0) -> None:
        self.size = f"{people * chats:,} chats, {people * messages:,} messages"
        self.people = self.inside("tests.bench.fill", {"people": people, "chats": chats, "messages": messages})

    def inside(self, module: str, argument: dict[str, Any]) -> Any:
        """What a program says that works on the rows of this installation."""
        env = own_environment(WEBCHAT_DATA=str(self.data), **self.env)
        command = [sys.executable, "-m", module, orjson.dumps(argument).decode()]
        done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, check=True)
        return orjson.loads(done.stdout)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def serve(self, kind: type[Process] = Server) -> Process:
        process = kind(self.data, faults=(), **self.env).start()
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in reversed(self.processes):
            process.end()
        self.processes.clear()

    @property
    def servers(self) -> list[Server]:
        return [process for process in self.processes if isinstance(process, Server)]

    # --- what it costs

    @property
    def cpu(self) -> float:
        """Seconds that the app's processes have computed."""
        return sum(machine.cpu_of(pid_of(process)) for process in self.processes)

    @property
    def memory(self) -> float:
        return sum(machine.memory_of(pid_of(process)) for process in self.processes)

    def metrics(self) -> str:
        address = f"{self.servers[0].url}/metrics"
        return httpx2.get(address, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False).text

    # --- who reads

    def read(self, text: str, count: int, way: str = "ours", **more: Any) -> tuple[Result, float]:
        """So many people send this and read what comes; with the seconds that the app computed meanwhile."""
        with readers(self.plan(text, way, self.people[:count], **more)) as go:
            before = self.cpu
            return go(), self.cpu - before

    def plan(self, text: str, way: str, people: list[dict[str, Any]], **more: Any) -> Plan:
        urls = [self.upstream] if way == "direct" else [server.url for server in self.servers]
        last = {row["chat"]: row["last"] for row in self.processes[0].rows(LAST)}
        now = [
            person | {"url": url, "after": last.get(person["chat"].replace("-", ""), 0)}
            for person, url in zip(people, cycle(urls), strict=False)
        ]
        return Plan(way, now, text, **more)


LAST = """select replace(cast(chat_id as text), '-', '') as chat, coalesce(max(seq), 0) as last
          from sessions_core_message group by chat_id"""


def pid_of(process: Process) -> int:
    assert process.process
    return process.process.pid


@contextmanager
def readers(plan: Plan) -> Iterator[Callable[[], Result]]:
    """Connected; the function begins and gives what they measured."""
    command = [sys.executable, "-m", "tests.bench.clients"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        to, said = process.stdin, process.stdout

        def say(line: str) -> None:
            to.write(line + "\n")
            to.flush()

        def go() -> Result:
            say("go")
            return Result(**orjson.loads(said.readline()))

        try:
            say(orjson.dumps(asdict(plan)).decode())
            if said.readline() != "ready\n":
                raise RuntimeError("The readers could not connect.")
            yield go
        finally:
            process.kill()


@contextmanager
def upstream() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.bench.upstream"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@contextmanager
def stage(**env: str) -> Iterator[Stage]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="webchat-bench-"))
        made = Stage(Path(folder), stack.enter_context(upstream()), **env)
        stack.callback(made.end)
        yield made
