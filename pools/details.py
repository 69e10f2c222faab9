"""What an operator reads where a lease was refused: the setting that stood in the way, and its value."""

from __future__ import annotations

from pools.settings import PoolSettings
from pools.slot import Slots
from pools.throttle import Throttle
from protocols.settings import render_duration, render_rate


def full(settings: PoolSettings) -> str:
    """The queue is full."""
    waiting, connections = settings.max_waiting, settings.max_connections
    return f"too many wait for a connection (max_waiting {waiting}, max_connections {connections})"


def down(settings: PoolSettings, throttle: Throttle) -> str:
    """Connects fail."""
    pause = render_duration(settings.backoff_max)
    return f"upstream down: {throttle.failure} (tried again within backoff_max {pause})"


def overdue(settings: PoolSettings, throttle: Throttle, slots: Slots) -> str:
    """Somebody waited too long: for what?"""
    connecting, lent = slots.connecting.count, slots.leased.count + slots.cleaning.count
    if lent >= settings.max_connections:
        cause = f"max_connections {settings.max_connections}"
    elif throttle.failures:
        cause = f"connects fail: {throttle.failure}"
    elif settings.connect_rate is not None and connecting == 0:
        cause = f"connect_rate {render_rate(settings.connect_rate)}"
    else:
        cause = f"{lent} of max_connections {settings.max_connections} lent, {connecting} still connecting"
    return f"no free connection within wait_timeout {render_duration(settings.wait_timeout)} ({cause})"
