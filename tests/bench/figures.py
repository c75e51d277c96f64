"""What was measured, against its budget, as a table or for machines."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any

COLUMNS = ("figure", "raw", "ours", "ratio", "budget", "met")


@dataclass(frozen=True)
class Figure:
    """One number. Less is better, unless there is a budget of at least so much; `raw` is without us between."""

    name: str
    unit: str
    ours: float
    raw: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    of: str = "ours"  # what the budget is for: ours, ratio, or over: how much more than raw

    @property
    def ratio(self) -> float | None:
        return self.ours / self.raw if self.raw else None

    @property
    def met(self) -> bool | None:
        over = None if self.raw is None else self.ours - self.raw
        value = {"ours": self.ours, "ratio": self.ratio, "over": over}[self.of]
        if value is None or (self.at_most is None and self.at_least is None):
            return None
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    @property
    def budget(self) -> str:
        ratio = {"ours": "", "ratio": " × raw", "over": " over raw"}[self.of]
        sign, limit = ("≤", self.at_most) if self.at_most is not None else ("≥", self.at_least)
        return "" if limit is None else f"{sign} {shown(limit)}{ratio}"

    def as_row(self) -> tuple[str, ...]:
        met = {True: "yes", False: "NO", None: ""}[self.met]
        name = f"{self.name}, {self.unit}" if self.unit else self.name
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return name, shown(self.raw), shown(self.ours), ratio, self.budget, met

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": self.ratio, "met": self.met}


def shown(number: float | None) -> str:
    if number is None:
        return ""
    return f"{number:,.0f}" if abs(number) >= 100 or number == int(number) else f"{number:.2g}"


def table(figures: Sequence[Figure]) -> str:
    rows = [COLUMNS, *(figure.as_row() for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(line(row, widths) for row in [rows[0], tuple("-" * width for width in widths), *rows[1:]])


def line(row: Sequence[str], widths: list[int]) -> str:
    first, *rest = (
        cell.ljust(width) if n == 0 else cell.rjust(width)
        for n, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return " | ".join([first, *rest])


def middle(values: Iterable[float]) -> float:
    return median(list(values) or [0.0])


def part(values: Sequence[float], percent: int) -> float:
    """The value that so many percent do not exceed."""
    if len(values) < 2:
        return values[0] if values else 0.0
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def histogram(name: str, before: str, after: str, share: float) -> float:
    """The value that this share of what was counted between two looks at /metrics does not exceed."""
    first, then = buckets(name, before), buckets(name, after)
    counts = {limit: count - first.get(limit, 0) for limit, count in then.items()}
    wanted, low, seen = share * max(counts.values(), default=0), 0.0, 0.0
    for limit, count in sorted(counts.items()):
        if count >= wanted and count > seen:
            top = 2 * low if limit == float("inf") else limit
            return low + (top - low) * (wanted - seen) / (count - seen)
        low, seen = limit, count
    return 0.0


def buckets(name: str, metrics: str) -> dict[float, float]:
    return {float(limit): float(count) for limit, count in re.findall(rf'{name}_bucket{{le="(.*?)"}} (\S+)', metrics)}
