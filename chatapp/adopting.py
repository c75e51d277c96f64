"""Sessions that the gateway has and this app has not: a page to make chats of them."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from sessions_core.errors import Refusal
from sessions_core.gateway import kinds
from sessions_core.models import Chat
from sessions_core.models.adopting import Found, adoptable

from . import listing
from .bulk import MOST_REASONS
from .managing import MOST_WORDS
from .requests import Request, acting
from .views import address_of

MOST_AT_ONCE = 20  # sessions: each is asked for at the gateway


@login_required
@require_http_methods(["GET", "POST"])
def adopt(request: Request) -> HttpResponse:
    """Lists them, and adopts those that were chosen; not there for who has not the right."""
    if not request.user.has_perm("sessions_core.adopt_sessions") or not kinds.configured().has_agents:
        raise Http404
    return chosen(request) if request.method == "POST" else show(request)


def show(request: Request) -> HttpResponse:
    words = request.GET.get("q", "").replace("\0", "")[:MOST_WORDS].strip()
    found, error = looked_for(request, words)
    context = {"found": found, "error": error, "words": words, "most": MOST_AT_ONCE}
    context |= listing.page(request.user) | {"list_rev": request.user.rev, "here": reverse("adopt")}
    return render(request, "sessions/adopt.html", context)


def looked_for(request: Request, words: str) -> tuple[list[Found], Refusal | None]:
    try:
        return adoptable(request.user, words), None
    except Refusal as refusal:
        return [], refusal


def chosen(request: Request) -> HttpResponse:
    """What one of them refuses stops none of the others."""
    keys = list(dict.fromkeys(request.POST.getlist("keys")))[:MOST_AT_ONCE]
    done: list[Chat] = []
    refused: list[tuple[str, str]] = []
    for key in keys:
        try:
            done.append(Chat.objects.adopt(request.user, key, acting(request)))
        except Refusal as refusal:
            refused.append((key, str(refusal)))
    if not keys:
        return redirect("adopt")
    told: dict[str, Any] = {"refused": refused[:MOST_REASONS], "more": len(refused[MOST_REASONS:])}
    words = render_to_string("sessions/_done.html", told | {"done": len(done), "became": "yours now"})
    messages.success(request, words)
    return redirect(address_of(done[0]) if len(keys) == len(done) == 1 else reverse("sessions"))
