"""Which entries of the gateway's transcript are what was said here, and which came from elsewhere."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from ..gateway.transcript import STAMP, Entry

if TYPE_CHECKING:
    from .message import Message

SPACES = re.compile(r"\s+")
CHAT_RUN = "chatcmpl_"  # as current releases name the runs of their chat completions
CLOCKS = timedelta(minutes=10)  # that the gateway's may be behind


@dataclass
class Matching:
    """By place in the transcript. `attempts` are our replies under the present key in the order they were asked for."""

    entries: Sequence[Entry]
    attempts: Sequence["Message"]
    known: Collection[str]  # entries whose ids are stored
    questions: dict[int, int] = field(default_factory=dict)  # place → number of the attempt
    answers: dict[int, int] = field(default_factory=dict)
    beyond: set[int] = field(default_factory=set)  # places of what nobody can tell, or is known already

    def __post_init__(self) -> None:
        self.runs = {entry.run for entry in self.entries if entry.role == "assistant" and entry.run}
        self.beyond |= {n for n, entry in enumerate(self.entries) if self._is_beyond(entry)}
        self._match_known()
        self._match_runs()
        self._match_texts()
        for place, number in list(self.questions.items()):
            self._match_answers(place, number)
        self._pass_over_answers()

    @property
    def first(self) -> int | None:
        """The oldest place that is ours or known: what is before it may be ours as well, and is not told."""
        stored = {n for n, entry in enumerate(self.entries) if entry.id in self.known}
        return min({*self.questions, *self.answers, *stored}, default=None)

    @property
    def strange(self) -> list[int]:
        """What came from elsewhere, if all there is has its place in the conversation."""
        return [n for n in range(len(self.entries)) if not self._taken(n)]

    def answer_to(self, number: int) -> list[Entry]:
        return [self.entries[n] for n, of in sorted(self.answers.items()) if of == number]

    def seen(self, number: int) -> bool:
        return number in self.questions.values() or number in self.answers.values()

    def _is_beyond(self, entry: Entry) -> bool:
        return entry.role not in ("user", "assistant") or not entry.text.strip() or entry.id in self.known

    def _taken(self, n: int) -> bool:
        return n in self.questions or n in self.answers or n in self.beyond

    def _ours(self, entry: Entry) -> bool:
        """Whether nothing says that a question came from elsewhere."""
        return entry.role == "user" and not entry.origin and entry.run not in self.runs

    # --- by what was stored when it was seen before

    def _match_known(self) -> None:
        asked = {reply.parent.transcript_id: n for n, reply in reversed(list(enumerate(self.attempts))) if reply.parent}
        answered = {reply.transcript_id: n for n, reply in enumerate(self.attempts)}
        for n, entry in enumerate(self.entries):
            if entry.id in asked:
                self.questions[n] = asked[entry.id]
            elif entry.id in answered:
                self.answers[n] = answered[entry.id]

    # --- by the name of the run, which the answer's stream had

    def _match_runs(self) -> None:
        numbers = {reply.upstream_id: n for n, reply in enumerate(self.attempts) if reply.upstream_id}
        for n, entry in enumerate(self.entries):
            if entry.role == "assistant" and entry.run in numbers:
                number = numbers[entry.run]
                if not self.seen(number) and (asked := self._question_before(n)) is not None:
                    self.questions[asked] = number
                self.answers[n] = number

    def _question_before(self, n: int) -> int | None:
        while (n := n - 1) >= 0 and self.entries[n].role == "user":
            if self._ours(self.entries[n]):
                return n if n not in self.questions else None
        return None

    # --- by what was said, backwards: the newest of several that say the same

    def _match_texts(self) -> None:
        newest = len(self.attempts) - 1
        for n in range(len(self.entries) - 1, -1, -1):
            if (number := self.questions.get(n, self.answers.get(n))) is not None:
                newest = min(newest, number - (n in self.questions))
            elif self._ours(self.entries[n]) and n not in self.beyond:
                number = next((i for i in range(newest, -1, -1) if self._says(n, i)), None)
                if number is not None:
                    self.questions[n], newest = number, number - 1

    def _says(self, n: int, number: int) -> bool:
        entry, reply = self.entries[n], self.attempts[number]
        if (
            reply.parent is None
            or self.seen(number)
            or (reply.state == reply.State.FAILED and not reply.may_have_acted)
        ):
            return False  # the last: the gateway has never heard it
        early = entry.at is not None and entry.at < reply.created_at - CLOCKS
        return not early and same(entry, reply.parent.text)

    def _match_answers(self, place: int, number: int) -> None:
        """What follows a question of ours until the next one, where no run tells whose it is."""
        reply = self.attempts[number]
        if number in self.answers.values() or reply.upstream_id in self.runs:
            return
        following = self._following(place)
        run = self.entries[following[0]].run if following else ""
        for n in following:
            entry = self.entries[n]
            if entry.run != run or entry.origin or (reply.upstream_id and run.startswith(CHAT_RUN)):
                return
            if n != following[0] and reply.state == reply.State.DONE and not says_part(entry, reply.text):
                return
            self.answers[n] = number

    def _pass_over_answers(self) -> None:
        """Those to a question whose words are cut off: only we send so much along with one."""
        for place, entry in enumerate(self.entries):
            if entry.role == "user" and not (entry.text.strip() or entry.whole):
                self.beyond |= {n for n in self._following(place) if not self.entries[n].origin}

    def _following(self, place: int) -> list[int]:
        following = []
        for n in range(place + 1, len(self.entries)):
            if self.entries[n].role != "assistant":
                break
            following += [] if self._taken(n) else [n]
        return following


def same(entry: Entry, text: str) -> bool:
    """Whether an entry is this text, of which the transcript may have the beginning only."""
    told, said = plain(entry.text), plain(text)
    return told == said if entry.whole else bool(told) and said.startswith(told)


def says_part(entry: Entry, text: str) -> bool:
    return plain(entry.text) in plain(text)


def plain(text: str) -> str:
    return SPACES.sub(" ", STAMP.sub("", text, count=1) if STAMP.match(text) else text).strip()
