"""Conversations over HTTP/2: our Connection with the h2 package, with another of its kind, or with bare frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event as H2Event
from librt.strings import BytesWriter

from protocols.http.events import ConnectionFailed, DataReceived, Event, HeadersReceived, StreamReset, TrailersReceived
from protocols.http.fields import Field, fields
from protocols.http.frames import PREFACE, FrameScanner, write_block, write_settings
from protocols.http.hpack import Encoder
from protocols.http.http2 import Connection
from protocols.http.limits import Limits

Pairs = list[tuple[bytes, bytes]]

GET: Pairs = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a.test"), (b":path", b"/")]
POST: Pairs = [(b":method", b"POST"), *GET[1:]]
OK: Pairs = [(b":status", b"200"), (b"content-type", b"text/plain")]


def pairs(found: list[Field]) -> Pairs:
    return [(one.name, one.value) for one in found]


def block(of: Pairs) -> bytes:
    """A header block that depends on no table."""
    out = BytesWriter()
    Encoder(0, False).encode(fields(*of), out)
    return out.getvalue()


def written(write: Callable[..., None], *arguments: object) -> bytes:
    out = BytesWriter()
    write(out, *arguments)
    return out.getvalue()


def headers(stream_id: int, of: Pairs, end: bool = True) -> bytes:
    return written(write_block, stream_id, block(of), end)


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Any frame, also one that nobody should write."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def hello(settings: list[tuple[int, int]] | None = None) -> bytes:
    """What a client says first."""
    return PREFACE + written(write_settings, settings or [])


def frames(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of each frame."""
    scanner, at = FrameScanner(), 24 if data.startswith(PREFACE) else 0
    while at < len(data):
        end = scanner.scan(data, at)
        assert end > 0, "an unfinished frame"
        yield scanner.kind, scanner.flags, scanner.stream_id, data[at + 9 : end]
        at = end


def served(limits: Limits | None = None) -> Connection:
    """A server whose client has said hello; what it answered is gone."""
    server = Connection(True, limits)
    server.receive(hello(), 0.0)
    server.take()
    return server


def asking(limits: Limits | None = None) -> Connection:
    """A client whose server has said hello; what it answered is gone."""
    client = Connection(False, limits)
    client.receive(written(write_settings, []), 0.0)
    client.take()
    return client


def failure(events: list[Event]) -> tuple[int, str]:
    """Code and label of what ended the connection."""
    last = events[-1]
    assert isinstance(last, ConnectionFailed), events
    return last.error.code, last.error.label


def resets(events: list[Event]) -> list[tuple[int, int, str]]:
    """Stream, code and label of each stream that was reset."""
    return [(event.stream.id, event.code, event.label) for event in events if isinstance(event, StreamReset)]


def told(events: Iterable[Event]) -> list[object]:
    """Events as plain values, bodies joined: what a conversation comes to, however it was torn."""
    lines: list[object] = []
    for event in events:
        if isinstance(event, HeadersReceived):
            lines.append((event.stream.id, "headers", pairs(event.head.fields), event.end))
        elif isinstance(event, TrailersReceived):
            lines.append((event.stream.id, "trailers", pairs(event.head.fields)))
        elif isinstance(event, DataReceived):
            lines.append((event.stream.id, "data", event.data, event.end))
        elif isinstance(event, StreamReset):
            lines.append((event.stream.id, "reset", event.code, event.label))
        elif isinstance(event, ConnectionFailed):
            lines.append(("failed", event.error.code, event.error.label, str(event.error)))
        else:
            lines.append(type(event).__name__)
    return lines


class Talk:
    """Our side and the h2 package's: whatever either has to say is carried over until both are silent."""

    def __init__(self, server: bool, limits: Limits | None = None) -> None:
        self.ours = Connection(server, limits)
        self.theirs = H2Connection(H2Configuration(client_side=server, header_encoding=False))
        self.theirs.initiate_connection()
        self.events: list[Event] = []
        self.their_events: list[H2Event] = []
        self.consume = True
        self.go_on()

    def go_on(self) -> None:
        while True:
            data = self.ours.take()
            if data:
                self.their_events += self.theirs.receive_data(data)
            back = self.theirs.data_to_send()
            if back:
                for event in self.ours.receive(back, 0.0):
                    self.events.append(event)
                    if isinstance(event, DataReceived) and self.consume:
                        self.ours.consume(event.stream, len(event.data))
            if not data and not back:
                return

    def of(self, kind: type[H2Event]) -> list[H2Event]:
        return [event for event in self.their_events if isinstance(event, kind)]
