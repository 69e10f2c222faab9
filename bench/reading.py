"""What came of one test."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Reading:
    """The figures of one test. `fault` says why they must not be compared with those of others."""

    figures: dict[str, float] = field(default_factory=dict)
    fault: str | None = None
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """A reading and where it belongs."""

    workload: str
    test: str
    peer: str
    round: int
    reading: Reading
