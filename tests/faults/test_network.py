"""What networks do between page and app, app and gateway, app and Redis: it shows in no text."""

import time

import httpx2
import pytest

from tests.fake_gateway import answer, words
from tests.server import wait_until
from tests.viewer import Viewer, staying

TEXT = words("seed", 200)
LETTERS = " ".join(["Grüße", "мир", "世界", "👩‍🚀", "e\u0301", "שלום", "🏴‍☠️"] * 12)


@pytest.fixture
def chat(server, gateway):
    gateway.script(None, answer(TEXT, pace=0.02))
    return server.first_account().chat("Question")


def whole(chat, viewer, text=TEXT):
    """The page ends with all of it."""
    assert chat.reply() == text
    assert wait_until(lambda: viewer.final.get(chat.replies[0]["id"]), 30) == text


# --- between page and app


def test_ten_pages_of_one_reply_show_the_same_and_cost_one_call(chat, gateway):
    viewers = [Viewer(chat) for _ in range(10)]
    with staying(*viewers):
        for viewer in viewers:
            whole(chat, viewer)
    assert [viewer.jumped for viewer in viewers] == [0] * 10
    assert len(gateway.requests) == 1


def test_a_page_that_is_cut_off_for_a_while_goes_on_where_it_was(chat, server, proxied):
    proxy = proxied(server.url)
    viewer = Viewer(chat, proxy.url)
    with staying(viewer):
        wait_until(lambda: viewer.seq > 3)
        proxy.refuse()
        time.sleep(1)
        seen = viewer.seq
        proxy.accept()
        wait_until(lambda: viewer.seq > seen)
        whole(chat, viewer)
    assert viewer.jumped == 0


def test_a_page_that_comes_back_after_the_end_shows_it(chat, server, proxied):
    proxy = proxied(server.url)
    viewer = Viewer(chat, proxy.url)
    with staying(viewer):
        wait_until(lambda: viewer.seq > 3)
        proxy.refuse()
        assert chat.reply() == TEXT
        proxy.accept()
        whole(chat, viewer)


def test_a_connection_that_swallows_everything_loses_nothing_to_the_next_one(chat, server, proxied):
    proxy = proxied(server.url)
    viewer = Viewer(chat, proxy.url)
    with staying(viewer):
        wait_until(lambda: viewer.seq > 3)
        proxy.silent = True
        seen = viewer.seq
        time.sleep(1)
        assert viewer.seq == seen, "nothing passes, and nobody is told"
        proxy.silent = False
        proxy.cut()  # the page's own ping finds out; see tests/browser/test_network.py
        whole(chat, viewer)


def test_a_page_whose_socket_breaks_after_every_third_frame(server, gateway, proxied):
    gateway.script(None, answer(words("seed", 400), pace=0.02))
    chat = server.first_account().chat("Question")
    proxy = proxied(server.url)
    viewer = Breaking(chat, proxy)
    with staying(viewer):
        whole(chat, viewer, words("seed", 400))
    assert viewer.connections > 10


class Breaking(Viewer):
    def __init__(self, talk, proxy):
        super().__init__(talk, proxy.url)
        self.proxy, self.frames = proxy, 0

    async def _take(self, socket, frame):
        await super()._take(socket, frame)
        self.frames += 1
        if self.frames % 3 == 0:
            await self.proxy.cutting()


# --- between app and gateway


@pytest.mark.parametrize(
    "weather", [{"slice": True}, {"latency": 0.2}, {"bandwidth": 20_000.0}], ids=lambda weather: next(iter(weather))
)
def test_a_bad_way_to_the_gateway_changes_no_letter(make_server, gateway, proxied, weather):
    proxy = proxied(gateway.url)
    for name, value in weather.items():
        setattr(proxy, name, value)
    server = make_server(OPENCLAW_GATEWAY_URL=proxy.url).start()
    gateway.script(None, answer(LETTERS))
    assert server.first_account().chat("Question").reply() == LETTERS


def test_a_broken_way_to_the_gateway_keeps_what_arrived_and_asks_nobody_twice(make_server, gateway, proxied):
    proxy = proxied(gateway.url)
    server = make_server(OPENCLAW_GATEWAY_URL=proxy.url).start()
    gateway.script(None, answer(TEXT, pace=0.02), times=1)
    chat = server.first_account().chat("Question")
    wait_until(lambda: chat.replies and chat.replies[0]["text"])
    proxy.cut()
    kept = chat.reply(1, "interrupted")
    assert kept and TEXT.startswith(kept)
    assert chat.replies[0]["error_code"] == "cut_off"
    assert len(gateway.requests) == 1


# --- between the processes


def test_a_half_open_redis_makes_pages_slower_and_not_wrong(make_cluster, redis, gateway, proxied):
    proxy = proxied(redis.url)
    cluster = make_cluster(REDIS_URL=proxy.url)
    pages, _ = cluster.pages(), cluster.relay()
    ada = pages.first_account()
    gateway.script(None, answer(TEXT, pace=0.02))
    chat = ada.chat("Question")
    viewer = Viewer(chat)
    with staying(viewer):
        wait_until(lambda: viewer.seq > 3)
        proxy.silent = True
        whole(chat, viewer)
        wait_until(lambda: redis_as_seen_by(pages) == "degraded", 30)
        proxy.silent = False
        wait_until(lambda: redis_as_seen_by(pages) == "ok", 30)
        chat.say("And then?")
        assert chat.reply(2) == TEXT
        wait_until(lambda: chat.replies[1]["id"] in viewer.final)


def redis_as_seen_by(pages):
    return httpx2.get(f"{pages.url}/readyz", trust_env=False).json()["checks"]["redis"]["state"]
