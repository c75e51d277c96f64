"""What the session menu does: name, protect, pin, new chapter, trash. Plain forms; the page that follows shows it."""

import uuid
from collections.abc import Callable
from functools import wraps

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from sessions_core.errors import Protected, Refusal
from sessions_core.models import Chat

from .requests import Request, acting
from .views import address_of, own_chat, show

OFFERS_WHEN_PROTECTED = ({"offer": "new-chat"}, {"offer": "unprotect-and-reset"})


def says_why(view: Callable[[Request, uuid.UUID], HttpResponse]) -> Callable[[Request, uuid.UUID], HttpResponse]:
    """What the domain refuses is answered with the chat's page and the reason on it."""

    @wraps(view)
    def answer(request: Request, pk: uuid.UUID) -> HttpResponse:
        try:
            return view(request, pk)
        except Refusal as refusal:
            return show(request, own_chat(request, pk), error=str(refusal), status=refusal.status)

    return answer


@login_required
@require_POST
@says_why
def rename(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat = own_chat(request, pk)
    chat.rename(request.POST.get("title", ""), acting(request))
    return redirect(address_of(chat))


@login_required
@require_POST
@says_why
def persist(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat = own_chat(request, pk)
    chat.protect(request.POST.get("on") == "1", acting(request))
    return redirect(address_of(chat))


@login_required
@require_POST
def pin(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat = own_chat(request, pk)
    chat.pin(request.POST.get("on") == "1", acting(request))
    return redirect(address_of(chat))


@login_required
@require_POST
@says_why
def reset(request: Request, pk: uuid.UUID) -> HttpResponse:
    """A new chapter; a persistent session answers with a notice that offers what can be done instead."""
    chat, by = own_chat(request, pk), acting(request)
    try:
        if request.POST.get("unprotect") == "1":
            chat.protect(False, by)
        chat.reset(by)
    except Protected as refusal:
        chat.notice(str(refusal), *OFFERS_WHEN_PROTECTED)
    return redirect(address_of(chat))


@login_required
@require_POST
@says_why
def unreset(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat = own_chat(request, pk)
    chat.undo_reset(acting(request))
    return redirect(address_of(chat))


@login_required
@require_http_methods(["GET", "POST"])
def delete(request: Request, pk: uuid.UUID) -> HttpResponse:
    """Asks first, and says what goes; then offers the way back."""
    chat = own_chat(request, pk)
    if request.method != "POST":
        template = "chat/_delete_session.html" if request.htmx else "chat/delete_session.html"
        context = {"chat": chat, "count": chat.messages.count(), "running": chat.messages.running().exists()}
        return render(request, template, context)
    chat.trash(acting(request))
    messages.success(request, chat.name, extra_tags=f"deleted {chat.pk}")
    return redirect("chat")


@login_required
@require_POST
def restore(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat = get_object_or_404(Chat.objects.trash_of(request.user), pk=pk)
    chat.restore(acting(request))
    return redirect(address_of(chat))
