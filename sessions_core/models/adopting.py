"""Sessions that the gateway has and this app has not: a person's own from its other channels, or ours after a restore.
Which there are, and making chats of them."""

import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from .. import errors
from ..gateway import GatewayError, kinds, origins, tools, transcript
from ..hub import hub
from ..text import MAX_NAME, clean_name
from . import grant
from .event import By
from .leftover import Leftover
from .message import Message
from .names import KEY_PREFIX, MAIN, folded, free_name, reserved
from .user import User

if TYPE_CHECKING:
    from .chat import Chat
    from .chats import ChatQuerySet

MOST_LISTED = 500  # sessions
WITHIN = 5.0  # seconds, for each page of a list
HISTORY_PAGES, MOST_TOLD = 100, 2_000  # of the transcript's pages, and messages taken from them
SPEAKERS = (Message.Role.USER, Message.Role.ASSISTANT)
OURS = re.compile(r"(webchat-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(-c\d{1,9})?$")
PASSING = (f"{KEY_PREFIX}title-", f"{KEY_PREFIX}doctor-")  # sessions that this app makes for a moment


@dataclass(frozen=True)
class Found:
    """A session as the gateway describes it."""

    key: str  # the whole one
    agent: str
    label: str
    title: str  # derived from what was said, where it has no label
    channel: str
    last_active: datetime | None

    @classmethod
    def of(cls, session: dict[str, Any]) -> "Found | None":
        """None for what cannot be asked by its key, or is nobody's to have: the main session has a way of its own."""
        match = kinds.FULL_KEY.fullmatch(key := str(session.get("key") or ""))
        if match is None or is_passing(key):
            return None
        label, title = (clean_name(str(session.get(name) or "")) for name in ("label", "derivedTitle"))
        channel = str(session.get("channel") or "")
        said_in = origins.CHANNELS.get(channel, channel if channel not in ("unknown", "webchat") else "")
        return cls(key, match[1], label, title, clean_name(said_in)[:40], tools.moment(session.get("updatedAt")))

    @property
    def name(self) -> str:
        return self.label or self.title or self.rest

    @property
    def rest(self) -> str:
        return self.key.split(":", 2)[2]


def is_passing(key: str) -> bool:
    """The main session, which has a way of its own to a chat, and those that are there for a moment."""
    rest = key.split(":", 2)[2]
    return rest == MAIN or rest.startswith(PASSING)


# --- which there are


def adoptable(owner: User, search: str = "") -> list[Found]:
    """Those of the agents open to this person that are no chat yet, the last used first; GatewayRefused where the
    gateway does not list them."""
    try:
        found = {one.key: one for agent in grant.offered_to(owner) for one in listed(agent, search)}
    except GatewayError as error:
        raise errors.GatewayRefused(str(error)) from None
    taken = taken_among(found)
    left = [one for key, one in found.items() if key not in taken and grant.is_open_to(owner.pk, one.agent)]
    return sorted(left, key=lambda one: one.last_active or datetime.min.replace(tzinfo=UTC), reverse=True)


def listed(agent: str, search: str = "") -> Iterator[Found]:
    """The last used of an agent's sessions."""
    sessions = tools.listed_sessions(agent, search, most=MOST_LISTED, seconds=WITHIN, includeDerivedTitles=True)
    yield from filter(None, map(Found.of, islice(sessions, MOST_LISTED)))


def taken_among(keys: Iterable[str]) -> set[str]:
    """Those of the gateway's keys under which a chat, also one in the trash, has one of its memories; and those that
    are about to be deleted there."""
    from .chat import Chat

    first = {key: OURS.sub(r"\1", key) for key in keys}  # chapter
    short = {key.split(":", 2)[2] for key in first.values()}
    chats = Chat.objects.filter(openclaw_session_key__in=short | {*keys}).values_list("openclaw_session_key", "agent")
    gone = Leftover.objects.filter(key__in={key.split(":", 2)[2] for key in keys}).values_list("key", "agent")
    taken = {kinds.full_key(key or MAIN, agent) for key, agent in (*chats, *gone)}
    return {key for key in keys if key in taken or first[key] in taken}


# --- making chats of them


def adopt(chats: "ChatQuerySet", owner: User, key: str, by: By) -> "Chat":
    """A chat under the gateway's own key, with what was said there; from now on it goes on in that very memory.

    Raises NoSuchSession, IsAChat, NotAllowed, GatewayRefused, NoRoomForNames.
    """
    found = checked(owner, key)
    try:
        told = transcript.read(found.key, found.agent, most_pages=HISTORY_PAGES)
        alone = not others_of(found)
    except GatewayError as error:
        raise errors.GatewayRefused(str(error)) from None
    chat = made(chats, owner, found, as_ours=alone)
    said = [entry for entry in told.entries if entry.role in SPEAKERS and entry.text.strip()][-MOST_TOLD:]
    try:
        return stored(chats, chat, said, found, by)
    except IntegrityError:  # twice at once
        raise errors.IsAChat(found.key) from None


def checked(owner: User, key: str) -> Found:
    """What would be adopted; raises as `adopt` does."""
    found = sought(key)
    if not grant.is_open_to(owner.pk, found.agent):
        raise errors.NotAllowed(f"The agent “{found.agent}” is not open to {owner}.")
    if taken_among([found.key]):
        raise errors.IsAChat(found.key)
    return found


def sought(key: str) -> Found:
    match = kinds.FULL_KEY.fullmatch(key)
    if not match or is_passing(key):
        raise errors.NoSuchSession(key)
    try:
        session = tools.find_session(key, match[1], WITHIN, includeDerivedTitles=True)
    except GatewayError as error:
        raise errors.GatewayRefused(str(error)) from None
    if not (found := Found.of(session or {})):
        raise errors.NoSuchSession(key)
    return found


def others_of(found: Found) -> bool:
    """Whether one of our sessions has further memories on the gateway, which a reset here would come upon again."""
    if not (match := OURS.fullmatch(found.rest)):
        return False
    sessions = tools.listed_sessions(found.agent, match[1], seconds=WITHIN)
    return any(session.get("key") != found.key for session in sessions)


def made(chats: "ChatQuerySet", owner: User, found: Found, *, as_ours: bool) -> "Chat":
    ours = OURS.fullmatch(found.rest)
    own = ours is not None and not ours[2] and as_ours
    chat = chats.model(
        pk=uuid.UUID(found.rest.removeprefix(KEY_PREFIX)) if own else uuid.uuid4(),
        owner=owner,
        agent=found.agent,
        openclaw_session_key=found.rest if own else found.key,
        last_active_at=found.last_active or timezone.now(),
        user_created=True,
    )
    title = found.label or found.title
    title = f"“{title[: MAX_NAME - 2]}”" if reserved(title) else title
    if found.label:
        title, chat.title_source = free_name(title, chats.for_user(owner).names()), chat.TitleSource.USER
    chat.title, chat.title_key = title, folded(title)
    return chat


@transaction.atomic
def stored(chats: "ChatQuerySet", chat: "Chat", entries: list[transcript.Entry], found: Found, by: By) -> "Chat":
    User.count_list_change(chat.owner_id)
    if chat.named:
        chats.for_user(chat.owner_id).room_for_a_name()
    chat.read_seq = len(entries)
    chat.save(force_insert=True)
    store_history(chat, entries, found)
    chat.log("adopted", by, key=found.key, messages=len(entries))
    transaction.on_commit(partial(hub.list_changed, chat.owner_id), robust=True)
    return chat


def store_history(chat: "Chat", entries: list[transcript.Entry], found: Found) -> None:
    """What was said, as it stands in the transcript: elsewhere, or in this app under one of its own keys."""
    messages = [as_message(chat, entry, seq) for seq, entry in enumerate(entries, 1)]
    if OURS.fullmatch(found.rest):
        return store_pairs(messages)
    origin = ""
    for message in messages:  # an answer came from where its question did
        origin = message.origin or (origin if message.role == Message.Role.ASSISTANT else found.channel)
        message.origin = (origin or origins.GATEWAY)[: origins.MOST]
    Message.objects.bulk_create(messages)


def store_pairs(messages: list[Message]) -> None:
    """An answer belongs to the question before it."""
    asked: str = Message.Role.USER
    question: Message | None = None
    Message.objects.bulk_create(one for one in messages if one.role == asked)
    for one in messages:
        if one.role == asked:
            question = one
        else:
            one.parent, question = question, None  # what follows it was said unasked
    Message.objects.bulk_create(one for one in messages if one.role != asked)


def as_message(chat: "Chat", entry: transcript.Entry, seq: int) -> Message:
    at = entry.at or chat.created_at
    answer = entry.role == Message.Role.ASSISTANT
    return Message(
        chat=chat,
        chapter=chat.chapter,
        key_number=chat.key_number,
        seq=seq,
        role=entry.role,
        state=Message.State.DONE if answer else Message.State.SENT,
        text=entry.text[: settings.REPLY_MAX_LENGTH],
        origin=entry.origin,
        transcript_id=entry.id,
        created_at=at,
        ended_at=at if answer else None,
    )
