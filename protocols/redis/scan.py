"""RESP boundaries: where a message ends, without decoding it.

Both scanners are incremental. They keep what they know of an unfinished message, so that a message that
arrives in pieces is never read twice, and never has to be held whole.
https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from protocols.errors import ProtocolError

MORE: Final = -1  # the message is not complete yet

MAX_LINE: Final = 1 << 20  # a status or error line; Redis itself bounds them by its output buffers only
MAX_INLINE: Final = 1 << 16  # as PROTO_INLINE_MAX_SIZE
MAX_ARGS: Final = (1 << 31) - 1  # as Redis 7; they are never held all at once
MAX_ARGS_ANONYMOUS: Final = 10  # before AUTH, as Redis since 6.0.16
MAX_BULK_ANONYMOUS: Final = 16384
MAX_ITEMS: Final = (1 << 32) - 1  # elements of an array or map, as hiredis

_MINUS: Final = 45
_COLON: Final = 58
_CR: Final = 13
_LF: Final = 10
_STAR: Final = 42
_DOLLAR: Final = 36
_ATTRIBUTE: Final = 124

# What a reply's first byte says: nothing but its line, a body of n bytes, n or 2n further elements.
_LINE: Final = 1
_BODY: Final = 2
_ITEMS: Final = 3
_PAIRS: Final = 4
_KINDS: Final = bytes(
    _LINE if c in b"+-:_#,(" else _BODY if c in b"$=!" else _ITEMS if c in b"*~>" else _PAIRS if c in b"%|" else 0
    for c in range(256)
)


def number(data: bytes, i: i64, end: i64) -> i64:
    """The decimal number in data[i:end]; -1 for the null length ``-1``; -2 when it is anything else.

    As Redis' string2ll: no sign but that of -1, no leading zeros, no blanks, at most 18 digits.
    """
    if i >= end or end - i > 18:
        return -2
    first: i64 = data[i]
    if first == _MINUS:
        return -1 if end - i == 2 and data[i + 1] == 49 else -2
    if first == 48 and end - i > 1:
        return -2
    value: i64 = 0
    while i < end:
        digit: i64 = data[i] - 48
        if digit < 0 or digit > 9:
            return -2
        value = value * 10 + digit
        i += 1
    return value


def line_end(data: bytes, i: i64, n: i64) -> i64:
    """Index of the LF that ends the line at i, or -1 when it has not arrived."""
    while i < n:
        if data[i] == _LF:
            return i
        i += 1
    return -1


@final
class ReplyScanner:
    """Finds the ends of replies and pushes from an upstream.

    ``scan(data, i)`` goes on with the current message at data[i] and returns its end, or MORE. After MORE,
    ``reached`` is the index up to which data was understood: scanning goes on from there, with what follows it.
    ``kind`` is the first byte of the message (behind attributes) and ``at`` its index, valid in the same data only.
    """

    __slots__ = ("at", "kind", "outstanding", "reached", "skip")

    def __init__(self) -> None:
        self.outstanding: i64 = 0  # elements of the current message still to come; 0: between messages
        self.skip: i64 = 0  # bytes of a body (with its CRLF) still to come
        self.reached: i64 = 0
        self.kind: i64 = 0
        self.at: i64 = 0

    def scan(self, data: bytes, i: i64) -> i64:
        """End of the current message, or MORE.

        Raises:
            ProtocolError: these bytes are no RESP.
        """
        n: i64 = len(data)
        left: i64 = self.outstanding
        if left == 0:
            if i >= n:
                self.reached = i
                return MORE
            left = 1
            self.kind = data[i]
            self.at = i
        elif self.skip > 0:
            if n - i < self.skip:
                self.skip -= n - i
                self.reached = n
                return MORE
            i += self.skip
            self.skip = 0
            left -= 1
        while left > 0:
            end = line_end(data, i, n)
            if end < 0:
                if n - i > MAX_LINE:
                    raise ProtocolError("line too long")
                break
            kind: i64 = data[i]
            if data[end - 1] != _CR:
                raise ProtocolError("not a RESP reply")
            if left == 1 and self.kind == _ATTRIBUTE:
                self.kind = kind
                self.at = i
            shape: i64 = _KINDS[kind]
            if shape == _LINE:
                left -= 1
                i = end + 1
                continue
            length = number(data, i + 1, end - 1)
            if shape == 0 or length == -2 or (shape != _BODY and length > MAX_ITEMS):
                raise ProtocolError("not a RESP reply")
            i = end + 1
            if length < 0:
                left -= 1
            elif shape == _BODY:
                i += length + 2
                if i > n:
                    self.skip = i - n
                    i = n
                    break
                left -= 1
            elif shape == _ITEMS:
                left += length - 1
            else:
                left += 2 * length - (0 if kind == _ATTRIBUTE else 1)
        self.outstanding = left
        self.reached = i
        return MORE if left > 0 else i


@final
class RequestScanner:
    """Finds the ends of commands from a client: arrays of bulk strings. Inline commands are left to the codec.

    After ``scan`` returned an end, ``name_at`` and ``name_end`` bound the command's name in the same data, and
    ``argc`` counts the arguments with the name. Of an unfinished command both are -1 until its name begins.
    Like Redis it looks at neither CR nor LF behind a bulk's body, so that both always agree where a command ends;
    header lines must be exact.
    """

    __slots__ = (
        "argc", "args_left", "max_args", "max_bulk", "max_value", "name_at", "name_end", "reached", "skip", "started",
    )  # fmt: skip

    def __init__(self, max_bulk: int) -> None:
        self.max_args: i64 = MAX_ARGS
        self.max_bulk: i64 = max_bulk
        self.max_value: Final[i64] = max_bulk  # what max_bulk is when nothing lowers it
        self.started: bool = False
        self.argc: i64 = 0
        self.args_left: i64 = 0
        self.skip: i64 = 0
        self.reached: i64 = 0
        self.name_at: i64 = 0
        self.name_end: i64 = 0

    def restart(self) -> None:
        """Forget an unfinished command: the next scan starts it again."""
        self.started = False
        self.skip = 0

    def scan(self, data: bytes, i: i64) -> i64:
        """End of the command at data[i] (or of the one being continued there), or MORE.

        Raises:
            ProtocolError: with Redis' own words for what is wrong.
        """
        n: i64 = len(data)
        if not self.started:
            end = self._header(data, i, n, _STAR)
            if end < 0:
                return MORE
            negative = data[i + 1] == _MINUS  # an empty command, as 0 is
            count = number(data, i + 2 if negative else i + 1, end - 1)
            if count < (1 if negative else 0) or (count > MAX_ARGS and not negative):
                raise ProtocolError("invalid multibulk length")
            if count > self.max_args and not negative:
                raise ProtocolError("unauthenticated multibulk length")
            self.argc = self.args_left = 0 if negative else count
            self.started = True
            self.name_at = self.name_end = -1
            i = end + 1
        elif self.skip > 0:
            if n - i < self.skip:
                self.skip -= n - i
                self.reached = n
                return MORE
            i += self.skip
            self.skip = 0
            self.args_left -= 1
        while self.args_left > 0:
            end = self._header(data, i, n, _DOLLAR)
            if end < 0:
                return MORE
            length = number(data, i + 1, end - 1)
            if length < 0 or length > self.max_value:
                raise ProtocolError("invalid bulk length")
            if length > self.max_bulk:
                raise ProtocolError("unauthenticated bulk length")
            if self.args_left == self.argc:
                self.name_at = end + 1
                self.name_end = end + 1 + length
            i = end + 1 + length + 2
            if i > n:
                self.skip = i - n
                self.reached = n
                return MORE
            self.args_left -= 1
        self.started = False
        self.reached = i
        return i

    def _header(self, data: bytes, i: i64, n: i64, kind: i64) -> i64:
        """Index of the LF that ends the header line at i, or MORE with ``reached`` set."""
        self.reached = i
        if i >= n:
            return MORE
        if data[i] != kind:
            raise ProtocolError(f"expected '{chr(kind)}', got '{_printable(data[i])}'")
        end = line_end(data, i, n)
        if end < 0:
            if n - i > MAX_INLINE:
                raise ProtocolError("too big mbulk count string" if kind == _STAR else "too big bulk count string")
            return MORE
        if data[end - 1] != _CR:
            raise ProtocolError("invalid multibulk length" if kind == _STAR else "invalid bulk length")
        return end


def _printable(byte: int) -> str:
    if byte == _CR or byte == _LF:
        return " "
    return chr(byte) if 32 <= byte < 127 else "?"


def arguments(data: bytes, start: int = 0) -> list[bytes]:
    """The arguments of one already scanned command at data[start]; of an unfinished one those that have arrived."""
    i: i64 = start
    end = line_end(data, i, len(data))
    count = number(data, i + 1, end - 1)
    found: list[bytes] = []
    while count > 0:
        i = end + 1
        end = line_end(data, i, len(data))
        if end < 0:
            break
        length = number(data, i + 1, end - 1)
        found.append(data[end + 1 : end + 1 + length])
        end += length + 2
        count -= 1
    return found


def encode(args: list[bytes]) -> bytes:
    """A command as an array of bulk strings."""
    parts = [b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args]
    return b"*%d\r\n" % len(args) + b"".join(parts)
