"""`poolgate bench`, or `python -m bench` in a checkout: run a benchmark."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from bench import profiling
from bench.poolgate import GOVERNED
from bench.process import BenchError, end_on_sigterm
from bench.run import Wish, run, write
from bench.suite import Suite
from bench.suites import SUITES

RESULTS = Path("bench", "results")  # below the current folder
T = TypeVar("T")


def main(words: list[str] | None = None) -> None:
    """Obey the command line."""
    parser = argparse.ArgumentParser(prog="poolgate bench", description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    for suite in SUITES.values():
        _suite_options(parts.add_parser(suite.name, help=suite.help), suite)
    _profile_options(parts.add_parser("profile", help="where the time of one peer goes under one workload"))
    said = parser.parse_args(words)
    end_on_sigterm()
    try:
        _profile(said) if said.part == "profile" else _bench(SUITES[said.part], said)
    except BenchError as problem:
        sys.exit(f"bench: {problem}")
    except KeyboardInterrupt:
        sys.exit("bench: stopped; everything that was started has been ended")


def _bench(suite: Suite[Any, Any], said: argparse.Namespace) -> None:
    rounds = said.rounds or (2 if said.quick else 5)
    told = run(suite, Wish(said.only, said.peers, rounds, said.quick))
    for path in write(told, said.out):
        print(f"wrote {path.name}")
    for verdict in told.verdicts:
        print(verdict)


def _profile(said: argparse.Namespace) -> None:
    suite = SUITES[said.protocol]
    peer, workload = _one(suite.peers, said.peer), _one(suite.workloads, said.workload or suite.profiled)
    print(profiling.run(suite, peer, workload, said.out))


def _suite_options(parser: argparse.ArgumentParser, suite: Suite[Any, Any]) -> None:
    workloads, peers = suite.workloads, suite.peers
    parser.add_argument("--rounds", type=int, default=0, help="interleaved rounds (5; 2 with --quick)")
    parser.add_argument("--quick", action="store_true", help="fewer requests and rounds: to see that it works")
    parser.add_argument("--only", type=_names(workloads), default=list(workloads), metavar="WORKLOAD,...")
    parser.add_argument("--peers", type=_names(peers), default=list(peers), metavar="PEER,...")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results are written")


def _profile_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--protocol", choices=sorted(SUITES), default="redis")
    parser.add_argument("--workload", help="one of the protocol's; " + _defaults())
    parser.add_argument("--peer", default=GOVERNED)
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the summary is written")


def _defaults() -> str:
    return ", ".join(f"{suite.name}: {suite.profiled}" for suite in SUITES.values())


def _one(known: Mapping[str, T], name: str) -> T:
    if name not in known:
        raise BenchError(f"{name} is unknown; known: {', '.join(known)}")
    return known[name]


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    known = list(known)

    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        return names

    return parse


if __name__ == "__main__":
    main()
