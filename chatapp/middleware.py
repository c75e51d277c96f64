"""What every page carries: the policy that lets nothing foreign act, and the reader's time zone. How news is sent, and
what is said when the database is away."""

import logging
import zoneinfo
from collections.abc import Callable

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.middleware.gzip import GZipMiddleware
from django.shortcuts import render
from django.utils import timezone

log = logging.getLogger(__name__)

AWAY = (OperationalError, InterfaceError)
BUSY = "The database is busy and nothing was changed. Try again in a moment."
AGAIN = "2"  # seconds

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


def compress_news(get_response: Handler) -> Handler:
    """What a page's own script asks for. No other site can ask for it in somebody's name, and so learn from its length
    what is in it; whole pages are for the proxy to compress, which knows where it stands."""
    gzip = GZipMiddleware(get_response)

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if "HX-Request" in request.headers:
            gzip.process_response(request, response)
        return response

    return middleware


def guard_pages(get_response: Handler) -> Handler:
    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.setdefault("Content-Security-Policy", ADMIN_POLICY if request.path.startswith("/admin/") else POLICY)
        response.setdefault("X-DNS-Prefetch-Control", "off")  # host names in links would leak
        response.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
        response.setdefault("Cache-Control", "no-store")
        return response

    return middleware


def ask_for_patience(get_response: Handler) -> Handler:
    """A database that is locked or starting is no fault of the request, which may be sent again as it was."""

    def middleware(request: HttpRequest) -> HttpResponse:
        return get_response(request)

    def busy(request: HttpRequest, error: Exception) -> HttpResponse | None:
        return busy_page(request, error) if isinstance(error, AWAY) else None

    middleware.process_exception = busy  # type: ignore[attr-defined]
    return middleware


def busy_page(request: HttpRequest, error: Exception) -> HttpResponse:
    """In the page's own words where a script asked, which shows them beside what it sent."""
    log.warning("%s %s could not use the database: %s", request.method, request.path, error)
    wants_page = "text/html" in request.headers.get("Accept", "") and "HX-Request" not in request.headers
    again = AGAIN if request.method == "GET" else None  # nothing is sent a second time without being asked
    shown = {"words": BUSY, "again": again}
    page = render(None, "503.html", shown) if wants_page else HttpResponse(BUSY, content_type="text/plain")
    page.status_code, page["Retry-After"] = 503, AGAIN
    return page


def use_own_time_zone(get_response: Handler) -> Handler:
    def middleware(request: HttpRequest) -> HttpResponse:
        try:
            name = getattr(request.user, "time_zone", "") or request.COOKIES.get("zone", "")
        except AWAY as error:  # the first to ask who it is, before any view
            return busy_page(request, error)
        with timezone.override(zone(name)):
            return get_response(request)

    return middleware


def zone(name: str) -> zoneinfo.ZoneInfo | None:
    """The named zone; None, which means the server's, for a name nobody knows."""
    try:
        return zoneinfo.ZoneInfo(name) if name else None
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None
