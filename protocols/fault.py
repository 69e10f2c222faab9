"""A Fault is a value that says why a call was not served; the codec renders it in the client's own protocol."""

from __future__ import annotations

from typing import Final, final

# Reasons: the words of metrics, logs and messages.
LIMITED: Final = "limited"
BUSY: Final = "busy"
OPEN: Final = "open"
TIMEOUT: Final = "timeout"
DENIED: Final = "denied"
NO_ENDPOINT: Final = "no_endpoint"  # nothing to send it to: down, refused, backing off
LOST: Final = "lost"  # sent, and the connection ended before the reply
POOL_EXHAUSTED: Final = "pool_exhausted"
DRAINING: Final = "draining"
UNSUPPORTED: Final = "unsupported"
REASONS: Final = (LIMITED, BUSY, OPEN, TIMEOUT, DENIED, NO_ENDPOINT, LOST, POOL_EXHAUSTED, DRAINING, UNSUPPORTED)


@final
class Fault:
    """Why a call was not served: service, reason, the policy that said so, and the detail an operator needs.

    Immutable; a gate builds its faults once, so a refusal formats nothing.
    ``str()`` reads ``poolgate: cache: rate limit 20000/s exceeded (policy rate_limit)``.
    """

    __slots__ = ("detail", "endpoint", "policy", "reason", "service")

    def __init__(self, reason: str, service: str, detail: str, policy: str = "", endpoint: str = "") -> None:
        self.reason: Final = reason
        self.service: Final = service
        self.detail: Final = detail
        self.policy: Final = policy
        self.endpoint: Final = endpoint

    def __str__(self) -> str:
        text = f"poolgate: {self.service}: {self.detail}"
        if self.endpoint:
            text += f" [{self.endpoint}]"
        if self.policy:
            text += f" (policy {self.policy})"
        return text
