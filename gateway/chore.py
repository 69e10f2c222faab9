"""Commands of the gateway's own on a lease."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from gateway.roles import Borrower
from gateway.upstream import Connection
from protocols.call import Call, Receiver
from protocols.fault import Fault


@final
class Chore(Receiver):
    """Commands of the gateway's own on a lease: they prepare it for a borrower, or make it clean behind one."""

    def __init__(
        self, done: Callable[[Chore, bool, float], None], connection: Connection, tag: object, borrower: Borrower | None
    ) -> None:
        self.done: Final = done
        self.connection: Final = connection
        self.tag: Final = tag
        self.borrower: Borrower | None = borrower

    def replied(self, call: Call, data: bytes, now: float) -> None:
        """Done when the last reply is there and none was an error."""
        if call.waiting == 0:
            self.done(self, call.errors + call.failures == 0, now)

    def failed(self, call: Call, fault: Fault, now: float) -> None:
        """The upstream did not do it in time, or is gone."""
        self.done(self, False, now)
