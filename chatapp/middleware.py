"""What every page carries: the policy that lets nothing foreign act, and the reader's time zone."""

import zoneinfo
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "object-src 'none'",
    ]
)
# Django's admin draws its icons from data: addresses and nothing else of the kind.
ADMIN_POLICY = POLICY.replace("img-src 'self'", "img-src 'self' data:")

Handler = Callable[[HttpRequest], HttpResponse]


def guard_pages(get_response: Handler) -> Handler:
    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.setdefault("Content-Security-Policy", ADMIN_POLICY if request.path.startswith("/admin/") else POLICY)
        response.setdefault("X-DNS-Prefetch-Control", "off")  # host names in links would leak
        response.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
        response.setdefault("Cache-Control", "no-store")
        return response

    return middleware


def use_own_time_zone(get_response: Handler) -> Handler:
    def middleware(request: HttpRequest) -> HttpResponse:
        name = getattr(request.user, "time_zone", "") or request.COOKIES.get("zone", "")
        with timezone.override(zone(name)):
            return get_response(request)

    return middleware


def zone(name: str) -> zoneinfo.ZoneInfo | None:
    """The named zone; None, which means the server's, for a name nobody knows."""
    try:
        return zoneinfo.ZoneInfo(name) if name else None
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None
