"""What a rule refuses outright. Not a policy of the registry: it is configured as a rule's ``refuse:``."""

from __future__ import annotations

from typing import Final, final

from policies.gate import Gate, Governor, Scope
from protocols.call import Call
from protocols.fault import Fault


@final
class RefusalGovernor(Governor):
    """Refuses whatever follows its rule, with the fault."""

    def __init__(self, fault: Fault) -> None:
        self.name = "refuse"
        self._gate: Final = RefusalGate(self, fault)

    def bind(self, scope: Scope) -> Gate | None:
        """The one gate."""
        return self._gate


@final
class RefusalGate(Gate):
    """Refuses, always."""

    __slots__ = ("_fault", "_governor")

    def __init__(self, governor: RefusalGovernor, fault: Fault) -> None:
        self._governor: Final = governor
        self._fault: Final = fault

    def admit(self, call: Call, now: float) -> Fault | None:
        """See Gate: the refusal of a run counts nothing, its commands are asked one by one."""
        if call.count == 1:
            self._governor.refused += 1
        return self._fault
