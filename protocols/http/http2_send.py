"""The half of an HTTP/2 connection that sends: commands, windows of the peer, and what waits for them.

DATA that no window allows waits in its stream, and leaves when WINDOW_UPDATE comes: round robin, a frame each. What
waits is bounded by whoever gives it: it consumes at its source only what was sent (RFC 9113, section 5.2).
"""

from __future__ import annotations

from typing import Final

from librt.strings import BytesWriter
from mypy_extensions import i64, u8

from protocols.http.errors import CANCEL, FLOW_CONTROL_ERROR, WINDOW, Http2ConnectionError
from protocols.http.events import DataSent, Event
from protocols.http.fields import Field
from protocols.http.frames import (
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    HEADER,
    HEADERS,
    MAX_LENGTH,
    MAX_STREAM_ID,
    MAX_WINDOW,
    write_block,
    write_data,
    write_header,
    write_ping,
    write_reset,
    write_window_update,
)
from protocols.http.hpack import Encoder
from protocols.http.limits import Allowance, Limits
from protocols.http.streams import (
    CLOSED,
    HALF_CLOSED_LOCAL,
    IGNORED,
    MISUSE,
    OPEN,
    SEND_END,
    SEND_HEADERS,
    SEND_RESET,
    Stream,
    StreamTable,
    next_state,
)

FIRST_STREAMS: Final = 100  # that a client opens before it has seen the server's SETTINGS

_KEPT: Final = 65536  # bytes that an empty ``out`` keeps hold of
_TOMBS: Final = 64  # streams that were reset, and whose late frames are known as such
EARNED: Final = 4  # frames without a message that one with a message allows for, beside one for each KiB


class Sender:
    """See the module. ``out`` has what is to be sent; ``take`` empties it."""

    def __init__(self, server: bool, limits: Limits, encoder: Encoder) -> None:
        self.server: Final[bool] = server
        self.limits: Final = limits
        self.encoder: Final = encoder
        self.out: BytesWriter = BytesWriter()
        self.streams: Final = StreamTable()
        self.active: i64 = 0  # streams that are open, or half closed
        self.failed: bool = False  # the connection is over
        self.goaway_received: bool = False
        self.goaway_sent: bool = False  # the final one
        self.peer_max_streams: i64 = FIRST_STREAMS
        self.next_id: i64 = 1  # of a client's next stream
        self.send_window: i64 = DEFAULT_WINDOW  # what the peer allows all streams together
        self.initial_send_window: i64 = DEFAULT_WINDOW
        self.stream_window: Final[i64] = limits.stream_window
        self.connection_window: Final[i64] = limits.connection_window
        self.receive_window: i64 = DEFAULT_WINDOW
        self.consumed: i64 = 0  # bytes that the peer was not told of
        self._events: list[Event] = []
        self._writable: bool = True
        self._waiting: Final[list[Stream]] = []  # those that have something to send, and a window of their own
        self._noise: Final = Allowance(limits.noise, limits.noise_rate)
        self._tombs: Final[list[Stream]] = []
        self._forgotten: i64 = 0  # the highest id of a tomb that had to go

    # Output

    def take(self) -> bytes:
        """What is to be sent now."""
        data = self.out.getvalue()
        if len(data) > _KEPT:
            self.out = BytesWriter()
        else:
            self.out.truncate(0)
        return data

    def pause(self) -> None:
        """The transport is full: DATA waits. Do not feed what the peer sends meanwhile: it may ask for answers."""
        self._writable = False

    def resume(self) -> list[Event]:
        """The transport has room again; says which waiting bytes have left."""
        self._writable = True
        self._pump()
        return self._told()

    # Commands

    def can_open(self) -> bool:
        """A client may open a stream now."""
        return not (
            self.failed
            or self.goaway_received
            or self.goaway_sent
            or self.active >= self.peer_max_streams
            or self.next_id > MAX_STREAM_ID
        )

    def open(self, fields: list[Field], end: bool, method: bytes = b"", user: object = None) -> Stream:
        """Send a request on a new stream (RFC 9113, section 8.1).

        Args:
            fields: the pseudo-header fields first, names in lower case.
            end: there is no body.
            method: what ``fields`` says; the answers to HEAD and CONNECT are read by it.
            user: becomes the stream's.

        Raises:
            ValueError: ``can_open`` says no.
        """
        if self.server or not self.can_open():
            raise ValueError("no stream can be opened")
        stream = Stream(self.next_id, self.initial_send_window, self.stream_window)
        self.next_id += 2
        stream.user = user
        stream.bodiless = method == b"HEAD"
        stream.tunnel = method == b"CONNECT"
        self.streams.add(stream)
        self.active += 1
        self.send_headers(stream, fields, end)
        return stream

    def send_headers(self, stream: Stream, fields: list[Field], end: bool) -> None:
        """Send a response, an interim one, or trailers (with ``end``), which wait behind the data.

        On a stream that has closed meanwhile nothing happens, here and in all that follows.

        Raises:
            ValueError: this side has already ended the stream.
        """
        state = next_state(stream.state, SEND_HEADERS)
        if state >= MISUSE:
            if state == IGNORED:
                return
            raise ValueError(f"{stream!r} cannot send headers")
        if stream.parts is not None:
            if not end or stream.end_queued:
                raise ValueError(f"{stream!r} cannot send headers")
            stream.trailers = fields
            stream.end_queued = True
            return
        stream.state = state
        self._write_fields(stream.id, fields, end)
        if end:
            self._ended(stream)

    def send_data(self, stream: Stream, data: bytes, end: bool) -> i64:
        """Send a piece of the body; returns how many bytes left at once. DataSent tells of the others, if ever.

        Raises:
            ValueError: this side has already ended the stream, or has not begun it.
        """
        if stream.state == CLOSED:
            return 0
        if stream.end_queued or next_state(stream.state, SEND_END) == MISUSE:
            raise ValueError(f"{stream!r} cannot send data")
        n: i64 = len(data)
        parts = stream.parts
        if parts is None:
            room = n <= self.send_window and n <= stream.send_window and self._writable
            if n == 0 or (room and n <= MAX_LENGTH):
                if n > 0 or end:
                    write_data(self.out, stream.id, data, end)
                    stream.send_window -= n
                    self.send_window -= n
                    self._noise.earn(EARNED + (n >> 10))
                if end:
                    self._ended(stream)
                return n
            parts = []
            stream.parts = parts
        stream.end_queued = end
        if n > 0:
            parts.append(data)
            stream.queued += n
        sent: i64 = 0
        while stream.parts is not None:
            size = self._send_part(stream)
            if size == 0:
                self._wait(stream)
                break
            sent += size
        return sent

    def reset(self, stream: Stream, code: int = CANCEL) -> None:
        """End a stream early; what waits to be sent is dropped, what arrived is given back to the window."""
        state = next_state(stream.state, SEND_RESET)
        if state == CLOSED:
            write_reset(self.out, stream.id, code)
            self._bury(stream)

    def consume(self, stream: Stream, size: i64) -> None:
        """So many bytes of what DataReceived brought are dealt with: the peer may send as many more."""
        if size > stream.held:
            size = stream.held
        if size <= 0 or self.failed:
            return
        stream.held -= size
        self._credit(size)
        if stream.state == OPEN or stream.state == HALF_CLOSED_LOCAL:
            stream.consumed += size
            if stream.consumed >= self.stream_window >> 1:
                write_window_update(self.out, stream.id, stream.consumed)
                stream.receive_window += stream.consumed
                stream.consumed = 0

    def ping(self, payload: bytes) -> None:
        """Eight bytes that come back as PingAcked."""
        write_ping(self.out, payload, False)

    # What is below them

    def _told(self) -> list[Event]:
        """The events so far; they are not kept, as bodies are in them."""
        events = self._events
        self._events = []
        return events

    def _credit(self, size: i64) -> None:
        self.consumed += size
        if self.consumed >= self.connection_window >> 1:
            write_window_update(self.out, 0, self.consumed)
            self.receive_window += self.consumed
            self.consumed = 0

    def _write_fields(self, stream_id: i64, fields: list[Field], end: bool) -> None:
        """HEADERS: the block is written behind a header whose length is put in afterwards."""
        out = self.out
        start: i64 = len(out)
        flags: i64 = END_HEADERS | END_STREAM if end else END_HEADERS
        write_header(out, 0, HEADERS, flags, stream_id)
        self.encoder.encode(fields, out)
        n: i64 = len(out) - start - HEADER
        if n > MAX_LENGTH:  # it goes on in CONTINUATION
            block = out.getvalue()[start + HEADER :]
            out.truncate(start)
            write_block(out, stream_id, block, end)
            return
        out[start] = u8(n >> 16)
        out[start + 1] = u8((n >> 8) & 0xFF)
        out[start + 2] = u8(n & 0xFF)

    def _send_part(self, stream: Stream) -> i64:
        """Write one frame of what waits, as far as the windows allow; and what is behind the last one."""
        parts = stream.parts
        if parts is None:
            return 0
        size: i64 = 0
        if len(parts) > 0:
            part = parts[0]
            n: i64 = len(part)
            size = n - stream.offset
            if size > MAX_LENGTH:
                size = MAX_LENGTH
            if size > self.send_window:
                size = self.send_window
            if size > stream.send_window:
                size = stream.send_window
            if size <= 0 or not self._writable:
                return 0
            begin: i64 = stream.offset
            done = begin + size == n
            last = done and len(parts) == 1 and stream.end_queued and stream.trailers is None
            write_header(self.out, size, DATA, END_STREAM if last else 0, stream.id)
            self.out.write(part[begin : begin + size])
            self._noise.earn(EARNED + (size >> 10))
            stream.send_window -= size
            self.send_window -= size
            stream.queued -= size
            stream.offset = 0 if done else begin + size
            if done:
                del parts[0]
            if last:
                stream.parts = None
                self._ended(stream)
                return size
        if len(parts) == 0:
            stream.parts = None
            trailers = stream.trailers
            if trailers is not None:
                stream.trailers = None
                self._write_fields(stream.id, trailers, True)
                self._ended(stream)
        return size

    def _wait(self, stream: Stream) -> None:
        if not stream.waiting and stream.parts is not None and stream.send_window > 0:
            stream.waiting = True
            self._waiting.append(stream)

    def _pump(self) -> None:
        """Windows or the transport have room: send what waits, a frame of each stream in turn."""
        waiting = self._waiting
        at: i64 = 0
        while at < len(waiting) and self._writable and self.send_window > 0:
            stream = waiting[at]
            at += 1
            stream.waiting = False
            size = self._send_part(stream)
            if size > 0:
                self._events.append(DataSent(stream, size))
            self._wait(stream)
        if at > 0:
            del waiting[:at]

    def _ended(self, stream: Stream) -> None:
        """This side has sent END_STREAM."""
        state = next_state(stream.state, SEND_END)
        if state == CLOSED:
            self._close(stream)
        else:
            stream.state = state

    def _close(self, stream: Stream) -> None:
        """Both sides have ended the stream."""
        stream.state = CLOSED
        self.active -= 1
        self.streams.remove(stream)

    def _bury(self, stream: Stream) -> None:
        """The stream was reset. It is kept for a while: what crosses with the reset is no error."""
        stream.state = CLOSED
        stream.parts = None
        stream.trailers = None
        stream.queued = 0
        self.active -= 1
        if stream.held > 0:
            self._credit(stream.held)
            stream.held = 0
        tombs = self._tombs
        tombs.append(stream)
        if len(tombs) > _TOMBS:
            eldest = tombs.pop(0)
            self.streams.remove(eldest)
            if eldest.id > self._forgotten:
                self._forgotten = eldest.id

    def _change_initial_window(self, window: i64) -> None:
        """RFC 9113, section 6.9.2."""
        delta: i64 = window - self.initial_send_window
        self.initial_send_window = window
        for stream in self.streams.all():
            stream.send_window += delta
            if stream.send_window > MAX_WINDOW:
                raise Http2ConnectionError(FLOW_CONTROL_ERROR, WINDOW, "SETTINGS overflow a window")
            self._wait(stream)
        self._pump()
