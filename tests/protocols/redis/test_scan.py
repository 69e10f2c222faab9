"""Where messages end: by example, at every offset they may be torn, and compared with hiredis and a real server."""

from __future__ import annotations

from collections.abc import Iterator

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import ProtocolError
from protocols.redis.scan import (
    MAX_ITEMS,
    MAX_LINE,
    MORE,
    ReplyScanner,
    RequestScanner,
    arguments,
    encode,
    number,
)
from redis_playbook import split_at_every_offset

BROKEN = "not a RESP reply"

# One whole message a line: every type of RESP2 and RESP3, empty, null, nested.
REPLIES = [
    b"+OK\r\n",
    b"+\r\n",
    b"-ERR unknown command\r\n",
    b":-42\r\n",
    b"$5\r\nhello\r\n",
    b"$0\r\n\r\n",
    b"$-1\r\n",
    b"$4\r\n\r\n+\n\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"*3\r\n:1\r\n$1\r\na\r\n*-1\r\n",
    b"*2\r\n*2\r\n+a\r\n*0\r\n*1\r\n*1\r\n$2\r\nab\r\n",
    b"_\r\n",
    b"#t\r\n",
    b",3.14\r\n",
    b",inf\r\n",
    b"(3492890328409238509324850943850943825024385\r\n",
    b"!21\r\nSYNTAX invalid syntax\r\n",
    b"=15\r\ntxt:Some string\r\n",
    b"%2\r\n+a\r\n:1\r\n+b\r\n*2\r\n:1\r\n:2\r\n",
    b"%0\r\n",
    b"~3\r\n+a\r\n#f\r\n_\r\n",
    b">3\r\n+message\r\n+channel\r\n$2\r\nhi\r\n",
    b"|1\r\n+ttl\r\n:3600\r\n$1\r\nv\r\n",
    b"|0\r\n+v\r\n",
    b"*2\r\n|1\r\n+k\r\n*1\r\n:9\r\n:1\r\n:2\r\n",
    b"|1\r\n+k\r\n%1\r\n+a\r\n*0\r\n|1\r\n+l\r\n:1\r\n-ERR no\r\n",
]


@pytest.mark.parametrize("reply", REPLIES)
def test_a_whole_reply_ends_where_it_ends(reply: bytes) -> None:
    scanner = ReplyScanner()
    assert scanner.scan(b"+before\r\n" + reply + b"+behind\r\n", 9) == 9 + len(reply)
    assert scanner.outstanding == 0


class Kept:
    """Scans a stream; what is not understood yet is kept, and comes again with more behind it."""

    def __init__(self, scanner: ReplyScanner | RequestScanner) -> None:
        self.scanner = scanner
        self.tail = b""
        self.resume = 0

    def feed(self, data: bytes) -> list[bytes]:
        data, i, start, found = self.tail + data, self.resume, 0, []
        while (i := self.scanner.scan(data, i)) != MORE:
            found.append(data[start:i])
            start = i
        self.tail, self.resume = data[start:], self.scanner.reached - start
        return found


class Forwarded:
    """Scans a stream; what is understood goes on at once, and is never seen again."""

    def __init__(self, scanner: ReplyScanner | RequestScanner) -> None:
        self.scanner = scanner
        self.tail = b""
        self.message = b""

    def feed(self, data: bytes) -> list[bytes]:
        data, i, found = self.tail + data, 0, []
        while (end := self.scanner.scan(data, i)) != MORE:
            found.append(self.message + data[i:end])
            self.message, i = b"", end
        self.message += data[i : self.scanner.reached]
        self.tail = data[self.scanner.reached :]
        return found


@pytest.mark.parametrize("way", [Kept, Forwarded])
def test_replies_torn_at_every_offset(way: type[Kept] | type[Forwarded]) -> None:
    for reply in REPLIES:
        for first, second in split_at_every_offset(reply + b"+next\r\n"):
            reader = way(ReplyScanner())
            assert reader.feed(first) + reader.feed(second) == [reply, b"+next\r\n"]


@pytest.mark.parametrize("way", [Kept, Forwarded])
def test_replies_byte_by_byte(way: type[Kept] | type[Forwarded]) -> None:
    reader = way(ReplyScanner())
    assert [found for byte in b"".join(REPLIES) for found in reader.feed(bytes([byte]))] == REPLIES


@pytest.mark.parametrize(
    ("reply", "kind", "at"),
    [
        (b"-ERR\r\n", b"-", 0),
        (b"|1\r\n+a\r\n+b\r\n-ERR\r\n", b"-", 12),
        (b"|1\r\n+a\r\n*1\r\n+b\r\n*1\r\n+c\r\n", b"*", 16),
        (b"|1\r\n+a\r\n+b\r\n|1\r\n+a\r\n+b\r\n$1\r\nx\r\n", b"$", 24),
        (b"*1\r\n|1\r\n+a\r\n+b\r\n:1\r\n", b"*", 0),
    ],
)
def test_the_kind_of_a_reply_is_what_stands_behind_its_attributes(reply: bytes, kind: bytes, at: int) -> None:
    scanner = ReplyScanner()
    scanner.scan(reply, 0)
    assert (bytes([scanner.kind]), scanner.at) == (kind, at)


def test_a_large_body_is_skipped_without_being_seen_twice() -> None:
    scanner = ReplyScanner()
    chunk = bytes(1 << 20)
    assert scanner.scan(b"$1073741824\r\n", 0) == MORE
    for _ in range(1024):
        assert scanner.scan(chunk, 0) == MORE
        assert scanner.reached == len(chunk)
    assert scanner.scan(b"\r\n+next\r\n", 0) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\r\n",
        b"\n",
        b"+OK\n",
        b"+a\nb\r\n",
        b"$3\nabc\r\n",
        b"$-2\r\n",
        b"$x\r\n",
        b"$\r\n",
        b"$01\r\n",
        b"$?\r\n",
        b"*?\r\n",
        b"*1000000000000000000\r\n",
        b"*%d\r\n" % (MAX_ITEMS + 1),
        b"%%%d\r\n" % (MAX_ITEMS + 1),
        b"*1\r\nx\r\n",
        b"+" + b"x" * MAX_LINE + b"x",
    ],
)
def test_what_is_no_reply_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"not a RESP reply|line too long"):
        ReplyScanner().scan(data, 0)


def test_sums_of_lengths_do_not_overflow() -> None:
    """Compiled, they are 64 bits wide."""
    scanner = ReplyScanner()
    assert scanner.scan(b"%%%d\r\n" % MAX_ITEMS * 1000, 0) == MORE
    assert scanner.outstanding > MAX_ITEMS
    assert scanner.scan(b"$999999999999999999\r\n", 0) == MORE


# Generated replies, against hiredis. It knows no attributes and no blob errors, and wants keys that can be hashed.

_words = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8).map(str.encode)


def _body(mark: bytes, body: bytes) -> bytes:
    return mark + b"%d\r\n" % len(body) + body + b"\r\n"


SCALARS = st.one_of(
    st.builds(lambda mark, text: mark + text + b"\r\n", st.sampled_from([b"+", b"-"]), _words),
    st.integers(-(2**63), 2**63 - 1).map(lambda i: b":%d\r\n" % i),
    st.binary(max_size=40).map(lambda body: _body(b"$", body)),
    st.binary(max_size=20).map(lambda body: _body(b"=", b"txt:" + body)),
    st.sampled_from([b"$-1\r\n", b"*-1\r\n", b"_\r\n", b"#t\r\n", b"#f\r\n", b",1.5\r\n", b",-inf\r\n", b"(12345\r\n"]),
)


def _aggregate(items: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    listed = st.lists(items, max_size=4)
    pairs = st.lists(st.builds(lambda key, item: _body(b"$", key) + item, _words, items), max_size=3)
    return st.one_of(
        st.builds(
            lambda mark, all_: mark + b"%d\r\n" % len(all_) + b"".join(all_), st.sampled_from([b"*", b"~"]), listed
        ),
        pairs.map(lambda all_: b"%%%d\r\n" % len(all_) + b"".join(all_)),
    )


VALUES = st.recursive(SCALARS, _aggregate, max_leaves=12)
PUSHES = st.lists(VALUES, min_size=1, max_size=3).map(lambda v: b">%d\r\n+message\r\n" % (len(v) + 1) + b"".join(v))
STREAMS = st.lists(st.one_of(VALUES, PUSHES), min_size=1, max_size=6)
CUTS = st.lists(st.integers(1, 40), max_size=30)


def chunks(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    at = 0
    for size in sizes:
        yield data[at : at + size]
        at += size
    yield data[at:]


def hiredis_boundaries(data: bytes) -> list[int]:
    """Where hiredis sees messages end: it is fed byte by byte."""
    reader, ends = hiredis.Reader(notEnoughData=Ellipsis), []
    for at in range(len(data)):
        reader.feed(data[at : at + 1])
        if reader.gets() is not Ellipsis:
            ends.append(at + 1)
    return ends


@settings(derandomize=True, max_examples=300)
@given(replies=STREAMS, cuts=CUTS)
def test_boundaries_are_those_of_hiredis(replies: list[bytes], cuts: list[int]) -> None:
    data = b"".join(replies)
    kept, forwarded = Kept(ReplyScanner()), Forwarded(ReplyScanner())
    found = [message for chunk in chunks(data, cuts) for message in kept.feed(chunk)]
    assert found == replies
    assert found == [message for chunk in chunks(data, cuts) for message in forwarded.feed(chunk)]
    ends = hiredis_boundaries(data)
    assert [data[a:b] for a, b in zip([0, *ends], ends, strict=False)] == replies


CHANGES = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(0, 255), st.sampled_from("xid")), min_size=1, max_size=4
)


def mutated(data: bytes, changes: list[tuple[int, int, str]]) -> bytes:
    """Bytes exchanged, inserted and deleted."""
    changed = bytearray(data)
    for at, byte, how in changes:
        at %= len(changed) + 1
        changed[at : at + (0 if how == "i" else 1)] = b"" if how == "d" else bytes([byte])
    return bytes(changed)


@settings(derandomize=True, max_examples=300)
@given(replies=STREAMS, changes=CHANGES, cuts=CUTS)
def test_broken_replies_are_refused_or_wait_for_more(
    replies: list[bytes], changes: list[tuple[int, int, str]], cuts: list[int]
) -> None:
    data = mutated(b"".join(replies), changes)
    reader = Kept(ReplyScanner())
    found = b""
    try:
        for chunk in chunks(data, cuts):
            found += b"".join(reader.feed(chunk))
        assert found + reader.tail == data
    except ProtocolError as error:
        assert str(error) in (BROKEN, "line too long")
        assert data.startswith(found)


# Requests

REQUESTS = [
    b"*1\r\n$4\r\nPING\r\n",
    b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$14\r\n*1\r\n$4\r\nPING\r\n\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"*-17\r\n",
    b"*1\r\n$4\r\nPINGxx",  # neither CR nor LF: Redis does not look
    b"*1\r\n$0\r\n\r\n",
]


def new_scanner() -> RequestScanner:
    return RequestScanner(1 << 29)


@pytest.mark.parametrize(
    ("request_", "name", "argc"),
    [(REQUESTS[0], b"PING", 1), (REQUESTS[1], b"GET", 2), (REQUESTS[2], b"SET", 3), (REQUESTS[7], b"", 1)],
)
def test_a_request_has_a_name_and_arguments(request_: bytes, name: bytes, argc: int) -> None:
    scanner = new_scanner()
    data = REQUESTS[0] + request_ + REQUESTS[1]
    assert scanner.scan(data, len(REQUESTS[0])) == len(REQUESTS[0]) + len(request_)
    assert (data[scanner.name_at : scanner.name_end], scanner.argc) == (name, argc)
    assert len(arguments(request_)) == argc


@pytest.mark.parametrize("way", [Kept, Forwarded])
def test_requests_torn_at_every_offset_and_byte_by_byte(way: type[Kept] | type[Forwarded]) -> None:
    for request in REQUESTS:
        for first, second in split_at_every_offset(request + REQUESTS[0]):
            reader = way(new_scanner())
            assert reader.feed(first) + reader.feed(second) == [request, REQUESTS[0]]
    reader = way(new_scanner())
    assert [found for byte in b"".join(REQUESTS) for found in reader.feed(bytes([byte]))] == REQUESTS


def test_a_name_that_has_not_begun_is_not_bounded() -> None:
    scanner = new_scanner()
    scanner.scan(REQUESTS[0], 0)
    assert scanner.scan(b"*2\r\n$3", 0) == MORE
    assert (scanner.name_at, scanner.name_end) == (-1, -1)


def test_a_restarted_scan_forgets_the_unfinished_command() -> None:
    scanner = new_scanner()
    assert scanner.scan(b"*1\r\n$9\r\nhalf", 0) == MORE
    scanner.restart()
    assert scanner.scan(REQUESTS[0], 0) == len(REQUESTS[0])


@settings(derandomize=True, max_examples=200)
@given(commands=st.lists(st.lists(st.binary(max_size=30), min_size=1, max_size=5), min_size=1, max_size=6), cuts=CUTS)
def test_requests_end_where_they_were_encoded_to_end(commands: list[list[bytes]], cuts: list[int]) -> None:
    requests = [encode(args) for args in commands]
    for way in (Kept, Forwarded):
        reader = way(new_scanner())
        assert [found for chunk in chunks(b"".join(requests), cuts) for found in reader.feed(chunk)] == requests
    assert [arguments(request) for request in requests] == commands


@pytest.mark.parametrize("at", range(1, 40))
def test_arguments_of_a_part_of_a_command_are_those_that_arrived(at: int) -> None:
    request = encode([b"SUBSCRIBE", b"channel", b"other"])
    assert all(b"SUBSCRIBE channel other".find(arg) >= 0 for arg in arguments(request[:at]))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"0", 0),
        (b"10", 10),
        (b"-1", -1),
        (b"999999999999999999", 999999999999999999),
        *[(text, -2) for text in (b"", b"-", b"-2", b"-11", b"+1", b"01", b"-0", b" 1", b"1 ", b"1x", b"1" * 19)],
    ],
)
def test_numbers_are_read_as_redis_reads_them(text: bytes, value: int) -> None:
    assert number(b"*" + text + b"\r", 1, 1 + len(text)) == value
