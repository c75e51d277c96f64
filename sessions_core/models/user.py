from typing import ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models
from django.db.models import F

from ..hub import hub


class People(UserManager["User"]):
    def invite(self, name: str, *, admin: bool = False) -> "User":
        """An account without a password yet; raises ValidationError for a name that is taken or cannot be."""
        user = self.model(username=self.model.normalize_username(name), is_staff=admin, is_superuser=admin)
        user.set_unusable_password()
        user.full_clean()
        user.save()
        return user


class User(AbstractUser):
    class Theme(models.TextChoices):
        SYSTEM = "system", "As the device"
        LIGHT = "light", "Light"
        DARK = "dark", "Dark"

    time_zone = models.CharField(max_length=64, blank=True)
    theme = models.CharField(max_length=6, choices=Theme, default=Theme.SYSTEM)
    default_agent = models.CharField(max_length=64, blank=True)
    rev = models.PositiveBigIntegerField(default=0, editable=False, help_text="Counts changes of the chat list.")

    objects: ClassVar[People] = People()

    def deactivate(self) -> None:
        """Lock the account and end what is open; chats stay."""
        self.is_active = False
        self.save(update_fields=["is_active"])
        hub.sign_out(user=self.pk)

    @staticmethod
    def count_list_change(pk: int) -> None:
        """Count a change of a person's chat list; always after the chat's own rev, never before."""
        User.objects.filter(pk=pk).update(rev=F("rev") + 1)
