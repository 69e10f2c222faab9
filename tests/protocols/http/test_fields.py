"""Which names and values may stand in a message (RFC 9113, section 8.2.1), and what is known of them."""

from __future__ import annotations

import pytest

from protocols.http.fields import STATIC, field, name_of


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-a", b""),
        (b"x-a", b"a b\tc"),
        (b"x-a", "ä".encode()),
        (b"x_a.b~!#$%&'*+^`|0", b"v"),
        (b":method", b"GET"),
        (b":method", b"M-SEARCH"),
        (b":path", b"*"),
        (b":path", b"/a?b=c%20d&e"),
        (b":authority", b"[::1]:80"),
        (b":authority", b""),
        (b":scheme", b"HTTPS"),
        (b":status", b"599"),
    ],
)
def test_sound(name: bytes, value: bytes) -> None:
    assert field(name, value).sound


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, b"v") for name in (b"", b"X-a", b"x a", b"x:a", b"x\0", b"x\r", b"x\n", b"x\x7f", b"x\xe4", b"x(a)")],
        *[
            (b"x-a", value)
            for value in (b" a", b"a ", b"\ta", b"a\t", b" ", b"a\0", b"a\rb", b"a\nb", b"\r\n", b"a\x7f")
        ],
        *[(b":path", value) for value in (b"/a b", b"/a\tb", b"/ HTTP/1.1\r\nx: y", b"/\xe4", b"/#a")],
        *[(b":authority", value) for value in (b"a b", b"user@a", b"a/b", b"a?b", b"a#b", b"a\\b", b"a\r")],
        *[(b":method", value) for value in (b"", b"GET /", b"G(T", b"GE\nT")],
        *[(b":scheme", value) for value in (b"", b"ht tp", b"http:")],
        *[(b":status", value) for value in (b"", b"20", b"2000", b"2x0", b"-20", b"099", b"+20")],
    ],
)
def test_unsound(name: bytes, value: bytes) -> None:
    assert not field(name, value).sound


def test_what_the_static_table_knows() -> None:
    for at, one in enumerate(STATIC):
        known = field(one.name, one.value)
        assert known.static == at + 1
        assert STATIC[known.known.index - 1].name == one.name
    assert field(b":status", b"201").static == 0
    assert name_of(b"x-unknown").index == 0


def test_sizes_are_those_of_the_rfc() -> None:
    assert field(b"custom-key", b"custom-header").size == 55
