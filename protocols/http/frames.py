"""HTTP/2 frames: where they end, what is in them, how they are written (RFC 9113, sections 4 and 6).

A frame is nine bytes of header and its payload: length (24 bits), type, flags, stream id (31 bits).
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import BytesWriter, read_i16_be, read_i32_be, write_i16_be, write_i32_be
from mypy_extensions import i16, i32, i64, u8

from protocols.http.errors import (
    CONTINUATION_FLOOD,
    CONTROL_FLOOD,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    FRAMING,
    PROTOCOL_ERROR,
    Http2ConnectionError,
)

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER: Final = 9  # bytes of a frame's header
MORE: Final = -1  # the frame is not complete yet

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
HAS_PRIORITY: Final = 0x20

HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6
ENABLE_CONNECT_PROTOCOL: Final = 8  # RFC 8441

MAX_LENGTH: Final = 16384  # of a payload, both ways: SETTINGS_MAX_FRAME_SIZE stays at its smallest value
MAX_WINDOW: Final = (1 << 31) - 1
MAX_STREAM_ID: Final = (1 << 31) - 1
DEFAULT_WINDOW: Final = 65535
MAX_SETTINGS: Final = 64  # entries of one frame; there are seven


@final
class FrameScanner:
    """Finds the ends of frames. ``scan(data, at)`` returns the end of the frame at data[at], or MORE.

    Behind an end, ``kind``, ``flags``, ``stream_id`` and ``length`` are those of that frame. A frame that is longer
    than allowed is refused by its header, so what is held of an unfinished one is bounded.
    """

    __slots__ = ("flags", "kind", "length", "stream_id")

    def __init__(self) -> None:
        self.kind: i64 = 0
        self.flags: i64 = 0
        self.stream_id: i64 = 0
        self.length: i64 = 0

    def scan(self, data: bytes, at: i64) -> i64:
        """See the class.

        Raises:
            Http2ConnectionError: FRAME_SIZE_ERROR.
        """
        n: i64 = len(data)
        if n - at < HEADER:
            return MORE
        word: i64 = i64(read_i32_be(data, at))
        length: i64 = (word >> 8) & 0xFFFFFF
        if length > MAX_LENGTH:
            raise Http2ConnectionError(FRAME_SIZE_ERROR, FRAMING, f"a frame of {length} bytes")
        end: i64 = at + HEADER + length
        if end > n:
            return MORE
        self.kind = word & 0xFF
        flags: i64 = data[at + 4]
        self.flags = flags
        self.stream_id = i64(read_i32_be(data, at + 5)) & MAX_STREAM_ID
        self.length = length
        return end


# Readers: the payload is data[at:end] throughout.


def u32(data: bytes, at: i64) -> i64:
    """An unsigned number of 32 bits."""
    return i64(read_i32_be(data, at)) & 0xFFFFFFFF


def unpadded(data: bytes, at: i64, end: i64) -> i64:
    """Where the content of a PADDED payload ends; it begins behind one byte (RFC 9113, section 6.1).

    Raises:
        Http2ConnectionError: the padding is longer than what there is.
    """
    if at >= end:
        raise Http2ConnectionError(FRAME_SIZE_ERROR, FRAMING, "a padded frame without a length")
    pad: i64 = data[at]
    if pad >= end - at:
        raise Http2ConnectionError(PROTOCOL_ERROR, FRAMING, "more padding than payload")
    return end - pad


def fixed(length: i64, size: i64, what: str) -> None:
    """A payload has exactly this size."""
    if length != size:
        raise Http2ConnectionError(FRAME_SIZE_ERROR, FRAMING, f"a {what} of {length} bytes")


def read_settings(data: bytes, at: i64, end: i64) -> list[tuple[int, int]]:
    """Identifiers and values, checked as far as RFC 9113, section 6.5.2, bounds them.

    Raises:
        Http2ConnectionError: the frame or a value is not allowed, or there are too many.
    """
    if (end - at) % 6 != 0:
        raise Http2ConnectionError(FRAME_SIZE_ERROR, FRAMING, f"SETTINGS of {end - at} bytes")
    if end - at > 6 * MAX_SETTINGS:
        raise Http2ConnectionError(ENHANCE_YOUR_CALM, CONTROL_FLOOD, f"{(end - at) // 6} SETTINGS in one frame")
    found: list[tuple[int, int]] = []
    while at < end:
        key: i64 = i64(read_i16_be(data, at)) & 0xFFFF
        value = u32(data, at + 2)
        if (key == ENABLE_PUSH or key == ENABLE_CONNECT_PROTOCOL) and value > 1:
            raise Http2ConnectionError(PROTOCOL_ERROR, FRAMING, f"SETTINGS: {key} is {value}")
        if key == INITIAL_WINDOW_SIZE and value > MAX_WINDOW:
            raise Http2ConnectionError(FLOW_CONTROL_ERROR, FRAMING, f"SETTINGS: an initial window of {value}")
        if key == MAX_FRAME_SIZE and (value < MAX_LENGTH or value > 0xFFFFFF):
            raise Http2ConnectionError(PROTOCOL_ERROR, FRAMING, f"SETTINGS: a frame size of {value}")
        found.append((int(key), int(value)))
        at += 6
    return found


@final
class BlockAssembler:
    """Collects a header block from HEADERS and CONTINUATION (RFC 9113, section 6.10).

    Bounded by bytes and by frames: a block that never ends (the continuation flood) ends the connection.
    """

    __slots__ = ("flags", "frames", "max_bytes", "max_frames", "parts", "size", "stream_id")

    def __init__(self, max_bytes: int, max_frames: int) -> None:
        self.max_bytes: Final[i64] = max_bytes
        self.max_frames: Final[i64] = max_frames
        self.stream_id: i64 = 0  # whose block it is; 0: no block is under way
        self.flags: i64 = 0  # of its HEADERS frame
        self.parts: list[bytes] = []
        self.frames: i64 = 0
        self.size: i64 = 0

    def begin(self, stream_id: i64, flags: i64, part: bytes) -> None:
        """A HEADERS frame without END_HEADERS."""
        self.stream_id = stream_id
        self.flags = flags
        self.parts = [part]
        self.frames = 0
        self.size = len(part)

    def go_on(self, stream_id: i64, part: bytes) -> None:
        """A CONTINUATION frame.

        Raises:
            Http2ConnectionError: there is nothing to continue, or too much of it.
        """
        if self.stream_id == 0 or stream_id != self.stream_id:
            raise Http2ConnectionError(PROTOCOL_ERROR, FRAMING, "CONTINUATION without HEADERS")
        self.frames += 1
        self.size += len(part)
        if self.frames > self.max_frames or self.size > self.max_bytes:
            raise Http2ConnectionError(ENHANCE_YOUR_CALM, CONTINUATION_FLOOD, "a header block without end")
        self.parts.append(part)

    def finish(self) -> bytes:
        """The block is complete."""
        self.stream_id = 0
        block = b"".join(self.parts)
        self.parts = []
        return block


# Writers


def write_u32(out: BytesWriter, value: i64) -> None:
    """An unsigned number of 32 bits."""
    write_i32_be(out, i32(value if value <= 0x7FFFFFFF else value - 0x100000000))


def write_header(out: BytesWriter, length: i64, kind: i64, flags: i64, stream_id: i64) -> None:
    """The header of a frame (RFC 9113, section 4.1); its payload follows. ``length`` is at most MAX_LENGTH."""
    write_i32_be(out, i32((length << 8) | kind))
    out.append(u8(flags))
    write_i32_be(out, i32(stream_id))


def write_data(out: BytesWriter, stream_id: i64, data: bytes, end: bool) -> None:
    """DATA (section 6.1)."""
    write_header(out, len(data), DATA, END_STREAM if end else 0, stream_id)
    out.write(data)


def write_block(out: BytesWriter, stream_id: i64, block: bytes, end: bool) -> None:
    """HEADERS (section 6.2), and CONTINUATION as far as it is needed."""
    n: i64 = len(block)
    at: i64 = 0
    kind: i64 = HEADERS
    flags: i64 = END_STREAM if end else 0
    while n - at > MAX_LENGTH:
        write_header(out, MAX_LENGTH, kind, flags, stream_id)
        out.write(block[at : at + MAX_LENGTH])
        at += MAX_LENGTH
        kind = CONTINUATION
        flags = 0
    write_header(out, n - at, kind, flags | END_HEADERS, stream_id)
    out.write(block[at:])


def write_priority(out: BytesWriter, stream_id: i64, depends_on: i64, weight: i64) -> None:
    """PRIORITY (section 6.3); nothing in the gateway sends it, tests do."""
    write_header(out, 5, PRIORITY, 0, stream_id)
    write_u32(out, depends_on)
    out.append(u8(weight))


def write_reset(out: BytesWriter, stream_id: i64, code: i64) -> None:
    """RST_STREAM (section 6.4)."""
    write_header(out, 4, RST_STREAM, 0, stream_id)
    write_u32(out, code)


def write_settings(out: BytesWriter, entries: list[tuple[int, int]]) -> None:
    """SETTINGS (section 6.5)."""
    write_header(out, 6 * len(entries), SETTINGS, 0, 0)
    for key, value in entries:
        write_i16_be(out, i16(key))
        write_u32(out, value)


def write_settings_ack(out: BytesWriter) -> None:
    """The acknowledgement of SETTINGS."""
    write_header(out, 0, SETTINGS, ACK, 0)


def write_ping(out: BytesWriter, payload: bytes, ack: bool) -> None:
    """PING (section 6.7), of eight bytes."""
    write_header(out, 8, PING, ACK if ack else 0, 0)
    out.write(payload)


def write_goaway(out: BytesWriter, last_stream_id: i64, code: i64, debug: bytes) -> None:
    """GOAWAY (section 6.8)."""
    write_header(out, 8 + len(debug), GOAWAY, 0, 0)
    write_i32_be(out, i32(last_stream_id))
    write_u32(out, code)
    out.write(debug)


def write_window_update(out: BytesWriter, stream_id: i64, more: i64) -> None:
    """WINDOW_UPDATE (section 6.9)."""
    write_header(out, 4, WINDOW_UPDATE, 0, stream_id)
    write_i32_be(out, i32(more))
