"""One turn: one peer, started fresh, put through the tests of one workload. What is measured is decided here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import redis as redis_py

from bench import load, procfs, refusals
from bench.idle_client import idle_clients
from bench.peers import Peer, Standing, standing
from bench.process import BenchError, shown
from bench.stage import Stage
from bench.workloads import scaled

SAMPLE_EVERY = 0.5
WARM_UP = 0.02  # of the requests; they are not measured
SURPLUS = 1.01  # a generator may add a few requests of its own; a peer must not lose any
SETTLE = 1.0


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


def take(peer: Peer, stage: Stage, number: int) -> list[Measurement]:
    """All measurements of a peer in one round of a workload; a failure is a measurement too."""
    workload = stage.workload
    measure = _weigh if workload.kind == "idle" else _load
    try:
        with standing(peer, stage) as ready:
            taken = [(test, _guarded(measure, ready, stage, test)) for test in workload.tests]
    except BenchError as problem:  # it did not start
        taken = [(test, Reading(fault=str(problem))) for test in workload.tests]
    return [Measurement(workload.name, test, peer.name, number, reading) for test, reading in taken]


def _guarded(measure: Any, ready: Standing, stage: Stage, test: str) -> Reading:
    try:
        return cast("Reading", measure(ready, stage, test))
    except (BenchError, OSError, redis_py.RedisError) as problem:
        return Reading(fault=f"{type(problem).__name__}: {problem}")


def _load(ready: Standing, stage: Stage, test: str) -> Reading:
    workload = stage.workload
    load.run(workload, load.command(scaled(workload, WARM_UP), test, ready.target))
    line = load.command(workload, test, ready.target)
    with stage.client() as server, _upstream_connections(stage) as seen:
        server.config_resetstat()
        before = _moment(ready, stage)
        result = load.run(workload, line)
        after = _moment(ready, stage)
        executed = _executed(server, test)
    figures = _figures(result, before, after, workload.requests)
    figures["upstream_connections"] = float(max(seen, default=0))
    if ready.pid is not None:
        memory = procfs.memory(ready.pid)
        figures |= {"rss_mb": memory.resident / 1024, "rss_peak_mb": memory.peak / 1024}
    fault = _fault(result.errors, executed, workload.requests) or refusals.found(ready.admin)
    return Reading(figures, fault, _commands(stage, ready.command, line))


@dataclass(frozen=True)
class Moment:
    """All clocks, read before and after a test."""

    at: float
    machine: float
    redis: procfs.Clock
    proxy: procfs.Clock | None


def _moment(ready: Standing, stage: Stage) -> Moment:
    proxy = None if ready.pid is None else procfs.clock(ready.pid)
    return Moment(time.monotonic(), procfs.busy(), procfs.clock(stage.pid), proxy)


def _figures(result: load.Result, before: Moment, after: Moment, requests: int) -> dict[str, float]:
    """CPU in microseconds per request; `busy` in cores."""
    redis = after.redis.since(before.redis)
    others = after.machine - before.machine - redis.total
    figures = {"rps": result.rps, "p50_ms": result.p50_ms, "p99_ms": result.p99_ms}
    if before.proxy is not None and after.proxy is not None:
        proxy = after.proxy.since(before.proxy)
        others -= proxy.total
        figures["cpu_us"] = proxy.total / requests * 1e6
        figures["cpu_user_us"] = proxy.user / requests * 1e6
        figures["cpu_system_us"] = proxy.system / requests * 1e6
    figures["redis_cpu_us"] = redis.total / requests * 1e6
    figures["generator_busy"] = result.busy
    figures["others_busy"] = max(0.0, others / (after.at - before.at) - result.busy)
    return figures


def _commands(stage: Stage, *lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(shown(line, stage.directory) for line in (stage.command, *lines) if line)


def _fault(errors: tuple[str, ...], executed: int, requests: int) -> str | None:
    if errors:
        return f"errors were answered: {'; '.join(errors[:3])}"
    if not requests <= executed <= requests * SURPLUS:
        return f"Redis executed {executed} commands instead of {requests}"
    return None


def _executed(server: redis_py.Redis, test: str) -> int:
    stats = cast("dict[str, dict[str, int]]", server.info("commandstats"))
    return stats.get(f"cmdstat_{test.lower()}", {}).get("calls", 0)


@contextmanager
def _upstream_connections(stage: Stage) -> Iterator[list[int]]:
    """Collect how many connections Redis has, without the two that ask it."""
    seen: list[int] = []
    over = threading.Event()

    def sample() -> None:
        with stage.client() as client:
            while not over.wait(SAMPLE_EVERY):
                clients = cast("dict[str, int]", client.info("clients"))
                seen.append(clients["connected_clients"] - 2)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _weigh(ready: Standing, stage: Stage, _test: str) -> Reading:
    if ready.pid is None:
        raise BenchError("there is no process to weigh")
    count = stage.workload.clients
    time.sleep(SETTLE)
    alone = procfs.memory(ready.pid)
    with idle_clients(ready.target, count) as crowd:
        crowd.tell("open")
        time.sleep(SETTLE)
        connected = procfs.memory(ready.pid)
        crowd.tell("use")
        time.sleep(SETTLE)
        used = procfs.memory(ready.pid)
        crowd.tell("burst")
        time.sleep(SETTLE)
        burst = procfs.memory(ready.pid)
    figures = {
        "rss_start_mb": alone.resident / 1024,
        "kb_per_client": (connected.resident - alone.resident) / count,
        "kb_per_used_client": (used.resident - alone.resident) / count,
        "kb_per_burst_client": (burst.resident - alone.resident) / count,
        "rss_mb": burst.resident / 1024,
        "rss_peak_mb": burst.peak / 1024,
    }
    return Reading(figures, refusals.found(ready.admin), _commands(stage, ready.command, crowd.command))
