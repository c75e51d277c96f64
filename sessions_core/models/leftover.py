import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import F
from django.db.models.functions import Now

from ..gateway import tools
from .turns import CARRIED

if TYPE_CHECKING:
    from .chat import Chat

log = logging.getLogger(__name__)

HELD = timedelta(minutes=5)  # for who took it to act; then it is another's
FIRST_PAUSE, LAST_PAUSE = timedelta(minutes=1), timedelta(hours=6)  # it doubles from failure to failure
MOST_FAILURES = 36  # with these pauses, a week


class LeftoverQuerySet(models.QuerySet["Leftover"]):
    def leave(self, chat: "Chat") -> None:
        """What the gateway keeps of a chat that goes for good: every memory that was asked for something, of those that
        are this chat's alone."""
        if not chat.has_own_keys or not tools.manages_sessions():
            return
        asked = chat.messages.replies().exclude(key_number=CARRIED).order_by().values_list("key_number", flat=True)
        keys = {chat.key_of_memory(number) for number in asked.distinct()}
        self.bulk_create((self.model(key=key, agent=chat.agent) for key in sorted(keys)), ignore_conflicts=True)

    def take(self, most: int) -> list["Leftover"]:
        """Some that are due, each for one of all who ask."""
        due = self.filter(not_before__lte=Now())
        found = due.order_by("not_before", "pk")[:most]
        return [one for one in found if due.filter(pk=one.pk).update(not_before=Now() + HELD)]


class Leftover(models.Model):
    """A session on the gateway whose chat is gone for good; the relay deletes it there, when the gateway lets it."""

    key = models.CharField(max_length=200, help_text="As the gateway is asked for it, without the agent.")
    agent = models.CharField(max_length=64, blank=True)
    failures = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(db_default=Now())

    objects = LeftoverQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "agent"], name="leftover_once")]

    def __str__(self) -> str:
        return self.key

    def put_off(self, why: object) -> None:
        """It failed: tried again later, at last given up."""
        if self.failures + 1 >= MOST_FAILURES:
            log.warning("The gateway keeps the session %s, which could not be deleted for a week: %s", self, why)
            self.delete()
            return
        pause = min(FIRST_PAUSE * 2**self.failures, LAST_PAUSE)
        Leftover.objects.filter(pk=self.pk).update(failures=F("failures") + 1, not_before=Now() + pause)
