"""The next release migrates the database while processes of this one still run: they work on until their drain."""

import subprocess
import sys

import pytest

from tests.fake_gateway import answer, words
from tests.server import ROOT, own_environment, wait_until

NEXT_RELEASE = """
from django.db import connection, models
from sessions_core.models import Chat, ChatEvent, Delta, Message, User

for model in (User, Chat, ChatEvent, Message, Delta):
    with connection.schema_editor() as editor:
        field = models.CharField(max_length=20, default="", db_default="")
        field.set_attributes_from_name("of_the_next_release")
        field.model = model
        editor.add_field(model, field)
"""


def migrate(process):
    """As the next release would: what it adds has a default in the database, for who does not know of it."""
    env = own_environment(WEBCHAT_DATA=str(process.data), **process.env)
    subprocess.run([sys.executable, "manage.py", "shell", "-v0", "-c", NEXT_RELEASE], cwd=ROOT, env=env, check=True)


@pytest.fixture(params=["one process on SQLite", "pages and relay on PostgreSQL"])
def installation(request):
    if "SQLite" in request.param:
        server = request.getfixturevalue("server")
        return server, [server]
    cluster = request.getfixturevalue("cluster")
    pages = cluster.pages()
    return pages, [pages, cluster.relay()]


def test_a_migration_beside_running_processes_costs_them_nothing(installation, gateway):
    pages, processes = installation
    ada = pages.first_account()
    gateway.script(None, answer(words("seed", 200), pace=0.02))
    long = ada.chat("A question that is being answered")
    wait_until(lambda: long.replies and long.replies[0]["text"])
    migrate(pages)
    later = ada.chat("A question that comes afterwards")
    assert long.reply() == later.reply() == words("seed", 200)
    later.do("rename", title="Named afterwards")
    later.do("reset")
    assert ada.get(f"/chat/?session={later.key}").is_success
    assert pages.rows("select of_the_next_release from sessions_core_message limit 1")
    assert [process.stop() for process in reversed(processes)] == [0] * len(processes)
