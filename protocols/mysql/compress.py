"""The compressed protocol, as a server speaks it: packets of either direction travel inside compressed packets.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_compression_packet.html

A compressed packet has a header of 7 bytes: its length (3), its sequence number (1) and the length of what is inside
(3; 0: as it is), then a zlib stream. It holds any part of the stream of packets: a piece of one, or several of them.
The sequence numbers begin at 0 with each command and go on through its replies; they count apart from those inside.
Clients that send commands ahead of the replies (MariaDB's connectors) do not look at the numbers of replies.
"""

from __future__ import annotations

import zlib
from typing import Any, Final, final

from mypy_extensions import i64

from protocols.errors import ProtocolError
from protocols.layer import Layer
from protocols.mysql.packets import HEADER as PACKET_HEADER
from protocols.mysql.packets import MAX_PAYLOAD, u24

HEADER: Final = 7
MIN_LENGTH: Final = 50  # bytes that are worth compressing, as servers have it
# zlib's fastest: one thread serves all clients. On rows of a table, level 6, which servers use, takes three to four
# times as long and saves a twentieth to an eighth.
LEVEL: Final = 1
# Bytes in one packet that is sent. Much less than fits in: compressing holds up all other clients meanwhile, and
# Connector/Node.js takes a packet of 0xFFFFFF bytes for one that goes on in the next.
_LARGEST: Final = 1 << 20
_MOST: Final = 1 << 18  # bytes that ``received`` returns at once: zlib can make a thousand out of one


@final
class CompressLayer(Layer):
    """The connection of one client, from the end of its login on."""

    def __init__(self, level: int = LEVEL) -> None:
        super().__init__()
        self.level: Final = level
        self._sequence: i64 = 0  # of the next packet, whoever sends it
        self._rest: bytes = b""  # of the wire: a part of a header, or what is held back
        self._left: i64 = 0  # bytes of the packet under way that are not used yet
        self._inside: i64 = 0  # bytes that its stream still has to yield
        self._stream: Any = None  # zlib's, if it is compressed
        self._skip: i64 = 0  # bytes of the packet inside that are still to come
        self._torn: bytes = b""  # the first bytes of a header inside
        self._number: i64 = -1  # of the packet inside, if the next one continues it

    def received(self, data: bytes) -> bytes:
        """See Layer."""
        if self._rest:
            data = self._rest + data
        parts: list[bytes] = []
        at: i64 = 0
        room: i64 = _MOST
        while room > 0:
            left = self._left
            if left == 0 and self._stream is None:
                if len(data) - at < HEADER:
                    break
                self._begin(data, at)
                at += HEADER
                continue
            piece = data[at : at + left]
            if left > 0 and not piece:
                break
            part = self._copy(piece, room) if self._stream is None else self._inflate(piece, room)
            at += left - self._left
            room -= len(part)
            parts.append(part)
        self._rest = data[at:]
        self.held = room == 0
        return self._counted(parts[0] if len(parts) == 1 else b"".join(parts))

    def _begin(self, data: bytes, at: i64) -> None:
        """Read a header."""
        sequence: i64 = data[at + 3]
        if sequence != self._sequence and sequence != 0:
            raise ProtocolError("compressed packets out of order")
        self._sequence = (sequence + 1) & 255
        self._left = u24(data, at)
        self._inside = u24(data, at + 4)
        if self._inside > 0:
            self._stream = zlib.decompressobj()

    def _copy(self, piece: bytes, room: i64) -> bytes:
        """Bytes of a packet that is not compressed."""
        part = piece[:room]
        self._left -= len(part)
        return part

    def _inflate(self, piece: bytes, room: i64) -> bytes:
        """What comes out of the next piece of a stream, up to so many bytes."""
        stream = self._stream
        most = min(room, self._inside + 1)  # one more than it may be, to see that it is not
        try:
            part: bytes = stream.decompress(piece, most)
        except zlib.error:
            raise ProtocolError("a compressed packet is no zlib stream") from None
        self._left -= len(piece) - len(stream.unconsumed_tail)
        self._inside -= len(part)
        if stream.eof:
            if self._inside != 0 or self._left != 0 or stream.unused_data:
                raise ProtocolError("a compressed packet has another length than it says")
            self._stream = None
        elif self._inside < 0 or (self._left == 0 and len(part) < most):
            raise ProtocolError("a compressed packet has another length than it says")
        return part

    def _counted(self, plain: bytes) -> bytes:
        """Number the packets inside that continue others.

        Servers do not look at these numbers where compression is on, so MariaDB's Connector/C writes 0 into all
        packets of a command. Without compression, as upstream of here, servers do.
        """
        if self._torn:
            plain = self._torn + plain
        at = self._skip
        while len(plain) - at >= PACKET_HEADER:
            if self._number >= 0:
                plain = plain[: at + 3] + bytes([(self._number + 1) & 255]) + plain[at + 4 :]
            length = u24(plain, at)
            self._number = plain[at + 3] if length == MAX_PAYLOAD else -1
            at += PACKET_HEADER + length
        self._torn = plain[at:]
        self._skip = max(0, at - len(plain))
        return plain[:at]

    def sending(self, data: bytes) -> bytes:
        """See Layer."""
        if len(data) <= _LARGEST:
            return self._packet(data)
        return b"".join([self._packet(data[at : at + _LARGEST]) for at in range(0, len(data), _LARGEST)])

    def _packet(self, data: bytes) -> bytes:
        inside = 0
        if len(data) >= MIN_LENGTH:
            packed = zlib.compress(data, self.level)
            if len(packed) < len(data):
                inside, data = len(data), packed
        sequence = self._sequence
        self._sequence = (sequence + 1) & 255
        return len(data).to_bytes(3, "little") + bytes([sequence]) + inside.to_bytes(3, "little") + data
