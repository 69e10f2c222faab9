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
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from gateway.endpoint import Endpoint, Target
from gateway.exchange import Exchange
from gateway.governance import Governance
from gateway.session import Session
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


CASES = {
    "single": Case(pipeline=1, governed=False, limit=0, rounds=100),
    "single-governed": Case(pipeline=1, governed=True, limit=0, rounds=100),
    "pipeline-governed": Case(pipeline=16, governed=True, limit=0, rounds=20),
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


class Clock:
    """The part of an event loop that the hot path may ask for: timers, which never fire here."""

    def call_later(self, _delay: float, _callback: object, *_words: object) -> Clock:
        """A timer, which is its own handle."""
        return self

    def cancel(self) -> None:
        """Nothing to be forgotten."""


class Rig:
    """One exchange with its lanes open and its clients connected."""

    def __init__(self, case: Case) -> None:
        asyncio._set_running_loop(Clock())  # type: ignore[arg-type]  # meant for makers of event loops, as we are here
        protocol = RedisProtocol("cache")
        endpoint = Endpoint(Target("127.0.0.1", 1, "", None, ""), protocol, PoolSettings(), _never)
        self.exchange = Exchange(
            protocol,
            endpoint,
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
        for lane, wire in self.lanes:
            commands = sum(map(len, wire.written)) // len(GET)
            wire.written.clear()
            lane.data_received(REPLY * commands)
        received = 0
        for _session, wire in self.clients:
            received += sum(map(len, wire.written))
            wire.written.clear()
        return received


def _never(work: Coroutine[Any, Any, None]) -> None:
    work.close()


def _governors() -> list[Governor]:
    policies = (RateLimit(rate=1e9, burst=1_000_000_000), Concurrency(max=1_000_000), Timeout(total=5.0), CircuitBreaker())
    return [policy.governor("cache") for policy in policies]


def drive(case: Case, rounds: int) -> None:
    """Run some rounds; every command of every round must have been answered."""
    rig = Rig(case)
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
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONHASHSEED": "0"}
    )
    counted = REFERENCES.search(done.stderr)
    if done.returncode != 0 or counted is None:
        raise SystemExit(f"the hot path cannot be counted: {done.stderr[-1000:]}")
    return int(counted[1].replace(",", ""))


def per_command(name: str) -> float:
    """Instructions per command, start and warm-up taken out."""
    case = CASES[name]
    warm, hot = instructions(name, 2), instructions(name, 2 + case.rounds)
    return (hot - warm) / (case.rounds * SESSIONS * case.pipeline)


def main() -> None:
    """Count all cases, or run one."""
    parser = argparse.ArgumentParser(prog="hotpath.py")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("case", nargs="?", choices=list(CASES))
    words = parser.parse_args()
    if words.rounds is not None and words.case:
        drive(CASES[words.case], words.rounds)
        return
    for name in [words.case] if words.case else CASES:
        print(f"{name:20} {per_command(name):8.0f} instructions per command (limit {CASES[name].limit})")


if __name__ == "__main__":
    main()
