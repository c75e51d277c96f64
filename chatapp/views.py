"""Pages and actions of the chat. Each action is a form post that works with and without JavaScript."""

import uuid
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRedirect

from sessions_core import slash
from sessions_core.errors import Refusal
from sessions_core.models import Chat, Message
from sessions_core.models.grant import offered_to
from sessions_core.models.names import MAIN, checked_name
from sessions_core.models.reading import FAR_BEHIND

from . import listing
from .accounts import keeps_words
from .forms import ChatForm, MessageForm
from .requests import Request, acting, where_from

SOURCES = 20  # chats a new one may be based on


def own_chat(request: Request, pk: uuid.UUID) -> Chat:
    return get_object_or_404(Chat.objects.for_user(request.user), pk=pk)


def address_of(chat: Chat) -> str:
    return listing.address(chat.key)


def go_to(request: Request, chat: Chat) -> HttpResponse:
    return HttpResponseClientRedirect(address_of(chat)) if request.htmx else redirect(address_of(chat))


@login_required
@require_GET
def chat(request: Request) -> HttpResponse:
    reference = request.GET.get("session", "")
    chat = find(request, reference) if reference else None
    return show(request, chat, text=request.session.pop("words", "") if "words" in request.session else "")


def find(request: Request, reference: str) -> Chat:
    try:
        return Chat.objects.for_user(request.user).called(reference)
    except Chat.DoesNotExist:
        raise Http404 from None


def show(
    request: Request,
    chat: Chat | None,
    *,
    text: str = "",
    error: str = "",
    status: int = 200,
    unkept: Sequence[Message] = (),
) -> HttpResponse:
    """The page: of a chat, or the empty one on which a first message makes a chat; messages that no chat keeps are
    shown there once."""
    context = page_context(request, chat) | sidebar(request, chat) | {"unkept": unkept}
    context |= {"text": text or (chat.draft if chat else ""), "error": error, "client_id": uuid.uuid4()}
    return render(request, "chat/page.html", context, status=status)


def page_context(request: Request, chat: Chat | None) -> dict[str, Any]:
    if chat is None:
        return {"chat": None, "new_id": uuid.uuid4()}
    wanted = request.GET.get("before", "")
    before = place(wanted) if wanted.isdecimal() and len(wanted) < 10 else None
    version = earlier_version(request, chat)
    conversation = chat.looked_back(version, before=before) if version else chat.conversation(before=before)
    context = {"chat": chat, "conversation": conversation, "older": older_than(conversation), "version": version}
    later = bool(conversation) and (conversation[-1].seq or 0) < chat.last_seq()
    context["newer"] = before is not None and not version and later
    return context | {"earlier_chapters": chat.earlier_chapters() if chat.chapter > 1 else {}} | standing(chat)


def older_than(conversation: list[Message]) -> int | None:
    """The place before which there is more to read, or None."""
    first = conversation[0] if conversation else None
    return first.seq if first and not first.is_first else None


def earlier_version(request: Request, chat: Chat) -> Message | None:
    """What the address asks to look back at; None where nothing has taken its place."""
    if not (wanted := place(request.GET.get("version", ""))):
        return None
    return chat.messages.exclude(replaced_by=None).select_related("replaced_by").filter(pk=wanted).first()


def standing(chat: Chat) -> dict[str, Any]:
    """What is going on in a chat: the reply being written, and the messages that wait for it."""
    unfinished = list(chat.messages.unfinished())
    pending = [message for message in unfinished if not message.running]
    held = any(message.state == Message.State.HELD for message in pending)
    running = next((message for message in unfinished if message.running), None)
    return {"pending": pending, "held": held, "running": running}


def sidebar(request: Request, chat: Chat | None) -> dict[str, Any]:
    """The list and the switcher of a page, which both say where the reader is."""
    listed = listing.page(request.user, shown=listing.how_many(request.GET.get("shown", "")))
    return listed | standpoint(chat) | {"others": listing.others(request.user, chat), "list_rev": request.user.rev}


def standpoint(chat: Chat | None) -> dict[str, Any]:
    """Which chat is open, and the address to come back to."""
    return {"current_key": chat.key if chat else "", "here": listing.address(chat.key if chat else "")}


def not_found(request: Request, exception: Exception) -> HttpResponse:
    context = sidebar(request, None) if request.user.is_authenticated else {}
    context["offers_main"] = request.GET.get("session") == MAIN
    return render(request, "404.html", context, status=404)


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


def refused(request: Request, chat: Chat | None, refusal: Refusal, text: str) -> HttpResponse:
    """The reason, and the text still in the box."""
    if request.htmx:
        return HttpResponse(str(refusal), status=refusal.status, content_type="text/plain; charset=utf-8")
    return show(request, chat, text=text, error=str(refusal), status=refusal.status)


@keeps_words
@login_required
@require_http_methods(["GET", "POST"])
def messages(request: Request, pk: uuid.UUID) -> HttpResponse:
    if request.method == "POST":
        return send(request, pk)
    chat = own_chat(request, pk)
    if not request.htmx:  # a fragment is no page: after signing in again, or by a reload after a refusal
        return redirect(address_of(chat))
    version = earlier_version(request, chat)
    if before := request.GET.get("before", ""):
        return older(request, chat, version, place(before))
    if version:
        context = {"chat": chat, "version": version, "conversation": chat.looked_back(version, lead=0)}
        return render(request, "chat/_past.html", context | standpoint(chat))
    return updates(request, chat, place(request.GET.get("after", "")))


def older(request: Request, chat: Chat, version: Message | None, before: int) -> HttpResponse:
    conversation = chat.looked_back(version, before=before) if version else chat.conversation(before=before)
    context = {"chat": chat, "version": version, "conversation": conversation, "older": older_than(conversation)}
    return render(request, "chat/_older.html", context)


def place(value: str) -> int:
    """A place in the conversation as an address gives it; anything else is the beginning."""
    return int(value) if value.isdecimal() and len(value) < 10 else 0


def send(request: Request, pk: uuid.UUID) -> HttpResponse:
    """The chat is read as it changes, and what has become of it is known without another look."""
    form = MessageForm(request.POST)
    if not form.is_valid():
        own_chat(request, pk)
        return HttpResponse("The form is not complete. Reload the page and try again.", status=400)
    data, chat = form.cleaned_data, Chat.objects.unread(request.user, pk)
    try:
        message = chat.receive(data["text"], data["client_id"], acting(request, "slash"))
    except Chat.DoesNotExist:
        raise Http404 from None
    except Refusal as refusal:
        return refused(request, own_chat(request, pk), refusal, data["text"])
    if other := slash.leads_to(message):
        return go_to(request, other)
    if request.htmx:
        after = data["after"] or 0
        return updates(request, chat, after, chat.just_said(message, after))
    here = f"#message-{message.pk}" if message.seq else ""  # a page without JavaScript begins at its top
    return redirect(address_of(chat) + here)


def updates(request: Request, chat: Chat, after: int, said: Sequence[Message] = ()) -> HttpResponse:
    """All that may have changed on the page since it had everything up to a place, which may be just what was said."""
    context: dict[str, Any] = {"chat": chat} | standpoint(chat)
    if said:
        context |= {"conversation": said, "running": said[-1]}
    else:
        news = chat.conversation(after=after)
        if len(news) > FAR_BEHIND:  # the whole page costs less
            return go_to(request, chat) if request.method == "POST" else redirect(address_of(chat))
        context |= {"conversation": news} | standing(chat)
    if (request.POST or request.GET).get("face") != listing.face(chat):
        context |= {"whole": True, "others": listing.others(request.user, chat)}
    return render(request, "chat/_updates.html", context)


def done(request: Request, chat: Chat) -> HttpResponse:
    return HttpResponse(status=204) if request.htmx else redirect(where_from(request) or address_of(chat))


@login_required
@require_POST
def stop(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat = own_chat(request, pk)
    chat.stop()
    return done(request, chat)


@login_required
@require_POST
def read(request: Request, pk: uuid.UUID) -> HttpResponse:
    own_chat(request, pk).mark_read(place(request.POST.get("seq", "")))
    return HttpResponse(status=204)
