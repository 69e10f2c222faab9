"""What a process used: CPU and memory, from /proc. The parsers take text and are pure."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cpu:
    """CPU seconds, in user mode and in the kernel."""

    user: float
    system: float

    def since(self, before: Cpu) -> Cpu:
        """What was used after `before`."""
        return Cpu(self.user - before.user, self.system - before.system)

    @property
    def total(self) -> float:
        """User and system together."""
        return self.user + self.system


@dataclass(frozen=True)
class Memory:
    """Resident memory in KB: now, and the most it ever was."""

    resident: int
    peak: int


def parse_stat(text: str, ticks: int) -> Cpu:
    """User and system seconds of a `/proc/PID/stat` line; the name in it may contain anything."""
    fields = text.rpartition(")")[2].split()
    return Cpu(int(fields[11]) / ticks, int(fields[12]) / ticks)


def parse_schedstat(text: str) -> float:
    """Seconds on a CPU, of a `schedstat` line (nanoseconds)."""
    return int(text.split()[0]) / 1e9


def parse_status(text: str) -> Memory:
    """Resident and peak memory of `/proc/PID/status`."""
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return Memory(int(fields["VmRSS"].split()[0]), int(fields["VmHWM"].split()[0]))


def refine(coarse: Cpu, threads: Iterable[float]) -> Cpu:
    """Keep the split of the coarse clock, take the sum from the fine one.

    The kernel counts user and system in ticks of 10 ms but the sum in nanoseconds per thread. Threads that ended are
    missing from the fine sum; then the coarse one is larger and stays.
    """
    fine = sum(threads)
    slack = 2 / TICKS
    if coarse.total <= 0 or fine < coarse.total - slack:
        return coarse
    scale = fine / coarse.total
    return Cpu(coarse.user * scale, coarse.system * scale)


def cpu(pid: int) -> Cpu:
    """CPU used so far by all threads of a process."""
    root = Path("/proc", str(pid))
    coarse = parse_stat((root / "stat").read_text(), TICKS)
    return refine(coarse, [parse_schedstat(text) for text in _threads(root)])


def memory(pid: int) -> Memory:
    """Memory of a process."""
    return parse_status(Path("/proc", str(pid), "status").read_text())


def _threads(root: Path) -> Iterable[str]:
    for task in (root / "task").iterdir():
        try:
            yield (task / "schedstat").read_text()
        except OSError:  # the thread ended between the listing and the read
            continue
