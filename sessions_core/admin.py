"""What admins see: who has which chats and how they fare; not what was said."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin

from . import links
from .models import Chat, ChatEvent, User


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    list_display = ("username", "is_active", "is_staff", "last_login")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Preferences", {"fields": ("theme", "time_zone")}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
    )
    actions = ("password_links", "deactivate")

    @admin.action(description="Make links to choose a password")
    def password_links(self, request, queryset) -> None:
        for user in queryset.filter(is_active=True):
            self.message_user(request, f"{user.username}: {links.absolute(links.password_path(user))}")

    @admin.action(description="Deactivate and sign out")
    def deactivate(self, request, queryset) -> None:
        for user in queryset:
            user.deactivate()
        self.message_user(request, "Deactivated. The chats are kept.")


@admin.register(Chat)
class ChatAdmin(admin.ModelAdmin):
    list_display = ("name", "owner", "openclaw_session_key", "persistent", "last_active_at", "deleted_at")
    list_filter = ("persistent", "agent")
    search_fields = ("title", "openclaw_session_key", "owner__username")
    list_select_related = ("owner",)
    fields = readonly_fields = (
        *(
            "id",
            "owner",
            "agent",
            "openclaw_session_key",
            "title",
            "persistent",
            "pinned",
            "chapter",
            "key_number",
        ),
        *("created_at", "last_active_at", "archived_at", "deleted_at"),
    )

    def has_add_permission(self, request) -> bool:
        return False

    def has_delete_permission(self, request, obj=None) -> bool:
        return False


@admin.register(ChatEvent)
class ChatEventAdmin(admin.ModelAdmin):
    list_display = ("at", "verb", "actor", "source", "chat")
    list_filter = ("verb", "source")
    list_select_related = ("actor", "chat")

    def has_add_permission(self, request) -> bool:
        return False

    def has_change_permission(self, request, obj=None) -> bool:
        return False

    def has_delete_permission(self, request, obj=None) -> bool:
        return False
