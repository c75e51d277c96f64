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
from sessions_core.models.names import MAIN
from sessions_core.models.reading import FAR_BEHIND

from . import listing
from .accounts import keeps_words
from .forms import MessageForm
from .requests import Request, acting, where_from


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
        message = chat.receive(data["text"], data["client_id"], acting(request, "slash"), data["draft"])
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
    chat.stop(place(request.POST.get("reply", "")) or None)
    return box_kept(request, chat)


def box_kept(request: Request, chat: Chat) -> HttpResponse:
    """Without JavaScript what is in the box comes along, to be there afterwards."""
    text = request.POST.get("text")
    try:
        if text is not None:
            chat.keep_draft(text)
    except Refusal as refusal:
        return refused(request, chat, refusal, text or "")
    return done(request, chat)


@login_required
@require_POST
def read(request: Request, pk: uuid.UUID) -> HttpResponse:
    own_chat(request, pk).mark_read(place(request.POST.get("seq", "")))
    return HttpResponse(status=204)
