"""The plug is pulled at one exact place: what was committed there is kept, what was not never was."""

import uuid
from contextlib import suppress

import httpx2
import pytest

from tests.fake_gateway import answer, words
from tests.server import Talk, wait_until
from tests.viewer import Viewer, staying

TEXT = words("seed", 60)


@pytest.fixture
def mortal(make_server):
    """A server with an account, started again so that it dies at a place; and the account."""

    def mortal(place):
        server = make_server().start()
        ada = server.first_account()
        server.stop()
        server.faults = (f"die:{place}",)
        return server.start(), ada

    return mortal


def dead(server):
    return server.process.poll() is not None


def asked(ada, text):
    """A new chat, whether or not the server lived long enough to say so."""
    chat = Talk(ada)
    with suppress(httpx2.TransportError):
        chat.send("/chats/", text, id=chat.pk)
    return chat


def again(server):
    """It died, and the next start is a healthy one."""
    wait_until(lambda: dead(server), 30)
    server.faults = ()
    server.start()


def test_after_the_commit_and_before_anybody_is_told_the_message_is_answered_by_the_next_start(mortal, gateway):
    server, ada = mortal("sessions_core.hub.Hub.reply_waiting:entry")
    asked(ada, "Question")
    again(server)
    wait_until(lambda: server.rows("select 1 from sessions_core_message where state = 'done'"))
    states = server.rows("select role, state, text from sessions_core_message order by id")
    assert [(row["role"], row["state"]) for row in states] == [("user", "sent"), ("assistant", "done")]
    assert [request.message for request in gateway.requests] == ["Question"]


def test_before_the_commit_nothing_is_there_and_sending_again_works(mortal, gateway):
    server, ada = mortal("sessions_core.models.message.Message.save:exit")
    sent = {"id": uuid.uuid4(), "client_id": uuid.uuid4(), "text": "Question"}
    with pytest.raises(httpx2.TransportError):
        ada.post("/chats/", **sent)
    again(server)
    assert not server.rows("select 1 from sessions_core_message")
    assert not gateway.requests
    assert ada.post("/chats/", **sent).status_code == 200
    wait_until(lambda: server.rows("select 1 from sessions_core_message where state = 'done'"))
    assert len(server.rows("select 1 from sessions_core_message")) == 2


@pytest.mark.parametrize(
    ("place", "ends"),
    [
        ("sessions_core.models.message.Message.turns:entry", "interrupted"),
        ("sessions_core.models.message.MessageQuerySet.append:entry:3", "interrupted"),
        ("sessions_core.models.message.MessageQuerySet.append:exit:3", "interrupted"),
        ("sessions_core.models.ending._end:exit", "interrupted"),
        ("sessions_core.models.chat.Chat.line_up:entry", "interrupted"),  # folded, and not committed
        ("sessions_core.models.message.Message.settle:exit", "done"),
    ],
)
def test_in_a_reply_it_is_whole_or_interrupted_and_never_half(mortal, gateway, place, ends):
    server, ada = mortal(place)
    gateway.script(None, answer(TEXT, pace=0.01))
    chat = asked(ada, "Question")
    viewer = Viewer(chat)
    with staying(viewer):
        again(server)
        kept = chat.reply(1, ends, timeout=30)
        reply = chat.replies[0]["id"]
        assert kept.startswith(viewer.shown.get(reply, ""))
        if ends == "done":
            assert kept == TEXT
        else:
            gateway.script(chat.key, answer("Again."))
            chat.do("retry", message=reply)
            assert chat.reply(2) == "Again."
        wait_until(lambda: chat.replies[-1]["id"] in viewer.final)
    assert not server.rows("select 1 from sessions_core_delta")


def test_in_a_line_the_next_message_is_asked_once(mortal, gateway):
    server, ada = mortal("sessions_core.models.message.Message.settle:exit")
    gateway.script(None, answer(TEXT, pace=0.02))
    chat = asked(ada, "One")
    wait_until(lambda: chat.replies and chat.replies[0]["text"])
    chat.say("Two")
    again(server)
    chat.reply(2)
    assert [request.message for request in gateway.requests_of(chat.key)] == ["One", "Two"]
