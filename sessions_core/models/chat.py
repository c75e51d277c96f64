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

from .. import errors
from ..gateway import kinds
from ..hub import hub
from ..text import MAX_NAME
from . import asking, grant, hearing, line, reading, session, versions
from .chats import ChatQuerySet
from .event import By, ChatEvent
from .names import KEY_PREFIX, MAIN, MAX_FOLDED
from .user import User

KEY_LENGTH = len(KEY_PREFIX) + 36

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
    gateway_session = models.CharField(
        max_length=100,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="The gateway's own id of the memory, when last seen.",
    )
    based_on = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="forks")
    rev = models.PositiveBigIntegerField(default=1, editable=False)
    read_seq = models.PositiveIntegerField(default=0)
    draft = models.TextField(blank=True)
    last_active_at = models.DateTimeField(db_default=Now())
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ChatQuerySet.as_manager()
    situation: line.Situation  # while it changes

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

    # What is said in it.
    receive = asking.receive
    checked_text = staticmethod(asking.checked_text)
    stop = asking.stop
    notice = asking.notice
    last_seq = asking.last_seq
    _title_from = asking.title_from
    _store = asking.store
    _place = asking.place
    _ask = asking.ask

    # What waits to be said.
    line_up = line.line_up
    promote = line.promote
    resume_queue = line.resume_queue
    cancel_queued = line.cancel_queued
    take_back = line.take_back
    hold_queue = line.hold_queue

    # What is said anew.
    retry = versions.retry
    regenerate = versions.regenerate
    edit = versions.edit

    # What the gateway's transcript tells of it.
    hear = hearing.hear
    known_entries = hearing.known_entries
    remind = hearing.remind

    # What its reader has of it.
    conversation = reading.conversation
    just_said = reading.just_said
    looked_back = reading.looked_back
    earlier_chapters = reading.earlier_chapters
    mark_read = reading.mark_read
    keep_draft = reading.keep_draft

    class Meta:
        permissions = [
            ("use_main_session", "Can use the agent's main session, which all who have this share"),
            ("adopt_sessions", "Can make chats of any of the gateway's sessions"),
        ]
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
    def has_own_keys(self) -> bool:
        """Whether its memories are its own: of the main session and of one that is the gateway's there is only one."""
        return (self.openclaw_session_key or "").startswith(KEY_PREFIX)

    @property
    def title_for_fork(self) -> str:
        return self.title or (f"From {self.name}" if self.is_main else "")

    @property
    def key(self) -> str:
        """The address of the chat, and the pill's text."""
        return self.openclaw_session_key or MAIN

    @property
    def wire_key(self) -> str:
        """The key of the present memory."""
        return self.key_of_memory(self.key_number)

    def key_of_memory(self, number: int) -> str:
        """A suffix tells later chapters and regenerated paths from the first."""
        return self.key if number == 1 or not self.has_own_keys else f"{self.key}-c{number}"

    @contextmanager
    def changing(
        self, among: models.QuerySet["Chat"] | None = None, client_id: uuid.UUID | None = None, **fields
    ) -> Iterator[None]:
        """One transaction that changes what this chat shows, announced when it is committed.

        It begins by bumping rev: on PostgreSQL that row is the lock order, without which a queued message can strand
        behind a finished reply. The owner's rev follows at the end, never before the chat's. It must be `among`
        these, and nothing but its id need be known before.
        """
        with transaction.atomic():
            chats = Chat.objects.all() if among is None else among
            if not chats.filter(pk=self.pk).update(rev=F("rev") + 1, **fields):
                raise Chat.DoesNotExist
            self._read(client_id)
            yield
            User.count_list_change(self.owner_id)
            transaction.on_commit(partial(hub.chat_changed, self.pk, self.rev, self.owner_id), robust=True)

    def _read(self, client_id: uuid.UUID | None) -> None:
        """As it stands in the database, and the situation in it."""
        found = Chat.objects.with_situation(client_id).get(pk=self.pk)
        self._state.fields_cache.clear()
        for field in self._meta.concrete_fields:
            setattr(self, field.attname, getattr(found, field.attname))
        may = found.open or not kinds.configured().has_agents
        self.situation = line.Situation(
            found.last_place or 0, found.replying, found.queued, found.held, may, found.known
        )

    @property
    def in_reach(self) -> bool:
        """Whether its owner may go on there."""
        return self._is_kept and self._may_use and grant.is_open_to(self.owner_id, self.agent)

    @property
    def _is_kept(self) -> bool:
        """Whether what answers now is what has its memory: a plain server has none but ours."""
        return self.has_own_keys or kinds.configured().has_agents

    @property
    def _may_use(self) -> bool:
        return not self.is_main or self.owner.has_perm("sessions_core.use_main_session")

    def check_right(self, agent_is_open: bool | None = None) -> None:
        """Who may not use the main session any more, or the agent, can only read what was said here. Whether the
        agent is open is looked up where it is not known."""
        if not self._is_kept:
            raise errors.NotAllowed(
                "This session is the OpenClaw gateway's: while a plain server answers it can only be read. "
                "Start a new chat instead."
            )
        if not self._may_use:
            raise errors.NotAllowed("The agent's main session is not open to you any more. Start a new chat instead.")
        if not (grant.is_open_to(self.owner_id, self.agent) if agent_is_open is None else agent_is_open):
            raise errors.NotAllowed(
                f"The agent “{self.agent}” is not open to you any more. What was said stays here to read; "
                "start a new chat to go on with another."
            )

    @property
    def can_undo_reset(self) -> bool:
        return self.chapter > 1 and not self.messages.asked().filter(chapter=self.chapter).exists()

    def unused_key_number(self) -> int:
        """A number that was never sent, so that it names a fresh memory."""
        return max(self.key_number, self.messages.aggregate(newest=Max("key_number"))["newest"] or 0) + 1

    def turn_to(self, chapter: int, key_number: int) -> None:
        """From now on this chapter and this memory; inside a transaction that changes the chat."""
        self.chapter, self.key_number = chapter, key_number
        self.save(update_fields=["chapter", "key_number"])

    def log(self, verb: str, by: By, **detail: Any) -> None:
        ChatEvent.objects.create(chat=self, actor=by.actor, source=by.source, verb=verb, detail=detail)
