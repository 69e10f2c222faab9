"""The tables beside those of the hpack package."""

from __future__ import annotations

from hpack.huffman_constants import REQUEST_CODES_LENGTH
from hpack.table import HeaderTable

from protocols.http.hpack_tables import code_lengths, static_entries


def test_the_static_table() -> None:
    assert static_entries() == list(HeaderTable.STATIC_TABLE)


def test_the_lengths_of_the_code() -> None:
    lengths = {symbol: bits for bits, symbols in code_lengths() for symbol in symbols}
    assert [lengths[symbol] for symbol in range(257)] == REQUEST_CODES_LENGTH
