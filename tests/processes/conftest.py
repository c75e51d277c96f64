"""Several processes of the app on one real PostgreSQL and one real Redis."""

import uuid
from collections.abc import Callable

import psycopg
import pytest

from tests import postgres
from tests.fake_gateway import FakeGateway
from tests.redis_server import Redis
from tests.server import Pages, Process, RelayProcess, Server


@pytest.fixture(scope="session")
def database_server():
    with postgres.server() as url:
        yield url


@pytest.fixture
def database(database_server):
    """An empty database of its own."""
    name = f"webchat_{uuid.uuid4().hex}"
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute(f'create database "{name}"')
    return f"{database_server.rsplit('/', 1)[0]}/{name}"


@pytest.fixture
def redis():
    with Redis() as redis:
        yield redis


@pytest.fixture
def gateway():
    with FakeGateway() as gateway:
        yield gateway


class Cluster:
    """The processes of one installation; ended in the end, the newest first."""

    def __init__(self, folder, **env: str) -> None:
        self.folder = folder
        self.env = env
        self.processes: list[Process] = []

    def _run(self, kind: Callable[..., Process]) -> Process:
        process = kind(self.folder / "data", **self.env)
        self.processes.append(process)
        return process.start()

    def pages(self) -> Pages:
        return self._run(Pages)

    def relay(self) -> RelayProcess:
        return self._run(RelayProcess)

    def serve(self) -> Server:
        return self._run(Server)

    def end(self) -> None:
        for process in reversed(self.processes):
            process.kill() if isinstance(process, RelayProcess) else process.end()


@pytest.fixture
def make_cluster(tmp_path, gateway, database):
    made = []

    def make(**env: str) -> Cluster:
        env = {
            "OPENCLAW_GATEWAY_URL": gateway.url,
            "OPENCLAW_GATEWAY_TOKEN": gateway.token,
            "DATABASE_URL": database,
        } | env
        made.append(Cluster(tmp_path, **env))
        return made[-1]

    yield make
    for cluster in made:
        cluster.end()


@pytest.fixture
def cluster(make_cluster, redis):
    return make_cluster(REDIS_URL=redis.url)
