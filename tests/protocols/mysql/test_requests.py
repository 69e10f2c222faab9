"""A client's packets: one command after the other, and those that are passed on, kept or thrown away as they arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mysql_playbook import query, split_at_every_offset
from protocols.errors import ProtocolError
from protocols.mysql.client_login import MAX_LOGIN
from protocols.mysql.packets import MAX_PAYLOAD, packet
from protocols.mysql.requests import OrderError, Requests

BUFFER = 64


def fed(data: bytes, buffer: int = BUFFER) -> Requests:
    requests = Requests(buffer)
    requests.feed(data)
    return requests


def test_one_after_the_other() -> None:
    requests = fed(query("SELECT 1") + query("SELECT 2") + query("SEL")[:6])
    assert [requests.request(), requests.request(), requests.request()] == [query("SELECT 1"), query("SELECT 2"), None]
    assert (requests.buffered(), requests.unfinished()) == (6, False)
    requests.feed(query("SEL")[6:])
    assert requests.request() == query("SEL")
    assert requests.buffered() == 0


def test_a_request_is_not_there_before_its_last_byte() -> None:
    for one, two in split_at_every_offset(query("SELECT 1")):
        requests = fed(one)
        assert requests.request() is None
        requests.feed(two)
        assert requests.request() == query("SELECT 1")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (packet(b"\x03SELECT 1", 1), "Got packets out of order"),
        (packet(b"\x03SELECT 1", 255), "Got packets out of order"),
        (packet(b"", 0), "Malformed packet"),
    ],
)
def test_what_no_client_says(data: bytes, problem: str) -> None:
    with pytest.raises(ProtocolError, match=f"^{problem}$") as raised:
        fed(data).request()
    assert isinstance(raised.value, OrderError) == ("order" in problem)


def test_a_request_longer_than_the_buffer_is_passed_on_while_it_arrives() -> None:
    long, behind = query("x" * 500), query("SELECT 2")
    for one, two in split_at_every_offset(long + behind):
        requests = fed(one)
        parts = []
        start = requests.request()
        if start is None:
            assert len(one) < BUFFER
            requests.feed(two)
            start = requests.request()
            assert start is not None
            parts = [start]
        elif not requests.unfinished():
            parts = [start]
            requests.feed(two)
        else:
            parts = [start, requests.piece()]
            requests.feed(two)
            while requests.unfinished():
                parts.append(requests.piece())
        assert b"".join(parts) == long
        assert requests.request() == behind


@given(st.integers(0, 700), st.lists(st.integers(1, 90), max_size=30))
def test_pieces_are_the_request(size: int, cuts: list[int]) -> None:
    data = query("x" * size) + query("SELECT 2")
    requests, parts, at = Requests(BUFFER), b"", 0
    for cut in [*cuts, len(data)]:
        requests.feed(data[at : at + cut])
        at += cut
        if requests.unfinished():
            parts += requests.piece()
        if not requests.unfinished():
            while (request := requests.request()) is not None:
                parts += request
                if requests.unfinished():
                    break
    assert parts == data
    assert requests.buffered() == 0


@pytest.mark.parametrize("over", [0, 1, 5, MAX_PAYLOAD])
def test_a_request_of_several_packets(over: int) -> None:
    """Even its end may be an empty packet. Torn where a header is, too."""
    data = packet(b"\x03" + b"y" * (MAX_PAYLOAD + over - 1), 0)
    seam = MAX_PAYLOAD + 4
    for at in (3, 4, 5, seam - 1, seam, seam + 1, seam + 3, seam + 4, len(data)):
        requests = fed(data[:at] if at < len(data) else data + query("SELECT 2"))
        parts = [start] if (start := requests.request()) is not None else []
        assert requests.unfinished() == (start is not None)
        if at < len(data):
            parts.append(requests.piece() if requests.unfinished() else b"")
            requests.feed(data[at:] + query("SELECT 2"))
        if not parts or not parts[0]:
            start = requests.request()
            assert start is not None
            parts = [start]
        while requests.unfinished():
            parts.append(requests.piece())
        assert b"".join(parts) == data
        assert requests.request() == query("SELECT 2")


def test_a_long_request_waits_for_as_much_as_the_buffer_holds() -> None:
    """Whoever reads the start of it has that much of the text to tell by."""
    data = packet(b"\x03" + b"y" * (MAX_PAYLOAD + 4), 0)
    requests = fed(data[: BUFFER - 1])
    assert requests.request() is None
    requests.feed(data[BUFFER - 1 : BUFFER])
    assert requests.request() == data[:BUFFER]


def test_what_is_refused_is_thrown_away_as_it_arrives() -> None:
    long, behind = query("x" * 500), query("SELECT 2")
    for at in range(BUFFER, len(long) + len(behind)):
        requests = fed((long + behind)[:at])
        assert requests.request() is not None
        if requests.unfinished():
            requests.discard()
            assert not requests.unfinished()
            assert requests.request() is None
            assert requests.buffered() < 4 + len(behind)
        requests.feed((long + behind)[at:])
        assert requests.request() == behind


def test_what_no_call_takes_may_be_kept() -> None:
    long, behind = query("x" * 500), query("SELECT 2")
    for size in (1, 7, 400):
        kept: list[bytes] = []
        requests = fed(long[:BUFFER])
        start = requests.request()
        requests.keep(kept.append)
        rest = long[BUFFER:] + behind
        found = None
        for at in range(0, len(rest), size):
            requests.feed(rest[at : at + size])
            assert found is None
            found = requests.request()
        assert start == long[:BUFFER]
        assert b"".join(kept) == long[BUFFER:]
        assert found == behind


def test_what_was_kept_once_is_thrown_away_the_next_time() -> None:
    long = query("x" * 500)
    kept: list[bytes] = []
    requests = fed(long[:BUFFER])
    requests.request()
    requests.keep(kept.append)
    requests.feed(long[BUFFER:])
    assert requests.request() is None
    requests.feed(long[:BUFFER])
    requests.request()
    requests.discard()
    requests.feed(long[BUFFER:])
    requests.request()
    assert b"".join(kept) == long[BUFFER:]


def test_put_back_comes_again() -> None:
    for data in (query("SELECT 1"), query("x" * 500)[:BUFFER]):
        requests = fed(data)
        request = requests.request()
        assert request is not None
        requests.put_back(request)
        assert not requests.unfinished()
        assert requests.request() == request


def test_a_file_goes_on_to_its_empty_packet() -> None:
    query_itself = query("LOAD DATA LOCAL")
    file = packet(b"1,2\n", 2) + packet(b"3" * 300, 3) + packet(b"", 4)
    for one, two in split_at_every_offset(file):
        requests = fed(query_itself)
        requests.request()
        requests.expect_file()
        assert requests.unfinished()
        requests.feed(one)
        got = requests.piece()
        requests.feed(two + query("SELECT 2"))
        while requests.unfinished():
            got += requests.piece()
        assert got == file
        assert requests.request() == query("SELECT 2")


def test_an_empty_file() -> None:
    requests = fed(query("LOAD DATA LOCAL"))
    requests.request()
    requests.expect_file()
    requests.feed(packet(b"", 2) + query("SELECT 2"))
    assert requests.piece() == packet(b"", 2)
    assert requests.request() == query("SELECT 2")


# The login


def test_packets_of_the_login_are_taken_whole() -> None:
    for one, two in split_at_every_offset(packet(b"hello", 1)):
        requests = fed(one)
        assert requests.take() is None
        requests.feed(two + b"\5")
        assert requests.take() == b"hello"
        assert requests.sequence == 1
        assert requests.take() is None
        assert requests.leftover() == b"\5"
        assert requests.buffered() == 0
    assert fed(packet(b"", 3)).take() == b""


def test_a_packet_of_the_login_is_bounded() -> None:
    with pytest.raises(ProtocolError, match="too long"):
        fed((MAX_LOGIN + 1).to_bytes(3, "little") + b"\1").take()
