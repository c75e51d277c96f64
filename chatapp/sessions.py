"""What the session menu does: name, protect, pin, archive, fork, new chapter, trash.

Plain forms lead back to where they were used; with JavaScript that page stays and its socket tells what changed.
"""

import uuid
from collections.abc import Callable
from functools import wraps

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRedirect, reswap, retarget

from sessions_core.errors import Protected, Refusal, SharedByAll
from sessions_core.models import Chat

from .managing import show
from .requests import Request, acting, where_from
from .views import address_of, done, go_to, own_chat, refused


def says_why(view: Callable[[Request, uuid.UUID], HttpResponse]) -> Callable[[Request, uuid.UUID], HttpResponse]:
    """What the domain refuses is answered with the reason, or with the chat's page and the reason on it."""

    @wraps(view)
    def answer(request: Request, pk: uuid.UUID) -> HttpResponse:
        try:
            return view(request, pk)
        except Refusal as refusal:
            return refused(request, own_chat(request, pk), refusal, "")

    return answer


@login_required
@require_POST
@says_why
def rename(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat = own_chat(request, pk)
    chat.rename(request.POST.get("title", ""), acting(request))
    return done(request, chat)


@login_required
@require_POST
@says_why
def persist(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat = own_chat(request, pk)
    chat.protect(request.POST.get("on") == "1", acting(request))
    return done(request, chat)


@login_required
@require_POST
def pin(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat = own_chat(request, pk)
    chat.pin(request.POST.get("on") == "1", acting(request))
    return done(request, chat)


@login_required
@require_POST
def archive(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat = own_chat(request, pk)
    chat.archive(request.POST.get("on") == "1", acting(request))
    return done(request, chat)


@login_required
@require_POST
@says_why
def fork(request: Request, pk: uuid.UUID) -> HttpResponse:
    return go_to(request, own_chat(request, pk).fork(acting(request)))


@login_required
@require_POST
@says_why
def reset(request: Request, pk: uuid.UUID) -> HttpResponse:
    """A new chapter; a persistent session answers with a notice that offers what can be done instead, and what is
    shared by many asks first."""
    chat, by = own_chat(request, pk), acting(request)
    try:
        chat.reset(by, unprotect=request.POST.get("unprotect") == "1", confirmed=request.POST.get("confirm") == "1")
    except Protected as refusal:
        chat.notice(str(refusal), *refusal.offers)
    except SharedByAll as refusal:
        return ask_about_main(request, chat, refusal)
    return go_to(request, chat)


def ask_about_main(request: Request, chat: Chat, refusal: Refusal) -> HttpResponse:
    context = {"chat": chat, "refusal": refusal}
    if not request.htmx:
        return render(request, "chat/reset_main.html", context, status=refusal.status)
    return retarget(reswap(render(request, "chat/_reset_main.html", context), "innerHTML"), "#dialog")


@login_required
@require_POST
@says_why
def unreset(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat = own_chat(request, pk)
    chat.undo_reset(acting(request))
    return redirect(address_of(chat))


@login_required
@require_POST
@says_why
def remind(request: Request, pk: uuid.UUID) -> HttpResponse:
    """The gateway has forgotten the conversation: it is to go along with the next message. What offered that goes."""
    chat = own_chat(request, pk)
    chat.remind(acting(request))
    return HttpResponse() if request.htmx else done(request, chat)


@login_required
@require_http_methods(["GET", "POST"])
def delete(request: Request, pk: uuid.UUID) -> HttpResponse:
    """Asks first, and says what goes; then offers the way back."""
    chat = own_chat(request, pk)
    if request.method != "POST":
        template = "chat/_delete_session.html" if request.htmx else "chat/delete_session.html"
        said = chat.messages.current().said().count()
        context = {"chat": chat, "count": said, "running": chat.messages.running().exists()}
        context["here"] = where_from(request) or address_of(chat)
        return render(request, template, context)
    chat.trash(acting(request))
    messages.success(request, chat.name, extra_tags=f"deleted {chat.pk}")
    return after_delete(request, chat)


def after_delete(request: Request, chat: Chat) -> HttpResponse:
    """The page that was open stays, unless it was this chat's."""
    here = where_from(request)
    if here in ("", address_of(chat)):
        return HttpResponseClientRedirect(reverse("chat")) if request.htmx else redirect("chat")
    return render(request, "chat/_toasts.html", {"here": here}) if request.htmx else redirect(here)


@login_required
@require_POST
def restore(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat = get_object_or_404(Chat.objects.trash_of(request.user), pk=pk)
    try:
        chat.restore(acting(request))
    except Refusal as refusal:
        return refused(request, None, refusal, "") if request.htmx else show(request, refusal)
    return done(request, chat)
