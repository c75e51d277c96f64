"""Chats as data and as a document, and data back as chats; page, command and API use the same."""

from .data import as_data, as_json
from .document import as_markdown
from .reading import LARGEST, load

__all__ = ["LARGEST", "as_data", "as_json", "as_markdown", "load"]
