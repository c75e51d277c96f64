"""Runs all that must hold, and says at the end what did; one failure does not hide the next."""

import os
import sys
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tests import parts, postgres, suites

SOAK = "tests/faults/soak"


class Command(BaseCommand):
    help = (
        "Runs everything: lint, the tests on SQLite and on PostgreSQL, with faults, many processes, a browser. "
        "What is not listed below goes to pytest (-k reset -x); a path below tests/ runs only that."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Without Django's own options: -v is pytest's."""
        program = f"{Path(prog_name).name} {subcommand}"
        parser = CommandParser(prog=program, description=self.help, allow_abbrev=False, **kwargs)
        parser.add_argument("--fast", action="store_true", help="only lint, and the quick tests on SQLite")
        parser.add_argument("--no-lint", action="store_true", help="without ruff, djlint and mypy")
        parser.add_argument("--gateway", action="store_true", help="also against real gateways, as CI does: a gigabyte")
        parser.add_argument(
            "--soak",
            action="store_true",
            help="only the long run: faults under load for an hour, with a table at the end (--table FILE keeps it)",
        )
        return parser

    def run_from_argv(self, argv: list[str]) -> None:
        options, rest = self.create_parser(*argv[:2]).parse_known_args(argv[2:])
        try:
            self.handle(*(word for word in rest if word != "--"), **vars(options))
        except KeyboardInterrupt:
            sys.exit("Stopped.")

    def handle(self, *pytest_args: str, soak: bool, **options: Any) -> None:
        self.pytest_args = pytest_args
        self.summary: list[str] = []
        self.failed = False
        paths = [Path(word) for word in pytest_args if word.startswith("tests/")]
        if soak:
            self.run_slow("faults", "-vv", "--soak", *suites.ONE_AT_A_TIME, *([] if paths else [SOAK]))
        elif paths:
            self.run_paths(paths, options["fast"])
        else:
            self.run_everything(**options)
        print("\n=== Summary", *self.summary, sep="\n", flush=True)
        sys.exit(self.failed)

    def run_paths(self, paths: list[Path], fast: bool) -> None:
        slow = {path.parts[1] for path in paths} & suites.SLOW.keys()
        for name in sorted(slow):
            self.run_slow(name)
        if not slow:
            self.run_fast(everywhere=not fast)

    def run_everything(self, fast: bool, no_lint: bool, gateway: bool) -> None:
        for line in () if no_lint else suites.LINT:
            self.step(line, line.split())
        self.run_fast(*suites.FAST.options, *(("-m", suites.NOT_THOROUGH) if fast else ()), everywhere=not fast)
        downloads = gateway or bool(os.environ.get("CI"))
        for name in () if fast else suites.SLOW:
            if suites.exists(name) and (downloads or name not in suites.DOWNLOADED):
                self.run_slow(name, f"tests/{name}")

    def run_fast(self, *arguments: str, everywhere: bool) -> None:
        self.pytest("tests on SQLite", *arguments, **suites.FAST.env)
        if everywhere and self.has(parts.POSTGRESQL, "tests on PostgreSQL"):
            try:
                with postgres.server() as url:
                    self.pytest("tests on PostgreSQL", *arguments, DATABASE_URL=url, **suites.FAST.env)
            except postgres.Failed as error:
                self.note("failed", f"tests on PostgreSQL: {error}", failed=True)

    def run_slow(self, name: str, *arguments: str) -> None:
        suite = suites.SLOW[name]
        if all(self.has(part, f"tests/{name}") for part in suite.needs):
            self.pytest(f"tests/{name}", "--durations=12", *suite.options, *arguments, **suite.env)

    def has(self, part: parts.Part, name: str) -> bool:
        if not part.is_there() and parts.can_install():
            print(f"\n=== Installing {part.packages}", flush=True)
            part.install()
        if not part.is_there():
            in_ci = bool(os.environ.get("CI"))
            why = f"{name}: needs {part.name}, run: sudo apt install {part.packages}"
            self.note("failed" if in_ci else "left out", why, failed=in_ci)
        return part.is_there()

    def pytest(self, name: str, *arguments: str, **env: str) -> None:
        self.step(name, ["pytest", *arguments, *self.pytest_args], **env)

    def step(self, name: str, command: list[str], **env: str) -> None:
        print(f"\n=== {name}", flush=True)
        started = time.monotonic()
        code = suites.run(command, env)
        none_match = code == suites.NO_TESTS_COLLECTED and bool(self.pytest_args)
        outcome = "none match" if none_match else "failed" if code else "passed"
        self.note(outcome, f"{time.monotonic() - started:5.1f} s  {name}", failed=outcome == "failed")

    def note(self, outcome: str, line: str, failed: bool) -> None:
        self.failed |= failed
        self.summary.append(f"{outcome:10} {line}")
