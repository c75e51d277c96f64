"""What changes a chat begins at its row: a message that comes as a reply ends is asked or in line, never stranded."""

import threading

import pytest
from django.db import connection

from sessions_core.models import Chat, Message, User

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.thorough]


@pytest.fixture
def reply():
    """One that is being written, in a chat of its own."""
    chat = Chat.objects.start(User.objects.create_user("ada"))
    chat.receive("First")
    Message.objects.claim("me", 1)
    return Message.objects.replies().select_related("chat").get()


class Meanwhile(threading.Thread):
    """Does something over a connection of its own; what went wrong comes out with `over`."""

    def __init__(self, action):
        super().__init__(daemon=True)
        self.action, self.error = action, None
        self.start()

    def run(self):
        try:
            self.action()
        except Exception as error:
            self.error = error
        finally:
            connection.close()

    def over(self):
        self.join(20)
        assert not self.is_alive() and self.error is None


def test_a_message_that_comes_while_a_reply_ends_is_asked(reply, monkeypatch):
    """The end has looked at the line already, and is not committed yet."""
    others = []
    line_up = Chat.line_up

    def then_a_message_comes(chat, after):
        line_up(chat, after)
        others.append(Meanwhile(lambda: Chat.objects.get(pk=chat.pk).receive("Second")))
        others[0].join(0.5)

    monkeypatch.setattr(Chat, "line_up", then_a_message_comes)
    assert reply.settle("done")
    others[0].over()
    assert list(said(reply)) == ["sent", "sent"]
    assert Message.objects.waiting().get().parent.text == "Second"


def test_a_reply_that_ends_while_a_message_comes_sends_it_on(reply, monkeypatch):
    """The message has seen the reply run, and is not committed yet."""
    others = []
    save = Message.save

    def then_the_reply_ends(message, **kwargs):
        save(message, **kwargs)
        if message.state == "queued":
            others.append(Meanwhile(lambda: reply.settle("done")))
            others[0].join(0.5)

    monkeypatch.setattr(Message, "save", then_the_reply_ends)
    Chat.objects.get(pk=reply.chat_id).receive("Second")
    others[0].over()
    assert list(said(reply)) == ["sent", "sent"]
    assert Message.objects.waiting().get().parent.text == "Second"


def test_of_two_messages_at_once_one_is_asked_and_one_is_in_line(reply, monkeypatch):
    assert reply.settle("done")
    others = []
    save = Message.save

    def then_another_comes(message, **kwargs):
        save(message, **kwargs)
        if not others:
            others.append(Meanwhile(lambda: Chat.objects.get(pk=reply.chat_id).receive("Third")))
            others[0].join(0.5)

    monkeypatch.setattr(Message, "save", then_another_comes)
    Chat.objects.get(pk=reply.chat_id).receive("Second")
    others[0].over()
    assert list(said(reply)) == ["sent", "sent", "queued"]


def said(reply):
    return reply.chat.messages.filter(role="user").order_by("pk").values_list("state", flat=True)
