"""The sessions page: all sessions of a person, those in the archive and those in the trash."""

import uuid
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count, Exists, OuterRef, Q
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_http_methods

from sessions_core.errors import Refusal
from sessions_core.models import Chat, Message
from sessions_core.models.chats import ChatQuerySet
from sessions_core.models.names import MAIN, folded
from sessions_core.text import clean_name, clean_text

from . import listing
from .requests import Request, acting, where_from

PAGE = 50  # sessions
MOST_WORDS = 200  # characters of what is looked for
LISTED = Q(deleted_at=None, archived_at=None)
ARCHIVED = Q(deleted_at=None, archived_at__isnull=False)
TRASH = Q(deleted_at__isnull=False)


@dataclass(frozen=True)
class Choice:
    """Which sessions the page shows; its address says so."""

    show: str = ""
    words: str = ""
    persistent: bool = False

    @classmethod
    def of(cls, query: QueryDict) -> "Choice":
        show = query.get("show", "")
        words = " ".join(clean_text(query.get("q", "")).split())[:MOST_WORDS]
        return cls(show if show in ("archived", "trash") else "", words, query.get("persistent") == "1")

    @property
    def condition(self) -> Q:
        found = {"": LISTED, "archived": ARCHIVED, "trash": TRASH}[self.show]
        if self.words:
            found &= self._called
        return found & Q(persistent=True) if self.persistent else found

    @property
    def _called(self) -> Q:
        key = self.words.lower()
        called = Q(title_key__contains=folded(clean_name(self.words))) | Q(openclaw_session_key__contains=key)
        return called | Q(openclaw_session_key=None, title="") if MAIN.startswith(key) else called

    @property
    def order(self) -> tuple[str, str]:
        return ("-deleted_at" if self.show == "trash" else "-last_active_at", "-pk")

    @property
    def address(self) -> str:
        query = {"show": self.show, "q": self.words, "persistent": "1" if self.persistent else ""}
        query = {name: value for name, value in query.items() if value}
        return reverse("sessions") + (f"?{urlencode(query)}" if query else "")

    @property
    def links(self) -> dict[str, str]:
        """The addresses of what can be chosen from here."""
        shows = {name or "listed": replace(self, show=name).address for name in ("", "archived", "trash")}
        persistent = replace(self, persistent=not self.persistent).address
        return shows | {"persistent": persistent, "all": Choice(self.show).address}


@login_required
@require_GET
def sessions(request: Request) -> HttpResponse:
    if request.htmx:
        return render(request, "sessions/_updates.html", found(request, Choice.of(request.GET)))
    return show(request)


def show(request: Request, refusal: Refusal | None = None) -> HttpResponse:
    """The page as its address has it; with what was refused on it, as the form says where it was used."""
    query = QueryDict(where_from(request).partition("?")[2]) if request.method == "POST" else request.GET
    context = found(request, Choice.of(query)) | {"error": refusal, "largest_import": settings.IMPORT_MAX_SIZE}
    context |= listing.page(request.user) | {"list_rev": request.user.rev, "here": reverse("sessions")}
    return render(request, "sessions/page.html", context, status=refusal.status if refusal else 200)


def found(request: Request, choice: Choice) -> dict[str, Any]:
    counts = request.user.chats.aggregate(
        found=Count("pk", filter=choice.condition),
        listed=Count("pk", filter=LISTED),
        archived=Count("pk", filter=ARCHIVED),
        trash=Count("pk", filter=TRASH),
        named=Count("pk", filter=Q(deleted_at=None, title_source=Chat.TitleSource.USER)),
        main=Count("pk", filter=Q(deleted_at=None, openclaw_session_key=None)),
    )
    pages = Paginator(rows(Chat.objects.filter(choice.condition, owner=request.user)).order_by(*choice.order), PAGE)
    pages.count = counts["found"]
    page = pages.get_page(request.GET.get("page"))
    limits = {"most_named": settings.SESSION_MAX_PER_USER, "trash_days": settings.SESSION_TRASH_DAYS}
    return {"choice": choice, "counts": counts, "rows": page, "back": back_to(choice, page.number)} | limits


def rows(chats: ChatQuerySet) -> ChatQuerySet:
    """With what the table shows of them."""
    running = Message.objects.running().filter(chat=OuterRef("pk"))
    return chats.counted().defer("draft").annotate(running=Exists(running))


def back_to(choice: Choice, number: int) -> str:
    page = f"{'&' if '?' in choice.address else '?'}page={number}" if number > 1 else ""
    return choice.address + page


# --- for good


@login_required
@require_http_methods(["GET", "POST"])
def purge(request: Request, pk: uuid.UUID) -> HttpResponse:
    """Out of the trash for good; asks first."""
    chat = get_object_or_404(Chat.objects.trash_of(request.user), pk=pk)
    trash = Choice("trash").address
    if request.method != "POST":
        context = {"chat": chat, "count": chat.messages.current().said().count(), "here": where_from(request) or trash}
        return render(request, "sessions/_purge.html" if request.htmx else "sessions/purge.html", context)
    name = chat.name
    chat.purge(acting(request))
    messages.success(request, format_html("“<bdi>{}</bdi>” is deleted for good.", name))
    return redirect(where_from(request) or trash)
