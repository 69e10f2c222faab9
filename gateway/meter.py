"""What a service counts: plain integers per verb, turned into metrics only when somebody asks."""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from protocols.call import APP_ERROR, FATAL, OK, REFUSED, RETRYABLE, Call, Verb
from protocols.histogram import Histogram


@final
class VerbMeter:
    """One verb of one service."""

    __slots__ = ("app_errors", "cancelled", "duration", "fatal", "ok", "refused", "retryable", "verb")

    def __init__(self, verb: Verb) -> None:
        self.verb: Final = verb
        self.ok: i64 = 0
        self.app_errors: i64 = 0
        self.retryable: i64 = 0
        self.fatal: i64 = 0
        self.refused: i64 = 0
        self.cancelled: i64 = 0
        self.duration: Final = Histogram()

    def outcomes(self) -> dict[str, int]:
        """Commands by the word of their outcome."""
        return {
            "ok": self.ok,
            "app_error": self.app_errors,
            "retryable": self.retryable,
            "fatal": self.fatal,
            "refused": self.refused,
            "cancelled": self.cancelled,
        }


@final
class Meter:
    """All verbs of one service, and its bytes."""

    __slots__ = ("_by_verb", "_verbs", "received", "sent")

    def __init__(self, verbs: list[Verb]) -> None:
        self._verbs: Final = verbs
        self._by_verb: Final[list[VerbMeter | None]] = [None] * len(verbs)
        self.received: i64 = 0  # bytes of requests
        self.sent: i64 = 0  # bytes of replies

    def verb(self, verb: Verb) -> VerbMeter:
        """The meter of one verb, made when first used."""
        meter = self._by_verb[verb.index]
        if meter is None:
            meter = self._by_verb[verb.index] = VerbMeter(verb)
        return meter

    def used(self) -> list[VerbMeter]:
        """The verbs that were called at all."""
        return [meter for meter in self._by_verb if meter is not None]

    def record(self, call: Call, now: float) -> None:
        """A call is over; each command of a run counts."""
        duration = now - call.started
        verbs = call.verbs
        if verbs is None:
            meter = self.verb(call.verb)
            if call.outcome == OK:
                meter.ok += call.count
            else:
                _divide(meter, call)
            if call.outcome < REFUSED:
                meter.duration.record(duration, call.count)
            return
        blamed = call.blamed
        for i, verb in enumerate(verbs):
            meter = self.verb(verb)
            outcome = call.outcome if call.outcome >= REFUSED else blamed.get(i, OK) if blamed is not None else OK
            _count(meter, outcome, 1)
            if outcome < REFUSED:
                meter.duration.record(duration, 1)


def _divide(meter: VerbMeter, call: Call) -> None:
    """Some commands of the run may have done well nevertheless."""
    if call.outcome >= REFUSED:
        _count(meter, call.outcome, call.count)
        return
    meter.ok += call.count - call.errors - call.failures
    meter.app_errors += call.errors
    if call.failures:
        _count(meter, call.outcome, call.failures)


def _count(meter: VerbMeter, outcome: i64, count: i64) -> None:
    if outcome == OK:
        meter.ok += count
    elif outcome == APP_ERROR:
        meter.app_errors += count
    elif outcome == RETRYABLE:
        meter.retryable += count
    elif outcome == FATAL:
        meter.fatal += count
    elif outcome == REFUSED:
        meter.refused += count
    else:
        meter.cancelled += count
