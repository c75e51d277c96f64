from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import F


class User(AbstractUser):
    class Theme(models.TextChoices):
        SYSTEM = "system", "As the device"
        LIGHT = "light", "Light"
        DARK = "dark", "Dark"

    time_zone = models.CharField(max_length=64, blank=True)
    theme = models.CharField(max_length=6, choices=Theme, default=Theme.SYSTEM)
    default_agent = models.CharField(max_length=64, blank=True)
    rev = models.PositiveBigIntegerField(default=0, editable=False, help_text="Counts changes of the chat list.")

    @staticmethod
    def count_list_change(pk: int) -> None:
        """Count a change of a person's chat list; always after the chat's own rev, never before."""
        User.objects.filter(pk=pk).update(rev=F("rev") + 1)
