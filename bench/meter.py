"""One measurement under load: clocks before and after, what the server executed, whether it all went well."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from bench import procfs, refusals
from bench.generator import Load, Result
from bench.peer import Standing
from bench.process import shown
from bench.reading import Reading
from bench.suite import Stage

SAMPLE_EVERY = 0.1
WARM_UP = 0.02  # of the requests; they are not measured
SURPLUS = 1.01  # a generator may add a few requests of its own; a peer must not lose any
ASKERS = 2  # connections of the benchmark's own while it measures


@dataclass(frozen=True)
class Plan:
    """How one test is measured."""

    test: str
    requests: int
    warm: int  # requests that go ahead, unmeasured
    server: str  # as it is called
    spare: int = 0  # requests that peers may add for themselves, beside SURPLUS
    tolerated: str = ""  # an outcome of calls that the workload brings about by itself


def measure(ready: Standing, stage: Stage, load: Load, plan: Plan) -> Reading:
    """Put the peer under load once."""
    if plan.warm:
        load.run(plan.warm)
    with closing(stage.asking()) as server, _upstream_connections(stage) as seen:
        executed = server.executed(plan.test)
        before = _moment(ready, stage)
        result = load.run(plan.requests)
        after = _moment(ready, stage)
        executed = server.executed(plan.test) - executed
    figures = _figures(result, before, after, plan)
    figures["upstream_connections"] = float(max(seen, default=0))
    if ready.pid is not None:
        memory = procfs.memory(ready.pid)
        figures |= {"rss_mb": memory.resident / 1024, "rss_peak_mb": memory.peak / 1024}
    fault = _fault(result.errors, executed, plan) or refusals.found(ready.admin, plan.tolerated)
    return Reading(figures, fault, commands(stage, ready.command, load.command))


def commands(stage: Stage, *lines: Sequence[str]) -> tuple[str, ...]:
    """The record of what ran."""
    return tuple(shown(line, stage.directory) for line in (stage.command, *lines) if line)


@dataclass(frozen=True)
class Moment:
    """All clocks, read before and after a test."""

    at: float
    machine: float
    server: procfs.Clock
    proxy: procfs.Clock | None
    helpers: tuple[procfs.Clock, ...]


def _moment(ready: Standing, stage: Stage) -> Moment:
    proxy = None if ready.pid is None else procfs.clock(ready.pid)
    helpers = tuple(map(procfs.clock, stage.helpers))
    return Moment(time.monotonic(), procfs.busy(), procfs.clock(stage.pid), proxy, helpers)


def _figures(result: Result, before: Moment, after: Moment, plan: Plan) -> dict[str, float]:
    """CPU in microseconds per request; `busy` in cores."""
    server = after.server.since(before.server)
    others = after.machine - before.machine - server.total
    others -= sum(late.since(early).total for late, early in zip(after.helpers, before.helpers, strict=True))
    figures = {"rps": result.rps, "p50_ms": result.p50_ms, "p99_ms": result.p99_ms}
    if before.proxy is not None and after.proxy is not None:
        proxy = after.proxy.since(before.proxy)
        others -= proxy.total
        figures["cpu_us"] = proxy.total / plan.requests * 1e6
        figures["cpu_user_us"] = proxy.user / plan.requests * 1e6
        figures["cpu_system_us"] = proxy.system / plan.requests * 1e6
    figures[f"{plan.server.lower()}_cpu_us"] = server.total / plan.requests * 1e6
    figures["generator_busy"] = result.busy
    figures["others_busy"] = max(0.0, others / (after.at - before.at) - result.busy)
    return figures


def _fault(errors: tuple[str, ...], executed: int, plan: Plan) -> str | None:
    if errors:
        return f"errors were answered: {'; '.join(errors[:3])}"
    if not plan.requests <= executed <= plan.requests * SURPLUS + plan.spare:
        return f"{plan.server} executed {executed} requests instead of {plan.requests}"
    return None


@contextmanager
def _upstream_connections(stage: Stage) -> Iterator[list[int]]:
    """Collect how many connections the server has, without the two that ask it."""
    seen: list[int] = []
    over = threading.Event()

    def sample() -> None:
        with closing(stage.asking()) as server:
            while not over.wait(SAMPLE_EVERY):
                seen.append(server.connections() - ASKERS)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
