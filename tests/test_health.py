"""What operators and their programs are told about the installation."""

import shutil

import pytest
from django.db import DatabaseError, connection
from django.utils import timezone

from chatapp.service import Service
from sessions_core import health
from sessions_core.doctor import here
from sessions_core.hub import hub
from sessions_core.models import Chat, Message, Process, User
from tests.loops import run

pytestmark = pytest.mark.django_db

TOKEN = "token-for-metrics"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(autouse=True)
def known(settings):
    settings.METRICS_TOKEN = TOKEN


def alive(name="one", **standing):
    Process.objects.beat(name, **{"pages": True, "relay": True, "redis": None, "trouble": ""} | standing)


def ready(client):
    answer = client.get("/readyz", headers=BEARER)
    return answer.status_code, {name: check["state"] for name, check in answer.json()["checks"].items()}


def test_ready_with_a_database_and_a_relay(client):
    alive()
    disk = ["disk"] if connection.vendor == "sqlite" else []
    assert ready(client) == (200, dict.fromkeys(["database", *disk, "migrations", "relay", "redis", "gateway"], "ok"))


def test_without_a_relay_no_reply_can_be_given(client):
    alive(relay=False)
    assert ready(client)[0] == 503
    assert ready(client)[1]["relay"] == "dead"


@pytest.mark.django_db(transaction=True)
def test_what_waits_while_nobody_carries_replies_is_said_to_be_kept(client, monkeypatch):
    monkeypatch.setattr(health, "carried", True)
    monkeypatch.setattr(hub, "others", False)
    ada = User.objects.create_user("ada")
    chat = Chat.objects.start(ada)
    chat.receive("one")
    client.force_login(ada)
    pages = Service(print, pages=True, relay=False)

    def said():
        run(pages._beat())
        return client.get("/chat/", {"session": chat.key}).content.decode()

    assert "kept, and answered when the server carries replies again" in said()
    alive(relay=True)
    assert "waiting for a free slot" in said()


def test_a_process_that_left_without_a_word_counts_no_more(client):
    alive()
    Process.objects.update(seen_at=timezone.now() - timezone.timedelta(seconds=60))
    assert ready(client)[0] == 503


def test_several_processes_without_redis_and_redis_that_does_not_answer_are_slower_not_dead(client, settings):
    alive()
    alive("two")
    assert (ready(client)[0], ready(client)[1]["redis"]) == (200, "degraded")
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    alive(redis=True)
    alive("two", redis=False)
    assert (ready(client)[0], ready(client)[1]["redis"]) == (200, "degraded")
    alive("two", redis=True)
    assert ready(client)[1]["redis"] == "ok"


def test_the_doctor_s_remedy_is_not_to_set_what_is_set(settings):
    def remedy():
        return next(found.remedy for found in here.processes() if found.name == "redis")

    alive(redis=False)
    alive("two", redis=False)
    assert "Set REDIS_URL" in remedy()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert "Set REDIS_URL" not in remedy() and "reach" in remedy()


def test_a_gateway_in_trouble_is_named_and_the_app_stays_ready(client):
    alive(trouble="gateway_unreachable")
    assert ready(client) == (200, ready(client)[1] | {"gateway": "degraded"})
    assert "gateway_unreachable" in client.get("/readyz", headers=BEARER).content.decode()


def test_one_relay_that_was_answered_holds_for_all(client):
    """An idle one would go on telling of a gateway that has come back long since."""
    alive("idle", trouble="gateway_unreachable")
    alive("busy", trouble="")
    Process.objects.beat("idle", pages=False, relay=True, redis=None)
    assert ready(client)[1]["gateway"] == "ok"


def test_a_database_that_does_not_answer_is_said(client, monkeypatch):
    def broken():
        raise DatabaseError("the disk is gone\nand more")

    monkeypatch.setattr(health, "look", broken)
    answer = client.get("/readyz", headers=BEARER)
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"]["says"] == "The database does not answer: the disk is gone"


@pytest.mark.parametrize(("free", "state", "code"), [(0, "dead", 503), (50 * 10**6, "degraded", 200)])
def test_a_disk_without_room_is_said_of_sqlite_only(client, monkeypatch, free, state, code):
    alive()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 10**12 - free, free))
    answer = client.get("/readyz", headers=BEARER)
    if connection.vendor == "sqlite":
        disk = answer.json()["checks"]["disk"]
        assert (answer.status_code, disk["state"]) == (code, state) and "Make room on it" in disk["says"]
    else:
        assert answer.status_code == 200 and "disk" not in answer.json()["checks"]


def test_sentences_and_figures_are_for_operators_only(client):
    alive(trouble="gateway_auth")
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        assert "gateway_auth" not in client.get("/readyz", headers=headers).content.decode()
        assert client.get("/metrics", headers=headers).status_code == 404
    client.force_login(User.objects.create_user("ada"))
    assert client.get("/metrics").status_code == 404
    client.force_login(User.objects.create_superuser("root"))
    assert client.get("/metrics").status_code == 200


def test_no_token_set_opens_nothing(client, settings):
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


def test_metrics_are_told_without_a_database_too(client, monkeypatch):
    def away():
        raise DatabaseError("it restarts")

    assert "webchat_database_up 1.0" in client.get("/metrics", headers=BEARER).content.decode()
    monkeypatch.setattr(Message.objects, "in_motion", away)
    said = client.get("/metrics", headers=BEARER).content.decode()
    assert "webchat_database_up 0.0" in said and "webchat_sockets 0.0" in said and "webchat_messages" not in said


def test_metrics_tell_what_waits_and_runs(client):
    alive()
    alive("two", relay=False)
    chat = Chat.objects.start(User.objects.create_user("ada"))
    chat.receive("one")
    chat.receive("two")
    said = client.get("/metrics", headers=BEARER).content.decode()
    for line in (
        'webchat_messages{state="waiting"} 1.0',
        'webchat_messages{state="queued"} 1.0',
        "webchat_processes 2.0",
        "webchat_relays 1.0",
        "webchat_sockets 0.0",
        "webchat_flush_seconds_count",
        "webchat_delta_lag_seconds_count",
        "webchat_loop_delay_seconds_count",
    ):
        assert line in said
