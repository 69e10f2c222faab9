"""Histogram of durations: fixed buckets and plain integers; whoever exports it gives it its shape."""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

# Upper edges in seconds, inclusive, as Prometheus' "le"; one more bucket holds what is above the last.
EDGES: Final[list[float]] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
]  # fmt: skip
_LAST: Final[i64] = 17  # len(EDGES)


@final
class Histogram:
    """How many durations fell into each bucket, and their sum in seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts: Final[list[int]] = [0] * (_LAST + 1)  # by bucket, not cumulated
        self.total: float = 0.0  # seconds

    def record(self, value: float, count: i64) -> None:
        """Count ``count`` durations of ``value`` seconds each."""
        self.counts[_bucket(value)] += count
        self.total += value * float(count)

    def count(self) -> int:
        """How many durations were recorded."""
        return sum(self.counts)


def _bucket(value: float) -> i64:
    """The first whose edge is not below the value, by constants: a list of edges would box each of them."""
    if value <= 0.001:
        if value <= 0.00025:
            return 0 if value <= 0.00005 else 1 if value <= 0.0001 else 2
        return 3 if value <= 0.0005 else 4
    if value <= 0.05:
        if value <= 0.01:
            return 5 if value <= 0.0025 else 6 if value <= 0.005 else 7
        return 8 if value <= 0.025 else 9
    if value <= 1.0:
        if value <= 0.25:
            return 10 if value <= 0.1 else 11
        return 12 if value <= 0.5 else 13
    if value <= 5.0:
        return 14 if value <= 2.5 else 15
    return 16 if value <= 10.0 else _LAST
