"""manage.py on a machine with nothing but python3; `uv` is a stand-in that installs a stand-in Django."""

import ast
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.thorough

MANAGE = Path(__file__).parent.parent / "manage.py"
SYSTEM_PYTHON = sys._base_executable
SITE_PACKAGES = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
UV = f"""#!/bin/sh
echo "$@" >> "$FOLDER/log"
case "$1" in
venv)
    mkdir -p "$5/bin" "$5/{SITE_PACKAGES}"
    ln -s "$4" "$5/bin/python"
    echo "home = ${{4%/*}}" > "$5/pyvenv.cfg";;
pip)
    while [ "$HOLD" ] && [ ! -e "$FOLDER/go" ]; do sleep 0.01; done
    cp -r "$FOLDER/django" "$FOLDER/clone/.venv/{SITE_PACKAGES}"
    exit "${{FAIL:-0}}";;
esac
"""
DJANGO = """
import json, os, sys
def execute_from_command_line(argv):
    started = dict(argv=argv, pid=os.getpid(), prefix=sys.prefix, dev=sys.flags.dev_mode)
    print(json.dumps(started | dict(settings=os.environ["DJANGO_SETTINGS_MODULE"])))
"""


class Machine:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clone = folder / "clone"
        self.venv = self.clone / ".venv"
        for path, text in {
            "bin/uv": UV,
            "django/__init__.py": "",
            "django/core/__init__.py": "",
            "django/core/management/__init__.py": DJANGO,
            "clone/manage.py": MANAGE.read_text(),
            "clone/requirements.lock": "django==5\n",
            "clone/requirements-dev.lock": "django==5\npytest==9\n",
            "log": "",
        }.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        (folder / "bin/uv").chmod(0o755)

    def begin(self, *arguments: str, python: str | Path = SYSTEM_PYTHON, **env: str) -> subprocess.Popen[str]:
        env = {"PATH": f"{self.folder}/bin:/usr/bin:/bin", "FOLDER": str(self.folder)} | env
        command = [str(python), *(arguments or ["manage.py", "serve"])]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.clone, env=env, stdout=pipe, stderr=pipe, text=True)

    def start(self, *arguments: str, **options: str) -> dict:
        """What Django was started with, once it was."""
        process = self.begin(*arguments, **options)
        out, said = process.communicate(timeout=20)
        assert process.returncode == 0, said
        return json.loads(out) | {"started": process.pid, "said": said}

    def let_go(self) -> None:
        (self.folder / "go").touch()

    def steps(self) -> list[str]:
        """What has been done since the last look."""
        lines = (self.folder / "log").read_text().splitlines()
        (self.folder / "log").write_text("")
        return [("install " + line.split("/")[-1]) if line.startswith("pip") else "venv" for line in lines]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def manage(machine: Machine) -> ModuleType:
    return load(machine.clone / "manage.py")


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap_under_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_first_start_makes_an_environment_and_starts_over_in_the_same_process(machine):
    started = machine.start("-X", "dev", "manage.py", "serve", "--port", "1")
    assert machine.steps() == ["venv", "install requirements.lock"]
    assert started["pid"] == started["started"]
    assert started["argv"] == ["manage.py", "serve", "--port", "1"]
    assert started["dev"] is True
    assert started["prefix"] == str(machine.venv)
    assert started["settings"] == "chatapp.settings"
    assert started["said"] == "Making .venv ...\nInstalling 1 packages (about a minute the first time) ...\n"


def test_the_next_start_does_nothing_more(machine):
    machine.start()
    machine.steps()
    assert machine.start(PATH="/nowhere")["said"] == ""
    assert machine.start(python=machine.venv / "bin/python")["said"] == ""
    assert machine.steps() == []


def test_a_start_from_another_folder_finds_its_own(machine):
    machine.start()
    machine.steps()
    assert machine.start(str(machine.clone / "manage.py"), "serve")["prefix"] == str(machine.venv)
    assert machine.steps() == []


def test_tests_have_a_lock_of_their_own_which_serves_the_rest_too(machine):
    machine.start()
    assert machine.start("manage.py", "test")["settings"] == "tests.settings"
    assert machine.steps() == ["venv", "install requirements.lock", "install requirements-dev.lock"]
    machine.start()
    machine.start("manage.py", "test")
    assert machine.steps() == []


def test_a_changed_lock_is_installed_in_place(machine):
    machine.start()
    machine.steps()
    (machine.clone / "requirements.lock").write_text("django==6\n")
    machine.start()
    assert machine.steps() == ["install requirements.lock"]


def test_a_failed_install_is_one_sentence_and_the_next_start_begins_anew(machine):
    process = machine.begin(FAIL="1")
    out, said = process.communicate(timeout=20)
    assert (process.returncode, out) == (1, "")
    assert said.endswith("see above. Without a network, connect first. Start again, and it goes on.\n")
    machine.start()
    assert machine.steps() == ["venv", "install requirements.lock"] * 2


def test_an_environment_whose_python_is_gone_is_made_anew(machine):
    machine.start()
    (machine.venv / "bin/python").unlink()
    (machine.venv / "bin/python").symlink_to("/nowhere/python")
    machine.start()
    assert machine.steps() == ["venv", "install requirements.lock"] * 2


def test_an_environment_of_another_python_version_is_made_anew(machine):
    machine.start()
    stamp = machine.venv / "installed"
    stamp.write_text(stamp.read_text().replace("python 3.", "python 2."))
    machine.start()
    assert machine.steps() == ["venv", "install requirements.lock"] * 2


def test_of_two_first_starts_one_installs_and_the_other_waits(machine):
    first = begin_and_hold(machine)
    second = machine.begin()
    assert second.stderr.readline() == "Another start is preparing .venv already, waiting for it ...\n"
    machine.let_go()
    for process in (first, second):
        process.communicate(timeout=20)
        assert process.returncode == 0
    assert machine.steps() == ["venv", "install requirements.lock"]


def test_after_a_killed_start_the_next_one_waits_for_what_it_left_running_and_begins_anew(machine):
    killed = begin_and_hold(machine)
    killed.kill()
    second = machine.begin()
    assert "waiting for it" in second.stderr.readline()
    machine.let_go()
    for process in (killed, second):
        process.communicate(timeout=20)
    assert second.returncode == 0
    assert machine.steps() == ["venv", "install requirements.lock"] * 2


def test_sigterm_ends_the_install_too(machine):
    process = begin_and_hold(machine)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=5)
    assert process.returncode == 143


def begin_and_hold(machine: Machine) -> subprocess.Popen[str]:
    process = machine.begin(HOLD="1")
    wait_until(lambda: "pip" in (machine.folder / "log").read_text())
    return process


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_another_virtual_environment_with_django_is_used_as_it_is(machine):
    machine.start()
    machine.venv.rename(machine.folder / "mine")
    machine.steps()
    assert machine.start(python=machine.folder / "mine/bin/python")["prefix"] == str(machine.folder / "mine")
    assert machine.steps() == []


def test_a_venv_that_somebody_made_and_works_in_is_used_as_it_is(machine):
    machine.start()
    (machine.venv / "installed").unlink()
    machine.steps()
    machine.start(python=machine.venv / "bin/python")
    assert machine.steps() == []


def test_a_container_image_can_switch_it_off(machine):
    started = machine.start(WEBCHAT_BOOTSTRAP="0", PYTHONPATH=str(machine.folder))
    assert started["prefix"] != str(machine.venv)
    assert machine.steps() == []


def test_a_folder_that_cannot_be_written_is_one_sentence(machine, manage, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(SystemExit, match=f"^Cannot write to {machine.clone}: start this as its owner"):
        manage.make_ready("requirements.lock")
    assert not machine.venv.exists()


def test_a_full_disk_is_named(manage, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(SystemExit, match=r"^It failed: the disk is nearly full\. Free 500 MB"):
        manage.give_up("It failed")


def test_without_uv_it_is_venv_and_pip_with_hashes(machine, manage, monkeypatch):
    commands = []
    monkeypatch.setattr(shutil, "which", lambda program: None)
    monkeypatch.setattr(manage, "run", lambda command, guard: commands.append(command) or True)
    monkeypatch.setattr(manage, "write_stamp", lambda lines: None)
    manage.make_ready("requirements.lock")
    python, lock = str(machine.venv / "bin/python"), str(machine.clone / "requirements.lock")
    assert commands == [
        [SYSTEM_PYTHON, "-m", "venv", str(machine.venv)],
        [python, "-m", "pip", "install", "--require-hashes", "-r", lock],
    ]


@pytest.fixture
def bare_debian(manage, monkeypatch):
    """Its python3 has no ensurepip until python3-venv is installed. Gives the commands that were run."""
    commands = []
    monkeypatch.setattr(shutil, "which", lambda program: "/usr/bin/apt-get" if program == "apt-get" else None)
    monkeypatch.setattr(manage, "run", lambda command, guard: commands.append(command) or True)
    monkeypatch.setattr(manage, "find_spec", lambda name: len(commands) == 2 or None)
    return commands


def test_root_on_bare_debian_gets_python3_venv_installed(manage, bare_debian, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    manage.ensure_ensurepip(None)
    assert bare_debian == [["apt-get", "update"], ["apt-get", "install", "-y", "python3-venv"]]


def test_anybody_else_on_bare_debian_is_told_the_one_command(manage, bare_debian, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit, match=r"sudo apt install python3-venv$"):
        manage.ensure_ensurepip(None)
    assert bare_debian == []


def test_an_old_python_gets_one_sentence(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 13))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, and this is Python 3\.10\.$"):
        load(MANAGE)


def test_python_2_could_parse_it():
    source = MANAGE.read_text()
    assert source.isascii()
    newer = (ast.JoinedStr, ast.NamedExpr, ast.AnnAssign, ast.Starred, ast.Nonlocal, ast.YieldFrom, ast.Match)
    for node in ast.walk(ast.parse(source)):
        assert not isinstance(node, newer), ast.unparse(node)
        assert not getattr(node, "annotation", None) and not getattr(node, "returns", None)
        assert not getattr(node, "kwonlyargs", None) and not getattr(node, "cause", None)


@pytest.mark.parametrize("version", ["2.7", "3.10"])
def test_real_old_pythons_where_there_are_any(version):
    python = shutil.which(f"python{version}")
    done = python and subprocess.run([python, MANAGE, "serve"], capture_output=True, text=True)
    if not done or done.returncode == 127:  # a version manager's shim of a Python that is not there
        return
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"OpenClaw WebChat needs Python 3.11 or newer, and this is Python {version}.\n"
