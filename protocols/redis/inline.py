"""Inline commands: a line typed by hand, split into arguments as Redis' sdssplitargs does."""

from __future__ import annotations

from typing import Final

from protocols.errors import ProtocolError

_ESCAPES: Final = {110: 10, 114: 13, 116: 9, 98: 8, 97: 7}  # \n \r \t \b \a
_HEX: Final = b"0123456789abcdefABCDEF"
_BLANK: Final = b" \t\n\r\v\f"  # between arguments
_END: Final = b" \t\n\r"  # of an argument without quotes: sdssplitargs has these fewer
_DOUBLE: Final = 34
_SINGLE: Final = 39
_BACKSLASH: Final = 92


def split_inline(line: bytes) -> list[bytes]:
    """The arguments of a line; quotes may hold blanks, double quotes also escapes such as backslash-n.

    Raises:
        ProtocolError: a quote is not closed, or something follows it at once.
    """
    args: list[bytes] = []
    i, n = 0, len(line)
    while True:
        while i < n and line[i] in _BLANK:
            i += 1
        if i >= n:
            return args
        current = bytearray()
        while i < n and line[i] not in _END:
            if line[i] in (_DOUBLE, _SINGLE):
                i = _quoted(line, i, current)
                if i < n and line[i] not in _BLANK:
                    raise ProtocolError("unbalanced quotes in request")
                break
            current.append(line[i])
            i += 1
        args.append(bytes(current))


def _quoted(line: bytes, i: int, current: bytearray) -> int:
    """Read the quoted text at i into current; returns the index behind its closing quote."""
    quote, n = line[i], len(line)
    i += 1
    while i < n:
        c = line[i]
        if c == quote:
            return i + 1
        if c == _BACKSLASH and quote == _SINGLE and line[i + 1 : i + 2] == b"'":
            c, i = _SINGLE, i + 1
        elif c == _BACKSLASH and quote == _DOUBLE and i + 1 < n:
            digits = line[i + 2 : i + 4]
            if line[i + 1] == 120 and len(digits) == 2 and all(d in _HEX for d in digits):
                c, i = int(digits, 16), i + 3
            else:
                c, i = _ESCAPES.get(line[i + 1], line[i + 1]), i + 1
        current.append(c)
        i += 1
    raise ProtocolError("unbalanced quotes in request")
