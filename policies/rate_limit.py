"""rate_limit: a token bucket.

``enabled`` is the share of commands that are judged at all, ``enforced`` the share of those over the limit that are
refused: a limit can run in shadow (``enforced: 0%``) first and be tightened step by step. Both are exact over time
and need no random numbers: an accumulator carries the rest of each share on to the next command.

A run takes exactly what its commands would take one after the other. Calls that a gate further in refuses get their
tokens back: the limit is on what reaches the upstream.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Any, Final, final

from mypy_extensions import i64, mypyc_attr

from policies.gate import PER, SERVICE, VERBS, Gate, Governor, Keyed, Policy, Scope
from protocols.call import GOVERNED, REFUSED, Call
from protocols.fault import LIMITED, Fault
from protocols.settings import PERCENT, POSITIVE, RATE, optional, render_rate

_WHOLE: Final = 1_000_000  # 100 % in the integers that shares are counted in


@final
@mypyc_attr(native_class=False)
@dataclass(frozen=True, kw_only=True)
class RateLimit(Policy):
    """How many commands a second, and how many at once after a pause."""

    rate: float = field(metadata=RATE)
    burst: int | None = field(default=None, metadata=optional(POSITIVE))  # null: one second's worth, at least 1
    per: str = field(default=SERVICE, metadata=PER)
    enabled: float = field(default=1.0, metadata=PERCENT)
    enforced: float = field(default=1.0, metadata=PERCENT)
    max_keys: int = field(default=10_000, metadata=POSITIVE)  # clients remembered after their last session ended
    # Not control: a refused SELECT or MULTI would change what the commands behind it mean.
    verbs: tuple[str, ...] = field(default=GOVERNED, metadata=VERBS)

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ValueError("rate: must be above zero")
        if self.burst is not None and self.burst < 1:
            raise ValueError("burst: must be at least 1, or no command could ever pass")
        if not 0 <= self.enabled <= 1:
            raise ValueError("enabled: must be between 0% and 100%")
        if not 0 <= self.enforced <= 1:
            raise ValueError("enforced: must be between 0% and 100%")
        if self.max_keys < 1:
            raise ValueError("max_keys: must be at least 1")

    @property
    def capacity(self) -> int:
        """The burst that is in effect."""
        return max(1, int(self.rate)) if self.burst is None else self.burst

    def governor(self, service: str) -> RateLimitGovernor:
        """Fresh live state for a service."""
        return RateLimitGovernor(self, service)


RateLimit.SHORTHAND = "rate"


@final
class RateLimitGovernor(Governor):
    """One bucket for the service, or for each client or address."""

    def __init__(self, settings: RateLimit, service: str) -> None:
        self.name = "rate_limit"
        self.settings: Final = settings
        self.admitted: i64 = 0  # commands let through, the shadowed ones included
        self._fault: Final = Fault(LIMITED, service, f"rate limit {render_rate(settings.rate)} exceeded", self.name)
        self._gates: Final[Keyed[RateLimitGate]] = Keyed(self._new_gate, settings.max_keys)

    def _new_gate(self) -> RateLimitGate:
        return RateLimitGate(self, self.settings, self._fault)

    def bind(self, scope: Scope) -> Gate | None:
        """The bucket of the scope's client."""
        if self.settings.enabled == 0 or not self.settings.applies(scope):
            return None
        return self._gates.gate(scope.key(self.settings.per))

    def stats(self, now: float) -> dict[str, Any]:
        """The counters, the bucket's level, or how many buckets there are and the levels of the emptiest."""
        stats = {**super().stats(now), "admitted": self.admitted, "burst": self.settings.capacity}
        levels = [(round(gate.level_at(now), 3), key) for key, gate in self._gates.items()]
        if self.settings.per == SERVICE:
            stats["level"] = levels[0][0] if levels else float(self.settings.capacity)
            return stats
        emptiest = {key: level for level, key in nsmallest(5, levels)}
        return {**stats, "keys": len(levels), "forgotten": self._gates.forgotten, "emptiest": emptiest}


@final
class RateLimitGate(Gate):
    """A bucket."""

    __slots__ = (
        "_at", "_burst", "_enabled", "_enabled_rest", "_enabled_rest_before", "_enforced", "_enforced_rest",
        "_enforced_rest_before", "_fault", "_governor", "_level", "_level_before", "_over", "_rate",
    )  # fmt: skip

    def __init__(self, governor: RateLimitGovernor, settings: RateLimit, fault: Fault) -> None:
        self._governor: Final = governor
        self._fault: Final = fault
        self._rate: Final[float] = settings.rate
        self._burst: Final[float] = float(settings.capacity)
        self._enabled: Final[i64] = round(settings.enabled * _WHOLE)
        self._enforced: Final[i64] = round(settings.enforced * _WHOLE)
        self._level: float = self._burst
        self._at: float = 0.0
        self._enabled_rest: i64 = 0
        self._enforced_rest: i64 = 0
        # The state before the latest admission, and how many of its commands were over the limit: to take it back.
        self._level_before: float = self._level
        self._enabled_rest_before: i64 = 0
        self._enforced_rest_before: i64 = 0
        self._over: i64 = 0

    def level_at(self, now: float) -> float:
        """The tokens in the bucket."""
        return min(self._burst, self._level + max(0.0, now - self._at) * self._rate)

    def admit(self, call: Call, now: float) -> Fault | None:
        """Take a token for each command that is judged; over the limit, refuse the enforced share."""
        n = call.count
        level = self._level
        if now > self._at:
            level += (now - self._at) * self._rate
            if level > self._burst:
                level = self._burst
            self._level = level
            self._at = now

        judged = n
        enabled_rest = self._enabled_rest
        if self._enabled != _WHOLE:
            enabled_rest += n * self._enabled
            judged = enabled_rest // _WHOLE
            enabled_rest -= judged * _WHOLE

        over: i64 = 0
        enforced_rest = self._enforced_rest
        if level < float(judged):
            over = judged - i64(level)
            judged -= over
            enforced_rest += over * self._enforced
            if enforced_rest >= _WHOLE:
                if n == 1:
                    self._enabled_rest = enabled_rest
                    self._enforced_rest = enforced_rest - _WHOLE
                    self._governor.refused += 1
                return self._fault
            self._governor.shadowed += over

        self._level_before = level
        self._enabled_rest_before = self._enabled_rest
        self._enforced_rest_before = self._enforced_rest
        self._over = over
        self._level = level - float(judged)
        self._enabled_rest = enabled_rest
        self._enforced_rest = enforced_rest
        self._governor.admitted += n
        return None

    def settle(self, call: Call, now: float) -> None:
        """Take the latest admission back if a gate further in refused it."""
        if call.outcome == REFUSED:
            self._level = self._level_before
            self._enabled_rest = self._enabled_rest_before
            self._enforced_rest = self._enforced_rest_before
            self._governor.shadowed -= self._over
            self._governor.admitted -= call.count
