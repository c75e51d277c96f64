"""What was said as text: one message to copy, sessions taken along as files and brought back."""

import uuid
from collections.abc import Sequence

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_GET, require_POST

from sessions_core import export
from sessions_core.errors import BadImport, Refusal
from sessions_core.models import By, Chat

from .managing import show
from .requests import Request, acting
from .views import address_of, own_chat, place


@login_required
@require_GET
def source(request: Request, pk: uuid.UUID) -> HttpResponse:
    """A message as it was written: what its page shows is rendered."""
    message = get_object_or_404(own_chat(request, pk).messages, pk=place(request.GET.get("message", "")))
    return HttpResponse(message.text, content_type="text/plain; charset=utf-8")


@login_required
@require_POST
def take(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat = own_chat(request, pk)
    if request.POST.get("format") != "markdown":
        return download([chat], acting(request), f"webchat-{chat.pk}.json")
    chat.log("exported", acting(request), format="markdown")
    return attachment(export.as_markdown(chat), "text/markdown; charset=utf-8", f"webchat-{chat.pk}.md")


def download(chats: Sequence[Chat], by: By, name: str = "webchat-sessions.json") -> HttpResponse:
    """One file that `bring` takes back."""
    for chat in chats:
        chat.log("exported", by, format="json")
    return attachment(export.as_json(chats), "application/json", name)


def attachment(content: str | bytes, kind: str, name: str) -> HttpResponse:
    """A title may be anything, so the name has none of it."""
    return HttpResponse(content, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@login_required
@require_POST
def bring(request: Request) -> HttpResponse:
    """To the session a file brought, or to the page of them all."""
    try:
        chats = export.load(request.user, sent(request), acting(request))
    except Refusal as refusal:
        return show(request, refusal)
    if len(chats) == 1:
        return redirect(address_of(chats[0]))
    messages.success(request, f"{len(chats)} sessions are imported.")
    return redirect("sessions")


def sent(request: Request) -> bytes:
    file = request.FILES.get("file")
    if not file or not file.size:
        raise BadImport("Choose a file first: a .json file that was exported from WebChat.")
    if file.size > settings.IMPORT_MAX_SIZE:
        most = settings.IMPORT_MAX_SIZE // 1_000_000
        raise BadImport(f"The file is larger than {most} MB. Export fewer sessions at once.")
    return file.read()
