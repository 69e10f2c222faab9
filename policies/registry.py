"""Every policy by its word in the configuration.

To add one: write ``policies/<word>.py`` (settings, governor and gate together; ``concurrency.py`` is a short model),
a test beside ``tests/policies/``, and one line here. What may stand in ``policies:`` of a service is this table.
"""

from __future__ import annotations

from typing import Final

from policies.circuit_breaker import CircuitBreaker
from policies.concurrency import Concurrency
from policies.gate import Policy
from policies.rate_limit import RateLimit
from policies.timeout import Timeout

POLICIES: Final[dict[str, type[Policy]]] = {
    "rate_limit": RateLimit,
    "concurrency": Concurrency,
    "timeout": Timeout,
    "circuit_breaker": CircuitBreaker,
}
