import json
import sys
from dataclasses import asdict

from django.core.management.base import BaseCommand, CommandParser

from sessions_core.doctor import Finding, examine

MARKS = {"ok": "ok  ", "note": "note", "bad": "BAD "}


class Command(BaseCommand):
    help = "Prove the whole path of a message, and say for everything that is wrong how to mend it."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="For machines.")

    def handle(self, *, json: bool, **options) -> None:
        findings = []
        for finding in examine():
            findings.append(finding)
            if not json:
                self.tell(finding)
        if json:
            self.stdout.write(as_json(findings))
        sys.exit(any(finding.state == "bad" for finding in findings))

    def tell(self, finding: Finding) -> None:
        paint = {"bad": self.style.ERROR, "note": self.style.WARNING}.get(finding.state, str)
        self.stdout.write(paint(f"{MARKS[finding.state]}  {finding.name:<10} {finding.says}"))
        if finding.remedy:
            self.stdout.write(f"{'':17}→ {finding.remedy}")
        self.stdout.flush()


def as_json(findings: list[Finding]) -> str:
    return json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False)
