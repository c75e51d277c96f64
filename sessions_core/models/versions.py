"""Saying something anew. Nothing is lost by it: what was there stays as an earlier version, to look back at.

A reply's versions share their parent, the question; a question's later versions have the first one as their parent.
What takes the place of something is named there as `replaced_by`: the next version, which in the case of a question
replaces all that followed as well. What nothing has replaced is the conversation that goes on.

The gateway cannot forget one turn of a memory. So what replaces something it has answered begins a new memory, under a
key never used before, and the conversation up to there goes along. Each function is a method of Chat.
"""

import uuid
from typing import TYPE_CHECKING

from django.db.models import Q
from django.db.models.functions import Now

from .. import errors, slash
from .asking import checked_text, count
from .event import By
from .message import Message

if TYPE_CHECKING:
    from .chat import Chat


def retry(chat: "Chat", reply: Message) -> Message:
    """Ask for the last reply again that went wrong, under the same key: the gateway has forgotten the attempt."""
    chat.check_right()
    with chat.changing(last_active_at=Now()):
        if newer := _newer(chat, reply):
            return newer
        if not reply.retryable:
            raise errors.NothingToRetry
        return chat._ask(_question_of_last(chat, reply), instead_of=reply)


def regenerate(chat: "Chat", reply: Message, by: By | None = None) -> Message:
    """Ask for another version of the last reply, which is done; asked for twice at once, it is the same one."""
    _check_memory(chat)
    with chat.changing(last_active_at=Now()):
        if newer := _newer(chat, reply):
            return newer
        if reply.state != Message.State.DONE:
            raise errors.NothingToRetry
        question = _question_of_last(chat, reply)
        count(by)
        chat.turn_to(chat.chapter, chat.unused_key_number())
        return chat._ask(question, instead_of=reply)


def edit(
    chat: "Chat", question: Message, text: str, client_id: uuid.UUID | None = None, by: By | None = None
) -> Message:
    """Say a question of this chapter in other words; what followed goes with the old ones. Once per client id."""
    text = checked_text(text)
    if slash.parsed(text):
        raise errors.CommandInEdit
    _check_memory(chat)
    with chat.changing(last_active_at=Now(), archived_at=None):
        if client_id and (known := chat.messages.filter(client_id=client_id).first()):
            return known
        _check_question(chat, question)
        count(by)
        chat.turn_to(chat.chapter, chat.unused_key_number())
        first, version = question.parent or question, question.version + 1
        said = Message(role=Message.Role.USER, parent=first, version=version, text=slash.unescaped(text))
        said.client_id = client_id
        chat._place(said, Message.State.SENT)
        followed = chat.messages.current().filter(seq__gte=question.seq, seq__lt=said.seq)
        followed.update(replaced_by=said)
        chat._ask(said)
        return said


def _check_memory(chat: "Chat") -> None:
    """There is one main session for all who share it, and one that is the gateway's own is its only memory: nobody can
    leave either behind for a new one. And whoever asks for anything anew must still have the agent."""
    if not chat.has_own_keys:
        which = "The agent's main session is shared" if chat.is_main else "This session is the gateway's own"
        raise errors.NotAllowed(
            f"{which} and keeps what was said, so nothing in it can be said anew. Send a new message instead."
        )
    chat.check_right()


def _newer(chat: "Chat", reply: Message) -> Message | None:
    """The reply there is now, where this one, as it stands in the database, has been replaced."""
    reply.refresh_from_db()
    return chat.messages.current().replies().order_by("seq").last() if reply.replaced_by_id else None


def _question_of_last(chat: "Chat", reply: Message) -> Message:
    """What the last reply answers; NothingToRetry where it is not the last, or another is being written."""
    later = chat.messages.current().filter(Q(role=Message.Role.ASSISTANT) | ~Q(origin=""), seq__gt=reply.seq)
    if reply.parent is None or reply.chapter != chat.chapter or later.exists() or chat.messages.running().exists():
        raise errors.NothingToRetry
    return reply.parent


def _check_question(chat: "Chat", question: Message) -> None:
    question.refresh_from_db()
    if question.replaced_by_id:
        raise errors.NotEditable("This message was changed meanwhile, here or elsewhere. Edit its newest version.")
    if chat.messages.running().exists():
        raise errors.NotEditable("A reply is being written. Stop it, or wait until it is there, then edit.")
    if question.chapter != chat.chapter or not chat.messages.asked().filter(pk=question.pk).exists():
        raise errors.NotEditable("Only what you said to the agent in the present chapter can be edited.")
