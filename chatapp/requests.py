"""The request as our middleware leaves it, and who acts by it."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from sessions_core.models import By, User


class Request(HttpRequest):
    user: User  # behind @login_required
    htmx: HtmxDetails


def acting(request: Request) -> By:
    return By(request.user, "ui", request.META.get("REMOTE_ADDR", ""))
