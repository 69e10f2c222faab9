"""Replies that the gateway itself has to understand, and those that it writes."""

from __future__ import annotations

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import ProtocolError
from protocols.redis.scan import MORE, ReplyScanner
from protocols.redis.values import ErrorReply, array, bulk, decode, decode_all, error, mapping, null, null_array


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        (b"+OK\r\n", b"OK"),
        (b":-42\r\n", -42),
        (b"$5\r\nhello\r\n", b"hello"),
        (b"$0\r\n\r\n", b""),
        (b"$-1\r\n", None),
        (b"*-1\r\n", None),
        (b"_\r\n", None),
        (b"#t\r\n", True),
        (b"#f\r\n", False),
        (b",1.5\r\n", b"1.5"),
        (b"(123456789012345678901234567890\r\n", b"123456789012345678901234567890"),
        (b"=6\r\ntxt:ab\r\n", b"txt:ab"),
        (b"*2\r\n:1\r\n*1\r\n$1\r\na\r\n", [1, [b"a"]]),
        (b"~1\r\n+a\r\n", [b"a"]),
        (b">2\r\n+message\r\n+a\r\n", [b"message", b"a"]),
        (b"%2\r\n+a\r\n:1\r\n+b\r\n*0\r\n", [b"a", 1, b"b", []]),  # as RESP2 would send it
        (b"|1\r\n+ttl\r\n:1\r\n+v\r\n", b"v"),
    ],
)
def test_a_value_of_each_type(reply: bytes, value: object) -> None:
    assert decode(reply) == value
    assert decode_all(reply + b":7\r\n") == [value, 7]


@pytest.mark.parametrize("reply", [b"-ERR no way\r\n", b"!10\r\nERR no way\r\n"])
def test_an_error_is_a_value_of_its_own(reply: bytes) -> None:
    value = decode(reply)
    assert isinstance(value, ErrorReply)
    assert value.text == "ERR no way"


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"+OK",
        b"\n",
        b"+\n",
        b"x\r\n",
        b"x1\r\n+OK\r\n",
        b":\r\n",
        b":1x\r\n",
        b":--1\r\n",
        b":" + b"1" * 5000 + b"\r\n",
        b"$3\r\nab\r\n",
        b"$x\r\n",
        b"*2\r\n+a\r\n",
        b"*1000000000\r\n",
        b"+a\r\n+b\r\n",
        b"*1\r\n" * 100 + b"+a\r\n",
    ],
)
def test_what_is_not_one_whole_value_is_refused(reply: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(reply)


def test_nothing_is_no_value_at_all() -> None:
    assert decode_all(b"") == []


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        (bulk(b""), b""),
        (bulk(b"a\r\nb"), b"a\r\nb"),
        (null(2), None),
        (null(3), None),
        (null_array(2), None),
        (null_array(3), None),
        (array([]), []),
        (array([bulk(b"a"), null(2)]), [b"a", None]),
        (mapping(2, [(bulk(b"a"), bulk(b"b"))]), [b"a", b"b"]),
        (mapping(3, [(bulk(b"a"), bulk(b"b"))]), {b"a": b"b"}),
    ],
)
def test_what_the_gateway_writes_is_what_a_client_reads(reply: bytes, value: object) -> None:
    reader = hiredis.Reader()
    reader.feed(reply)
    assert reader.gets() == value


def test_an_error_stays_on_its_line() -> None:
    assert error("ERR a\r\nb") == b"-ERR a  b\r\n"


@settings(derandomize=True, max_examples=500)
@given(
    data=st.binary(max_size=12).map(lambda tail: tail)
    | st.text("+-:$*%~>|=!(,_#0123\r\na", max_size=24).map(str.encode)
)
def test_decoding_agrees_with_the_scanner_and_raises_nothing_else(data: bytes) -> None:
    try:
        decode(data)
    except ProtocolError:
        return
    assert ReplyScanner().scan(data, 0) not in (MORE, 0)
