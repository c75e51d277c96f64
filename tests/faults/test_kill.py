"""The plug is pulled while replies run: nothing that was seen or sent is gone."""

import asyncio

from tests.fake_gateway import answer, words
from tests.server import wait_until
from tests.viewer import Viewer, watching

REPLIES = 20


def test_kill_during_twenty_replies_loses_nothing(server, gateway):
    ada = server.first_account()
    gateway.script(None, answer(words("seed", 2000), pace=0.02))
    chats = [ada.chat(f"Question {n}") for n in range(REPLIES)]
    viewers = [Viewer(chat) for chat in chats]

    async def watch_until_killed():
        tasks = await watching(viewers)
        async with asyncio.timeout(60):
            while not all(len(viewer.shown.get(viewer.message, "")) > 200 for viewer in viewers):
                await asyncio.sleep(0.01)
        await asyncio.to_thread(server.kill)
        await asyncio.gather(*tasks)

    asyncio.run(watch_until_killed())
    server.start()
    for chat, viewer in zip(chats, viewers, strict=True):
        kept = chat.reply(1, "interrupted", timeout=3 if chat is not chats[0] else 10)
        assert gateway.requests_of(chat.key)[0].sent.startswith(kept)
        assert kept.startswith(viewer.shown[viewer.message])
        assert viewer.jumped == 0
    said = server.rows("select text from sessions_core_message where role = 'user' order by id")
    assert [row["text"] for row in said] == [f"Question {n}" for n in range(REPLIES)]
    assert not server.rows("select 1 from sessions_core_delta")
    assert len(gateway.requests) == REPLIES


def test_asking_again_after_a_kill_works(server, gateway):
    ada = server.first_account()
    gateway.script(None, answer(words("seed", 500), pace=0.02), times=1)
    gateway.script(None, answer("The whole answer."))
    chat = ada.chat("Question")
    wait_until(lambda: chat.replies and chat.replies[0]["text"])
    server.kill()
    server.start()
    assert chat.reply(1, "interrupted")
    page = ada.get(f"/chat/?session={chat.key}").text
    assert "The server was restarted while this was being written; what arrived is kept." in page
    assert "Ask again (may repeat actions)" in page
    chat.do("retry", message=chat.replies[0]["id"])
    assert chat.reply(2) == "The whole answer."


def test_a_message_that_was_stored_but_not_begun_is_answered_after_the_restart(server, gateway):
    ada = server.first_account()
    gateway.stop()
    chat = ada.chat("Question")  # the gateway is away: the relay tries again for a while
    server.kill()
    gateway.start()
    server.start()
    state = wait_until(lambda: chat.replies and chat.replies[0]["state"] in ("done", "interrupted") and chat.replies[0])
    if state["state"] == "interrupted":  # it was claimed already when the plug was pulled
        chat.do("retry", message=state["id"])
        chat.reply(2)
    assert gateway.requests[-1].message == "Question"


def test_sigterm_lets_a_short_reply_end_and_a_long_one_be_interrupted(server, gateway):
    ada = server.first_account()
    short, long = ada.chat("warm up"), None
    short.reply()
    gateway.script(short.key, answer(words("short", 60), pace=0.02))
    short.say("short")
    long = ada.chat("long")
    long.reply(1)
    gateway.script(long.key, answer(words("long", 5000), pace=0.02))
    long.say("now long")
    wait_until(lambda: len(long.replies) == 2 and long.replies[1]["text"] and len(short.replies) == 2)
    assert server.stop() == 0
    assert short.reply(2) == words("short", 60)
    server.start()
    assert words("long", 5000).startswith(long.reply(2, "interrupted").strip())
    assert ada.get(f"/chat/?session={long.key}").status_code == 200


def test_the_same_message_sent_a_hundred_times_at_once_is_one(server, gateway):
    from concurrent.futures import ThreadPoolExecutor

    ada = server.first_account()
    chat = ada.chat("Hello")
    chat.reply()
    fields = {"client_id": "11111111-2222-4333-8444-555555555555"}
    with ThreadPoolExecutor(20) as pool:
        codes = set(pool.map(lambda _: chat.say("Once", **fields).status_code, range(100)))
    assert codes == {200}
    chat.reply(2)
    assert [request.message for request in gateway.requests_of(chat.key)] == ["Hello", "Once"]
