"""A whole run: workloads, rounds, peers; then the results are written."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bench import machine, report
from bench.limits import raise_open_files
from bench.peer import Peer, available
from bench.reading import Measurement
from bench.suite import S, Suite, W
from bench.summary import summarise
from bench.targets import verdicts
from bench.turn import take

QUICK = 0.15
T = TypeVar("T")


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line."""

    workloads: list[str]
    peers: list[str]
    rounds: int
    quick: bool


def order(peers: list[T], number: int) -> list[T]:
    """Everyone starts a round once before anyone does twice."""
    first = number % len(peers)
    return peers[first:] + peers[:first]


def run(suite: Suite[W, S], wish: Wish) -> report.Run:
    """Measure everything that was asked for."""
    raise_open_files()
    load_before = machine.load_average()
    present, absent = available(suite.peers, wish.peers)
    workloads = [suite.workloads[name].scaled(QUICK if wish.quick else 1.0) for name in wish.workloads]
    absent |= {one.name: reason for one in workloads if (reason := suite.lacking(one))}
    for name, reason in absent.items():
        print(f"{name} does not take part: {reason}", file=sys.stderr)
    workloads = [one for one in workloads if one.name not in absent]
    measurements = [one for workload in workloads for one in _workload(suite, workload, present, wish.rounds)]
    cells = summarise(measurements)
    facts = machine.facts(suite.versions())
    judged = verdicts(cells, suite.targets)
    return report.Run(
        suite, facts, list(workloads), absent, measurements, cells, judged, wish.rounds, wish.quick, load_before
    )


def write(told: report.Run, out: Path) -> list[Path]:
    """Markdown, JSON and, where matplotlib is installed, the picture."""
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"{told.suite.name}.{ending}" for ending in ("md", "json", "png")]
    paths[0].write_text(report.as_markdown(told))
    paths[1].write_text(json.dumps(report.as_json(told), indent=1) + "\n")
    try:
        from bench import plot
    except ModuleNotFoundError as missing:
        print(f"no picture: {missing.name} is not installed", file=sys.stderr)
        return paths[:2]
    plot.draw(told.suite, told.cells, paths[2])
    return paths


def _workload(suite: Suite[W, S], workload: W, peers: list[Peer[S]], rounds: int) -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, suite.stage(workload, Path(directory)) as stage:
        taking_part = [peer for peer in peers if peer.joins(stage)]
        for number in range(rounds):
            for peer in order(taking_part, number):
                for one in take(suite, workload, peer, stage, number):
                    print(_line(suite, one), file=sys.stderr, flush=True)
                    yield one


def _line(suite: Suite[Any, Any], one: Measurement) -> str:
    figures = one.reading.figures
    shown = ["rps", "p50_ms", "p99_ms", "cpu_us", suite.server_cpu, "rss_mb"]
    shown += [column.figure for columns in suite.columns.values() for column in columns if column.spread]
    told = " ".join(f"{name}={figures[name]:.4g}" for name in dict.fromkeys(shown) if name in figures)
    fault = f"  DISQUALIFIED: {one.reading.fault}" if one.reading.fault else ""
    return f"{one.workload:11} {one.test:10} round {one.round + 1} {one.peer:18} {told}{fault}"
