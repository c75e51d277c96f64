"""The commands, one function each, in the order of the menu."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone
from django.utils.dateformat import format as date_format
from django.utils.timesince import timesince

from ..gateway import GatewayError, kinds, tools
from ..gateway.tools import moment
from ..models.turns import CARRIED
from ..text import clean_name
from .declaring import COMMANDS, SESSIONS, Answer, Asker, command, link_to

if TYPE_CHECKING:
    from ..models import Chat

LISTED = 20  # sessions that a notice links to
AT_ONCE = 1.5  # seconds to reach the gateway, and to hear it


@command("stop", only_running=True)
def stop(asker: Asker, rest: str) -> Answer:
    """Stops the running reply."""
    return Answer("Stopped." if asker.here.stop() else "No reply is being written.")


@command("new", alias="reset")
def new(asker: Asker, rest: str) -> Answer:
    """Starts a new chapter; the old one stays to read."""
    asker.here.reset(asker.by)
    return Answer("A new chapter begins after this.")


@command("session new", "<name>", anywhere=True, asks_gateway=True)
def session_new(asker: Asker, rest: str) -> Answer:
    """Creates a persistent session and switches to it."""
    made = asker.chats.start(asker.owner, by=asker.by, id=asker.client_id, title=rest)
    return Answer("Created, and switched to:", go_to=made)


@command("session switch", "<name>", alias="switch", anywhere=True)
def switch(asker: Asker, rest: str) -> Answer:
    """Switches to another session."""
    found = called(asker, rest)
    if not found:
        return Answer(f"You have no session called “{clean_name(rest)}”.", [SESSIONS])
    if found == [asker.chat]:
        return Answer(f"This is “{asker.here.name}” already.")
    if len(found) == 1:
        return Answer("Switched to:", go_to=found[0])
    return Answer("Which one?", [*map(link_to, found[:LISTED]), *([SESSIONS] if len(found) > LISTED else [])])


def called(asker: Asker, words: str) -> "list[Chat]":
    """The chat of this name, or else those with the words in their name; of several, not the one that is open."""
    try:
        return [asker.chats.called(words)]
    except asker.chats.model.DoesNotExist:
        matching = list(asker.chats.matching(words).recent()[: LISTED + 2]) if clean_name(words) else []
    return [chat for chat in matching if chat != asker.chat] or matching


@command("session list", alias="sessions", anywhere=True)
def session_list(asker: Asker, rest: str) -> Answer:
    """Lists your sessions."""
    recent = asker.chats.filter(archived_at=None).recent()[:LISTED]
    links = [link_to(chat) | ({"here": "1"} if chat == asker.chat else {}) for chat in recent]
    return Answer("Your sessions:" if links else "You have no sessions yet.", [*links, SESSIONS])


@command("session rename", "<name>", alias="rename")
def rename(asker: Asker, rest: str) -> Answer:
    """Renames this session."""
    asker.here.rename(rest, asker.by)
    return Answer(f"This session is called “{asker.here.name}” now.")


@command("session persist", "on|off")
def persist(asker: Asker, rest: str) -> Answer:
    """Protects this session, or no longer."""
    if rest.lower() not in ("on", "off"):
        return Answer("Type /session persist on, or /session persist off.")
    chat = asker.here
    chat.protect(rest.lower() == "on", asker.by)
    if chat.persistent:
        return Answer(f"“{chat.name}” is persistent now: it cannot be reset.")
    return Answer(f"“{chat.name}” is not persistent any more: /new starts a new chapter.")


@command("session fork", "[name]", asks_gateway=True)
def fork(asker: Asker, rest: str) -> Answer:
    """Goes on from here in another session."""
    return Answer("Forked to:", go_to=asker.here.fork(asker.by, rest))


@command("session export")
def export(asker: Asker, rest: str) -> Answer:
    """Offers this session as a file."""
    kinds = ("markdown", "json")
    return Answer("Export this session as:", [{"offer": "export", "format": kind} for kind in kinds])


def on_the_gateway(chat: "Chat") -> dict[str, str]:
    """What the gateway says of its present session, where it says it at once."""
    if not tools.manages_sessions():
        return {}
    try:
        session = tools.find_session(chat.wire_key, chat.agent, AT_ONCE)
    except GatewayError:
        return {}
    return in_words(session) if session else {"On the gateway": "nothing yet"}


def in_words(session: dict[str, Any]) -> dict[str, str]:
    used, most = (session.get(name) for name in ("totalTokens", "contextTokens"))
    context = f"{used:,} tokens" if type(used) is int else ""
    context += f" of {most:,}" if context and type(most) is int else ""
    told = [
        "in its archive until the next message" if session.get("archived") is True else "",
        f"called “{label}”" if (label := clean_name(str(session.get("label") or ""))) else "",
        f"last active {ago(at)}" if (at := moment(session.get("updatedAt"))) else "",
    ]
    model = clean_name(str(session.get("model") or ""))
    found = {"Model": model, "Context": context, "On the gateway": ", ".join(filter(None, told))}
    return {name: words for name, words in found.items() if words}


@command("session status", alias="status", asks_first=on_the_gateway)
def status(asker: Asker, rest: str) -> Answer:
    """Shows name, key, size and age."""
    chat = asker.here
    told = {
        "Name": chat.name,
        "Key": chat.key,
        **({"Agent": chat.agent} if kinds.configured().has_agents else {"Model": settings.GATEWAY_MODEL}),
        "Messages": f"{chat.messages.current().said().count():,}",
        "Chapter": chat.chapter,
        "Persistent": "yes" if chat.persistent else "no",
        "Created": date_format(timezone.localtime(chat.created_at), "j F Y, H:i"),
        "Last active": ago(chat.last_active_at),
    }
    if tokens := tokens_of(chat):
        told["Tokens"] = tokens
    told |= asker.known or {}
    return Answer("\n".join(f"{name}: {value}" for name, value in told.items()))


def ago(moment: datetime) -> str:
    return f"{timesince(moment)} ago" if timezone.now() - moment > timedelta(minutes=1) else "just now"


def tokens_of(chat: "Chat") -> str:
    """As far as the gateway told, without what was said in the chat this one goes on from."""
    here = chat.messages.replies().filter(chapter=chat.chapter).exclude(key_number=CARRIED).order_by("pk")
    counts = [(usage or {}).get("total_tokens", 0) for usage in here.values_list("usage", flat=True)]
    last = f", {counts[-1]:,} of them for the last reply" if counts and counts[-1] else ""
    return f"{sum(counts):,} in this chapter{last}" if any(counts) else ""


@command("session delete")
def delete(asker: Asker, rest: str) -> Answer:
    """Moves this session to the trash; asks first."""
    chat = asker.here
    said = chat.messages.current().said().count()
    stops = " The reply that is being written is stopped." if chat.messages.running().exists() else ""
    return Answer(
        f"Delete “{chat.name}”? It goes to the trash with its {said:,} message{'' if said == 1 else 's'}, begun "
        f"{ago(chat.created_at)}, and can be taken back from there.{stops}",
        [{"offer": "delete"}],
    )


@command("help", anywhere=True)
def show_help(asker: Asker, rest: str) -> Answer:
    """Lists the commands."""
    escape = "A second slash sends a command as text: //new."
    return Answer("\n".join([*(known.line for known in COMMANDS.values()), escape]))
