"""What the long run measured, as a table for docs/reliability.md."""

import os
import platform
import sqlite3
import subprocess
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

from tests import postgres, redis_server

HEAD = ("scenario", "what was done", "figure to hold", "measured", "held")
ROW = "long run"  # the property of a report that holds a row


class Figures:
    """Takes what one test measured; a figure that is missed is in the table, and fails nothing by itself."""

    def __init__(self, scenario: str, record: Callable[[str, Any], None]) -> None:
        self.scenario = scenario
        self.record = record

    def add(self, done: str, hold: str, measured: str, held: bool) -> None:
        self.record(ROW, (self.scenario, done, hold, measured, "yes" if held else "no"))


def rows(reports: Iterable[Any]) -> list[tuple[str, ...]]:
    """Of the reports of all tests, in the order in which they ran; one that failed says so, whatever it measured."""
    found = []
    for report in reports:
        measured = [row for name, row in report.user_properties if name == ROW]
        if report.failed:
            name = report.nodeid.rsplit("::", 1)[-1]
            failed = [(*row[:4], "**no**: the test failed") for row in measured]
            measured = failed or [("", name.replace("_", " "), "", "", "**no**: the test failed")]
        found += measured
    return found


def table(rows: Iterable[tuple[str, ...]]) -> str:
    lines = [HEAD, tuple("---" for _ in HEAD), *rows]
    return "\n".join([where(), "", *(f"| {' | '.join(line)} |" for line in lines), ""])


def where() -> str:
    parts = [f"Python {platform.python_version()}", f"{os.cpu_count()} cores", f"SQLite {sqlite3.sqlite_version}"]
    folder = postgres.programs()
    parts += [version(folder / "initdb")] if folder else []
    parts += [version(Path(program))] if (program := redis_server.program()) else []
    return f"{date.today()}: {', '.join(parts)}."


def version(program: Path) -> str:
    """As the program names itself, without what the distribution adds."""
    said = subprocess.check_output([str(program), "--version"], text=True).split()
    if said[0] == "Redis":
        return f"Redis {said[2].removeprefix('v=')}"
    return f"PostgreSQL {said[2]}"


def longest(times: Iterable[float]) -> str:
    return f"{max(times):.1f} s"


def quantile(times: Iterable[float], part: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
