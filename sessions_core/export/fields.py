"""Taking values out of a file that anybody may have written: each refusal says what is wrong and where."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from .. import errors
from ..text import clean_name, clean_text

WORDS = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "an object"}
MOST_EXACT = 2**53  # beyond it, numbers are not the same in every program
DEEPEST = 5
MISSING = object()


@dataclass(frozen=True)
class Fields:
    """An object of the file, and what it is called in a sentence."""

    where: str
    values: dict[str, Any]

    @classmethod
    def of(cls, where: str, value: Any) -> "Fields":
        if type(value) is not dict:
            raise errors.BadImport(f"{where} is not an object.")
        return cls(where, value)

    def wrong(self, what: str) -> errors.BadImport:
        return errors.BadImport(f"{self.where}{what}")

    def take(self, name: str, kind: type, *, optional: bool = False) -> Any:
        value = self.values.get(name, MISSING)
        if value is MISSING:
            raise self.wrong(f" has no {name}.")
        if value is None and optional:
            return None
        if type(value) is not kind:
            raise self.wrong(f": its {name} is not {WORDS[kind]}.")
        return value

    def number(self, name: str, least: int, most: int) -> int:
        value = self.take(name, int)
        if not least <= value <= most:
            raise self.wrong(f": its {name} is not from {least:,} to {most:,}.")
        return value

    def text(self, name: str, most: int) -> str:
        text = clean_text(self.take(name, str))
        if len(text) > most:
            raise self.wrong(f": its {name} has {len(text):,} characters; {most:,} is the most.")
        return text

    def choice(self, name: str, choices: Collection[str]) -> str:
        value = self.take(name, str)
        if value not in choices:
            raise self.wrong(f": its {name} cannot be “{clean_name(value[:40])}” here.")
        return value

    def time(self, name: str) -> datetime:
        try:
            moment = datetime.fromisoformat(self.take(name, str))
            aware = moment.astimezone(UTC) if moment.tzinfo else None
        except (ValueError, OverflowError):
            aware = None
        if aware is None or aware.year < 1970:
            raise self.wrong(f": its {name} is no time such as 2026-05-12T14:03:00+00:00.")
        return min(aware, timezone.now())  # nothing is used in the future, where it would stay first for ever

    def time_or_none(self, name: str) -> datetime | None:
        return None if self.take(name, str, optional=True) is None else self.time(name)

    def plain(self, name: str, kind: type, most: int, *, optional: bool = False) -> Any:
        """A list or an object of plain values that every database takes; at most so many characters of JSON."""
        value = self.take(name, kind, optional=optional)
        try:
            cleaned = plain(value, DEEPEST)
        except ValueError:
            raise self.wrong(f": its {name} is nested too deep or holds a number that is too large.") from None
        if len(repr(cleaned)) > most:
            raise self.wrong(f": its {name} is too long.")
        return cleaned


def plain(value: Any, depth: int) -> Any:
    if type(value) is str:
        return clean_text(value)
    if type(value) in (int, float) and abs(value) > MOST_EXACT:
        raise ValueError
    if type(value) in (list, dict) and depth == 0:
        raise ValueError
    if type(value) is list:
        return [plain(item, depth - 1) for item in value]
    if type(value) is dict:
        return {clean_text(name): plain(item, depth - 1) for name, item in value.items()}
    return value
