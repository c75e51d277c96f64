"""What a chat may be called, and what it was called before."""

import unicodedata

from django.db import models

from .. import errors
from ..text import MAX_NAME, clean_name

KEY_PREFIX = "webchat-"
MAIN = "main"
MAX_FOLDED = 3 * MAX_NAME  # casefold() makes up to three characters of one


def folded(title: str) -> str:
    """What makes two names the same name: lower() in an index knows only ASCII on SQLite, so it is stored."""
    return title.casefold()


def checked_name(name: str) -> str:
    """A name as it is stored; BadName says what is wrong with it."""
    cleaned = clean_name(name)
    if not cleaned:
        raise errors.BadName("The name has no visible characters. Type a name of 1 to 100 characters.")
    length = len(unicodedata.normalize("NFC", name.strip()))
    if length > MAX_NAME:
        raise errors.BadName(f"The name is {length} characters long; {MAX_NAME} is the most.")
    if reserved(cleaned):
        raise errors.BadName(f"“{cleaned}” is reserved. Choose another name.")
    return cleaned


def reserved(name: str) -> bool:
    return folded(name) == MAIN or folded(name).startswith(KEY_PREFIX)


def free_name(wanted: str, taken: set[str]) -> str:
    """The name, or the first of “name (2)”, “name (3)”, … that is not among the folded names taken."""
    endings = ["", *(f" ({n})" for n in range(2, len(taken) + 3))]
    names = (wanted[: MAX_NAME - len(ending)] + ending for ending in endings)
    return next(name for name in names if folded(name) not in taken)


class PastTitle(models.Model):
    """A name a chat once had: old addresses keep resolving."""

    chat = models.ForeignKey("Chat", on_delete=models.CASCADE, related_name="past_titles")
    title_key = models.CharField(max_length=MAX_FOLDED, db_index=True)

    def __str__(self) -> str:
        return self.title_key
