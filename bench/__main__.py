"""`poolgate bench`, or `python -m bench` in a checkout: run a benchmark."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from bench import profiling
from bench.peers import PEERS
from bench.process import BenchError, end_on_sigterm
from bench.run import Wish, run, write
from bench.workloads import WORKLOADS

RESULTS = Path("bench", "results")  # below the current folder


def main(words: list[str] | None = None) -> None:
    """Obey the command line."""
    parser = argparse.ArgumentParser(prog="poolgate bench", description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    _redis_options(parts.add_parser("redis", help="poolgate, Envoy and nutcracker before a Redis"))
    _profile_options(parts.add_parser("profile", help="where the time of one peer goes under one workload"))
    said = parser.parse_args(words)
    end_on_sigterm()
    try:
        _obey(said)
    except BenchError as problem:
        sys.exit(f"bench: {problem}")
    except KeyboardInterrupt:
        sys.exit("bench: stopped; everything that was started has been ended")


def _obey(said: argparse.Namespace) -> None:
    if said.part == "profile":
        print(profiling.run(PEERS[said.peer], WORKLOADS[said.workload], said.out))
        return
    rounds = said.rounds or (2 if said.quick else 5)
    told = run(Wish(said.only, said.peers, rounds, said.quick, said.out))
    for path in write(told, said.out):
        print(f"wrote {path.name}")
    for verdict in told.verdicts:
        print(verdict)


def _redis_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=0, help="interleaved rounds (5; 2 with --quick)")
    parser.add_argument("--quick", action="store_true", help="fewer requests and rounds: to see that it works")
    parser.add_argument("--only", type=_names(WORKLOADS), default=list(WORKLOADS), metavar="WORKLOAD,...")
    parser.add_argument("--peers", type=_names(PEERS), default=list(PEERS), metavar="PEER,...")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results are written")


def _profile_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workload", choices=sorted(WORKLOADS), default="c50")
    parser.add_argument("--peer", choices=sorted(PEERS), default="poolgate-governed")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the summary is written")


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
