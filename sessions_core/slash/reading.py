"""Which command a message is, and what is answered where nothing is done."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..gateway import kinds, tools
from ..text import clean_name
from .declaring import COMMANDS, Answer, Asker, Command, send_as_text

if TYPE_CHECKING:
    from ..models import Chat, Message

TYPED = re.compile(r"/([a-z][a-z-]*)(?:\s+(.*))?", re.IGNORECASE | re.DOTALL)
OPENCLAWS_OWN = {
    *("acp", "activation", "agents", "allowlist", "approve", "bash", "btw", "commands", "compact", "config"),
    *("context", "debug", "elevated", "exec", "export-session", "fast", "focus", "kill", "mcp", "model", "models"),
    *("plugins", "queue", "reasoning", "restart", "send", "skill", "steer", "subagents", "tell", "think", "thinking"),
    *("tools", "trace", "tts", "unfocus", "usage", "verbose", "voice", "whoami"),
}


@dataclass(frozen=True)
class Call:
    """A command as it was typed."""

    command: Command
    rest: str
    text: str

    def prepare(self, chat: "Chat | None" = None) -> Any:
        """Before the transaction, because nobody waits for the gateway in it: what the command wants to know first."""
        if self.command.asks_gateway:
            tools.agents()
        return self.command.asks_first(chat) if self.command.asks_first and chat else None

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


def escaped(text: str) -> str:
    """The other way round: a message to the agent as a person has to type it."""
    return f"/{text}" if unescaped(f"/{text}") == text and text.startswith("/") else text


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
    agents = kinds.configured().has_agents
    says = f"/{word} is a command of OpenClaw's own chat. Here it does nothing: the agent would read it as text."
    plainly = f"There is no command /{word}. The model would read it as text."
    return Answer(says if agents else plainly, [send_as_text(text)])


def what_there_is(verb: str) -> Answer:
    asked = f"There is no /session {clean_name(verb)}. " if clean_name(verb) else ""
    known = [c for c in COMMANDS.values() if c.name.startswith("session ")]
    return Answer("\n".join([f"{asked}There is:", *(c.line for c in known)]))
