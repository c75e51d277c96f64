"""The request as our middleware leaves it, and who acts by it."""

from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.middleware import HtmxDetails

from sessions_core.models import By, User


class Request(HttpRequest):
    user: User  # behind @login_required
    htmx: HtmxDetails


def acting(request: Request, source: str = "ui") -> By:
    return By(request.user, source, request.META.get("REMOTE_ADDR", ""))


def where_from(request: Request) -> str:
    """The page of ours that a form or a link says it was used on, or nothing."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    own = url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return wanted if own else ""
