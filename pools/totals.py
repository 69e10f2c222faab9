"""What a lease pool did so far: plain integers and histograms, for the metrics' collector and ``/stats``."""

from __future__ import annotations

from typing import Any, Final, final

from protocols.fault import DRAINING, NO_ENDPOINT, POOL_EXHAUSTED
from protocols.histogram import Histogram


@final
class Totals:
    """Counters since the start, and they balance.

    acquired = granted + refused + cancelled + those that wait or were not told yet;
    opened = closed + lost + those that are open.
    """

    __slots__ = (
        "acquired", "cancelled", "closed", "create_time", "failed", "granted", "lost", "opened", "refused", "use_time",
        "wait_time", "wait_timeouts",
    )  # fmt: skip

    def __init__(self) -> None:
        # Waiters.
        self.acquired: int = 0
        self.granted: int = 0  # and told so
        self.cancelled: int = 0  # left before they were granted or refused
        self.refused: Final[dict[str, int]] = {POOL_EXHAUSTED: 0, NO_ENDPOINT: 0, DRAINING: 0}
        self.wait_timeouts: int = 0  # those of the refused for whom wait_timeout passed
        # Connections.
        self.opened: int = 0
        self.failed: int = 0  # connects
        self.closed: int = 0  # open ones, by the pool
        self.lost: int = 0  # open ones, by anyone else
        # OpenTelemetry's db.client.connection.{create,wait,use}_time.
        self.create_time: Final = Histogram()
        self.wait_time: Final = Histogram()  # of those granted
        self.use_time: Final = Histogram()  # from grant to release, clean or loss

    def stats(self) -> dict[str, Any]:
        """The counters as plain JSON values; histograms as count and sum in seconds."""
        times = {"create_time": self.create_time, "wait_time": self.wait_time, "use_time": self.use_time}
        return {
            "acquired": self.acquired,
            "granted": self.granted,
            "cancelled": self.cancelled,
            "refused": dict(self.refused),
            "wait_timeouts": self.wait_timeouts,
            "opened": self.opened,
            "failed": self.failed,
            "closed": self.closed,
            "lost": self.lost,
        } | {name: {"count": time.count(), "seconds": time.total} for name, time in times.items()}
