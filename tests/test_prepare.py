"""What a start does before the first page."""

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from chatapp import prepare

pytestmark = pytest.mark.django_db(transaction=True)


def quiet(line):
    pass


THREADS = """
import ctypes, sys, threading
import django
django.setup()
from chatapp import prepare

if sys.argv[1] == "prepared":
    prepare.memory()
together = threading.Barrier(8)
def work():
    together.wait()
    mine = [bytearray(10_000) for _ in range(100)]
    together.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
libc.fopen.argtypes = ctypes.c_char_p, ctypes.c_char_p
libc.malloc_info.argtypes = ctypes.c_int, ctypes.c_void_p
libc.malloc_info(0, libc.fopen(b"/dev/stdout", b"w"))
libc.fflush(None)
"""


def arenas(how, **env):
    env = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"} | env
    settings = {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-c", THREADS, how]
    said = subprocess.run(command, env=env | settings, capture_output=True, text=True, check=True).stdout
    return len(re.findall("<heap nr=", said))


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has arenas")
def test_threads_share_two_places_for_their_memory_unless_the_environment_says_otherwise():
    assert arenas("prepared") <= prepare.ARENAS < arenas("as it is")
    assert arenas("prepared", MALLOC_ARENA_MAX="3") == 3


def test_a_database_of_a_newer_release_is_refused_in_a_sentence():
    recorder = MigrationRecorder(connection)
    recorder.record_applied("sessions_core", "9999_from_the_future")
    try:
        with pytest.raises(CommandError, match=r"newer release .* sessions_core\.9999_from_the_future"):
            prepare.database(quiet)
    finally:
        recorder.record_unapplied("sessions_core", "9999_from_the_future")


def test_migrations_of_apps_that_are_gone_do_not_matter():
    recorder = MigrationRecorder(connection)
    recorder.record_applied("an_app_that_is_gone", "0001_initial")
    prepare.database(quiet)
    recorder.record_unapplied("an_app_that_is_gone", "0001_initial")


def test_an_up_to_date_database_is_left_alone():
    said = []
    prepare.database(said.append)
    assert said == []


@pytest.fixture
def sqlite_file(tmp_path, monkeypatch):
    if connection.vendor != "sqlite":
        pytest.skip("SQLite's own copy")
    file = tmp_path / "webchat.sqlite3"
    with sqlite3.connect(file) as database:
        database.execute("create table t (x)")
        database.execute("insert into t values (1)")
    database.close()
    monkeypatch.setitem(connection.settings_dict, "NAME", str(file))
    return file


def copies(file: Path):
    return sorted(file.parent.glob("webchat-before-update-*.sqlite3"))


def test_the_database_is_copied_aside_and_the_newest_five_copies_are_kept(sqlite_file):
    for day in range(10, 17):
        (sqlite_file.parent / f"webchat-before-update-202001{day}-000000.sqlite3").touch()
    prepare.copy_aside(quiet)
    assert len(copies(sqlite_file)) == 5
    copy = sqlite3.connect(copies(sqlite_file)[-1])
    assert copy.execute("select x from t").fetchall() == [(1,)]
    copy.close()


def test_a_copy_that_fails_stops_the_update(sqlite_file):
    sqlite_file.write_bytes(b"no database at all" * 1000)
    with pytest.raises(CommandError, match="nothing was changed"):
        prepare.copy_aside(quiet)
    assert copies(sqlite_file) == []


def test_a_disk_without_wal_is_refused(monkeypatch):
    class Cursor:
        def __enter__(self):
            return self

        def __exit__(self, *details):
            pass

        def execute(self, sql):
            return self

        def fetchone(self):
            return ("delete",)

    monkeypatch.setattr(prepare.connection, "cursor", Cursor, raising=False)
    with pytest.raises(CommandError, match="journal mode is delete, not wal"):
        prepare.check_wal()


def test_static_files_are_made_once_for_each_change(settings, tmp_path, monkeypatch):
    made = []
    settings.STATIC_ROOT = tmp_path
    monkeypatch.setattr(prepare, "call_command", lambda *args, **options: made.append(args[0]))
    for _ in range(3):
        prepare.static_files(quiet)
    monkeypatch.setattr(prepare, "fingerprint", lambda: "another")
    prepare.static_files(quiet)
    assert made == ["collectstatic"] * 2
