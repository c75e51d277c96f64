"""The conversation as its reader has it: so many messages at a time, how far they were read, and what is typed but not
sent. Each function is a method of Chat."""

import uuid
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Count, Max

from ..hub import hub
from ..text import MAX_MESSAGE, clean_text
from .message import Message
from .user import User

if TYPE_CHECKING:
    from .chat import Chat

PAGE = 50  # messages


def conversation(chat: "Chat", *, before: int | None = None, after: int | None = None) -> list[Message]:
    """The last PAGE messages (of those before a place, or all after one), each reply in its newest version and
    with the earlier ones in `earlier`."""
    messages = chat.messages.shown().newest_versions()
    if after is not None:
        page = list(messages.filter(seq__gt=after))
    else:
        older = messages.filter(seq__lt=before) if before is not None else messages
        page = list(older.reverse()[:PAGE])[::-1]
    again = [message for message in page if message.version > 1]
    versions = list(chat.messages.shown().filter(parent__in=[m.parent_id for m in again])) if again else []
    for message in page:
        message.earlier = [v for v in versions if v.parent_id == message.parent_id and v.pk != message.pk]
    answered = {message.parent_id for message in page if message.role == Message.Role.ASSISTANT}
    asked = max((message.seq for message in page if message.pk in answered), default=0)
    for message in page:
        message.offers_retry = before is None and message.retryable and message.seq > asked
        message.is_last = before is None and message is page[-1]
    return page


def earlier_chapters(chat: "Chat") -> dict[int, dict[str, Any]]:
    """By chapter before the present one: how many messages it has, and when it ended."""
    told = chat.messages.shown().said().filter(chapter__lt=chat.chapter)
    rows = told.order_by().values("chapter").annotate(messages=Count("pk"), until=Max("created_at"))
    return {row["chapter"]: row for row in rows}


def mark_read(chat: "Chat", seq: int) -> None:
    """Remember how far the owner has seen; never backwards."""
    if type(chat).objects.filter(pk=chat.pk, read_seq__lt=seq).update(read_seq=min(seq, chat.last_seq())):
        User.count_list_change(chat.owner_id)
        hub.list_changed(chat.owner_id)


def keep_draft(chat: "Chat", text: str, client_id: uuid.UUID | None = None) -> None:
    """Keep what is typed and not sent; beyond a message's length it is cut.

    With the client id its message would have: one that came late, after that message, is no draft any more.
    """
    text = clean_text(text)[:MAX_MESSAGE]
    with transaction.atomic():
        before = type(chat).objects.select_for_update().values_list("draft", flat=True).get(pk=chat.pk)
        if client_id and chat.messages.filter(client_id=client_id).exists():
            return
        chat.draft = text
        type(chat).objects.filter(pk=chat.pk).update(draft=text)
    if bool(before) != bool(text):  # the list marks drafts
        User.count_list_change(chat.owner_id)
        hub.list_changed(chat.owner_id)
