"""Decoding of the few small replies that the gateway itself has to understand, and rendering of its own."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from protocols.errors import ProtocolError
from protocols.redis.scan import line_end, number

OK: Final = b"+OK\r\n"

_MAX_DEPTH: Final = 16


def decode(data: bytes) -> object:
    """One whole RESP2 or RESP3 value: bytes, int, None, list, or the text of a simple string, error, number.

    Maps are flat lists of keys and values, as RESP2 would send them; errors are ``ErrorReply``.

    Raises:
        ProtocolError: it is not one whole value.
    """
    value, _ = _value(data, 0, 0)
    return value


def decode_all(data: bytes) -> list[object]:
    """Whole values, one behind the other.

    Raises:
        ProtocolError: they are not whole.
    """
    values: list[object] = []
    i: i64 = 0
    while i < len(data):
        value, i = _value(data, i, 0)
        values.append(value)
    return values


class ErrorReply:
    """An error that an upstream replied."""

    def __init__(self, text: str) -> None:
        self.text: Final = text


def _value(data: bytes, i: i64, depth: i64) -> tuple[object, i64]:
    end = line_end(data, i, len(data))
    if end < 0 or depth > _MAX_DEPTH:
        raise ProtocolError("not a RESP reply")
    kind = data[i : i + 1]
    line = data[i + 1 : end - 1]
    if kind in (b"+", b","):
        return line, end + 1
    if kind == b"-":
        return ErrorReply(line.decode("utf-8", "replace")), end + 1
    if kind == b":":
        return int(line), end + 1
    if kind == b"_":
        return None, end + 1
    if kind == b"#":
        return line == b"t", end + 1
    length = number(data, i + 1, end - 1)
    if length == -2:
        raise ProtocolError("not a RESP reply")
    if length == -1:
        return None, end + 1
    if kind in (b"$", b"="):
        if end + 1 + length + 2 > len(data):
            raise ProtocolError("not a whole reply")
        return data[end + 1 : end + 1 + length], end + 1 + length + 2
    items: list[object] = []
    left: i64 = length * 2 if kind == b"%" else length
    i = end + 1
    while left > 0:
        item, i = _value(data, i, depth + 1)
        items.append(item)
        left -= 1
    return items, i


def error(text: str) -> bytes:
    """An error reply; whatever would end its line early is blanked."""
    return b"-" + text.replace("\r", " ").replace("\n", " ").encode() + b"\r\n"


def bulk(value: bytes) -> bytes:
    """A bulk string."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def null(resp: int) -> bytes:
    """The null of a protocol version."""
    return b"_\r\n" if resp == 3 else b"$-1\r\n"


def array(items: list[bytes]) -> bytes:
    """An array of rendered values."""
    return b"*%d\r\n" % len(items) + b"".join(items)


def mapping(resp: int, items: list[tuple[bytes, bytes]]) -> bytes:
    """A map of rendered keys and values; in RESP2 a flat array."""
    head = b"%%%d\r\n" % len(items) if resp == 3 else b"*%d\r\n" % (2 * len(items))
    return head + b"".join([key + value for key, value in items])
