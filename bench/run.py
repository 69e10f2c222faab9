"""A whole run: workloads, rounds, peers; then the results are written."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench import machine, report
from bench.limits import raise_open_files
from bench.peers import Peer, available
from bench.stage import redis_server
from bench.summary import summarise
from bench.targets import verdicts
from bench.turn import Measurement, take
from bench.workloads import WORKLOADS, Workload, scaled

QUICK = 0.15
T = TypeVar("T")


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line."""

    workloads: list[str]
    peers: list[str]
    rounds: int
    quick: bool
    out: Path


def order(peers: list[T], number: int) -> list[T]:
    """Everyone starts a round once before anyone does twice."""
    first = number % len(peers)
    return peers[first:] + peers[:first]


def run(wish: Wish) -> report.Run:
    """Measure everything that was asked for."""
    raise_open_files()
    load_before = machine.load_average()
    present, absent = available(wish.peers)
    for name, reason in absent.items():
        print(f"{name} does not take part: {reason}", file=sys.stderr)
    workloads = [scaled(WORKLOADS[name], QUICK if wish.quick else 1.0) for name in wish.workloads]
    measurements = [one for workload in workloads for one in _workload(workload, present, wish.rounds)]
    cells = summarise(measurements)
    facts = machine.facts()
    return report.Run(
        facts, workloads, absent, measurements, cells, verdicts(cells), wish.rounds, wish.quick, load_before
    )


def write(told: report.Run, out: Path, name: str = "redis") -> list[Path]:
    """Markdown, JSON and, where matplotlib is installed, the picture."""
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"{name}.md", out / f"{name}.json", out / f"{name}.png"]
    paths[0].write_text(report.as_markdown(told))
    paths[1].write_text(json.dumps(report.as_json(told), indent=1) + "\n")
    try:
        from bench import plot
    except ModuleNotFoundError as missing:
        print(f"no picture: {missing.name} is not installed", file=sys.stderr)
        return paths[:2]
    plot.draw(told.cells, paths[2])
    return paths


def _workload(workload: Workload, peers: list[Peer], rounds: int) -> list[Measurement]:
    taken: list[Measurement] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, redis_server(workload, Path(directory)) as stage:
        taking_part = [peer for peer in peers if peer.joins(workload)]
        for number in range(rounds):
            for peer in order(taking_part, number):
                for one in take(peer, stage, number):
                    print(_line(one), file=sys.stderr, flush=True)
                    taken.append(one)
    return taken


def _line(one: Measurement) -> str:
    figures = one.reading.figures
    shown = (
        "rps",
        "p50_ms",
        "p99_ms",
        "cpu_us",
        "redis_cpu_us",
        "rss_mb",
        "kb_per_client",
        "kb_per_used_client",
        "kb_per_burst_client",
    )
    told = " ".join(f"{name}={figures[name]:.4g}" for name in shown if name in figures)
    fault = f"  DISQUALIFIED: {one.reading.fault}" if one.reading.fault else ""
    return f"{one.workload:11} {one.test:4} round {one.round + 1} {one.peer:18} {told}{fault}"
