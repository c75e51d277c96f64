"""What the gateway hears: a question, and with it what was said where it could not hear it. Methods of Message."""

from typing import TYPE_CHECKING

from django.db.models import Max, Q

if TYPE_CHECKING:
    from .chat import Chat
    from .message import Message

CARRIED = 0  # the key number of what was said elsewhere: the gateway has not heard it under this chat's keys
MOST_CARRIED = 200_000  # characters that go along with a turn because the gateway cannot know them

BEFORE = ("role", "state", "chapter", "key_number", "replaced_by", "origin")

Turn = dict[str, str]


def turns(reply: "Message") -> list[Turn]:
    """What to send the gateway for this reply: the question, and before it what the gateway cannot know.

    The gateway forgets a turn that was stopped or failed, so all turns since the last finished reply under this key go
    along until one is finished. Under a key that is new to it, that is the chapter up to here: what was said in the
    chat this one goes on from, or before something was said anew.
    """
    question = reply.parent
    assert question is not None and question.seq is not None
    if knows_all(reply, question):
        return [as_turn(question)]
    told = reply.chat.messages.shown().current().said().filter(chapter=question.chapter, seq__lt=question.seq)
    if not reply.chat.has_own_keys:  # it has no chapters: what was said before its reset is not told again
        told = told.filter(seq__gt=last_under_another_key(reply))
    here = told.filter(key_number=reply.key_number)
    known = here.replies().filter(origin="", state=reply.State.DONE).last()
    unknown = told.exclude(~Q(origin=""), key_number=reply.key_number)  # which the gateway has heard elsewhere
    if known:
        unknown = unknown.filter(seq__gt=known.seq)
    return [*newest_fitting([as_turn(turn) for turn in unknown.defer("thinking") if turn.text]), as_turn(question)]


def knows_all(reply: "Message", question: "Message") -> bool:
    """Whether nothing is before the question, or a reply that the gateway has finished under this key."""
    before = reply.chat.messages.filter(seq__lt=question.seq).order_by("-seq").values_list(*BEFORE).first()
    finished = (reply.Role.ASSISTANT, reply.State.DONE, question.chapter, reply.key_number, None, "")
    return before is None or before == finished


def last_under_another_key(reply: "Message") -> int:
    others = reply.chat.messages.exclude(key_number__in=(CARRIED, reply.key_number))
    return others.aggregate(last=Max("seq"))["last"] or 0


def carried_to(message: "Message", chat: "Chat", seq: int) -> "Message":
    """This message as a part of another chat, not saved yet."""
    said = ("role", "state", "text", "thinking", "origin", "html", "html_version", "parts")
    kept = (*said, "error_code", "error_text", "usage")
    times = ("created_at", "first_delta_at", "ended_at")
    fields = {name: getattr(message, name) for name in kept + times}
    return type(message)(chat=chat, chapter=chat.chapter, key_number=CARRIED, seq=seq, **fields)


def as_turn(message: "Message") -> Turn:
    cut = message.role == message.Role.ASSISTANT and message.state != message.State.DONE
    return {"role": message.role, "content": message.text + (f" [{message.state}]" if cut else "")}


def newest_fitting(turns: list[Turn]) -> list[Turn]:
    """As many of the last turns as fit into MOST_CARRIED characters."""
    left, fitting = MOST_CARRIED, []
    for turn in reversed(turns):
        left -= len(turn["content"])
        if left < 0:
            break
        fitting.append(turn)
    return fitting[::-1]
