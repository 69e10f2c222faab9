"""Packets and their fields: by example, against PyMySQL's reading, and whatever bytes there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import ProtocolError
from protocols.mysql.constants import CLIENT_DEPRECATE_EOF, COM_PING, COM_QUERY, ER_ACCESS_DENIED
from protocols.mysql.packets import (
    MAX_PAYLOAD,
    Reader,
    command,
    error,
    first_value,
    lenenc,
    lenenc_bytes,
    ok,
    one_number,
    packet,
    read_error,
    u16,
    u24,
    u32,
)


def headers(data: bytes) -> list[tuple[int, int]]:
    """Length and sequence of each packet in the data."""
    found: list[tuple[int, int]] = []
    while data:
        found.append((int(u24(data, 0)), data[3]))
        data = data[4 + found[-1][0] :]
    return found


def test_a_packet_has_a_length_and_a_sequence() -> None:
    assert packet(b"abc", 7) == b"\x03\0\0\x07abc"
    assert packet(b"", 256) == b"\0\0\0\0"
    assert command(COM_PING) == b"\x01\0\0\0\x0e"
    assert command(COM_QUERY, b"SELECT 1") == b"\x09\0\0\0\x03SELECT 1"


@pytest.mark.parametrize(
    ("more", "lengths"),
    [(-1, [MAX_PAYLOAD - 1]), (0, [MAX_PAYLOAD, 0]), (1, [MAX_PAYLOAD, 1]), (MAX_PAYLOAD, [MAX_PAYLOAD] * 2 + [0])],
)
def test_a_long_payload_is_continued_until_a_packet_is_short(more: int, lengths: list[int]) -> None:
    payload = bytes(MAX_PAYLOAD + more)
    sent = packet(payload, 255)
    assert headers(sent) == [(length, (255 + i) & 255) for i, length in enumerate(lengths)]
    assert len(sent) == len(payload) + 4 * len(lengths)


def test_integers() -> None:
    data = bytes(range(1, 9))
    assert u16(data, 1) == 0x0302
    assert u24(data, 1) == 0x040302
    assert u32(data, 1) == 0x05040302
    assert Reader(data, 1).integer(8 - 1) == int.from_bytes(data[1:], "little")


@given(st.integers(0, 2**64 - 1))
def test_length_encoded_integers(value: int) -> None:
    reader = Reader(lenenc(value))
    assert reader.lenenc() == value
    assert reader.left() == 0


@pytest.mark.parametrize(("value", "size"), [(0xFA, 1), (0xFB, 3), (0xFFFF, 3), (0x10000, 4), (0x1000000, 9)])
def test_their_sizes(value: int, size: int) -> None:
    assert len(lenenc(value)) == size


@given(st.binary(max_size=300), st.binary(max_size=300).filter(lambda text: b"\0" not in text), st.binary(max_size=20))
def test_fields_are_read_as_they_were_written(one: bytes, two: bytes, three: bytes) -> None:
    reader = Reader(lenenc_bytes(one) + two + b"\0" + three)
    assert (reader.lenenc_bytes(), reader.until_nul(), reader.rest()) == (one, two, three)
    assert reader.left() == 0


@given(st.binary(max_size=40), st.lists(st.sampled_from(["take", "integer", "lenenc", "lenenc_bytes", "until_nul"])))
def test_what_is_not_there_is_a_protocol_error(data: bytes, steps: list[str]) -> None:
    reader = Reader(data)
    for step in steps:
        before = reader.left()
        try:
            getattr(reader, step)(*([3] if step in ("take", "integer") else []))
        except ProtocolError:
            return
        assert 0 <= reader.left() <= before


def test_a_reader_stays_within_its_end() -> None:
    assert Reader(b"abc\0def", 1, 5).until_nul() == b"bc"
    assert Reader(b"abcdef", 1, 4).rest() == b"bcd"
    for read in (Reader(b"abc\0", 0, 3).until_nul, Reader(b"\x03abc", 0, 3).lenenc_bytes, Reader(b"\xfb").lenenc):
        with pytest.raises(ProtocolError, match="malformed packet"):
            read()
    with pytest.raises(ProtocolError):
        Reader(b"abc").take(-1)


def test_an_error_as_mariadb_says_it() -> None:
    said = bytes.fromhex(
        "47000002ff15042332383030304163636573732064656e69656420666f72207573657220276170702740276c6f63616c686f737427"
        "20287573696e672070617373776f72643a2059455329"
    )
    text = "Access denied for user 'app'@'localhost' (using password: YES)"
    assert error(2, ER_ACCESS_DENIED, text) == said
    assert read_error(said[4:]) == (1045, "28000", text)
    before_the_handshake = bytes.fromhex("ff1004546f6f206d616e7920636f6e6e656374696f6e73")
    assert read_error(before_the_handshake) == (1040, "", "Too many connections")


@given(st.binary(max_size=40))
def test_any_error_is_read(said: bytes) -> None:
    try:
        number, state, _ = read_error(b"\xff" + said)
    except ProtocolError:
        assert len(said) < 2
    else:
        assert 0 <= number < 1 << 16
        assert len(state) in (0, 5)


def test_a_long_error_is_cut() -> None:
    assert headers(error(1, ER_ACCESS_DENIED, "ä" * 1000)) == [(1 + 2 + 6 + 511, 1)]
    assert error(1, ER_ACCESS_DENIED, "\udcff").endswith(b"28000?")


def test_ok_as_mariadb_says_it() -> None:
    assert ok(2, 2) == bytes.fromhex("0700000200000002000000")
    assert ok(1, 2, affected=300, insert_id=7, warnings=1) == bytes.fromhex("0900000100fc2c010702000100")


@pytest.mark.parametrize(("capabilities", "packets"), [(0, 5), (CLIENT_DEPRECATE_EOF, 4)])
def test_a_result_of_one_number(capabilities: int, packets: int) -> None:
    """``test_client_login.py`` has real clients read it."""
    result = one_number(b"CONNECTION_ID()", 4294967297, capabilities, 2)
    assert [sequence for _, sequence in headers(result)] == list(range(1, packets + 1))
    assert b"\x0f" + b"CONNECTION_ID()" in result
    assert b"\x0a4294967297" in result
    assert first_value(result) == b"4294967297"


@pytest.mark.parametrize("reply", [b"", ok(1, 2), error(1, ER_ACCESS_DENIED, "no")])
def test_another_reply_has_no_value(reply: bytes) -> None:
    assert first_value(reply) is None
