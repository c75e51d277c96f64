"""What admins see: who has which chats and how they fare; what was said only where ADMIN_SHOWS_TEXT is set.

An automatic title is the beginning of a message, so it is hidden like one. Nothing is edited here: what can be done is
done by the verbs that the app uses.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Case, CharField, F, QuerySet, Value, When
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from . import errors, links
from .gateway import WIRE_KEY, GatewayError, kinds, tools
from .models import AgentGrant, ApiToken, By, Chat, ChatEvent, Message, User

HIDDEN_DETAIL = ("title",)  # what the history remembers of an automatic title


class Readable(admin.ModelAdmin):
    """Lists and shows; what is not listed cannot be asked for by address either, a letter at a time."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_manage_permission(self, request: HttpRequest) -> bool:
        """What actions ask for: the right that editing would need."""
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        filters = [entry if isinstance(entry, str) else entry[0] for entry in self.list_filter]  # type: ignore[index]
        return lookup.split("__")[0] in filters


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    list_display = ("username", "is_active", "is_staff", "last_login")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Preferences", {"fields": ("theme", "time_zone")}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
    )
    actions = ("password_links", "deactivate")

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Only who has no chats: the page that asks would list them. All others are deactivated."""
        allowed = super().has_delete_permission(request, obj)
        return allowed and obj is not None and not obj.chats.exists()

    @admin.action(description="Make links to choose a password")
    def password_links(self, request, queryset) -> None:
        for user in queryset.filter(is_active=True):
            self.message_user(request, f"{user.username}: {links.absolute(links.password_path(user))}")

    @admin.action(description="Deactivate and sign out")
    def deactivate(self, request, queryset) -> None:
        for user in queryset:
            user.deactivate()
        self.message_user(request, "Deactivated. The chats are kept.")


# --- groups and their agents


class AgentInput(forms.TextInput):
    """Suggests those that the gateway lists; while it lists none, a name can be typed all the same."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        known = format_html_join("", '<option value="{}"></option>', ((agent,) for agent in tools.agents()))
        field = super().render(name, value, (attrs or {}) | {"list": f"{name}-known"}, renderer)
        return format_html('{}<datalist id="{}-known">{}</datalist>', field, name, known)


class GrantForm(forms.ModelForm):
    class Meta:
        model = AgentGrant
        fields = ("agent",)
        widgets: ClassVar = {"agent": AgentInput}

    def clean_agent(self) -> str:
        agent = self.cleaned_data["agent"].strip().lower()
        if not WIRE_KEY.fullmatch(agent):
            raise forms.ValidationError("An agent's id is in small letters, digits, - and _, such as main.")
        return agent


class AgentGrantInline(admin.TabularInline):
    model = AgentGrant
    form = GrantForm
    extra = 1
    verbose_name = "agent"
    verbose_name_plural = "agents that only members of their groups may use"


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin):
    inlines = (AgentGrantInline,)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """An agent may be granted before it is there; but a slip leaves the one that was meant open to everybody."""
        super().save_related(request, form, formsets, change)
        if not kinds.configured().has_agents:
            return
        with suppress(GatewayError):
            offered = tools.listed_agents()
            for grant in form.instance.agent_grants.exclude(agent__in=offered):
                known = ", ".join(offered)
                messages.warning(request, f"The gateway has no agent “{grant.agent}”; it has: {known}.")


# --- chats


def protect(chat: Chat, by: By) -> None:
    if not (chat.named or settings.ADMIN_SHOWS_TEXT):
        raise errors.BadName("It has no name of its own. Its owner can protect it, or name it.")
    chat.protect(True, by)


def unprotect(chat: Chat, by: By) -> None:
    chat.protect(False, by)


class ChatList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = [with_shown_title(chat) for chat in self.result_list]


def with_shown_title(chat: Any) -> Any:
    """Django itself names things too, in labels and titles; a chat that is only looked at may be given another."""
    chat.title = chat.shown_title
    return chat


@admin.register(Chat)
class ChatAdmin(Readable):
    list_display = ("shown_name", "owner", "key", "agent", "persistent", "last_active_at", "deleted_at")
    list_display_links = ("shown_name", "key")
    ordering = ("-last_active_at",)
    list_filter = (
        *("persistent", "pinned", "agent"),
        *(("archived_at", admin.EmptyFieldListFilter), ("deleted_at", admin.EmptyFieldListFilter)),
    )
    search_fields = ("shown_title", "openclaw_session_key", "owner__username")
    list_select_related = ("owner",)
    actions = ("protect", "unprotect", "trash", "restore")
    fields = (
        *("shown_name", "key", "owner", "agent", "persistent", "pinned", "chapter", "key_number"),
        *("created_at", "last_active_at", "announced_at", "archived_at", "deleted_at"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Chat]:
        chosen = When(title_source=Chat.TitleSource.USER, then="title")
        hidden = Case(chosen, default=Value(""), output_field=CharField())
        chats = super().get_queryset(request).defer("draft")
        return chats.annotate(shown_title=F("title") if settings.ADMIN_SHOWS_TEXT else hidden)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        chat = super().get_object(request, object_id, from_field)
        return chat and with_shown_title(chat)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ChatList

    @admin.display(description="name", ordering="shown_title")
    def shown_name(self, chat: Any) -> str:
        return chat.shown_title or ("Main" if chat.is_main else "(automatic title)")

    @admin.action(description="Make persistent", permissions=["manage"])
    def protect(self, request: HttpRequest, queryset: QuerySet[Chat]) -> None:
        self.act(request, queryset, protect, "Protected")

    @admin.action(description="Make not persistent", permissions=["manage"])
    def unprotect(self, request: HttpRequest, queryset: QuerySet[Chat]) -> None:
        self.act(request, queryset, unprotect, "Unprotected")

    @admin.action(description="Move to the trash", permissions=["manage"])
    def trash(self, request: HttpRequest, queryset: QuerySet[Chat]) -> None:
        self.act(request, queryset, Chat.trash, "Moved to the trash")

    @admin.action(description="Restore from the trash", permissions=["manage"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Chat]) -> None:
        self.act(request, queryset, Chat.restore, "Restored", from_trash=True)

    def act(
        self,
        request: HttpRequest,
        chosen: QuerySet[Chat],
        verb: Callable[[Chat, By], None],
        done: str,
        *,
        from_trash: bool = False,
    ) -> None:
        """Each by itself, so that a refusal keeps none of the others back."""
        by = By(request.user, "admin")  # type: ignore[arg-type]  # nobody comes here without an account
        for chat in Chat.objects.filter(pk__in=chosen.values("pk")).order_by("pk"):
            try:
                if bool(chat.deleted_at) != from_trash:
                    raise errors.Refusal("It is not in the trash." if from_trash else "It is in the trash.")
                verb(chat, by)
                self.message_user(request, f"{done}: {chat.key}")
            except errors.Refusal as refusal:
                self.message_user(request, f"{chat.key}: {refusal}", messages.ERROR)


@admin.register(Message)
class MessageAdmin(Readable):
    list_display = ("id", "created_at", "owner", "key", "role", "state", "error_code")
    list_filter = ("role", "state", "error_code")
    list_select_related = ("chat__owner",)
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        return (
            super()
            .get_queryset(request)
            .defer("html", "thinking", *([] if settings.ADMIN_SHOWS_TEXT else ["text", "parts"]))
        )

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        said = ["text"] if settings.ADMIN_SHOWS_TEXT else []
        return ["chat__openclaw_session_key", "chat__owner__username", "=error_code", *said]

    def get_fields(self, request: HttpRequest, obj: Message | None = None) -> Any:
        said = ["text", "error_text"] if settings.ADMIN_SHOWS_TEXT else []  # an error may quote what was said
        place = ["owner", "key", "chapter", "key_number", "seq", "version", "role", "state", "origin", "transcript_id"]
        return [*place, *said, "error_code", "upstream_id", "usage", "created_at", "first_delta_at", "ended_at"]

    @admin.display(ordering="chat__owner__username")
    def owner(self, message: Message) -> str:
        return message.chat.owner.get_username()

    @admin.display(description="session")
    def key(self, message: Message) -> str:
        return message.chat.key


# --- history and tokens


@admin.register(ChatEvent)
class ChatEventAdmin(Readable):
    list_display = ("at", "verb", "actor", "source", "key")
    list_filter = ("verb", "source")
    list_select_related = ("actor", "chat")
    search_fields = ("verb", "actor__username", "chat__openclaw_session_key")
    fields = ("at", "verb", "actor", "source", "key", "particulars")

    @admin.display(description="session")
    def key(self, event: ChatEvent) -> str:
        return event.chat.key if event.chat else "–"

    @admin.display(description="detail")
    def particulars(self, event: ChatEvent) -> str:
        hidden = () if settings.ADMIN_SHOWS_TEXT else HIDDEN_DETAIL
        return ", ".join(f"{name}: {value}" for name, value in event.detail.items() if name not in hidden) or "–"


@admin.register(ApiToken)
class ApiTokenAdmin(Readable):
    list_display = ("name", "owner", "created_at", "last_used_at")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__username")
    fields = ("name", "owner", "created_at", "last_used_at")
    actions = ("revoke",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        return super().get_queryset(request).defer("digest")

    @admin.action(description="Revoke", permissions=["manage"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        for token in queryset:
            token.revoke(By(request.user, "admin"))  # type: ignore[arg-type]  # as above
            self.message_user(request, f"Revoked: {token.name} of {token.owner}")
