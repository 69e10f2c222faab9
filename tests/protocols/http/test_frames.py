"""Frames: where they end, what is refused by the header, settings, padding, header blocks in pieces."""

from __future__ import annotations

import pytest
from hyperframe.frame import Frame
from hypothesis import given
from hypothesis import strategies as st
from librt.strings import BytesWriter

from http2_playbook import frame, frames, written
from protocols.http import frames as f
from protocols.http.errors import (
    CONTINUATION_FLOOD,
    CONTROL_FLOOD,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    Http2ConnectionError,
)


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, f.MAX_STREAM_ID), st.binary(max_size=30))
def test_a_frame_ends_where_it_ends_and_not_before(kind: int, flags: int, stream_id: int, payload: bytes) -> None:
    data = frame(kind, flags, stream_id, payload)
    scanner = f.FrameScanner()
    for end in range(len(data)):
        assert scanner.scan(b"<" + data[:end], 1) == f.MORE
    assert scanner.scan(b"<" + data + b">", 1) == 1 + len(data)
    assert (scanner.kind, scanner.flags, scanner.stream_id, scanner.length) == (kind, flags, stream_id, len(payload))


def test_the_reserved_bit_says_nothing() -> None:
    scanner = f.FrameScanner()
    assert scanner.scan(b"\0\0\0\0\0\x80\0\0\x03", 0) == 9
    assert scanner.stream_id == 3


def test_a_frame_that_is_too_long_is_refused_by_its_header() -> None:
    assert f.FrameScanner().scan(b"\x00\x40\x00\0\0\0\0\0\1", 0) == f.MORE
    with pytest.raises(Http2ConnectionError) as caught:
        f.FrameScanner().scan(b"\x00\x40\x01\0\0\0\0\0\1", 0)
    assert caught.value.code == FRAME_SIZE_ERROR


WRITTEN = {
    "DataFrame": written(f.write_data, 1, b"data", True),
    "HeadersFrame": written(f.write_block, 3, b"block", False),
    "PriorityFrame": written(f.write_priority, 3, 1, 15),
    "RstStreamFrame": written(f.write_reset, 5, 0xFFFFFFFF),
    "SettingsFrame": written(f.write_settings, [(f.INITIAL_WINDOW_SIZE, f.MAX_WINDOW), (f.HEADER_TABLE_SIZE, 0)]),
    "PingFrame": written(f.write_ping, b"12345678", True),
    "GoAwayFrame": written(f.write_goaway, f.MAX_STREAM_ID, 11, b"calm"),
    "WindowUpdateFrame": written(f.write_window_update, 0, f.MAX_WINDOW),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_is_what_hyperframe_reads_and_writes(name: str) -> None:
    data = WRITTEN[name]
    found, length = Frame.parse_frame_header(memoryview(data[:9]))
    found.parse_body(memoryview(data[9:]))
    assert type(found).__name__ == name
    assert length == len(data) - 9
    assert found.serialize() == data


def test_an_acknowledgement_is_empty() -> None:
    assert list(frames(written(f.write_settings_ack))) == [(f.SETTINGS, f.ACK, 0, b"")]


@pytest.mark.parametrize("size", [0, 1, 16384, 16385, 32768, 32769])
def test_a_long_block_goes_on_in_continuation(size: int) -> None:
    found = list(frames(written(f.write_block, 7, b"x" * size, True)))
    assert b"".join(payload for _, _, _, payload in found) == b"x" * size
    assert [kind for kind, _, _, _ in found] == [f.HEADERS] + [f.CONTINUATION] * (len(found) - 1)
    assert [flags & f.END_HEADERS for _, flags, _, _ in found] == [0] * (len(found) - 1) + [f.END_HEADERS]
    assert [flags & f.END_STREAM for _, flags, _, _ in found] == [f.END_STREAM] + [0] * (len(found) - 1)
    assert len(found) == max(1, -(-size // 16384))


def settings(*entries: tuple[int, int]) -> list[tuple[int, int]]:
    data = written(f.write_settings, list(entries))
    return f.read_settings(data, 9, len(data))


def test_settings_are_read_in_order() -> None:
    entries = [(f.INITIAL_WINDOW_SIZE, 0), (0xFFFF, 0xFFFFFFFF), (f.INITIAL_WINDOW_SIZE, f.MAX_WINDOW)]
    data = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in entries)
    assert f.read_settings(data, 0, len(data)) == entries


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        (f.ENABLE_PUSH, 2, PROTOCOL_ERROR),
        (f.ENABLE_CONNECT_PROTOCOL, 2, PROTOCOL_ERROR),
        (f.INITIAL_WINDOW_SIZE, 1 << 31, FLOW_CONTROL_ERROR),
        (f.MAX_FRAME_SIZE, 16383, PROTOCOL_ERROR),
        (f.MAX_FRAME_SIZE, 1 << 24, PROTOCOL_ERROR),
    ],
)
def test_settings_out_of_their_bounds(key: int, value: int, code: int) -> None:
    with pytest.raises(Http2ConnectionError) as caught:
        settings((key, value))
    assert caught.value.code == code


def test_settings_are_bounded_in_number_and_whole() -> None:
    assert len(settings(*[(9, 0)] * f.MAX_SETTINGS)) == f.MAX_SETTINGS
    with pytest.raises(Http2ConnectionError) as caught:
        settings(*[(9, 0)] * (f.MAX_SETTINGS + 1))
    assert (caught.value.code, caught.value.label) == (ENHANCE_YOUR_CALM, CONTROL_FLOOD)
    with pytest.raises(Http2ConnectionError) as caught:
        f.read_settings(b"1234567", 0, 7)
    assert caught.value.code == FRAME_SIZE_ERROR


@pytest.mark.parametrize(("payload", "end"), [("00", 1), ("0061", 2), ("01610a", 2), ("0200000000", 3), ("020000", 1)])
def test_padding_is_cut_off(payload: str, end: int) -> None:
    data = bytes.fromhex(payload)
    assert f.unpadded(b"<" + data + b">", 1, 1 + len(data)) == 1 + end


@pytest.mark.parametrize(
    ("payload", "code"), [("", FRAME_SIZE_ERROR), ("01", PROTOCOL_ERROR), ("0200", PROTOCOL_ERROR)]
)
def test_padding_longer_than_the_payload(payload: str, code: int) -> None:
    data = bytes.fromhex(payload)
    with pytest.raises(Http2ConnectionError) as caught:
        f.unpadded(data, 0, len(data))
    assert caught.value.code == code


def test_a_block_in_pieces() -> None:
    assembler = f.BlockAssembler(100, 3)
    assembler.begin(5, f.END_STREAM, b"a")
    assembler.go_on(5, b"b")
    assembler.go_on(5, b"")
    assert (assembler.stream_id, assembler.flags) == (5, f.END_STREAM)
    assert assembler.finish() == b"ab"
    assert assembler.stream_id == 0


@pytest.mark.parametrize(("part", "count"), [(b"", 4), (b"x" * 50, 2)])
def test_a_block_without_end(part: bytes, count: int) -> None:
    assembler = f.BlockAssembler(100, 3)
    assembler.begin(5, 0, b"a")
    for _ in range(count - 1):
        assembler.go_on(5, part)
    with pytest.raises(Http2ConnectionError) as caught:
        assembler.go_on(5, part)
    assert (caught.value.code, caught.value.label) == (ENHANCE_YOUR_CALM, CONTINUATION_FLOOD)


@pytest.mark.parametrize("begun", [0, 7])
def test_nothing_to_continue(begun: int) -> None:
    assembler = f.BlockAssembler(100, 3)
    if begun:
        assembler.begin(begun, 0, b"a")
    with pytest.raises(Http2ConnectionError) as caught:
        assembler.go_on(5, b"")
    assert caught.value.code == PROTOCOL_ERROR


@given(st.integers(0, 0xFFFFFFFF))
def test_numbers(value: int) -> None:
    out = BytesWriter()
    f.write_u32(out, value)
    assert out.getvalue() == value.to_bytes(4, "big")
    assert f.u32(out.getvalue(), 0) == value
