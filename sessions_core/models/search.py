"""Finding what was said, and where."""

import re
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from ..text import clean_text
from .chat import Chat
from .message import Message, MessageQuerySet

EXCERPT = 60  # characters before and after a hit
MOST_WORDS = 200  # characters of what is looked for
MOST_OF_ALL = 4  # from this part of all messages on, a person's are found quickest among all
ASCII = re.compile("[ -~]+")
COMMON_FIRST = " etaoinshrdlcumwfgypbvkjxqz."  # the last stands for digits and signs


@dataclass(frozen=True)
class Hit:
    chat: Chat
    message: Message | None = None  # none: the title is the hit
    before: str = ""
    match: str = ""
    after: str = ""


def search(user: Any, words: str, limit: int = 20) -> list[Hit]:
    """The person's chats with the words in their title, then messages with them, newest first; at most so many."""
    words = " ".join(clean_text(words).split())[:MOST_WORDS]
    if not words:
        return []
    titles = Chat.objects.for_user(user).matching(words).recent()[:limit]
    found = [Hit(chat) for chat in titles]
    return found + [as_hit(message, words) for message in said_by(user, words, limit - len(found))]


def said_by(user: Any, words: str, limit: int) -> QuerySet[Message]:
    """Only the numbers are looked for; whole messages with their HTML are read of those that are shown."""
    found = of_person(user).said().filter(any_case(words), seq__isnull=False).order_by("-pk")[:limit]
    whole = Message.objects.filter(pk__in=found.values("pk")).order_by("-pk")
    return whole.select_related("chat").defer("html", "thinking", "chat__draft")


def of_person(user: Any) -> MessageQuerySet:
    """All messages in the person's chats.

    Whoever wrote most of what there is: from the newest back until there is enough, as EXISTS makes SQLite go through
    them. Whoever wrote little among much: chat by chat.
    """
    own = Chat.objects.for_user(user)
    messages = Message.objects.filter(chat__in=own)
    newest = Message.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    if messages.count() * MOST_OF_ALL < newest:
        return messages
    return Message.objects.filter(Exists(own.filter(pk=OuterRef("chat_id"))))


def any_case(words: str) -> Q:
    """SQLite folds the case of ASCII only, so the usual spellings of the rest are asked for one by one; and it is
    quickest where few letters of a message are the first one of what it looks for."""
    if connection.vendor != "sqlite":
        return Q(text__icontains=words)
    spellings = {ascii_lower(one) for one in (words, words.lower(), words.upper(), words.capitalize(), words.title())}
    query = Q(*(Q(text__icontains=spelling) for spelling in sorted(spellings)), _connector=Q.OR)
    rare = rare_part(words)
    return Q(text__icontains=rare) & query if rare else query


def ascii_lower(words: str) -> str:
    return "".join(sign.lower() if sign.isascii() else sign for sign in words)


def rare_part(words: str) -> str:
    """Of what all spellings have in common, the part that begins with the rarest letter; empty when that is all."""
    parts = [run[at:] for run in ASCII.findall(words) for at in range(len(run))]
    rare = max(parts, key=lambda part: (len(part) > 2, rareness(part[0]), len(part)), default="")
    return "" if rare == words else rare


def rareness(sign: str) -> int:
    return COMMON_FIRST.find(sign.lower()) % len(COMMON_FIRST)


# --- what is shown of a hit


def as_hit(message: Message, words: str) -> Hit:
    text = " ".join(message.text.split())
    found = re.search(re.escape(words), text, re.IGNORECASE)
    start, end = found.span() if found else (0, 0)
    return Hit(message.chat, message, ending(text[:start]), text[start:end], beginning(text[end:]))


def beginning(text: str) -> str:
    """So much of it as is shown, in whole words; only one that would leave little else is cut."""
    if len(text) <= EXCERPT:
        return text
    whole = text[: EXCERPT + 1].rpartition(" ")[0]
    return (whole if len(whole) > EXCERPT // 2 else text[:EXCERPT]) + "…"


def ending(text: str) -> str:
    if len(text) <= EXCERPT:
        return text
    whole = text[-EXCERPT - 1 :].partition(" ")[2]
    return "…" + (whole if len(whole) > EXCERPT // 2 else text[-EXCERPT:])
