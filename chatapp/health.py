"""For whoever runs the server: can it work, and how does it do. Whether it is alive, a door says (`doors.Alive`)."""

import hmac

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_GET

from sessions_core import health


@require_GET
def readyz(request: HttpRequest) -> HttpResponse:
    """503 when no reply could be given. What is wrong in words is for operators only."""
    checks = health.checks()
    ready = all(check.state != "dead" for check in checks)
    found = {
        check.name: {"state": check.state} | ({"says": check.says} if may_know(request) else {}) for check in checks
    }
    return JsonResponse({"ready": ready, "checks": found}, status=200 if ready else 503)


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    if not may_know(request):
        raise Http404
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    from sessions_core.metrics import registry

    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def may_know(request: HttpRequest) -> bool:
    """Staff, or a program with METRICS_TOKEN."""
    _, _, token = request.headers.get("Authorization", "").partition("Bearer ")
    known = bool(settings.METRICS_TOKEN) and hmac.compare_digest(token.encode(), settings.METRICS_TOKEN.encode())
    return known or (request.user.is_authenticated and request.user.is_active and request.user.is_staff)
