#!/usr/bin/env python3
"""Django's manage.py. On a machine with nothing but python3 it first makes .venv and starts over in there.

Every Python must be able to parse this file, 2.7 too, so that an old one answers with a sentence.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit("OpenClaw WebChat needs Python 3.11 or newer, and this is Python %d.%d." % sys.version_info[:2])

import hashlib
import os
import shutil
import signal
import subprocess
from importlib.util import find_spec

HERE = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(HERE, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "installed")  # what is installed, for which Python; a half-made .venv has none
RUNTIME, TESTS = "requirements.lock", "requirements-dev.lock"  # the second contains the first
MEGABYTES_NEEDED = 500


def main():
    lock = TESTS if sys.argv[1:2] == ["test"] else RUNTIME
    if not can_run_here(lock):
        bootstrap(lock)
    settings = "tests.settings" if lock == TESTS else "chatapp.settings"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", settings)
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


def can_run_here(lock):
    asked_to = os.environ.get("WEBCHAT_BOOTSTRAP") == "0"  # a container image with the packages installed
    return asked_to or in_foreign_venv() or (in_venv() and is_ready(lock))


def in_foreign_venv():
    """A virtual environment that we did not make but that has Django is its maker's to look after."""
    ours = in_venv() and os.path.exists(STAMP)
    return sys.prefix != sys.base_prefix and not ours and find_spec("django") is not None


def in_venv():
    return os.path.realpath(sys.prefix) == os.path.realpath(VENV)


def is_ready(lock):
    """From inside, this also sees that the system's Python has become another one since."""
    complete = lock_line(lock) in stamp() and os.path.exists(PYTHON)
    return complete and (not in_venv() or python_line() in stamp())


def stamp():
    try:
        with open(STAMP) as file:
            return file.read().splitlines()
    except OSError:
        return []


def lock_line(lock):
    with open(os.path.join(HERE, lock), "rb") as file:
        return lock + " " + hashlib.sha256(file.read()).hexdigest()


def python_line():
    return "python %d.%d" % sys.version_info[:2]


def bootstrap(lock):
    """Makes .venv ready and starts over in it: never comes back. What can go wrong ends in one sentence."""
    if os.name == "nt":
        sys.exit("On Windows, start this in WSL, or in a virtual environment with %s installed." % RUNTIME)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if not is_ready(lock):
            make_ready(lock)
        start_over()
    except KeyboardInterrupt:
        sys.exit("Stopped. Start again, and it goes on.")
    except OSError as error:
        sys.exit("Cannot prepare %s: %s." % (VENV, error))


def make_ready(lock):
    if not os.access(HERE, os.W_OK):
        sys.exit("Cannot write to %s: start this as its owner, or from a copy of your own." % HERE)
    with open(os.path.abspath(__file__), "r+b") as guard:
        wait_for_other_starts(guard)
        if is_ready(lock):
            return
        if not can_be_updated():
            make_venv(guard)
        install(lock, guard)


def wait_for_other_starts(guard):
    import fcntl

    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Another start is preparing .venv already, waiting for it ...")
        fcntl.flock(guard, fcntl.LOCK_EX)


def can_be_updated():
    """Whole and only of older packages: updating it in place spares what runs in it."""
    installer = shutil.which("uv") or os.path.exists(os.path.join(VENV, "bin", "pip"))
    return bool(installer) and python_line() in stamp() and os.path.exists(PYTHON)


def make_venv(guard):
    uv = shutil.which("uv") or ensure_ensurepip(guard)
    say("Making .venv ...")
    if os.path.lexists(VENV):
        shutil.rmtree(VENV)
    python = sys._base_executable  # sys.executable may have been the one in there
    command = [uv, "venv", "--quiet", "--python", python, VENV] if uv else [python, "-m", "venv", VENV]
    if not run(command, guard):
        give_up("Making .venv failed")


def ensure_ensurepip(guard):
    """Debian's python3 comes without it; venv would stop half-way."""
    if find_spec("ensurepip"):
        return
    if not shutil.which("apt-get"):
        sys.exit("This Python cannot make a .venv: install its ensurepip (or uv), then start again.")
    if os.geteuid() != 0:
        sys.exit("One part of Python is missing. Install it, then start again: sudo apt install python3-venv")
    say("Installing python3-venv ...")
    os.environ.setdefault("DEBIAN_FRONTEND", "noninteractive")
    done = run(["apt-get", "update"], guard) and run(["apt-get", "install", "-y", "python3-venv"], guard)
    if not (done and find_spec("ensurepip")):
        give_up("Installing python3-venv failed")


def install(lock, guard):
    path = os.path.join(HERE, lock)
    with open(path) as file:
        packages = sum("==" in line for line in file)
    say("Installing %d packages (about a minute the first time) ..." % packages)
    lines = [python_line()] + [lock_line(each) for each in sorted({lock, RUNTIME})]
    if os.path.exists(STAMP):
        os.remove(STAMP)
    uv = shutil.which("uv")
    installer = [uv, "pip", "install", "--python", PYTHON] if uv else [PYTHON, "-m", "pip", "install"]
    installer += ["--require-hashes", "-r", path]
    if not run(installer, guard):
        give_up("Installing the packages failed")
    write_stamp(lines)


def write_stamp(lines):
    with open(STAMP + ".new", "w") as file:
        file.write("\n".join(lines) + "\n")
    os.rename(STAMP + ".new", STAMP)


def run(command, guard):
    """The child holds the lock as well: when we are killed, the next start waits until pip has finished."""
    return subprocess.call(command, stdout=sys.stderr, pass_fds=[guard.fileno()]) == 0


def give_up(what):
    if shutil.disk_usage(HERE).free < MEGABYTES_NEEDED * 10**6:
        sys.exit("%s: the disk is nearly full. Free %d MB and start again." % (what, MEGABYTES_NEEDED))
    sys.exit("%s, see above. Without a network, connect first. Start again, and it goes on." % what)


def say(line):
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def start_over():
    """In the same process, so that its id, its terminal and its signals stay."""
    os.environ.pop("PYTHONHOME", None)  # as a venv's own activate does: no venv works with it
    sys.orig_argv[0] = PYTHON
    os.execv(PYTHON, sys.orig_argv)


if __name__ == "__main__":
    main()
