"""Finding what was said, and where."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from ..text import clean_text
from .chat import Chat
from .message import Message

EXCERPT = 60  # characters before and after a hit
MOST_WORDS = 200  # characters of what is looked for


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
    return found + [as_hit(message, words) for message in said_by(user, words)[: limit - len(found)]]


def said_by(user: Any, words: str) -> QuerySet[Message]:
    own = Message.objects.filter(chat__in=Chat.objects.for_user(user), seq__isnull=False)
    return own.exclude(role=Message.Role.NOTICE).filter(any_case(words)).select_related("chat").order_by("-pk")


def any_case(words: str) -> Q:
    """SQLite folds the case of ASCII only, so the usual spellings of the rest are asked for one by one."""
    query = Q(text__icontains=words)
    if not words.isascii():
        for spelling in {words.lower(), words.upper(), words.capitalize(), words.title()}:
            query |= Q(text__contains=spelling)
    return query


def as_hit(message: Message, words: str) -> Hit:
    text = " ".join(message.text.split())
    at = text.casefold().find(words.casefold())
    at = max(at, 0)
    end = at + len(words)
    before = ("…" if at > EXCERPT else "") + text[max(0, at - EXCERPT) : at]
    after = text[end : end + EXCERPT] + ("…" if len(text) > end + EXCERPT else "")
    return Hit(message.chat, message, before, text[at:end], after)
