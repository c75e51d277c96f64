"""The conversation as its reader has it: so many messages at a time, how far they were read, and what is typed but not
sent. Each function is a method of Chat."""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Max, Q, QuerySet

from .. import errors
from ..hub import hub
from ..text import clean_text
from .message import Message
from .user import User

if TYPE_CHECKING:
    from .chat import Chat

PAGE = 50  # messages
FAR_BEHIND = 200  # messages: whoever lacks more begins anew
LEAD = 10  # messages before what one looks back at


@dataclass(frozen=True)
class Among:
    """Which of how many versions a message is."""

    number: int
    versions: Sequence[Message]  # oldest first

    @property
    def total(self) -> int:
        return len(self.versions)

    @property
    def older(self) -> Message | None:
        return self.versions[self.number - 2] if self.number > 1 else None

    @property
    def newer(self) -> Message | None:
        return self.versions[self.number] if self.number < self.total else None

    @property
    def newer_is_newest(self) -> bool:
        return self.number + 1 == self.total


def conversation(chat: "Chat", *, before: int | None = None, after: int | None = None) -> list[Message]:
    """The last PAGE messages (of those before a place, or all after one, but no more than FAR_BEHIND and one) of the
    conversation that goes on, each with what can be done with it."""
    messages = chat.messages.shown().current()
    page = list(messages.filter(seq__gt=after)[: FAR_BEHIND + 1]) if after is not None else _last(messages, before)
    answered = {message.parent_id for message in page if message.role == Message.Role.ASSISTANT}
    if before is not None:  # the reply to the last of them may be on the next page
        answered |= set(chat.messages.replies().filter(parent__in=page[-1:]).values_list("parent", flat=True))
    _offer(chat, page, answered, to_the_end=before is None)
    return _counted(page)


def just_said(chat: "Chat", message: Message, after: int) -> list[Message]:
    """What is new after a place where all that is new is this message and the reply it waits for; else nothing."""
    waits = chat.situation.queued or chat.situation.held
    if message.reply is None or message.seq != after + 1 or waits:
        return []
    page = [message, message.reply]
    _offer(chat, page, {message.pk}, to_the_end=True)
    return page


def _offer(chat: "Chat", page: list[Message], answered: set[int | None], *, to_the_end: bool) -> None:
    """Say of each message what can be done with it; only the last reply can be asked for again."""
    asked = max((message.seq or 0 for message in page if message.pk in answered or message.origin), default=0)
    for message in page:
        here = message.chapter == chat.chapter and chat.has_own_keys
        is_last_reply = to_the_end and message.parent_id is not None and (message.seq or 0) > asked
        message.offers_retry = is_last_reply and message.retryable
        message.offers_regenerate = is_last_reply and here and message.state == Message.State.DONE
        message.offers_edit = here and message.pk in answered
        message.is_last = to_the_end and message is page[-1]


def looked_back(chat: "Chat", version: Message, *, before: int | None = None, lead: int = LEAD) -> list[Message]:
    """The conversation as it was when this version was replaced: from it on to the end, and so many messages before it;
    or the PAGE messages before a place."""
    then = version.replaced_by
    assert then is not None and then.seq is not None and version.seq is not None
    not_yet = Q(replaced_by=None) | Q(replaced_by__seq__gte=then.seq)
    messages = chat.messages.shown().filter(not_yet, seq__lt=then.seq)
    if before is not None:
        page = _last(messages, before)
    else:
        page = [*_last(messages, version.seq, lead), *messages.filter(seq__gte=version.seq)]
        page[0].is_first = page[0].is_first or page[0].pk == version.pk
    for message in page:
        message.is_last = False
    return _counted(page)


def _last(messages: QuerySet[Message], before: int | None, most: int = PAGE) -> list[Message]:
    older = messages.filter(seq__lt=before) if before is not None else messages
    found = list(older.reverse()[: most + 1])[::-1]
    if found:
        found[0].is_first = len(found) <= most
    return found[-most:] if most else []


def _counted(page: list[Message]) -> list[Message]:
    """Each with its versions, where it has several."""
    several = [message for message in page if message.version > 1 or message.replaced_by_id]
    if not several:
        return page
    parents = {message.parent_id or message.pk for message in several}
    found = Message.objects.filter(Q(pk__in=parents) | Q(parent__in=parents)).exclude(role=Message.Role.NOTICE)
    versions = defaultdict(list)
    for one in found.order_by("version", "pk").only("role", "parent", "seq", "chat"):
        versions[_group(one)].append(one)
    for message in several:
        among = versions[_group(message)]
        message.among = Among(among.index(message) + 1, among) if len(among) > 1 else None
    return page


def _group(message: Message) -> tuple[str, int]:
    own = message.role == Message.Role.USER and message.parent_id is None
    return (message.role, message.pk if own else message.parent_id or 0)


def earlier_chapters(chat: "Chat") -> dict[int, dict[str, Any]]:
    """By chapter before the present one: how many messages it has, and when it ended."""
    told = chat.messages.shown().current().said().filter(chapter__lt=chat.chapter)
    rows = told.order_by().values("chapter").annotate(messages=Count("pk"), until=Max("created_at"))
    return {row["chapter"]: row for row in rows}


def mark_read(chat: "Chat", seq: int) -> None:
    """Remember how far the owner has seen; never backwards."""
    if type(chat).objects.filter(pk=chat.pk, read_seq__lt=seq).update(read_seq=min(seq, chat.last_seq())):
        User.count_list_change(chat.owner_id)
        hub.list_changed(chat.owner_id)


def keep_draft(chat: "Chat", text: str, client_id: uuid.UUID | None = None) -> None:
    """Keep what is typed and not sent, whole: MessageTooLong where that is more than a message can have.

    With the client id its message would have: one that came late, after that message, is no draft any more.
    """
    text = clean_text(text)
    if len(text) > settings.MESSAGE_MAX_LENGTH:
        raise errors.MessageTooLong(len(text), settings.MESSAGE_MAX_LENGTH)
    with transaction.atomic():
        before = type(chat).objects.select_for_update().values_list("draft", flat=True).get(pk=chat.pk)
        if client_id and chat.messages.filter(client_id=client_id).exists():
            return
        chat.draft = text
        type(chat).objects.filter(pk=chat.pk).update(draft=text)
    if bool(before) != bool(text):  # the list marks drafts
        User.count_list_change(chat.owner_id)
        hub.list_changed(chat.owner_id)
