"""The JSON API: the same verbs as the pages, for programs. `/api/docs` describes it, `docs/api.md` explains it."""

from django.core.exceptions import RequestDataTooBig
from django.http import HttpResponse
from django.urls import Resolver404, resolve
from django.views.decorators.csrf import csrf_exempt

from ..requests import Request
from .refusals import refusal

JSON = "application/json"


@csrf_exempt  # auth.SessionCookie checks it; a token, which no browser sends by itself, needs no check
def call(request: Request, path: str) -> HttpResponse:
    """Any call. What answers it is loaded with the first one: its libraries take longer than all the pages."""
    try:
        if request.body and request.content_type != JSON:
            return refusal(415, "not_json", f"Send the body as JSON, with Content-Type: {JSON}.")
        view, args, kwargs = resolve(f"/{path}", "chatapp.api.urls")
    except RequestDataTooBig:
        return refusal(413, "too_large", "This is more than the app takes at once. Shorten it and send it again.")
    except Resolver404:
        return refusal(404, "not_found", "There is no such call. /api/docs lists all.")
    answer = view(request, *args, **kwargs)
    if answer.status_code != 405:
        return answer
    refused = refusal(405, "method_not_allowed", f"This address takes {answer['Allow']}.")
    refused["Allow"] = answer["Allow"]
    return refused
