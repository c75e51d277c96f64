"""One scripted provider and one real gateway in front of it, for every test of this folder."""

import os
from contextlib import contextmanager

import pytest

from tests.server import Server

from .openclaw import HERE, OLDER, NpmMissing, OpenClaw, install
from .provider import Provider

UNKNOWN_TO_OLDER = (("models", "catalogRefresh"), ("session", "notifyOnCreate"))  # it refuses to start with them


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    # A conftest is shown the items of the whole run; the marker has to be there before `-m` is looked at.
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("gateway")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """A failure brings the end of the gateway's log along: in CI the file itself is gone afterwards."""
    report = yield
    gateway = getattr(item, "funcargs", {}).get("openclaw")
    if gateway and report.failed:
        report.sections.append(("the gateway's log", gateway.log_tail()))
    return report


@pytest.fixture(scope="session")
def provider():
    server = Provider()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def openclaw_folder():
    """Where the release is installed; the first run downloads it."""
    return installed(HERE)


def installed(locked):
    try:
        return install(locked)
    except NpmMissing as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def openclaw(openclaw_folder, provider, tmp_path_factory):
    with running(openclaw_folder, tmp_path_factory.mktemp("openclaw"), provider) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def older(provider, tmp_path_factory):
    """A release from before, for the tests of one module: two gateways are 2 GB of memory."""
    with running(installed(OLDER), tmp_path_factory.mktemp("older"), provider, UNKNOWN_TO_OLDER) as gateway:
        yield gateway


@contextmanager
def running(folder, home, provider, without=()):
    gateway = OpenClaw(folder, home, provider.port)
    for part, name in without:
        del gateway.config[part][name]
    try:
        gateway.start()
        gateway.wait_ready()
        yield gateway
    finally:
        gateway.stop()


@pytest.fixture
def changed(openclaw):
    """The gateway's configuration changed for one test: a function takes the new parts."""
    before = openclaw.config

    def change(**parts):
        openclaw.config = before | parts
        openclaw.restart()

    yield change
    openclaw.config = before
    openclaw.restart()


@pytest.fixture
def make_server(tmp_path):
    """The whole app in front of a gateway."""
    made = []

    def make(gateway, **env):
        address = {"OPENCLAW_GATEWAY_URL": gateway.url, "OPENCLAW_GATEWAY_TOKEN": gateway.token}
        server = Server(tmp_path / f"data{len(made)}", **(address | {"LOG_LEVEL": "INFO"} | env))
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.end()


@pytest.fixture
def server(openclaw, make_server):
    return make_server(openclaw)


@pytest.fixture
def ada(server):
    return server.first_account()
