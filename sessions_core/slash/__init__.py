"""What a person can type with a slash before it: how a command is declared, how one is read, and the commands."""

from .commands import COMMANDS
from .declaring import Answer, Asker, Command
from .reading import OPENCLAWS_OWN, Call, escaped, leads_to, menu, parsed, unescaped

__all__ = [
    "COMMANDS",
    "OPENCLAWS_OWN",
    "Answer",
    "Asker",
    "Call",
    "Command",
    "escaped",
    "leads_to",
    "menu",
    "parsed",
    "unescaped",
]
