import math

from django.db import IntegrityError, models, transaction
from django.db.models import F
from django.utils import timezone


class ThrottleQuerySet(models.QuerySet["Throttle"]):
    def take(self, key: str, limit: int, seconds: int) -> bool:
        """Count one use of `key` in the present window of so many seconds; False when `limit` is used up."""
        window = math.floor(timezone.now().timestamp() / seconds)
        name = f"{key}/{seconds}"
        if self.filter(key=name, window=window).update(used=F("used") + 1) == 0:
            self._open(name, window)
        return self.values_list("used", flat=True).get(key=name) <= limit

    def used(self, key: str, seconds: int) -> int:
        """How often `key` was used in the present window."""
        window = math.floor(timezone.now().timestamp() / seconds)
        return self.filter(key=f"{key}/{seconds}", window=window).values_list("used", flat=True).first() or 0

    def _open(self, name: str, window: int) -> None:
        if self.filter(key=name).exclude(window=window).update(window=window, used=1):
            return
        try:
            with transaction.atomic():
                self.create(key=name, window=window, used=1)
        except IntegrityError:  # another process opened it first
            self.filter(key=name, window=window).update(used=F("used") + 1)


class Throttle(models.Model):
    """A counter in a fixed window of time, shared by all processes and kept over restarts."""

    key = models.CharField(max_length=200, unique=True)
    window = models.BigIntegerField()
    used = models.PositiveIntegerField()

    objects = ThrottleQuerySet.as_manager()

    class Meta:
        verbose_name = "throttle"
