"""One real server for every test of this folder, and one that never stops talking of itself."""

from pathlib import Path

import pytest

from .llama import Llama, install

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    # A conftest is shown the items of the whole run; the marker has to be there before `-m` is looked at.
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("gateway")


@pytest.fixture(scope="session")
def llama_folder():
    """Where it is installed; the first run downloads 125 MB."""
    return install()


@pytest.fixture(scope="session")
def llama(llama_folder, tmp_path_factory):
    yield from running(Llama(llama_folder, tmp_path_factory.mktemp("llama") / "log"))


@pytest.fixture
def endless(llama_folder, tmp_path):
    yield from running(Llama(llama_folder, tmp_path / "log", tokens=400, endless=True))


def running(server):
    try:
        server.start()
        yield server
    finally:
        server.stop()
