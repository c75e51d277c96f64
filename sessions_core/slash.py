"""The commands a person can type. Each is one function; its docstring is its line in the help and in the menu."""

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django.utils.dateformat import format as date_format
from django.utils.timesince import timesince

from . import errors
from .gateway import tools
from .models.message import CARRIED
from .text import clean_name

if TYPE_CHECKING:
    from .models import By, Chat, Message, User

Offer = dict[str, str]

LISTED = 20  # sessions that a notice links to
TYPED = re.compile(r"/([a-z][a-z-]*)(?:\s+(.*))?", re.IGNORECASE | re.DOTALL)
OPENCLAWS_OWN = {
    *("acp", "activation", "agents", "allowlist", "approve", "bash", "btw", "commands", "compact", "config"),
    *("context", "debug", "elevated", "exec", "export-session", "fast", "focus", "kill", "mcp", "model", "models"),
    *("plugins", "queue", "reasoning", "restart", "send", "skill", "steer", "subagents", "tell", "think", "thinking"),
    *("tools", "trace", "tts", "unfocus", "usage", "verbose", "voice", "whoami"),
}


@dataclass(frozen=True)
class Answer:
    text: str
    offers: Sequence[Offer] = ()
    go_to: "Chat | None" = None

    @property
    def parts(self) -> list[dict[str, str]]:
        """As a notice keeps it: where to go is written down, so that the same message again leads there again."""
        going = [{"go": str(self.go_to.pk)}, link_to(self.go_to)] if self.go_to else []
        return [*going, *self.offers]


@dataclass(frozen=True)
class Asker:
    """Who types a command, and where; in no chat yet on the empty page."""

    owner: "User"
    by: "By"
    chat: "Chat | None" = None
    client_id: uuid.UUID | None = None

    @property
    def chats(self) -> Any:
        return self.owner.chats.for_user(self.owner)

    @property
    def here(self) -> "Chat":
        if self.chat is None:
            raise errors.NoSessionYet
        return self.chat


@dataclass(frozen=True)
class Command:
    """An argument in <…> has to be there, one in […] may be, one with | is one of these."""

    name: str
    argument: str
    act: Callable[[Asker, str], Answer]
    alias: str = ""
    anywhere: bool = False  # on the page without a chat too
    only_running: bool = False

    @property
    def help(self) -> str:
        return (self.act.__doc__ or "").rstrip(".")

    @property
    def usage(self) -> str:
        return f"/{self.name} {self.argument}".rstrip()

    @property
    def names(self) -> list[str]:
        return [f"/{name}" for name in (self.name, self.alias) if name]

    @property
    def needs_argument(self) -> bool:
        return bool(self.argument) and not self.argument.startswith("[")

    def fits(self, rest: str) -> bool:
        return bool(rest) if self.needs_argument else not rest or bool(self.argument)


COMMANDS: dict[str, Command] = {}


def command(name: str, argument: str = "", **options: Any) -> Callable:
    def register(act: Callable[[Asker, str], Answer]) -> Callable[[Asker, str], Answer]:
        COMMANDS[name] = Command(name, argument, act, **options)
        return act

    return register


@dataclass(frozen=True)
class Call:
    """A command as it was typed."""

    command: Command
    rest: str
    text: str

    def prepare(self) -> None:
        """Before the transaction: a fork is checked against the gateway's agents, and nobody waits for them in it."""
        if self.command.act is fork:
            tools.agents()

    def answer(self, asker: Asker) -> Answer:
        """Act, and say what came of it. Without a chat, NoSessionYet is raised where one is needed."""
        if not self.command.anywhere:
            _ = asker.here
        if not self.command.fits(self.rest):
            return usage(self)
        return self.command.act(asker, self.rest)


def parsed(text: str) -> Call | None:
    """The command that a message is; None for a message to the agent."""
    match = TYPED.fullmatch(text.rstrip())
    if match is None:
        return None
    word, rest = match[1].lower(), match[2] or ""
    if word in OPENCLAWS_OWN:
        return Call(Command(word, "[…]", lambda asker, rest: not_here(word, text), anywhere=True), rest, text)
    if word == "session":
        verb, _, rest = (*re.split(r"(\s+)", rest, maxsplit=1), "", "")[:3]
        known = COMMANDS.get(f"session {verb.lower()}")
        return Call(known or Command("session", "[…]", lambda *_: what_there_is(verb), anywhere=True), rest, text)
    found = next((known for known in COMMANDS.values() if word in (known.name, known.alias)), None)
    return Call(found, rest, text) if found else None


def unescaped(text: str) -> str:
    """A message to the agent as it is sent: of `//new` and the like the first slash only says that it is text."""
    return text[1:] if text.startswith("//") and parsed(f"/{text.lstrip('/')}") else text


def leads_to(message: "Message") -> "Chat | None":
    """The chat that a stored command goes to."""
    if parsed(message.text) is None:
        return None
    notice = message.versions.filter(role="notice").first()
    place = next((part["go"] for part in notice.parts if "go" in part), None) if notice else None
    owner = message.chat.owner
    return owner.chats.for_user(owner).filter(pk=place).first() if place else None


def menu(chat: "Chat | None") -> list[Command]:
    """What applies in this chat now, or without one."""
    running = chat is not None and chat.messages.running().exists()
    return [c for c in COMMANDS.values() if (chat or c.anywhere) and (running or not c.only_running)]


# --- what is answered where nothing is done


def usage(call: Call) -> Answer:
    asked = call.command
    if asked.needs_argument:
        return Answer(f"Something is missing. Type {asked.usage}.")
    return Answer(f"{asked.usage} takes nothing after it, so nothing was done.", [send_as_text(call.text)])


def not_here(word: str, text: str) -> Answer:
    says = f"/{word} is a command of OpenClaw's own chat. Here it does nothing: the agent would read it as text."
    return Answer(says, [send_as_text(text)])


def what_there_is(verb: str) -> Answer:
    asked = f"There is no /session {clean_name(verb)}. " if clean_name(verb) else ""
    known = [c for c in COMMANDS.values() if c.name.startswith("session ")]
    return Answer("\n".join([f"{asked}There is:", *map(help_line, known)]))


def help_line(known: Command) -> str:
    also = f" ({known.names[1]})" if known.alias else ""
    return f"{known.usage}{also}: {known.help}"


# --- what is offered; the page makes links and buttons of it


def send_as_text(text: str) -> Offer:
    return {"offer": "send-as-text", "text": f"/{text}", "client_id": str(uuid.uuid4())}


def link_to(chat: "Chat") -> Offer:
    return {"offer": "open", "key": chat.key, "label": chat.name}


SESSIONS: Offer = {"offer": "sessions"}


# --- the commands, in the order of the menu


@command("stop", only_running=True)
def stop(asker: Asker, rest: str) -> Answer:
    """Stops the running reply."""
    return Answer("Stopped." if asker.here.stop() else "No reply is being written.")


@command("new", alias="reset")
def new(asker: Asker, rest: str) -> Answer:
    """Starts a new chapter; the old one stays to read."""
    asker.here.reset(asker.by)
    return Answer("A new chapter begins after this.")


@command("session new", "<name>", anywhere=True)
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


@command("session fork", "[name]")
def fork(asker: Asker, rest: str) -> Answer:
    """Goes on from here in another session."""
    return Answer("Forked to:", go_to=asker.here.fork(asker.by, rest))


@command("session export")
def export(asker: Asker, rest: str) -> Answer:
    """Offers this session as a file."""
    kinds = ("markdown", "json")
    return Answer("Export this session as:", [{"offer": "export", "format": kind} for kind in kinds])


@command("session status", alias="status")
def status(asker: Asker, rest: str) -> Answer:
    """Shows key, agent, size and age."""
    chat = asker.here
    told = {
        "Name": chat.name,
        "Key": chat.key,
        "Agent": chat.agent,
        "Messages": f"{chat.messages.said().count():,}",
        "Chapter": chat.chapter,
        "Persistent": "yes" if chat.persistent else "no",
        "Created": date_format(timezone.localtime(chat.created_at), "j F Y, H:i"),
        "Last active": ago(chat.last_active_at),
    }
    if tokens := tokens_of(chat):
        told["Tokens"] = f"{tokens:,}"
    return Answer("\n".join(f"{name}: {value}" for name, value in told.items()))


def ago(moment: datetime) -> str:
    return f"{timesince(moment)} ago" if timezone.now() - moment > timedelta(minutes=1) else "just now"


def tokens_of(chat: "Chat") -> int:
    """As far as the gateway told, without what was said in the chat this one goes on from."""
    here = chat.messages.replies().filter(usage__isnull=False).exclude(key_number=CARRIED)
    return sum(usage.get("total_tokens", 0) for usage in here.values_list("usage", flat=True))


@command("session delete")
def delete(asker: Asker, rest: str) -> Answer:
    """Moves this session to the trash; asks first."""
    chat = asker.here
    said = chat.messages.said().count()
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
    return Answer("\n".join([*map(help_line, COMMANDS.values()), escape]))
