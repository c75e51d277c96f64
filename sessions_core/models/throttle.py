import math

from django.db import IntegrityError, models, transaction
from django.db.models import F
from django.utils import timezone


class ThrottleQuerySet(models.QuerySet["Throttle"]):
    def take(self, key: str, limit: int, seconds: int) -> bool:
        """Count one use of `key` in the present window of so many seconds; False when `limit` is used up."""
        window = math.floor(timezone.now().timestamp() / seconds)
        name = f"{key}/{seconds}"
        here = self.filter(key=name, window=window)
        return self._take(here, limit) or (not here.exists() and self._open(name, window, limit))

    @staticmethod
    def _take(here: models.QuerySet["Throttle"], limit: int) -> bool:
        return bool(here.filter(used__lt=limit).update(used=F("used") + 1))

    def used(self, key: str, seconds: int) -> int:
        """How often `key` was used in the present window."""
        window = math.floor(timezone.now().timestamp() / seconds)
        return self.filter(key=f"{key}/{seconds}", window=window).values_list("used", flat=True).first() or 0

    def _open(self, name: str, window: int, limit: int) -> bool:
        if limit and self.filter(key=name).exclude(window=window).update(window=window, used=1):
            return True
        try:
            with transaction.atomic():
                return bool(limit and self.create(key=name, window=window, used=1))
        except IntegrityError:  # another process opened it first
            return self._take(self.filter(key=name, window=window), limit)


class Throttle(models.Model):
    """A counter in a fixed window of time, shared by all processes and kept over restarts."""

    key = models.CharField(max_length=200, unique=True)
    window = models.BigIntegerField()
    used = models.PositiveIntegerField()

    objects = ThrottleQuerySet.as_manager()

    class Meta:
        verbose_name = "throttle"
