"""The list of chats beside the conversation: in groups by day, so many at a time."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zlib import crc32

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.dateformat import format as formatted
from django.utils.http import urlencode

from sessions_core.models import Chat, User

LISTED = 50  # chats at a time
MOST_LISTED = 5000
OTHERS = 5  # chats the switcher offers


@dataclass(frozen=True)
class Place:
    """Where a chat stands in the list. By its values, not by a number: what moved meanwhile is not listed twice."""

    pinned: bool
    last_active_at: datetime
    pk: uuid.UUID

    @classmethod
    def of(cls, chat: Chat) -> "Place":
        return cls(chat.pinned, chat.last_active_at, chat.pk)

    @classmethod
    def read(cls, text: str) -> "Place":
        """From an address; ValueError for what is none."""
        pinned, moment, pk = text.split("_")
        return cls(pinned == "1", datetime.fromisoformat(moment), uuid.UUID(pk))

    def __str__(self) -> str:
        return f"{self.pinned:d}_{self.last_active_at.isoformat()}_{self.pk}"

    @property
    def below(self) -> Q:
        """SQLite's own clock writes three decimals and Django six, so an equal time may look like an earlier one."""
        before = self.last_active_at - timedelta(microseconds=1)
        at_once = Q(last_active_at__gt=before, last_active_at__lte=self.last_active_at, pk__lt=self.pk)
        here = Q(pinned=self.pinned) & (Q(last_active_at__lte=before) | at_once)
        return here | Q(pinned=False) if self.pinned else here

    def group(self, today: date) -> str:
        if self.pinned:
            return "Pinned"
        day = timezone.localtime(self.last_active_at).date()
        days = (today - day).days
        for most, name in ((0, "Today"), (1, "Yesterday"), (7, "Previous 7 days")):
            if days <= most:
                return name
        return formatted(day, "F" if day.year == today.year else "F Y")


def page(user: User, *, shown: int = LISTED, after: Place | None = None) -> dict[str, Any]:
    """So many chats (below a place), each with the heading it is the first under; and where more begin."""
    chats = Chat.objects.for_user(user).listed().recent()
    found = list((chats.filter(after.below) if after else chats)[: shown + 1])
    more = Place.of(found[shown - 1]) if len(found) > shown else None
    today = timezone.localdate()
    listed, group = [], after.group(today) if after else ""
    for chat in found[:shown]:
        before, group = group, Place.of(chat).group(today)
        listed.append((group if group != before else "", chat))
    return {"listed": listed, "more": more, "more_shown": shown + LISTED}


def address(key: str) -> str:
    """Of the page of a chat; without a key, of the empty one."""
    return reverse("chat") + (f"?{urlencode({'session': key})}" if key else "")


def face(chat: Chat) -> str:
    """What the header shows of a chat, in short, so that a page which shows the same is not sent it again."""
    shown = (chat.title, chat.pinned, chat.persistent, chat.archived_at is not None)
    return f"{crc32(repr(shown).encode(errors='replace')):x}"


def how_many(value: str) -> int:
    """How many chats an address asks for: as many as there were when it was a page that showed more."""
    return (
        min(max(int(value), LISTED), MOST_LISTED) if value.isascii() and value.isdigit() and len(value) < 6 else LISTED
    )


def others(user: User, chat: Chat | None) -> list[Chat]:
    """What the switcher offers: the chats last used, without this one."""
    chats = Chat.objects.for_user(user).listed().order_by("-last_active_at", "-pk")
    return list((chats.exclude(pk=chat.pk) if chat else chats)[:OTHERS])
