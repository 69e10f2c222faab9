"""What the fields of one header block say together: a request, a response, or trailers (RFC 9113, section 8).

Whatever HTTP/1.1 would read otherwise than HTTP/2 is refused here, so that a message means one thing on both sides.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from protocols.http.fields import (
    AUTHORITY,
    CONTENT_LENGTH,
    HOST,
    METHOD,
    PATH,
    PLAIN,
    PROTOCOL,
    SCHEME,
    STATUS,
    TE,
    Field,
)

# What a block is read as.
REQUEST: Final = 0
RESPONSE: Final = 1
TRAILERS: Final = 2

NO_LENGTH: Final = -1

_MAX_DIGITS: Final = 18  # of a content-length
_BAD_LENGTH: Final = -2


@final
class Head:
    """The head of a message, or its trailers. Never changed; ``fields`` has all of them, pseudo-header fields first."""

    __slots__ = (
        "authority", "content_length", "fault", "fields", "kind", "method", "path", "protocol", "scheme", "status",
    )  # fmt: skip

    def __init__(self, kind: i64, fields: list[Field]) -> None:
        self.kind: Final[i64] = kind
        self.fields: Final = fields
        self.fault: str = ""  # why the message is malformed; "": it is not
        self.method: bytes = b""
        self.scheme: bytes = b""
        self.authority: bytes = b""  # of ``:authority``, or else of ``host``
        self.path: bytes = b""
        self.protocol: bytes = b""  # of an extended CONNECT (RFC 8441)
        self.status: i64 = 0
        self.content_length: i64 = NO_LENGTH

    def get(self, name: bytes) -> bytes | None:
        """The value of the first field with this name, in lower case."""
        for one in self.fields:
            if one.name == name:
                return one.value
        return None


def read_head(kind: i64, fields: list[Field], extended_connect: bool) -> Head:
    """Read a list of fields as a request, a response or trailers; ``fault`` says what is wrong with it."""
    head = Head(kind, fields)
    head.fault = _read(head, extended_connect)
    return head


def _read(head: Head, extended_connect: bool) -> str:
    seen: i64 = 0  # kinds, as bits
    host = b""
    regular = False
    for one in head.fields:
        if not one.sound:
            return f"the field {shown(one.name)} is not allowed to have that name or value"
        kind: i64 = one.known.kind
        if kind == PLAIN:
            regular = True
            continue
        bit: i64 = 1 << kind
        if seen & bit != 0 and kind != TE:
            if kind != CONTENT_LENGTH or _length(one.value) != head.content_length:
                return f"several {shown(one.name)}"
        seen |= bit
        if kind <= PROTOCOL:
            if regular:
                return f"{shown(one.name)} behind other fields"
            if head.kind == TRAILERS or (kind == STATUS) != (head.kind == RESPONSE):
                return f"{shown(one.name)} in the wrong message"
            if kind == METHOD:
                head.method = one.value
            elif kind == PATH:
                head.path = one.value
            elif kind == AUTHORITY:
                head.authority = one.value
            elif kind == SCHEME:
                head.scheme = one.value
            elif kind == STATUS:
                head.status = _length(one.value)
            else:
                head.protocol = one.value
            continue
        regular = True
        if kind == CONTENT_LENGTH:
            length = _length(one.value)
            if length == _BAD_LENGTH or head.kind == TRAILERS:
                return "content-length is not a number, or among the trailers"
            head.content_length = length
        elif kind == HOST:
            host = one.value
        elif kind == TE:
            if one.value.lower() != b"trailers":
                return "te with something else than trailers"
        else:
            return f"{shown(one.name)} is not allowed in HTTP/2"
    if head.kind == REQUEST:
        return _check_request(head, seen, host, extended_connect)
    if head.kind == RESPONSE:
        if head.status == 0:
            return "no :status"
        if head.status == 101:
            return "status 101 in HTTP/2"
    return ""


def _check_request(head: Head, seen: i64, host: bytes, extended_connect: bool) -> str:
    """RFC 9113, sections 8.3.1 and 8.5; RFC 8441, section 4."""
    if host or seen & (1 << HOST) != 0:
        if seen & (1 << AUTHORITY) == 0:
            head.authority = host
        elif host != head.authority and host.lower() != head.authority.lower():
            return "host and :authority differ"
    if not head.method:
        return "no :method"
    if head.method == b"CONNECT" and not head.protocol:
        if seen & (1 << SCHEME | 1 << PATH) != 0:
            return "CONNECT with :scheme or :path"
        return "" if head.authority else "CONNECT without :authority"
    if head.protocol and (head.method != b"CONNECT" or not extended_connect):
        return ":protocol where it was not offered"
    if not head.scheme:
        return "no :scheme"
    if head.path[:1] != b"/" and not (head.path == b"*" and head.method == b"OPTIONS"):
        return "no :path, or none that begins with a slash"
    return ""


def _length(text: bytes) -> i64:
    n: i64 = len(text)
    if n == 0 or n > _MAX_DIGITS:
        return _BAD_LENGTH
    value: i64 = 0
    i: i64 = 0
    while i < n:
        digit: i64 = text[i]
        digit -= 48
        if digit < 0 or digit > 9:
            return _BAD_LENGTH
        value = value * 10 + digit
        i += 1
    return value


def shown(name: bytes) -> str:
    """A name as messages quote it."""
    text = name[:40].decode("latin-1")
    return text if text.isprintable() else repr(text)
