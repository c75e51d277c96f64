"""A throw-away Redis for tests: loopback only, nothing on disk, gone at the end; can be killed and started again."""

import shutil
import subprocess
import time
from types import TracebackType

from tests.ports import free_port

PROGRAM = "redis-server"
QUIET = ("--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--loglevel", "warning")


def program() -> str | None:
    return shutil.which(PROGRAM)


class Redis:
    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> "Redis":
        self.start()
        return self

    def __exit__(self, *_: type | BaseException | TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        import redis

        command = [program() or PROGRAM, "--port", str(self.port), *QUIET]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with redis.from_url(self.url) as client:
            for _ in range(100):
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    time.sleep(0.05)
        raise RuntimeError("Redis did not start.")

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
