"""Several people, tabs and processes do things at the same moment; each thing happens once, and in an order."""

import random
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from tests.fake_gateway import answer, delta, done, role, sleep, words
from tests.server import Person, Talk, wait_until
from tests.viewer import Viewer, staying

TEXT = words("seed", 60)


def through(server, talk):
    """The same chat of the same person, by way of another process."""
    person = Person(server)
    for cookie in talk.person.http.cookies.jar:
        person.http.cookies.set(cookie.name, cookie.value, domain="127.0.0.1")
    other = Talk(person)
    other.pk, other.key = talk.pk, talk.key
    return other


def at_once(*actions):
    """All begin together; gives what each gave."""
    ready = threading.Barrier(len(actions))

    def act(action):
        ready.wait()
        return action()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(act, actions))


@pytest.fixture
def two(cluster):
    """Two processes that do everything, and a chat as seen through each."""
    here, there = cluster.serve(), cluster.serve()
    chat = here.first_account().chat("Hello")
    chat.reply()
    return chat, through(there, chat)


def test_a_storm_of_the_same_message_at_two_processes_is_one_message(two, gateway):
    client_id = uuid.uuid4()
    tabs = [through(talk.person.server, talk) for talk in two for _ in range(10)]
    storm = [lambda tab=tab: [tab.say("Once", client_id=client_id).status_code for _ in range(5)] for tab in tabs]
    assert {code for codes in at_once(*storm) for code in codes} == {200}
    two[0].reply(2)
    assert [request.message for request in gateway.requests_of(two[0].key)] == ["Hello", "Once"]


def test_two_tabs_that_send_at_the_same_moment_are_answered_one_after_the_other(two, gateway):
    here, there = two
    gateway.script(None, answer(TEXT, pace=0.01))
    for n in range(5):
        at_once(lambda n=n: here.say(f"Here {n}"), lambda n=n: there.say(f"There {n}"))
        here.reply(2 * n + 3)
    said = gateway.requests_of(here.key)
    everything = ["Hello", *(f"{where} {n}" for n in range(5) for where in ("Here", "There"))]
    assert sorted(request.message for request in said) == sorted(everything)
    for one, following in pairwise(said):
        assert one.complete and following.opened_at > one.opened_at
    stored = here.person.server.rows("select id, parent_id, role, seq from sessions_core_message order by seq")
    assert [row["role"] for row in stored] == ["user", "assistant"] * 11
    assert all(reply["parent_id"] == asked["id"] for asked, reply in zip(stored[::2], stored[1::2], strict=True))


def test_fifty_times_ask_again_at_two_processes_asks_once(two, gateway):
    gateway.script(two[0].key, [role(), delta("Half")], times=1)  # the stream ends without an end
    two[0].say("Question")
    two[0].reply(2, "interrupted")
    gateway.script(two[0].key, answer(TEXT))
    broken = two[0].replies[1]["id"]
    tabs = [through(talk.person.server, talk) for talk in two for _ in range(10)]
    at_once(*[lambda tab=tab: [tab.do("retry", message=broken) for _ in range(3)] for tab in tabs])
    assert two[0].reply(3) == TEXT
    assert len(two[0].replies) == 3
    assert len(gateway.requests_of(two[0].key)) == 3


@pytest.mark.parametrize("trials", [24])
def test_stop_races_with_the_end_and_the_line_goes_on_once(two, gateway, trials):
    """Through either process, at any moment around the end of a reply of a tenth of a second."""
    chance = random.Random(1)
    gateway.script(None, [role(), *[step for _ in range(5) for step in (delta("word "), sleep(0.02))], done()])
    chats = [two[n % 2].person.chat(f"Question {n}") for n in range(trials)]

    def trial(chat):
        wait_until(lambda: chat.replies)
        chat.say("Next")
        time.sleep(chance.random() * 0.3)
        through(two[chance.randrange(2)].person.server, chat).do("stop")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(trial, chats))
    for chat in chats:
        wait_until(lambda chat=chat: [r["state"] in ("done", "stopped") for r in chat.replies] == [True, True], 60)
        messages = [request.message for request in gateway.requests_of(chat.key)]
        assert messages == sorted(set(messages), key=["Next"].count), "each at most once, in their order"


def test_a_chat_deleted_in_a_reply_leaves_all_tabs_and_comes_back_whole(two, gateway):
    here, there = two
    gateway.script(here.key, answer(words("seed", 5000), pace=0.02))
    here.say("Question")
    viewers = [Viewer(here), Viewer(there)]
    with staying(*viewers):
        wait_until(lambda: all(len(viewer.shown) == 1 for viewer in viewers))
        there.do("delete")
        wait_until(lambda: [viewer.close_code for viewer in viewers] == [4404, 4404])
        wait_until(lambda: gateway.requests_of(here.key)[1].client_left)
    kept = here.reply(2, "stopped")
    assert here.person.get(f"/chat/?session={here.key}").status_code == 404
    here.do("restore")
    assert here.person.get(f"/chat/?session={here.key}").status_code == 200
    assert [reply["text"] for reply in here.replies][1] == kept != ""
    here.do("delete")
    here.do("purge")
    left = [here.person.server.rows(f"select 1 from sessions_core_{name}") for name in ("chat", "message", "delta")]
    assert left == [[], [], []]


def test_a_rolling_restart_of_three_under_load_fails_no_message(cluster, gateway):
    gateway.script(None, answer(TEXT, pace=0.01))
    servers = [cluster.serve() for _ in range(3)]
    ada = servers[0].first_account()
    chats = [ada.chat(f"Chat {n}") for n in range(4)]
    doors = [[through(server, chat) for server in servers] for chat in chats]
    viewers = [Viewer(doors[n][n % 3]) for n in range(4)]
    over = threading.Event()

    def talk(n):
        """As behind a proxy: whichever process answers."""
        said = 0
        while not over.is_set():
            said += 1
            sent_through(doors[n], f"Message {said}")
            wait_until(lambda said=said: ended(chats[n]) == said + 1, 90)
        return said

    with staying(*viewers), ThreadPoolExecutor(4) as pool:
        talking = [pool.submit(talk, n) for n in range(4)]
        for server in servers:
            assert server.stop() == 0
            server.start()
        over.set()
        said = [task.result() for task in talking]
    assert min(said) >= 1
    for chat in chats:
        assert {reply["state"] for reply in chat.replies} <= {"done", "interrupted"}


def sent_through(doors, text):
    client_id = uuid.uuid4()
    wait_until(lambda: any(door.tried(text, client_id) for door in doors), 60)


def ended(chat):
    return sum(reply["state"] not in ("waiting", "streaming") for reply in chat.replies)
