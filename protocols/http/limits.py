"""What a peer may make the gateway hold or do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from protocols.http.frames import DEFAULT_WINDOW, MAX_WINDOW


@final
@mypyc_attr(native_class=False)  # a dataclass stays an ordinary class, also when compiled
@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one connection. What it holds at most: its windows, one header block, and a few frames."""

    max_streams: int = 128  # that the peer may have open at once
    stream_window: int = 256 * 1024  # bytes of one stream's body that were not consumed yet
    connection_window: int = 1024 * 1024  # the same, of all streams together
    max_fields: int = 128
    max_header_bytes: int = 64 * 1024  # as SETTINGS_MAX_HEADER_LIST_SIZE counts them, and of a block as it is sent
    max_continuations: int = 16
    resets: int = 500  # streams that end early, at once ...
    resets_rate: float = 50.0  # ... and in each second
    noise: int = 1000  # frames that carry no message, at once; those that do allow for more of them
    noise_rate: float = 100.0
    extended_connect: bool = False  # RFC 8441: WebSocket over HTTP/2

    def __post_init__(self) -> None:
        """Windows below the initial ones would need to wait for the peer's acknowledgement."""
        for window in (self.stream_window, self.connection_window):
            if not DEFAULT_WINDOW <= window <= MAX_WINDOW:
                raise ValueError(f"a window is between {DEFAULT_WINDOW} and {MAX_WINDOW}, not {window}")


@final
class Allowance:
    """How much more of something a peer may do: a burst that refills with time, looked at when it is used up only."""

    __slots__ = ("_burst", "_left", "_rate", "_since")

    def __init__(self, burst: int, rate: float) -> None:
        self._burst: Final[i64] = burst
        self._rate: Final = rate
        self._left: i64 = burst
        self._since: float = -1.0

    def spend(self, amount: i64, now: float) -> bool:
        """False: there is not so much left."""
        if self._since < 0.0:
            self._since = now
        if self._left < amount:
            refill = (now - self._since) * self._rate
            more: i64 = self._burst if refill >= float(self._burst) else int(refill)
            if more > 0:
                self._left = self._left + more if self._left + more < self._burst else self._burst
                self._since = now
            if self._left < amount:
                return False
        self._left -= amount
        return True

    def earn(self, amount: i64) -> None:
        """Something useful was done."""
        if self._left < self._burst:
            self._left += amount
