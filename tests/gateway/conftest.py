"""One scripted provider and one real gateway in front of it, for every test of this folder."""

import os
from pathlib import Path

import pytest

from .openclaw import NpmMissing, OpenClaw, install
from .provider import Provider

HERE = Path(__file__).parent


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
    try:
        return install()
    except NpmMissing as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def openclaw(openclaw_folder, provider, tmp_path_factory):
    gateway = OpenClaw(openclaw_folder, tmp_path_factory.mktemp("openclaw"), provider.port)
    try:
        gateway.start()
        gateway.wait_ready()
        yield gateway
    finally:
        gateway.stop()
