"""A line of calls that wait for their replies, in order."""

from __future__ import annotations

from mypy_extensions import i64

from protocols.call import Call, Receiver


class Line:
    """What an upstream connection owes, linked through ``Call.behind``."""

    def __init__(self, max_calls: int) -> None:
        self.max_calls: i64 = max_calls
        self.head: Call | None = None  # the call that is replied to next
        self.last: Call | None = None
        self.in_flight: i64 = 0  # replies still to come

    def append(self, call: Call) -> None:
        """A call takes its place; its replies count apart, in ``in_flight``."""
        last = self.last
        if last is None:
            self.head = call
        else:
            last.behind = call
        self.last = call

    def pop(self, call: Call) -> None:
        """The call at the head has all its replies."""
        behind = call.behind
        self.head = behind
        if behind is None:
            self.last = None
        else:
            call.behind = None

    def drop_deserted(self) -> None:
        """Calls whose client left before anything was sent are not sent at all."""
        call, self.head, self.last = self.head, None, None
        while call is not None:
            behind, call.behind = call.behind, None
            if call.receiver is None:
                self.in_flight -= call.waiting
            else:
                self.append(call)
            call = behind

    def others_wait(self, receiver: Receiver) -> bool:
        """Calls of somebody else stand in line."""
        call = self.head
        while call is not None:
            if call.receiver is not None and call.receiver is not receiver:
                return True
            call = call.behind
        return False
