"""Every event is only a hint: the hub may lose, double, turn round, delay and forget; Redis may be away."""

import httpx2
import pytest

from tests.fake_gateway import answer, words
from tests.server import wait_until
from tests.viewer import Viewer, staying

CHATS = 5
TEXT = words("seed", 150)


def shown_whole(person, gateway, count=CHATS, through=""):
    """Several replies are followed by pages; each page ends with exactly what is stored."""
    gateway.script(None, answer(TEXT, pace=0.02))
    chats = [person.chat(f"Question {n}") for n in range(count)]
    viewers = [Viewer(chat, through) for chat in chats]
    with staying(*viewers):
        for chat, viewer in zip(chats, viewers, strict=True):
            assert chat.reply(timeout=60) == TEXT
            assert wait_until(lambda chat=chat, viewer=viewer: viewer.final.get(chat.replies[0]["id"]), 60) == TEXT
    return viewers


FAULTS = ["lossy:1:0.5", "twisted:2", "evict:1"]


@pytest.mark.parametrize("fault", [*FAULTS, "lossy:3:1"])
def test_whatever_the_hub_does_pages_show_the_whole_text(make_server, gateway, fault):
    server = make_server(faults=(fault,)).start()
    shown_whole(server.first_account(), gateway, through=server.url)


def readiness(server):
    answer = httpx2.get(f"{server.url}/readyz", trust_env=False)
    return answer.status_code, answer.json()["checks"]["redis"]["state"]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_same_where_one_process_writes_and_another_shows(cluster, gateway, fault):
    here, there, _ = cluster.pages(fault), cluster.pages(fault), cluster.relay(fault)
    shown_whole(here.first_account(), gateway, through=there.url)


def test_redis_that_is_down_from_the_start_costs_nothing_but_haste(make_cluster, gateway):
    cluster = make_cluster(REDIS_URL="redis://127.0.0.1:1/0")
    here, there, _ = cluster.pages(), cluster.pages(), cluster.relay()
    ada = here.first_account()
    shown_whole(ada, gateway, count=2, through=there.url)
    assert readiness(here) == (200, "degraded")


def test_several_processes_without_redis_are_told_of_and_work(make_cluster, gateway):
    cluster = make_cluster()
    here, there = cluster.serve(), cluster.serve()
    shown_whole(here.first_account(), gateway, count=2, through=there.url)
    assert readiness(here) == (200, "degraded")
