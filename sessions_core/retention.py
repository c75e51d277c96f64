"""What nobody uses goes, where the operator wants that: announced a week before, to the trash first, then for good.

Only the database's clock decides; a chat's own row says what is due, so whatever happens to it meanwhile counts.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import import_module

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from .models import By, Chat, Throttle

ANNOUNCED = timedelta(days=7)
LOOKED_AHEAD = ANNOUNCED + timedelta(days=1)  # once a day is often enough for a whole week
PORTION = 100  # chats that are looked for at once; each goes in a transaction of its own
BY = By(None, "retention")
DAY = 86_400
WINDOWS = (60, 3600, DAY)  # seconds, of the throttles


@dataclass
class Pruned:
    announced: list[Chat] = field(default_factory=list)
    trashed: list[Chat] = field(default_factory=list)
    purged: list[Chat] = field(default_factory=list)


def goes_at(chat: Chat) -> datetime | None:
    """When it goes to the trash if nobody uses it until then; None: never. It is to be told from ANNOUNCED before."""
    days = settings.SESSION_TTL_PERSISTENT_DAYS if chat.persistent else settings.SESSION_TTL_DAYS
    if not days or chat.pinned or chat.is_main or chat.deleted_at:
        return None
    told = chat.announced_at if chat.announced_at and chat.announced_at >= chat.last_active_at else timezone.now()
    return max(chat.last_active_at + timedelta(days=days), told + ANNOUNCED)


def prune(dry_run: bool = False, now: datetime | None = None) -> Pruned:
    """Move to the trash and delete for good what is due, or only tell what is."""
    now = now or database_time()
    if dry_run:
        found = [unannounced(now), due(now), forgotten(now)]
        return Pruned(*(list(chats.order_by("pk")) for chats in found))
    pruned = Pruned()
    for _ in pruning(pruned, now):
        pass
    return pruned


def pruning(pruned: Pruned, now: datetime | None = None) -> Iterator[None]:
    """The same in steps, each a short transaction, so that others get to write and it can be left off anywhere."""
    now = now or database_time()
    yield from announcing(pruned, now)
    yield from acting(forgotten(now), Chat.purge, pruned.purged)
    yield from acting(due(now), Chat.trash, pruned.trashed)


def database_time() -> datetime:
    return Chat.objects.order_by().values_list(Now(), flat=True).first() or timezone.now()


# --- what is due


def expiring(until: datetime) -> QuerySet[Chat]:
    """Chats in use whose time is over by then."""
    over = Q(pk__in=[])
    for persistent, days in ((False, settings.SESSION_TTL_DAYS), (True, settings.SESSION_TTL_PERSISTENT_DAYS)):
        if days:
            over |= Q(persistent=persistent, last_active_at__lte=until - timedelta(days=days))
    return Chat.objects.filter(over, deleted_at=None, pinned=False).exclude(openclaw_session_key=None)


def due(now: datetime) -> QuerySet[Chat]:
    """Announced for a week, and not used since."""
    told = Q(announced_at__lte=now - ANNOUNCED, announced_at__gte=F("last_active_at"))
    return expiring(now).filter(told)


def forgotten(now: datetime) -> QuerySet[Chat]:
    """In the trash for longer than it keeps things."""
    if not settings.SESSION_TRASH_DAYS:
        return Chat.objects.none()
    return Chat.objects.filter(deleted_at__lte=now - timedelta(days=settings.SESSION_TRASH_DAYS))


# --- doing it


def unannounced(now: datetime) -> QuerySet[Chat]:
    return expiring(now + LOOKED_AHEAD).filter(announced_at=None)


def announcing(pruned: Pruned, now: datetime) -> Iterator[None]:
    """An announcement is void once the chat was used, or is not about to go any more; a new one runs anew."""
    about_to_go = expiring(now + LOOKED_AHEAD)
    told = Chat.objects.filter(announced_at__isnull=False)
    void = told.filter(Q(announced_at__lt=F("last_active_at")) | ~Q(pk__in=about_to_go.values("pk")))
    yield from updating(void, announced_at=None)
    pruned.announced += unannounced(now).order_by("pk")
    yield from updating(unannounced(now), announced_at=now)


def updating(chats: QuerySet[Chat], **values: datetime | None) -> Iterator[None]:
    """Until none is left; what changes meanwhile is left to the next time."""
    while found := list(chats.order_by("pk").values_list("pk", flat=True)[:PORTION]):
        if not chats.filter(pk__in=found).update(**values):
            return
        yield


def acting(chats: QuerySet[Chat], verb: Callable[[Chat, By], None], done: list[Chat]) -> Iterator[None]:
    last = None
    while found := list(after(chats, last)[:PORTION]):
        for chat in found:
            last = chat.pk
            if act(chats, chat, verb):
                done.append(chat)
            yield


def after(chats: QuerySet[Chat], last: object) -> QuerySet[Chat]:
    chats = chats.defer("draft").order_by("pk")
    return chats.filter(pk__gt=last) if last else chats


@transaction.atomic
def act(chats: QuerySet[Chat], chat: Chat, verb: Callable[[Chat, By], None]) -> bool:
    """Looked at again with its row locked: used, pinned or restored meanwhile, it stays, or while a reply is written.
    Restored later, it is announced anew."""
    if not chats.filter(pk=chat.pk).update(rev=F("rev") + 1, announced_at=None) or chat.messages.running().exists():
        return False
    verb(chat, BY)
    return True


# --- once a day


def tidy(stopped: Callable[[], bool] = lambda: False) -> None:
    """Once a day, by whichever process asks first: prune, and clear away counters and sign-ins that are over."""
    now = timezone.now().timestamp()  # a counter's own clock
    if not first_today(now // DAY):
        return
    for _ in pruning(Pruned()):
        if stopped():
            return
    for seconds in WINDOWS:
        Throttle.objects.filter(key__endswith=f"/{seconds}", window__lt=now // seconds).delete()
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()


def first_today(today: float) -> bool:
    """True for exactly one of all that ask; of two that ask a throttle at once, both may hear that they are late."""
    Throttle.objects.get_or_create(key="retention", defaults={"window": 0, "used": 0})
    return bool(Throttle.objects.filter(key="retention", window__lt=today).update(window=today))
