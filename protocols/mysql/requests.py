"""A client's packets, and a request that is passed on while it still arrives.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mypy_extensions import i64

from protocols.errors import ProtocolError
from protocols.mysql.packets import HEADER, MAX_PAYLOAD, u24
from protocols.mysql.upstream import Owner

MAX_LOGIN: Final = 1 << 16  # bytes of one packet: nobody is known yet who could be charged for more


class OrderError(ProtocolError):
    """A packet whose sequence number is not the next one."""


class Requests(Owner):
    """The bytes of one client."""

    def __init__(self, request_buffer: int) -> None:
        super().__init__()
        self._request_buffer: Final = request_buffer  # a request that is longer is passed on before it is whole
        self._data: bytes = b""
        self._at: i64 = 0  # up to here it became calls
        self._left: i64 = 0  # bytes of the current packet that are still to be passed on, of an unfinished request
        self._continues: bool = False  # another packet of it follows
        self._file: bool = False  # it is a file that the server asked for; an empty packet ends it
        self._swallowing: bool = False  # no call takes what still comes of it: it is thrown away ...
        self._keeping: Callable[[bytes], None] | None = None  # ... or kept
        self.sequence: int = 0  # of the packet that came last

    def feed(self, data: bytes) -> None:
        """See ServerCodec."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def buffered(self) -> i64:
        """See ServerCodec."""
        return len(self._data) - self._at

    def leftover(self) -> bytes:
        """See ServerCodec."""
        data, self._data = self._data[self._at :], b""
        self._at = 0
        return data

    def take(self) -> bytes | None:
        """The next packet whole, as the login has them; None: it is not there yet."""
        at, data = self._at, self._data
        if len(data) - at < HEADER:
            return None
        length = u24(data, at)
        end = at + HEADER + length
        if length > MAX_LOGIN:
            raise ProtocolError("the login packet is too long")
        if end > len(data):
            return None
        self.sequence = data[at + 3]
        self._at = end
        return data[at + HEADER : end]

    def request(self) -> bytes | None:
        """The next command, or the start of a long one (see ``unfinished``); None: it is not there yet.

        Raises:
            OrderError: its sequence does not begin with 0.
            ProtocolError: it is empty.
        """
        if self._swallowing:
            piece = self.piece()
            if piece and self._keeping is not None:
                self._keeping(piece)
            self._swallowing = self._is_incomplete()
        at, data = self._at, self._data
        n: i64 = len(data)
        if self._swallowing or n - at < HEADER:
            return None
        length = u24(data, at)
        self.sequence = data[at + 3]
        if self.sequence != 0:
            raise OrderError("Got packets out of order")
        if length == 0:
            raise ProtocolError("Malformed packet")
        end = at + HEADER + length
        if (end > n or length == MAX_PAYLOAD) and n - at < self._request_buffer:
            return None
        self._left = end - n if end > n else 0
        self._continues = length == MAX_PAYLOAD
        self._at = end if end < n else n
        return data[at : self._at]

    def put_back(self, request: bytes) -> None:
        """This is not the time for it: it comes again."""
        self._at -= len(request)
        self._left = 0
        self._continues = False

    def unfinished(self) -> bool:
        """See ServerCodec."""
        return not self._swallowing and self._is_incomplete()

    def _is_incomplete(self) -> bool:
        return self._left > 0 or self._continues

    def piece(self) -> bytes:
        """See ServerCodec."""
        data = self._data
        start = at = self._at
        n: i64 = len(data)
        while at < n and self._is_incomplete():
            if self._left == 0:
                if n - at < HEADER:
                    break
                length = u24(data, at)
                self.sequence = data[at + 3]
                self._left = HEADER + length
                self._continues = length > 0 if self._file else length == MAX_PAYLOAD
            step = min(self._left, n - at)
            at += step
            self._left -= step
        self._at = at
        if not self._is_incomplete():
            self._file = False
        return data[start:at]

    def discard(self) -> None:
        """See ServerCodec."""
        self._swallowing = True
        self._keeping = None

    def keep(self, keeping: Callable[[bytes], None]) -> None:
        """No call takes the rest of the unfinished request, but this does, piece by piece."""
        self._swallowing = True
        self._keeping = keeping

    def expect_file(self) -> None:
        """What comes next is a file, packet by packet, up to an empty one."""
        self._file = self._continues = True
