"""A chat to read: its messages' Markdown is kept, and nothing in it can break the document."""

import re
from datetime import datetime
from itertools import groupby

from django.utils import timezone
from django.utils.dateformat import format as formatted

from ..blocks import BlockSplitter
from ..models import Chat, Message

# What has a meaning inside a line; with GitHub's extensions a bare address too, in which no escape would be read.
SIGNS = re.compile(r"([\\`*_\[\]<>#&|~@]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
RAW_HTML = re.compile(r"^ {0,3}<(!|\?|script|pre|style|textarea)", re.IGNORECASE | re.MULTILINE)


def as_markdown(chat: Chat) -> str:
    """Times are in the present time zone; what a newer version has replaced is not told."""
    messages = list(chat.messages.shown().current().defer("html", "thinking"))
    began, now = date_of(chat.created_at), date_of(timezone.now())
    zone = plain(timezone.get_current_timezone_name())
    parts = [f"# {plain(chat.name)}", f"*Begun on {began}, exported on {now}, times in {zone}*"]
    for chapter, told in groupby(messages, key=lambda message: message.chapter):
        parts += [f"## Chapter {chapter}"] if chat.chapter > 1 else []
        parts += [as_part(chat, message) for message in told]
    return "\n\n".join(parts) + "\n"


def as_part(chat: Chat, message: Message) -> str:
    if message.role == Message.Role.NOTICE:
        return f"*{plain(' '.join(message.text.split()))}*"
    asked = "Somebody" if message.origin else chat.owner.get_username()
    speaker = asked if message.role == Message.Role.USER else chat.agent
    where = f" · from {plain(message.origin)}" if message.origin else ""
    parts = [f"**{plain(speaker)}** · {date_of(message.created_at)}{where}", said(message), ending(message)]
    return "\n\n".join(part for part in parts if part)


def said(message: Message) -> str:
    """What a person wrote is quoted; so is a reply that leaves something open, which would swallow all that follows."""
    text = message.text_so_far()[0] if message.running else message.text
    if message.role == Message.Role.ASSISTANT and ends_by_itself(text):
        return text.strip("\n")
    return "\n".join(f"> {line}".rstrip(" ") for line in text.strip("\n").split("\n")) if text.strip() else ""


def ends_by_itself(text: str) -> bool:
    splitter = BlockSplitter()
    splitter.feed(text + "\n\n")
    return not splitter.fence and not RAW_HTML.search(text)


def ending(message: Message) -> str:
    if message.role == Message.Role.USER:
        return ""
    state = "" if message.state == Message.State.DONE else message.get_state_display()
    words = ": ".join(filter(None, [state, " ".join(message.error_text.split())]))
    return f"*{plain(words)}*" if words else ""


def plain(text: str) -> str:
    """Text that means only itself inside a line of Markdown."""
    return SIGNS.sub(r"\\\1", text)


def date_of(moment: datetime) -> str:
    return formatted(timezone.localtime(moment), "j F Y, H:i")
