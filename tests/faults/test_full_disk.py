"""The disk of the data folder is full: who watches is told, a start says what to do, and room is all it takes."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import pytest

from tests import postgres
from tests.faults.test_doctor import doctor, found_by_doctor
from tests.server import ROOT, Server, own_environment, wait_until


class SmallDisk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.filling = folder / "filling"

    def fill(self) -> None:
        with self.filling.open("ab", buffering=0) as file:
            try:
                while file.write(bytes(1024)):
                    pass
            except OSError:
                return

    def make_room(self) -> None:
        self.filling.unlink()


@contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "none", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "small", 16) as small:
        yield small


def refused_start(command: str, folder: Path) -> str:
    env = own_environment(WEBCHAT_DATA=str(folder))
    arguments = ["--port", "0"] if command == "serve" else []
    command = [sys.executable, "manage.py", command, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=25)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    return done.stderr.splitlines()[-1]


def test_who_watches_is_told_and_room_is_all_it_takes(disk: SmallDisk, gateway) -> None:
    env = {"OPENCLAW_GATEWAY_URL": gateway.url, "OPENCLAW_GATEWAY_TOKEN": gateway.token, "METRICS_TOKEN": "known"}
    server = Server(disk.folder, **env)
    server.log = disk.folder.parent / "log"
    server.start()
    try:
        chat = server.first_account().chat("Before")
        assert chat.reply()
        disk.fill()
        told = httpx2.get(f"{server.url}/readyz", headers={"Authorization": "Bearer known"})
        assert (told.status_code, told.json()["checks"]["disk"]["state"]) == (503, "dead")
        found = doctor(server)[1]["disk"]
        assert (found["state"], found["remedy"]) == ("bad", "Make room on it.")
        assert str(disk.folder) in found["says"] and "full" in found["says"]
        disk.make_room()
        wait_until(lambda: httpx2.get(f"{server.url}/readyz").is_success)
        chat.insist("After")
        assert chat.reply(2)
    finally:
        server.end()


def test_the_doctor_finds_that_postgresql_has_no_room() -> None:
    """In a folder of its own that everybody may enter: PostgreSQL runs as another user."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with mounted(Path(folder, "small"), 200) as disk:
            database = postgres.Postgres(str(disk.folder))
            database.start()
            try:
                env = own_environment(WEBCHAT_DATA=folder, DATABASE_URL=database.url)
                subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=env, check=True)
                assert found_by_doctor(env)["disk"]["state"] == "ok"
                disk.fill()
                found = found_by_doctor(env)["disk"]
                assert found["state"] == "bad" and "No space left" in found["says"] and "Make room" in found["remedy"]
                disk.make_room()
                assert found_by_doctor(env)["disk"]["state"] == "ok"
            finally:
                database.stop()


@pytest.mark.parametrize("command", ["serve", "relay"])
def test_a_start_says_what_to_do_and_leaves_nothing_half_made(disk: SmallDisk, command: str) -> None:
    disk.fill()
    said = refused_start(command, disk.folder)
    assert str(disk.folder) in said and "Make room" in said
    disk.make_room()
    Server(disk.folder).start().stop()
    for left_open in (0, 36):  # kB: with these it comes as far as its first sign of life
        disk.fill()
        with disk.filling.open("ab") as file:
            file.truncate(disk.filling.stat().st_size - left_open * 1024)
        said = refused_start(command, disk.folder)
        assert str(disk.folder) in said and "Make room" in said
        disk.make_room()
    Server(disk.folder).start().stop()
