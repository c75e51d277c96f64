import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models

if TYPE_CHECKING:
    from .user import User


@dataclass(frozen=True)
class By:
    """Who does something, from which part of the app, from which address; for the history and the limits."""

    actor: "User | None"
    source: str = "ui"
    address: str = ""


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


class ApiToken(models.Model):
    """A personal key for the API: shown once, stored as a digest."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API token"

    def __str__(self) -> str:
        return self.name

    @classmethod
    def make(cls, owner, name: str) -> tuple["ApiToken", str]:
        """A new token and its secret, which is not kept."""
        secret = secrets.token_urlsafe(32)
        return cls.objects.create(owner=owner, name=name, digest=cls.digest_of(secret)), secret

    @staticmethod
    def digest_of(secret: str) -> str:
        return hashlib.sha256(secret.encode()).hexdigest()
