"""What holds after every test, whatever broke meanwhile: ten sentences about the rows, the gateway's log and the pages.

`check_invariants` looks once, at the end. `tests.watcher` looks all the time, for what only shows while it happens.
"""

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sessions_core.text import clean_text
from tests.fake_gateway import PATH, FakeGateway, Request, eventually

RUNNING = ("waiting", "streaming")
ENDED = ("done", "stopped", "failed", "interrupted")
REFUSED = (429, 503)  # the gateway has not taken the turn, so it may be sent again
OVERDUE = timedelta(seconds=5)  # after a lease
ONE_REPLY = "one_running_reply"  # the index
PATIENCE = 1.0  # seconds, for the log of a reply that is being sent at this moment

MESSAGES = "select id, chat_id, seq, role, state, text, parent_id, key_number, client_id, lease_until"

Accepted = tuple[uuid.UUID, uuid.UUID, str]  # chat, client id, text


class Broken(AssertionError):
    def __init__(self, name: str, says: str) -> None:
        super().__init__(f"{name}: {says}")


@dataclass
class Found:
    """All there is to know at one moment."""

    process: Any
    messages: list[dict]
    deltas: list[dict]
    keys: dict[str, str]  # of the chats, by id
    accepted: list[Accepted] = field(default_factory=list)
    requests: list[Request] | None = None  # none: it is not known what the gateway did
    viewers: list[Any] = field(default_factory=list)

    @property
    def replies(self) -> list[dict]:
        return [message for message in self.messages if message["role"] == "assistant"]

    def text_of(self, message: dict) -> str:
        """With what is not folded yet."""
        return message["text"] + "".join(d["text"] for d in self.deltas if d["message_id"] == message["id"])

    def calls(self) -> Iterator[tuple[str, str, list[dict], list[Request]]]:
        """The replies to each question and the requests made for them, by the question's key and text."""
        if self.requests is None:
            return
        texts = {message["id"]: message["text"] for message in self.messages}
        asked: dict[tuple[str, str], list[dict]] = defaultdict(list)
        for reply in self.replies:
            if reply["parent_id"] in texts:
                key, number = self.keys[hexed(reply["chat_id"])], reply["key_number"]
                asked[key if number == 1 else f"{key}-c{number}", texts[reply["parent_id"]]].append(reply)
        known = {key for key, _ in asked}
        sent: dict[tuple[str, str], list[Request]] = defaultdict(list)
        for request in self.requests:
            if request.path == PATH and request.code not in REFUSED and request.key in known:
                sent[request.key, request.message].append(request)
        for key, text in asked.keys() | sent.keys():
            yield key, text, asked[key, text], sent[key, text]


def hexed(value: Any) -> str:
    """A uuid as SQLite keeps it."""
    return str(value).replace("-", "")


def found(process: Any, gateway: FakeGateway | None, viewers: Iterable[Any], accepted: Iterable[Accepted]) -> Found:
    people = list(getattr(process, "people", ()))
    chats = process.rows("select id, openclaw_session_key as name from sessions_core_chat")
    return Found(
        process,
        process.rows(f"{MESSAGES} from sessions_core_message order by id"),
        process.rows("select message_id, seq, text from sessions_core_delta order by message_id, seq"),
        {hexed(chat["id"]): chat["name"] or "main" for chat in chats},
        [*accepted, *(one for person in people for one in person.accepted)],
        list(gateway.requests) if gateway else None,
        list({id(viewer): viewer for viewer in [*viewers, *(v for p in people for v in p.viewers)]}.values()),
    )


def check_invariants(
    process: Any, gateway: FakeGateway | None, *, viewers: Iterable[Any] = (), accepted: Iterable[Accepted] = ()
) -> None:
    """I1 to I8 as they stand now; I9 and I10 are what a `Watcher` sees. What `process.people` did is known already."""
    now = found(process, gateway, viewers, accepted)
    for invariant in INVARIANTS:
        invariant(now)


def i1_each_acknowledged_message_is_there_once(now: Found) -> None:
    kept = defaultdict(list)
    for message in now.messages:
        if message["client_id"]:
            kept[hexed(message["chat_id"]), hexed(message["client_id"])].append(message)
    for chat, client_id, text in now.accepted:
        rows = kept[hexed(chat), hexed(client_id)]
        if len(rows) != 1:
            raise Broken("I1", f"“{text[:60]}” was acknowledged in chat {chat} and is there {len(rows)} times.")
        if not text.startswith("/") and rows[0]["text"] != clean_text(text):
            raise Broken("I1", f"Message {rows[0]['id']} says “{rows[0]['text'][:60]}”, not “{text[:60]}”.")


def i2_one_reply_runs_in_a_chat(now: Found) -> None:
    one_running_reply(now.replies, "chat_id")
    if not now.process.rows(index_query(now.process), ONE_REPLY):
        raise Broken("I2", f"The index {ONE_REPLY} is gone.")


def one_running_reply(replies: list[dict], chat: str) -> None:
    running: dict[Any, list[int]] = defaultdict(list)
    for reply in replies:
        if reply["state"] in RUNNING:
            running[reply[chat]].append(reply.get("id") or reply["message"])
    for where, several in running.items():
        if len(several) > 1:
            raise Broken("I2", f"Replies {several} run at once in chat {where}.")


def index_query(process: Any) -> str:
    if process.database:
        return "select indexname from pg_indexes where indexname = ?"
    return "select name from sqlite_master where type = 'index' and name = ?"


def i3_the_gateway_was_asked_once_for_each_reply(now: Found) -> None:
    for key, text, replies, requests in now.calls():
        if len(requests) > len(replies):
            raise Broken("I3", f"{key} was asked “{text[:60]}” {len(requests)} times for {len(replies)} replies.")


def i4_every_page_shows_what_is_stored(now: Found) -> None:
    stored = {message["id"]: message for message in now.messages}
    for viewer in now.viewers:
        for pk, text in viewer.shown.items():
            if pk in stored and not now.text_of(stored[pk]).startswith(text):
                raise Broken("I4", f"A page shows of reply {pk} what is not stored: {differing(text, stored[pk])}")
        for pk, text in viewer.final.items():
            if pk in stored and stored[pk]["state"] in ENDED and stored[pk]["text"] != text:
                raise Broken("I4", f"A page ended reply {pk} with another text: {differing(text, stored[pk])}")


def differing(text: str, message: dict) -> str:
    at = next((n for n, (a, b) in enumerate(zip(text, message["text"], strict=False)) if a != b), 0)
    return f"from {at} on {text[at : at + 60]!r}, not {message['text'][at : at + 60]!r}"


def i5_what_is_stored_is_what_the_gateway_sent(now: Found) -> None:
    for key, _, replies, requests in now.calls():
        left = list(requests)
        for reply in (reply for reply in replies if now.text_of(reply)):
            match = next((request for request in left if as_sent(now, reply, request)), None)
            if match is None:
                sent = [(len(request.sent), request.sent[-40:]) for request in requests]
                text = now.text_of(reply)
                raise Broken(
                    "I5",
                    f"Reply {reply['id']} ({reply['state']}, {key}) has {len(text)} characters to …{text[-40:]!r}, "
                    f"the gateway sent {sent}",
                )
            left.remove(match)


def as_sent(now: Found, reply: dict, request: Request) -> bool:
    text = now.text_of(reply)
    if reply["state"] == "done":
        return text == clean_text(request.sent)
    if reply["state"] in ENDED:
        return clean_text(request.sent).startswith(text)
    return bool(eventually(lambda: clean_text(request.sent).startswith(text), PATIENCE))


def i6_an_ended_reply_has_no_pieces(now: Found) -> None:
    states = {message["id"]: message["state"] for message in now.messages}
    for delta in now.deltas:
        if states.get(delta["message_id"]) not in RUNNING:
            pk = delta["message_id"]
            raise Broken("I6", f"Piece {delta['seq']} of reply {pk} ({states.get(pk)}) was not folded.")


def i7_no_lease_is_overdue(now: Found) -> None:
    if not getattr(now.process, "relays", False):
        return
    for reply in now.replies:
        if reply["state"] == "streaming" and moment(reply["lease_until"]) < datetime.now(UTC) - OVERDUE:
            raise Broken("I7", f"Reply {reply['id']} still runs, its lease was over at {reply['lease_until']}.")


def moment(value: Any) -> datetime:
    """SQLite keeps times as text, in UTC."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value or "0001-01-01")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def i8_places_have_no_holes(now: Found) -> None:
    places: dict[str, list[int]] = defaultdict(list)
    for message in now.messages:
        if message["seq"] is not None:
            places[f"chat {message['chat_id']}"].append(message["seq"])
    for delta in now.deltas:
        places[f"reply {delta['message_id']}"].append(delta["seq"])
    for where, seqs in places.items():
        if sorted(seqs) != list(range(1, len(seqs) + 1)):
            raise Broken("I8", f"The places in {where} are {sorted(seqs)}.")


INVARIANTS: tuple[Callable[[Found], None], ...] = (
    i1_each_acknowledged_message_is_there_once,
    i2_one_reply_runs_in_a_chat,
    i3_the_gateway_was_asked_once_for_each_reply,
    i4_every_page_shows_what_is_stored,
    i5_what_is_stored_is_what_the_gateway_sent,
    i6_an_ended_reply_has_no_pieces,
    i7_no_lease_is_overdue,
    i8_places_have_no_holes,
)
