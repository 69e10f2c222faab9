"""Load generator: many connected clients of which a few have a question under way at any time.

Run as `python -m bench.mysql.clients`, the far end of a `bench.crowd`: `open` connects everyone, `run N ACTIVE` puts N
questions, ACTIVE of them at a time, and says what `bench.generator.parse` reads. Everyone has their turn: the client
that has waited longest asks next. One process, one epoll.
"""

from __future__ import annotations

import json
import random
import select
import socket
import time
from collections import deque

from bench import generator
from bench.crowd import obey
from bench.limits import raise_open_files
from bench.mysql.wire import ask, check, dial, query
from bench.mysql.workloads import ROWS
from bench.peer import Target

SELECT = "SELECT c FROM sbtest1 WHERE id={}"
STUCK = 30.0


class Clients:
    """The connected ones, those that have waited longest first."""

    def __init__(self, target: Target, count: int) -> None:
        """Where they will connect, and how many."""
        self._target = target
        self._count = count
        self._idle: deque[socket.socket] = deque()
        self._questions = [query(SELECT.format(key)) for key in random.Random(1).sample(range(1, ROWS + 1), ROWS // 2)]
        self._length = 0  # of an answer: the column's values are all of one length

    def open(self) -> None:
        """Connect everyone."""
        for _ in range(self._count):
            self._idle.append(dial(self._target))
        self._length = len(ask(self._idle[0], SELECT.format(1)))

    def run(self, total: str, active: str) -> str:
        """Ask so many questions, so many at a time."""
        began, busy, latencies = time.perf_counter(), time.process_time(), []
        poll = select.epoll()
        asked: dict[int, tuple[socket.socket, float]] = {}
        received: dict[int, bytes] = {}
        left, length, questions = int(total), self._length, self._questions
        for client in self._idle:
            poll.register(client.fileno(), select.EPOLLIN)
        while left or asked:
            while left and len(asked) < int(active):
                client = self._idle.popleft()
                asked[client.fileno()] = (client, time.perf_counter())
                client.send(questions[left % len(questions)])  # a question always fits into an idle connection
                left -= 1
            events = poll.poll(STUCK)
            if not events:
                raise OSError(f"nothing happened for {STUCK:.0f} s with {len(asked)} clients waiting")
            for number, _events in events:
                if number not in asked:
                    raise OSError("a client that had not asked was sent something, or was disconnected")
                client, since = asked[number]
                piece = client.recv(1 << 16)
                data = received.pop(number, b"") + piece
                if len(data) != length:
                    self._check(data, piece)
                    received[number] = data
                    continue
                latencies.append(time.perf_counter() - since)
                del asked[number]
                self._idle.append(client)
        poll.close()
        seconds = time.perf_counter() - began
        busy = (time.process_time() - busy) / seconds
        return json.dumps({**generator.told(latencies, seconds, {}), "busy": busy})

    def _check(self, data: bytes, piece: bytes) -> None:
        """A part of an answer is fine; anything else is not."""
        check(data)
        if not piece:
            raise OSError("closed by the peer")
        if len(data) > self._length:
            raise OSError(f"an answer of {len(data)} bytes instead of {self._length}")

    def close(self) -> None:
        """Disconnect everyone."""
        for client in self._idle:
            client.close()


def main() -> None:
    """Obey the words on the standard input."""
    words = generator.options("bench.mysql.clients").parse_args()
    raise_open_files()
    clients = Clients(generator.target(words), words.clients)
    obey({"open": clients.open, "run": clients.run})
    clients.close()


if __name__ == "__main__":
    main()
