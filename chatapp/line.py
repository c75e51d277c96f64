"""The line of messages that wait while a reply is written."""

import uuid

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST

from sessions_core.errors import Refusal
from sessions_core.models import Chat, Message

from .requests import Request
from .views import box_kept, own_chat, place, refused, show


@login_required
@require_POST
def queue(request: Request, pk: uuid.UUID) -> HttpResponse:
    """Take a waiting message out of the line, for good or back into the box, or send on what was held."""
    chat = own_chat(request, pk)
    if edited := request.POST.get("edit", ""):
        return take_back(request, chat, get_object_or_404(chat.messages.all(), pk=place(edited)))
    if cancelled := request.POST.get("cancel", ""):
        chat.cancel_queued(get_object_or_404(chat.messages.all(), pk=place(cancelled)))
    elif "resume" in request.POST:
        return resume(request, chat)
    return box_kept(request, chat)


def resume(request: Request, chat: Chat) -> HttpResponse:
    try:
        chat.resume_queue()
    except Refusal as refusal:
        return refused(request, chat, refusal, request.POST.get("text", ""))
    return box_kept(request, chat)


def take_back(request: Request, chat: Chat, message: Message) -> HttpResponse:
    """Its text for the box, before what is in there; nothing when it has been sent already."""
    text = chat.take_back(message)
    if text is None:
        return box_kept(request, chat)
    if request.htmx:
        return HttpResponse(text, content_type="text/plain; charset=utf-8")
    chat.refresh_from_db(fields=["draft"])
    return show(request, chat, text="\n".join(filter(None, [text, request.POST.get("text")])))
