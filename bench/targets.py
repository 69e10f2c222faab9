"""What was promised, as data, and whether it was kept."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

from bench.summary import Cells, ratio

SUBJECT = "poolgate-governed"
ENVOYS = ("envoy", "envoy-batching")  # compared with whichever of them did better
SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True)
class Target:
    """A bound on a figure of the governed poolgate, absolute or as a ratio to other peers in the same run."""

    text: str
    workload: str
    test: str
    figure: str
    sign: str
    bound: float
    against: tuple[str, ...] = ()
    unit: str = "x"


@dataclass(frozen=True)
class Verdict:
    """A target and what came of it; `measured` is None when the run cannot tell."""

    target: Target
    measured: float | None
    base: str = ""

    @property
    def word(self) -> str:
        """Met, missed or not measured."""
        if self.measured is None:
            return "not measured"
        return "met" if SIGNS[self.target.sign](self.measured, self.target.bound) else "**missed**"

    def __str__(self) -> str:
        """One line for a terminal."""
        target = self.target
        measured = "" if self.measured is None else f": {self.measured:.2f} {target.unit} {self.base}".rstrip()
        return (
            f"{self.word.strip('*'):12} {target.text}{measured} (wanted {target.sign} {target.bound:g} {target.unit})"
        )


def _pair(workload: str, figure: str, sign: str, bound: float, against: tuple[str, ...], text: str) -> list[Target]:
    return [Target(f"{text}, {test}", workload, test, figure, sign, bound, against) for test in ("GET", "SET")]


TARGETS = (
    *_pair("c50", "cpu_us", "<=", 0.85, ENVOYS, "CPU per request without pipeline, to Envoy"),
    *_pair("c50", "cpu_us", "<=", 1.05, ("nutcracker",), "CPU per request without pipeline, to nutcracker"),
    *_pair("p16", "cpu_us", "<=", 0.3, ENVOYS, "CPU per request at pipeline 16, to Envoy"),
    *_pair("p16", "rps", ">=", 2.5, ENVOYS, "requests/s at pipeline 16, to Envoy"),
    Target("throughput with 1,000 clients, to direct", "c1000", "GET", "rps", ">=", 1.0, ("direct",)),
    *_pair("c50", "redis_cpu_us", "<", 1.0, ("direct",), "Redis's own CPU per request, to direct"),
    *_pair("p16", "redis_cpu_us", "<", 1.0, ("direct",), "Redis's own CPU per request at pipeline 16, to direct"),
    Target("Redis's own CPU per request, 1,000 clients", "c1000", "GET", "redis_cpu_us", "<", 1.0, ("direct",)),
    Target("connect-per-request, AUTH over TLS, to direct", "connect-tls", "GET", "rps", ">", 1.0, ("direct",)),
    Target("idle memory", "idle", "idle", "rss_start_mb", "<=", 60.0, unit="MB"),
    Target("added memory per idle client", "idle", "idle", "kb_per_client", "<=", 4.0, unit="KB"),
    Target("the same after one request each", "idle", "idle", "kb_per_used_client", "<=", 4.0, unit="KB"),
)


def judge(cells: Cells, target: Target) -> Verdict:
    """Compare with the strongest of the named peers, or with the bound alone."""
    where = (target.workload, target.test)
    if not target.against:
        cell = cells.get((*where, SUBJECT))
        return Verdict(target, cell.median(target.figure) if cell else None)
    ratios = [(ratio(cells, *where, target.figure, SUBJECT, base), base) for base in target.against]
    known = [(value, base) for value, base in ratios if value is not None]
    if not known:
        return Verdict(target, None)
    hardest = max if target.sign.startswith("<") else min
    return Verdict(target, *hardest(known))


def verdicts(cells: Cells) -> list[Verdict]:
    """Every target in turn."""
    return [judge(cells, target) for target in TARGETS]
