"""Pages here, relays there: a reply does not care which process holds what, or which of them dies."""

import asyncio
import signal
import time

from tests.fake_gateway import answer, words
from tests.server import Person, wait_until
from tests.viewer import Viewer, staying, watching


def through(pages, person):
    """The same person, as a proxy sends her to another process."""
    other = Person(pages)
    for cookie in person.http.cookies.jar:
        other.http.cookies.set(cookie.name, cookie.value, domain="127.0.0.1")
    return other


def long_answer(gateway, n, pace=0.02):
    gateway.script(None, answer(words("seed", n), pace=pace))


def follow(viewer, until):
    """Watch until the condition holds; gives the time."""

    async def scene():
        tasks = await watching([viewer])
        async with asyncio.timeout(60):
            while not until():
                await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return time.monotonic()

    return asyncio.run(scene())


def seen_through(pages, chat, ada):
    """The chat as the other process shows it."""
    talk = type(chat)(through(pages, ada))
    talk.pk, talk.key = chat.pk, chat.key
    return talk


def test_a_reply_is_written_by_one_process_and_seen_live_on_another(cluster, gateway):
    here, there, _ = cluster.pages(), cluster.pages(), cluster.relay()
    ada = here.first_account()
    long_answer(gateway, 250)
    chat = ada.chat("Question")
    viewer = Viewer(seen_through(there, chat, ada))
    follow(viewer, lambda: len(viewer.shown.get(viewer.message, "")) > 500)
    assert viewer.jumped == 0
    assert chat.reply() == words("seed", 250)


def test_stop_reaches_the_relay_through_any_process(cluster, gateway):
    here, there, _ = cluster.pages(), cluster.pages(), cluster.relay()
    ada = here.first_account()
    long_answer(gateway, 4000)
    chat = ada.chat("Question")
    wait_until(lambda: chat.replies and chat.replies[0]["text"])
    seen_through(there, chat, ada).do("stop")
    assert chat.reply(state="stopped", timeout=2)
    wait_until(lambda: gateway.requests_of(chat.key)[0].client_left, 2)


def test_when_one_relay_dies_its_replies_are_interrupted_and_the_others_finish(cluster, gateway):
    pages, first = cluster.pages(), cluster.relay()
    ada = pages.first_account()
    long_answer(gateway, 4000)
    orphans = [ada.chat(f"Old {n}") for n in range(3)]
    for chat in orphans:
        wait_until(lambda chat=chat: chat.replies and chat.replies[0]["text"])
    second = cluster.relay()
    first.signal(signal.SIGSTOP)  # so that the second claims what comes now
    long_answer(gateway, 300)
    others = [ada.chat(f"New {n}") for n in range(3)]
    for chat in others:
        wait_until(lambda chat=chat: chat.replies and chat.replies[0]["text"])
    first.kill()
    for chat in orphans:
        kept = chat.reply(state="interrupted", timeout=12)
        assert kept and gateway.requests_of(chat.key)[0].sent.startswith(kept)
    for chat in others:
        assert chat.reply() == words("seed", 300)
    assert not pages.rows("select 1 from sessions_core_delta")
    assert second.stop() == 0


def test_without_any_relay_what_one_left_ends_and_what_comes_waits_for_the_next(cluster, gateway):
    pages, relay = cluster.pages(), cluster.relay()
    ada = pages.first_account()
    long_answer(gateway, 4000)
    cut, stopped = (ada.chat(f"Question {n}") for n in range(2))
    for chat in (cut, stopped):
        wait_until(lambda chat=chat: chat.replies and chat.replies[0]["text"])
    relay.kill()
    stopped.do("stop")
    assert cut.reply(state="interrupted", timeout=14) and stopped.reply(state="stopped", timeout=14)
    long_answer(gateway, 30)
    stopped.say("Next")
    cluster.relay()
    assert stopped.reply(2) == words("seed", 30)


def test_one_that_was_suspended_longer_than_its_lease_writes_nothing_afterwards(cluster, gateway):
    pages, first = cluster.pages(), cluster.relay()
    ada = pages.first_account()
    long_answer(gateway, 1500)
    chat = ada.chat("Question")
    wait_until(lambda: chat.replies and chat.replies[0]["text"])
    cluster.relay()
    first.signal(signal.SIGSTOP)
    kept = chat.reply(state="interrupted", timeout=15)
    first.signal(signal.SIGCONT)
    wait_until(lambda: "taken over" in first.log.read_text(), 10)
    assert chat.replies[0]["text"] == kept and chat.replies[0]["state"] == "interrupted"


def test_a_deploy_cuts_no_reply(cluster, gateway):
    pages, old = cluster.pages(), cluster.relay()
    ada = pages.first_account()
    long_answer(gateway, 400)
    chats = [ada.chat(f"Question {n}") for n in range(10)]
    for chat in chats:
        wait_until(lambda chat=chat: chat.replies and chat.replies[0]["text"])
    old.signal(signal.SIGTERM)
    cluster.relay()
    assert ada.chat("Asked meanwhile").reply() == words("seed", 400)
    for chat in chats:
        assert chat.reply() == words("seed", 400)
    assert old.stop() == 0
    assert len(gateway.requests) == 11


def test_sigterm_again_and_again_is_one_sigterm(cluster):
    for process in (cluster.relay(), cluster.serve()):
        while process.process.poll() is None:
            process.signal(signal.SIGTERM)
            time.sleep(0.0005)
        assert process.process.returncode == 0


def test_the_pages_restart_and_the_reply_goes_on(cluster, gateway):
    pages, _ = cluster.pages(), cluster.relay()
    ada = pages.first_account()
    long_answer(gateway, 400)
    chat = ada.chat("Question")
    viewer = Viewer(chat)
    with staying(viewer):
        wait_until(lambda: viewer.seq > 3)
        pages.kill()
        pages.start()
        assert chat.reply() == words("seed", 400)
        wait_until(lambda: viewer.final.get(chat.replies[0]["id"]) == words("seed", 400))
    assert viewer.connections > 1
    assert len(gateway.requests) == 1


def test_without_redis_the_pages_follow_by_looking_at_the_rows(make_cluster, gateway):
    cluster = make_cluster()
    here, there, _ = cluster.pages(), cluster.pages(), cluster.relay()
    ada = here.first_account()
    long_answer(gateway, 20_000)
    chat = ada.chat("Question")
    viewer = Viewer(seen_through(there, chat, ada))
    follow(viewer, lambda: len(viewer.shown.get(viewer.message, "")) > 500)
    chat.do("stop")
    assert chat.reply(state="stopped").startswith(viewer.shown[viewer.message])


def test_redis_dies_and_comes_back_in_the_middle_of_a_reply(cluster, redis, gateway):
    here, there, _ = cluster.pages(), cluster.pages(), cluster.relay()
    ada = here.first_account()
    long_answer(gateway, 20_000)
    chat = ada.chat("Question")
    viewer = Viewer(seen_through(there, chat, ada))
    follow(viewer, lambda: viewer.shown.get(viewer.message))
    for change in (redis.kill, redis.start):
        change()
        before = len(viewer.shown[viewer.message])
        follow(viewer, lambda before=before: len(viewer.shown[viewer.message]) > before + 500)
    chat.do("stop")
    assert chat.reply(state="stopped").startswith(viewer.shown[viewer.message])


def test_two_embedded_servers_share_the_work(cluster, gateway):
    here, there = cluster.serve(), cluster.serve()
    ada = here.first_account()
    chats = [ada.chat(f"Question {n}") for n in range(6)]
    chats += [through(there, ada).chat(f"Question {n}") for n in range(6)]
    for chat in chats:
        assert chat.reply()
    assert len(gateway.requests) == 12


def test_hosts_whose_clocks_are_ten_minutes_apart_reap_nobody_alive_and_everybody_dead(cluster, gateway):
    """Leases are in the database's time."""
    pages, ahead = cluster.pages("clock:600"), cluster.relay("clock:600")
    ada = pages.first_account()
    long_answer(gateway, 300)
    chats = [ada.chat(f"Question {n}") for n in range(3)]
    for chat in chats:
        wait_until(lambda chat=chat: chat.replies and chat.replies[0]["text"])
    cluster.relay("clock:-600")
    for chat in chats:
        assert chat.reply() == words("seed", 300)
    ahead.signal(signal.SIGSTOP)
    long_answer(gateway, 4000)
    orphan = ada.chat("Taken by the one behind")
    wait_until(lambda: orphan.replies and orphan.replies[0]["text"])
    ahead.signal(signal.SIGCONT)
    cluster.processes[-1].kill()
    assert orphan.reply(state="interrupted")
