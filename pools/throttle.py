"""When the next connect to one endpoint may start: back-off after failures, and a limit on the connection rate."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, Final, final

from pools.settings import PoolSettings


@final
class Throttle:
    """Paces the connects of one endpoint; shared by its leases and lanes. Times are seconds, monotonic.

    After a failure it pauses for a random share of a ceiling ("full jitter"): ``backoff_base``, doubled by every
    further failure up to ``backoff_max``, reset by a success. Until that success each attempt starts a pause too,
    so that an endpoint coming back is probed, not stormed. ``connect_rate`` is a token bucket that holds one
    second's worth of connects.
    """

    __slots__ = (
        "_backoff_max", "_base", "_burst", "_ceiling", "_cut_at", "_cut_pause", "_cut_until", "_due", "_failed_at",
        "_interval", "_rng", "failure", "failures", "retry_at",
    )  # fmt: skip

    def __init__(self, settings: PoolSettings, rng: Callable[[], float]) -> None:
        self._rng: Final = rng  # uniform in [0, 1)
        self._failed_at: float = 0.0
        self._due: float = 0.0  # when the bucket is full again, less what was taken: the connects' "arrival time"
        self.failures: int = 0  # in a row; attempts that were under way together count once
        self.failure: str = ""  # the detail of the last one
        self.retry_at: float = 0.0  # end of the pause; 0: none
        self._ceiling: float = 0.0  # of the next pause; resize() sets it
        self._cut_at: float = -inf  # when a connection was last cut short
        self._cut_pause: float = 0.0  # the ceiling of the pause after the next one
        self._cut_until: float = 0.0  # end of that pause; successes meanwhile say nothing
        self.resize(settings)

    def resize(self, settings: PoolSettings) -> None:
        """Take on changed settings. A pause under way keeps its end."""
        self._base: float = min(settings.backoff_base, settings.backoff_max)
        self._backoff_max: float = settings.backoff_max
        self._ceiling = min(self._ceiling, self._backoff_max) if self.failures else self._base
        rate = settings.connect_rate
        self._interval: float = 0.0 if rate is None else 1.0 / rate
        self._burst: float = max(0.0, 1.0 - self._interval)  # how far ahead of its due time a connect may start

    def ready_at(self) -> float:
        """When the next connect may start; a time that is past means now."""
        return max(self.retry_at, self._cut_until, self._due - self._burst)

    def take(self, now: float) -> None:
        """A connect starts now, or at ``ready_at()`` if that is later."""
        self._due = max(self._due, now) + self._interval
        if self.failures:
            self.retry_at = now + self._rng() * self._ceiling

    def succeeded(self) -> None:
        """A connection is open: failures are forgotten."""
        self.failures = 0
        self.failure = ""
        self.retry_at = 0.0
        self._ceiling = self._base

    def failed(self, started: float, detail: str, now: float) -> None:
        """The attempt that began at ``started`` failed. ``detail`` is for the operator: what, as the system said it."""
        self.failure = detail
        if self.failures and started < self._failed_at:
            return  # it began before the last failure was known: the same outage, not one more
        self.failures += 1
        self._failed_at = now
        self.retry_at = now + self._rng() * self._ceiling
        self._ceiling = min(self._ceiling * 2, self._backoff_max)

    def cut_short(self, now: float) -> None:
        """The upstream let a connection in and ended it at once: as good as a failure, though connects succeed."""
        if now < self._cut_until:
            return  # another of the same moment
        if now - self._cut_at > self._backoff_max:
            self._cut_pause = self._base
        self._cut_at = now
        self._cut_until = now + self._rng() * self._cut_pause
        self._cut_pause = min(self._cut_pause * 2, self._backoff_max)

    def backing_off(self, now: float) -> bool:
        """Connects fail, and the next attempt is not due yet."""
        return self.failures > 0 and self.retry_at > now

    def stats(self, now: float) -> dict[str, Any]:
        """Live state for ``/stats``; ``retry_in`` is seconds."""
        return {"failures": self.failures, "failure": self.failure, "retry_in": max(0.0, self.retry_at - now)}
