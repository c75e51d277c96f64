from django.db import models
from django.db.models.functions import Now


class Leftover(models.Model):
    """A session on the gateway whose chat is gone for good; the relay deletes it there, when the gateway lets it."""

    key = models.CharField(max_length=200, help_text="As the gateway is asked for it, without the agent.")
    agent = models.CharField(max_length=64, blank=True)
    failures = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "agent"], name="leftover_once")]

    def __str__(self) -> str:
        return self.key
