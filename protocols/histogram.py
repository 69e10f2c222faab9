"""Histogram of durations: fixed buckets and plain integers; whoever exports it gives it its shape."""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

# Upper edges in seconds, inclusive, as Prometheus' "le"; one more bucket holds what is above the last.
EDGES: Final[list[float]] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
]  # fmt: skip
_LAST: Final[i64] = 17  # len(EDGES), a constant so that the compiled loop compares machine integers


@final
class Histogram:
    """How many durations fell into each bucket, and their sum in seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts: Final[list[int]] = [0] * (_LAST + 1)  # by bucket, not cumulated
        self.total: float = 0.0  # seconds

    def record(self, value: float, count: i64) -> None:
        """Count ``count`` durations of ``value`` seconds each."""
        bucket: i64 = 0  # most durations of a gateway are short: search from the small end
        while bucket < _LAST and value > EDGES[bucket]:
            bucket += 1
        self.counts[bucket] += count
        self.total += value * float(count)

    def count(self) -> int:
        """How many durations were recorded."""
        return sum(self.counts)
