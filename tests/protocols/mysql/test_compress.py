"""Compressed packets: the documentation's, those of real clients and a real server, and hostile ones.

``compressed/*.jsonl`` are conversations that a small relay wrote down between MariaDB 10.11 and two clients: its
command line client with ``--compress``, and PHP 8.2 with ``MYSQLI_CLIENT_COMPRESS``. Queries of one line and of 20 kB,
long results, prepared statements, LOAD DATA LOCAL, errors; without the login, which is not compressed. One line is one
chunk, a character for each byte.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import ProtocolError
from protocols.mysql.compress import HEADER, MIN_LENGTH, CompressLayer
from protocols.mysql.packets import HEADER as PACKET_HEADER
from protocols.mysql.packets import command, packet

CAPTURES = sorted((Path(__file__).parent / "compressed").glob("*.jsonl"))
AT_ONCE = 1 << 18


def framed(sequence: int, payload: bytes, inside: int = 0) -> bytes:
    """A compressed packet, as it is told to be."""
    return len(payload).to_bytes(3, "little") + bytes([sequence & 255]) + inside.to_bytes(3, "little") + payload


def compressed(sequence: int, data: bytes) -> bytes:
    return framed(sequence, zlib.compress(data), len(data))


def packets(wire: bytes) -> Iterator[tuple[int, bytes]]:
    """Sequence number and content of each compressed packet, found without the layer."""
    while wire:
        length, sequence, inside = int.from_bytes(wire[:3], "little"), wire[3], int.from_bytes(wire[4:7], "little")
        payload, wire = wire[HEADER : HEADER + length], wire[HEADER + length :]
        assert len(payload) == length
        content = zlib.decompress(payload) if inside else payload
        assert not inside or len(content) == inside
        yield sequence, content


def received(layer: CompressLayer, data: bytes) -> bytes:
    """All that comes out of it, a bounded piece at a time."""
    plain = layer.received(data)
    while layer.held:
        part = layer.received(b"")
        assert len(part) <= AT_ONCE
        plain += part
    return plain


def conversation(path: Path) -> list[tuple[str, bytes]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(line["from"], line["data"].encode("latin-1")) for line in lines]


def test_the_example_of_the_documentation() -> None:
    wire = bytes.fromhex(
        "22 00 00 00 32 00 00"
        "78 9c d3 63 60 60 60 2e 4e cd 49 4d 2e 51 50 32 30 34 32 36 31 35 33 b7 b0 c4 cd 52 02 00 0c d1 0a 6c"
    )
    query = command(3, b'select "012345678901234567890123456789012345"')
    assert CompressLayer().received(wire) == query
    assert list(packets(CompressLayer().sending(query))) == [(0, query)]


@pytest.mark.parametrize("chunk", [1, 5, 1 << 16])
@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_real_conversations(path: Path, chunk: int) -> None:
    """Clients are understood however their bytes are torn; replies are numbered as the real server did."""
    layer, plain, expected = CompressLayer(), b"", b""
    for speaker, data in conversation(path):
        for sequence, content in packets(data):
            if speaker == "server":
                assert list(packets(layer.sending(content))) == [(sequence, content)]
            else:
                expected += content
        if speaker == "client":
            plain += b"".join(layer.received(data[at : at + chunk]) for at in range(0, len(data), chunk))
    assert plain == expected
    at = 0
    while at < len(plain):
        at += PACKET_HEADER + int.from_bytes(plain[at : at + 3], "little")
    assert at == len(plain)


def test_every_split() -> None:
    query = command(3, b"select " + b"x" * 90)
    wire = framed(0, b"") + compressed(1, query[:80]) + framed(2, query[80:]) + compressed(0, query * 3)
    for at in range(len(wire) + 1):
        layer = CompressLayer()
        assert layer.received(wire[:at]) + layer.received(wire[at:]) == query * 4
        assert not layer.held


STREAMS = st.lists(
    st.one_of(st.binary(max_size=120), st.builds(bytes.__mul__, st.binary(max_size=3), st.integers(0, 99)))
)


@given(pieces=STREAMS, squeeze=st.lists(st.booleans(), min_size=1), cut=st.integers(1, 300), chunk=st.integers(1, 500))
def test_whatever_clients_send_arrives(pieces: list[bytes], squeeze: list[bool], cut: int, chunk: int) -> None:
    stream = b"".join(packet(piece, 0) for piece in pieces)
    parts = [stream[at : at + cut] for at in range(0, len(stream), cut)]
    wire = b"".join(
        compressed(i, part) if squeeze[i % len(squeeze)] else framed(i, part) for i, part in enumerate(parts)
    )
    layer = CompressLayer()
    assert b"".join(layer.received(wire[at : at + chunk]) for at in range(0, len(wire), chunk)) == stream


@given(pieces=STREAMS, level=st.integers(0, 9))
def test_whatever_is_sent_arrives(pieces: list[bytes], level: int) -> None:
    layer = CompressLayer(level)
    layer.received(framed(0, command(3, b"select 1")))
    found = list(packets(b"".join(layer.sending(piece) for piece in pieces)))
    assert [content for _, content in found] == pieces
    assert [sequence for sequence, _ in found] == [number & 255 for number in range(1, len(pieces) + 1)]


def test_what_does_not_get_smaller_goes_as_it_is() -> None:
    layer = CompressLayer()
    short, dense, wide = b"x" * (MIN_LENGTH - 1), bytes(range(100)), b"x" * MIN_LENGTH
    assert layer.sending(short) == framed(0, short)
    assert layer.sending(dense) == framed(1, dense)
    assert len(layer.sending(wide)) < HEADER + len(wide)


def test_large_replies_become_several_packets() -> None:
    data = bytes(range(256)) * 12_000
    found = list(packets(CompressLayer().sending(data)))
    assert [sequence for sequence, _ in found] == [0, 1, 2]
    assert b"".join(content for _, content in found) == data


def test_a_command_may_begin_behind_any_reply_or_none() -> None:
    layer = CompressLayer()
    layer.received(framed(0, b"close"))
    layer.received(framed(0, b"first") + framed(1, b"half"))
    assert [sequence for sequence, _ in packets(layer.sending(b"a") + layer.sending(b"b"))] == [2, 3]
    layer.received(framed(4, b"file") + framed(5, b"of it"))
    assert layer.sending(b"c")[3] == 6
    layer.received(framed(0, b"next"))
    assert layer.sending(b"d")[3] == 1


@pytest.mark.parametrize("size", [1 << 20, 0xFFFFFF, 0xFFFFFF - 6])
def test_packets_that_continue_others_are_counted(size: int) -> None:
    """As Connector/C sends a command of 32 MiB: the numbers inside are all 0. Some pieces end within a header."""
    full, rest, ping = bytes(0xFFFFFF), b"the rest", command(14)
    sent = (b"\xff\xff\xff\0" + full) * 2 + b"\x08\0\0\0" + rest + ping
    expected = b"\xff\xff\xff\0" + full + b"\xff\xff\xff\1" + full + b"\x08\0\0\2" + rest + ping
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    wire = b"".join(compressed(number, piece) for number, piece in enumerate(pieces))
    assert received(CompressLayer(), wire) == expected


def test_a_bomb_goes_off_slowly() -> None:
    size = 0xFFFFFF
    bomb = compressed(0, bytes(size))
    layer = CompressLayer()
    yielded = len(layer.received(bomb + compressed(1, b"x" * 60)))
    assert yielded == AT_ONCE
    while layer.held:
        part = layer.received(b"")
        assert len(part) <= AT_ONCE
        yielded += len(part)
    assert yielded == size + 60


def test_what_is_held_back_does_not_wait_for_more() -> None:
    for size in (AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE):
        data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        for wire in (compressed(0, data), framed(0, data)):
            assert received(CompressLayer(), wire) == data


STREAM = zlib.compress(b"x" * 100)


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        pytest.param(framed(1, b"x"), "out of order", id="no first packet"),
        pytest.param(framed(0, b"x") + framed(2, b"x"), "out of order", id="one is missing"),
        pytest.param(framed(0, STREAM, 99), "another length", id="more inside than it says"),
        pytest.param(framed(0, STREAM, 101), "another length", id="less inside than it says"),
        pytest.param(framed(0, STREAM[:-1], 100), "another length", id="cut short"),
        pytest.param(framed(0, STREAM[:-5], 100), "another length", id="the check sum is missing"),
        pytest.param(framed(0, STREAM + b"x", 100), "another length", id="something behind it"),
        pytest.param(framed(0, STREAM + bytes(300_000), 100), "another length", id="much behind it"),
        pytest.param(framed(0, b"", 100), "another length", id="nothing inside"),
        pytest.param(framed(0, b"plain text", 10), "no zlib stream", id="not compressed"),
        pytest.param(framed(0, STREAM[:-1] + b"\0", 100), "no zlib stream", id="a wrong check sum"),
        pytest.param(framed(0, zlib.compress(bytes(1 << 24)), 0xFFFFFF), "another length", id="a bomb that lies"),
    ],
)
def test_hostile_packets(wire: bytes, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        received(CompressLayer(), wire)
    slow = CompressLayer()
    with pytest.raises(ProtocolError, match=said):
        for at in range(len(wire)):
            received(slow, wire[at : at + 1])


@given(st.binary(max_size=200), st.integers(1, 300))
def test_any_bytes_are_understood_or_refused(junk: bytes, inside: int) -> None:
    for wire in (junk, framed(0, junk, inside), framed(0, STREAM[:50] + junk, inside)):
        try:
            received(CompressLayer(), wire)
        except ProtocolError as error:
            assert "compressed packet" in str(error)
