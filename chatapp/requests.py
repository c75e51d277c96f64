"""The request as our middleware leaves it; for annotations."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from sessions_core.models import User


class Request(HttpRequest):
    user: User  # behind @login_required
    htmx: HtmxDetails
