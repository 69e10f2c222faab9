"""The benchmark before a Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis as redis_py

from bench import meter, procfs, refusals
from bench.crowd import crowd
from bench.generator import Load, own
from bench.machine import version_of
from bench.peer import Standing, Target
from bench.process import BenchError
from bench.reading import Reading
from bench.redis.load import ready
from bench.redis.peers import PEERS, envoy_binary, nutcracker_binary
from bench.redis.stage import RedisStage, redis_server
from bench.redis.targets import TARGETS
from bench.redis.workloads import WORKLOADS
from bench.suite import Column, Panel, Suite

SETTLE = 1.0
IDLE = (
    Column("rss_start_mb", "RSS at start MB", 1, spread=True),
    Column("kb_per_client", "KB per connected client", 2, spread=True),
    Column("kb_per_used_client", "KB per client after one request", 2, spread=True),
    Column("kb_per_burst_client", "KB per client after all asked at once", 2, spread=True),
    Column("rss_mb", "RSS MB", 1),
    Column("rss_peak_mb", "peak MB", 1),
)


def measure(standing: Standing, stage: RedisStage, test: str) -> Reading:
    """One test of a peer."""
    workload = stage.workload
    if workload.kind == "idle":
        return _weigh(standing, stage)
    plan = meter.Plan(test, workload.requests, workload.scaled(meter.WARM_UP).requests, "Redis")
    return meter.measure(standing, stage, ready(workload, test, standing.target), plan)


def _weigh(standing: Standing, stage: RedisStage) -> Reading:
    if standing.pid is None:
        raise BenchError("there is no process to weigh")
    count = stage.workload.clients
    time.sleep(SETTLE)
    alone = procfs.memory(standing.pid)
    with crowd(own("bench.redis.idle", standing.target, "-c", count)) as clients:
        clients.tell("open")
        time.sleep(SETTLE)
        connected = procfs.memory(standing.pid)
        clients.tell("use")
        time.sleep(SETTLE)
        used = procfs.memory(standing.pid)
        clients.tell("burst")
        time.sleep(SETTLE)
        burst = procfs.memory(standing.pid)
    figures = {
        "rss_start_mb": alone.resident / 1024,
        "kb_per_client": (connected.resident - alone.resident) / count,
        "kb_per_used_client": (used.resident - alone.resident) / count,
        "kb_per_burst_client": (burst.resident - alone.resident) / count,
        "rss_mb": burst.resident / 1024,
        "rss_peak_mb": burst.peak / 1024,
    }
    record = meter.commands(stage, standing.command, clients.command)
    return Reading(figures, refusals.found(standing.admin), record)


@contextmanager
def load(target: Target, stage: RedisStage, test: str) -> Iterator[Load]:
    """What a profile is taken under."""
    yield ready(stage.workload, test, target)


def versions() -> dict[str, str]:
    """Of everything that takes part, beside poolgate."""
    return {
        "redis-server": version_of("redis-server", "--version"),
        "redis-benchmark": version_of("redis-benchmark", "--version"),
        "envoy": version_of(envoy_binary, "--version"),
        "nutcracker": version_of(nutcracker_binary, "--version"),
    }


REDIS = Suite(
    name="redis",
    help="poolgate, Envoy and nutcracker before a Redis",
    server="Redis",
    workloads=WORKLOADS,
    peers=PEERS,
    targets=TARGETS,
    stage=redis_server,
    load=load,
    measure=measure,
    versions=versions,
    bases=("direct", "envoy", "envoy-batching", "nutcracker"),
    panels=(
        Panel("rps", "requests/s, direct = 1", "direct"),
        Panel("cpu_us", "CPU of the proxy per request, us"),
        Panel("p50_ms", "p50 latency, direct = 1", "direct"),
        Panel("redis_cpu_us", "CPU of Redis per request, direct = 1", "direct"),
    ),
    profiled="c50",
    columns={"idle": IDLE},
    unloaded=("idle",),
    problems=(redis_py.RedisError,),
)
