from typing import Any

from django import forms
from django.contrib.auth import password_validation
from django.contrib.auth.forms import BaseUserCreationForm, PasswordChangeForm, SetPasswordForm

from sessions_core.models import User
from sessions_core.models.grant import offered_to


class TypedField(forms.CharField):
    """What a person typed; the domain cleans it, so a NUL in it is no reason to refuse the form."""

    def to_python(self, value: Any) -> str:
        return (super().to_python(value) or "").replace("\0", "")


class MessageForm(forms.Form):
    """A message; its text is checked by the domain, which says what is wrong with it."""

    text = TypedField(required=False, strip=False)
    draft = TypedField(required=False, strip=False)
    client_id = forms.UUIDField(required=False)
    after = forms.IntegerField(required=False, min_value=0)


class EditForm(MessageForm):
    """A message said anew."""

    message = forms.IntegerField(min_value=1)


class ChatForm(forms.Form):
    """A new chat: by its first message, or by name."""

    id = forms.UUIDField(required=False)
    title = TypedField(required=False, strip=False)
    persistent = forms.BooleanField(required=False)
    agent = forms.CharField(required=False)
    based_on = forms.UUIDField(required=False)
    text = TypedField(required=False, strip=False)
    client_id = forms.UUIDField(required=False)
    after = forms.IntegerField(required=False, min_value=0)


class InSentences:
    """What a password must be, without Django's list, which has an empty item for a validator that says nothing."""

    fields: dict[str, forms.Field]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        *_, first, second = self.fields.values()
        first.help_text = " ".join(filter(None, password_validation.password_validators_help_texts()))
        second.help_text = ""


class FirstAccountForm(InSentences, BaseUserCreationForm):
    class Meta:
        model = User
        fields = ("username",)


class ChosenPasswordForm(InSentences, SetPasswordForm):
    pass


class NewPasswordForm(InSentences, PasswordChangeForm):
    pass


class AccountForm(forms.ModelForm):
    class Meta:
        model = User
        fields = ("theme", "time_zone", "default_agent")

    default_agent = forms.ChoiceField(required=False, label="Agent", help_text="Who answers in your new chats.")
    time_zone = forms.CharField(
        required=False, max_length=64, help_text="Such as Europe/Berlin; empty: as your browser."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = offered_to(self.instance)
        choice: Any = self.fields.pop("default_agent")
        if len(offered) > 1:
            choice.choices = [("", "As usual"), *((agent, agent) for agent in offered)]
            self.fields["default_agent"] = choice

    def clean_time_zone(self) -> str:
        from .middleware import zone

        name = self.cleaned_data["time_zone"].strip()
        if name and zone(name) is None:
            raise forms.ValidationError(f"“{name}” is not a time zone. Use a name such as Europe/Berlin.")
        return name
