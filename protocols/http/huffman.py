"""The Huffman code of HPACK (RFC 7541, section 5.2 and appendix B), both ways.

Nearly all symbols of real fields have codes of up to 8 bits: one look into a table of 256 entries finds the next symbol
and how long its code is. For the few longer ones the code is canonical: those of one length are consecutive numbers.
"""

from __future__ import annotations

from typing import Final

from librt.strings import BytesWriter, read_i32_be, write_i32_be
from mypy_extensions import i64, u8

from protocols.http.errors import HpackError
from protocols.http.hpack_tables import code_lengths

_EOS: Final = 256
_SHORT: Final = 8  # bits that the table is indexed by
_LONGEST: Final = 30


def _tables() -> tuple[bytes, bytes, bytes, bytes, bytes, bytes]:
    """Codes and lengths by symbol; symbols and lengths by the next 8 bits; ranges and symbols of longer codes."""
    codes = [0] * 257
    lengths = [0] * 257
    short_symbols = bytearray(256)
    short_lengths = bytearray(256)
    ranges = BytesWriter()  # for each longer length: bits, the first code, how many, where its symbols begin
    long_symbols: list[int] = []
    code = 0
    before = 0
    for bits, symbols in code_lengths():
        code <<= bits - before
        before = bits
        if bits > _SHORT:
            for number in (bits, code, len(symbols), len(long_symbols)):
                write_i32_be(ranges, number)
            long_symbols += symbols
        for symbol in symbols:
            codes[symbol] = code
            lengths[symbol] = bits
            if bits <= _SHORT:
                for rest in range(1 << (_SHORT - bits)):
                    short_symbols[(code << (_SHORT - bits)) | rest] = symbol
                    short_lengths[(code << (_SHORT - bits)) | rest] = bits
            code += 1
    packed = BytesWriter()
    for number in codes:
        write_i32_be(packed, number)
    # EOS is the last of all: what it would be in bytes is never looked at.
    longer = bytes([0 if symbol == _EOS else symbol for symbol in long_symbols])
    return packed.getvalue(), bytes(lengths), bytes(short_symbols), bytes(short_lengths), ranges.getvalue(), longer


_TABLES: Final = _tables()
_CODES: Final = _TABLES[0]
_LENGTHS: Final = _TABLES[1]
_SHORT_SYMBOLS: Final = _TABLES[2]
_SHORT_LENGTHS: Final = _TABLES[3]
_RANGES: Final = _TABLES[4]
_LONG_SYMBOLS: Final = _TABLES[5]
_LONG_COUNT: Final = len(_LONG_SYMBOLS)


def decode(data: bytes, start: i64, end: i64, out: BytesWriter) -> None:
    """Write what data[start:end] stands for.

    Raises:
        HpackError: it has EOS in it, or a padding that is longer than 7 bits or not all ones.
    """
    short_symbols = _SHORT_SYMBOLS
    short_lengths = _SHORT_LENGTHS
    at: i64 = start
    pending: i64 = 0  # its lowest ``have`` bits are still to be decoded
    have: i64 = 0
    while True:
        if have < _LONGEST:
            while have <= 40 and at < end:
                byte: i64 = data[at]
                pending = ((pending & 0xFFFFFFFFFFFF) << 8) | byte
                have += 8
                at += 1
            if have < _SHORT:
                break
        index: i64 = (pending >> (have - _SHORT)) & 255
        bits: i64 = short_lengths[index]
        if bits > 0:
            out.append(u8(short_symbols[index]))
            have -= bits
        else:
            have = _decode_long(pending, have, out)
    while have > 0:
        ones: i64 = (1 << have) - 1
        rest: i64 = pending & ones
        if rest == ones:
            return
        index = (rest << (_SHORT - have)) | (255 >> have)
        bits = short_lengths[index]
        if bits == 0 or bits > have:
            raise HpackError("Huffman padding is not all ones")
        out.append(u8(short_symbols[index]))
        have -= bits


def _decode_long(pending: i64, have: i64, out: BytesWriter) -> i64:
    """One symbol whose code has more than 8 bits; returns how many bits are left."""
    ranges = _RANGES
    at: i64 = 0
    n: i64 = len(ranges)
    while at < n:
        bits: i64 = i64(read_i32_be(ranges, at))
        if bits > have:
            break
        first: i64 = i64(read_i32_be(ranges, at + 4))
        count: i64 = i64(read_i32_be(ranges, at + 8))
        code: i64 = (pending >> (have - bits)) & ((1 << bits) - 1)
        if code < first + count:
            where: i64 = i64(read_i32_be(ranges, at + 12))
            where += code - first
            if where == _LONG_COUNT - 1:
                raise HpackError("EOS in a Huffman string")
            out.append(u8(_LONG_SYMBOLS[where]))
            return have - bits
        at += 16
    raise HpackError("a Huffman string ends within a symbol")


def encoded_length(text: bytes) -> i64:
    """How many bytes ``encode`` would write."""
    lengths = _LENGTHS
    bits: i64 = 0
    i: i64 = 0
    n: i64 = len(text)
    while i < n:
        symbol: i64 = text[i]
        length: i64 = lengths[symbol]
        bits += length
        i += 1
    return (bits + 7) >> 3


def encode(text: bytes, out: BytesWriter) -> None:
    """Write the code of a text, padded with ones."""
    codes = _CODES
    lengths = _LENGTHS
    pending: i64 = 0
    have: i64 = 0
    i: i64 = 0
    n: i64 = len(text)
    while i < n:
        symbol: i64 = text[i]
        bits: i64 = lengths[symbol]
        code: i64 = i64(read_i32_be(codes, symbol << 2))
        pending = ((pending & 0xFF) << bits) | code
        have += bits
        while have >= 8:
            have -= 8
            out.append(u8((pending >> have) & 255))
        i += 1
    if have > 0:
        out.append(u8(((pending << (8 - have)) & 255) | (255 >> have)))
