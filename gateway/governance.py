"""The plans of one service: which gates stand before which verb of which client."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final, final

from policies.gate import Governor, Plan, Scope, new_plan
from protocols.call import Call
from protocols.codec import Protocol
from protocols.fault import Fault

MAX_IDENTITIES: Final = 4096  # (user, address) pairs whose plans are kept at hand; more are bound again when met
MAX_RULED: Final = 4096  # plans with the gates of a rule, the same


@final
class Governance:
    """Governors, outermost first, and the plans that they yield.

    ``access`` governs every verb; the policies govern what goes upstream. Which of those verbs a policy applies to is
    its own setting: limits leave control verbs alone by default, as refusing the end of a transaction helps nobody.
    """

    def __init__(
        self,
        protocol: Protocol,
        access: Sequence[Governor],
        policies: Sequence[Governor],
        rules: Mapping[str, Sequence[Governor]] | None = None,
    ) -> None:
        self.protocol: Final = protocol
        self.access: Final = list(access)
        self.policies: Final = list(policies)
        self.rules: Final = {name: list(governors) for name, governors in (rules or {}).items()}  # of Call.gates
        self._by_identity: Final[OrderedDict[tuple[str, str], list[Plan]]] = OrderedDict()
        self._ruled: Final[dict[tuple[Plan, str, int], Plan]] = {}

    def plans(self, user: str, address: str) -> list[Plan]:
        """The plans of one client, by Verb.index."""
        identity = (user, address)
        plans = self._by_identity.get(identity)
        if plans is None:
            # Verbs with the same gates share a plan, so that a run may mix them. Known to this client only: a plan
            # keeps its gates, and with them the client's limits, from being forgotten.
            known: dict[tuple[int, ...], Plan] = {}
            plans = [self._plan(Scope(user, address, verb), known) for verb in self.protocol.verbs]
            self._by_identity[identity] = plans
            if len(self._by_identity) > MAX_IDENTITIES:
                self._by_identity.popitem(last=False)
        else:
            self._by_identity.move_to_end(identity)
        return plans

    def forbids(self, user: str, address: str, call: Call, now: float) -> Fault | None:
        """Why the client may not do what the call does besides its verb; None: it may."""
        for verb in call.also or ():
            for governor in self.access:
                gate = governor.bind(Scope(user, address, verb))
                fault = gate.admit(call, now) if gate is not None else None
                if fault is not None:
                    return fault
        return None

    def ruled(self, plan: Plan, call: Call, user: str, address: str) -> Plan:
        """A client's plan with the gates of the call's rule behind its own."""
        key = (plan, call.gates, int(call.verb.index))
        found = self._ruled.get(key)
        if found is None:
            inner = new_plan(self.rules[call.gates], Scope(user, address, call.verb), {})
            if len(self._ruled) >= MAX_RULED:
                del self._ruled[next(iter(self._ruled))]
            found = self._ruled[key] = Plan([*plan.gates, *inner.gates])
        return found

    def _plan(self, scope: Scope, known: dict[tuple[int, ...], Plan]) -> Plan:
        governors = list(self.access)
        if not self.protocol.is_local(scope.verb):
            governors += self.policies
        return new_plan(governors, scope, known)
