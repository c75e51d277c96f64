"""Finding a session and what was said in one: the list, its menus, the search; and the drafts kept beside them."""

import uuid

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from sessions_core.errors import Refusal
from sessions_core.models import Chat
from sessions_core.models.search import search as hits_for

from . import listing
from .forms import MessageForm
from .requests import Request, where_from
from .views import find, own_chat, standpoint

RECENT = 8  # sessions the search offers before anything is typed


@login_required
@require_GET
def chat_list(request: Request) -> HttpResponse:
    """The list as far as the page shows it, or what comes below a place in it."""
    shown = listing.how_many(request.GET.get("shown", ""))
    below = request.GET.get("after", "")
    try:
        listed = listing.page(request.user, shown=shown, after=listing.Place.read(below) if below else None)
    except ValueError:
        raise Http404 from None
    key = request.GET.get("session", "")
    context = listed | {"current_key": key, "here": listing.address(key), "list_rev": request.user.rev}
    return render(request, "chat/_list_items.html" if below else "chat/_list.html", context)


@login_required
@require_GET
def switcher(request: Request) -> HttpResponse:
    """What the switcher of a chat's page offers, as it is opened."""
    reference = request.GET.get("session", "")
    chat = find(request, reference) if reference else None
    context = {"chat": chat, "others": listing.others(request.user, chat)} | standpoint(chat)
    return render(request, "chat/_switcher_items.html", context)


@login_required
@require_GET
def menu(request: Request, pk: uuid.UUID) -> HttpResponse:
    """What can be done with a chat: for the list's menu, or as a page where there is no JavaScript."""
    context = {"chat": own_chat(request, pk), "here": where_from(request)}
    return render(request, "chat/_menu_items.html" if request.htmx else "chat/menu.html", context)


@login_required
@require_GET
def search(request: Request) -> HttpResponse:
    words = request.GET.get("q", "").strip()
    hits = hits_for(request.user, words)
    context = {
        "words": words,
        "sessions": [hit.chat for hit in hits if not hit.message],
        "said": [hit for hit in hits if hit.message],
    }
    if not words:
        context["recent"] = Chat.objects.for_user(request.user).listed().order_by("-last_active_at", "-pk")[:RECENT]
    return render(request, "chat/_hits.html" if request.htmx else "chat/search.html", context)


@login_required
@require_POST
def draft(request: Request, pk: uuid.UUID) -> HttpResponse:
    chat, form = own_chat(request, pk), MessageForm(request.POST)
    if not form.is_valid():
        return HttpResponse("The form is not complete.", status=400)
    try:
        chat.keep_draft(form.cleaned_data["text"], form.cleaned_data["client_id"])
    except Refusal as refusal:
        return HttpResponse(str(refusal), status=refusal.status, content_type="text/plain; charset=utf-8")
    return HttpResponse(status=204)
