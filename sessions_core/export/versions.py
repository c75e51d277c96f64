"""What belongs to what in a file: the reply to its question, the edited question to the one first asked."""

from collections.abc import Iterable

from ..models import Message
from .fields import Fields

Role, State = Message.Role, Message.State


def read_parent(fields: Fields, role: str, before: list[Message]) -> Message | None:
    """What a message answers or edits; files of an earlier release know no edits."""
    answers = fields.take("answers", int, optional=True)
    edits = fields.take("edits", int, optional=True) if "edits" in fields.values else None
    if edits is not None:
        return read_first(fields, role, edits, before)
    if answers is None:
        return None
    question = question_at(answers, before)
    if role == Role.USER or question is None:
        raise fields.wrong(f": message {answers:,} is no question before it that it could answer.")
    return question


def read_first(fields: Fields, role: str, number: int, before: list[Message]) -> Message:
    first = question_at(number, before)
    if role != Role.USER or fields.values["state"] != State.SENT or first is None or first.parent:
        raise fields.wrong(f": message {number:,} is no question before it that it could be a version of.")
    return first


def question_at(number: int, before: list[Message]) -> Message | None:
    found = before[number - 1] if 1 <= number <= len(before) else None
    return found if found and (found.role, found.state) == (Role.USER, State.SENT) else None


def name_what_replaced(placed: Iterable[Message]) -> list[Message]:
    """Let each newer version take the place it took when it was said; gives the messages that were replaced."""
    path: list[Message] = []  # what went on, so far
    newest: dict[tuple[str, int], Message] = {}
    replaced: list[Message] = []
    for message in placed:
        group = (message.role, message.parent_id or message.pk)
        before = newest.get(group) if message.role != Role.NOTICE else None
        if before and before.replaced_by is None:
            gone = cut(path, before) if message.role == Role.USER else [before]
            for one in gone:
                one.replaced_by = message
            replaced += gone
        newest[group] = message
        path.append(message)
    return replaced


def cut(path: list[Message], at: Message) -> list[Message]:
    """Take a message and all that followed off the path; those of them that went on until now."""
    followed = []
    while path and (path[-1].seq or 0) >= (at.seq or 0):
        last = path.pop()
        followed += [last] if last.replaced_by is None else []
    return followed
