"""Inline commands are split as a real server splits them: ECHO and PING tell what it saw."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import ProtocolError
from protocols.redis.inline import split_inline
from protocols.redis.scan import encode
from redis_playbook import Conversation, exhaust, through
from servers import RedisServer


@pytest.mark.parametrize(
    ("line", "args"),
    [
        (b"", []),
        (b"  \t ", []),
        (b"GET a", [b"GET", b"a"]),
        (b"  GET \t a  ", [b"GET", b"a"]),
        (b'SET a ""', [b"SET", b"a", b""]),
        (b'SET a "b c"', [b"SET", b"a", b"b c"]),
        (b"SET a 'b c'", [b"SET", b"a", b"b c"]),
        (rb'"\n\r\t\b\a"', [b"\n\r\t\b\a"]),
        (rb'"\x00\xfF\"\\\q"', [b'\x00\xff"\\q']),
        (rb'"\x0g\x"', [b"x0gx"]),
        (rb"'\n\'\\ '", [rb"\n'\\ "]),
        (b"ab'c d'", [b"abc d"]),
        (b'ab"c d" e', [b"abc d", b"e"]),
        (b"a\\n", [b"a\\n"]),
        (b"a\vb\fc \vd", [b"a\vb\fc", b"d"]),
        ("ä 'ö'".encode(), ["ä".encode(), "ö".encode()]),
    ],
)
def test_a_line_and_its_arguments(line: bytes, args: list[bytes]) -> None:
    assert split_inline(line) == args


@pytest.mark.parametrize("line", [b'"', b"'", b'"a', b'"a"b', b"'a'b", b"\"a''", b"'a\\'", b'"a\\"', b'a"', b'"a\\'])
def test_unbalanced_quotes_are_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="unbalanced quotes in request"):
        split_inline(line)


PIECES = st.sampled_from(
    [
        b"a",
        b"b c",
        b" ",
        b"\t",
        b'"',
        b"'",
        b"\\",
        b"\\n",
        b"\\x41",
        b"\\x4",
        b'\\"',
        b"\\'",
        b"\v",
        b"\f",
        b"\r",
        b"\xff",
    ]
)


@settings(derandomize=True, max_examples=400)
@given(pieces=st.lists(PIECES, max_size=8))
def test_a_server_sees_the_same_arguments(redis_server: RedisServer, pieces: list[bytes]) -> None:
    """As inline command, direct; and the arguments that we found, as an array of bulk strings."""
    line = b"ECHO " + b"".join(pieces)
    direct = exhaust(redis_server.port, line + b"\r\n")
    try:
        assert exhaust(redis_server.port, encode(split_inline(line))) == direct
    except ProtocolError as error:
        assert direct == f"-ERR Protocol error: {error}\r\n".encode()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\r\n"])
def test_inline_commands_become_calls_like_any_other(redis_server: RedisServer, end: bytes) -> None:
    data = b"".join(line + end for line in [b"", b"ping", b'echo "a b"', b"client getname", b"select 0", b"nope"])
    direct = exhaust(redis_server.port, data)
    client = Conversation()
    assert through(redis_server.port, data, client) == direct
    assert client.lines == [
        "PING",
        "ECHO",
        "CLIENT GETNAME (local): $-1",
        "SELECT (local): +OK",
        "UNKNOWN",
    ]


def test_an_inline_command_waits_for_its_line_to_end() -> None:
    client = Conversation()
    assert client.sends(b"PI") == []
    assert client.sends(b"NG\r") == []
    assert client.sends(b"\nPING\n") == ["PING", "PING"]
