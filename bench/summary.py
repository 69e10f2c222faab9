"""From raw rounds to medians, spreads and ratios. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from bench.reading import Measurement


@dataclass(frozen=True)
class Spread:
    """One figure over all rounds."""

    median: float
    low: float
    high: float


@dataclass
class Cell:
    """One peer in one test of one workload."""

    workload: str
    test: str
    peer: str
    figures: dict[str, Spread] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    rounds: int = 0

    def median(self, figure: str) -> float | None:
        """The median of a figure, unless the cell is disqualified or has none."""
        found = self.figures.get(figure)
        return None if self.faults or found is None else found.median


Cells = dict[tuple[str, str, str], Cell]


def spread(values: Iterable[float]) -> Spread:
    """Median and extremes."""
    known = sorted(values)
    return Spread(median(known), known[0], known[-1])


def summarise(measurements: Iterable[Measurement]) -> Cells:
    """Cells by (workload, test, peer), in the order in which they were first measured."""
    cells: Cells = {}
    values: dict[tuple[str, str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in measurements:
        key = (one.workload, one.test, one.peer)
        cell = cells.setdefault(key, Cell(*key))
        cell.rounds += 1
        if one.reading.fault is not None:
            cell.faults.append(one.reading.fault)
        for name, value in one.reading.figures.items():
            values[key][name].append(value)
    for key, figures in values.items():
        cells[key].figures = {name: spread(known) for name, known in figures.items()}
    return cells


def ratio(cells: Cells, workload: str, test: str, figure: str, peer: str, base: str) -> float | None:
    """The peer's median over that of another peer."""
    one, other = cells.get((workload, test, peer)), cells.get((workload, test, base))
    upper = one.median(figure) if one else None
    lower = other.median(figure) if other else None
    return upper / lower if upper is not None and lower else None
