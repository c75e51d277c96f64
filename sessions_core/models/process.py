from datetime import timedelta

from django.db import models
from django.db.models.functions import Now

ALIVE = timedelta(seconds=20)  # without a beat
FORGOTTEN = timedelta(hours=1)


class ProcessQuerySet(models.QuerySet["Process"]):
    def alive(self):
        return self.filter(seen_at__gt=Now() - ALIVE)

    def beat(self, name: str, **standing: object) -> "list[Process]":
        """Say that this process is there, and how it is; forget those that left without a word. Gives the others.

        Without `trouble` nothing new is known of the gateway; an empty one holds for all, who ask the same one.
        """
        self.update_or_create(name=name, defaults=standing | {"seen_at": Now()})
        if standing.get("trouble") == "":
            self.exclude(trouble="").update(trouble="")
        self.filter(seen_at__lt=Now() - FORGOTTEN).delete()
        return list(self.alive().exclude(name=name))


class Process(models.Model):
    """A running process of this installation, as it last told; for health and for operators."""

    name = models.CharField(max_length=100, unique=True)
    pages = models.BooleanField(help_text="Serves pages.")
    relay = models.BooleanField(help_text="Carries replies.")
    redis = models.BooleanField(null=True, help_text="Hears the others over Redis; none where no Redis is set.")
    trouble = models.CharField(max_length=40, blank=True, help_text="What the gateway did wrong last, by its code.")
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    objects = ProcessQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "processes"

    def __str__(self) -> str:
        return self.name
