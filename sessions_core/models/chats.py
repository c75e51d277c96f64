"""Finding and starting chats."""

import uuid
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Count, Exists, OuterRef, Q, Subquery
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce

from .. import errors
from ..gateway import kinds
from ..hub import hub
from ..text import clean_name, clean_text
from . import adopting, grant
from .event import By
from .message import Message
from .names import KEY_PREFIX, MAIN, checked_name, folded
from .user import User

if TYPE_CHECKING:
    from .chat import Chat


ITS_MESSAGES = "from sessions_core_message where chat_id = sessions_core_chat.id"
LAST_PLACE = f"select max(seq) {ITS_MESSAGES}"
REPLYING = f"exists (select 1 {ITS_MESSAGES} and role = 'assistant' and state in ('waiting', 'streaming'))"
UNREAD = f"""exists (select 1 {ITS_MESSAGES} and role = 'assistant' and seq > sessions_core_chat.read_seq
    and state not in ('waiting', 'streaming') and replaced_by_id is null)"""
LINED_UP = f"exists (select 1 {ITS_MESSAGES} and role = 'user' and state = %s)"

ITS_GRANTS = "from sessions_core_agentgrant g where g.agent = sessions_core_chat.agent"
OPEN = f"""not exists (select 1 {ITS_GRANTS}) or exists (select 1 {ITS_GRANTS} and g.group_id in (
    select group_id from sessions_core_user_groups where user_id = sessions_core_chat.owner_id))"""  # noqa: S608  # constants

KNOWN = f"select id {ITS_MESSAGES} and client_id = %s"


class ChatQuerySet(models.QuerySet["Chat"]):
    def for_user(self, user):
        """The one door to a chat: foreign, deleted and missing are all simply not there."""
        return self.filter(owner=user, deleted_at=None)

    def unread(self, user, pk: uuid.UUID) -> "Chat":
        """One that is looked for among a person's only as it changes."""
        return self.model.from_db(self.db, ["id", "owner_id"], [pk, user.pk])

    def trash_of(self, user):
        return self.filter(owner=user, deleted_at__isnull=False)

    def recent(self):
        return self.order_by("-pinned", "-last_active_at", "-pk")

    def listed(self):
        """Chats for the sidebar, with what it shows of them; of a draft only that there is one, for it may be long.

        By hand, because every page begins with it, twice.
        """
        truth = models.BooleanField()
        return (
            self.filter(archived_at=None)
            .defer("draft")
            .annotate(
                running=RawSQL(REPLYING, (), truth),  # noqa: S611  # constants
                unread=RawSQL(UNREAD, (), truth),  # noqa: S611
                drafted=~Q(draft=""),
            )
        )

    def with_situation(self, client_id: uuid.UUID | None):
        """With what `Situation` tells: by hand, because each change of a chat begins with it."""
        known = models.UUIDField().get_db_prep_value(client_id, connection)
        number, truth = models.IntegerField(), models.BooleanField()
        return self.annotate(
            last_place=RawSQL(LAST_PLACE, (), number),  # noqa: S611  # constants, as below
            replying=RawSQL(REPLYING, (), truth),  # noqa: S611
            queued=RawSQL(LINED_UP, ("queued",), truth),  # noqa: S611
            held=RawSQL(LINED_UP, ("held",), truth),  # noqa: S611
            open=RawSQL(OPEN, (), truth),  # noqa: S611
            known=RawSQL(KNOWN, (known,), number),  # noqa: S611
        )

    def counted(self):
        """With `said`: how many messages person and agent exchanged, without notices and commands."""
        told = Message.objects.filter(chat=OuterRef("pk")).current().said().order_by().values("chat")
        return self.annotate(said=Coalesce(Subquery(told.annotate(said=Count("pk")).values("said")), 0))

    def stranded(self):
        """Chats where a message waits in line behind no reply."""
        unfinished = Message.objects.in_motion()
        return self.filter(
            ~Exists(unfinished.running().filter(chat=OuterRef("pk"))),
            pk__in=unfinished.filter(state=Message.State.QUEUED).values("chat"),
            deleted_at=None,
        )

    def called(self, reference: str) -> "Chat":
        """The chat a person means by a key, a name, an old name or `main`; Chat.DoesNotExist otherwise."""
        reference = clean_text(reference)
        if folded(reference) == MAIN:
            return self.get(openclaw_session_key=None)
        if reference.startswith(KEY_PREFIX):
            return self.get(openclaw_session_key=reference)
        if kinds.FULL_KEY.fullmatch(reference) and (adopted := self.filter(openclaw_session_key=reference).first()):
            return adopted
        key = folded(clean_name(reference))
        by_name = self.filter(title_key=key).order_by("title_source", "-last_active_at").last()
        by_old_name = self.filter(past_titles__title_key=key).order_by("past_titles__pk").last()
        found = (key and by_name) or (key and by_old_name)
        if not found:
            raise self.model.DoesNotExist
        return found

    def matching(self, words: str):
        """Chats with these words in their name, for a person who remembers only a part of it."""
        words = folded(clean_name(words))
        is_main = Q(openclaw_session_key=None, title="") if words and words in MAIN else Q(pk__in=[])
        return self.filter(Q(title_key__contains=words) | is_main)

    def named(self):
        """Chats whose name a person chose; how many is limited."""
        return self.filter(title_source=self.model.TitleSource.USER)

    def names(self) -> set[str]:
        """Folded, as `free_name` takes them."""
        return set(self.values_list("title_key", flat=True))

    def room_for_a_name(self) -> None:
        """Of one person's chats: refuse one more with a name when there are as many as there may be."""
        limit = settings.SESSION_MAX_PER_USER
        if limit and self.named().count() >= limit:
            raise errors.NoRoomForNames(limit)

    def adopt(self, owner: User, key: str, by: By) -> "Chat":
        """A chat of a session that the gateway has; see adopting.py."""
        return adopting.adopt(self, owner, key, by)

    def start(
        self,
        owner,
        *,
        by: By | None = None,
        id=None,
        title: str = "",
        persistent: bool = True,
        agent: str = "",
        based_on=None,
    ):
        """A new chat; with an id the owner has used already, that chat (so a double click makes one).

        With a title it is a session somebody named, persistent unless told otherwise. `based_on` takes that chat's
        present conversation along. Raises BadName, NoRoomForNames, BadAgent, NotAllowed, TooMany.
        """
        if id and (existing := self.for_user(owner).filter(pk=id).first()):
            return existing
        title = checked_name(title) if title else ""
        if agent and kinds.configured().has_agents and agent not in (offered := grant.offered_to(owner)):
            raise errors.BadAgent(agent, offered)
        shown = title or (based_on.title_for_fork if based_on else "")
        chat = self.model(
            pk=id or uuid.uuid4(),
            owner=owner,
            agent=agent or grant.usual_for(owner),
            title=shown,
            title_key=folded(shown),
            title_source=self.model.TitleSource.USER if title else self.model.TitleSource.AUTO,
            persistent=bool(title) and persistent,
            user_created=bool(title),
            based_on=based_on,
        )
        chat.openclaw_session_key = f"{KEY_PREFIX}{chat.pk}"
        try:
            return self._add(chat, by)
        except IntegrityError:
            return self._clash(owner, id, title, chat, by)

    def count_start(self, owner, by: By) -> None:
        """One more session begun, or one file of them brought; TooMany when these are too many in a short time."""
        by.count("create", settings.SESSION_CREATE_RATE, "These are too many new sessions in a short time.", owner)

    def _add(self, chat: "Chat", by: By | None) -> "Chat":
        with transaction.atomic():
            User.count_list_change(chat.owner_id)
            if chat.named:
                self.for_user(chat.owner_id).room_for_a_name()
            chat.save(force_insert=True)
            if by:
                self.count_start(chat.owner, by)  # last, so that a refusal for another reason uses nothing up
            chat.log("created", by or By(chat.owner))
            if chat.based_on:
                chat.carry_over(chat.based_on)
            transaction.on_commit(partial(hub.list_changed, chat.owner_id), robust=True)
        return chat

    def _clash(self, owner, id, title: str, chat: "Chat", by: By | None) -> "Chat":
        """Why the insert was refused: the same chat came twice at once, the name is taken, or the id is another's."""
        if id and (existing := self.for_user(owner).filter(pk=id).first()):
            return existing
        if title and self.for_user(owner).named().filter(title_key=folded(title)).exists():
            raise errors.NameTaken(title)
        chat.pk = uuid.uuid4()
        chat.openclaw_session_key = f"{KEY_PREFIX}{chat.pk}"
        return self._add(chat, by)

    def main_of(self, owner, by: By) -> "Chat":
        """The person's chat with the agent's main session, made when there is none; NotAllowed without the right."""
        if not kinds.configured().has_agents:
            raise errors.NotAllowed("This server has no agents, and so no main session of one.")
        if not owner.has_perm("sessions_core.use_main_session"):
            raise errors.NotAllowed("The agent's main session is not open to you. An admin can give you the right.")
        if existing := self.for_user(owner).filter(openclaw_session_key=None).first():
            return existing
        try:
            return self._add(self.model(owner=owner, agent=grant.usual_for(owner)), by)
        except IntegrityError:  # made twice at once
            return self.for_user(owner).get(openclaw_session_key=None)
