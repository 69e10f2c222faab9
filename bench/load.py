"""Run a load generator in its own process and read what it says."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.process import ROOT, BenchError, last_words
from bench.resp import Address
from bench.workloads import Workload

TIMEOUT = 120.0


@dataclass(frozen=True)
class Target:
    """Where and how the clients connect in one turn."""

    address: Address
    password: str | None = None
    ca: Path | None = None  # TLS when given


@dataclass(frozen=True)
class Result:
    """What a load generator measured, and how busy it was itself."""

    rps: float
    p50_ms: float
    p99_ms: float
    busy: float  # CPU seconds of the generator per second; near 1 it, not the peer, was the limit
    errors: tuple[str, ...] = ()


def command(workload: Workload, test: str, target: Target) -> list[str]:
    """The command line of the generator for one test."""
    if workload.kind == "connect":
        return _connect(workload, target)
    return _redis_benchmark(workload, test, target)


def run(workload: Workload, line: Sequence[str]) -> Result:
    """Run the generator to its end."""
    before, began = os.times(), time.monotonic()
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=TIMEOUT, check=False, cwd=ROOT)
    except subprocess.TimeoutExpired as hung:
        raise BenchError(f"the load generator did not finish in {TIMEOUT:.0f} s") from hung
    after, elapsed = os.times(), time.monotonic() - began
    if done.returncode != 0:
        raise BenchError(f"the load generator ended with {done.returncode}: {last_words(done.stdout + done.stderr)}")
    busy = (sum(after[2:4]) - sum(before[2:4])) / elapsed
    return parse_connect(done.stdout, busy) if workload.kind == "connect" else parse_csv(done.stdout, busy)


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


def parse_connect(text: str, busy: float) -> Result:
    """The result of one run of `bench.connect`."""
    said = json.loads(text)
    return Result(said["rps"], said["p50_ms"], said["p99_ms"], busy, tuple(said["errors"]))


def _redis_benchmark(workload: Workload, test: str, target: Target) -> list[str]:
    words = ["redis-benchmark", *where(target), "--csv", "-t", test.lower(), "-c", str(workload.clients)]
    words += ["-n", str(workload.requests), "-P", str(workload.pipeline), "-d", str(workload.size)]
    if target.password is not None:
        words += ["-a", target.password]
    return words


def where(target: Target) -> list[str]:
    """The address as options; our own generators take the same ones as redis-benchmark."""
    if isinstance(target.address, str):
        return ["-s", target.address]
    return ["-h", target.address[0], "-p", str(target.address[1])]


def _connect(workload: Workload, target: Target) -> list[str]:
    words = [sys.executable, "-m", "bench.connect", *where(target)]
    words += ["-c", str(workload.clients), "-n", str(workload.requests)]
    if target.password is not None:
        words += ["-a", target.password]
    if target.ca is not None:
        words += ["--cacert", str(target.ca)]
    return words
