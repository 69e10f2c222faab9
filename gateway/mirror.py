"""Copies of calls, for another service of the same protocol. Nobody waits for them, and nobody sees the replies."""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from gateway.balance import Balance
from gateway.exchange import keeper
from gateway.roles import Borrower
from gateway.upstream import Connection
from pools.slot import Waiter
from protocols.call import FATAL, RETRYABLE, Call
from protocols.codec import Protocol, ServerCodec
from protocols.fault import Fault

MAX_COPIES: Final = 32  # under way
PATIENCE: Final = 30.0  # seconds for a reply


@final
class Mirror:
    """What one service copies to another. Copies go past the other's policies: it is spared by ``MAX_COPIES``."""

    def __init__(self, protocol: Protocol, balance: Balance) -> None:
        self.protocol: Final = protocol
        self.balance: Final = balance
        self.under_way: i64 = 0
        self.mirrored: i64 = 0  # and answered well
        self.failed: i64 = 0  # answered by an error, or not at all
        self.dropped: i64 = 0  # one too many

    def send(self, tag: object, request: bytes, now: float) -> None:
        """Send a copy of a request that a client with this tag made."""
        if self.under_way >= MAX_COPIES:
            self.dropped += 1
            return
        codec = self.protocol.repeater(tag, now)
        codec.feed(request)
        call = codec.next(now)
        if call is None or call.local:  # the other service is configured to answer it by itself
            self.dropped += 1
            return
        self.under_way += 1
        waiter = Waiter(codec.tag, _Copy(self, codec, call), codec.kind)
        self.balance.pick(codec.role, now).borrow(waiter, now)

    def over(self, well: bool) -> None:
        """A copy was answered, or given up."""
        self.under_way -= 1
        if well:
            self.mirrored += 1
        else:
            self.failed += 1

    def stats(self) -> dict[str, int]:
        """For ``/stats`` and metrics."""
        return {"mirrored": int(self.mirrored), "failed": int(self.failed), "dropped": int(self.dropped)}


@final
class _Copy(Borrower):
    """One copy. Its codec knows in which state it leaves the lease."""

    def __init__(self, mirror: Mirror, codec: ServerCodec, call: Call) -> None:
        self.mirror: Final = mirror
        self.codec: Final = codec
        self.call: Final = call
        self.lease: Connection | None = None

    def lease_granted(self, connection: Connection, now: float) -> None:
        """See Borrower."""
        call = self.call
        self.lease = connection
        connection.owner = self
        connection.codec.adopt(self.codec)
        self.codec.preface(call, connection.codec, now)  # there is none: a copy needs nothing that its session had
        call.deadline = now + PATIENCE
        call.receiver = self
        connection.send(call, now)

    def lease_refused(self, fault: Fault, now: float) -> None:
        """See Borrower."""
        self.mirror.over(False)

    def replied(self, call: Call, data: bytes, now: float) -> None:
        """See Receiver."""
        if call.waiting == 0:
            self._end(call.errors + call.failures == 0, now)

    def failed(self, call: Call, fault: Fault, now: float) -> None:
        """See Receiver."""
        call.blame(FATAL if call.sent else RETRYABLE, call.waiting)
        self._end(False, now)

    def _end(self, well: bool, now: float) -> None:
        lease, self.lease = self.lease, None
        self.codec.finished(self.call, now)
        self.mirror.over(well)
        if lease is not None:
            cleanup = self.codec.cleanup()
            keeper(lease).give_back(lease, self.codec.left_tag(), cleanup, None, now)
