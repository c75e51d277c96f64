import json as machines
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sessions_core import backup


class Command(BaseCommand):
    help = "Put a backup back while the app is stopped; with --check only look whether that would go well."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="What `manage.py backup` wrote.")
        parser.add_argument("--check", action="store_true", help="Read all of it and count; change nothing.")
        parser.add_argument("--yes", action="store_true", help="Also where people work already; that is kept aside.")
        parser.add_argument("--json", action="store_true", help="For machines.")

    def handle(self, *, file: Path, check: bool, yes: bool, json: bool, **options: Any) -> None:
        try:
            content = self.examine(file, json) if check else self.restore(file, json, yes)
        except backup.BackupFailed as refusal:
            raise CommandError(str(refusal)) from None
        if content.broken:
            raise CommandError(f"It can be used, but not all in it is as it must be. {'. '.join(content.broken)}.")

    def examine(self, file: Path, json: bool) -> backup.Contents:
        content = backup.examine(file)
        self.stdout.write(as_json(content) if json else f"{file} can be restored: {content.says}.")
        return content

    def restore(self, file: Path, json: bool, replace: bool) -> backup.Contents:
        restored = backup.restore(file, replace=replace)
        if json:
            self.stdout.write(as_json(restored))
        else:
            self.tell(restored)
        return restored.content

    def tell(self, restored: backup.Restored) -> None:
        self.stdout.write(f"Restored: {restored.content.says}.")
        if restored.kept:
            self.stdout.write(f"What was there before is {restored.kept}. Remove it when you no longer need it.")
        if restored.key:
            self.stdout.write(restored.key)
        self.stdout.write("Start the app. It updates the database if need be, and marks running replies interrupted.")


def as_json(found: Any) -> str:
    return machines.dumps(asdict(found), indent=2)
