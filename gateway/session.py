"""One client connection: its transport, the order of its replies, and its flow control.

What happens to its calls is the exchange's business; see gateway/exchange.py.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any, Final, final

from mypy_extensions import i64

from gateway import logs
from gateway.driver import Driver
from gateway.layers import Layers
from gateway.roles import Borrower
from gateway.tls import TlsLayer
from gateway.upstream import Connection
from pools.slot import Waiter
from protocols.call import Call
from protocols.codec import ServerCodec
from protocols.errors import ProtocolError
from protocols.fault import Fault
from protocols.layer import Layer

_CALL_BYTES: Final = 256  # what a call takes, roughly


@final
class Session(Borrower):
    """An asyncio protocol towards one client."""

    def __init__(self, driver: Driver, number: int, tls: Any = None) -> None:
        self.driver: Final = driver
        self.number: Final = number
        self.tls: Final = tls  # the listener's context, where the protocol starts TLS itself
        self.codec: ServerCodec = _NO_CODEC
        self.plans: list[Any] = []
        self.user: str = ""
        self.address: str = ""  # for policies: without port
        self.peer: str = ""  # for people
        self.transport: Any = None
        self.write: Any = None
        self.layers: Layers | None = None  # below the protocol, if there are any
        self.born: float = 0.0
        self.used: float = 0.0  # when bytes came last

        self.head: Call | None = None  # the call whose reply the client gets next
        self.tail: Call | None = None
        self.carrier: Connection | None = None  # that the last call went to
        self.lane: Connection | None = None
        self.lane_tag: object = None
        self.lease: Connection | None = None
        self.waiter: Waiter | None = None  # for a lease
        self.lender: Any = None  # the endpoint that was asked for it
        self.parked: Call | None = None  # waits until the calls before it are replied, or until its lane has room
        self.patience: Any = None  # the timer that ends that
        self.parked_for: Connection | None = None  # the lane that has to have room
        self.rest: list[Call] = []  # of a run that was refused as a whole, its commands one by one, the first one last
        self.barrier: Call | None = None  # nothing goes on before its reply

        self.kept: i64 = 0  # bytes of answers that wait for their turn, roughly
        self.pumping: bool = False  # its calls are being taken up right now
        self.ending: bool = False  # the client sends no more
        self.closing: bool = False  # no more calls; closes behind the last reply
        self.closed: bool = False
        self.reading_paused: bool = False
        self.congested: bool = False  # the client is slow to take replies
        self.held: Connection | None = None  # paused for this slow client
        self.timer: Any = None  # of the slow client
        self.backlog: i64 = 0  # bytes queued for it when last looked at
        self.held_at: float = 0.0  # since when
        self.slow_call: Call | None = None  # with whose reply it has held up its connection ...
        self.slow_for: float = 0.0  # ... for so long in all, before

    # asyncio's protocol

    def connection_made(self, transport: Any) -> None:
        """A new client."""
        self.transport = transport
        self.write = transport.write
        self.born = self.used = monotonic()
        if not self.driver.arrived(self):
            self.closed = True
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        layers = self.layers
        if self.closed:
            return
        if layers is None:
            self.driver.received(self, data)
        else:
            self._rise(layers, data)

    def start_tls(self, leftover: bytes) -> None:
        """The client asked for it; see push_layer."""
        if self.tls is None:
            self._layer_failed("TLS was asked for, but the listener has no certificate")
        else:
            self.push_layer(TlsLayer(self.tls, server_side=True), leftover)

    def push_layer(self, layer: Layer, leftover: bytes) -> None:
        """The next byte of either side is the layer's, and so are bytes that were read already."""
        if self.layers is None:
            self.layers = Layers(self.transport, self._layer_failed)
            self.write = self.layers.write
        self.layers.push(layer, leftover)
        self.data_received(b"")

    def _rise(self, layers: Layers, data: bytes) -> None:
        """Bytes pass through the layers; what these hold back waits until more is read."""
        while not self.closed:
            try:
                plain = layers.received(data)
            except ProtocolError as error:
                self._layer_failed(str(error))
                return
            if plain:
                self.driver.received(self, plain)
            if self.reading_paused or not layers.held():
                break
            data = b""
        if layers.ended() and not self.closed and not self.eof_received():
            self.close()

    def _layer_failed(self, detail: str) -> None:
        logs.recurring("client connection broken", client=self.address, detail=detail)
        self.close()

    def eof_received(self) -> bool:
        """The client sends no more. It may still read, unless it would wait for what may never come."""
        head = self.head
        if self.codec.pushes or not self.codec.half_closes or (head is not None and head.blocking >= 0):
            return False
        self.ending = True
        self.let_go()
        return not self.closed and self.transport.get_extra_info("sslcontext") is None  # TLS does not half close

    def is_idle(self) -> bool:
        """Nothing that came whole is under way, and nothing waits to be taken up."""
        return self.head is None and self.parked is None and not self.rest and not self.congested

    def pause_writing(self) -> None:
        """The client is slow: take no more calls from it."""
        self.congested = True

    def resume_writing(self) -> None:
        """The client caught up."""
        self.congested = False
        self.release_hold()
        self.driver.proceed(self, monotonic())

    def connection_lost(self, error: BaseException | None) -> None:
        """The client is gone."""
        self.closed = True
        self.release_hold()
        if self.codec is not _NO_CODEC:
            self.driver.left(self)
            self.codec = _NO_CODEC

    def is_blocked(self) -> bool:
        """The session may not go on with its next call."""
        return (
            self.parked is not None
            or self.waiter is not None
            or self.congested
            or self.kept > self.driver.output_buffer
            or self.closing
            or self.closed
            or (self.barrier is not None and not self.codec.unfinished())
        )

    # The order of replies

    def append(self, call: Call) -> None:
        """A call whose reply follows all those before it."""
        tail = self.tail
        if tail is None:
            self.head = call
        else:
            tail.next = call
        self.tail = call

    def deliver(self, data: bytes) -> None:
        """Bytes for the client; a client that takes none of them holds up its upstream connection, not memory."""
        if self.closed:
            return
        self.write(data)
        self.driver.meter.sent += len(data)
        if self.congested and self.held is None:
            self._check_backlog()

    def complete(self, call: Call, answer: bytes, now: float) -> None:
        """The call's reply is whole with these bytes; it goes out when all before it have."""
        call.done = True
        if self.head is not call:
            call.answer += answer
            self.kept += len(answer) + _CALL_BYTES
            return
        if answer:
            self.deliver(answer)
        self._advance(now)

    def _advance(self, now: float) -> None:
        """The head is done: so may be some behind it."""
        call = self.head
        while call is not None and call.done and not self.closed:
            following = call.next
            call.next = None
            self.head = following
            if following is None:
                self.tail = None
                self.kept = 0
            self.driver.finished(self, call, now)
            call = self.head
            if call is not None and call.answer:
                self.deliver(call.answer)
                call.answer = b""

    # Receiver and Borrower

    def replied(self, call: Call, data: bytes, now: float) -> None:
        """See Receiver."""
        if call.observed:
            data = self.codec.observe(call, data, now)
        if call.mute:
            data = b""
        if call.waiting == 0:
            self.driver.settle(call, now)
            self.complete(call, data, now)
        elif self.head is call:
            self.deliver(data)
            if call.unfinished:
                self.driver.uploads(self, call)
        else:
            call.answer += data

    def failed(self, call: Call, fault: Fault, now: float) -> None:
        """See Receiver."""
        self.driver.failed(self, call, fault, now)

    def pushed(self, data: bytes, now: float) -> None:
        """See Receiver."""
        self.deliver(data)
        self.codec.observe_push(data, now)
        if self.codec.pin is None:
            self.driver.proceed(self, now)

    def lease_granted(self, connection: Connection, now: float) -> None:
        """See Borrower."""
        self.waiter = None
        self.driver.granted(self, connection, now)

    def lease_refused(self, fault: Fault, now: float) -> None:
        """See Borrower."""
        self.waiter = None
        self.driver.refused(self, fault, now)

    def lease_lost(self, fault: Fault, now: float) -> None:
        """See Borrower."""
        self.lease = None
        self.driver.lease_lost(self, fault, now)

    def lease_ready(self, now: float) -> None:
        """See Borrower."""
        self.driver.resumed(self, now)

    def lease_cleaned(self, data: bytes, now: float) -> None:
        """See Borrower."""
        if not self.closed:
            self.codec.cleaned(data)
            self.driver.proceed(self, now)

    # Flow control and the end

    def pause_reading(self) -> None:
        """No more bytes from the client for now."""
        if not self.reading_paused and not self.closed:
            self.reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Bytes are welcome again."""
        if self.reading_paused and not self.closed:
            self.reading_paused = False
            self.transport.resume_reading()
            if self.layers is not None and self.layers.held():
                asyncio.get_running_loop().call_soon(self.data_received, b"")

    def _check_backlog(self) -> None:
        backlog: int = self.transport.get_write_buffer_size()
        carrier = self.carrier
        if backlog <= self.driver.output_buffer or carrier is None:
            return
        if self.slow_call is not self.head:
            self.slow_call, self.slow_for = self.head, 0.0
        elif self.slow_for >= self.driver.slow_client_timeout and carrier.others_wait(self):
            self.abort()
            return
        self.backlog = backlog
        self.held = carrier
        self.held_at = monotonic()
        carrier.hold()
        self._watch()

    def _watch(self) -> None:
        self.timer = asyncio.get_running_loop().call_later(self.driver.slow_client_timeout, self._on_time)

    def _on_time(self) -> None:
        """A client that is held, or has to leave, must take something in time; all of it, if others wait behind it."""
        self.timer = None
        backlog: int = self.transport.get_write_buffer_size()
        if backlog >= self.backlog or (self.held is not None and self.held.others_wait(self)):
            self.closing = self.closed = True
            self.transport.abort()
        else:
            self.backlog = backlog
            self._watch()

    def release_hold(self) -> None:
        """The client is not held up any more, or not by this connection."""
        held, self.held = self.held, None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if held is not None:
            self.slow_for += monotonic() - self.held_at
            held.unhold()

    def let_go(self) -> None:
        """Close, if nothing is under way: the client sends no more, or the gateway stops.

        Subscriptions never end, so they do not count. A transaction does, while the client can still end it.
        """
        codec = self.codec
        if self.pumping or self.closed:
            return
        if self.is_idle() and (self.ending or codec.pin is None or codec.pushes):
            self.close()
        elif self.ending and codec.unfinished() and self.waiter is None and self.parked_for is None:
            self.close()  # the rest of its request will never come

    def close(self) -> None:
        """End in order: what was written still goes out, if the client takes it."""
        self.closing = True
        if not self.closed:
            self.closed = True
            self.release_hold()
            if self.layers is not None:
                self.layers.close()
            self.transport.close()
            self.backlog = self.transport.get_write_buffer_size()
            if self.backlog > 0:
                self._watch()

    def abort(self) -> None:
        """End at once."""
        self.closing = True
        if not self.closed:
            self.closed = True
            self.transport.abort()


_NO_CODEC: Final = ServerCodec()
