"""The settings of a service's pool, as an operator writes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from protocols.settings import COUNT, DURATION, PERCENT, POSITIVE, RATE, one_of, optional


@dataclass(frozen=True)
class PoolSettings:
    """Bounds of the upstream connections of one endpoint: shared lanes and exclusive leases.

    Durations are seconds, rates are events a second.
    """

    mode: str = field(default="transaction", metadata=one_of("transaction", "session", "statement"))  # of sharing
    lanes: int = field(default=2, metadata=POSITIVE)  # shared connections per endpoint and connection state
    lane_calls: int = field(default=4096, metadata=POSITIVE)  # commands in flight on one lane before clients pause
    max_connections: int = field(default=64, metadata=POSITIVE)  # leases
    min_idle: int = field(default=0, metadata=COUNT)  # leases kept warm
    max_waiting: int = field(default=1024, metadata=COUNT)  # sessions waiting for a lease
    wait_timeout: float = field(default=1.0, metadata=DURATION)  # for a lease; 0: until the client leaves
    connect_timeout: float = field(default=1.0, metadata=DURATION)
    idle_timeout: float = field(default=60.0, metadata=DURATION)  # 0: never
    max_lifetime: float = field(default=1800.0, metadata=DURATION)  # 0: for ever
    lifetime_jitter: float = field(default=0.1, metadata=PERCENT)  # share of max_lifetime, so that not all end at once
    connect_rate: float | None = field(default=None, metadata=optional(RATE))  # new connections a second
    backoff_base: float = field(default=0.05, metadata=DURATION)  # first pause after a failed connect, then doubled
    backoff_max: float = field(default=5.0, metadata=DURATION)
    statements: int = field(default=256, metadata=POSITIVE)  # prepared on one connection; then the oldest are closed
    user_variables: str = field(default="pin", metadata=one_of("pin", "replay"))  # what SET @x = literal does
    keepalive: float = field(default=30.0, metadata=DURATION)  # an upstream that acknowledges nothing so long is gone
    stall_timeout: float = field(default=5.0, metadata=DURATION)  # silent for so long after a timeout: given up

    def lifetime(self, chance: float) -> float:
        """Of one connection, in seconds; ``chance`` in [0, 1) says how much of the jitter it loses."""
        return self.max_lifetime * (1 - self.lifetime_jitter * chance) if self.max_lifetime else inf
