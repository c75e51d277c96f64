"""What was done to a session, by whom and from where, in words."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from sessions_core.models import ChatEvent, User

from . import listing
from .requests import Request
from .views import own_chat

NEWEST = 200  # entries

WORDS = {
    "renamed": "renamed to",
    "protected": "made persistent",
    "unprotected": "made not persistent",
    "reset": "reset: chapter {chapter} began",
    "reset undone": "reset undone: back to chapter {chapter}",
    "reset on the gateway": "reset on the gateway",
    "pinned": "pinned to the top",
    "archived": "archived",
    "unarchived": "taken back from the archive",
    "deleted": "moved to the trash",
    "restored": "taken back from the trash",
    "forked": "forked",
    "given": "given by {giver} to {to}",
    "exported": "exported",
    "imported": "imported from a file",
    "adopted": "taken over from the gateway",
    "gateway refused": "refused by the gateway ({code})",
    "answer fetched": "an answer that had not arrived was fetched from the gateway",
    "began anew on the gateway": "begun anew on the gateway",
    "reminded": "what was said goes along with the next message",
}
PLACES = {
    "ui": "in the browser",
    "slash": "by a command",
    "api": "over the API",
    "cli": "on the server",
    "admin": "in the administration",
    "retention": "by itself",
}
NOBODY = {"cli": "An operator", "retention": "WebChat, as it was not used"}


@dataclass(frozen=True)
class Entry:
    at: datetime
    who: str
    words: str
    name: str  # what a person called it, for quotation marks
    place: str

    @classmethod
    def of(cls, event: ChatEvent, reader: User) -> "Entry":
        who = event.actor.get_username() if event.actor else NOBODY.get(event.source, "WebChat")
        words = WORDS.get(event.verb, event.verb).format_map(Detail(event.detail))
        name = str(event.detail.get("to", "")) if event.verb == "renamed" else ""
        by_a_person = event.actor or event.source == "cli"
        return cls(
            event.at, "You" if event.actor == reader else who, words, name, PLACES[event.source] if by_a_person else ""
        )


class Detail(dict):
    def __missing__(self, key: str) -> str:
        return "?"


@login_required
@require_GET
def history(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat = own_chat(request, pk)
    events = list(chat.events.select_related("actor")[: NEWEST + 1])
    entries = [Entry.of(event, request.user) for event in events[:NEWEST]]
    context = {"chat": chat, "entries": entries, "newest": NEWEST if len(events) > NEWEST else None}
    context |= listing.page(request.user) | {"list_rev": request.user.rev, "current_key": chat.key}
    return render(request, "sessions/history.html", context | {"here": reverse("history", args=[chat.pk])})
