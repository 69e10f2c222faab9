"""What a process used: CPU and memory, from /proc. The parsers take text and are pure."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
SLACK = 2 / TICKS


@dataclass(frozen=True)
class Cpu:
    """CPU seconds, in user mode and in the kernel."""

    user: float
    system: float

    @property
    def total(self) -> float:
        """User and system together."""
        return self.user + self.system


@dataclass(frozen=True)
class Clock:
    """What a process has used at one moment, by two clocks.

    The kernel counts user and system in ticks of 10 ms, but their sum in nanoseconds, per living thread.
    """

    coarse: Cpu
    fine: float

    def since(self, before: Clock) -> Cpu:
        """What was used after `before`: the split of the coarse clock, the sum of the fine one.

        A thread that ended in between takes its fine time with it; then the coarse sum is larger, and stays.
        """
        used = Cpu(self.coarse.user - before.coarse.user, self.coarse.system - before.coarse.system)
        fine = self.fine - before.fine
        if fine < used.total - SLACK:
            return used
        if used.total == 0:  # too little for the coarse clock to have seen how it divides
            return Cpu(0.0, fine)
        return Cpu(used.user * fine / used.total, used.system * fine / used.total)


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


def parse_busy(text: str, ticks: int) -> float:
    """CPU seconds that the whole machine worked, of `/proc/stat`: everything but idling and waiting for disks."""
    fields = [int(field) for field in text.splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / ticks


def busy() -> float:
    """CPU seconds that the whole machine worked so far."""
    return parse_busy(Path("/proc/stat").read_text(), TICKS)


def clock(pid: int) -> Clock:
    """What all threads of a process have used so far."""
    root = Path("/proc", str(pid))
    coarse = parse_stat((root / "stat").read_text(), TICKS)
    return Clock(coarse, sum(parse_schedstat(text) for text in _threads(root)))


def memory(pid: int) -> Memory:
    """Memory of a process."""
    return parse_status(Path("/proc", str(pid), "status").read_text())


def forget_peak(pid: int) -> None:
    """Let the peak of a process's memory begin anew, at what it has now."""
    Path("/proc", str(pid), "clear_refs").write_text("5")


def _threads(root: Path) -> Iterable[str]:
    for task in (root / "task").iterdir():
        try:
            yield (task / "schedstat").read_text()
        except OSError:  # the thread ended between the listing and the read
            continue
