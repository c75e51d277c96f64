"""The menu of the commands that can be typed in a message box."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from sessions_core import slash
from sessions_core.models import Chat

from .requests import Request
from .views import find

NAMED = 50  # sessions to switch to


@login_required
@require_GET
def commands(request: Request) -> HttpResponse:
    """What applies in a chat, or on the page without one; the page filters it as the person types."""
    reference = request.GET.get("session", "")
    chat = find(request, reference) if reference else None
    context = {"chat": chat, "commands": slash.menu(chat), "values": values(request, chat)}
    return render(request, "chat/_commands.html", context)


def values(request: Request, chat: Chat | None) -> dict[str, Any]:
    """By command, with what its argument can be completed."""
    others = Chat.objects.for_user(request.user).exclude(pk=chat.pk if chat else None).exclude(title="").recent()
    names = dict.fromkeys(others.values_list("title", flat=True)[:NAMED])
    return {"session switch": names, "session persist": ["on", "off"]}
