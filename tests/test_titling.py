"""Titles that the gateway thinks of: when, in which session, and what becomes of it."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from asgiref.sync import sync_to_async as db

from sessions_core.gateway import Gateway, kinds
from sessions_core.hub import hub
from sessions_core.models import By, Chat, Leftover
from sessions_core.models.titling import title_in
from sessions_core.relay import Relay, errands, titling
from tests.fake_gateway import answer, status
from tests.loops import run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.thorough]
BY = By(None, "cli")


@pytest.fixture
def gateway(fake_gateway, settings, monkeypatch):
    settings.OPENCLAW_GATEWAY_URL = fake_gateway.url
    settings.OPENCLAW_GATEWAY_TOKEN = fake_gateway.token
    settings.CHAT_TITLES = "gateway"
    monkeypatch.setattr(titling, "SETTLED", 0.05)
    monkeypatch.setattr(errands, "PAUSE", 0.05)
    fake_gateway.script(None, answer("Die Reise nach Norwegen im Mai"))
    return fake_gateway


@asynccontextmanager
async def working(gateway):
    relay = Relay(Gateway(gateway.url, gateway.token, kinds.configured()), hub)
    relay.start()
    try:
        yield relay
    finally:
        await relay.drain(0)


def said(gateway, chat, *texts):
    """Each answered, and all that comes of it done."""

    async def scenario():
        async with working(gateway) as relay, asyncio.timeout(20):
            for text in texts:
                message = await db(chat.receive)(text)
                while (await message.versions.aget()).running or relay.titling.waiting:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.1)
            while await Leftover.objects.aexists():
                await asyncio.sleep(0.02)

    run(scenario())
    chat.refresh_from_db()
    return chat


def asides(gateway):
    return [request for request in gateway.requests if request.key.startswith("webchat-title-")]


def test_after_the_first_answer_the_chat_has_the_gateways_title(gateway, ada):
    chat = said(gateway, Chat.objects.start(ada), "Wann fährt man am besten?", "Und im Juni?")
    assert (chat.title, chat.named) == ("Die Reise nach Norwegen im Mai", False)
    (aside,) = asides(gateway)
    assert "Wann fährt man am besten?" in aside.message and "30 to 40 characters" in aside.message
    assert aside.headers["x-openclaw-agent-id"] == "main"


def test_it_is_asked_in_a_session_of_its_own_that_is_removed(gateway, ada):
    chat = said(gateway, Chat.objects.start(ada), "Wann fährt man am besten?")
    assert gateway.turns[chat.key] == ["Wann fährt man am besten?"]
    assert list(gateway.sessions.rows) == [f"agent:main:{chat.key}"]
    assert not Leftover.objects.exists()


def test_a_persons_name_stays(gateway, ada):
    chat = said(gateway, Chat.objects.start(ada, title="Norway"), "Wann fährt man am besten?")
    assert chat.title == "Norway" and asides(gateway) == []


def test_one_given_meanwhile_stays_too(gateway, ada, monkeypatch):
    entitle = titling.entitle

    def renamed_before(chats, found, answer):
        Chat.objects.get().rename("Norway", BY)
        return entitle(chats, found, answer)

    monkeypatch.setattr(titling, "entitle", renamed_before)
    assert said(gateway, Chat.objects.start(ada), "Wann?").title == "Norway"
    assert len(asides(gateway)) == 1


def test_as_it_is_the_first_words_are_the_title(gateway, ada, settings):
    settings.CHAT_TITLES = "words"
    assert said(gateway, Chat.objects.start(ada), "Wann fährt man?").title == "Wann fährt man?"
    assert asides(gateway) == []


def test_where_the_gateway_fails_the_first_words_stay_and_nothing_is_left(gateway, ada):
    chat = Chat.objects.start(ada)
    gateway.script(chat.key, answer("In May."))
    gateway.script(None, [status(500, body="broken")])
    assert said(gateway, chat, "Wann fährt man?").title == "Wann fährt man?"
    assert list(gateway.sessions.rows) == [f"agent:main:{chat.key}"]


def test_a_fork_keeps_its_title(gateway, ada):
    chat = said(gateway, Chat.objects.start(ada), "Wann fährt man am besten?")
    chat.rename("Norway", BY)
    assert said(gateway, chat.fork(BY), "Und im Juni?").title == "Norway"
    assert len(asides(gateway)) == 1


def test_a_plain_server_is_asked_too_and_has_no_session_to_remove(gateway, ada, settings):
    settings.GATEWAY_KIND, settings.GATEWAY_MODEL = "openai", "small"
    chat = said(gateway, Chat.objects.start(ada), "Wann fährt man am besten?")
    assert chat.title == "Die Reise nach Norwegen im Mai"
    assert [len(request.body["messages"]) for request in gateway.requests] == [1, 1]
    assert not Leftover.objects.exists() and gateway.tool_calls == []


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("Norway in May", "Norway in May"),
        ("“Norway in May.”", "Norway in May"),
        ('Title: **"Norway in May"**', "Norway in May"),
        ("\n\n# Norway in May\nThis title …", "Norway in May"),
        ("Titel: Norwegen im Mai", "Norwegen im Mai"),
        ("ノルウェーの五月", "ノルウェーの五月"),
        ("a word " * 15, "a word a word a word a word a word a word a word a word a…"),
        ("Sure! " + "I would be glad to help you with that. " * 5, ""),
        ("main", ""),
        ("webchat-1", ""),
        ("…", ""),
        ("", ""),
    ],
)
def test_what_a_model_says_is_cleaned(words, title):
    assert title_in(words) == title
