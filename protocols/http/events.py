"""What a Connection tells, in the order in which it happened. ``stream.user`` says whom it concerns."""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from protocols.http.errors import Http2Error
from protocols.http.heads import Head
from protocols.http.streams import Stream


class Event:
    """The base of all."""


@final
class HeadersReceived(Event):
    """A request (servers: the stream is new), or the final response (clients)."""

    def __init__(self, stream: Stream, head: Head, end: bool) -> None:
        self.stream: Final = stream
        self.head: Final = head
        self.end: Final = end


@final
class InterimReceived(Event):
    """A response of 1xx; the final one is still to come."""

    def __init__(self, stream: Stream, head: Head) -> None:
        self.stream: Final = stream
        self.head: Final = head


@final
class RequestTooLarge(Event):
    """A request whose header list is beyond the limits. The stream is open: it may be answered with 431."""

    def __init__(self, stream: Stream, size: i64, end: bool) -> None:
        self.stream: Final = stream
        self.size: Final[i64] = size
        self.end: Final = end


@final
class DataReceived(Event):
    """A piece of a body. ``Connection.consume`` gives its bytes back to the peer's window, when it is time."""

    def __init__(self, stream: Stream, data: bytes, end: bool) -> None:
        self.stream: Final = stream
        self.data: Final = data
        self.end: Final = end


@final
class TrailersReceived(Event):
    """Trailers: the message is complete."""

    def __init__(self, stream: Stream, head: Head) -> None:
        self.stream: Final = stream
        self.head: Final = head


@final
class DataSent(Event):
    """Bytes of a stream that had to wait for a window have now been written to ``out``."""

    def __init__(self, stream: Stream, size: i64) -> None:
        self.stream: Final = stream
        self.size: Final[i64] = size


@final
class StreamReset(Event):
    """A stream ended early: by the peer (``label`` is PEER), or because the peer broke a rule (then it was told).

    With REFUSED_STREAM from the peer nothing of it was processed: it may be sent again. A request that broke a rule in
    its first block was never seen before; its stream has no ``user``. With NO_ERROR behind a whole response a
    server says that it needs no more of the request: the response counts (RFC 9113, section 8.1).
    """

    def __init__(self, stream: Stream, code: int, label: str, text: str) -> None:
        self.stream: Final = stream
        self.code: Final[int] = code
        self.label: Final[str] = label
        self.text: Final[str] = text


@final
class SettingsReceived(Event):
    """The peer's SETTINGS have been applied: there may be room for more streams, or less."""


@final
class SettingsAcked(Event):
    """The peer has applied ours."""


@final
class PingAcked(Event):
    """The answer to ``Connection.ping``."""

    def __init__(self, payload: bytes) -> None:
        self.payload: Final = payload


@final
class GoawayReceived(Event):
    """The peer takes no new streams. Those that it has not processed are reset, by events of their own."""

    def __init__(self, last_stream_id: i64, code: int, debug: bytes) -> None:
        self.last_stream_id: Final[i64] = last_stream_id
        self.code: Final[int] = code
        self.debug: Final = debug


@final
class ConnectionFailed(Event):
    """The peer broke the protocol; GOAWAY is in ``out``. All streams are over; close behind what is to be sent."""

    def __init__(self, error: Http2Error) -> None:
        self.error: Final = error
