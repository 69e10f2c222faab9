"""Whether poolgate refused or failed anything during a turn: its limits are far above the load, so it must not have."""

from __future__ import annotations

import re
import urllib.error
import urllib.request

from bench.process import LOOPBACK

# Commands that a gate refused or that failed, and clients that were turned away: all have to stay at zero.
BAD = re.compile(r'_refused_total|_turned_away_total|outcome="(refused|app_error|retryable|fatal)"')


def counted(metrics: str, tolerated: str = "") -> dict[str, float]:
    """The counters of a Prometheus exposition that tell of refusals and failures and are not zero."""
    samples = (line.rpartition(" ") for line in metrics.splitlines() if not line.startswith("#"))
    bad = {name: float(value) for name, _, value in samples if BAD.search(name) and float(value)}
    return {name: value for name, value in bad.items() if not tolerated or f'outcome="{tolerated}"' not in name}


def found(admin: int | None, tolerated: str = "") -> str | None:
    """What the admin address of a poolgate says, if anything was refused; one outcome may be expected."""
    if admin is None:
        return None
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{admin}/metrics", timeout=5) as answer:
            refused = counted(answer.read().decode(), tolerated)
    except (urllib.error.URLError, OSError) as problem:
        return f"/metrics cannot be read: {problem}"
    return f"poolgate refused or failed: {refused}" if refused else None
