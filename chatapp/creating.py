"""How a session begins: named in the dialog, as the agent's main one, or by its first message."""

import uuid
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from sessions_core import slash
from sessions_core.errors import Refusal
from sessions_core.models import Chat, Message
from sessions_core.models.grant import offered_to
from sessions_core.models.names import checked_name

from .accounts import keeps_words
from .forms import ChatForm
from .requests import Request, acting
from .views import find, go_to, own_chat, refused, show

SOURCES = 20  # chats a new one may be based on


@login_required
@require_GET
def new(request: Request) -> HttpResponse:
    """The create-session dialog, or a page with the same form where there is no JavaScript."""
    reference = request.GET.get("based_on", "")
    source = find(request, reference) if reference else None
    initial = {"id": uuid.uuid4(), "persistent": True, "agent": source.agent if source else request.user.default_agent}
    return ask(request, ChatForm(initial=initial), source)


def ask(request: Request, form: ChatForm, source: Chat | None, status: int = 200) -> HttpResponse:
    """For what a named session is to be; what it may go on from are the chats last used."""
    recent = Chat.objects.for_user(request.user).filter(archived_at=None).defer("draft")
    recent = recent.order_by("-last_active_at", "-pk")[:SOURCES]
    sources = [*([source] if source and source not in recent else []), *recent]
    context = {"form": form, "source": source, "sources": sources, "agents": offered_to(request.user)}
    template = "chat/_create_session.html" if request.htmx else "chat/create_session.html"
    return render(request, template, context, status=status)


@keeps_words
@login_required
@require_http_methods(["GET", "POST"])
def create(request: Request) -> HttpResponse:
    if request.method != "POST":
        return redirect("chat")
    if request.POST.get("main") == "1":
        return open_main(request)
    form = ChatForm(request.POST)
    if not form.is_valid():
        return HttpResponse("The form is not complete. Reload the page and try again.", status=400)
    data = form.cleaned_data
    if "title" in request.POST:
        return create_named(request, form, data)
    return create_by_message(request, data)


def create_named(request: Request, form: ChatForm, data: dict[str, Any]) -> HttpResponse:
    source = own_chat(request, data["based_on"]) if data["based_on"] else None
    wanted = {name: data[name] for name in ("id", "persistent", "agent")}
    try:
        title = checked_name(data["title"])
        chat = Chat.objects.start(request.user, by=acting(request), title=title, based_on=source, **wanted)
    except Refusal as refusal:
        form.add_error(refusal.field, str(refusal))
        return ask(request, form, source, status=200 if request.htmx else refusal.status)
    return go_to(request, chat)


def open_main(request: Request) -> HttpResponse:
    try:
        return go_to(request, Chat.objects.main_of(request.user, acting(request)))
    except Refusal as refusal:
        return refused(request, None, refusal, "")


def create_by_message(request: Request, data: dict[str, Any]) -> HttpResponse:
    text, client_id = data["text"], data["client_id"]
    try:
        call = slash.parsed(Chat.checked_text(text))
        if call and not Chat.objects.for_user(request.user).filter(pk=data["id"]).exists():
            return obeyed(request, call, data)
        chat = Chat.objects.start(request.user, by=acting(request), id=data["id"])
        message = chat.receive(text, client_id, acting(request, "slash"))
    except Refusal as refusal:
        return refused(request, None, refusal, text)
    return go_to(request, slash.leads_to(message) or chat)


def obeyed(request: Request, call: slash.Call, data: dict[str, Any]) -> HttpResponse:
    """A command on the empty page makes no chat: it leads to one, or its answer is shown and kept nowhere."""
    answer = call.answer(slash.Asker(request.user, acting(request, "slash"), client_id=data["client_id"]))
    if answer.go_to:
        return go_to(request, answer.go_to)
    asked = Message(role=Message.Role.USER, text=call.text, client_id=data["client_id"] or uuid.uuid4())
    notice = Message(role=Message.Role.NOTICE, text=answer.text, parts=answer.parts, client_id=uuid.uuid4())
    for seq, message in enumerate((asked, notice), (data["after"] or 0) + 1):
        message.seq, message.state = seq, Message.State.SENT
    if request.htmx:
        return render(request, "chat/_messages.html", {"messages": [asked, notice]})
    return show(request, None, unkept=[asked, notice])
