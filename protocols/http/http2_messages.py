"""The half of an HTTP/2 connection that receives messages: HEADERS, DATA and RST_STREAM, as events."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from protocols.http.errors import (
    COMPRESSION,
    COMPRESSION_ERROR,
    CONTENT_LENGTH,
    CONTROL_FLOOD,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAMING,
    HEADER_LIST,
    MALFORMED,
    PEER,
    PROTOCOL_ERROR,
    RAPID_RESET,
    REFUSED_STREAM,
    STREAM_CLOSED,
    STREAM_LIMIT,
    WINDOW,
    HpackError,
    Http2ConnectionError,
    Http2StreamError,
)
from protocols.http.events import (
    DataReceived,
    HeadersReceived,
    InterimReceived,
    RequestTooLarge,
    StreamReset,
    TrailersReceived,
)
from protocols.http.fields import Field
from protocols.http.frames import END_STREAM, PADDED, fixed, u32, unpadded, write_reset
from protocols.http.heads import NO_LENGTH, REQUEST, RESPONSE, TRAILERS, read_head
from protocols.http.hpack import Decoder, Encoder
from protocols.http.http2_send import EARNED, Sender
from protocols.http.limits import Allowance, Limits
from protocols.http.streams import (
    CLOSED,
    IGNORED,
    OPEN,
    RECV_DATA,
    RECV_END,
    RECV_HEADERS,
    STREAM_ERROR,
    Stream,
    next_state,
)


class Messages(Sender):
    """See the module."""

    def __init__(self, server: bool, limits: Limits, encoder: Encoder) -> None:
        super().__init__(server, limits, encoder)
        self.decoder: Final = Decoder(limits.max_fields, limits.max_header_bytes)
        self.last_id: i64 = 0  # the highest stream that a client has opened here
        self.now: float = 0.0
        self._resets: Final = Allowance(limits.resets, limits.resets_rate)
        self._max_streams: Final[i64] = limits.max_streams
        self._extended_connect: Final[bool] = limits.extended_connect
        self._depends_on: i64 = 0  # what the current HEADERS frame says

    def _on_block(self, block: bytes, flags: i64, stream_id: i64) -> None:
        """A whole header block (section 6.2). Whatever becomes of it, the table of the decoder has to know it."""
        try:
            fields = self.decoder.decode(block)
        except HpackError as error:
            raise Http2ConnectionError(COMPRESSION_ERROR, COMPRESSION, str(error)) from None
        end = flags & END_STREAM != 0
        stream = self.streams.find(stream_id)
        if stream is None:
            if not self.server or stream_id & 1 == 0 or stream_id <= self.last_id:
                self._missing(stream_id, "HEADERS")
            elif not self.goaway_sent:
                self._on_request(fields, end, stream_id)
            return
        state = next_state(stream.state, RECV_HEADERS)
        if state >= STREAM_ERROR or (state == IGNORED and stream.reset_by_peer):
            raise Http2StreamError(stream_id, STREAM_CLOSED, FRAMING, "HEADERS on a stream that the peer has ended")
        if state == IGNORED:
            return
        if self.decoder.oversize:
            raise Http2StreamError(
                stream_id, ENHANCE_YOUR_CALM, HEADER_LIST, f"a header list of {self.decoder.size} bytes"
            )
        if stream.head_seen:
            self._on_trailers(stream, fields, end)
        else:
            self._on_response(stream, fields, end)

    def _on_request(self, fields: list[Field], end: bool, stream_id: i64) -> None:
        self.last_id = stream_id
        stream = Stream(stream_id, self.initial_send_window, self.stream_window)
        stream.state = OPEN
        stream.head_seen = True
        self.streams.add(stream)
        self.active += 1
        if self.active > self._max_streams:
            raise Http2StreamError(stream_id, REFUSED_STREAM, STREAM_LIMIT, f"more than {self._max_streams} streams")
        if self._depends_on == stream_id:
            raise Http2StreamError(stream_id, PROTOCOL_ERROR, FRAMING, "a stream that depends on itself")
        self._noise.earn(EARNED)
        if self.decoder.oversize:
            if end:
                stream.state = next_state(OPEN, RECV_END)
            self._events.append(RequestTooLarge(stream, self.decoder.size, end))
            return
        head = read_head(REQUEST, fields, self._extended_connect)
        if head.fault:
            raise Http2StreamError(stream_id, PROTOCOL_ERROR, MALFORMED, head.fault)
        stream.tunnel = head.method == b"CONNECT"
        if not stream.tunnel:
            stream.body_left = head.content_length
        if end:
            if stream.body_left > 0:
                raise Http2StreamError(stream_id, PROTOCOL_ERROR, CONTENT_LENGTH, "content-length, and no body")
            stream.state = next_state(OPEN, RECV_END)
        self._events.append(HeadersReceived(stream, head, end))

    def _on_response(self, stream: Stream, fields: list[Field], end: bool) -> None:
        head = read_head(RESPONSE, fields, False)
        if head.fault:
            raise Http2StreamError(stream.id, PROTOCOL_ERROR, MALFORMED, head.fault)
        status: i64 = head.status
        if status < 200:
            if end:
                raise Http2StreamError(stream.id, PROTOCOL_ERROR, MALFORMED, f"status {status} ends the stream")
            self._disturbed(1)
            self._events.append(InterimReceived(stream, head))
            return
        stream.head_seen = True
        self._noise.earn(EARNED)
        if stream.tunnel and status < 300:
            stream.body_left = NO_LENGTH
        elif stream.bodiless or status == 204 or status == 304:
            stream.body_left = 0
        else:
            stream.body_left = head.content_length
            if end and stream.body_left > 0:
                raise Http2StreamError(stream.id, PROTOCOL_ERROR, CONTENT_LENGTH, "content-length, and no body")
        self._events.append(HeadersReceived(stream, head, end))
        if end:
            self._peer_ended(stream)

    def _on_trailers(self, stream: Stream, fields: list[Field], end: bool) -> None:
        if not end:
            raise Http2StreamError(stream.id, PROTOCOL_ERROR, MALFORMED, "trailers that do not end the stream")
        head = read_head(TRAILERS, fields, False)
        if head.fault:
            raise Http2StreamError(stream.id, PROTOCOL_ERROR, MALFORMED, head.fault)
        if stream.body_left > 0:
            raise Http2StreamError(stream.id, PROTOCOL_ERROR, CONTENT_LENGTH, "a body shorter than its content-length")
        self._events.append(TrailersReceived(stream, head))
        self._peer_ended(stream)

    def _on_data(self, data: bytes, at: i64, length: i64, flags: i64, stream_id: i64) -> None:
        """DATA (section 6.1)."""
        if length > self.receive_window:
            raise Http2ConnectionError(FLOW_CONTROL_ERROR, WINDOW, "more data than the connection's window")
        self.receive_window -= length
        stop: i64 = at + length
        end = flags & END_STREAM != 0
        start: i64 = at
        if flags & PADDED != 0:
            stop = unpadded(data, at, stop)
            start += 1
        stream = self.streams.find(stream_id)
        if stream is None:
            self._missing(stream_id, "DATA")
            self._credit(length)
            return
        state = next_state(stream.state, RECV_DATA)
        if state >= IGNORED:
            self._credit(length)
            if state != IGNORED or stream.reset_by_peer:
                raise Http2StreamError(stream_id, STREAM_CLOSED, FRAMING, "DATA on a stream that the peer has ended")
            return
        if length > stream.receive_window:
            self._credit(length)
            raise Http2StreamError(stream_id, FLOW_CONTROL_ERROR, WINDOW, "more data than the stream's window")
        stream.receive_window -= length
        stream.held += length
        size: i64 = stop - start
        if not stream.head_seen:
            raise Http2StreamError(stream_id, PROTOCOL_ERROR, MALFORMED, "DATA before the response")
        if stream.body_left != NO_LENGTH:
            stream.body_left -= size
            if stream.body_left < 0 or (end and stream.body_left > 0):
                raise Http2StreamError(stream_id, PROTOCOL_ERROR, CONTENT_LENGTH, "content-length and body differ")
        if length > size:
            self.consume(stream, length - size)
        if size > 0:
            self._noise.earn(EARNED + (size >> 10))
        elif not end:
            self._disturbed(1)
            return
        self._events.append(DataReceived(stream, data[start:stop], end))
        if end:
            self._peer_ended(stream)

    def _on_reset(self, data: bytes, at: i64, length: i64, stream_id: i64) -> None:
        """RST_STREAM (section 6.4)."""
        fixed(length, 4, "RST_STREAM")
        stream = self.streams.find(stream_id)
        if stream is None or stream.state == CLOSED:
            if stream is None:
                self._not_idle(stream_id, "RST_STREAM")
            self._disturbed(1)
            return
        self._ended_early()
        code = u32(data, at)
        stream.reset_by_peer = True
        self._bury(stream)
        self._events.append(StreamReset(stream, code, PEER, f"reset by the peer with code {code}"))

    def _refuse(self, error: Http2StreamError) -> None:
        """An error of a stream (section 5.4.2)."""
        write_reset(self.out, error.stream_id, error.code)
        stream = self.streams.find(error.stream_id)
        if stream is not None and stream.state != CLOSED:
            self._bury(stream)
            self._events.append(StreamReset(stream, error.code, error.label, str(error)))
        self._ended_early()

    def _ended_early(self) -> None:
        """Streams that a client resets, or makes us reset, cost more than they cost it: CVE-2023-44487."""
        if self.server and not self._resets.spend(1, self.now):
            raise Http2ConnectionError(ENHANCE_YOUR_CALM, RAPID_RESET, "too many streams that end early")

    def _peer_ended(self, stream: Stream) -> None:
        """The peer has sent END_STREAM."""
        state = next_state(stream.state, RECV_END)
        if state == CLOSED:
            self._close(stream)
        else:
            stream.state = state

    def _missing(self, stream_id: i64, what: str) -> None:
        """A message's frame for a stream that is not there: one that never was, has ended, or is long reset."""
        self._not_idle(stream_id, what)
        if stream_id > self._forgotten and not self.goaway_sent:
            raise Http2ConnectionError(STREAM_CLOSED, FRAMING, f"{what} on stream {stream_id}, which has ended")

    def _not_idle(self, stream_id: i64, what: str) -> None:
        """Section 5.1: of an idle stream nothing is known yet, so nothing can be said of it."""
        if stream_id == 0 or stream_id & 1 == 0:
            raise Http2ConnectionError(PROTOCOL_ERROR, FRAMING, f"{what} on stream {stream_id}")
        idle = stream_id >= self.next_id
        if self.server:
            idle = stream_id > self.last_id and not self.goaway_sent
        if idle:
            raise Http2ConnectionError(PROTOCOL_ERROR, FRAMING, f"{what} on stream {stream_id}, which is idle")

    def _disturbed(self, cost: i64) -> None:
        """A frame that carries no message: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, ..."""
        if not self._noise.spend(cost, self.now):
            raise Http2ConnectionError(ENHANCE_YOUR_CALM, CONTROL_FLOOD, "too many frames that carry no message")
