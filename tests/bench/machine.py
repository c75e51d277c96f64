"""What processes and the machine spend, as Linux counts it."""

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_of(pid: int) -> float:
    """Seconds that a process has computed, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_of(pid: int) -> float:
    """Megabytes that a process holds in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@dataclass(frozen=True)
class Load:
    """A look at the whole machine; two tell how busy it was in between."""

    average: float
    busy: int
    stolen: int
    all: int

    @classmethod
    def now(cls) -> "Load":
        user, nice, system, idle, wait, irq, soft, steal, *_ = map(
            int, Path("/proc/stat").read_text().split("\n")[0].split()[1:]
        )
        busy = user + nice + system + irq + soft
        return cls(os.getloadavg()[0], busy, steal, busy + idle + wait + steal)

    def until(self, later: "Load") -> dict[str, float]:
        ticks = max(1, later.all - self.all)
        return {
            "cores": os.cpu_count() or 1,
            "load before": self.average,
            "load after": later.average,
            "busy %": 100 * (later.busy - self.busy) / ticks,
            "stolen %": 100 * (later.stolen - self.stolen) / ticks,
        }
