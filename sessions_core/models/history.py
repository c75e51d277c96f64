"""What a plain server hears: it remembers nothing, so what was said goes along with every question, from our rows.

As much of it as the model takes, the newest first. Every model counts tokens its own way, so they are estimated, rather
too many than too few: three characters of ASCII are one, and of other characters every byte of UTF-8 is half of one. A
quarter of what the model takes is left for its answer.
"""

from collections.abc import Iterator
from itertools import groupby
from math import ceil
from typing import TYPE_CHECKING

from django.conf import settings

from .. import errors
from ..gateway import kinds
from .turns import Turn, as_turn
from .turns import turns as unknown_turns

if TYPE_CHECKING:
    from .chat import Chat
    from .message import Message

PER_TURN = 8  # tokens that a turn costs beside its words
PAGE = 20  # messages read at once


def turns(reply: "Message") -> list[Turn]:
    """What to send for this reply: to a server that remembers only what it cannot know, to others what was said."""
    return unknown_turns(reply) if kinds.configured().has_agents else with_history(reply)


def with_history(reply: "Message") -> list[Turn]:
    """The question, and before it as much of what was said in its chapter as there is room for."""
    question = reply.parent
    assert question is not None
    turns, left = [as_turn(question)], room() - tokens(question.text)
    for message in newest_first(reply.chat, question):
        left -= tokens(message.text)
        if left < 0:
            break
        turns.append(as_turn(message))
    return alternating(turns[::-1])


def newest_first(chat: "Chat", question: "Message") -> "Iterator[Message]":
    """What was said in its chapter before a question, a page at a time: of a long chapter most is not needed."""
    told = chat.messages.shown().current().said().filter(chapter=question.chapter).exclude(text="").defer("thinking")
    page = [question]
    while page := list(told.filter(seq__lt=page[-1].seq).order_by("-seq")[:PAGE]):
        yield from page


def check_fits(text: str) -> None:
    """A question that fills the model alone would be cut, by some servers without a word: MessageTooLong."""
    if not kinds.configured().has_agents and tokens(text) > room():
        raise errors.MessageTooLong(len(text), len(text) * room() // tokens(text))


def room() -> int:
    """For how many tokens of questions and earlier answers."""
    return settings.GATEWAY_CONTEXT_TOKENS * 3 // 4


def tokens(text: str) -> int:
    plain = len(text.encode("ascii", "ignore"))
    return ceil(plain / 3 + (len(text.encode()) - plain) / 2) + PER_TURN


def alternating(turns: list[Turn]) -> list[Turn]:
    """As many models' templates demand: a person begins, and nobody speaks twice running."""
    merged = [
        {"role": role, "content": "\n\n".join(turn["content"] for turn in said)}
        for role, said in groupby(turns, key=lambda turn: turn["role"])
    ]
    return merged[1:] if merged[0]["role"] == "assistant" else merged
