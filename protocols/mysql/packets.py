"""Packets: a header of a length (3 bytes) and a sequence number (1), then the payload. Integers are little-endian.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from protocols.errors import ProtocolError
from protocols.mysql.constants import (
    BINARY_COLLATION,
    CLIENT_DEPRECATE_EOF,
    EOF_PACKET,
    ERR_PACKET,
    MARIADB_EXTENDED_METADATA,
    OK_PACKET,
    TYPE_LONGLONG,
)

HEADER: Final = 4
MAX_PAYLOAD: Final = 0xFFFFFF  # a packet of this length is continued by the next one
_MALFORMED: Final = "malformed packet"
_NOT_NULL_BINARY: Final = 0x81


def packet(payload: bytes, sequence: int) -> bytes:
    """A payload with its header; one of 16 MiB - 1 or more becomes several packets."""
    n = len(payload)
    if n < MAX_PAYLOAD:
        return n.to_bytes(3, "little") + bytes([sequence & 255]) + payload
    parts: list[bytes] = []
    for at in range(0, n + 1, MAX_PAYLOAD):
        part = payload[at : at + MAX_PAYLOAD]
        parts += [len(part).to_bytes(3, "little"), bytes([sequence & 255]), part]
        sequence += 1
    return b"".join(parts)


def command(word: int, body: bytes = b"") -> bytes:
    """A client's command, as a packet."""
    return packet(bytes([word]) + body, 0)


def u16(data: bytes, i: i64) -> i64:
    """Two bytes; the caller knows that they are there."""
    low: i64 = data[i]
    high: i64 = data[i + 1]
    return low | high << 8


def u24(data: bytes, i: i64) -> i64:
    """Three bytes, as in a packet's header; the caller knows that they are there."""
    low: i64 = data[i]
    middle: i64 = data[i + 1]
    high: i64 = data[i + 2]
    return low | middle << 8 | high << 16


def u32(data: bytes, i: i64) -> i64:
    """Four bytes; the caller knows that they are there."""
    return u16(data, i) | u16(data, i + 2) << 16


@final
class Reader:
    """Reads a payload from front to back; what is not there is a ProtocolError, never an IndexError."""

    __slots__ = ("_data", "_end", "at")

    def __init__(self, data: bytes, at: i64 = 0, end: i64 = -1) -> None:
        self._data: Final = data
        self.at: i64 = at
        self._end: Final[i64] = len(data) if end < 0 else end

    def left(self) -> i64:
        """Bytes not yet read."""
        return self._end - self.at

    def take(self, n: i64) -> bytes:
        """The next n bytes."""
        at = self.at
        if n < 0 or n > self._end - at:
            raise ProtocolError(_MALFORMED)
        self.at = at + n
        return self._data[at : at + n]

    def integer(self, n: i64) -> int:
        """An integer of n bytes."""
        return int.from_bytes(self.take(n), "little")

    def lenenc(self) -> int:
        """A length-encoded integer."""
        first = self.integer(1)
        if first < 0xFB:
            return first
        if first == 0xFC:
            return self.integer(2)
        if first == 0xFD:
            return self.integer(3)
        if first == 0xFE:
            return self.integer(8)
        raise ProtocolError(_MALFORMED)

    def lenenc_bytes(self) -> bytes:
        """A length-encoded string."""
        n = self.lenenc()
        if n > self._end - self.at:
            raise ProtocolError(_MALFORMED)
        return self.take(n)

    def until_nul(self) -> bytes:
        """A string that a NUL ends."""
        end = self._data.find(b"\0", self.at, self._end)
        if end < 0:
            raise ProtocolError(_MALFORMED)
        found = self._data[self.at : end]
        self.at = end + 1
        return found

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self._end - self.at)


def lenenc(value: int) -> bytes:
    """A length-encoded integer."""
    if value < 0xFB:
        return bytes([value])
    if value < 1 << 16:
        return b"\xfc" + value.to_bytes(2, "little")
    if value < 1 << 24:
        return b"\xfd" + value.to_bytes(3, "little")
    return b"\xfe" + value.to_bytes(8, "little")


def lenenc_bytes(value: bytes) -> bytes:
    """A length-encoded string."""
    return lenenc(len(value)) + value


def ok(sequence: int, status: int, *, affected: int = 0, insert_id: int = 0, warnings: int = 0) -> bytes:
    """An OK packet without a message."""
    numbers = lenenc(affected) + lenenc(insert_id) + status.to_bytes(2, "little") + warnings.to_bytes(2, "little")
    return packet(bytes([OK_PACKET]) + numbers, sequence)


def error(sequence: int, kind: tuple[int, str], message: str) -> bytes:
    """An ERR packet. ``kind`` is number and SQLSTATE; the message is cut where the protocol ends it (512 bytes)."""
    number, state = kind
    text = message.encode("utf-8", "replace")[:511]
    return packet(bytes([ERR_PACKET]) + number.to_bytes(2, "little") + b"#" + state.encode() + text, sequence)


def turned_away(kind: tuple[int, str], message: str) -> bytes:
    """An ERR packet in the place of the greeting: nobody knows yet whether the client understands an SQLSTATE."""
    return packet(bytes([ERR_PACKET]) + kind[0].to_bytes(2, "little") + message.encode("utf-8", "replace")[:511], 0)


def read_error(payload: bytes) -> tuple[int, str, str]:
    """Number, SQLSTATE ("" before the handshake is through) and message of an ERR packet.

    Raises:
        ProtocolError: it is cut short.
    """
    reader = Reader(payload, 1)
    number = reader.integer(2)
    message = reader.rest()
    state = ""
    if message.startswith(b"#") and len(message) >= 6:
        state, message = message[1:6].decode("latin-1"), message[6:]
    return number, state, message.decode("utf-8", "replace")


def one_number(name: bytes, value: int, capabilities: int, status: int, *, binary: bool = False) -> bytes:
    """A result set of one row and one BIGINT column: what ``SELECT <name>`` replies. Sequence from 1."""
    empty = lenenc_bytes(b"")
    fixed = BINARY_COLLATION.to_bytes(2, "little") + (21).to_bytes(4, "little")
    fixed += bytes([TYPE_LONGLONG]) + _NOT_NULL_BINARY.to_bytes(2, "little") + b"\0\0\0"
    column = lenenc_bytes(b"def") + empty * 3 + lenenc_bytes(name) + empty
    if capabilities & MARIADB_EXTENDED_METADATA:
        column += empty
    column += lenenc(len(fixed)) + fixed
    payloads = [b"\x01", column]
    flags = status.to_bytes(2, "little")
    end = bytes([EOF_PACKET])
    if not capabilities & CLIENT_DEPRECATE_EOF:
        payloads.append(end + b"\0\0" + flags)
    payloads.append(b"\0\0" + value.to_bytes(8, "little", signed=True) if binary else lenenc_bytes(b"%d" % value))
    payloads.append(end + b"\0\0" + flags + (b"\0\0" if capabilities & CLIENT_DEPRECATE_EOF else b""))
    return b"".join([packet(payload, i + 1) for i, payload in enumerate(payloads)])


def first_value(data: bytes) -> bytes | None:
    """The only value of a text result set of one row and column, given whole; None: it is something else."""
    payloads: list[bytes] = []
    at = 0
    while at + HEADER <= len(data):
        length = u24(data, at)
        payloads.append(data[at + HEADER : at + HEADER + length])
        at += HEADER + length
    rows = [payload for payload in payloads[2:] if payload[:1] != bytes([EOF_PACKET])]
    if len(rows) != 1 or payloads[0] != b"\x01":
        return None
    return None if rows[0][:1] == b"\xfb" else Reader(rows[0]).lenenc_bytes()
