"""The load generators of Redis: redis-benchmark, and one of our own for clients that come and go."""

from __future__ import annotations

import csv

from bench.generator import Load, Result, once, own, parse, where
from bench.peer import Target
from bench.process import BenchError
from bench.redis.workloads import RedisWorkload


def ready(workload: RedisWorkload, test: str, target: Target) -> Load:
    """The generator of a workload."""
    if workload.kind == "connect":
        return once(lambda count: _connect(workload, target, count), parse, workload.requests)
    return once(lambda count: benchmark(workload, test, target, count), parse_csv, workload.requests)


def _connect(workload: RedisWorkload, target: Target, count: int) -> list[str]:
    return own("bench.redis.connect", target, "-c", workload.clients, "-n", count)


def benchmark(workload: RedisWorkload, test: str, target: Target, count: int) -> list[str]:
    """The command line of redis-benchmark."""
    words = ["redis-benchmark", *where(target), "--csv", "-t", test.lower(), "-c", str(workload.clients)]
    words += ["-n", str(count), "-P", str(workload.pipeline), "-d", str(workload.size)]
    if target.password is not None:
        words += ["-a", target.password]
    return words


def parse_csv(text: str, busy: float) -> Result:
    """The result of one `redis-benchmark --csv` run; anything else that it printed is an error of the peer."""
    lines = [line for line in text.splitlines() if line.strip()]
    table = [line for line in lines if line.startswith('"')]
    errors = tuple(line for line in lines if not line.startswith('"'))
    rows = list(csv.DictReader(table))
    if len(rows) != 1:
        raise BenchError(f"redis-benchmark gave {len(rows)} rows instead of one: {text[-300:]}")
    row = rows[0]
    return Result(float(row["rps"]), float(row["p50_latency_ms"]), float(row["p99_latency_ms"]), busy, errors)
