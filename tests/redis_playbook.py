"""One Redis client as a playbook: bytes are given, calls are expected, line by line. No gateway, no loop.

    client = Conversation()
    assert client.says("WATCH a", "GET a") == ["WATCH (observed, pin WATCH)", "GET (pin WATCH)"]
    assert client.hears(b"+OK\\r\\n$1\\r\\n1\\r\\n") == b"+OK\\r\\n$1\\r\\n1\\r\\n"

It plays the exchange's part just as far as the codec can tell: order, barriers, refusals, and an upstream connection
whose replies are given by hand (``hears``) or fetched from a real server (``through``).
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable

from protocols.call import Call
from protocols.errors import ProtocolError
from protocols.fault import LIMITED, LOST, Fault
from protocols.redis.commands import VERBS
from protocols.redis.protocol import RedisProtocol
from protocols.redis.scan import encode
from protocols.redis.server import RedisServer as Codec
from protocols.redis.upstream import RedisUpstream

PLAN = object()
RELAY_FROM = 1 << 16  # as gateway/upstream.py: more of an unfinished reply than this goes on in pieces
LIMIT = Fault(LIMITED, "cache", "rate limit 5/s exceeded", "rate_limit")
LIMITED_REPLY = b"-ERR poolgate: cache: rate limit 5/s exceeded (policy rate_limit)\r\n"
GONE = Fault(LOST, "cache", "connection to the upstream lost")


def pack(*lines: str) -> bytes:
    """Commands as clients send them; a line is split at blanks."""
    return b"".join(encode([word.encode() for word in line.split(" ")]) for line in lines)


def split_at_every_offset(data: bytes) -> Iterable[tuple[bytes, bytes]]:
    return ((data[:at], data[at:]) for at in range(1, len(data)))


def described(call: Call, pin: str | None) -> str:
    """A call in words: its verbs and count, and in brackets what it asks of the exchange."""
    name = call.verb.name
    if call.verbs is not None:
        name = "+".join(verb.name for verb in call.verbs)
    elif call.count > 1:
        name += f" x{call.count}"
    asks = [word for word in ("local", "observed", "barrier", "mute", "closes", "unfinished") if getattr(call, word)]
    if call.waiting != call.count and not call.done:
        asks.append(f"waits for {call.waiting}")
    if call.blocking >= 0:
        asks.append(f"blocks {call.blocking:g}")
    if pin is not None:
        asks.append(f"pin {pin}")
    return name + (f" ({', '.join(asks)})" if asks else "")


class Conversation:
    """A client's codec and the upstream connection behind it.

    Args:
        users: names and passwords that the listener asks for.
        denied: verbs that a gate refuses.
        apart: verbs with a plan of their own: they share no run with others.
        greeted: an upstream connection was made before.
    """

    def __init__(
        self,
        *,
        users: dict[str, str] | None = None,
        denied: Iterable[str] = (),
        apart: Iterable[str] = (),
        greeted: bool = True,
        request_buffer: int = 1 << 18,
        max_value: int = 1 << 29,
        protocol: RedisProtocol | None = None,
    ) -> None:
        self.protocol = protocol or RedisProtocol(
            "cache", users=users, request_buffer=request_buffer, max_value=max_value
        )
        self.protocol.shared.greeted = greeted
        self.now = 100.0
        codec = self.protocol.server(
            7 + len(self.protocol.shared.sessions), "10.0.0.9:5000", "127.0.0.1:6379", False, 100.0
        )
        assert isinstance(codec, Codec)
        self.codec = codec
        self.codec.plans = [object() if verb.name in set(apart) else PLAN for verb in VERBS]
        self.denied = set(denied)
        self.lines: list[str] = []  # the calls so far, in words
        self.calls: list[Call] = []  # the calls that went upstream
        self.line: list[Call] = []  # those whose replies the client waits for
        self.in_flight: list[Call] = []  # those whose replies the upstream owes
        self.barrier: Call | None = None
        self.parked: Call | None = None  # until the replies of another connection are in
        self.leased = False  # the last call went to a connection of its own
        self.tag: object = self.codec.tag  # of the connection that the last call went to
        self.returns: Callable[[], None] = lambda: None  # what to do when it needs that no more
        self.forwarded = b""  # what the upstream was sent
        self.client_got = b""
        self.closed = False

        self.upstream = RedisUpstream()
        self.tail = b""
        self.scanned = 0
        self.relaying = self.relaying_push = False

    # The client speaks

    def says(self, *lines: str) -> list[str]:
        """Commands in one write; returns the calls that they became."""
        return self.sends(pack(*lines))

    def sends(self, data: bytes) -> list[str]:
        """Just these bytes."""
        before = len(self.lines)
        self.codec.feed(data)
        self.pump()
        return self.lines[before:]

    def pump(self) -> None:
        """Take up what has arrived, as far as barriers let it."""
        codec = self.codec
        try:
            if self.parked is not None and not self.in_flight:
                parked, self.parked = self.parked, None
                self._submit(parked, len(self.lines) - 1)
            while not self.closed and self.parked is None and (self.barrier is None or codec.unfinished()):
                if codec.unfinished():
                    piece = codec.piece()
                    self.forwarded += piece
                    if not piece:
                        break
                    continue
                call = codec.next(self.now)
                if call is None:
                    break
                self.lines.append("")
                self._submit(call, len(self.lines) - 1)
        except ProtocolError as error:
            self.lines.append(codec.broken(error).decode().strip())
            farewell = Call(VERBS[0], 1, b"", self.now)
            farewell.closes = True
            self._complete(farewell, codec.broken(error))

    def _submit(self, call: Call, at: int) -> None:
        self._give_back()
        words = self.lines[at] = described(call, self.codec.pin)
        if call.done:
            self.lines[at] = f"{words}: {call.answer.decode(errors='replace').strip()}"
            self._complete(call, b"" if call.mute else call.answer)
        elif call.verb.name in self.denied:
            if call.count > 1:
                for one in self.codec.split(call):
                    self._submit(one, at)
                return
            answer = self.codec.refuse(call, LIMIT)
            if self.codec.unfinished():
                self.codec.discard()
            if call.barrier:
                self.codec.finished(call, self.now)
            self.lines[at] = f"{words}: {answer.decode().strip()}"
            self._complete(call, b"" if call.mute else answer)
        elif call.local:
            answer = self.codec.answer(call, self.now)
            self.lines[at] = f"{words}: {answer.decode(errors='replace').strip()}"
            if call.barrier:
                self.codec.finished(call, self.now)
            self._complete(call, b"" if call.mute else answer)
        elif self.in_flight and (self.leased != (self.codec.pin is not None) or self.tag != self.codec.tag):
            self.parked = call
        else:
            if call.barrier:
                self.barrier = call
            self.leased, self.tag = self.codec.pin is not None, self.codec.tag
            self.upstream.adopt(self.codec if self.codec.pin is not None else None)
            self.forwarded += call.request
            call.sent = True
            for place in (self.calls, self.line, self.in_flight):
                place.append(call)

    def _complete(self, call: Call, answer: bytes) -> None:
        """The reply goes out when those before it have."""
        call.done = True
        call.answer = answer
        if call not in self.line:
            self.line.append(call)
        self.closed = self.closed or call.closes
        while self.line and self.line[0].done:
            self.client_got += self.line.pop(0).answer

    # The upstream speaks

    def hears(self, data: bytes) -> bytes:
        """Bytes from the upstream; returns those that the client gets. What waited for them goes on."""
        before = len(self.client_got)
        start = resume = 0
        if self.tail:
            data, resume, self.tail = self.tail + data, self.scanned, b""
        while start < len(data):
            call = self.in_flight[0] if self.in_flight else None
            found = self.upstream.scan(data, start, resume, call)
            end = self.upstream.end
            if call is not None and end > start:
                self.relaying = False
                if call.waiting == 0:
                    self.in_flight.pop(0)
                self._replied(call, data[start:end])
            start = resume = end
            if found == 2:  # a push
                self.relaying = False
                start = resume = self.upstream.push_end
                self._pushed(data[end:start])
            elif found == 1:  # unfinished
                self._unfinished(data, start)
                break
        self._give_back()
        self.pump()
        return self.client_got[before:]

    def _give_back(self) -> None:
        if self.leased and not self.in_flight and self.codec.pin is None:
            self.leased, self.tag = False, self.codec.tag
            self.returns()

    def _unfinished(self, data: bytes, start: int) -> None:
        reached = self.upstream.reached
        call = self.in_flight[0] if self.in_flight else None
        if reached > start and (self.relaying or len(data) - start > RELAY_FROM):
            if not self.relaying:
                self.relaying = True
                self.relaying_push = self.upstream.hand_over(data, start, call)
            if self.relaying_push or call is None:
                self._pushed(data[start:reached])
            else:
                call.partial = True
                self._replied(call, data[start:reached])
            start = reached
        self.tail, self.scanned = data[start:], reached - start

    def _pushed(self, data: bytes) -> None:
        self.client_got += data
        self.codec.observe_push(data, self.now)

    def _replied(self, call: Call, data: bytes) -> None:
        if call.observed:
            data = self.codec.observe(call, data, self.now)
        if call.mute:
            data = b""
        if call.waiting > 0:
            self.client_got += data
            return
        self._complete(call, data)
        if call is self.barrier:
            self.barrier = None
            self.codec.finished(call, self.now)

    def loses_its_connection(self) -> bool:
        """The upstream closes: calls in flight fail. False: the session cannot go on."""
        calls, self.in_flight, self.tail = self.in_flight, [], b""
        for call in calls:
            answer = self.codec.refuse(call, GONE)
            self._complete(call, b"" if call.mute else answer)
            if call is self.barrier:
                self.barrier = None
                self.codec.finished(call, self.now)
        goes_on = self.codec.lease_lost()
        self.pump()
        return goes_on


def exhaust(port: int, data: bytes, *, ends: bool = True) -> bytes:
    """All that a real server says to these bytes until it closes: since nothing follows them, or because of them."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        with contextlib.suppress(OSError):  # it closed with bytes of ours unread
            line.sendall(data)
            if ends:
                line.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while part := line.recv(1 << 16):
                said += part
    return said


class Backend:
    """A real server behind a client's codec, over one connection at a time."""

    def __init__(self, port: int, client: Conversation, login: bytes = b"") -> None:
        self.port = port
        self.client = client
        self.login = login
        self.lent = False
        self.lines = contextlib.ExitStack()
        self.connect()
        client.returns = self.returned

    def connect(self) -> None:
        self.line = self.lines.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=10))
        self.tag = self.client.protocol.base_tag
        self.ask([self.login] if self.login else [])

    def ask(self, commands: list[bytes]) -> None:
        for command in commands:
            self.line.sendall(command)
            assert self.line.recv(1 << 16)

    def returned(self) -> None:
        """The client needs no connection of its own any more."""
        self.tag, self.lent = self.client.codec.tag, False
        clean = self.client.codec.cleanup()
        if clean is None:
            self.connect()
        else:
            self.ask(clean)

    def serve(self) -> None:
        """Until it has nothing more to do."""
        client = self.client
        while client.in_flight:
            if not (self.lent and client.leased):
                self.ask(client.protocol.prelude(self.tag, client.tag))
                self.tag = client.tag
            self.lent = client.leased
            request, client.forwarded = client.forwarded, b""
            self.line.sendall(request)
            while client.in_flight and not client.forwarded:
                part = self.line.recv(1 << 16)
                assert part, "the server closed"
                client.hears(part)


def through(port: int, data: bytes, client: Conversation, login: bytes = b"") -> bytes:
    """What a client of the codec gets when a real server serves its calls."""
    backend = Backend(port, client, login)
    with backend.lines:
        client.sends(data)
        backend.serve()
    return client.client_got
