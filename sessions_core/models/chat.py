import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import Count, F, Max, Q
from django.db.models.functions import Length, Now

from .. import errors
from ..hub import hub
from ..text import MAX_MESSAGE, MAX_NAME, clean_name, clean_text, has_visible
from .chats import KEY_PREFIX, ChatQuerySet, folded
from .event import By, ChatEvent
from .message import Message
from .user import User

KEY_LENGTH = len(KEY_PREFIX) + 36
MAX_QUEUED = 5
PAGE = 50  # messages
MAX_KEY = 3 * MAX_NAME  # casefold() makes up to three characters of one
AUTO_TITLE = 60  # characters

models.CharField.register_lookup(Length)


class Chat(models.Model):
    """What the sidebar lists; people call it a session. Its key names its memory on the gateway."""

    class TitleSource(models.TextChoices):
        AUTO = "auto"
        USER = "user"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="chats")
    gateway = models.CharField(max_length=40, default="default")
    agent = models.CharField(max_length=64, blank=True)
    openclaw_session_key = models.CharField(max_length=200, null=True, blank=True, unique=True)
    title = models.CharField(max_length=MAX_NAME, blank=True)
    title_key = models.CharField(max_length=MAX_KEY, blank=True, editable=False)
    title_source = models.CharField(max_length=4, choices=TitleSource, default=TitleSource.AUTO)
    persistent = models.BooleanField(default=False, help_text="Protected: cannot be reset.")
    user_created = models.BooleanField(default=False)
    pinned = models.BooleanField(default=False)
    archived_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    chapter = models.PositiveIntegerField(default=1)
    key_number = models.PositiveIntegerField(default=1)
    based_on = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="forks")
    rev = models.PositiveBigIntegerField(default=1, editable=False)
    read_seq = models.PositiveIntegerField(default=0)
    draft = models.TextField(blank=True)
    last_active_at = models.DateTimeField(db_default=Now())
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ChatQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="chat_key_form",
                condition=Q(openclaw_session_key=None)
                | Q(openclaw_session_key__startswith=KEY_PREFIX, openclaw_session_key__length=KEY_LENGTH)
                | Q(openclaw_session_key__startswith="agent:"),
            ),
            models.CheckConstraint(name="persistent_has_name", condition=Q(persistent=False) | ~Q(title="")),
            models.UniqueConstraint(
                name="chat_name",
                fields=["owner", "title_key"],
                condition=Q(title_source="user", deleted_at=None),
            ),
            models.UniqueConstraint(
                name="one_main_chat",
                fields=["owner"],
                condition=Q(openclaw_session_key=None, deleted_at=None),
            ),
        ]
        indexes = [models.Index(fields=["owner", "-pinned", "-last_active_at"], name="chat_list")]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """What a person reads; a chat without a key of its own is the agent's main session."""
        return self.title or ("New chat" if self.openclaw_session_key else "Main")

    @property
    def key(self) -> str:
        """The address of the chat, and the pill's text."""
        return self.openclaw_session_key or "main"

    @property
    def wire_key(self) -> str:
        """The key of the present memory: a suffix tells later chapters and regenerated paths from the first."""
        return self.key if self.key_number == 1 else f"{self.key}-c{self.key_number}"

    @staticmethod
    def checked_name(name: str) -> str:
        cleaned = clean_name(name)
        if not cleaned:
            raise errors.BadName("The name has no visible characters. Type a name of 1 to 100 characters.")
        if len(name.strip()) > MAX_NAME:
            raise errors.BadName(f"The name is {len(name.strip())} characters long; {MAX_NAME} is the most.")
        if folded(cleaned) == "main" or folded(cleaned).startswith(KEY_PREFIX):
            raise errors.BadName(f"“{cleaned}” is reserved. Choose another name.")
        return cleaned

    @contextmanager
    def changing(self, **fields) -> Iterator[None]:
        """One transaction that changes what this chat shows, announced when it is committed.

        It begins by bumping rev: on PostgreSQL that row is the lock order, without which a queued message can strand
        behind a finished reply. The owner's rev follows at the end, never before the chat's.
        """
        with transaction.atomic():
            if not Chat.objects.filter(pk=self.pk).update(rev=F("rev") + 1, **fields):
                raise Chat.DoesNotExist
            self.refresh_from_db()
            yield
            User.count_list_change(self.owner_id)
            transaction.on_commit(partial(hub.chat_changed, self.pk, self.rev, self.owner_id), robust=True)

    # --- the conversation

    def conversation(self, *, before: int | None = None, after: int | None = None) -> list[Message]:
        """The last PAGE messages (of those before a place, or all after one), each reply in its newest version and
        with the earlier ones in `earlier`."""
        messages = self.messages.shown().newest_versions()
        if after is not None:
            page = list(messages.filter(seq__gt=after))
        else:
            older = messages.filter(seq__lt=before) if before is not None else messages
            page = list(older.reverse()[:PAGE])[::-1]
        again = [message for message in page if message.version > 1]
        versions = list(self.messages.shown().filter(parent__in=[m.parent_id for m in again])) if again else []
        for message in page:
            message.earlier = [v for v in versions if v.parent_id == message.parent_id and v.pk != message.pk]
        asked = max((message.seq for message in page if message.role == Message.Role.USER), default=0)
        for message in page:
            message.offers_retry = before is None and message.retryable and message.seq > asked
        return page

    def receive(self, text: str, client_id: uuid.UUID | None = None) -> Message:
        """Take a message: stored once per client id, answered at once or, while a reply runs, in its turn."""
        text = self.checked_text(text)
        with self.changing(last_active_at=Now(), draft=""):
            known = self.messages.filter(client_id=client_id).first() if client_id else None
            return known or self._take(text, client_id)

    @staticmethod
    def checked_text(text: str) -> str:
        text = clean_text(text)
        if not has_visible(text):
            raise errors.EmptyMessage
        if len(text) > MAX_MESSAGE:
            raise errors.MessageTooLong(len(text), MAX_MESSAGE)
        return text

    def _take(self, text: str, client_id: uuid.UUID | None) -> Message:
        message = Message(role=Message.Role.USER, text=text, client_id=client_id)
        if not self.title and self.openclaw_session_key:
            self._title_from(text)
        if not self.messages.running().exists():
            self._place(message, Message.State.SENT)
            self._ask(message)
        elif self.messages.pending().count() < MAX_QUEUED:
            self._store(message, Message.State.QUEUED)
        else:
            raise errors.QueueFull(MAX_QUEUED)
        return message

    def _title_from(self, text: str) -> None:
        line = clean_name(text.strip().split("\n")[0][: AUTO_TITLE * 2])
        self.title = line if len(line) <= AUTO_TITLE else line[: AUTO_TITLE - 1].rsplit(" ", 1)[0] + "…"
        self.title_key = folded(self.title)
        self.save(update_fields=["title", "title_key"])

    def _store(self, message: Message, state: str) -> None:
        message.chat = self
        message.state, message.chapter, message.key_number = state, self.chapter, self.key_number
        message.save()

    def _place(self, message: Message, state: str) -> None:
        """Store a message at the end of the conversation."""
        message.seq = self.last_seq() + 1
        self._store(message, state)

    def last_seq(self) -> int:
        return self.messages.aggregate(last=Max("seq"))["last"] or 0

    def _ask(self, question: Message, version: int = 1) -> Message:
        reply = Message(role=Message.Role.ASSISTANT, parent=question, version=version)
        self._place(reply, Message.State.WAITING)
        transaction.on_commit(hub.reply_waiting, robust=True)
        return reply

    def line_up(self, after: str) -> None:
        """Inside the transaction that ended a reply: what waits goes on, or is held when the reply went wrong."""
        if after in (Message.State.DONE, Message.State.STOPPED):
            self.promote()
        else:
            self.messages.filter(state=Message.State.QUEUED).update(state=Message.State.HELD)

    def promote(self) -> None:
        """Ask the first message in line; it takes its place only now, so reply 2 never lands after question 3."""
        first = self.messages.filter(state=Message.State.QUEUED).order_by("pk").first()
        if first and not self.messages.running().exists():
            self._place(first, Message.State.SENT)
            self._ask(first)

    def resume_queue(self) -> None:
        """Send what was held after a failure."""
        with self.changing():
            self.messages.filter(state=Message.State.HELD).update(state=Message.State.QUEUED)
            self.promote()

    def cancel_queued(self, message: Message) -> bool:
        """Take a message out of the line; False when it has been sent already."""
        with self.changing():
            waiting = self.messages.pending().filter(pk=message.pk)
            return bool(waiting.update(state=Message.State.CANCELLED))

    def stop(self) -> bool:
        """Ask whoever writes the running reply to stop; one that nobody has begun stops here. False when none runs."""
        reply = self.messages.running().first()
        if reply is None:
            return False
        Message.objects.running().filter(pk=reply.pk).update(stop_requested_at=Now())
        if self.messages.waiting().filter(pk=reply.pk).exists() and reply.settle(Message.State.STOPPED):
            return True
        hub.stop_wanted(reply.pk)
        return True

    def retry(self, reply: Message) -> Message:
        """Ask the question of the last reply again; the reply there is stays as an earlier version."""
        with self.changing(last_active_at=Now()):
            question = reply.parent
            later = self.messages.filter(role=Message.Role.USER, seq__gt=reply.seq).exists()
            if question is None or later or not reply.retryable or self.messages.running().exists():
                raise errors.NothingToRetry
            newest = self.messages.filter(parent=question).aggregate(newest=Max("version"))["newest"]
            return self._ask(question, version=newest + 1)

    def mark_read(self, seq: int) -> None:
        """Remember how far the owner has seen; never backwards."""
        if Chat.objects.filter(pk=self.pk, read_seq__lt=seq).update(read_seq=min(seq, self.last_seq())):
            User.count_list_change(self.owner_id)
            hub.list_changed(self.owner_id)

    # --- the session

    def rename(self, title: str, by: By) -> None:
        """Give it a name; the one a person chose before keeps leading here."""
        title = self.checked_name(title)
        with self.changing():
            before = self.title_key if self.title_source == self.TitleSource.USER else ""
            self._take_name(title)
            if before and before != self.title_key:
                self.past_titles.get_or_create(title_key=before)
            self.log("renamed", by, to=title)

    def _take_name(self, title: str) -> None:
        self.title, self.title_key, self.title_source = title, folded(title), self.TitleSource.USER
        try:
            with transaction.atomic():
                self.save(update_fields=["title", "title_key", "title_source"])
        except IntegrityError:
            raise errors.NameTaken(title) from None

    def protect(self, on: bool, by: By) -> None:
        """Make it persistent, or not; an automatic title becomes its name with that."""
        with self.changing():
            if on and not self.title:
                raise errors.BadName("A persistent session needs a name. Rename it first.")
            if on and self.title_source == self.TitleSource.AUTO:
                self._take_name(self.checked_name(self.title))
            Chat.objects.filter(pk=self.pk).update(persistent=on)
            self.log("protected" if on else "unprotected", by)
        self.persistent = on

    def reset(self, by: By) -> None:
        """Start a new chapter: the gateway gets a fresh memory under a new key, the old chapter stays to read."""
        with self.changing():
            if self.persistent:
                raise errors.Protected(self.name)
            if not self.messages.filter(chapter=self.chapter).exclude(role=Message.Role.NOTICE).exists():
                raise errors.NothingToReset
            self._hold_everything()
            newest = self.messages.aggregate(newest=Max("key_number"))["newest"]
            self._turn_to(self.chapter + 1, newest + 1)
            self.log("reset", by, chapter=self.chapter)
        self.stop()

    def undo_reset(self, by: By) -> None:
        """Go back to the chapter before, and to its memory on the gateway."""
        with self.changing():
            fresh = self.messages.filter(chapter=self.chapter)
            if self.chapter == 1 or fresh.filter(role=Message.Role.USER, versions__isnull=False).exists():
                raise errors.NothingToUndo
            last = self.messages.filter(chapter=self.chapter - 1).order_by("pk").last()
            if last is None:
                raise errors.NothingToUndo
            fresh.update(chapter=self.chapter - 1)
            self._turn_to(self.chapter - 1, last.key_number)
            self.log("reset undone", by, chapter=self.chapter)

    def _turn_to(self, chapter: int, key_number: int) -> None:
        self.chapter, self.key_number = chapter, key_number
        self.save(update_fields=["chapter", "key_number"])

    def earlier_chapters(self) -> dict[int, dict[str, Any]]:
        """By chapter before the present one: how many messages it has, and when it ended."""
        told = self.messages.shown().filter(chapter__lt=self.chapter).exclude(role=Message.Role.NOTICE)
        rows = told.order_by().values("chapter").annotate(messages=Count("pk"), until=Max("created_at"))
        return {row["chapter"]: row for row in rows}

    @property
    def can_undo_reset(self) -> bool:
        return self.chapter > 1 and not self.messages.filter(chapter=self.chapter, role=Message.Role.USER).exists()

    def notice(self, text: str, *offers: str) -> Message:
        """Tell the owner something in the conversation; the gateway never sees it."""
        with self.changing():
            message = Message(role=Message.Role.NOTICE, text=text, parts=[{"offer": offer} for offer in offers])
            self._place(message, Message.State.SENT)
            return message

    def _hold_everything(self) -> None:
        """What waits in line is for the person to send on; nothing goes out by itself into what comes next."""
        self.messages.filter(state=Message.State.QUEUED).update(state=Message.State.HELD)

    def pin(self, on: bool, by: By) -> None:
        with self.changing(pinned=on):
            self.log("pinned" if on else "unpinned", by)

    def trash(self, by: By) -> None:
        """Out of sight with all it holds, until the trash is emptied; what is being written is stopped."""
        with self.changing(deleted_at=Now()):
            self._hold_everything()
            self.log("deleted", by, title=self.name, messages=self.messages.count())
        self.stop()

    def restore(self, by: By) -> None:
        """Back from the trash; under a free name where another session has taken its name meanwhile."""
        with self.changing():
            if self.title_source == self.TitleSource.USER:
                self.title = self._free_name()
            self.deleted_at, self.title_key = None, folded(self.title)
            self.save(update_fields=["deleted_at", "title", "title_key"])
            self.log("restored", by)

    def _free_name(self) -> str:
        taken = set(Chat.objects.for_user(self.owner_id).values_list("title_key", flat=True))
        endings = ["", *(f" ({n})" for n in range(2, len(taken) + 3))]
        names = (self.title[: MAX_NAME - len(ending)] + ending for ending in endings)
        return next(name for name in names if folded(name) not in taken)

    def log(self, verb: str, by: By, **detail: Any) -> None:
        ChatEvent.objects.create(chat=self, actor=by.actor, source=by.source, verb=verb, detail=detail)


class PastTitle(models.Model):
    """A name a chat once had: old addresses keep resolving."""

    chat = models.ForeignKey(Chat, on_delete=models.CASCADE, related_name="past_titles")
    title_key = models.CharField(max_length=MAX_KEY, db_index=True)

    def __str__(self) -> str:
        return self.title_key
