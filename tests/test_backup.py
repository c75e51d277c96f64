"""What `manage.py backup` writes and `restore` puts back; tests/faults does it while replies run."""

import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from sessions_core import backup
from sessions_core.backup import contents, postgresql
from sessions_core.models import Chat, Delta, Message, Process, User

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.thorough]


@pytest.fixture
def chat():
    chat = Chat.objects.start(User.objects.create_user("ada"))
    chat.receive("What is kept?")
    return chat


@pytest.fixture
def kept_aside():
    """What a restore keeps is taken away after the test."""
    yield
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'before_restore_%%'")
            for (name,) in cursor.fetchall():
                cursor.execute(f'DROP SCHEMA "{name}" CASCADE')
    for path in settings.DATA.glob("*-before-restore-*"):
        path.unlink()


def made(folder, **options):
    call_command("backup", str(folder), **options)
    return next(iter(sorted(path for path in folder.iterdir() if path.suffix in (".sqlite3", ".pgdump"))[::-1]))


def refusal(*command, **options):
    with pytest.raises(CommandError) as refused:
        call_command(*command, **options)
    return str(refused.value)


def test_a_backup_is_for_its_owner_only_and_holds_everything(chat, tmp_path, capsys):
    file = made(tmp_path / "new" / "backups")
    assert file.name.startswith("webchat-")
    assert {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert backup.examine(file) == backup.Contents(accounts=1, chats=1, messages=2, running=1)
    assert f"{file}: " in capsys.readouterr().out


def test_a_backup_lies_in_the_data_folder_when_no_other_is_named(chat):
    made = backup.make()
    assert made.file.parent == settings.DATA / "backups"
    for path in made.file.parent.iterdir():
        path.unlink()


def test_the_generated_secret_key_lies_beside_it(chat, tmp_path):
    file = made(tmp_path)
    assert file.with_suffix(".secret_key").read_text() == settings.SECRET_KEY


def test_a_key_of_the_operators_own_is_not_copied(chat, tmp_path, settings):
    settings.SECRET_KEY = "from the environment"
    assert not made(tmp_path).with_suffix(".secret_key").exists()


def test_only_so_many_are_kept_and_nothing_else_is_touched(chat, tmp_path):
    (tmp_path / "notes.sqlite3").touch()
    suffix = backup.engine().SUFFIX
    for day in (1, 2, 3):
        (tmp_path / f"webchat-2026010{day}-000000{suffix}").touch()
        (tmp_path / f"webchat-2026010{day}-000000.secret_key").touch()
    file = made(tmp_path, keep=2)
    newest = {file.name, file.with_suffix(".secret_key").name}
    third = {f"webchat-20260103-000000{suffix}", "webchat-20260103-000000.secret_key"}
    assert {path.name for path in tmp_path.iterdir()} == {"notes.sqlite3"} | newest | third


def test_machines_are_told_too(chat, tmp_path, capsys):
    call_command("backup", str(tmp_path), json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == Path(told["file"]).stat().st_size and told["removed"] == []
    call_command("restore", told["file"], check=True, json=True)
    found = json.loads(capsys.readouterr().out)
    assert found == {"accounts": 1, "chats": 1, "messages": 2, "running": 1, "broken": []}


def test_two_at_once_do_not_write_into_each_other(chat, tmp_path):
    with backup.unfinished(tmp_path) as part:
        part.write_bytes(b"half")
        assert "Another backup is being written" in refusal("backup", str(tmp_path))
        assert part.read_bytes() == b"half"


def test_what_a_killed_backup_left_behind_is_no_obstacle(chat, tmp_path):
    (tmp_path / ".webchat.part").write_bytes(b"half")
    file = made(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {file.name, file.with_suffix(".secret_key").name}


def test_a_backup_that_fails_leaves_nothing(chat, tmp_path, monkeypatch):
    def full(target):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup.engine(), "dump", full)
    assert refusal("backup", str(tmp_path)).endswith("No space left on device.")
    assert not list(tmp_path.iterdir())


def test_to_check_changes_nothing(chat, tmp_path, capsys):
    file = made(tmp_path)
    before = file.read_bytes()
    chat.delete()
    call_command("restore", str(file), check=True)
    assert (
        "can be restored: 1 accounts, 1 chats, 2 messages, 1 of them replies being written" in capsys.readouterr().out
    )
    assert not Chat.objects.exists()
    assert file.read_bytes() == before and len(list(tmp_path.iterdir())) == 2


def test_a_restore_brings_back_what_was_there(chat, tmp_path, capsys, kept_aside):
    file = made(tmp_path)
    Chat.objects.all().delete()
    User.objects.create_user("late")
    call_command("restore", str(file), yes=True)
    assert Chat.objects.get() == chat
    assert [message.text for message in Message.objects.order_by("pk")] == ["What is kept?", ""]
    assert list(User.objects.values_list("username", flat=True)) == ["ada"]
    assert "What was there before is" in capsys.readouterr().out
    Chat.objects.start(User.objects.get())  # and it can be written


def test_what_was_there_before_a_restore_is_kept(chat, tmp_path, kept_aside):
    file = made(tmp_path)
    User.objects.create_user("late")
    restored = backup.restore(file, replace=True)
    if connection.vendor == "sqlite":
        with closing(sqlite3.connect(restored.kept)) as kept:
            names = [name for (name,) in kept.execute("SELECT username FROM sessions_core_user ORDER BY id")]
    else:
        with connection.cursor() as cursor:
            schema = restored.kept.split()[2]
            cursor.execute(f"SELECT username FROM {schema}.sessions_core_user ORDER BY id")
            names = [name for (name,) in cursor.fetchall()]
    assert names == ["ada", "late"]


def test_a_restore_over_people_needs_a_yes(chat, tmp_path):
    file = made(tmp_path)
    chat.delete()
    assert "--yes keeps it aside" in refusal("restore", str(file))
    assert not Chat.objects.exists()


def test_an_empty_database_needs_none(chat, tmp_path, kept_aside):
    file = made(tmp_path)
    chat.delete()
    User.objects.all().delete()
    call_command("restore", str(file))
    assert Chat.objects.exists()


def test_nothing_is_restored_below_a_running_app(chat, tmp_path):
    file = made(tmp_path)
    Process.objects.beat("here-1", pages=True, relay=False)
    chat.delete()
    assert "The app is running (here-1). Stop `serve` and `relay` first" in refusal("restore", str(file), yes=True)
    assert not Chat.objects.exists()


def test_nothing_is_restored_while_a_relay_holds_the_data_folder(chat, tmp_path):
    from chatapp.service import lock_data_folder

    file = made(tmp_path)
    held, _ = lock_data_folder() if connection.vendor == "sqlite" else (None, None)
    if held:
        with held:
            assert "The app is running. Stop" in refusal("restore", str(file), yes=True)


@pytest.fixture
def own_key():
    stored = settings.DATA / "secret_key"
    own = stored.read_text()
    yield own
    stored.write_text(own)


def test_the_secret_key_comes_back_too(chat, tmp_path, settings, own_key, kept_aside):
    file = made(tmp_path)
    stored = settings.DATA / "secret_key"
    stored.write_text("another")
    settings.SECRET_KEY = "another"
    assert backup.restore(file, replace=True).key == "The secret key was restored too."
    assert stored.read_text() == own_key and stat.S_IMODE(stored.stat().st_mode) == 0o600


def test_a_key_of_the_operators_own_stays(chat, tmp_path, settings, kept_aside):
    file = made(tmp_path)
    settings.SECRET_KEY = "from the environment"
    assert backup.restore(file, replace=True).key.startswith("SECRET_KEY is set")


def test_what_is_no_backup_is_refused(chat, tmp_path):
    (tmp_path / "letter.txt").write_text("Dear Ada")
    assert "no backup of this app" in refusal("restore", str(tmp_path / "letter.txt"), yes=True)
    assert "cannot be read" in refusal("restore", str(tmp_path / "missing"), yes=True)
    assert "cannot be read" in refusal("restore", str(tmp_path), yes=True)


def test_a_damaged_backup_is_refused_and_nothing_has_changed(chat, tmp_path):
    file = made(tmp_path)
    content = bytearray(file.read_bytes())
    content[len(content) // 3 :] = b"\x55" * (len(content) - len(content) // 3)
    file.write_bytes(content)
    for options in ({"check": True}, {"yes": True}):
        assert refusal("restore", str(file), **options)
    assert Chat.objects.get() == chat


def test_a_backup_of_a_newer_release_is_refused(chat, tmp_path):
    recorder = MigrationRecorder(connection)
    recorder.record_applied("sessions_core", "9999_future")
    file = made(tmp_path)
    recorder.record_unapplied("sessions_core", "9999_future")
    for options in ({"check": True}, {"yes": True}):
        assert "newer release of the app (it has sessions_core.9999_future)" in refusal("restore", str(file), **options)


def test_another_apps_database_is_refused(chat, tmp_path):
    with closing(sqlite3.connect(tmp_path / "other.sqlite3")) as other:
        other.executescript(
            "CREATE TABLE django_migrations (app, name); INSERT INTO django_migrations VALUES ('a', 'b')"
        )
    assert "no backup of this app" in refusal("restore", str(tmp_path / "other.sqlite3"), check=True)


def test_a_plain_copy_of_a_database_in_use_is_refused(chat, tmp_path):
    with closing(sqlite3.connect(tmp_path / "copy.sqlite3")) as live:
        live.execute("PRAGMA journal_mode=WAL")
        live.execute("CREATE TABLE words (word)")
        assert "plain copy of one" in refusal("restore", str(tmp_path / "copy.sqlite3"), check=True)


def test_the_check_says_what_cannot_be_true(chat, tmp_path):
    ended, piece = Message.objects.replies().get(), "An ended reply still has pieces that were not put together"
    Delta.objects.create(message=ended, seq=2, text="left over")
    Message.objects.filter(pk=ended.pk).update(state="done", owner_process="here-1", seq=7)
    file = made(tmp_path)
    said = refusal("restore", str(file), check=True)
    assert piece in said and "still belongs to a process" in said and said.count("without a hole") == 2
    assert Message.objects.get(pk=ended.pk).seq == 7


@pytest.mark.parametrize("rule", contents.RULES)
def test_a_sound_database_breaks_no_rule(chat, rule):
    with connection.cursor() as cursor:
        cursor.execute(contents.RULES[rule])
        assert cursor.fetchone() == (0,)


def test_an_older_pg_dump_than_the_server_is_named_with_its_remedy(tmp_path, monkeypatch):
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n")
    old.chmod(0o700)
    monkeypatch.setattr(postgresql, "server_version", lambda: 99)
    monkeypatch.setattr(postgresql, "OF_DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        backup.BackupFailed, match=r"pg_dump is of version 9 and the server of 99. Install .* version 99"
    ):
        postgresql.program("pg_dump")
    old.unlink()
    with pytest.raises(backup.BackupFailed, match=r"pg_dump is not installed here. Install .*postgresql-client-99"):
        postgresql.program("pg_dump")
    newer = tmp_path / "99" / "bin" / "pg_dump"
    newer.parent.mkdir(parents=True)
    newer.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 99.1'\n")
    newer.chmod(0o700)
    assert postgresql.program("pg_dump") == str(newer)


on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite needs no programs of its own")


@on_postgresql
def test_what_psql_refuses_leaves_the_database_as_it_was(chat, tmp_path, monkeypatch):
    file = made(tmp_path)
    User.objects.create_user("late")
    monkeypatch.setattr(postgresql, "SET_ASIDE", postgresql.SET_ASIDE + "SELECT nonsense;")
    said = refusal("restore", str(file), yes=True)
    assert "The database is as it was" in said and 'column "nonsense" does not exist' in said
    assert User.objects.filter(username="late").exists()


@on_postgresql
def test_a_backup_that_breaks_off_while_it_is_read_leaves_the_database_as_it_was(chat, tmp_path, monkeypatch):
    file = made(tmp_path)
    User.objects.create_user("late")
    breaks_off = tmp_path / "pg_restore"
    breaks_off.write_text(f'#!/bin/sh\n{postgresql.program("pg_restore")} "$@" | head -c 4000; exit 1\n')
    breaks_off.chmod(0o700)
    real = postgresql.program
    monkeypatch.setattr(postgresql, "read_through", lambda file: None)
    monkeypatch.setattr(postgresql, "migrations", lambda file: [("sessions_core", "0001_initial")])
    monkeypatch.setattr(postgresql, "program", lambda name: str(breaks_off) if name == "pg_restore" else real(name))
    assert "The database is as it was" in refusal("restore", str(file), yes=True)
    assert User.objects.filter(username="late").exists() and Chat.objects.get() == chat


@on_postgresql
def test_the_password_is_on_no_command_line(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "PASSWORD", "hunter2 secret")
    assert "hunter2" not in postgresql.address()
    assert postgresql.environment()["PGPASSWORD"] == "hunter2 secret"
