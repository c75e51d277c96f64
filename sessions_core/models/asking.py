"""What a person says and the reply that is asked for; each function is a method of Chat."""

import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import Case, F, Max, TextField, Value, When
from django.db.models.functions import Now

from .. import errors, slash
from ..hub import hub
from ..text import clean_name, clean_text, has_visible
from . import history
from .event import By
from .message import Message
from .names import folded, reserved

if TYPE_CHECKING:
    from .chat import Chat

AUTO_TITLE = 60  # characters


def receive(
    chat: "Chat", text: str, client_id: uuid.UUID | None = None, by: By | None = None, draft: str = ""
) -> Message:
    """Take a message: stored once per client id, answered at once or, while a reply runs, in its turn.

    A command is obeyed at once and answered by a notice; the agent never hears of either. What was typed since or
    elsewhere stays the chat's draft; it goes only where it is what was sent, or the `draft` that became that.
    """
    text = checked_text(text)
    theirs = type(chat).objects.for_user(chat.owner_id)
    call = slash.parsed(text)
    known = call.prepare(theirs.filter(pk=chat.pk).first()) if call else None
    fields = {} if call else {"last_active_at": Now(), "archived_at": None}
    with chat.changing(theirs, client_id, draft=_without(text, clean_text(draft)), **fields):
        if chat.situation.known:
            return chat.messages.get(pk=chat.situation.known)
        if call:
            return _obey(chat, call, client_id, by or By(chat.owner, "slash"), known)
        count(by)
        return _take(chat, slash.unescaped(text), client_id)


def _without(*sent: str) -> Case:
    """A chat's draft, unless it is one of these."""
    return Case(When(draft__in=sent, then=Value("")), default=F("draft"), output_field=TextField())


def count(by: By | None) -> None:
    """One more message of a person to the agent; TooMany when these are too many in a short time."""
    if by:
        by.count("message", settings.MESSAGE_RATE, "These are too many messages in a short time.")


def _obey(chat: "Chat", call: slash.Call, client_id: uuid.UUID | None, by: By, known: Any) -> Message:
    """The notice has its place before the command acts, so that what comes of it, say a chapter, begins after."""
    asked = Message(role=Message.Role.USER, text=call.text, client_id=client_id)
    notice = Message(role=Message.Role.NOTICE, parent=asked)
    place(chat, asked, Message.State.SENT)
    place(chat, notice, Message.State.SENT)
    try:
        with transaction.atomic():
            answer = call.answer(slash.Asker(chat.owner, by, chat, client_id, known))
    except errors.Refusal as refusal:
        chat.refresh_from_db()
        answer = slash.Answer(str(refusal), refusal.offers)
    notice.text, notice.parts = answer.text, answer.parts
    notice.save(update_fields=["text", "parts"])
    return asked


def checked_text(text: str) -> str:
    """A message's text as it is stored; EmptyMessage or MessageTooLong says what is wrong with it."""
    text = clean_text(text)
    if not has_visible(text):
        raise errors.EmptyMessage
    if len(text) > settings.MESSAGE_MAX_LENGTH:
        raise errors.MessageTooLong(len(text), settings.MESSAGE_MAX_LENGTH)
    history.check_fits(text)
    return text


def _take(chat: "Chat", text: str, client_id: uuid.UUID | None) -> Message:
    chat.check_right(chat.situation.open)
    message = Message(role=Message.Role.USER, text=text, client_id=client_id)
    if not chat.title and not chat.is_main:
        title_from(chat, text)
    if not chat.situation.replying:
        place(chat, message, Message.State.SENT, chat.situation.last_seq + 1)
        message.reply = ask(chat, message)
    elif chat.messages.pending().count() < settings.MESSAGES_QUEUED:
        store(chat, message, Message.State.QUEUED)
    else:
        raise errors.QueueFull(settings.MESSAGES_QUEUED)
    return message


def title_from(chat: "Chat", text: str) -> None:
    line = clean_name(text.strip().split("\n")[0][: AUTO_TITLE * 2])
    if reserved(line):
        line = f"“{line}”"
    chat.title = line if len(line) <= AUTO_TITLE else line[: AUTO_TITLE - 1].rsplit(" ", 1)[0] + "…"
    chat.title_key = folded(chat.title)
    chat.persistent = bool(chat.title) and settings.SESSION_DEFAULT_PERSISTENT
    chat.save(update_fields=["title", "title_key", "persistent"])


def store(chat: "Chat", message: Message, state: str) -> None:
    message.chat = chat
    message.state, message.chapter, message.key_number = state, chat.chapter, chat.key_number
    message.save()


def place(chat: "Chat", message: Message, state: str, seq: int = 0) -> None:
    """Store a message at the end of the conversation, which is looked up where it is not known."""
    message.seq = seq or last_seq(chat) + 1
    store(chat, message, state)


def last_seq(chat: "Chat") -> int:
    return chat.messages.aggregate(last=Max("seq"))["last"] or 0


def ask(chat: "Chat", question: Message, instead_of: Message | None = None) -> Message:
    """A new reply to a question, to be written; it takes the place of the one there is."""
    version = instead_of.version + 1 if instead_of else 1
    reply = Message(role=Message.Role.ASSISTANT, parent=question, version=version)
    place(chat, reply, Message.State.WAITING, 0 if instead_of else (question.seq or 0) + 1)
    if instead_of:
        Message.objects.filter(pk=instead_of.pk).update(replaced_by=reply)
    transaction.on_commit(hub.reply_waiting, robust=True)
    return reply


def stop(chat: "Chat", seen: int | None = None) -> bool:
    """Ask whoever writes the running reply to stop; one that nobody has begun stops here. False when none runs, or
    another than the one that was `seen`: what begins in its place is not meant."""
    reply = chat.messages.running().first()
    if reply is None or seen not in (None, reply.pk):
        return False
    Message.objects.running().filter(pk=reply.pk).update(stop_requested_at=Now())
    if chat.messages.waiting().filter(pk=reply.pk).exists() and reply.settle(Message.State.STOPPED):
        return True
    transaction.on_commit(partial(hub.stop_wanted, reply.pk), robust=True)
    return True


def notice(chat: "Chat", text: str, *offers: dict[str, str]) -> Message:
    """Tell the owner something in the conversation, with what can be done about it; the gateway never sees it."""
    with chat.changing():
        message = Message(role=Message.Role.NOTICE, text=text, parts=list(offers))
        place(chat, message, Message.State.SENT)
        return message
