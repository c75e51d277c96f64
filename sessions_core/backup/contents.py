"""What a backup holds, and whether that can be true. Plain SQL: it is asked before it is anybody's database."""

from collections.abc import Callable
from dataclasses import dataclass, field

from django.db.migrations.loader import MigrationLoader

from ..errors import Refusal

Ask = Callable[[str], list[tuple]]


class BackupFailed(Refusal):
    """Nothing was changed, unless the text says so."""


COUNTS = {
    "accounts": "SELECT count(*) FROM sessions_core_user",
    "chats": "SELECT count(*) FROM sessions_core_chat",
    "messages": "SELECT count(*) FROM sessions_core_message",
    "running": "SELECT count(*) FROM sessions_core_message WHERE state IN ('waiting', 'streaming')",
}
RULES = {  # each query counts what breaks its rule
    "A chat has more than one running reply": """
        SELECT count(*) FROM (
            SELECT chat_id FROM sessions_core_message
            WHERE role = 'assistant' AND state IN ('waiting', 'streaming') GROUP BY chat_id HAVING count(*) > 1
        ) AS found""",
    "The messages of a chat are not numbered from 1 without a hole": """
        SELECT count(*) FROM (
            SELECT chat_id FROM sessions_core_message WHERE seq IS NOT NULL
            GROUP BY chat_id HAVING min(seq) <> 1 OR max(seq) <> count(seq)
        ) AS found""",
    "An ended reply still has pieces that were not put together": """
        SELECT count(*) FROM sessions_core_delta AS piece
        JOIN sessions_core_message AS reply ON reply.id = piece.message_id WHERE reply.state <> 'streaming'""",
    "The pieces of a running reply are not numbered from 1 without a hole": """
        SELECT count(*) FROM (
            SELECT message_id FROM sessions_core_delta
            GROUP BY message_id HAVING min(seq) <> 1 OR max(seq) <> count(seq)
        ) AS found""",
    "An ended reply still belongs to a process": """
        SELECT count(*) FROM sessions_core_message
        WHERE state <> 'streaming' AND (owner_process <> '' OR lease_until IS NOT NULL)""",
    "A reply is in a state that there is not": """
        SELECT count(*) FROM sessions_core_message
        WHERE role = 'assistant'
        AND state NOT IN ('waiting', 'streaming', 'done', 'stopped', 'failed', 'interrupted')""",
}


@dataclass(frozen=True)
class Contents:
    accounts: int = 0
    chats: int = 0
    messages: int = 0
    running: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def says(self) -> str:
        counted = f"{self.accounts} accounts, {self.chats} chats, {self.messages} messages"
        return counted + (f", {self.running} of them replies being written" if self.running else "")


def look(ask: Ask) -> Contents:
    """What is in a database of ours; raises BackupFailed where it is none, or one of a newer release."""
    refuse_foreign(ask("SELECT app, name FROM django_migrations"))
    counts = {name: ask(query)[0][0] for name, query in COUNTS.items()}
    return Contents(**counts, broken=[rule for rule, query in RULES.items() if ask(query)[0][0]])


def refuse_foreign(applied: list[tuple]) -> None:
    """Of an older release is well: the next start brings it up to date."""
    if not any(app == "sessions_core" for app, _ in applied):
        raise BackupFailed("This is no backup of this app.")
    loader = MigrationLoader(None)
    known = loader.disk_migrations.keys() | loader.replacements.keys()
    apps = {app for app, _ in known}
    unknown = sorted(f"{app}.{name}" for app, name in applied if app in apps and (app, name) not in known)
    if unknown:
        raise BackupFailed(
            f"This backup belongs to a newer release of the app (it has {unknown[0]}). Install that release first."
        )
