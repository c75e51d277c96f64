"""What a call is refused with: always `{"error": {"code", "message", "field"}}`."""

import logging
import re

from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest, HttpResponse, JsonResponse

from sessions_core.errors import Refusal

from ..middleware import BUSY

RETRY_AFTER = {429: "60", 503: "2"}  # seconds: the shortest window a limit counts in; a busy database
FIELDS = {"title": "name"}  # where a call's field has another name than the form's
LONGEST_FIELD = 100  # characters of a field's name that are told back

log = logging.getLogger(__name__)


def refusal(status: int, code: str, message: str, field: str | None = None) -> JsonResponse:
    answer = JsonResponse({"error": {"code": code, "message": message, "field": field}}, status=status)
    if status in RETRY_AFTER:
        answer["Retry-After"] = RETRY_AFTER[status]
    return answer


def refused(request: HttpRequest, error: Refusal) -> HttpResponse:
    """The domain's own words."""
    return refusal(error.status, code_of(type(error)), str(error), FIELDS.get(error.field or "", error.field))


def code_of(kind: type[Refusal]) -> str:
    """The exception's name, as NameTaken is name_taken."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def not_there(request: HttpRequest, error: ObjectDoesNotExist) -> HttpResponse:
    """Foreign, deleted and missing are the same."""
    return refusal(404, "not_found", "There is no such session.")


def busy(request: HttpRequest, error: Exception) -> HttpResponse:
    log.warning("%s %s could not use the database: %s", request.method, request.path, error)
    return refusal(503, "busy", BUSY)


def failed(request: HttpRequest, error: Exception) -> HttpResponse:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return refusal(500, "internal", "Something went wrong on the server. Its log says what.")
