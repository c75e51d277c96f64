"""What operators and their programs are told about the installation."""

import shutil

import pytest
from django.db import DatabaseError, connection
from django.utils import timezone

from sessions_core import health
from sessions_core.models import Chat, Process, User

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


def test_alive_asks_nothing_of_the_database(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert client.get("/healthz").json() == {"alive": True}


def test_ready_with_a_database_and_a_relay(client):
    alive()
    disk = ["disk"] if connection.vendor == "sqlite" else []
    assert ready(client) == (200, dict.fromkeys(["database", *disk, "migrations", "relay", "redis", "gateway"], "ok"))


def test_without_a_relay_no_reply_can_be_given(client):
    alive(relay=False)
    assert ready(client)[0] == 503
    assert ready(client)[1]["relay"] == "dead"


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


def test_a_gateway_in_trouble_is_named_and_the_app_stays_ready(client):
    alive(trouble="gateway_unreachable")
    assert ready(client) == (200, ready(client)[1] | {"gateway": "degraded"})
    assert "gateway_unreachable" in client.get("/readyz", headers=BEARER).content.decode()


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
