"""Titles that the gateway thinks of, and names that it is told."""

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings

from ..text import clean_name
from .asking import AUTO_TITLE
from .message import Message
from .names import folded, reserved
from .turns import CARRIED

if TYPE_CHECKING:
    from .chat import Chat
    from .chats import ChatQuerySet

MOST_QUOTED = 1_000  # characters of the question, and of the answer
ASK = """Write a title for this conversation: 30 to 40 characters, in the language in which it is held. Use no tools. \
Answer with the title alone, without quotation marks.

Question:
{question}

Answer:
{answer}"""
AROUND = re.compile(r"^[\s#*_>\"'“”„«»‘’`…]+|[\s*_\"'“”„«»‘’`….]+$")
LABELLED = re.compile(r"^(title|titel|titre|título|titolo)\s*:\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Untitled:
    """A chat that a person gave no name, after its first answer."""

    pk: uuid.UUID
    agent: str
    title: str  # until now
    prompt: str


def untitled(reply: Message) -> Untitled | None:
    """None for a chat with a name, a later answer, and one that goes on from another chat."""
    chat = reply.chat
    if chat.named or not chat.has_own_keys or chat.based_on_id or chat.deleted_at or reply.parent is None:
        return None
    done = chat.messages.replies().filter(state=Message.State.DONE).exclude(key_number=CARRIED)
    if list(done.values_list("pk", flat=True)[:2]) != [reply.pk]:
        return None
    question, answer = (text.strip()[:MOST_QUOTED] for text in (reply.parent.text, reply.text))
    return Untitled(chat.pk, chat.agent, chat.title, ASK.format(question=question, answer=answer))


def title_in(answer: str) -> str:
    """The title in what a model says to that; empty where it says something else."""
    line = next((line for line in answer.strip().splitlines() if line.strip()), "")
    title = clean_name(AROUND.sub("", LABELLED.sub("", AROUND.sub("", line[: 3 * AUTO_TITLE]))))
    if reserved(title) or len(line) > 3 * AUTO_TITLE:
        return ""
    return title if len(title) <= AUTO_TITLE else title[: AUTO_TITLE - 1].rsplit(" ", 1)[0] + "…"


def entitle(chats: "ChatQuerySet", found: Untitled, answer: str) -> bool:
    """Give it that title, unless a person has named it meanwhile."""
    chat = chats.filter(pk=found.pk).first()
    if chat is None or not (title := title_in(answer)):
        return False
    with chat.changing():
        if chat.named or chat.title != found.title or chat.deleted_at:
            return False
        chat.title, chat.title_key = title, folded(title)
        chat.save(update_fields=["title", "title_key"])
    return True


def label_of(chat: "Chat") -> str:
    """What the gateway's own pages are to call its present memory: its name, or of one of our own its title. Empty
    while that memory was never asked for anything."""
    if not settings.GATEWAY_LABELS or chat.is_main or chat.deleted_at or not (chat.named or chat.has_own_keys):
        return ""
    answered = chat.messages.replies().filter(key_number=chat.key_number, state=Message.State.DONE)
    return chat.title if answered.exists() else ""
