"""What can be asked of `manage.py sessions`: the verbs, in the order of the help, and what each takes."""

from argparse import BooleanOptionalAction
from pathlib import Path
from typing import Any

SESSION = ("session", {"help": "Its key (webchat-…); or its name, an old name or main, and --user."})
ALL = ("--all", {"action": "store_true", "help": "All of --user's but the main one."})
YES = ("--yes", {"action": "store_true", "help": "Yes, also the main session, which many share."})

VERBS: dict[str, tuple[str, list[tuple[str, dict[str, Any]]]]] = {
    "list": (
        "Sessions of everybody, or of --user.",
        [
            ("--persistent", {"action": "store_true", "help": "Only persistent ones."}),
            ("--archived", {"action": "store_true", "help": "Only archived ones."}),
            ("--trash", {"action": "store_true", "help": "What is in the trash instead."}),
        ],
    ),
    "show": ("What is known about one.", [SESSION]),
    "create": (
        "Start one with a name for --user.",
        [
            ("name", {}),
            ("--agent", {"default": ""}),
            ("--based-on", {"metavar": "SESSION", "help": "Take the conversation of this one along."}),
            ("--persistent", {"action": BooleanOptionalAction, "default": True, "help": "Protect it from resets."}),
        ],
    ),
    "rename": ("Give it another name; the old one keeps leading to it.", [SESSION, ("name", {})]),
    "protect": ("Make it persistent: it cannot be reset.", [SESSION]),
    "unprotect": ("Make it not persistent.", [SESSION]),
    "reset": ("Start a new chapter; the agent starts afresh.", [SESSION, YES]),
    "delete": ("Move it to the trash.", [SESSION]),
    "restore": ("Take it out of the trash.", [SESSION]),
    "export": (
        "Write one, or all of --user's, as JSON that can be imported.",
        [
            (SESSION[0], SESSION[1] | {"nargs": "?"}),
            ("--markdown", {"action": "store_true", "help": "To read instead."}),
            ("-o", {"dest": "output", "metavar": "FILE", "help": "Into this file, for your eyes only."}),
        ],
    ),
    "adopt": (
        "Make sessions of --user's of what the gateway has, with what was said there.",
        [
            (
                "keys",
                {"nargs": "*", "metavar": "KEY", "help": "The gateway's, such as agent:main:telegram:direct:1."},
            ),
            ("--list", {"action": "store_true", "help": "Only list those that can be adopted."}),
        ],
    ),
    "import": ("Take an export in as new sessions of --user.", [("file", {"type": Path})]),
    "prune": ("Empty the trash and move unused sessions there, as the settings say; the server does it daily.", []),
    "give": (
        "Hand one, or --all of --user's, to a colleague.",
        [
            (SESSION[0], SESSION[1] | {"nargs": "?"}),
            ALL,
            ("--to", {"required": True, "metavar": "NAME", "help": "The colleague's account."}),
        ],
    ),
}
READING = ("list", "show", "export")
