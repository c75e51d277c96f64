"""Several sessions in one go."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.views.decorators.http import require_POST

from sessions_core.errors import Refusal
from sessions_core.models import By, Chat

from .files import download
from .requests import Request, acting, where_from

MOST_REASONS = 5  # refusals that are told one by one


@dataclass(frozen=True)
class Deed:
    """What can be done with several sessions: the verb of each, what it became, and the deed that undoes it."""

    verb: Callable[[Chat, By], None]
    became: str
    undo: str = ""
    in_trash: bool = False


DEEDS = {
    "delete": Deed(Chat.trash, "in the trash", "restore"),
    "restore": Deed(Chat.restore, "back from the trash", in_trash=True),
    "archive": Deed(lambda chat, by: chat.archive(True, by), "archived", "list"),
    "list": Deed(lambda chat, by: chat.archive(False, by), "back in the list"),
    "protect": Deed(lambda chat, by: chat.protect(True, by), "persistent now"),
}


@login_required
@require_POST
def bulk(request: Request) -> HttpResponse:
    """Each chosen session through its own verb; what one of them refuses stops none of the others."""
    do = request.POST.get("do", "")
    if do == "export":
        return download(chosen(request), acting(request))
    if do not in DEEDS:
        return HttpResponse("The form is not complete. Reload the page and try again.", status=400)
    deed = DEEDS[do]
    done, refused = act(chosen(request, deed.in_trash), deed, acting(request))
    undo = f"undo {deed.undo} {' '.join(str(chat.pk) for chat in done)}" if deed.undo and done else ""
    messages.success(request, in_words(deed, done, refused), extra_tags=undo)
    return redirect(where_from(request) or "sessions")


def chosen(request: Request, in_trash: bool = False) -> list[Chat]:
    """The person's own chats with the ids that were sent; when one is not, none."""
    try:
        ids = {uuid.UUID(pk) for pk in " ".join(request.POST.getlist("ids")).split()}
    except ValueError:
        raise Http404 from None
    own = Chat.objects.trash_of(request.user) if in_trash else Chat.objects.for_user(request.user)
    chats = list(own.filter(pk__in=ids).order_by("-last_active_at", "-pk"))
    if len(chats) != len(ids):
        raise Http404
    return chats


def act(chats: list[Chat], deed: Deed, by: By) -> tuple[list[Chat], list[tuple[str, str]]]:
    done, refused = [], []
    for chat in chats:
        name = chat.name
        try:
            deed.verb(chat, by)
            done.append(chat)
        except Refusal as refusal:
            refused.append((name, str(refusal)))
    return done, refused


def in_words(deed: Deed, done: list[Chat], refused: list[tuple[str, str]]) -> str:
    told, more = refused[:MOST_REASONS], len(refused[MOST_REASONS:])
    context = {"done": len(done), "became": deed.became, "refused": told, "more": more}
    return render_to_string("sessions/_done.html", context)
