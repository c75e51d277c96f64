"""Chats out of an exported file: all of it or nothing, under new keys."""

import codecs
import json
from functools import partial
from typing import Any

import orjson
from django.conf import settings
from django.db import IntegrityError, transaction

from .. import errors
from ..gateway import origins
from ..gateway.thoughts import MOST_KEPT
from ..hub import hub
from ..models import By, Chat, Message, PastTitle, User
from ..models.grant import offered_to, usual_for
from ..models.names import KEY_PREFIX, MAX_FOLDED, checked_name, folded, free_name
from ..models.turns import CARRIED
from ..text import clean_name, clean_text
from .data import FORMAT, VERSION
from .fields import Fields
from .versions import name_what_replaced, read_parent

LARGEST = 100_000_000  # bytes
MOST_CHATS = 200
MOST_MESSAGES = 100_000
MOST_OLD_NAMES = 1_000
MOST_OF_PARTS = 20_000  # characters
BATCH = 500  # rows

Role, State = Message.Role, Message.State
STATES = {
    Role.USER: (State.SENT, *Message.PENDING, State.CANCELLED),
    Role.ASSISTANT: (*Message.RUNNING, State.DONE, State.STOPPED, State.FAILED, State.INTERRUPTED),
    Role.NOTICE: (State.SENT,),
}
UNPLACED = (*Message.PENDING, State.CANCELLED)
NOW_CALLED = {State.QUEUED: State.HELD} | dict.fromkeys(Message.RUNNING, State.INTERRUPTED)
CUT_OFF = {"error_code": "exported", "error_text": "This was still being written when it was exported."}

NOT_OURS = "This is no export of this app. Choose a .json file that was exported from WebChat."
BROKEN = "This file is damaged: it is no valid JSON. Export it again, and choose the file as it is."
TOO_LARGE = f"The file is larger than {LARGEST // 1_000_000} MB. Export fewer sessions at once."
AT_ONCE = "Your sessions were changed at the same moment, so nothing was imported. Try again."


def load(owner: User, data: bytes, by: By) -> list[Chat]:
    """The chats of a file as new ones of this person; BadImport, TooMany or NoRoomForNames, and then nothing is stored.

    However many they are, they count as one session begun.
    """
    found = [read_chat(owner, number, value) for number, value in enumerate(chats_in(data), 1)]
    if sum(len(messages) for _, _, messages in found) > MOST_MESSAGES:
        raise errors.BadImport(f"The file has more than {MOST_MESSAGES:,} messages. Export fewer sessions at once.")
    Chat.objects.count_start(owner, by)
    try:
        with transaction.atomic():
            User.count_list_change(owner.pk)
            made = [store(by, *parts) for parts in found]
            transaction.on_commit(partial(hub.list_changed, owner.pk), robust=True)
    except IntegrityError:
        raise errors.BadImport(AT_ONCE) from None
    return made


# --- the file


def chats_in(data: bytes) -> list[Any]:
    document = parsed(data)
    if type(document) is not dict or document.get("format") != FORMAT:
        raise errors.BadImport(NOT_OURS)
    file = Fields("The file", document)
    if file.take("version", int) != VERSION:
        raise errors.BadImport("The file comes from a newer version of this app. Update this one first.")
    chats = file.take("chats", list)
    if not chats:
        raise errors.BadImport("There are no sessions in this file.")
    if len(chats) > MOST_CHATS:
        raise errors.BadImport(f"The file has {len(chats):,} sessions; {MOST_CHATS} is the most. Export fewer at once.")
    return chats


def parsed(data: bytes) -> Any:
    if len(data) > LARGEST:
        raise errors.BadImport(TOO_LARGE)
    data = data.removeprefix(codecs.BOM_UTF8)
    if data.lstrip()[:1] != b"{":
        raise errors.BadImport(NOT_OURS)
    try:
        document = orjson.loads(data)
        json.loads(data, object_pairs_hook=refuse_twins)  # orjson does not tell
    except (ValueError, RecursionError):
        raise errors.BadImport(BROKEN) from None
    return document


def refuse_twins(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name twice in one object")


# --- one chat


def read_chat(owner: User, number: int, value: Any) -> tuple[Chat, list[str], list[Message]]:
    """The chat, its old names and its messages, none of them stored yet."""
    fields = Fields.of(f"Session {number}", value)
    chosen = fields.take("chosen", bool)
    title = read_title(fields, chosen)
    fields = Fields(f"“{title}”" if title else fields.where, value)
    chat = Chat(
        owner=owner,
        agent=read_agent(fields, owner),
        title=title,
        title_source=Chat.TitleSource.USER if chosen else Chat.TitleSource.AUTO,
        user_created=chosen,
        persistent=fields.take("persistent", bool),
        pinned=fields.take("pinned", bool),
        archived_at=fields.time_or_none("archived_at"),
        chapter=fields.number("chapter", 1, MOST_MESSAGES),
        draft=fields.text("draft", settings.MESSAGE_MAX_LENGTH),
        created_at=fields.time("created_at"),
        last_active_at=fields.time("last_active_at"),
    )
    chat.openclaw_session_key = f"{KEY_PREFIX}{chat.pk}"
    if chat.persistent and not title:
        raise fields.wrong(" is persistent but has no name.")
    return chat, read_old_names(fields), read_messages(fields, chat)


def read_title(fields: Fields, chosen: bool) -> str:
    title = fields.take("title", str)
    try:
        return checked_name(title) if chosen else clean_name(title)
    except errors.BadName as refusal:
        raise fields.wrong(f": {refusal}") from None


def read_agent(fields: Fields, owner: User) -> str:
    """The file's, where this gateway has it for its new owner; a chat with another could never be answered."""
    agent = fields.take("agent", str)
    usual = usual_for(owner)
    return agent if agent == usual or agent in offered_to(owner) else usual


def read_old_names(fields: Fields) -> list[str]:
    names = fields.take("old_names", list)
    if len(names) > MOST_OLD_NAMES or not all(type(name) is str for name in names):
        raise fields.wrong(f": its old_names are not at most {MOST_OLD_NAMES:,} texts.")
    cleaned = [folded(" ".join(clean_text(name).split())) for name in names]  # not clean_name: folded ones are longer
    return list(dict.fromkeys(name for name in cleaned if 0 < len(name) <= MAX_FOLDED))


# --- its messages


def read_messages(fields: Fields, chat: Chat) -> list[Message]:
    values = fields.take("messages", list)
    if len(values) > MOST_MESSAGES:
        raise fields.wrong(f" has {len(values):,} messages; {MOST_MESSAGES:,} is the most.")
    name = fields.where
    messages: list[Message] = []
    for number, value in enumerate(values, 1):
        messages.append(read_message(Fields.of(f"Message {number} of {name}", value), chat, messages))
    placed = [message for message in messages if message.state not in UNPLACED]
    for seq, message in enumerate(placed, 1):
        message.seq = seq
    chat.read_seq = len(placed)
    return messages


def read_message(fields: Fields, chat: Chat, before: list[Message]) -> Message:
    role = Role(fields.choice("role", Role.values))
    state = State(fields.choice("state", STATES[role]))
    cut_off = state in Message.RUNNING
    return Message(
        chat=chat,
        chapter=fields.number("chapter", 1, chat.chapter),
        key_number=CARRIED,
        role=role,
        state=NOW_CALLED.get(state, state),
        text=read_text(fields, role),
        thinking=fields.text("thinking", MOST_KEPT) if "thinking" in fields.values else "",
        origin=fields.text("origin", origins.MOST) if "origin" in fields.values else "",
        version=fields.number("version", 1, MOST_MESSAGES),
        parent=read_parent(fields, role, before),
        parts=fields.plain("parts", list, MOST_OF_PARTS),
        usage=fields.plain("usage", dict, MOST_OF_PARTS, optional=True),
        created_at=fields.time("created_at"),
        first_delta_at=fields.time_or_none("first_delta_at"),
        ended_at=fields.time_or_none("ended_at"),
        **(CUT_OFF if cut_off else read_error(fields)),
    )


def read_text(fields: Fields, role: str) -> str:
    if role != Role.USER:
        return fields.text("text", settings.REPLY_MAX_LENGTH)
    try:
        return Chat.checked_text(fields.take("text", str))
    except (errors.EmptyMessage, errors.MessageTooLong) as refusal:
        raise fields.wrong(f": {refusal}") from None


def read_error(fields: Fields) -> dict[str, str]:
    if fields.take("error", dict, optional=True) is None:
        return {}
    error = Fields.of(f"{fields.where}: its error", fields.values["error"])
    return {"error_code": error.text("code", 40), "error_text": error.text("text", 400)}


# --- storing


def store(by: By, chat: Chat, old_names: list[str], messages: list[Message]) -> Chat:
    if chat.named:
        named = Chat.objects.for_user(chat.owner_id).named()
        named.room_for_a_name()
        chat.title = free_name(chat.title, named.names())
    chat.title_key = folded(chat.title)
    chat.save(force_insert=True)
    PastTitle.objects.bulk_create(PastTitle(chat=chat, title_key=name) for name in old_names)
    store_messages(messages)
    chat.log("imported", by, messages=len(messages))
    return chat


def store_messages(messages: list[Message]) -> None:
    """First questions, then their later versions, then what answers either: the id of a parent is known only then."""
    depths: list[list[Message]] = [[], [], []]
    for message in messages:
        depths[0 if message.parent is None else 1 if message.role == Role.USER else 2].append(message)
    for depth in depths:
        for message in depth:
            message.parent = message.parent
        Message.objects.bulk_create(depth, BATCH)
    replaced = name_what_replaced(message for message in messages if message.seq)
    Message.objects.bulk_update(replaced, ["replaced_by"], BATCH)
