"""What a command is: who asks, what is answered, and what the answer offers."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import errors

if TYPE_CHECKING:
    from ..models import By, Chat, User

Offer = dict[str, str]  # the page makes a link or a button of it

SESSIONS: Offer = {"offer": "sessions"}


def link_to(chat: "Chat") -> Offer:
    return {"offer": "open", "key": chat.key, "label": chat.name}


def send_as_text(text: str) -> Offer:
    return {"offer": "send-as-text", "text": f"/{text}", "client_id": str(uuid.uuid4())}


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
    known: Any = None  # what the command asked for beforehand

    @property
    def chats(self) -> Any:
        return self.owner.chats.for_user(self.owner)

    @property
    def here(self) -> "Chat":
        if self.chat is None:
            raise errors.NoSessionYet
        return self.chat


Act = Callable[[Asker, str], Answer]


@dataclass(frozen=True)
class Command:
    """An argument in <…> has to be there, one in […] may be, one with | is one of these."""

    name: str
    argument: str
    act: Act
    alias: str = ""
    anywhere: bool = False  # on the page without a chat too
    only_running: bool = False
    asks_gateway: bool = False  # which agents it has
    asks_first: "Callable[[Chat], Any] | None" = None  # of a chat, before anything is locked

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
    def line(self) -> str:
        """Of the help."""
        also = f" ({self.names[1]})" if self.alias else ""
        return f"{self.usage}{also}: {self.help}"

    @property
    def needs_argument(self) -> bool:
        return bool(self.argument) and not self.argument.startswith("[")

    def fits(self, rest: str) -> bool:
        return bool(rest) if self.needs_argument else not rest or bool(self.argument)


COMMANDS: dict[str, Command] = {}  # by name, in the order of the menu


def command(name: str, argument: str = "", **options: Any) -> Callable[[Act], Act]:
    """Declare the function below it as a command; its docstring is its line in the help and in the menu."""

    def register(act: Act) -> Act:
        COMMANDS[name] = Command(name, argument, act, **options)
        return act

    return register
