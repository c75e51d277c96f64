"""The disk of the data folder is full: who watches is told, a start says what to do, and room is all it takes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.faults.test_doctor import doctor
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


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "none", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


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


@pytest.mark.parametrize("command", ["serve", "relay"])
def test_a_start_says_what_to_do_and_leaves_nothing_half_made(disk: SmallDisk, command: str) -> None:
    disk.fill()
    said = refused_start(command, disk.folder)
    assert str(disk.folder) in said and "Make room" in said
    disk.make_room()
    Server(disk.folder).start().end()
    for left_open in (0, 36):  # kB: with these it comes as far as its first sign of life
        disk.fill()
        with disk.filling.open("ab") as file:
            file.truncate(disk.filling.stat().st_size - left_open * 1024)
        said = refused_start(command, disk.folder)
        assert str(disk.folder) in said and "Make room" in said
        disk.make_room()
    Server(disk.folder).start().end()
