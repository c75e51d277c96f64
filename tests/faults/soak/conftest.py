"""The installations that the long run works on, with room for many open pages of one person."""

import resource

import pytest

from tests.faults.soak.figures import Figures


@pytest.fixture(scope="session", autouse=True)
def many_files():
    """A thousand open pages are more files than a process may have by default; what is started inherits this."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest.fixture
def figures(request, record_property):
    """What this test measured, for the table; its docstring names the scenario."""
    return Figures(request.function.__doc__ or request.node.name, record_property)


@pytest.fixture
def room():
    """Settings with which one person may open many pages."""
    return {"SOCKETS_PER_USER": "3000", "SOCKETS_MAX": "3000"}


@pytest.fixture
def server(make_server, room):
    """One process on SQLite."""
    return make_server(**room).start()


@pytest.fixture
def with_redis(make_cluster, redis, room):
    """Processes on PostgreSQL and Redis."""
    return make_cluster(REDIS_URL=redis.url, **room)
