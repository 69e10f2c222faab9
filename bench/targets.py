"""Whether what was promised was kept. Each protocol has its promises in a `targets.py` of its own."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench.poolgate import GOVERNED
from bench.summary import Cells, ratio

SUBJECT = GOVERNED
SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True)
class Promise:
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

    target: Promise
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


def judge(cells: Cells, target: Promise) -> Verdict:
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


def verdicts(cells: Cells, targets: Iterable[Promise]) -> list[Verdict]:
    """Every target in turn."""
    return [judge(cells, target) for target in targets]
