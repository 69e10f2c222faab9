"""Messages: what is well-formed, what is not, and what HTTP/1.1 would read otherwise (RFC 9113, section 8)."""

from __future__ import annotations

import pytest

from http2_playbook import GET, OK, Pairs
from protocols.http.fields import fields
from protocols.http.heads import NO_LENGTH, REQUEST, RESPONSE, TRAILERS, Head, read_head

CONNECT: Pairs = [(b":method", b"CONNECT"), (b":authority", b"a.test:443")]
EXTENDED: Pairs = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]


def read(kind: int, of: Pairs, extended: bool = False) -> Head:
    return read_head(kind, fields(*of), extended)


def without(of: Pairs, name: bytes) -> Pairs:
    return [pair for pair in of if pair[0] != name]


def test_a_request() -> None:
    head = read(REQUEST, [*GET, (b"content-length", b"12"), (b"x-a", b"1"), (b"x-a", b"2"), (b"te", b"Trailers")])
    assert head.fault == ""
    assert (head.method, head.scheme, head.authority, head.path) == (b"GET", b"http", b"a.test", b"/")
    assert (head.content_length, head.status) == (12, 0)
    assert head.get(b"x-a") == b"1"
    assert head.get(b"x-b") is None


@pytest.mark.parametrize(
    ("of", "authority"),
    [
        ([*GET, (b"host", b"A.test")], b"a.test"),
        ([*without(GET, b":authority"), (b"host", b"b.test")], b"b.test"),
        (without(GET, b":authority"), b""),
        ([*CONNECT, (b"host", b"a.test:443")], b"a.test:443"),
    ],
)
def test_the_authority(of: Pairs, authority: bytes) -> None:
    head = read(REQUEST, of)
    assert (head.fault, head.authority) == ("", authority)


@pytest.mark.parametrize(
    ("of", "says"),
    [
        ([], "no :method"),
        *[([*without(GET, name)], f"no {name.decode()}") for name in (b":method", b":scheme", b":path")],
        ([*GET, (b":path", b"/")], "several :path"),
        ([*GET, (b"x", b"y"), (b":protocol", b"z")], "behind other fields"),
        ([(b"x", b"y"), *GET], "behind other fields"),
        ([*GET, (b":status", b"200")], "wrong message"),
        ([*GET, (b":unknown", b"a")], "is not allowed to have"),
        ([*without(GET, b":path"), (b":path", b"")], "no :path"),
        ([*without(GET, b":path"), (b":path", b"a")], "slash"),
        ([*without(GET, b":path"), (b":path", b"*")], "slash"),
        ([*without(GET, b":path"), (b":path", b"/ HTTP/1.1\r\nhost: b")], "is not allowed to have"),
        ([*GET, (b"X-A", b"b")], "is not allowed to have"),
        ([*GET, (b"x-a", b"b\r\nc: d")], "is not allowed to have"),
        *[
            ([*GET, (name, b"x")], f"{name.decode()} is not allowed in HTTP/2")
            for name in (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
        ],
        ([*GET, (b"te", b"gzip")], "te with"),
        ([*GET, (b"te", b"trailers"), (b"te", b"gzip")], "te with"),
        ([*GET, (b"host", b"b.test")], "host and :authority differ"),
        ([*GET, (b"host", b"a.test\t")], "is not allowed to have"),
        ([*without(GET, b":authority"), (b"host", b"me@a.test")], "is not allowed to have"),
        ([*GET, (b"host", b"")], "host and :authority differ"),
        ([*GET, (b"host", b"a.test"), (b"host", b"a.test")], "several host"),
        *[
            ([*GET, (b"content-length", n)], "content-length")
            for n in (b"", b"-1", b"+1", b"1 2", b"1,1", b"0x1", b"9" * 19)
        ],
        ([*GET, (b"content-length", b"1"), (b"content-length", b"2")], "several content-length"),
        ([*CONNECT, (b":path", b"/")], "several|behind|CONNECT with"),
        ([CONNECT[0]], "CONNECT without"),
        (EXTENDED, "not offered"),
        ([*GET, (b":protocol", b"websocket")], "not offered"),
    ],
)
def test_malformed_requests(of: Pairs, says: str) -> None:
    fault = read(REQUEST, of).fault
    assert any(part in fault for part in says.split("|")), fault


def test_the_same_length_twice_is_one() -> None:
    head = read(REQUEST, [*GET, (b"content-length", b"3"), (b"content-length", b"3")])
    assert (head.fault, head.content_length) == ("", 3)


def test_options_of_the_server() -> None:
    of = [(b":method", b"OPTIONS"), *without(GET[1:], b":path"), (b":path", b"*")]
    assert read(REQUEST, of).fault == ""


def test_connect() -> None:
    assert read(REQUEST, CONNECT).fault == ""
    head = read(REQUEST, EXTENDED, extended=True)
    assert (head.fault, head.protocol) == ("", b"websocket")
    assert "not offered" in read(REQUEST, [*GET, (b":protocol", b"websocket")], extended=True).fault


def test_a_response() -> None:
    head = read(RESPONSE, OK)
    assert (head.fault, head.status, head.content_length) == ("", 200, NO_LENGTH)


@pytest.mark.parametrize(
    ("of", "says"),
    [
        ([], "no :status"),
        ([(b":status", b"101")], "101"),
        ([(b":status", b"20")], "is not allowed to have"),
        ([*OK, (b":status", b"200")], "behind|several"),
        ([*OK[:1], (b":path", b"/")], "wrong message"),
        ([*OK, (b"transfer-encoding", b"chunked")], "is not allowed in HTTP/2"),
    ],
)
def test_malformed_responses(of: Pairs, says: str) -> None:
    assert any(part in read(RESPONSE, of).fault for part in says.split("|"))


def test_trailers() -> None:
    assert read(TRAILERS, [(b"grpc-status", b"0")]).fault == ""
    assert read(TRAILERS, []).fault == ""
    for pair in [(b":path", b"/"), (b":status", b"200"), (b"content-length", b"3"), (b"connection", b"close")]:
        assert read(TRAILERS, [pair]).fault != ""


def test_a_fault_never_shows_a_value() -> None:
    assert "hush" not in read(REQUEST, [*GET, (b"authorization", b"hush\n")]).fault
