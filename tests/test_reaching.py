"""What the operator's commands say when the database is not there, is empty, or does not do what it is asked."""

import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from sessions_core.models import User
from tests.server import ROOT, own_environment

COMMANDS = [("sessions", "list"), ("users", "list"), ("tokens", "list", "--user", "ada")]
AWAY = "postgres://webchat:the-secret-word@127.0.0.1:1/chats"


def said(*command, **env):
    command = [sys.executable, "manage.py", *command]
    done = subprocess.run(command, cwd=ROOT, env=own_environment(**env), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.mark.thorough  # each waits for as long as the pool does
@pytest.mark.parametrize("command", COMMANDS)
def test_a_database_that_cannot_be_reached_is_named_without_its_password(tmp_path, command):
    told = said(*command, WEBCHAT_DATA=str(tmp_path), DATABASE_URL=AWAY)
    assert "The database chats at 127.0.0.1:1 cannot be reached" in told and "Check DATABASE_URL" in told
    assert "manage.py serve" not in told and "the-secret-word" not in told


@pytest.mark.parametrize("command", COMMANDS)
def test_a_database_without_tables_is_made_by_a_start(tmp_path, command):
    assert "not ready" in (told := said(*command, WEBCHAT_DATA=str(tmp_path))) and "manage.py serve" in told


@pytest.mark.django_db
def test_a_database_that_is_there_and_refuses_is_for_the_doctor(monkeypatch):
    def locked(*args, **options):
        raise OperationalError("database is locked")

    monkeypatch.setattr(User.objects, "order_by", locked)
    with pytest.raises(CommandError, match=r"did not do it \(database is locked\)\. `manage.py doctor`"):
        call_command("users", "list")
