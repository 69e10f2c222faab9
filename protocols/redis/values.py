"""Decoding of the few small replies that the gateway itself has to understand, and rendering of its own."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from protocols.errors import ProtocolError
from protocols.redis.scan import line_end, number

OK: Final = b"+OK\r\n"

_MAX_DEPTH: Final = 16
_CR: Final = 13
_LENGTHS: Final = (b"$", b"=", b"!", b"*", b"~", b">", b"%", b"|")


def decode(data: bytes) -> object:
    """One whole RESP2 or RESP3 value: bytes, int, bool, None or list; a simple string, double or big number as bytes.

    Maps are flat lists of keys and values, as in RESP2; errors are ``ErrorReply``. Attributes are left out.

    Raises:
        ProtocolError: it is not one whole value.
    """
    value, end = _value(data, 0, 0)
    if end != len(data):
        raise ProtocolError("more than one reply")
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
    if end < i + 2 or data[end - 1] != _CR or depth > _MAX_DEPTH:
        raise ProtocolError("not a RESP reply")
    kind = data[i : i + 1]
    line = data[i + 1 : end - 1]
    if kind in (b"+", b",", b"("):
        return line, end + 1
    if kind == b"-":
        return ErrorReply(line.decode("utf-8", "replace")), end + 1
    if kind == b":":
        digits = line[1:] if line[:1] in (b"-", b"+") else line
        if not digits.isdigit() or len(digits) > 20:
            raise ProtocolError("not a RESP reply")
        return int(line), end + 1
    if kind == b"_":
        return None, end + 1
    if kind == b"#":
        return line == b"t", end + 1
    length = number(data, i + 1, end - 1)
    if length == -2 or kind not in _LENGTHS:
        raise ProtocolError("not a RESP reply")
    if length == -1:
        return None, end + 1
    if kind in (b"$", b"=", b"!"):
        if end + 1 + length + 2 > len(data):
            raise ProtocolError("not a whole reply")
        body = data[end + 1 : end + 1 + length]
        return ErrorReply(body.decode("utf-8", "replace")) if kind == b"!" else body, end + 1 + length + 2
    items: list[object] = []
    left: i64 = length * 2 if kind in (b"%", b"|") else length
    i = end + 1
    while left > 0:
        item, i = _value(data, i, depth + 1)
        items.append(item)
        left -= 1
    if kind == b"|":
        return _value(data, i, depth + 1)
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


def null_array(resp: int) -> bytes:
    """The null of a protocol version where an array was to be."""
    return b"_\r\n" if resp == 3 else b"*-1\r\n"


def array(items: list[bytes]) -> bytes:
    """An array of rendered values."""
    return b"*%d\r\n" % len(items) + b"".join(items)


def mapping(resp: int, items: list[tuple[bytes, bytes]]) -> bytes:
    """A map of rendered keys and values; in RESP2 a flat array."""
    head = b"%%%d\r\n" % len(items) if resp == 3 else b"*%d\r\n" % (2 * len(items))
    return head + b"".join([key + value for key, value in items])
