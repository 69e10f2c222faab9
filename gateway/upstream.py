"""One upstream connection: a line of calls waiting for their replies, in order.

A lane and a lease are the same thing here; they differ only in who may use them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Any, Final, final

from mypy_extensions import i64

from gateway.layers import Layers
from gateway.line import Line
from gateway.roles import Borrower, Keeper
from protocols.call import Call, Receiver
from protocols.codec import DONE, PUSH, Login, UpstreamCodec
from protocols.errors import LoginError, PeerError, TagError
from protocols.fault import LOST, TIMEOUT, Fault
from protocols.layer import Layer
from protocols.settings import render_duration

# States, in the order in which a connection goes through them. Up to OPEN it takes new calls.
OPENING: Final = 0  # connecting or logging in; calls wait in line, unsent
OPEN: Final = 1
RETIRED: Final = 2  # takes no new calls, closes once the last reply came
CLOSED: Final = 3
STATES: Final = ("opening", "open", "retired", "closed")

# Ends that are no trouble; every other is logged.
CLOSED_BY_US: Final = "closed by the gateway"
GIVEN_UP: Final = "given up with the state that it was in"
ORDERLY: Final = (CLOSED_BY_US, GIVEN_UP)

RELAY_FROM: Final = 1 << 16  # bytes of an unfinished reply that are held before it goes on in pieces
_WRITE_HIGH: Final = 1 << 18  # bytes queued towards the upstream before its clients pause


@final
class Connection(Line):
    """An asyncio protocol towards one upstream endpoint."""

    def __init__(
        self,
        keeper: Keeper,
        codec: UpstreamCodec,
        login: Login,
        tag: object,
        service: str,
        endpoint: str,
        max_calls: int,
        stall_timeout: float,
        make_tls: Callable[[], Layer] | None = None,
    ) -> None:
        super().__init__(max_calls)
        self.keeper: Final = keeper
        self.codec: Final = codec
        self.login: Login | None = login
        self.tag: object = tag
        self.service: Final = service
        self.endpoint: Final = endpoint
        self.stall_timeout: Final = stall_timeout
        self.make_tls: Final = make_tls  # for a login that starts TLS in mid-connection
        self.state: i64 = OPENING
        self.born: float = monotonic()
        self.expires_at: float = inf
        self.used: float = self.born
        self.owner: Borrower | None = None  # of a lease
        self.interruption: Receiver | None = None  # under way: what it is executing is being ended
        self.tag_refused: bool = False  # why it ended: the upstream itself is well
        self.slot: Any = None  # of a lease, in its pool
        self.loop: Any = asyncio.get_running_loop()
        self.transport: Any = None
        self.write: Any = None
        self.layers: Layers | None = None  # below the protocol, if there are any
        self.attempt: Any = None  # the task that connects

        self.full: bool = False  # too many of them, or too many bytes queued: no new calls
        self.outgoing: list[bytes] = []  # requests of this turn of the loop, written together at its end
        self.write_paused: bool = False
        self.unsent: i64 = 0  # bytes of the calls that wait until it is open
        self.holds: i64 = 0  # slow clients for whose sake reading pauses
        self.tail: bytes = b""  # bytes behind the last whole reply
        self.scanned: i64 = 0  # how far the codec has understood them
        self.relaying: bool = False  # an unfinished reply goes on in pieces
        self.relaying_push: bool = False  # it is a push
        self.timer: Any = None
        self.timer_at: float = inf
        self.silent_since: float = 0.0  # when a call was given up and nothing has come since; 0: all is well

    # Calls

    def send(self, call: Call, now: float) -> None:
        """Put a call in line and its bytes on the wire (once the connection is open)."""
        self.append(call)
        self.used = now
        self.in_flight += call.waiting
        if self.in_flight >= self.max_calls:
            self.full = True
        if 0.0 < call.deadline < self.timer_at:
            self.arm(call.deadline, now)
        if self.state != OPENING:
            self._transmit(call)
            return
        self.unsent += len(call.request)
        if self.unsent >= _WRITE_HIGH:
            self.full = True

    def _transmit(self, call: Call) -> None:
        if self.slot is not None:
            self.write(call.request)  # a lease has one session: there is nothing to gather
        else:
            if not self.outgoing:
                self.loop.call_soon(self.flush)
            self.outgoing.append(call.request)
        call.sent = True
        if not call.observed:
            call.request = b""

    def flush(self) -> None:
        """Write what all sessions asked for in this turn of the loop: many clients, one system call."""
        outgoing = self.outgoing
        if outgoing and self.state != CLOSED:
            self.write(outgoing[0] if len(outgoing) == 1 else b"".join(outgoing))
        outgoing.clear()

    def send_piece(self, data: bytes) -> bool:
        """More of the request of the last call; False: there is none."""
        if data:
            self.flush()
            self.write(data)
        return bool(data)

    # Time

    def arm(self, when: float, now: float) -> None:
        """Look at the deadlines then."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer_at = when
        self.timer = self.loop.call_later(max(0.0, when - now), self._on_time)

    def _on_time(self) -> None:
        """Give up the calls whose deadline passed; their replies, should they come, are discarded."""
        self.timer = None
        self.timer_at = inf
        now = monotonic()
        soonest = inf
        call = self.head
        while call is not None:
            behind = call.behind
            if call.receiver is not None and call.deadline > 0.0:
                if call.deadline <= now:
                    if not call.partial:  # what has begun to arrive only has to go on
                        self._give_up(call, now)
                    if self.silent_since == 0.0:
                        self.silent_since = now
                elif call.deadline < soonest:
                    soonest = call.deadline
            call = behind
        if self.state == CLOSED:
            return
        if self.silent_since > 0.0:
            self.silent_since = now if self.holds > 0 else self.silent_since  # then it is we who do not listen
            stalled_at = self.silent_since + self.stall_timeout
            if stalled_at <= now:
                self.abort(f"silent for {render_duration(round(now - self.silent_since, 3))} after a timeout")
                return
            soonest = min(soonest, stalled_at)
        if soonest < self.timer_at:
            self.arm(soonest, now)

    def _give_up(self, call: Call, now: float) -> None:
        receiver = call.receiver
        call.receiver = None
        waited = render_duration(round(call.deadline - call.started, 3))
        policy = "timeout" if call.blocking < 0 else ""
        if receiver is not None:
            fault = Fault(TIMEOUT, self.service, f"no reply within {waited}", policy, self.endpoint)
            receiver.failed(call, fault, now)

    # asyncio's protocol

    def connection_made(self, transport: Any) -> None:
        """Log in."""
        self.transport = transport
        self.write = transport.write
        transport.set_write_buffer_limits(high=_WRITE_HIGH)
        if self.state == CLOSED:
            transport.abort()
        elif self.login is not None:
            self.write(self.login.start())

    def data_received(self, data: bytes) -> None:
        """Hand replies to those who wait for them."""
        if self.state == CLOSED:
            return
        now = monotonic()
        self.silent_since = 0.0
        try:
            if self.layers is not None:
                data = self.layers.received(data)
            if self.login is not None:
                if data:
                    self._log_in(data, now)
            elif data:
                self._replies(data, now)
            if self.layers is not None and self.layers.ended():
                self.abort("closed by the upstream")
        except PeerError as error:
            self.tag_refused = isinstance(error, TagError)
            self.abort(str(error) if self.login is not None else f"protocol error: {error}")

    def eof_received(self) -> bool:
        """The upstream closed: so do we."""
        return False

    def pause_writing(self) -> None:
        """The upstream takes no more for now: neither do we."""
        self.write_paused = True
        self.full = True

    def resume_writing(self) -> None:
        """The upstream caught up."""
        self.write_paused = False
        self._check_room(monotonic())

    def connection_lost(self, error: BaseException | None) -> None:
        """All calls in line fail."""
        self._end(str(error) if error else "closed by the upstream")

    def _log_in(self, data: bytes, now: float) -> None:
        login = self.login
        assert login is not None
        answer = login.feed(data)
        if answer is not None:
            if answer:
                self.write(answer)
            if login.starts_tls:
                login.starts_tls = False
                self._start_tls()
                self._log_in(b"", now)
            return
        self.login = None
        self.codec.opened(login)
        self.state = OPEN
        self.drop_deserted()
        call = self.head
        while call is not None:
            self._transmit(call)
            call = call.behind
        self.unsent = 0
        self.keeper.opened(self, now)
        if self.full:
            self._check_room(now)  # those who left while it opened may have made some

    def _start_tls(self) -> None:
        """From here on all is private. What goes out meanwhile waits for the end of the handshake."""
        if self.make_tls is None:
            raise LoginError("the login asks for TLS, which is not configured")
        self.push_layer(self.make_tls())

    def push_layer(self, layer: Layer) -> None:
        """The next byte of either side is the layer's; bytes already written stay as they were."""
        if self.layers is None:
            self.layers = Layers(self.transport, self.abort)
            self.write = self.layers.write
        self.layers.push(layer)

    # Replies

    def _replies(self, data: bytes, now: float) -> None:
        start: i64 = 0
        resume: i64 = 0
        if self.tail:
            data = self.tail + data
            self.tail = b""
            resume = self.scanned
        codec = self.codec
        n: i64 = len(data)
        while start < n:
            call = self.head
            before: i64 = call.waiting if call is not None else 0
            found = codec.scan(data, start, resume, call)
            end = codec.end
            if call is not None and end > start:
                self.in_flight -= before - call.waiting
                self.relaying = call.partial = False
                if found == DONE:
                    self.pop(call)
                receiver = call.receiver
                if receiver is not None:
                    receiver.replied(call, data if start == 0 and end == n else data[start:end], now)
                if self.state == CLOSED:
                    return
            start = resume = end
            if found == PUSH:
                self.relaying = False
                if self.owner is not None:
                    self.owner.pushed(data[end : codec.push_end], now)
                if self.state == CLOSED:
                    return
                start = resume = codec.push_end
            elif found != DONE:
                self._unfinished(data, start, n, now)
                break
        if self.full:
            self._check_room(now)
        if self.state == RETIRED and self.head is None:
            self.keeper.emptied(self, now)

    def _unfinished(self, data: bytes, start: i64, n: i64, now: float) -> None:
        """Hold the start of a reply, or, when it is long, relay what there is of it."""
        codec = self.codec
        reached = codec.reached
        call = self.head
        if reached > start and (self.relaying or n - start > RELAY_FROM):
            if not self.relaying:
                self.relaying = True
                self.relaying_push = codec.hand_over(data, start, call)
            if self.relaying_push or call is None:
                if self.owner is not None:
                    self.owner.pushed(data[start:reached], now)
            else:
                call.partial = True
                receiver = call.receiver
                if receiver is not None:
                    receiver.replied(call, data[start:reached], now)
            start = reached
        self.tail = data[start:]
        self.scanned = reached - start

    def _check_room(self, now: float) -> None:
        if self.full and not self.write_paused and self.in_flight < self.max_calls:
            self.full = False
            self.keeper.has_room(self, now)

    # Flow control and the end

    def hold(self) -> None:
        """A client is slow: read no more for now."""
        self.holds += 1
        if self.holds == 1 and self.state != CLOSED:
            self.transport.pause_reading()

    def unhold(self) -> None:
        """That client caught up, or left."""
        self.holds -= 1
        if self.holds == 0 and self.state != CLOSED:
            self.transport.resume_reading()

    def retire(self, now: float) -> None:
        """Take no new calls; end with the last reply."""
        if self.state <= OPEN:
            opened = self.state == OPEN
            self.state = RETIRED
            if not opened or self.head is None:
                self.keeper.emptied(self, now)

    def close(self) -> None:
        """End in order: nobody waits for anything."""
        if self.transport is not None and self.state != CLOSED:
            if self.layers is not None:
                self.layers.close()
            self.transport.close()
        self._end(CLOSED_BY_US)

    def abort(self, detail: str) -> None:
        """End at once; calls in line fail with the detail."""
        if self.transport is not None and self.state != CLOSED:
            self.transport.abort()
        self._end(detail)

    def _end(self, detail: str) -> None:
        if self.state == CLOSED:
            return
        self.state = CLOSED
        now = monotonic()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.timer_at = inf
        if self.attempt is not None:
            self.attempt.cancel()
        self.keeper.ended(self, detail, now)  # first, so that what is tried again sees that this one is gone
        fault = Fault(LOST, self.service, f"connection to the upstream lost: {detail}", "", self.endpoint)
        self.in_flight = 0
        call, self.head, self.last = self.head, None, None
        while call is not None:
            behind, call.behind = call.behind, None
            receiver, call.receiver = call.receiver, None
            if receiver is not None:
                receiver.failed(call, fault, now)
            call = behind
        owner, self.owner = self.owner, None
        if owner is not None:
            owner.lease_lost(fault, now)
