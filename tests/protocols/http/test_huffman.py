"""The Huffman code: beside the hpack package, and where strings are broken (RFC 7541, section 5.2)."""

from __future__ import annotations

import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman
from hypothesis import given
from hypothesis import strategies as st
from librt.strings import BytesWriter

from protocols.http import huffman
from protocols.http.errors import HpackError

ORACLE = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


def decoded(data: bytes) -> bytes:
    out = BytesWriter()
    huffman.decode(b"<" + data + b">", 1, 1 + len(data), out)
    return out.getvalue()


def encoded(text: bytes) -> bytes:
    out = BytesWriter()
    huffman.encode(text, out)
    return out.getvalue()


@given(st.one_of(st.binary(max_size=100), st.text(st.characters(max_codepoint=126), max_size=100).map(str.encode)))
def test_both_ways_as_the_package(text: bytes) -> None:
    code = encoded(text)
    assert code == ORACLE.encode(text)
    assert len(code) == huffman.encoded_length(text)
    assert decoded(code) == text


@pytest.mark.parametrize("symbol", range(256))
def test_every_symbol(symbol: int) -> None:
    for text in (bytes([symbol]), bytes([symbol, 97]), bytes([97, symbol, symbol])):
        assert decoded(ORACLE.encode(text)) == text


@given(st.binary(max_size=40))
def test_any_bytes_as_the_package(data: bytes) -> None:
    try:
        expected: bytes | None = decode_huffman(data)
    except Exception:
        expected = None
    if expected is None:
        with pytest.raises(HpackError):
            decoded(data)
    else:
        assert decoded(data) == expected


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("ff", "ends within a symbol"),  # padding of a whole byte
        ("1fff", "ends within a symbol"),  # a, and eleven bits of padding
        ("18", "not all ones"),  # a, and padding of zeros
        ("1e", "not all ones"),
        ("ffffffff", "EOS"),
        ("fffffffc", "EOS"),
        ("ffff", "ends within a symbol"),
    ],
)
def test_broken_strings(code: str, says: str) -> None:
    with pytest.raises(HpackError, match=says):
        decoded(bytes.fromhex(code))
