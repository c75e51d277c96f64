import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from .. import errors
from ..text import clean_name
from .throttle import Throttle

if TYPE_CHECKING:
    from .user import User

PERSONAL = ("ui", "slash", "api")  # where somebody acts for herself
SHARE = 10  # how many people's worth may come from one network address


@dataclass(frozen=True)
class By:
    """Who does something, from which part of the app, from which address; for the history and the limits."""

    actor: "User | None"
    source: str = "ui"
    address: str = ""

    def count(self, what: str, rates: list[tuple[int, int]], refusal: str, owner: "User | None" = None) -> None:
        """One more of something that may be done only so often, by a person and from an address; raises TooMany.

        An operator's commands have no such limits.
        """
        person = owner or self.actor
        if self.source not in PERSONAL or person is None:
            return
        uses = [(f"{what}/{person.pk}", limit, seconds) for limit, seconds in rates]
        if self.address:
            uses += [(f"{what}@{self.address}", limit * SHARE, seconds) for limit, seconds in rates]
        if uses and not Throttle.objects.take_all(uses):
            raise errors.TooMany(f"{refusal} Wait a while, then try again.")


class ChatEvent(models.Model):
    """What was done to a chat or an account, by whom, from where. Append-only; never message text, never a secret."""

    class Source(models.TextChoices):
        UI = "ui"
        SLASH = "slash"
        API = "api"
        CLI = "cli"
        ADMIN = "admin"
        RETENTION = "retention"

    chat = models.ForeignKey("Chat", null=True, blank=True, on_delete=models.SET_NULL, related_name="events")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="events"
    )
    verb = models.CharField(max_length=40)
    detail = models.JSONField(default=dict, blank=True)
    source = models.CharField(max_length=10, choices=Source, default=Source.UI)
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ["-at", "-pk"]
        verbose_name = "history entry"
        verbose_name_plural = "history"

    def __str__(self) -> str:
        return f"{self.verb} ({self.source})"


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def with_secret(self, secret: str) -> "ApiToken | None":
        """The token with this secret, with its owner; None also when the account is locked."""
        tokens = self.filter(digest=ApiToken.digest_of(secret), owner__is_active=True)
        return tokens.select_related("owner").first()

    def recent(self):
        return self.order_by("-created_at", "-pk")


class ApiToken(models.Model):
    """A personal key for the API: shown once, stored as a digest."""

    MOST = 20  # a person
    NOTED_EVERY = timedelta(minutes=1)

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = "API token"

    def __str__(self) -> str:
        return self.name

    @classmethod
    def make(cls, owner: "User", name: str, by: By) -> tuple["ApiToken", str]:
        """A new token and its secret, which is not kept; raises BadName, NoRoomForTokens."""
        name = clean_name(name)
        if not name:
            raise errors.BadName("The token needs a name, such as that of the program that will use it.")
        secret = f"webchat_{secrets.token_urlsafe(32)}"  # the prefix tells scanners for lost secrets what it is
        with transaction.atomic():
            if cls.objects.filter(owner=owner).count() >= cls.MOST:
                raise errors.NoRoomForTokens(cls.MOST)
            token = cls.objects.create(owner=owner, name=name, digest=cls.digest_of(secret))
            token.log("token made", by)
        return token, secret

    def revoke(self, by: By) -> None:
        """From now on nobody comes in with it."""
        with transaction.atomic():
            self.log("token revoked", by)
            self.delete()

    def note_use(self) -> None:
        """Remember when it was last used, to the minute: a program that polls costs no write for each call."""
        now = timezone.now()
        before = now - self.NOTED_EVERY
        if self.last_used_at is None or self.last_used_at < before:
            mine = ApiToken.objects.filter(pk=self.pk)
            mine.filter(Q(last_used_at=None) | Q(last_used_at__lt=before)).update(last_used_at=now)

    def log(self, verb: str, by: By) -> None:
        detail = {"token": self.name, "owner": self.owner.get_username()}
        ChatEvent.objects.create(actor=by.actor, source=by.source, verb=verb, detail=detail)

    @staticmethod
    def digest_of(secret: str) -> str:
        return hashlib.sha256(secret.encode()).hexdigest()


class TokensEndWithPassword:
    """Listed among the password validators, which hear of every new password, whoever sets it: page, link, admin."""

    def validate(self, password: str, user: "User | None" = None) -> None:
        """Any password will do; only the change is of interest."""

    def get_help_text(self) -> str:
        return ""

    def password_changed(self, password: str, user: "User | None" = None) -> None:
        for token in ApiToken.objects.filter(owner=user):
            token.revoke(By(None))
