from typing import Any

from django.apps import AppConfig
from django.contrib.admin import AdminSite
from django.contrib.admin import apps as admin  # its config by name would be taken for this app's
from django.http import Http404


class SessionsCoreConfig(AppConfig):
    name = "sessions_core"
    verbose_name = "Sessions"


class StaffSite(AdminSite):
    def has_permission(self, request: Any) -> bool:
        """Who is signed in and no staff finds nothing there; who is not signed in is asked to."""
        if request.user.is_authenticated and not super().has_permission(request):
            raise Http404
        return super().has_permission(request)


class StaffAdminConfig(admin.AdminConfig):
    """Django's admin, in place of django.contrib.admin in INSTALLED_APPS."""

    default_site = "sessions_core.apps.StaffSite"
    default = False
