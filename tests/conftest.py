"""What every test may ask for, and what none may do: reach anything but this machine."""

import ipaddress
import socket
from pathlib import Path

import pytest

from sessions_core.models import User
from tests.fake_gateway import FakeGateway
from tests.faults.soak import figures as soak


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="the long run in its full length: an hour (tests/faults/soak)")
    parser.addoption("--memory-minutes", type=float, default=15, help="how long the long run looks at memory")
    parser.addoption("--table", type=Path, metavar="FILE", help="write what the long run measured to FILE")


def pytest_terminal_summary(terminalreporter, config):
    """What the long run measured, ready for docs/reliability.md."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    rows = soak.rows(sorted((report for report in reports if "/soak/" in report.nodeid), key=lambda one: one.start))
    table = soak.table(rows)
    if rows and config.getoption("--soak"):
        terminalreporter.write_sep("=", "The long run")
        terminalreporter.write_line(table)
    if rows and (file := config.getoption("--table")):
        file.write_text(table)


@pytest.fixture
def scale(pytestconfig):
    """The size of a scenario: `scale(short, long)`; long only with --soak."""
    return lambda short, long: long if pytestconfig.getoption("--soak") else short


@pytest.fixture
def ada():
    return User.objects.create_user("ada")


@pytest.fixture
def bob():
    return User.objects.create_user("bob")


@pytest.fixture
def fake_gateway():
    with FakeGateway() as gateway:
        yield gateway


class LeavesTheMachine(RuntimeError):
    """No OSError, so that no code under test takes it for a gateway that is down."""


def _stays(family, address):
    if family not in (socket.AF_INET, socket.AF_INET6) or address[0] == "localhost":
        return True
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return False


def _checked(connect):
    def checked(self, address):
        if not _stays(self.family, address):
            raise LeavesTheMachine(f"A test tried to connect to {address[0]}.")
        return connect(self, address)

    return checked


@pytest.fixture(scope="session", autouse=True)
def loopback_only():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, _checked(getattr(socket.socket, name)))
        yield
