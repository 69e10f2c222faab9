"""The whole hot path without sockets, and what it costs in instructions: a figure that noise cannot move.

Many sessions send commands, the exchange governs them and puts them on its lanes, replies come back and are
delivered; only the transports and the timers are stand-ins. Run under valgrind, the instructions of n rounds and of
none differ by those of n rounds.

It is a program of its own that imports nothing but poolgate, so that it measures whichever form is installed:
`python -P bench/hotpath.py` prints the instructions per command of each case; `--rounds N CASE` is what it runs under
valgrind.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import gateway.exchange
from gateway.balance import Balance
from gateway.endpoint import Endpoint
from gateway.governance import Governance
from gateway.service import Service
from gateway.session import Session
from gateway.target import Target
from gateway.upstream import Connection
from policies.circuit_breaker import CircuitBreaker
from policies.concurrency import Concurrency
from policies.gate import Governor
from policies.rate_limit import RateLimit
from policies.timeout import Timeout
from pools.settings import PoolSettings
from protocols.redis.protocol import RedisProtocol

GET = b"*2\r\n$3\r\nGET\r\n$16\r\nkey:__rand_int__\r\n"
REPLY = b"$3\r\nxxx\r\n"
SESSIONS = 50
REFERENCES = re.compile(r"I\s+refs:\s+([\d,]+)")


@dataclass(frozen=True)
class Case:
    """How commands arrive, what governs them, and the most instructions that one of them may cost, compiled."""

    pipeline: int
    governed: bool
    limit: int
    rounds: int


# A limit is 15 % above what was measured when it was set (gcc 12, Python 3.11), so that another compiler or Python
# passes and a regression does not. After an improvement, lower it.
CASES = {
    "single": Case(pipeline=1, governed=False, limit=9_000, rounds=100),
    "single-governed": Case(pipeline=1, governed=True, limit=9_700, rounds=100),
    "pipeline-governed": Case(pipeline=16, governed=True, limit=2_700, rounds=20),
}


class Wire:
    """A transport: what is written is kept until it is taken."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.write = self.written.append

    def get_extra_info(self, _name: str) -> tuple[str, int]:
        """A peer like any other."""
        return ("127.0.0.1", 1)

    def set_write_buffer_limits(self, high: int) -> None:
        """It has room for everything."""

    def close(self) -> None:
        """It has nothing to close."""

    abort = close


class Loop:
    """The part of an event loop that the hot path may ask for. Its timers never fire."""

    def __init__(self) -> None:
        self._soon: list[tuple[Callable[..., object], tuple[object, ...]]] = []

    def call_soon(self, callback: Callable[..., object], *words: object) -> Loop:
        """Run it at the end of this turn."""
        self._soon.append((callback, words))
        return self

    def turn(self) -> None:
        """End the turn."""
        soon, self._soon = self._soon, []
        for callback, words in soon:
            callback(*words)

    def call_later(self, _delay: float, _callback: object, *_words: object) -> Loop:
        """A timer, which is its own handle."""
        return self

    def cancel(self) -> None:
        """Nothing to be forgotten."""


class Rig:
    """One exchange with its lanes open and its clients connected."""

    def __init__(self, case: Case) -> None:
        self.loop = Loop()
        asyncio._set_running_loop(self.loop)  # type: ignore[arg-type]  # meant for makers of event loops, as we are here
        protocol = RedisProtocol("cache")
        endpoint = Endpoint(Target("127.0.0.1", 1, "", None, ""), protocol, PoolSettings(), _never)
        self.exchange = Service(
            protocol,
            Balance([endpoint]),
            Governance(protocol, [], _governors() if case.governed else []),
            max_clients=SESSIONS,
            output_buffer=1 << 20,
            slow_client_timeout=5.0,
            request_buffer=1 << 18,
        )
        endpoint.warm()
        self.lanes = [self._open(lane) for group in endpoint.lanes.values() for lane in group if lane is not None]
        self.clients = [self._client(number) for number in range(SESSIONS)]
        self.request = GET * case.pipeline
        self.upstream_writes = 0

    def _open(self, lane: Connection) -> tuple[Connection, Wire]:
        wire = Wire()
        lane.connection_made(wire)
        while wire.written and lane.login is not None:
            wire.written.clear()
            lane.data_received(b"+OK\r\n")
        wire.written.clear()
        return lane, wire

    def _client(self, number: int) -> tuple[Session, Wire]:
        session, wire = Session(self.exchange, number), Wire()
        session.connection_made(wire)
        return session, wire

    def round(self) -> int:
        """Every client asks, and is answered; the bytes that the clients got."""
        request = self.request
        for session, _wire in self.clients:
            session.data_received(request)
        self.loop.turn()
        for lane, wire in self.lanes:
            commands = sum(map(len, wire.written)) // len(GET)
            self.upstream_writes += len(wire.written)
            wire.written.clear()
            lane.data_received(REPLY * commands)
        self.loop.turn()
        received = 0
        for _session, wire in self.clients:
            received += sum(map(len, wire.written))
            wire.written.clear()
        return received


def _never(work: Coroutine[Any, Any, None]) -> None:
    work.close()


def _governors() -> list[Governor]:
    policies = (
        RateLimit(rate=1e9, burst=1_000_000_000),
        Concurrency(max=1_000_000),
        Timeout(total=5.0),
        CircuitBreaker(),
    )
    return [policy.governor("cache") for policy in policies]


def drive(rig: Rig, case: Case, rounds: int) -> None:
    """Run some rounds; every command of every round must have been answered."""
    for _ in range(rounds):
        received = rig.round()
        assert received == SESSIONS * case.pipeline * len(REPLY), f"clients got {received} bytes"


def instructions(name: str, rounds: int) -> int:
    """What the process executes in all for so many rounds."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise SystemExit("valgrind is not installed")
    line = [valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    line += [sys.executable, "-P", __file__, "--rounds", str(rounds), name]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONHASHSEED": "0"})
    counted = REFERENCES.search(done.stderr)
    if done.returncode != 0 or counted is None:
        raise SystemExit(f"the hot path cannot be counted: {done.stderr[-1000:]}")
    return int(counted[1].replace(",", ""))


def per_command(name: str) -> float:
    """Instructions per command, start and warm-up taken out."""
    case = CASES[name]
    warm, hot = instructions(name, 2), instructions(name, 2 + case.rounds)
    return (hot - warm) / (case.rounds * SESSIONS * case.pipeline)


def facts(name: str, rounds: int) -> dict[str, object]:
    """What can be told without valgrind: the form, what stays in memory, and how often lanes are written to."""
    case = CASES[name]
    rig = Rig(case)
    drive(rig, case, 10)
    blocks, rig.upstream_writes = sys.getallocatedblocks(), 0
    drive(rig, case, rounds)
    return {
        "form": "interpreted" if str(gateway.exchange.__file__).endswith(".py") else "compiled",
        "blocks_left": sys.getallocatedblocks() - blocks,
        "upstream_writes_per_lane_and_turn": rig.upstream_writes / rounds / len(rig.lanes),
    }


def main() -> None:
    """Count all cases, or do one thing with one of them."""
    parser = argparse.ArgumentParser(prog="hotpath.py")
    parser.add_argument("--rounds", type=int, default=0, help="only run so many rounds")
    parser.add_argument("--facts", action="store_true", help="print, as JSON, what can be told without valgrind")
    parser.add_argument("case", nargs="?", choices=list(CASES))
    words = parser.parse_args()
    if words.case and words.facts:
        print(json.dumps(facts(words.case, words.rounds)))
    elif words.case and words.rounds:
        drive(Rig(CASES[words.case]), CASES[words.case], words.rounds)
    else:
        for name in [words.case] if words.case else CASES:
            print(f"{name:20} {per_command(name):8.0f} instructions per command (limit {CASES[name].limit})")


if __name__ == "__main__":
    main()
