"""Verbs that a service refuses whoever asks: dangerous ones unless allowed, and those that its operator refuses.

Not a policy of the registry: it is configured under a service's ``commands:``, and governs before all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, final

from mypy_extensions import i64

from policies.gate import Gate, Governor, Scope
from protocols.call import Call
from protocols.fault import DENIED, Fault


@final
class ForbiddenGovernor(Governor):
    """``details`` says for each forbidden verb, by name, what the client is told."""

    def __init__(self, service: str, details: Mapping[str, str]) -> None:
        self.name = "commands"
        self._gates: Final = {
            verb: ForbiddenGate(self, Fault(DENIED, service, detail, self.name)) for verb, detail in details.items()
        }

    def bind(self, scope: Scope) -> Gate | None:
        """A gate that always refuses, or nothing."""
        return self._gates.get(scope.verb.name)

    def stats(self, now: float) -> dict[str, Any]:
        """The counters, and which verbs were refused how often."""
        return {**super().stats(now), "forbidden": {v: gate.refused for v, gate in self._gates.items() if gate.refused}}


@final
class ForbiddenGate(Gate):
    """Refuses, always."""

    __slots__ = ("_fault", "_governor", "refused")

    def __init__(self, governor: ForbiddenGovernor, fault: Fault) -> None:
        self._governor: Final = governor
        self._fault: Final = fault
        self.refused: i64 = 0

    def admit(self, call: Call, now: float) -> Fault | None:
        """See Gate: the refusal of a run counts nothing, its commands are asked one by one."""
        if call.count == 1:
            self.refused += 1
            self._governor.refused += 1
        return self._fault
