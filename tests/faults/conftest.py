"""Real processes of the app, a real PostgreSQL and Redis, the scripted gateway; and after every test the invariants."""

import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import postgres
from tests.chaos_proxy import ChaosProxy
from tests.fake_gateway import FakeGateway
from tests.invariants import check_invariants
from tests.redis_server import Redis
from tests.server import ROOT, Pages, Person, Process, RelayProcess, Server, own_environment
from tests.watcher import Watcher


@pytest.fixture(scope="session")
def database_server() -> Iterator[str]:
    with postgres.server() as url:
        yield url


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as a first start leaves it, to be copied: making one takes seconds."""
    server = Server(tmp_path_factory.mktemp("prepared") / "data").start()
    server.stop()
    return server.data


@pytest.fixture
def data(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "data"))


@pytest.fixture(scope="session")
def prepared_database(database_server: str) -> str:
    """The name of an empty database with all tables."""
    url = new_database(database_server)
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(command, cwd=ROOT, env=own_environment(DATABASE_URL=url), check=True)
    return url.rpartition("/")[2]


@pytest.fixture
def database(database_server: str, prepared_database: str) -> str:
    """A database of its own."""
    return new_database(database_server, prepared_database)


def new_database(server: str, like: str = "template1") -> str:
    name = f"webchat_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'create database "{name}" template "{like}"')
    return f"{server.rsplit('/', 1)[0]}/{name}"


@pytest.fixture
def redis() -> Iterator[Redis]:
    with Redis() as redis:
        yield redis


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway() as gateway:
        yield gateway


@pytest.fixture
def proxied() -> Iterator[Callable[[str], ChaosProxy]]:
    """Puts a proxy in front of an address."""
    with ExitStack() as open_proxies:
        yield lambda url: open_proxies.enter_context(ChaosProxy(url))


# --- one process


@pytest.fixture
def make_server(data: Path, gateway: FakeGateway) -> Iterator[Callable[..., Server]]:
    """A process that serves pages and carries replies, with SQLite in a folder of its own."""
    made: list[Server] = []

    def make(faults: tuple[str, ...] = (), **env: str) -> Server:
        env = {"OPENCLAW_GATEWAY_URL": gateway.url, "OPENCLAW_GATEWAY_TOKEN": gateway.token} | env
        made.append(Server(data, faults=faults, **env))
        return made[-1]

    make.made = made  # type: ignore[attr-defined]
    yield make
    for server in made:
        server.end()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server().start()


# --- several


class Cluster:
    """The processes of one installation; ended in the end, the newest first."""

    def __init__(self, data: Path, database: str, **env: str) -> None:
        self.data = data
        self.env = env
        self.database = database  # where the rows are read; the processes may have another way
        self.processes: list[Process] = []

    def _run(self, kind: Callable[..., Process], faults: tuple[str, ...]) -> Process:
        process = kind(self.data, faults=faults, **self.env)
        process.database = self.database
        self.processes.append(process)
        return process.start()

    def pages(self, *faults: str) -> Pages:
        return self._run(Pages, faults)

    def relay(self, *faults: str) -> RelayProcess:
        return self._run(RelayProcess, faults)

    def serve(self, *faults: str) -> Server:
        return self._run(Server, faults)

    def rows(self, sql: str, *values: object) -> list[dict]:
        return self.processes[0].rows(sql, *values)

    @property
    def relays(self) -> bool:
        return any(process.relays for process in self.processes)

    @property
    def people(self) -> list[Person]:
        return [person for process in self.processes for person in getattr(process, "people", ())]

    def end(self) -> None:
        for process in reversed(self.processes):
            process.end()


@pytest.fixture
def make_cluster(data: Path, gateway: FakeGateway, database: str) -> Iterator[Callable[..., Cluster]]:
    made: list[Cluster] = []

    def make(**env: str) -> Cluster:
        where = {"OPENCLAW_GATEWAY_URL": gateway.url, "OPENCLAW_GATEWAY_TOKEN": gateway.token}
        made.append(Cluster(data, database, **{"DATABASE_URL": database} | where | env))
        return made[-1]

    make.made = made  # type: ignore[attr-defined]
    yield make
    for cluster in made:
        cluster.end()


@pytest.fixture
def cluster(make_cluster: Callable[..., Cluster], redis: Redis) -> Cluster:
    return make_cluster(REDIS_URL=redis.url)


# --- what holds in every test


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Function) -> Iterator[None]:
    """Watched while it runs, checked when it is over: what breaks an invariant fails the test that did it."""
    arguments = list(item.funcargs.values())
    gateway = next((argument for argument in arguments if isinstance(argument, FakeGateway)), None)
    with ExitStack() as watched:
        for each in under_test(arguments):
            watched.enter_context(Watcher(each))
        result = yield
    for each in under_test(arguments):
        check_invariants(each, gateway)
    return result


def under_test(arguments: list[object]) -> list[Any]:
    """The servers and clusters that this test has made and started."""
    made = [each for argument in arguments for each in getattr(argument, "made", ())]
    return [each for each in made if getattr(each, "processes", [each])]
