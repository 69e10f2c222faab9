"""circuit_breaker: where calls keep failing, refuse them for a while, then let a few probes find out.

Only what the upstream is to blame for counts: ``call.failures`` are failures, a command's own error is a success,
and refused or cancelled calls say nothing. Blocking verbs are not bound (a BLPOP as the probe would hold the circuit
half-open for its whole wait), nor are one-way verbs (there is no reply to judge, and none to refuse with).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, final

from mypy_extensions import i64, mypyc_attr

from policies.gate import VERBS, Gate, Governor, Policy, Scope
from protocols.call import CANCELLED, GOVERNED, REFUSED, Call
from protocols.fault import OPEN as OPEN_REASON
from protocols.fault import Fault
from protocols.settings import DURATION, PERCENT, POSITIVE, optional, render_duration

CLOSED: Final = 0  # calls pass, and are judged
OPEN: Final = 1  # calls are refused
HALF_OPEN: Final = 2  # a few calls pass, as probes
STATES: Final = ("closed", "open", "half_open")

TRIPPED: Final = "tripped"
WAITED: Final = "waited"
PROBE_FAILED: Final = "probe_failed"
PROBES_PASSED: Final = "probes_passed"
TRANSITIONS: Final = {
    (CLOSED, TRIPPED): OPEN,
    (OPEN, WAITED): HALF_OPEN,
    (HALF_OPEN, PROBE_FAILED): OPEN,
    (HALF_OPEN, PROBES_PASSED): CLOSED,
}

_SLICES: Final = 10  # of the window; the current one is always partly filled
_WHOLE: Final = 1_000_000  # 100 % in the integers that shares are compared in


@final
@mypyc_attr(native_class=False)
@dataclass(frozen=True, kw_only=True)
class CircuitBreaker(Policy):
    """When to stop asking an upstream that fails, for how long, and how to find out that it is well again."""

    error_ratio: float | None = field(default=0.5, metadata=optional(PERCENT))
    consecutive_errors: int | None = field(default=None, metadata=optional(POSITIVE))
    slow_ratio: float | None = field(default=None, metadata=optional(PERCENT))
    slow_call: float | None = field(default=None, metadata=optional(DURATION))  # from when a call is slow
    min_calls: int = field(default=20, metadata=POSITIVE)  # in the window, before a ratio is looked at
    window: float = field(default=10.0, metadata=DURATION)
    open: float = field(default=5.0, metadata=DURATION)
    probes: int = field(default=3, metadata=POSITIVE)  # at a time, and as many must succeed
    # Not control: a refused SELECT or MULTI would change what the commands behind it mean.
    verbs: tuple[str, ...] = field(default=GOVERNED, metadata=VERBS)

    def __post_init__(self) -> None:
        for name in ("error_ratio", "slow_ratio"):
            ratio = getattr(self, name)
            if ratio is not None and not 0 < ratio <= 1:
                raise ValueError(f"{name}: must be above 0% and at most 100%")
        if (self.slow_ratio is None) != (self.slow_call is None):
            raise ValueError("slow_ratio: goes together with slow_call; set both or neither")
        if self.error_ratio is None and self.consecutive_errors is None and self.slow_ratio is None:
            raise ValueError("error_ratio: without it, consecutive_errors or slow_ratio must be set")
        for name in ("consecutive_errors", "slow_call", "min_calls", "window", "open", "probes"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name}: must be above 0")

    def governor(self, service: str) -> CircuitBreakerGovernor:
        """Fresh live state for a service."""
        return CircuitBreakerGovernor(self, service)


@final
class CircuitBreakerGovernor(Governor):
    """One circuit for the service."""

    def __init__(self, settings: CircuitBreaker, service: str) -> None:
        self.name = "circuit_breaker"
        self.settings: Final = settings
        self._gate: Final = CircuitBreakerGate(self, settings, service)

    def bind(self, scope: Scope) -> Gate | None:
        """The circuit, for verbs that are answered at once."""
        if scope.verb.blocking or scope.verb.one_way or not self.settings.applies(scope):
            return None
        return self._gate

    def stats(self, now: float) -> dict[str, Any]:
        """The counters, the circuit's state and what its window holds."""
        return {**super().stats(now), **self._gate.stats(now)}


@final
class Window:
    """Commands, failures and slow commands of the last ten slices of time, the current slice included."""

    __slots__ = (
        "_at", "_length", "_past", "_past_calls", "_past_failures", "_past_slow", "calls", "end", "failures", "slow",
    )  # fmt: skip

    def __init__(self, length: float) -> None:
        self._length: Final[float] = length / _SLICES
        # Of the current slice: the hot path adds to these, after ``turn`` if ``end`` has passed.
        self.calls: i64 = 0
        self.failures: i64 = 0
        self.slow: i64 = 0
        self.end: float = 0.0
        # Of the slices before it, each and in all.
        self._past: list[tuple[int, int, int]] = [(0, 0, 0)] * (_SLICES - 1)
        self._at: i64 = 0
        self._past_calls: i64 = 0
        self._past_failures: i64 = 0
        self._past_slow: i64 = 0

    def turn(self, now: float) -> None:
        """Begin the slice that ``now`` lies in."""
        over: i64 = i64((now - self.end) / self._length) + 1
        if over < _SLICES:
            self.end += float(over) * self._length
        else:
            over = _SLICES
            self.end = now + self._length
        while over > 0:
            over -= 1
            calls, failures, slow = self._past[self._at]
            self._past[self._at] = (self.calls, self.failures, self.slow)
            self._at = (self._at + 1) % (_SLICES - 1)
            self._past_calls += self.calls - calls
            self._past_failures += self.failures - failures
            self._past_slow += self.slow - slow
            self.calls = self.failures = self.slow = 0

    def all_calls(self) -> i64:
        """Commands in the window."""
        return self._past_calls + self.calls

    def all_failures(self) -> i64:
        """Failed commands in the window."""
        return self._past_failures + self.failures

    def all_slow(self) -> i64:
        """Slow commands in the window."""
        return self._past_slow + self.slow


@final
class CircuitBreakerGate(Gate):
    """The circuit."""

    __slots__ = (
        "_consecutive", "_consecutive_errors", "_error_ratio", "_fault", "_governor", "_half_open_fault", "_min_calls",
        "_open", "_opened", "_passed", "_probes", "_probing", "_probing_count", "_service", "_since", "_slow_call",
        "_slow_ratio", "_state", "_until", "_window", "_window_length",
    )  # fmt: skip

    def __init__(self, governor: CircuitBreakerGovernor, settings: CircuitBreaker, service: str) -> None:
        self._governor: Final = governor
        self._service: Final = service
        # The rules; 0 for one that is not set.
        self._error_ratio: Final[i64] = round((settings.error_ratio or 0.0) * _WHOLE)
        self._slow_ratio: Final[i64] = round((settings.slow_ratio or 0.0) * _WHOLE)
        self._slow_call: Final[float] = settings.slow_call or float("inf")
        self._consecutive_errors: Final[i64] = settings.consecutive_errors or 0
        self._min_calls: Final[i64] = settings.min_calls
        self._window_length: Final[float] = settings.window
        self._open: Final[float] = settings.open
        self._probes: Final[i64] = settings.probes

        self._state: i64 = CLOSED
        self._since: float = 0.0
        self._opened: i64 = 0  # how often
        # While closed:
        self._window: Window = Window(settings.window)
        self._consecutive: i64 = 0
        # While open:
        self._until: float = 0.0
        self._fault: Fault = self._new_fault("circuit open")
        # While half-open. Calls from before may end now, too: only those in this list are probes.
        self._probing: list[Call] = []
        self._probing_count: i64 = 0  # their commands
        self._passed: i64 = 0
        self._half_open_fault: Final = self._new_fault(f"circuit half-open: {settings.probes} probes at a time")

    def _new_fault(self, detail: str) -> Fault:
        return Fault(OPEN_REASON, self._service, detail, self._governor.name)

    def admit(self, call: Call, now: float) -> Fault | None:
        """Let the call through while the circuit is closed, or as a probe."""
        if self._state == CLOSED:
            return None
        return self._admit_probe(call, now)

    def settle(self, call: Call, now: float) -> None:
        """Judge the call, and by it the upstream."""
        if self._state != CLOSED:
            self._settle_probe(call, now)
            return
        # What started before the circuit closed again tells of the outage, not of now.
        if call.outcome == REFUSED or call.outcome == CANCELLED or call.started < self._since:
            return
        window = self._window
        if now >= window.end:
            window.turn(now)
        n = call.count
        window.calls += n
        failures = call.failures
        if failures == 0:
            self._consecutive = 0
        else:
            window.failures += failures
            # Which commands of a run failed is not known: one success among them ends the row.
            self._consecutive = self._consecutive + n if failures == n else 0
        if now - call.started >= self._slow_call:
            window.slow += n
        if window.all_failures() + window.all_slow() > 0:
            self._judge(now)

    def _judge(self, now: float) -> None:
        """Open the circuit if a rule says so."""
        window = self._window
        calls = window.all_calls()
        failures = window.all_failures()
        slow = window.all_slow()
        if 0 < self._consecutive_errors <= self._consecutive:
            self._trip(f"{self._consecutive} calls in a row failed", now)
        elif calls >= self._min_calls:
            length = render_duration(self._window_length)
            if self._error_ratio > 0 and failures * _WHOLE >= calls * self._error_ratio:
                self._trip(f"{failures} of {calls} calls failed in {length}", now)
            elif self._slow_ratio > 0 and slow * _WHOLE >= calls * self._slow_ratio:
                self._trip(f"{slow} of {calls} calls took {render_duration(self._slow_call)} or more in {length}", now)

    def _trip(self, why: str, now: float) -> None:
        self._fault = self._new_fault(f"circuit open: {why}")
        self._enter(TRIPPED, now)

    def _admit_probe(self, call: Call, now: float) -> Fault | None:
        if self._state == OPEN and now >= self._until:
            self._enter(WAITED, now)
        n = call.count
        if self._state == HALF_OPEN and self._probing_count + n <= self._probes:
            self._probing.append(call)
            self._probing_count += n
            return None
        if n == 1:
            self._governor.refused += 1
        return self._fault if self._state == OPEN else self._half_open_fault

    def _settle_probe(self, call: Call, now: float) -> None:
        for i, probe in enumerate(self._probing):
            if probe is call:
                del self._probing[i]
                break
        else:
            return  # admitted before the circuit opened, or a probe of an earlier time
        self._probing_count -= call.count
        if call.outcome == REFUSED or call.outcome == CANCELLED:
            return
        if call.failures > 0:
            self._fault = self._new_fault("circuit open: a probe failed")
            self._enter(PROBE_FAILED, now)
        elif now - call.started >= self._slow_call:
            self._fault = self._new_fault(f"circuit open: a probe took {render_duration(self._slow_call)} or more")
            self._enter(PROBE_FAILED, now)
        else:
            self._passed += call.count
            if self._passed >= self._probes:
                self._enter(PROBES_PASSED, now)

    def _enter(self, event: str, now: float) -> None:
        """Take the transition of an event. Every state begins with a clean slate."""
        self._state = TRANSITIONS[self._state, event]
        self._since = now
        self._window = Window(self._window_length)
        self._consecutive = 0
        self._probing = []
        self._probing_count = 0
        self._passed = 0
        if self._state == OPEN:
            self._until = now + self._open
            self._opened += 1

    def stats(self, now: float) -> dict[str, Any]:
        """The state and for how many seconds (null: always), and what the window holds."""
        window = self._window
        if now >= window.end:
            window.turn(now)
        return {
            "state": STATES[self._state],
            "state_for": round(now - self._since, 3) if self._opened else None,
            "opened": self._opened,
            "reason": self._fault.detail if self._state != CLOSED else None,
            "retry_in": round(max(0.0, self._until - now), 3) if self._state == OPEN else None,
            "probing": self._probing_count,
            "calls": window.all_calls(),
            "failures": window.all_failures(),
            "slow": window.all_slow(),
        }
