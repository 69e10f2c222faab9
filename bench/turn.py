"""One turn: one peer, started fresh, put through the tests of one workload."""

from __future__ import annotations

from bench.peer import Peer, Standing, standing
from bench.process import BenchError
from bench.reading import Measurement, Reading
from bench.suite import S, Suite, W


def take(suite: Suite[W, S], workload: W, peer: Peer[S], stage: S, number: int) -> list[Measurement]:
    """All measurements of a peer in one round of a workload; a failure is a measurement too."""
    try:
        with standing(peer, stage) as ready:
            taken = [(test, _guarded(suite, ready, stage, test)) for test in workload.tests]
    except BenchError as problem:  # it did not start
        taken = [(test, Reading(fault=str(problem))) for test in workload.tests]
    return [Measurement(workload.name, test, peer.name, number, reading) for test, reading in taken]


def _guarded(suite: Suite[W, S], ready: Standing, stage: S, test: str) -> Reading:
    problems: tuple[type[Exception], ...] = (BenchError, OSError, *suite.problems)
    try:
        return suite.measure(ready, stage, test)
    except problems as problem:
        return Reading(fault=f"{type(problem).__name__}: {problem}")
