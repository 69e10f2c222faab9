"""Header compression for HTTP/2: RFC 7541, both ways.

A decoder belongs to one direction of one connection, as an encoder does, and both have a table that the peer's other
half mirrors: every block must be fed, in order, whatever becomes of its message.
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import BytesWriter
from mypy_extensions import i64, u8

from protocols.http import huffman
from protocols.http.errors import HpackError
from protocols.http.fields import STATIC, Field, Name, name_of

DEFAULT_TABLE: Final = 4096  # bytes, what both sides begin with (RFC 9113, section 6.5.2)
MAX_NUMBER: Final = 1 << 28  # nothing in a block that is read whole comes near

_STATIC_COUNT: Final = 61
_REMEMBERED: Final = 64  # names whose last value an encoder remembers


@final
class Decoder:
    """Reads header blocks.

    What a message may hold is bounded by ``max_fields`` and ``max_bytes`` (counted as SETTINGS_MAX_HEADER_LIST_SIZE
    is). A block that is beyond is read to its end, so that the table stays right, but its further fields are not kept:
    ``oversize`` says so. A block that refers to a large entry again and again (a HPACK bomb) so costs no memory.
    """

    def __init__(self, max_fields: int = 128, max_bytes: int = 65536, table: int = DEFAULT_TABLE) -> None:
        self.max_fields: Final[i64] = max_fields
        self.max_bytes: Final[i64] = max_bytes
        self.oversize: bool = False  # of the last block
        self.size: i64 = 0  # bytes of the last block's list, with all that was not kept
        self.changes: i64 = 0  # of the table: what was decoded before one may read otherwise after it
        self._entries: list[Field] = []  # the newest one is last
        self._used: i64 = 0
        self._allowed: i64 = table  # by our SETTINGS
        self._capacity: i64 = table  # by the peer's last update
        self._must_shrink: bool = False
        self._at: i64 = 0
        self._scratch: Final = BytesWriter()

    def resize(self, table: int) -> None:
        """The peer has acknowledged another SETTINGS_HEADER_TABLE_SIZE: a smaller one it has to confirm in a block."""
        self._allowed = table
        self._must_shrink = self._capacity > self._allowed

    def decode(self, block: bytes) -> list[Field]:
        """The fields of a header block, in order.

        Raises:
            HpackError: it is none; the connection cannot go on.
        """
        n: i64 = len(block)
        found: list[Field] = []
        size: i64 = 0
        count: i64 = 0
        updates: i64 = 0
        self.oversize = False
        self._at = 0
        while self._at < n:
            first: i64 = block[self._at]
            if first >= 0x80:
                entry = self._entry(self._number(block, n, 0x7F))
            elif first & 0xE0 == 0x20:
                updates += 1
                if count > 0 or updates > 2:
                    raise HpackError("a table size update in the wrong place")
                self._update(self._number(block, n, 0x1F))
                continue
            elif first >= 0x40:
                entry = self._literal(block, n, 0x3F, False)
                self._insert(entry)
            else:
                entry = self._literal(block, n, 0x0F, first >= 0x10)
            if self._must_shrink:
                raise HpackError("the table was not made smaller")
            count += 1
            size += entry.size
            if count > self.max_fields or size > self.max_bytes:
                self.oversize = True
            else:
                found.append(entry)
        self.size = size
        return found

    def _entry(self, index: i64) -> Field:
        """RFC 7541, section 2.3.3."""
        if index <= _STATIC_COUNT:
            if index == 0:
                raise HpackError("index 0")
            return STATIC[index - 1]
        entries = self._entries
        at: i64 = len(entries) - (index - _STATIC_COUNT)
        if at < 0:
            raise HpackError("an index beyond the table")
        return entries[at]

    def _literal(self, block: bytes, n: i64, mask: i64, secret: bool) -> Field:
        """RFC 7541, section 6.2."""
        index = self._number(block, n, mask)
        known: Name = self._entry(index).known if index > 0 else name_of(self._string(block, n))
        return Field(known, self._string(block, n), secret)

    def _number(self, block: bytes, n: i64, mask: i64) -> i64:
        """RFC 7541, section 5.1."""
        at: i64 = self._at
        value: i64 = block[at]
        value &= mask
        at += 1
        if value == mask:
            shift: i64 = 0
            while True:
                if at >= n:
                    raise HpackError("a block ends within a number")
                byte: i64 = block[at]
                at += 1
                value += (byte & 0x7F) << shift
                if value > MAX_NUMBER or shift > 28:
                    raise HpackError("a number too large")
                shift += 7
                if byte < 0x80:
                    break
        self._at = at
        return value

    def _string(self, block: bytes, n: i64) -> bytes:
        """RFC 7541, section 5.2."""
        if self._at >= n:
            raise HpackError("a block ends within a field")
        coded: i64 = block[self._at]
        length = self._number(block, n, 0x7F)
        start: i64 = self._at
        end: i64 = start + length
        if end > n:
            raise HpackError("a block ends within a string")
        self._at = end
        if coded < 0x80:
            return block[start:end]
        scratch = self._scratch
        scratch.truncate(0)
        huffman.decode(block, start, end, scratch)
        return scratch.getvalue()

    def _update(self, capacity: i64) -> None:
        """RFC 7541, section 6.3."""
        if capacity > self._allowed:
            raise HpackError("a table larger than allowed")
        self._must_shrink = False
        self._capacity = capacity
        self._evict(capacity)
        self.changes += 1

    def _insert(self, entry: Field) -> None:
        """RFC 7541, section 4.4."""
        self.changes += 1
        self._evict(self._capacity - entry.size)
        if entry.size <= self._capacity:
            self._entries.append(entry)
            self._used += entry.size

    def _evict(self, room: i64) -> None:
        entries = self._entries
        gone: i64 = 0
        n: i64 = len(entries)
        while gone < n and self._used > room:
            self._used -= entries[gone].size
            gone += 1
        if gone > 0:
            del entries[:gone]


@final
class Encoder:
    """Writes header blocks.

    With ``table`` 0 it keeps no table: every field is written as it always is, which is cheapest, and right where bytes
    cost nothing (a client on the same machine). With a table, a value goes into it when its name came with it twice in
    a row: what differs with every message does not push out what comes again. Secrets never go into it.
    """

    def __init__(self, table: int = DEFAULT_TABLE, compress: bool = True) -> None:
        self._wanted: Final[i64] = table  # never more than this, whatever the peer offers
        self._compress: Final[bool] = compress  # strings by Huffman's code, where that is shorter
        self._capacity: i64 = table if table < DEFAULT_TABLE else DEFAULT_TABLE
        self._offered: i64 = DEFAULT_TABLE
        self._smallest: i64 = -1  # since the last block; -1: there is nothing to announce
        self._entries: list[Field] = []  # the newest one is last
        self._used: i64 = 0
        self._inserted: i64 = 0  # so far; entries are known by which one they were
        self._numbers: dict[tuple[bytes, bytes], int] = {}
        self._names: dict[bytes, int] = {}
        self._last: dict[bytes, bytes] = {}

    def resize(self, offered: int) -> None:
        """The peer's SETTINGS_HEADER_TABLE_SIZE: the next block announces what is made of it."""
        capacity: i64 = offered
        if capacity > self._wanted:
            capacity = self._wanted
        if offered == self._offered and self._smallest < 0:
            return
        self._offered = offered
        if self._smallest < 0 or capacity < self._smallest:
            self._smallest = capacity
        self._capacity = capacity
        self._evict(capacity)

    def encode(self, fields: list[Field], out: BytesWriter) -> None:
        """Write the block of these fields."""
        if self._smallest >= 0:
            if self._smallest < self._capacity:
                write_number(out, 0x20, 0x1F, self._smallest)
            write_number(out, 0x20, 0x1F, self._capacity)
            self._smallest = -1
        tabled: bool = self._capacity > 0
        for one in fields:
            if one.static > 0 and not one.secret:
                out.append(u8(0x80 | one.static))
            elif tabled:
                self._encode(one, out)
            elif self._compress:
                _write_literal(out, one, _prefix(one), 0x0F, one.known.index, True)
            else:
                literal = one.literal
                if not literal:
                    literal = _plain(one)
                    one.literal = literal
                out.write(literal)

    def _encode(self, one: Field, out: BytesWriter) -> None:
        known = one.known
        index: i64 = known.index
        if one.secret or known.fleeting:
            _write_literal(out, one, _prefix(one), 0x0F, self._name_index(one), self._compress)
            return
        number: i64 = self._numbers.get((one.name, one.value), -1)
        if number >= 0:
            write_number(out, 0x80, 0x7F, _STATIC_COUNT + self._inserted - number)
            return
        index = self._name_index(one)
        last = self._last.get(one.name)
        if last == one.value and one.size <= self._capacity >> 1:
            _write_literal(out, one, 0x40, 0x3F, index, self._compress)
            self._insert(one)
            return
        if last is None and len(self._last) >= _REMEMBERED:
            self._last.clear()
        if one.size <= self._capacity >> 1:
            self._last[one.name] = one.value
        _write_literal(out, one, 0x00, 0x0F, index, self._compress)

    def _name_index(self, one: Field) -> i64:
        if one.known.index > 0:
            return one.known.index
        number: i64 = self._names.get(one.name, -1)
        return _STATIC_COUNT + self._inserted - number if number >= 0 else 0

    def _insert(self, one: Field) -> None:
        self._evict(self._capacity - one.size)
        self._entries.append(one)
        self._used += one.size
        self._numbers[one.name, one.value] = self._inserted
        self._names[one.name] = self._inserted
        self._inserted += 1

    def _evict(self, room: i64) -> None:
        entries = self._entries
        gone: i64 = 0
        n: i64 = len(entries)
        while gone < n and self._used > room:
            old = entries[gone]
            self._used -= old.size
            del self._numbers[old.name, old.value]
            if self._names[old.name] == self._inserted - n + gone:
                del self._names[old.name]
            gone += 1
        if gone > 0:
            del entries[:gone]


def write_number(out: BytesWriter, pattern: i64, mask: i64, value: i64) -> None:
    """RFC 7541, section 5.1: a number in the low bits of ``mask`` beside a pattern, and what does not fit behind it."""
    if value < mask:
        out.append(u8(pattern | value))
        return
    out.append(u8(pattern | mask))
    value -= mask
    while value >= 0x80:
        out.append(u8((value & 0x7F) | 0x80))
        value >>= 7
    out.append(u8(value))


def _write_string(out: BytesWriter, text: bytes, compress: bool) -> None:
    n: i64 = len(text)
    if compress:
        coded = huffman.encoded_length(text)
        if coded < n:
            write_number(out, 0x80, 0x7F, coded)
            huffman.encode(text, out)
            return
    write_number(out, 0x00, 0x7F, n)
    out.write(text)


def _prefix(one: Field) -> i64:
    return 0x10 if one.secret else 0x00


def _write_literal(out: BytesWriter, one: Field, pattern: i64, mask: i64, index: i64, compress: bool) -> None:
    write_number(out, pattern, mask, index)
    if index == 0:
        _write_string(out, one.name, compress)
    _write_string(out, one.value, compress)


def _plain(one: Field) -> bytes:
    out = BytesWriter()
    _write_literal(out, one, _prefix(one), 0x0F, one.known.index, False)
    return out.getvalue()
