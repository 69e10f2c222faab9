"""Limits of this machine that a benchmark needs raised."""

from __future__ import annotations

import resource


def raise_open_files() -> int:
    """Allow as many open files as the machine lets us; children inherit it."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
