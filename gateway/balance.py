"""Which endpoint of a service a session borrows from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from gateway.endpoint import Endpoint

PRIMARY: Final = "primary"
REPLICA: Final = "replica"


@final
class Balance:
    """The endpoints of one service. Those of the lowest priority number that work go first, the least busy of them."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.endpoints: Final = list(endpoints)
        self._alone: Final = len(self.endpoints) == 1
        self._roles: Final[dict[str, list[Endpoint]]] = {}
        for endpoint in sorted(self.endpoints, key=lambda one: one.target.priority):
            self._roles.setdefault(endpoint.target.role, []).append(endpoint)

    def pick(self, role: str, now: float) -> Endpoint:
        """The endpoint for a call that asks for a role ("": the primary). Without a working replica: the primary."""
        if self._alone:
            return self.endpoints[0]
        found = self._working(role, now) if role == REPLICA else None
        if found is None:
            found = self._working(PRIMARY, now)
        if found is None:
            found = self._roles.get(PRIMARY, self.endpoints)[0]
        return found

    def _working(self, role: str, now: float) -> Endpoint | None:
        best: Endpoint | None = None
        for endpoint in self._roles.get(role, ()):
            if endpoint.throttle.backing_off(now):
                continue
            if best is None:
                best = endpoint
            elif endpoint.target.priority > best.target.priority:
                break
            elif endpoint.busy() < best.busy():
                best = endpoint
        return best
