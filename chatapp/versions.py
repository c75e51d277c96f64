"""Saying something anew: the last reply asked for again, a question in other words."""

import uuid
from collections.abc import Callable
from functools import partial

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from sessions_core import slash
from sessions_core.errors import Refusal
from sessions_core.models import Chat, Message

from .accounts import keeps_words
from .forms import EditForm
from .requests import Request, acting
from .views import address_of, own_chat, place, refused, updates


@login_required
@require_POST
def retry(request: Request, pk: uuid.UUID) -> HttpResponse:
    return asked_again(request, pk, Chat.retry)


@login_required
@require_POST
def regenerate(request: Request, pk: uuid.UUID) -> HttpResponse:
    return asked_again(request, pk, partial(Chat.regenerate, by=acting(request)))


def asked_again(request: Request, pk: uuid.UUID, ask: Callable[[Chat, Message], Message]) -> HttpResponse:
    chat = own_chat(request, pk)
    reply = get_object_or_404(chat.messages.replies(), pk=place(request.POST.get("message", "")))
    try:
        newer = ask(chat, reply)
    except Refusal as refusal:
        return refused(request, chat, refusal, "")
    return HttpResponse(status=204) if request.htmx else shown_at(chat, newer)


def shown_at(chat: Chat, message: Message) -> HttpResponse:
    return redirect(f"{address_of(chat)}#message-{message.pk}")


@keeps_words
@login_required
@require_http_methods(["GET", "POST"])
def edit(request: Request, pk: uuid.UUID) -> HttpResponse:
    """The form in place of the message, or a page with it where there is no JavaScript; and what it sends."""
    chat = own_chat(request, pk)
    if request.method == "POST":
        return send_anew(request, chat)
    if "message" not in request.GET:  # after signing in again, or by a reload after a refusal
        return redirect(address_of(chat))
    question = question_of(chat, place(request.GET["message"]))
    return ask_anew(request, chat, question, slash.escaped(question.text))


def question_of(chat: Chat, pk: int) -> Message:
    return get_object_or_404(chat.messages.filter(role=Message.Role.USER), pk=pk)


def ask_anew(
    request: Request,
    chat: Chat,
    question: Message,
    text: str,
    *,
    client_id: uuid.UUID | None = None,
    refusal: Refusal | None = None,
) -> HttpResponse:
    context = {"chat": chat, "message": question, "text": text, "client_id": client_id or uuid.uuid4()}
    template = "chat/_edit.html" if request.htmx else "chat/edit_message.html"
    return render(request, template, context | {"refusal": refusal}, status=refusal.status if refusal else 200)


def send_anew(request: Request, chat: Chat) -> HttpResponse:
    form = EditForm(request.POST)
    if not form.is_valid():
        return HttpResponse("The form is not complete. Reload the page and try again.", status=400)
    data = form.cleaned_data
    question = question_of(chat, data["message"])
    try:
        said = chat.edit(question, data["text"], data["client_id"], acting(request))
    except Refusal as refusal:
        if request.htmx:
            return refused(request, chat, refusal, "")
        return ask_anew(request, chat, question, data["text"], client_id=data["client_id"], refusal=refusal)
    return updates(request, chat, data["after"] or 0) if request.htmx else shown_at(chat, said)
