"""What is said in our sessions from elsewhere, and what the gateway forgets, as an open page of the app shows it."""

import re
import time
import uuid

from sessions_core.models.hearing import BEGAN_ANEW
from tests.chaos_proxy import ChaosProxy
from tests.server import Talk, wait_until
from tests.viewer import Viewer, staying

from . import rpc
from .test_app import RECALL
from .test_gateway_facts import ask
from .test_managed import elsewhere, manage

WITHIN = 5.0  # seconds, from the moment it was typed: as promised
A_WHILE = 60.0
ORIGINS = re.compile(r'class="message__origin">from ([^<]+)<')


class Page(Viewer):
    """Keeps when something was on it first."""

    def __init__(self, talk):
        super().__init__(talk)
        self.html = ""

    async def _fetch(self):
        path = f"/chats/{self.talk.pk}/messages/?after=0"
        async with self.http.get(f"{self.address}{path}", headers={"HX-Request": "true"}) as answer:
            self.html = await answer.text()

    def shows(self, *words, within=A_WHILE):
        wait_until(lambda: all(word in self.html for word in words), within, lambda: f"{words} in {self.html[-2000:]}")


def rows(talk):
    told = talk.person.server.rows(
        "select role, state, text, origin from sessions_core_message where chat_id = ? order by seq", talk.pk.hex
    )
    return [(row["role"], row["state"], row["text"], row["origin"]) for row in told]


def plain_turn(question, answer):
    return [("user", "sent", question, ""), ("assistant", "done", answer, "")]


def opened(page):
    """Its feed is there when the gateway has been asked for it; nothing tells, so a moment is given to it."""
    wait_until(lambda: page.connections)
    time.sleep(3)


def test_what_is_typed_in_openclaw_itself_is_on_the_open_page_within_seconds(openclaw, ada):
    chat = ada.chat("remember: teal")
    chat.reply(timeout=120)
    page = Page(chat)
    with staying(page):
        opened(page)
        rpc.say(openclaw, chat.key, "remember: amber")
        page.shows("remember: amber", within=WITHIN)
        page.shows("Noted: amber.", "from the gateway")
        chat.say(RECALL)
        assert "teal; amber" in chat.reply(3, timeout=120)
        time.sleep(4)  # in which nothing must be doubled
    assert rows(chat) == [
        *plain_turn("remember: teal", "Noted: teal."),
        ("user", "sent", "remember: amber", "the gateway"),
        ("assistant", "done", "Noted: amber.", "the gateway"),
        *plain_turn(RECALL, "Facts: teal; amber. I saw 3 user and 2 assistant turns."),
    ]


def test_what_was_typed_while_no_page_was_open_is_there_when_one_is(openclaw, ada):
    chat = ada.chat("remember: teal")
    chat.reply(timeout=120)
    rpc.say(openclaw, chat.key, "remember: amber")
    time.sleep(5)
    assert len(rows(chat)) == 2, "nobody has looked"
    page = Page(chat)
    with staying(page):
        page.shows("Noted: amber.")
    assert ORIGINS.findall(page.html) == ["the gateway"] * 2


def test_a_stop_a_lost_tail_a_failure_and_commands_of_the_gateway_double_nothing(openclaw, ada):
    chat = ada.chat("remember: teal")
    chat.reply(timeout=120)
    page = Page(chat)
    with staying(page):
        opened(page)
        chat.say("slow 300")
        wait_until(lambda: len(chat.replies) == 2 and chat.replies[1]["text"], 60)
        chat.do("stop")
        chat.reply(2, "stopped")
        chat.say("fail 404")
        chat.reply(3, "failed", timeout=120)
        chat.say("//new is\n\n  a  word")
        chat.reply(4, timeout=120)
        rpc.call(openclaw, "chat.inject", sessionKey=f"agent:main:{chat.key}", message="A word from the operator.")
        page.shows("A word from the operator.")
        chat.say("x" * 9000)
        chat.reply(6, timeout=120)
        time.sleep(4)
    told = rows(chat)
    assert [row[0] for row in told].count("user") == 5
    assert [row[2] for row in told if row[3]] == ["A word from the operator."]
    assert not [row for row in told if row[0] == "notice"]


def test_a_reset_there_is_said_here_and_reminding_brings_the_conversation_back(openclaw, ada, provider):
    chat = ada.chat("remember: teal")
    chat.reply(timeout=120)
    page = Page(chat)
    with staying(page):
        opened(page)
        rpc.say(openclaw, chat.key, "/new")
        page.shows("Remind it", within=A_WHILE)
        chat.do("remind")
        chat.say(RECALL)
        assert "teal" in chat.reply(len(chat.replies), timeout=120)
        rpc.say(openclaw, chat.key, "remember: amber")
        page.shows("Noted: amber.")
    assert [row[2] for row in rows(chat)].count(BEGAN_ANEW) == 1
    assert provider.requests_of(chat.key)[-1].facts.count("teal") >= 1


class Forgetful(ChaosProxy):
    """While it is silent it does not tell the gateway either that the client is gone."""

    async def _pass(self, reader, writer, asker=None):
        if asker:
            writer.can_write_eof = lambda: False
        await super()._pass(reader, writer, asker)


def test_an_answer_that_did_not_reach_us_is_fetched_instead_of_asked_again(openclaw, make_server, provider):
    with Forgetful(openclaw.url) as proxy:
        server = make_server(openclaw, OPENCLAW_GATEWAY_URL=proxy.url)
        chat = server.first_account().chat("remember: teal")
        chat.reply(timeout=120)
        chat.say("slow 40")
        wait_until(lambda: len(chat.replies) == 2 and chat.replies[1]["text"], 60)
        proxy.silent = True
        server.kill()
        asked = wait_until(lambda: [r for r in provider.requests_of(chat.key) if r.finished][1:], 30)
        time.sleep(2)
        proxy.silent = False
        server.start()
        chat.reply(2, "interrupted")
        page = Page(chat)
        with staying(page):
            page.shows("39 40")
        assert chat.reply(2).split() == [str(n) for n in range(1, 41)]
        assert len(provider.requests_of(chat.key)) == 2 and len(asked) == 1
        chat.say(RECALL)
        assert "teal" in chat.reply(3, timeout=120)


def test_an_earlier_release_is_followed_too(older, make_server):
    chat = make_server(older).first_account().chat("remember: teal")
    chat.reply(timeout=120)
    page = Page(chat)
    with staying(page):
        opened(page)
        rpc.say(older, chat.key, "remember: amber")
        page.shows("remember: amber", within=WITHIN)
        page.shows("Noted: amber.", "from the gateway")
        chat.say("slow 300")
        wait_until(lambda: chat.replies[-1]["state"] == "streaming" and chat.replies[-1]["text"], 60)
        chat.do("stop")
        wait_until(lambda: chat.replies[-1]["state"] == "stopped")
        chat.say(RECALL)
        assert "teal" in chat.reply(4, timeout=120)
        rpc.call(older, "sessions.reset", key=f"agent:main:{chat.key}")
        chat.say("Hello again")
        chat.reply(5, timeout=120)
        page.shows("Remind it")
        time.sleep(3)
    told = rows(chat)
    assert [row[0] for row in told].count("user") == 5
    assert [row[2] for row in told].count(BEGAN_ANEW) == 1


def test_the_main_session_is_followed_by_its_full_key(openclaw, server, ada):
    word = uuid.uuid4().hex[:8]
    ask(openclaw, "main", f"remember: {word}")
    ada.post("/chats/", main="1")
    pk = server.rows("select id from sessions_core_chat where openclaw_session_key is null")[0]["id"]
    talk = Talk(ada)
    talk.pk = uuid.UUID(pk)
    page = Page(talk)
    with staying(page):
        page.shows(f"Noted: {word}.")
        opened(page)
        rpc.say(openclaw, "main", f"remember: {word}2")
        page.shows(f"remember: {word}2", within=WITHIN)
        page.shows(f"Noted: {word}2.")


def test_what_is_said_in_an_adopted_session_is_on_its_open_page_within_seconds(openclaw, server, ada):
    key = f"agent:main:discord:channel:{uuid.uuid4().hex[:8]}"
    elsewhere(openclaw, key, "remember: teal")
    manage(server, "sessions", "adopt", "--user", "ada", key)
    chat = ada.talk(uuid.UUID(server.rows("select id from sessions_core_chat")[0]["id"]))
    page = Page(chat)
    with staying(page):
        opened(page)
        rpc.say(openclaw, key, "remember: amber")
        page.shows("remember: amber", within=WITHIN)
        page.shows("Noted: amber.")
        chat.say(RECALL)
        assert "teal; amber" in chat.reply(3, timeout=120)
        time.sleep(4)  # in which nothing must be doubled
    assert [row[2] for row in rows(chat)] == [
        *("remember: teal", "Noted: teal.", "remember: amber", "Noted: amber.", RECALL),
        "Facts: teal; amber. I saw 3 user and 2 assistant turns.",
    ]


def test_what_a_killed_gateway_goes_on_with_by_itself_completes_the_answer(openclaw, ada):
    chat = ada.chat("slow 30")
    wait_until(lambda: chat.replies and "5 " in chat.replies[0]["text"], A_WHILE)
    openclaw.process.kill()
    openclaw.process.wait()
    came = chat.reply(1, "interrupted", timeout=A_WHILE)
    openclaw.start()
    openclaw.wait_ready()
    with staying(Page(chat)):
        answer = chat.reply(1, timeout=120)
    assert answer.startswith(came.strip()) and "You said: [System]" in answer  # which is all the scripted model says
    assert rows(chat) == plain_turn("slow 30", answer)
