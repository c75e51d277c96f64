"""The real parts of the tests: a browser, PostgreSQL, Redis, proxies, npm. Found, or installed as root on Debian."""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from tests import postgres, redis_server

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Part:
    name: str
    packages: str
    is_there: Callable[[], bool]

    def install(self) -> None:
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        add = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *self.packages.split()]
        if subprocess.call(["apt-get", "update", "-q"], env=env) == 0:
            subprocess.call(add, env=env)


def can_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def chromium() -> str | None:
    """The program that Playwright is to start."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def can_run_browser() -> bool:
    # Without libatomic, Playwright only says "Connection closed while reading from the driver".
    return chromium() is not None and (sys.platform != "linux" or can_load("libatomic.so.1"))


def can_load(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


BROWSER = Part("a browser", "chromium libatomic1", can_run_browser)
REDIS = Part("Redis", "redis-server", lambda: redis_server.program() is not None)
POSTGRESQL = Part("PostgreSQL", "postgresql", lambda: postgres.programs() is not None)
PROXIES = Part("nginx and Caddy", "nginx caddy", lambda: all(map(shutil.which, ("nginx", "caddy"))))
NPM = Part("npm", "npm", lambda: shutil.which("npm") is not None)
