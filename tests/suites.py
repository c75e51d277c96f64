"""What `manage.py test` runs, each in a process of its own."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests import parts

ROOT = Path(__file__).resolve().parent.parent
NOT_INHERITED = {"DATABASE_URL", "DATABASE_URL_FILE", "DJANGO_SETTINGS_MODULE", "DJANGO_ALLOW_ASYNC_UNSAFE"}
NO_TESTS_COLLECTED = 5  # pytest's exit code


@dataclass(frozen=True)
class Suite:
    options: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    needs: tuple[parts.Part, ...] = ()


TWO_AT_A_TIME = ("-n", "2", "--dist", "worksteal")
ONE_AT_A_TIME = ("-n", "0")
SLOW = {
    "inputs": Suite(),
    # Two at a time: what takes long there is waiting for leases and restarts.
    "faults": Suite(TWO_AT_A_TIME, needs=(parts.POSTGRESQL, parts.REDIS, parts.PROXIES)),
    # Playwright's event loop makes Django refuse the database, and spoils async tests of the same process.
    "browser": Suite(TWO_AT_A_TIME, {"DJANGO_ALLOW_ASYNC_UNSAFE": "1"}, (parts.BROWSER,)),
    # Two at a time, each with a gateway of its own: most of it is waiting for that to start, or to be silent.
    "gateway": Suite((*TWO_AT_A_TIME, "-m", "gateway"), {"DJANGO_ALLOW_ASYNC_UNSAFE": "1"}, (parts.BROWSER, parts.NPM)),
    "plain": Suite(("-m", "gateway")),
}
DOWNLOADED = {"gateway", "plain"}  # a gigabyte: elsewhere than in CI only when asked for
# By name: pytest rewrites every module of every plugin it finds by itself, which takes a second in each process.
PLUGINS = "pytest_django.plugin,xdist.plugin,_hypothesis_pytestplugin"
FAST = Suite(
    options=("tests", *TWO_AT_A_TIME, *(f"--ignore=tests/{name}" for name in SLOW)),
    env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": PLUGINS},
)
NOT_THOROUGH = "not gateway and not thorough"  # pytest's -m, which replaces the one of pyproject.toml
LINT = ("ruff check .", "ruff format --check .", "djlint --lint templates", "mypy")


def exists(name: str) -> bool:
    return (ROOT / "tests" / name).is_dir()


def run(command: list[str], env: dict[str, str]) -> int:
    """Stopped from the terminal or by SIGTERM, it leaves pytest the time to stop what it had started."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs would ignore it
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    with subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=inherited | env) as process:

        def stop(*_: object) -> None:
            process.send_signal(signal.SIGINT)
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, stop)
        try:
            return process.wait()
        except KeyboardInterrupt:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
            raise
