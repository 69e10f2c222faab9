"""Load generators: run in a process of their own, told what to do as options, and read when they end.

Our own ones take the options of redis-benchmark, and say one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.peer import Target
from bench.process import ROOT, BenchError, last_words

TIMEOUT = 120.0
KEPT = 5  # kinds of errors that are told


@dataclass(frozen=True)
class Result:
    """What a load generator measured, and how busy it was itself."""

    rps: float
    p50_ms: float
    p99_ms: float
    busy: float  # CPU seconds of the generator per second; near 1 it, not the peer, was the limit
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Load:
    """A generator that is ready for a peer: what runs a number of requests, and its command for the record."""

    run: Callable[[int], Result]
    command: tuple[str, ...]


def once(line: Callable[[int], Sequence[str]], parse: Callable[[str, float], Result], requests: int) -> Load:
    """A generator that is started anew for each run, with the number of requests on its command line."""

    def run(count: int) -> Result:
        return parse(*execute(line(count)))

    return Load(run, tuple(line(requests)))


def execute(line: Sequence[str]) -> tuple[str, float]:
    """Run a generator to its end; what it printed, and how busy it was, with all of its own children."""
    before, began = os.times(), time.monotonic()
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=TIMEOUT, check=False, cwd=ROOT)
    except subprocess.TimeoutExpired as hung:
        raise BenchError(f"the load generator did not finish in {TIMEOUT:.0f} s") from hung
    after, elapsed = os.times(), time.monotonic() - began
    if done.returncode != 0:
        raise BenchError(f"the load generator ended with {done.returncode}: {last_words(done.stdout + done.stderr)}")
    return done.stdout, (sum(after[2:4]) - sum(before[2:4])) / elapsed


def where(target: Target) -> list[str]:
    """The address as options."""
    if isinstance(target.address, str):
        return ["-s", target.address]
    return ["-h", target.address[0], "-p", str(target.address[1])]


def own(module: str, target: Target, *words: object) -> list[str]:
    """The command line of one of our own generators."""
    line = [sys.executable, "-m", module, *where(target), *map(str, words)]
    for option, value in (("-u", target.user), ("-a", target.password), ("--cacert", target.ca)):
        if value is not None:
            line += [option, str(value)]
    return line


def options(prog: str) -> argparse.ArgumentParser:
    """What `own` says, in the words of redis-benchmark."""
    parser = argparse.ArgumentParser(prog=f"python -m {prog}", add_help=False)
    parser.add_argument("-h", dest="host", default="127.0.0.1")
    parser.add_argument("-p", dest="port", type=int, default=0)
    parser.add_argument("-s", dest="unix")
    parser.add_argument("-u", dest="user")
    parser.add_argument("-a", dest="password")
    parser.add_argument("-c", dest="clients", type=int, default=1)
    parser.add_argument("-n", dest="requests", type=int, default=0)
    parser.add_argument("--cacert")
    return parser


def target(words: argparse.Namespace) -> Target:
    """The target that the options name."""
    return Target(words.unix or (words.host, words.port), words.password, words.cacert, words.user)


def told(latencies: Sequence[float], seconds: float, errors: Mapping[str, int]) -> dict[str, Any]:
    """What `parse` reads; latencies are in seconds."""
    ordered = sorted(latencies) or [0.0]
    return {
        "rps": len(latencies) / seconds,
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p99_ms": 1000 * ordered[len(ordered) * 99 // 100],
        "errors": [f"{count} x {text}" for text, count in Counter(errors).most_common(KEPT)],
    }


def parse(text: str, busy: float) -> Result:
    """The result that one of our own generators told; one that outlives its runs says how busy it was itself."""
    said = json.loads(text)
    return Result(said["rps"], said["p50_ms"], said["p99_ms"], said.get("busy", busy), tuple(said["errors"]))
