"""Load generator: every request is a new client that connects, AUTHs, GETs and closes.

`redis-benchmark -k 0` comes near, but it sends AUTH and GET in one piece, while a real client waits for the answer to
AUTH, and its latency leaves out the connect. Here a latency runs from connect() to the answer to GET. One process, one
epoll; run as `python -m bench.redis.connect`; the result is one line of JSON.
"""

from __future__ import annotations

import errno
import json
import select
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench import generator
from bench.limits import raise_open_files
from bench.peer import Address
from bench.redis.resp import KEY, SOURCES, command, complete

IN, OUT = select.EPOLLIN, select.EPOLLOUT
STUCK = 30.0
Visit = Iterator[int]  # yields what it waits for


class Refused(Exception):
    """The peer gave an error instead of an answer."""


@dataclass
class Tally:
    """What happened so far."""

    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def finished(self) -> int:
        """Visits that ended, well or badly."""
        return len(self.latencies) + self.errors.total()


@dataclass(frozen=True)
class Plan:
    """What each client does."""

    address: Address
    password: str | None
    tls: ssl.SSLContext | None

    def open(self, number: int) -> socket.socket:
        """A connection attempt under way; TCP clients come from several loopback addresses."""
        if isinstance(self.address, str):
            opened = socket.socket(socket.AF_UNIX)
        else:
            opened = socket.socket()
            opened.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: choose the port at connect
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.bind((SOURCES[number % len(SOURCES)], 0))
        opened.setblocking(False)
        failure = opened.connect_ex(self.address)
        if failure not in (0, errno.EINPROGRESS):
            opened.close()
            raise OSError(failure, "connect")
        return opened

    def visit(self, opened: socket.socket) -> Visit:
        """The life of one client; the socket is closed however it ends."""
        with opened:
            yield OUT
            if failure := opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(failure, "connect")
            if self.tls is None:
                yield from self._talk(opened)
                return
            with self.tls.wrap_socket(opened, server_hostname="localhost", do_handshake_on_connect=False) as secure:
                yield from _handshake(secure)
                yield from self._talk(secure)

    def _talk(self, stream: socket.socket) -> Visit:
        if self.password is not None:
            yield from _ask(stream, command("AUTH", self.password), b"+")
        yield from _ask(stream, command("GET", KEY), b"$")


def _handshake(stream: ssl.SSLSocket) -> Visit:
    while True:
        try:
            stream.do_handshake()
        except ssl.SSLWantReadError:
            yield IN
        except ssl.SSLWantWriteError:
            yield OUT
        else:
            return


def _ask(stream: socket.socket, request: bytes, wanted: bytes) -> Visit:
    stream.send(request)  # a hundred bytes always fit into a fresh connection
    reply = b""
    while not complete(reply):
        yield IN
        try:
            data = stream.recv(65536)
        except (ssl.SSLWantReadError, BlockingIOError):
            continue
        if not data:
            raise Refused("closed by the peer")
        reply += data
    if not reply.startswith(wanted):
        raise Refused(reply.decode(errors="replace").strip())


@dataclass(slots=True)
class Client:
    """One visit in flight."""

    visit: Visit
    began: float
    waits_for: int


class Crowd:
    """Keeps a number of visits in flight until enough of them have ended."""

    def __init__(self, plan: Plan, clients: int, total: int) -> None:
        """A crowd of at most `clients` at a time and `total` in all."""
        self.plan = plan
        self.clients = clients
        self.total = total
        self.tally = Tally()
        self._poll = select.epoll()
        self._inside: dict[int, Client] = {}
        self._started = 0

    def run(self) -> float:
        """Run all visits; returns the seconds that they took."""
        began = time.perf_counter()
        self._fill()
        while self.tally.finished < self.total:
            events = self._poll.poll(STUCK)
            if not events:
                raise SystemExit(f"nothing happened for {STUCK:.0f} s with {len(self._inside)} clients waiting")
            for fd, _events in events:
                self._step(fd)
            self._fill()
        return time.perf_counter() - began

    def _fill(self) -> None:
        while self._started < self.total and len(self._inside) < self.clients:
            self._started += 1
            began = time.perf_counter()
            try:
                opened = self.plan.open(self._started)
            except OSError as problem:
                self.tally.errors[str(problem)] += 1
                continue
            visit = self.plan.visit(opened)
            client = self._inside[opened.fileno()] = Client(visit, began, next(visit))
            self._poll.register(opened.fileno(), client.waits_for)

    def _step(self, fd: int) -> None:
        client = self._inside[fd]
        try:
            wanted = next(client.visit)
        except StopIteration:  # the visit closed its socket, so the poll has forgotten it
            self.tally.latencies.append(time.perf_counter() - client.began)
            del self._inside[fd]
        except (OSError, Refused) as problem:
            self.tally.errors[str(problem)] += 1
            del self._inside[fd]
        else:
            if wanted != client.waits_for:
                client.waits_for = wanted
                self._poll.modify(fd, wanted)


def main() -> None:
    """Run a crowd as the command line says and print the result."""
    words = generator.options("bench.redis.connect").parse_args()
    raise_open_files()
    target = generator.target(words)
    tls = ssl.create_default_context(cafile=target.ca) if target.ca else None
    crowd = Crowd(Plan(target.address, target.password, tls), words.clients, words.requests)
    seconds = crowd.run()
    print(json.dumps(generator.told(crowd.tally.latencies, seconds, crowd.tally.errors)))


if __name__ == "__main__":
    main()
