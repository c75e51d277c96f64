"""What the gateway's transcript tells of a chat: what was said in its session from elsewhere, an answer that did not
reach us, and that the session began anew. Each function is a method of Chat."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.module_loading import import_string

from ..gateway import GatewayError, origins
from ..gateway.transcript import Entry, Transcript
from .asking import place
from .event import By
from .matching import Matching, plain
from .message import Message
from .turns import CARRIED

if TYPE_CHECKING:
    from .chat import Chat

MOST_ATTEMPTS = 200
VANISHED = 20  # attempts that left nothing in the transcript
FETCHED = (Message.State.FAILED, Message.State.INTERRUPTED)
GONE = "gone"  # no session where there was one, or nothing in it
FORGETTING = "forgetting since "  # by our asking
FORGETS_WITHIN = 60.0  # seconds; later, who asked has died meanwhile
BEGAN_ANEW = "The gateway began this session anew: it does not remember what was said before."
REMINDED = "What was said before goes along with your next message."
CUT = "\n\n[…]"  # where the transcript has only the beginning

Rendered = tuple[str, int]  # HTML, and the version of what made it


@dataclass
class News:
    """What a transcript says that is not in the rows."""

    ids: list[tuple[int, str]]  # our messages and what the transcript has them as
    strange: list[Entry]
    fetched: list[tuple[Message, list[Entry]]]
    forgotten: bool
    memory: str

    @property
    def changes(self) -> bool:
        return bool(self.strange or self.fetched or self.forgotten)


def known_entries(chat: "Chat") -> set[str]:
    """By which a look at the transcript may end."""
    stored = chat.messages.exclude(transcript_id="").order_by("-pk")
    return set(stored.values_list("transcript_id", flat=True)[:MOST_ATTEMPTS])


def hear(chat: "Chat", transcript: Transcript) -> bool:
    """Store what the transcript has and this chat has not; True when its page changes by that.

    While a reply of ours is written nothing is: half of it would seem to come from elsewhere. Nor is what was read
    before the session was reset from here.
    """
    key_number = chat.key_number
    if chat.messages.running().exists() or is_forgetting(chat):
        return False
    news = news_of(chat, transcript)
    if not news.changes:
        note(chat, news)
        return False
    html = rendered(news)
    with chat.changing():
        if chat.situation.replying or not chat.in_reach or is_forgetting(chat) or chat.key_number != key_number:
            return False
        news = news_of(chat, transcript)  # another process may have heard it meanwhile
        note(chat, news)
        for reply, entries in news.fetched:
            fetch(chat, reply, entries, html)
        told = [tell(chat, entry, html) for entry in news.strange]
        if told:
            type(chat).objects.filter(pk=chat.pk).update(last_active_at=Now())
        if news.forgotten:
            say_forgotten(chat)
        return news.changes


def news_of(chat: "Chat", transcript: Transcript) -> News:
    entries = transcript.entries
    among = chat.messages.filter(transcript_id__in=[entry.id for entry in entries])
    stored = set(among.values_list("transcript_id", flat=True))
    attempts = attempts_in(chat, entries)
    found = Matching(entries, attempts, stored)
    memory = f"{chat.key_number}:{transcript.memory or GONE}"
    forgotten = has_forgotten(chat, transcript, found) and is_new(chat.gateway_session, memory)
    return News(
        list(ids_of(found)),
        [told(found, n) for n in strange_of(transcript, found)],
        [(reply, answer) for n, reply in enumerate(attempts) if (answer := missed(reply, found.answer_to(n)))],
        forgotten,
        memory if transcript.memory or forgotten else "",
    )


def attempts_in(chat: "Chat", entries: Sequence[Entry]) -> list[Message]:
    """Our replies under the present key, and those the transcript names, in the order they were asked for."""
    runs = {entry.run for entry in entries if entry.run}
    ours = chat.messages.replies().filter(origin="").exclude(parent=None).exclude(state__in=Message.RUNNING)
    ours = ours.filter(Q(key_number=chat.key_number) | Q(upstream_id__in=runs))
    most = min(MOST_ATTEMPTS, len(entries) + VANISHED)
    return list(ours.select_related("parent").defer("html", "thinking", "parent__html").order_by("-pk")[:most])[::-1]


def ids_of(found: Matching) -> Iterator[tuple[int, str]]:
    """Each message once, the newest entry of several; only where it has none yet."""
    for place_, number in sorted(found.questions.items()):
        question = found.attempts[number].parent
        if question and not question.transcript_id and found.entries[place_].id not in found.known:
            yield question.pk, found.entries[place_].id
    for number, reply in enumerate(found.attempts):
        answer = found.answer_to(number)
        if answer and not reply.transcript_id and answer[-1].id not in found.known:
            yield reply.pk, answer[-1].id


def strange_of(transcript: Transcript, found: Matching) -> list[int]:
    """What is older than all that is ours may be ours too, in other words: it is not told. Where nothing of ours is
    left, only what came after it was."""
    if found.first is not None:
        return [n for n in found.strange if n > found.first]
    if not found.attempts:
        return found.strange
    last = found.attempts[-1].ended_at or found.attempts[-1].created_at
    later = [n for n in found.strange if (at := found.entries[n].at) and at > last]
    return later if transcript.complete else []


def told(found: Matching, n: int) -> Entry:
    """An answer came from where its question did."""
    entry = found.entries[n]
    before = reversed(found.entries[:n])
    asked = next((one for one in before if one.role == "user" and not entry.origin), None)
    origin = entry.origin or (asked.origin if asked and entry.role == "assistant" else "") or origins.GATEWAY
    return replace(entry, origin=origin)


def missed(reply: Message, answer: list[Entry]) -> list[Entry]:
    """The gateway's whole answer, where ours was cut off and nobody has asked again."""
    late = reply.state in FETCHED and reply.replaced_by_id is None
    whole = bool(answer) and answer[-1].final and all(entry.whole for entry in answer)
    return answer if late and whole else []


def has_forgotten(chat: "Chat", transcript: Transcript, found: Matching) -> bool:
    """Whether answers of ours are gone from a transcript that is there from its beginning."""
    if not transcript.complete or any(entry.role == "compaction" for entry in transcript.entries):
        return False
    if any(n < (found.first or 0) for n in found.strange):  # which may be ours, in other words
        return False
    if found.first is None:
        unclear = any(found.entries[n].role == "user" and not found.entries[n].origin for n in found.strange)
        answers = chat.messages.replies().filter(key_number=chat.key_number, state=Message.State.DONE)
        return bool(chat.gateway_session or not unclear) and answers.exists()
    first = min((*found.questions.values(), *found.answers.values()), default=len(found.attempts))
    heard = [reply for reply in found.attempts[:first] if reply.key_number == chat.key_number]
    return any(reply.state == Message.State.DONE for reply in heard)


def is_new(before: str, now: str) -> bool:
    """Once for each time: a session that was gone and is there again began anew only once."""
    return before != now and not (before.endswith(f":{GONE}") and before.split(":")[0] == now.split(":")[0])


@contextmanager
def forgetting(chat: "Chat") -> Iterator[None]:
    """While the gateway is asked by us to forget, its transcript tells nothing: what it shows is known here, and it
    may be of before or after."""
    before = chat.gateway_session
    mark = f"{FORGETTING}{timezone.now().timestamp()}"
    type(chat).objects.filter(pk=chat.pk).update(gateway_session=mark)
    try:
        yield
    except GatewayError:
        with chat.changing(gateway_session=before):
            pass
        raise


def is_forgetting(chat: "Chat") -> bool:
    _, _, since = chat.gateway_session.partition(FORGETTING)
    return bool(since) and abs(timezone.now().timestamp() - float(since)) < FORGETS_WITHIN


# --- storing


def note(chat: "Chat", news: News) -> None:
    """What no page shows."""
    for pk, id in news.ids:
        with suppress(IntegrityError), transaction.atomic():  # another process may do the same
            Message.objects.filter(pk=pk, transcript_id="").update(transcript_id=id)
    if news.memory and news.memory != chat.gateway_session:
        same = type(chat).objects.filter(pk=chat.pk, gateway_session=chat.gateway_session)
        chat.gateway_session = news.memory
        same.update(gateway_session=news.memory)


def rendered(news: News) -> dict[str, Rendered]:
    """Before the transaction: it takes its time."""
    render: Callable[[str], Rendered] = import_string(settings.MESSAGE_RENDERER)
    answers = {entry.id: text_of(entry) for entry in news.strange if entry.role == "assistant"}
    answers |= {entries[-1].id: completed(reply, entries) for reply, entries in news.fetched}
    return {id: render(text) for id, text in answers.items()}


def tell(chat: "Chat", entry: Entry, html: dict[str, Rendered]) -> Message:
    text, version = html.get(entry.id, ("", 0))
    answer = entry.role == "assistant"
    message = Message(role=entry.role, text=text_of(entry), html=text, html_version=version, origin=entry.origin)
    message.transcript_id, message.created_at = entry.id, entry.at or timezone.now()
    message.ended_at = message.created_at if answer else None
    place(chat, message, Message.State.DONE if answer else Message.State.SENT)
    return message


def fetch(chat: "Chat", reply: Message, entries: list[Entry], html: dict[str, Rendered]) -> None:
    text, version = html.get(entries[-1].id, ("", 0))
    whole = {"state": Message.State.DONE, "text": completed(reply, entries), "html": text, "html_version": version}
    late = chat.messages.filter(pk=reply.pk, state__in=FETCHED)
    late.update(**whole, error_code="", error_text="", upstream_id=reply.upstream_id or entries[-1].run, ended_at=Now())
    chat.log("answer fetched", By(None), was=reply.state)


def say_forgotten(chat: "Chat") -> None:
    offer_no_more(chat)
    notice = Message(role=Message.Role.NOTICE, text=BEGAN_ANEW, parts=[{"offer": "remind"}])
    place(chat, notice, Message.State.SENT)
    chat.log("began anew on the gateway", By(None))


def completed(reply: Message, entries: list[Entry]) -> str:
    """The whole answer; what came of it stays where an agent went on from there instead of saying it again."""
    told = "\n\n".join(entry.text for entry in entries)
    again = plain(told).startswith(plain(reply.text))
    return (told if again else f"{reply.text.rstrip()}\n\n{told}")[: settings.REPLY_MAX_LENGTH]


def text_of(entry: Entry) -> str:
    most = settings.REPLY_MAX_LENGTH if entry.role == "assistant" else settings.MESSAGE_MAX_LENGTH
    return entry.text[:most] if entry.whole else entry.text[: most - len(CUT)] + CUT


# --- what can be done about it


def offer_no_more(chat: "Chat") -> None:
    """What an earlier notice offers, a newer one offers too, or says that it is done."""
    chat.messages.filter(role=Message.Role.NOTICE, text=BEGAN_ANEW).update(parts=[])


def remind(chat: "Chat", by: By) -> bool:
    """Let the conversation of this chapter go along with the next message; False where there is none that would."""
    chat.check_right()
    with chat.changing():
        running = chat.messages.running().first()
        heard = chat.messages.filter(chapter=chat.chapter, key_number=chat.key_number).exclude(role=Message.Role.NOTICE)
        if running:
            heard = heard.filter(seq__lt=running.parent.seq if running.parent else running.seq)
        if not heard.filter(seq__isnull=False).update(key_number=CARRIED):
            return False
        offer_no_more(chat)
        place(chat, Message(role=Message.Role.NOTICE, text=REMINDED, parts=[{"done": "remind"}]), Message.State.SENT)
        chat.log("reminded", by)
        return True
