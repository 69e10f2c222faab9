"""Who may run what: the ``allow`` and ``deny`` lists of a service's ``clients:``.

Not a policy of the registry: it is configured with the users, and its governor comes before all others. A list holds
effects (read, write, ddl, admin, transaction, control) or command names in any case. What is denied stays denied
whatever is allowed. Control and transaction verbs (SELECT of a database, PING, COMMIT) need not be allowed, but can be
denied. A scope that may pass has no gate at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, final

from mypy_extensions import i64

from policies.gate import Gate, Governor, Scope, matches
from protocols.call import CONTROL, TRANSACTION, Call, Verb
from protocols.fault import DENIED, Fault

_FREE: Final = (CONTROL, TRANSACTION)  # effects that need not be allowed


@final
class Rights:
    """What one user may run. ``allow`` None: everything; an empty list: control verbs only."""

    __slots__ = ("allow", "deny")

    def __init__(self, allow: Sequence[str] | None = None, deny: Sequence[str] = ()) -> None:
        self.allow: Final = allow
        self.deny: Final = deny

    def permits(self, verb: Verb) -> bool:
        """Whether the verb may be run."""
        if matches(self.deny, verb):
            return False
        return self.allow is None or verb.effect in _FREE or matches(self.allow, verb)


@final
class AccessGovernor(Governor):
    """The rights of a service's users. Anyone else, the unauthenticated included, may run control verbs only."""

    def __init__(self, service: str, users: Mapping[str, Rights]) -> None:
        self.name = "clients"
        self._service: Final = service
        self._users: Final = dict(users)
        self._stranger: Final = Rights(allow=())
        # Bounded: by the configured users (strangers count as one) and the protocol's verbs.
        self._gates: dict[tuple[str, str], AccessGate] = {}

    def bind(self, scope: Scope) -> Gate | None:
        """A gate that always refuses, or nothing."""
        rights = self._users.get(scope.user, self._stranger)
        if rights.permits(scope.verb):
            return None
        who = "an unauthenticated client" if rights is self._stranger else f"user {scope.user}"
        gate = self._gates.get((who, scope.verb.name))
        if gate is None:
            detail = f"{who} may not run {scope.verb.name}"
            gate = AccessGate(self, Fault(DENIED, self._service, detail, self.name))
            self._gates[who, scope.verb.name] = gate
        return gate

    def stats(self, now: float) -> dict[str, Any]:
        """The counters, and who was refused what how often."""
        denied: dict[str, dict[str, int]] = {}
        for (who, verb), gate in self._gates.items():
            if gate.refused:
                denied.setdefault(who, {})[verb] = gate.refused
        return {**super().stats(now), "denied": denied}


@final
class AccessGate(Gate):
    """Refuses, always."""

    __slots__ = ("_fault", "_governor", "refused")

    def __init__(self, governor: AccessGovernor, fault: Fault) -> None:
        self._governor: Final = governor
        self._fault: Final = fault
        self.refused: i64 = 0

    def admit(self, call: Call, now: float) -> Fault | None:
        """Say no."""
        if call.count == 1:
            self.refused += 1
            self._governor.refused += 1
        return self._fault
