"""Finding and starting chats."""

import uuid
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import Exists, OuterRef

from .. import errors
from ..hub import hub
from ..text import clean_name, clean_text
from .event import ChatEvent
from .message import Message
from .user import User

if TYPE_CHECKING:
    from .chat import Chat

KEY_PREFIX = "webchat-"


def folded(title: str) -> str:
    """What makes two names the same name: lower() in an index knows only ASCII on SQLite, so it is stored."""
    return title.casefold()


class ChatQuerySet(models.QuerySet["Chat"]):
    def for_user(self, user):
        """The one door to a chat: foreign, deleted and missing are all simply not there."""
        return self.filter(owner=user, deleted_at=None)

    def trash_of(self, user):
        return self.filter(owner=user, deleted_at__isnull=False)

    def recent(self):
        return self.order_by("-pinned", "-last_active_at", "-pk")

    def listed(self):
        """Chats for the sidebar, with what it shows of them."""
        replies = Message.objects.filter(chat=OuterRef("pk"), role=Message.Role.ASSISTANT)
        return self.filter(archived_at=None).annotate(
            running=Exists(replies.filter(state__in=Message.RUNNING)),
            unread=Exists(replies.filter(seq__gt=OuterRef("read_seq")).exclude(state__in=Message.RUNNING)),
        )

    def stranded(self):
        """Chats where a message waits in line behind no reply."""
        return self.filter(
            Exists(Message.objects.filter(chat=OuterRef("pk"), state=Message.State.QUEUED)),
            ~Exists(Message.objects.running().filter(chat=OuterRef("pk"))),
            deleted_at=None,
        )

    def called(self, reference: str) -> "Chat":
        """The chat a person means by a key, a name, an old name or `main`; Chat.DoesNotExist otherwise."""
        reference = clean_text(reference)
        if reference == "main":
            return self.get(openclaw_session_key=None)
        if reference.startswith(KEY_PREFIX):
            return self.get(openclaw_session_key=reference)
        key = folded(clean_name(reference))
        by_name = self.filter(title_key=key).order_by("title_source", "-last_active_at").last()
        by_old_name = self.filter(past_titles__title_key=key).order_by("past_titles__pk").last()
        found = (key and by_name) or (key and by_old_name)
        if not found:
            raise self.model.DoesNotExist
        return found

    def start(
        self,
        owner,
        *,
        id=None,
        title: str = "",
        persistent: bool | None = None,
        agent: str = "",
        based_on=None,
    ):
        """A new chat; with an id the owner has used already, that chat (so a double click makes one)."""
        if id and (existing := self.for_user(owner).filter(pk=id).first()):
            return existing
        title = self.model.checked_name(title) if title else ""
        chat = self.model(
            pk=id or uuid.uuid4(),
            owner=owner,
            agent=agent or owner.default_agent or settings.OPENCLAW_AGENT_ID,
            title=title,
            title_key=folded(title),
            title_source=self.model.TitleSource.USER if title else self.model.TitleSource.AUTO,
            persistent=bool(title) and (settings.SESSION_DEFAULT_PERSISTENT if persistent is None else persistent),
            user_created=bool(title),
            based_on=based_on,
        )
        chat.openclaw_session_key = f"{KEY_PREFIX}{chat.pk}"
        try:
            with transaction.atomic():
                chat.save(force_insert=True)
                User.count_list_change(owner.pk)
                ChatEvent.objects.create(chat=chat, actor=owner, verb="created")
                transaction.on_commit(partial(hub.list_changed, owner.pk), robust=True)
        except IntegrityError:
            return self._clash(owner, id, title)
        return chat

    def _clash(self, owner, id, title: str) -> "Chat":
        """Why the insert was refused: the same chat came twice at once, the name is taken, or the id is another's."""
        if id and (existing := self.for_user(owner).filter(pk=id).first()):
            return existing
        if title and self.for_user(owner).filter(title_key=folded(title), title_source="user").exists():
            raise errors.NameTaken(title)
        return self.start(owner, title=title)
