"""Pages and actions of the chat. Each action is a form post that works with and without JavaScript."""

import uuid
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRedirect

from sessions_core.errors import Refusal
from sessions_core.models import Chat, Message
from sessions_core.models.names import checked_name

from .forms import ChatForm, MessageForm
from .requests import Request, acting

LISTED = 50  # chats in the sidebar at once


def own_chat(request: Request, pk: uuid.UUID) -> Chat:
    return get_object_or_404(Chat.objects.for_user(request.user), pk=pk)


def address_of(chat: Chat) -> str:
    return f"{reverse('chat')}?{urlencode({'session': chat.key})}"


def go_to(request: Request, chat: Chat) -> HttpResponse:
    return HttpResponseClientRedirect(address_of(chat)) if request.htmx else redirect(address_of(chat))


@login_required
@require_GET
def chat(request: Request) -> HttpResponse:
    if reference := request.GET.get("session", ""):
        return show(request, find(request, reference))
    return show(request, None)


def find(request: Request, reference: str) -> Chat:
    try:
        return Chat.objects.for_user(request.user).called(reference)
    except Chat.DoesNotExist:
        raise Http404 from None


def show(request: Request, chat: Chat | None, *, text: str = "", error: str = "", status: int = 200) -> HttpResponse:
    """The page: of a chat, or the empty one on which a first message makes a chat."""
    context = page_context(request, chat) | sidebar(request, chat)
    context |= {"text": text or (chat.draft if chat else ""), "error": error, "client_id": uuid.uuid4()}
    return render(request, "chat/page.html", context, status=status)


def page_context(request: Request, chat: Chat | None) -> dict[str, Any]:
    if chat is None:
        return {"chat": None, "new_id": uuid.uuid4()}
    before = request.GET.get("before", "")
    conversation = chat.conversation(before=int(before) if before.isdecimal() and len(before) < 10 else None)
    context = {"chat": chat, "conversation": conversation, "older": older_than(conversation)}
    return context | {"earlier_chapters": chat.earlier_chapters() if chat.chapter > 1 else {}} | standing(chat)


def older_than(conversation: list[Message]) -> int | None:
    """The place before which there is more to read, or None."""
    first = conversation[0].seq if conversation else None
    return first if first and first > 1 else None


def standing(chat: Chat) -> dict[str, Any]:
    """What is going on in a chat: the reply being written, and the messages that wait for it."""
    pending = list(chat.messages.pending())
    held = any(message.state == Message.State.HELD for message in pending)
    return {"pending": pending, "held": held, "running": chat.messages.running().first()}


def sidebar(request: Request, chat: Chat | None) -> dict[str, Any]:
    chats = Chat.objects.for_user(request.user).listed().recent()[:LISTED]
    return {"chats": chats, "current": chat, "list_rev": request.user.rev}


def not_found(request: Request, exception: Exception) -> HttpResponse:
    context = sidebar(request, None) if request.user.is_authenticated else {}
    return render(request, "404.html", context, status=404)


@login_required
@require_GET
def chat_list(request: Request) -> HttpResponse:
    reference = request.GET.get("session", "")
    current = Chat.objects.for_user(request.user).filter(openclaw_session_key=reference or None).first()
    return render(request, "chat/_list.html", sidebar(request, current))


@login_required
@require_GET
def new(request: Request) -> HttpResponse:
    """The create-session dialog, or a page with the same form where there is no JavaScript."""
    template = "chat/_create_session.html" if request.htmx else "chat/create_session.html"
    return render(request, template, {"form": ChatForm(), **sidebar(request, None)})


@login_required
@require_http_methods(["GET", "POST"])
def create(request: Request) -> HttpResponse:
    if request.method != "POST":
        return redirect("chat")
    form = ChatForm(request.POST)
    if not form.is_valid():
        return HttpResponse("The form is not complete. Reload the page and try again.", status=400)
    data = form.cleaned_data
    if "title" in request.POST:
        return create_named(request, form, data)
    return create_by_message(request, data)


def create_named(request: Request, form: ChatForm, data: dict[str, Any]) -> HttpResponse:
    try:
        title = checked_name(data["title"])
        chat = Chat.objects.start(
            request.user, by=acting(request), id=data["id"], title=title, persistent=data["persistent"]
        )
    except Refusal as refusal:
        form.add_error(refusal.field, str(refusal))
        template = "chat/_create_session.html" if request.htmx else "chat/create_session.html"
        return render(request, template, {"form": form, **sidebar(request, None)}, status=200 if request.htmx else 400)
    return go_to(request, chat)


def create_by_message(request: Request, data: dict[str, Any]) -> HttpResponse:
    try:
        Chat.checked_text(data["text"])
        chat = Chat.objects.start(request.user, by=acting(request), id=data["id"])
        chat.receive(data["text"], data["client_id"])
    except Refusal as refusal:
        return refused(request, None, refusal, data["text"])
    return go_to(request, chat)


def refused(request: Request, chat: Chat | None, refusal: Refusal, text: str) -> HttpResponse:
    """The reason, and the text still in the box."""
    if request.htmx:
        return HttpResponse(str(refusal), status=refusal.status, content_type="text/plain; charset=utf-8")
    return show(request, chat, text=text, error=str(refusal), status=refusal.status)


@login_required
@require_http_methods(["GET", "POST"])
def messages(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat = own_chat(request, pk)
    if request.method == "POST":
        return send(request, chat)
    if not request.htmx:  # a fragment is no page: after signing in again, or by a reload after a refusal
        return redirect(address_of(chat))
    before, after = request.GET.get("before", ""), request.GET.get("after", "")
    if before:
        conversation = chat.conversation(before=place(before))
        context = {"chat": chat, "conversation": conversation, "older": older_than(conversation)}
        return render(request, "chat/_older.html", context)
    return updates(request, chat, place(after))


def place(value: str) -> int:
    """A place in the conversation as an address gives it; anything else is the beginning."""
    return int(value) if value.isdecimal() and len(value) < 10 else 0


def send(request: Request, chat: Chat) -> HttpResponse:
    form = MessageForm(request.POST)
    if not form.is_valid():
        return HttpResponse("The form is not complete. Reload the page and try again.", status=400)
    data = form.cleaned_data
    try:
        chat.receive(data["text"], data["client_id"])
    except Refusal as refusal:
        return refused(request, chat, refusal, data["text"])
    return updates(request, chat, data["after"] or 0) if request.htmx else redirect(address_of(chat))


def updates(request: Request, chat: Chat, after: int) -> HttpResponse:
    """All that may have changed on the page since it had everything up to a place."""
    context = {"chat": chat, "conversation": chat.conversation(after=after)} | standing(chat)
    return render(request, "chat/_updates.html", context)


def done(request: Request, chat: Chat) -> HttpResponse:
    return HttpResponse(status=204) if request.htmx else redirect(address_of(chat))


@login_required
@require_POST
def stop(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat = own_chat(request, pk)
    chat.stop()
    return done(request, chat)


@login_required
@require_POST
def retry(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat = own_chat(request, pk)
    reply = get_object_or_404(chat.messages.replies(), pk=place(request.POST.get("message", "")))
    try:
        chat.retry(reply)
    except Refusal as refusal:
        return refused(request, chat, refusal, "")
    return done(request, chat)


@login_required
@require_POST
def queue(request: Request, pk: uuid.UUID) -> HttpResponse:
    """Take a waiting message out of the line, or send on what was held."""
    chat = own_chat(request, pk)
    if cancelled := request.POST.get("cancel", ""):
        chat.cancel_queued(get_object_or_404(chat.messages.all(), pk=place(cancelled)))
    elif "resume" in request.POST:
        chat.resume_queue()
    return done(request, chat)


@login_required
@require_POST
def read(request: Request, pk: uuid.UUID) -> HttpResponse:
    own_chat(request, pk).mark_read(place(request.POST.get("seq", "")))
    return HttpResponse(status=204)


@require_GET
def healthz(request: Request) -> HttpResponse:
    return JsonResponse({"alive": True})
