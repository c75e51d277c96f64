"""Measures what the app costs and how fast it is, against budgets; it proves nothing and fails on no time."""

import json
import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tests.bench import measures
from tests.bench.figures import Figure, table
from tests.bench.machine import Load


class Command(BaseCommand):
    help = "Measures the app as a user starts it, with a fast gateway and many readers, against its budgets."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--only", action="append", choices=measures.GROUPS, help="This group; may be repeated.")
        parser.add_argument("--cluster", action="store_true", help="Also many processes on PostgreSQL and Redis.")
        parser.add_argument("--quick", action="store_true", help="Less of everything: a first impression.")
        parser.add_argument("--tiny", action="store_true", help="Next to nothing: only to see that it works.")
        parser.add_argument("--json", action="store_true", help="For machines.")

    def handle(self, *, only: list[str] | None, cluster: bool, quick: bool, tiny: bool, **options: Any) -> None:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's start finds everything compiled
        sizes = measures.TINY if tiny else measures.QUICK if quick else measures.FULL
        before = Load.now()
        found: list[Figure] = []
        for name in only or [name for name in measures.GROUPS if cluster or name != "cluster"]:
            print(f"{name} …", file=sys.stderr, flush=True)
            found += measures.GROUPS[name](sizes)
        machine = before.until(Load.now())
        if options["json"]:
            print(json.dumps({"machine": machine, "figures": [figure.as_dict() for figure in found]}, indent=2))
        else:
            print(table(found), "", "Machine: " + ", ".join(f"{k} {v:.3g}" for k, v in machine.items()), sep="\n")
