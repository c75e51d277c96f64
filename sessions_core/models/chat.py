import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Max, Q
from django.db.models.functions import Length, Now
from django.utils import timezone

from .. import errors, slash
from ..hub import hub
from ..text import MAX_MESSAGE, MAX_NAME, clean_name, clean_text, has_visible
from . import reading, session
from .chats import ChatQuerySet
from .event import By, ChatEvent
from .message import Message
from .names import KEY_PREFIX, MAIN, MAX_FOLDED, folded, reserved
from .user import User

KEY_LENGTH = len(KEY_PREFIX) + 36
MAX_QUEUED = 5
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
    title_key = models.CharField(max_length=MAX_FOLDED, blank=True, editable=False)
    title_source = models.CharField(max_length=4, choices=TitleSource, default=TitleSource.AUTO)
    persistent = models.BooleanField(default=False, help_text="Protected: cannot be reset.")
    user_created = models.BooleanField(default=False)
    pinned = models.BooleanField(default=False)
    archived_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    announced_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="That it will go, unused.")
    chapter = models.PositiveIntegerField(default=1)
    key_number = models.PositiveIntegerField(default=1)
    based_on = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="forks")
    rev = models.PositiveBigIntegerField(default=1, editable=False)
    read_seq = models.PositiveIntegerField(default=0)
    draft = models.TextField(blank=True)
    last_active_at = models.DateTimeField(db_default=Now())
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ChatQuerySet.as_manager()

    # What can be done with it as a session.
    rename = session.rename
    protect = session.protect
    reset = session.reset
    undo_reset = session.undo_reset
    fork = session.fork
    carry_over = session.carry_over
    pin = session.pin
    archive = session.archive
    trash = session.trash
    restore = session.restore
    purge = session.purge
    give = session.give

    # What its reader has of it.
    conversation = reading.conversation
    earlier_chapters = reading.earlier_chapters
    mark_read = reading.mark_read
    keep_draft = reading.keep_draft

    class Meta:
        permissions = [("use_main_session", "Can use the agent's main session, which all who have this share")]
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
        return self.title or ("Main" if self.is_main else "New chat")

    @property
    def named(self) -> bool:
        """Whether a person chose the title."""
        return self.title_source == self.TitleSource.USER

    @property
    def is_main(self) -> bool:
        return self.openclaw_session_key is None

    @property
    def title_for_fork(self) -> str:
        return self.title or (f"From {self.name}" if self.is_main else "")

    @property
    def key(self) -> str:
        """The address of the chat, and the pill's text."""
        return self.openclaw_session_key or MAIN

    @property
    def wire_key(self) -> str:
        """The key of the present memory: a suffix tells later chapters and regenerated paths from the first."""
        return self.key if self.key_number == 1 or self.is_main else f"{self.key}-c{self.key_number}"

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

    def receive(self, text: str, client_id: uuid.UUID | None = None, by: By | None = None) -> Message:
        """Take a message: stored once per client id, answered at once or, while a reply runs, in its turn.

        A command is obeyed at once and answered by a notice; the agent never hears of either.
        """
        text = self.checked_text(text)
        if call := slash.parsed(text):
            call.prepare()
        with self.changing(draft="", **({} if call else {"last_active_at": Now(), "archived_at": None})):
            if client_id and (known := self.messages.filter(client_id=client_id).first()):
                return known
            if call:
                return self._obey(call, client_id, by or By(self.owner, "slash"))
            if by:
                by.count("message", settings.MESSAGE_RATE, "These are too many messages in a short time.")
            return self._take(slash.unescaped(text), client_id)

    def _obey(self, call: slash.Call, client_id: uuid.UUID | None, by: By) -> Message:
        """The notice has its place before the command acts, so that what comes of it, say a chapter, begins after."""
        asked = Message(role=Message.Role.USER, text=call.text, client_id=client_id)
        notice = Message(role=Message.Role.NOTICE, parent=asked)
        self._place(asked, Message.State.SENT)
        self._place(notice, Message.State.SENT)
        try:
            with transaction.atomic():
                answer = call.answer(slash.Asker(self.owner, by, self, client_id))
        except errors.Refusal as refusal:
            self.refresh_from_db()
            answer = slash.Answer(str(refusal), refusal.offers)
        notice.text, notice.parts = answer.text, answer.parts
        notice.save(update_fields=["text", "parts"])
        return asked

    @staticmethod
    def checked_text(text: str) -> str:
        text = clean_text(text)
        if not has_visible(text):
            raise errors.EmptyMessage
        if len(text) > MAX_MESSAGE:
            raise errors.MessageTooLong(len(text), MAX_MESSAGE)
        return text

    def _take(self, text: str, client_id: uuid.UUID | None) -> Message:
        self.check_right()
        message = Message(role=Message.Role.USER, text=text, client_id=client_id)
        if not self.title and not self.is_main:
            self._title_from(text)
        if not self.messages.running().exists():
            self._place(message, Message.State.SENT)
            self._ask(message)
        elif self.messages.pending().count() < MAX_QUEUED:
            self._store(message, Message.State.QUEUED)
        else:
            raise errors.QueueFull(MAX_QUEUED)
        return message

    def check_right(self) -> None:
        """The main session is everybody's: who may not use it any more can only read what was said here."""
        if not self.in_reach:
            raise errors.NotAllowed("The agent's main session is not open to you any more. Start a new chat instead.")

    @property
    def in_reach(self) -> bool:
        return not self.is_main or self.owner.has_perm("sessions_core.use_main_session")

    def _title_from(self, text: str) -> None:
        line = clean_name(text.strip().split("\n")[0][: AUTO_TITLE * 2])
        if reserved(line):
            line = f"“{line}”"
        self.title = line if len(line) <= AUTO_TITLE else line[: AUTO_TITLE - 1].rsplit(" ", 1)[0] + "…"
        self.title_key = folded(self.title)
        self.persistent = bool(self.title) and settings.SESSION_DEFAULT_PERSISTENT
        self.save(update_fields=["title", "title_key", "persistent"])

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
            self.hold_queue()

    def promote(self) -> None:
        """Ask the first message in line; it takes its place only now, so reply 2 never lands after question 3."""
        if not self.in_reach:
            return self.hold_queue()
        first = self.messages.filter(state=Message.State.QUEUED).order_by("pk").first()
        if first and not self.messages.running().exists():
            self._place(first, Message.State.SENT)
            self._ask(first)

    def resume_queue(self) -> None:
        """Send what was held after a failure."""
        self.check_right()
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
        transaction.on_commit(partial(hub.stop_wanted, reply.pk), robust=True)
        return True

    def retry(self, reply: Message) -> Message:
        """Ask the question of the last reply again; the reply there is stays as an earlier version."""
        self.check_right()
        with self.changing(last_active_at=Now()):
            question = reply.parent
            later = self.messages.asked().filter(seq__gt=reply.seq).exists()
            if question is None or later or not reply.retryable or self.messages.running().exists():
                raise errors.NothingToRetry
            newest = self.messages.filter(parent=question).aggregate(newest=Max("version"))["newest"]
            return self._ask(question, version=newest + 1)

    @property
    def can_undo_reset(self) -> bool:
        return self.chapter > 1 and not self.messages.asked().filter(chapter=self.chapter).exists()

    def notice(self, text: str, *offers: dict[str, str]) -> Message:
        """Tell the owner something in the conversation, with what can be done about it; the gateway never sees it."""
        with self.changing():
            message = Message(role=Message.Role.NOTICE, text=text, parts=list(offers))
            self._place(message, Message.State.SENT)
            return message

    def hold_queue(self) -> None:
        """What waits in line is for the person to send on; nothing goes out by itself into what comes next."""
        self.messages.filter(state=Message.State.QUEUED).update(state=Message.State.HELD)

    def log(self, verb: str, by: By, **detail: Any) -> None:
        ChatEvent.objects.create(chat=self, actor=by.actor, source=by.source, verb=verb, detail=detail)
