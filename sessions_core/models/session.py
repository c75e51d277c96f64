"""What can be done with a chat as a session; each function is a method of Chat. A rule is written here, once."""

from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from .. import errors
from ..gateway import GatewayError, tools
from ..hub import hub
from ..text import clean_name
from . import grant
from .event import By, ChatEvent
from .hearing import forgetting
from .leftover import Leftover
from .message import Message
from .names import MAIN, checked_name, folded, free_name
from .turns import CARRIED
from .user import User

if TYPE_CHECKING:
    from .chat import Chat


def rename(chat: "Chat", title: str, by: By) -> None:
    """Give it a name; the one a person chose before keeps leading here."""
    if chat.is_main:
        chat.check_right()
    title = "" if chat.is_main and folded(clean_name(title)) == MAIN else checked_name(title)
    with chat.changing():
        before = chat.title_key if chat.named else ""
        _take_name(chat, title) if title else _be_called_main(chat)
        if before and before != chat.title_key:
            chat.past_titles.get_or_create(title_key=before)
        chat.log("renamed", by, to=title)


def _take_name(chat: "Chat", title: str) -> None:
    if not chat.named:
        type(chat).objects.for_user(chat.owner_id).room_for_a_name()
    chat.title, chat.title_key, chat.title_source = title, folded(title), chat.TitleSource.USER
    try:
        with transaction.atomic():
            chat.save(update_fields=["title", "title_key", "title_source"])
    except IntegrityError:
        raise errors.NameTaken(title) from None


def _be_called_main(chat: "Chat") -> None:
    chat.title, chat.title_key, chat.title_source = "", "", chat.TitleSource.AUTO
    chat.save(update_fields=["title", "title_key", "title_source"])


def protect(chat: "Chat", on: bool, by: By) -> None:
    """Make it persistent, or not; an automatic title becomes its name with that."""
    if chat.is_main:
        raise errors.NotAllowed("The agent's main session is protected for all at once, by SESSION_PROTECT_MAIN.")
    with chat.changing():
        if chat.persistent == on:
            return
        if on and not chat.title:
            raise errors.BadName("A persistent session needs a name. Rename it first.")
        if on and not chat.named:
            _take_name(chat, checked_name(chat.title))
        chat.persistent = on
        chat.save(update_fields=["persistent"])
        chat.log("protected" if on else "unprotected", by)


def reset(chat: "Chat", by: By, *, unprotect: bool = False, confirmed: bool = False) -> None:
    """Start a new chapter: the gateway gets a fresh memory under a new key, the old chapter stays to read.

    `unprotect` takes the protection off first, and an undo puts it on again.

    Main has no chapters, nor has a session that is the gateway's own: once confirmed, the gateway itself forgets what
    everybody said there.
    """
    if not chat.has_own_keys:
        return _reset_shared(chat, by, confirmed)
    with chat.changing():
        was_protected = chat.persistent and unprotect
        if was_protected:
            chat.protect(False, by)
        if chat.persistent:
            raise errors.Protected(chat.name)
        if not chat.messages.said().filter(chapter=chat.chapter).exists():
            raise errors.NothingToReset
        chat.hold_queue()
        chat.turn_to(chat.chapter + 1, chat.unused_key_number())
        chat.log("reset", by, chapter=chat.chapter, unprotected=was_protected)
    chat.stop()


def _reset_shared(chat: "Chat", by: By, confirmed: bool) -> None:
    chat.check_right()
    if chat.persistent or (chat.is_main and settings.SESSION_PROTECT_MAIN):
        raise errors.Protected(chat.name, shared=True)
    if not confirmed:
        raise errors.SharedByAll(chat.agent, "" if chat.is_main else chat.name)
    chat.stop()
    try:
        with forgetting(chat):
            tools.reset_session(chat.wire_key, chat.agent)
    except GatewayError as error:
        raise errors.GatewayRefused(str(error)) from None
    with chat.changing(gateway_session=""):
        chat.hold_queue()
        chat.turn_to(chat.chapter, chat.unused_key_number())  # what was lost before is not told again
        chat.log("reset on the gateway", by)
    which = "The agent's main session" if chat.is_main else "This session"
    chat.notice(f"{which} was reset on the gateway: the agent starts afresh.")


def undo_reset(chat: "Chat", by: By) -> None:
    """Go back to the chapter before, and to its memory on the gateway."""
    with chat.changing():
        fresh = chat.messages.filter(chapter=chat.chapter)
        last = chat.messages.said().filter(chapter=chat.chapter - 1).order_by("pk").last()
        if last is None or fresh.filter(role=Message.Role.USER).asked().exists():
            raise errors.NothingToUndo(chat.chapter > 1)
        key_number = chat.unused_key_number() if last.key_number == CARRIED else last.key_number
        fresh.update(chapter=chat.chapter - 1)
        chat.turn_to(chat.chapter - 1, key_number)
        chat.log("reset undone", by, chapter=chat.chapter)
        last_reset = chat.events.filter(verb="reset").first()
        if last_reset and last_reset.detail.get("unprotected"):
            chat.protect(True, by)


def fork(chat: "Chat", by: By, title: str = "") -> "Chat":
    """Another session that goes on from here; without a name it keeps the title, as an automatic one."""
    made = type(chat).objects.start(chat.owner, by=by, title=title, agent=chat.agent, based_on=chat)
    chat.log("forked", by, to=str(made.pk))
    return made


def carry_over(chat: "Chat", source: "Chat") -> None:
    """Take what was said in another chat's present chapter along: to read here, and for the gateway to hear with
    the first turn."""
    said = source.messages.shown().current().filter(chapter=source.chapter)
    replies = [reply for reply in said.replies().select_related("parent") if reply.parent and not reply.running]
    questions = {reply.parent.pk: reply.parent for reply in replies if reply.parent}
    elsewhere = list(said.exclude(origin=""))
    told = sorted([*questions.values(), *replies, *elsewhere], key=lambda message: message.seq or 0)
    copies = {message.pk: message.carried_to(chat, seq) for seq, message in enumerate(told, 1)}
    Message.objects.bulk_create(copies[pk] for pk in (*questions, *(message.pk for message in elsewhere)))
    for reply in replies:
        copies[reply.pk].parent = copies[reply.parent_id or 0]
    Message.objects.bulk_create(copies[reply.pk] for reply in replies)
    type(chat).objects.filter(pk=chat.pk).update(read_seq=len(told))
    if told:
        chat.notice(f"This goes on from “{source.name}”. What was said there goes along with your first message.")


def pin(chat: "Chat", on: bool, by: By) -> None:
    with chat.changing(pinned=on):
        chat.log("pinned" if on else "unpinned", by)


def archive(chat: "Chat", on: bool, by: By) -> None:
    """Out of the list, or back in it; a message brings it back too."""
    with chat.changing(archived_at=Now() if on else None):
        chat.log("archived" if on else "unarchived", by)


def trash(chat: "Chat", by: By) -> None:
    """Out of sight with all it holds, until the trash is emptied; what is being written is stopped."""
    with chat.changing(deleted_at=Now()):
        chat.hold_queue()
        chat.log("deleted", by, title=chat.name, messages=chat.messages.current().said().count())
    chat.stop()


def restore(chat: "Chat", by: By) -> None:
    """Back from the trash; under a free name where another session has taken its name meanwhile."""
    with chat.changing():
        others = type(chat).objects.for_user(chat.owner_id)
        if chat.is_main and others.filter(openclaw_session_key=None).exists():
            raise errors.OnlyOneMain
        if chat.named:
            others.room_for_a_name()
            chat.title = free_name(chat.title, others.names())
        chat.deleted_at, chat.title_key = None, folded(chat.title)
        chat.save(update_fields=["deleted_at", "title", "title_key"])
        chat.log("restored", by)


def purge(chat: "Chat", by: By) -> None:
    """Gone for good with all it holds, from the trash only; the history keeps that it was, and the relay sees to it
    that the gateway forgets it too."""
    with transaction.atomic():
        if not type(chat).objects.filter(pk=chat.pk, deleted_at__isnull=False).update(rev=F("rev") + 1):
            raise type(chat).DoesNotExist
        ChatEvent.objects.create(actor=by.actor, source=by.source, verb="deleted for good", detail={"key": chat.key})
        Leftover.objects.leave(chat)
        type(chat).objects.filter(pk=chat.pk).delete()
        User.count_list_change(chat.owner_id)
        transaction.on_commit(partial(hub.list_changed, chat.owner_id), robust=True)


def give(chat: "Chat", to: User, by: By) -> None:
    """Hand the session to a colleague, under a free name of theirs; its memory goes with it, old names do not."""
    if chat.is_main:
        raise errors.NotGiven
    if not grant.is_open_to(to.pk, chat.agent):
        raise errors.NotAllowed(f"The agent “{chat.agent}”, which answers there, is not open to {to.username}.")
    with chat.changing():
        giver = chat.owner
        if chat.named:
            chat.title = free_name(chat.title, type(chat).objects.for_user(to).names())
        chat.owner, chat.title_key, chat.draft = to, folded(chat.title), ""  # what is not sent stays one's own
        chat.save(update_fields=["owner", "title", "title_key", "draft"])
        chat.past_titles.all().delete()
        chat.log("given", by, giver=giver.username, to=to.username)
        User.count_list_change(giver.pk)
        transaction.on_commit(partial(hub.list_changed, giver.pk), robust=True)
