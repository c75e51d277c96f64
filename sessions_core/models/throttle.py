import math
from collections.abc import Sequence

from django.db import connection, models
from django.utils import timezone

Use = tuple[str, int, int]  # a key, and how often it may be used in how many seconds

COUNT = """
    insert into sessions_core_throttle (key, "window", used) values {rows}
    on conflict (key) do update set "window" = excluded."window", used = case
        when sessions_core_throttle."window" = excluded."window" then sessions_core_throttle.used + 1 else 1 end
"""


class ThrottleQuerySet(models.QuerySet["Throttle"]):
    def take(self, key: str, limit: int, seconds: int) -> bool:
        """Count one use of `key` in the present window of so many seconds; False when `limit` is used up."""
        return self.take_all([(key, limit, seconds)])

    def take_all(self, uses: Sequence[Use]) -> bool:
        """Count one use of each; False when one of the limits is used up.

        By hand, because it is one statement: each of a person's messages is counted four times.
        """
        places = {f"{key}/{seconds}": (window(seconds), limit) for key, limit, seconds in sorted(uses)}
        values = [value for key, (number, _) in places.items() for value in (key, number)]
        rows = ", ".join(["(%s, %s, 1)"] * len(places))
        with connection.cursor() as cursor:
            cursor.execute(f"{COUNT.format(rows=rows)} returning key, used", values)
            return all(used <= places[key][1] for key, used in cursor.fetchall())

    def used(self, key: str, seconds: int) -> int:
        """How often `key` was used in the present window."""
        return self.filter(key=f"{key}/{seconds}", window=window(seconds)).values_list("used", flat=True).first() or 0


def window(seconds: int) -> int:
    return math.floor(timezone.now().timestamp() / seconds)


class Throttle(models.Model):
    """A counter in a fixed window of time, shared by all processes and kept over restarts."""

    key = models.CharField(max_length=200, unique=True)
    window = models.BigIntegerField()
    used = models.PositiveIntegerField()

    objects = ThrottleQuerySet.as_manager()

    class Meta:
        verbose_name = "throttle"
