"""An HTTP/2 connection (RFC 9113), either side of it: bytes and commands in, events and bytes out.

``receive`` reads what the peer sent and returns what happened; commands (see Sender) and answers that the protocol
itself asks for are written to ``out``. It never raises for what a peer sends: an error of a stream resets it and is
told by StreamReset, an error of the connection is the last event, ConnectionFailed.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from protocols.http.errors import (
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    FRAMING,
    NO_ERROR,
    PEER,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    WINDOW,
    Http2ConnectionError,
    Http2StreamError,
)
from protocols.http.events import (
    ConnectionFailed,
    Event,
    GoawayReceived,
    PingAcked,
    SettingsAcked,
    SettingsReceived,
    StreamReset,
)
from protocols.http.frames import (
    ACK,
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    ENABLE_CONNECT_PROTOCOL,
    ENABLE_PUSH,
    END_HEADERS,
    GOAWAY,
    HAS_PRIORITY,
    HEADER,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_HEADER_LIST_SIZE,
    MAX_STREAM_ID,
    MAX_WINDOW,
    MORE,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    BlockAssembler,
    FrameScanner,
    fixed,
    read_settings,
    u32,
    unpadded,
    write_goaway,
    write_ping,
    write_settings,
    write_settings_ack,
    write_window_update,
)
from protocols.http.hpack import Encoder
from protocols.http.http2_messages import Messages
from protocols.http.limits import Limits
from protocols.http.streams import CLOSED, HALF_CLOSED_REMOTE, Stream

_SETTINGS_COST: Final = 10  # each is acknowledged, and may touch every stream
_DRAIN: Final = b"poolgate"  # the PING behind the first GOAWAY of a graceful end
_DEBUG: Final = 200  # bytes of a GOAWAY's text


@final
class Connection(Messages):
    """One connection. The preface and our SETTINGS are in ``out`` from the start.

    A server's encoder has no table by default, as its clients are near; a client's has one.
    """

    def __init__(self, server: bool, limits: Limits | None = None, encoder: Encoder | None = None) -> None:
        bounds = limits if limits is not None else Limits()
        if encoder is None:
            encoder = Encoder(0, False) if server else Encoder()
        super().__init__(server, bounds, encoder)
        self.settings_acked: bool = False
        self.peer_extended_connect: bool = False  # the server takes extended CONNECT (RFC 8441)
        self.peer_max_header_bytes: i64 = -1  # what the peer says it takes; -1: nothing
        self.draining: bool = False
        self._rest: bytes = b""
        self._scanner: Final = FrameScanner()
        self._assembler: Final = BlockAssembler(bounds.max_header_bytes, bounds.max_continuations)
        self._preface_left: bool = server
        self._settings_seen: bool = False
        self._peer_last: i64 = MAX_STREAM_ID  # of the peer's last GOAWAY
        settings = [(INITIAL_WINDOW_SIZE, bounds.stream_window), (MAX_HEADER_LIST_SIZE, bounds.max_header_bytes)]
        if server:
            settings.append((MAX_CONCURRENT_STREAMS, bounds.max_streams))
            if bounds.extended_connect:
                settings.append((ENABLE_CONNECT_PROTOCOL, 1))
        else:
            self.out.write(PREFACE)
            settings.append((ENABLE_PUSH, 0))
        write_settings(self.out, settings)
        if bounds.connection_window > DEFAULT_WINDOW:
            write_window_update(self.out, 0, bounds.connection_window - DEFAULT_WINDOW)
            self.receive_window = bounds.connection_window

    # Commands

    def upgraded(self, settings: bytes, user: object = None) -> Stream:
        """A server goes on from HTTP/1.1 with ``Upgrade: h2c``: stream 1 is its request, and awaits the response.

        Args:
            settings: the payload in ``HTTP2-Settings`` (RFC 7540, section 3.2.1), decoded.
            user: becomes the stream's.

        Raises:
            Http2ConnectionError: the settings are not allowed.
        """
        self._apply(read_settings(settings, 0, len(settings)))
        stream = Stream(1, self.initial_send_window, self.stream_window)
        stream.state = HALF_CLOSED_REMOTE
        stream.head_seen = True
        stream.user = user
        self.streams.add(stream)
        self.active += 1
        self.last_id = 1
        return stream

    def drain(self) -> None:
        """Take no new streams, gracefully (section 6.8): what the peer sent before it knew is still served."""
        if self.draining or self.failed:
            return
        self.draining = True
        if self.server:
            write_goaway(self.out, MAX_STREAM_ID, NO_ERROR, b"")
            write_ping(self.out, _DRAIN, False)
        else:
            self.goaway(NO_ERROR)

    def goaway(self, code: int, debug: bytes = b"") -> None:
        """Say which stream was the last one that is served."""
        if not self.goaway_sent:
            self.draining = True
            self.goaway_sent = True
            write_goaway(self.out, self.last_id, code, debug)

    def finished(self) -> bool:
        """Nothing more is to come: the connection can be closed once ``out`` is sent."""
        return self.failed or (self.active == 0 and (self.goaway_sent or self.goaway_received))

    # What arrives

    def receive(self, data: bytes, now: float) -> list[Event]:
        """The peer sent this; returns what happened."""
        if self.failed:
            return []
        self.now = now
        if self._rest:
            data = self._rest + data
        try:
            at = self._read(data)
            self._rest = data[at:]
        except Http2ConnectionError as error:
            self._fail(error)
        return self._told()

    def _fail(self, error: Http2ConnectionError) -> None:
        """Section 5.4.1."""
        self.failed = True
        self.draining = True
        self._rest = b""
        write_goaway(self.out, self.last_id, error.code, str(error).encode()[:_DEBUG])
        for stream in self.streams.all():
            stream.state = CLOSED
            stream.parts = None
        self.active = 0
        self._events.append(ConnectionFailed(error))

    def _read(self, data: bytes) -> i64:
        at: i64 = 0
        if self._preface_left:
            if not PREFACE.startswith(data[: len(PREFACE)]):
                raise Http2ConnectionError(PROTOCOL_ERROR, FRAMING, "no preface of HTTP/2")
            if len(data) < len(PREFACE):
                return 0
            self._preface_left = False
            at = len(PREFACE)
        scanner = self._scanner
        while True:
            end = scanner.scan(data, at)
            if end == MORE:
                return at
            kind = scanner.kind
            try:
                if self._assembler.stream_id != 0 and kind != CONTINUATION:
                    raise Http2ConnectionError(PROTOCOL_ERROR, FRAMING, "a frame within a header block")
                if not self._settings_seen and (kind != SETTINGS or scanner.flags & ACK != 0):
                    raise Http2ConnectionError(PROTOCOL_ERROR, FRAMING, "the first frame is not SETTINGS")
                if kind == HEADERS:
                    self._on_headers(data, at + HEADER, end, scanner.flags, scanner.stream_id)
                elif kind == DATA:
                    self._on_data(data, at + HEADER, scanner.length, scanner.flags, scanner.stream_id)
                elif kind == WINDOW_UPDATE:
                    self._on_window_update(data, at + HEADER, scanner.length, scanner.stream_id)
                elif kind == CONTINUATION:
                    self._on_continuation(data[at + HEADER : end], scanner.flags, scanner.stream_id)
                elif kind == RST_STREAM:
                    self._on_reset(data, at + HEADER, scanner.length, scanner.stream_id)
                else:
                    self._on_control(kind, data, at + HEADER, end)
            except Http2StreamError as error:
                self._refuse(error)
            at = end

    def _on_headers(self, data: bytes, at: i64, end: i64, flags: i64, stream_id: i64) -> None:
        if stream_id == 0:
            raise Http2ConnectionError(PROTOCOL_ERROR, FRAMING, "HEADERS on stream 0")
        self._depends_on = 0
        if flags & (PADDED | HAS_PRIORITY) != 0:
            if flags & PADDED != 0:
                end = unpadded(data, at, end)
                at += 1
            if flags & HAS_PRIORITY != 0:
                if end - at < 5:
                    raise Http2ConnectionError(FRAME_SIZE_ERROR, FRAMING, "HEADERS too short for their priority")
                self._depends_on = u32(data, at) & MAX_STREAM_ID
                at += 5
        if flags & END_HEADERS != 0:
            self._on_block(data[at:end], flags, stream_id)
        else:
            self._assembler.begin(stream_id, flags, data[at:end])

    def _on_continuation(self, part: bytes, flags: i64, stream_id: i64) -> None:
        assembler = self._assembler
        assembler.go_on(stream_id, part)
        if flags & END_HEADERS != 0:
            self._on_block(assembler.finish(), assembler.flags, stream_id)

    def _on_window_update(self, data: bytes, at: i64, length: i64, stream_id: i64) -> None:
        """Section 6.9."""
        fixed(length, 4, "WINDOW_UPDATE")
        self._disturbed(1)
        more: i64 = u32(data, at) & MAX_WINDOW
        if stream_id == 0:
            if more == 0:
                raise Http2ConnectionError(PROTOCOL_ERROR, FRAMING, "WINDOW_UPDATE by nothing")
            self.send_window += more
            if self.send_window > MAX_WINDOW:
                raise Http2ConnectionError(FLOW_CONTROL_ERROR, WINDOW, "the connection's window overflows")
        else:
            stream = self.streams.find(stream_id)
            if stream is None:
                self._not_idle(stream_id, "WINDOW_UPDATE")
                return
            if stream.state == CLOSED:
                return
            if more == 0:
                raise Http2StreamError(stream_id, PROTOCOL_ERROR, FRAMING, "WINDOW_UPDATE by nothing")
            stream.send_window += more
            if stream.send_window > MAX_WINDOW:
                raise Http2StreamError(stream_id, FLOW_CONTROL_ERROR, WINDOW, "the stream's window overflows")
            self._wait(stream)
        self._pump()

    def _on_control(self, kind: i64, data: bytes, at: i64, end: i64) -> None:
        """Frames that are rare, and what RFC 9113 does not know (section 5.5: to be passed over)."""
        stream_id = self._scanner.stream_id
        flags = self._scanner.flags
        self._disturbed(_SETTINGS_COST if kind == SETTINGS and flags & ACK == 0 else 1)
        if kind == PRIORITY:
            if stream_id == 0:
                raise Http2ConnectionError(PROTOCOL_ERROR, FRAMING, "PRIORITY on stream 0")
            if end - at != 5:
                raise Http2StreamError(stream_id, FRAME_SIZE_ERROR, FRAMING, f"PRIORITY of {end - at} bytes")
            if u32(data, at) & MAX_STREAM_ID == stream_id:
                raise Http2StreamError(stream_id, PROTOCOL_ERROR, FRAMING, "a stream that depends on itself")
            return
        if kind == PUSH_PROMISE:
            raise Http2ConnectionError(PROTOCOL_ERROR, FRAMING, "PUSH_PROMISE, which was not allowed")
        if kind != SETTINGS and kind != PING and kind != GOAWAY:
            return
        if stream_id != 0:
            raise Http2ConnectionError(PROTOCOL_ERROR, FRAMING, f"a frame of kind {kind} on stream {stream_id}")
        if kind == SETTINGS:
            self._on_settings(data, at, end, flags & ACK != 0)
        elif kind == PING:
            fixed(end - at, 8, "PING")
            self._on_ping(data[at:end], flags & ACK != 0)
        else:
            self._on_goaway(data, at, end)

    def _on_settings(self, data: bytes, at: i64, end: i64, ack: bool) -> None:
        """Section 6.5."""
        if ack:
            fixed(end - at, 0, "SETTINGS acknowledgement")
            self.settings_acked = True
            self._events.append(SettingsAcked())
            return
        self._settings_seen = True
        settings = read_settings(data, at, end)
        write_settings_ack(self.out)  # ahead of what new windows let go
        self._apply(settings)
        self._events.append(SettingsReceived())

    def _apply(self, settings: list[tuple[int, int]]) -> None:
        for key, value in settings:
            if key == HEADER_TABLE_SIZE:
                self.encoder.resize(value)
            elif key == ENABLE_PUSH:
                if value == 1 and not self.server:
                    raise Http2ConnectionError(PROTOCOL_ERROR, FRAMING, "a server that enables push")
            elif key == MAX_CONCURRENT_STREAMS:
                self.peer_max_streams = value
            elif key == INITIAL_WINDOW_SIZE:
                self._change_initial_window(value)
            elif key == MAX_HEADER_LIST_SIZE:
                self.peer_max_header_bytes = value
            elif key == ENABLE_CONNECT_PROTOCOL:
                self.peer_extended_connect = value == 1

    def _on_ping(self, payload: bytes, ack: bool) -> None:
        """Section 6.7."""
        if not ack:
            write_ping(self.out, payload, True)
        elif self.draining and self.server and not self.goaway_sent and payload == _DRAIN:
            self.goaway(NO_ERROR)
        else:
            self._events.append(PingAcked(payload))

    def _on_goaway(self, data: bytes, at: i64, end: i64) -> None:
        """Section 6.8."""
        if end - at < 8:
            raise Http2ConnectionError(FRAME_SIZE_ERROR, FRAMING, f"GOAWAY of {end - at} bytes")
        last = u32(data, at) & MAX_STREAM_ID
        code = u32(data, at + 4)
        if last > self._peer_last:
            raise Http2ConnectionError(PROTOCOL_ERROR, FRAMING, "GOAWAY with a higher stream than before")
        self._peer_last = last
        self.goaway_received = True
        self._events.append(GoawayReceived(last, code, data[at + 8 : end][:_DEBUG]))
        if self.server:
            return
        for stream in self.streams.all():
            if stream.id > last and stream.state != CLOSED:
                stream.reset_by_peer = True
                self._bury(stream)
                self._events.append(StreamReset(stream, REFUSED_STREAM, PEER, "not processed before GOAWAY"))
