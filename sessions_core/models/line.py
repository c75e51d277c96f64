"""The line of messages that wait while a reply is written; each function is a method of Chat."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .message import Message

if TYPE_CHECKING:
    from .chat import Chat


@dataclass(frozen=True)
class Situation:
    """What stood in a chat when its present change began."""

    last_seq: int
    replying: bool
    queued: bool
    held: bool
    open: bool  # whether its owner may use the agent
    known: int | None  # the message with the client id of the one that comes


def line_up(chat: "Chat", after: str) -> None:
    """Inside the transaction that ended a reply: what waits goes on, or is held when the reply went wrong."""
    if not chat.situation.queued:
        return
    if after in (Message.State.DONE, Message.State.STOPPED):
        promote(chat)
    else:
        hold_queue(chat)


def promote(chat: "Chat") -> None:
    """Ask the first message in line; it takes its place only now, so reply 2 never lands after question 3."""
    if not chat.in_reach:
        return hold_queue(chat)
    first = chat.messages.filter(state=Message.State.QUEUED).order_by("pk").first()
    if first and not chat.messages.running().exists():
        chat._place(first, Message.State.SENT)
        chat._ask(first)


def resume_queue(chat: "Chat") -> None:
    """Send what was held after a failure."""
    chat.check_right()
    with chat.changing():
        chat.messages.filter(state=Message.State.HELD).update(state=Message.State.QUEUED)
        promote(chat)


def cancel_queued(chat: "Chat", message: Message) -> bool:
    """Take a message out of the line; False when it has been sent already."""
    with chat.changing():
        waiting = chat.messages.pending().filter(pk=message.pk)
        return bool(waiting.update(state=Message.State.CANCELLED))


def take_back(chat: "Chat", message: Message) -> str | None:
    """Take a message out of the line and into the draft, so that it is nowhere lost; gives its text, again where it is
    asked for again, because an answer may be lost. None when it has been sent."""
    with chat.changing():
        if chat.messages.pending().filter(pk=message.pk).update(state=Message.State.CANCELLED):
            draft = "\n".join(filter(None, [message.text, chat.draft]))
            type(chat).objects.filter(pk=chat.pk).update(draft=draft)
    message.refresh_from_db(fields=["state"])
    return message.text if message.state == Message.State.CANCELLED else None


def hold_queue(chat: "Chat") -> None:
    """What waits in line is for the person to send on; nothing goes out by itself into what comes next."""
    chat.messages.filter(state=Message.State.QUEUED).update(state=Message.State.HELD)
