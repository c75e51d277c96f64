import json as machines
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sessions_core import backup


class Command(BaseCommand):
    help = "Write a backup while the app works: the database, checked, and the generated secret key beside it."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", nargs="?", type=Path, help="Where to (default: `backups` in the data folder).")
        parser.add_argument("--keep", type=int, default=0, help="Remove all backups there but the newest KEEP.")
        parser.add_argument("--json", action="store_true", help="For machines.")

    def handle(self, *, folder: Path | None, keep: int, json: bool, **options: Any) -> None:
        if keep < 0:
            raise CommandError("--keep is a number from 1 on; without it all backups are kept.")
        try:
            made = backup.make(folder, keep)
        except backup.BackupFailed as refusal:
            raise CommandError(str(refusal)) from None
        if json:
            self.stdout.write(as_json(made))
        else:
            self.tell(made)

    def tell(self, made: backup.Made) -> None:
        self.stdout.write(f"{made.file}: {made.size / 1e6:,.1f} MB, checked.")
        if made.key:
            self.stdout.write(f"{made.key}: the secret key. Keep both together, and from others.")
        for path in made.removed:
            self.stdout.write(f"{path}: removed.")


def as_json(made: backup.Made) -> str:
    key = str(made.key) if made.key else None
    rows = {"file": str(made.file), "bytes": made.size, "secret_key": key, "removed": [*map(str, made.removed)]}
    return machines.dumps(rows, indent=2)
