"""What every test may ask for, and what none may do: reach anything but this machine."""

import ipaddress
import socket

import pytest

from tests.fake_gateway import FakeGateway


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
