"""Whether poolgate refused anything during a turn: its limits are far above the load, so it must not have."""

from __future__ import annotations

import urllib.error
import urllib.request

from bench.process import LOOPBACK

WORDS = ("refus", "fault", "reject")  # in the names of the counters that must stay at zero


def counted(metrics: str) -> dict[str, float]:
    """The counters of a Prometheus exposition that tell of refusals and are not zero."""
    found = {}
    for line in metrics.splitlines():
        name, _, value = line.rpartition(" ")
        if name and not line.startswith("#") and any(word in name.partition("{")[0] for word in WORDS):
            amount = float(value)
            if amount and not name.partition("{")[0].endswith("_created"):
                found[name] = amount
    return found


def found(admin: int | None) -> str | None:
    """What the admin address of a poolgate says, if anything was refused."""
    if admin is None:
        return None
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{admin}/metrics", timeout=5) as answer:
            refused = counted(answer.read().decode())
    except (urllib.error.URLError, OSError) as problem:
        return f"/metrics cannot be read: {problem}"
    return f"poolgate refused: {refused}" if refused else None
