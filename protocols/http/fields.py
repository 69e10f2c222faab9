"""Header fields: what a name means, and whether name and value may stand in a message.

A field that stays in a table of HPACK is looked at once, when it is made; every message that refers to it afterwards
finds what it needs: its kind, whether it is sound, how it is encoded.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from protocols.http.hpack_tables import static_entries

# Kinds of names: what a message is checked for. Kinds up to PROTOCOL are pseudo-header fields.
METHOD: Final = 0
SCHEME: Final = 1
AUTHORITY: Final = 2
PATH: Final = 3
STATUS: Final = 4
PROTOCOL: Final = 5  # RFC 8441
PLAIN: Final = 6
CONTENT_LENGTH: Final = 7
HOST: Final = 8
TE: Final = 9
CONNECTION: Final = 10  # hop by hop: never in HTTP/2 (RFC 9113, section 8.2.2)

OVERHEAD: Final = 32  # that a table counts for each entry (RFC 7541, section 4.1)

_KINDS: Final[dict[bytes, int]] = {
    b":method": METHOD,
    b":scheme": SCHEME,
    b":authority": AUTHORITY,
    b":path": PATH,
    b":status": STATUS,
    b":protocol": PROTOCOL,
    b"content-length": CONTENT_LENGTH,
    b"host": HOST,
    b"te": TE,
    b"connection": CONNECTION,
    b"proxy-connection": CONNECTION,
    b"keep-alive": CONNECTION,
    b"transfer-encoding": CONNECTION,
    b"upgrade": CONNECTION,
}

# Secrets: no table keeps them, and no intermediary may (RFC 7541, section 7.1.3).
_SECRET: Final = frozenset(
    b"authorization proxy-authorization cookie set-cookie x-api-key api-key x-auth-token x-csrf-token"
    b" x-amz-security-token x-goog-api-key x-forwarded-access-token".split()
)
# Values that hardly ever come twice: to keep them would only push others out of the table.
_FLEETING: Final = frozenset(
    b":path content-length etag age last-modified if-none-match if-modified-since location content-range range"
    b" x-request-id x-correlation-id traceparent tracestate b3 x-b3-traceid x-b3-spanid grpc-timeout grpc-message"
    b" grpc-status-details-bin".split()
)

_TAB: Final = 9
_BLANK: Final = 32
_ZERO: Final = 48
_TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"  # tchar of RFC 9110, in lower case
_UPPER: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VISIBLE: Final = bytes([c for c in range(33, 127)])


def _flags(allowed: bytes) -> bytes:
    return bytes([1 if c in allowed else 0 for c in range(256)])


# By byte: may it stand in ...
_NAME: Final = _flags(_TOKEN)
_VALUE: Final = bytes([0 if (c < 32 and c != 9) or c == 127 else 1 for c in range(256)])
_METHOD: Final = _flags(_TOKEN + _UPPER)
_PATH: Final = _flags(_VISIBLE.replace(b"#", b""))
_AUTHORITY: Final = _flags(bytes([c for c in _VISIBLE if c not in b'@/?#\\"<>^`{|}']))
_SCHEME: Final = _flags(b"+-.0123456789abcdefghijklmnopqrstuvwxyz" + _UPPER)
_DIGITS: Final = _flags(b"0123456789")


def _only(text: bytes, allowed: bytes) -> bool:
    i: i64 = 0
    n: i64 = len(text)
    while i < n:
        c: i64 = text[i]
        if allowed[c] == 0:
            return False
        i += 1
    return True


@final
class Name:
    """What is known of a field's name, whatever its value."""

    __slots__ = ("fleeting", "index", "kind", "secret", "sound", "text", "values")

    def __init__(self, text: bytes) -> None:
        """Of a name that ``name_of`` does not know already, or while the table of those is made."""
        self.text: Final = text
        self.kind: Final[i64] = _KINDS.get(text, PLAIN)  # an unknown pseudo-header field is not sound
        self.secret: Final[bool] = text in _SECRET
        self.fleeting: Final[bool] = text in _FLEETING
        self.sound: Final[bool] = self.kind <= PROTOCOL or (len(text) > 0 and _only(text, _NAME))
        self.index: i64 = 0  # of the first entry of the static table with this name; 0: none
        self.values: dict[bytes, int] | None = None  # its values in the static table


@final
class Field:
    """One header field. Never changed: tables and messages share it.

    ``sound`` says that name and value are what RFC 9113, section 8.2.1, and RFC 9110 allow in a message; HPACK carries
    unsound ones all the same. ``secret`` fields are sent as never indexed.
    """

    __slots__ = ("known", "literal", "name", "secret", "size", "sound", "static", "value")

    def __init__(self, known: Name, value: bytes, secret: bool = False) -> None:
        self.known: Final = known
        self.name: Final = known.text
        self.value: Final = value
        self.size: Final[i64] = len(known.text) + len(value) + OVERHEAD
        self.secret: Final[bool] = secret or known.secret
        self.sound: Final[bool] = known.sound and _is_sound(known.kind, value)
        self.static: i64 = 0  # the static entry that is this field; 0: none
        values = known.values
        if values is not None:
            self.static = values.get(value, 0)
        self.literal: bytes = b""  # how an encoder without a table writes it, once it was asked to

    def __repr__(self) -> str:
        """For people, so without secrets."""
        return f"<{self.name!r}: {'...' if self.secret else repr(self.value)}>"


def _is_sound(kind: i64, value: bytes) -> bool:
    n: i64 = len(value)
    if kind >= PLAIN and kind != HOST:
        if n == 0:
            return True
        first: i64 = value[0]
        last: i64 = value[n - 1]
        blank = first == _BLANK or first == _TAB or last == _BLANK or last == _TAB
        return not blank and _only(value, _VALUE)
    # What would end up in the first line of an HTTP/1.1 message allows nothing that could end it.
    if kind == PATH:
        return _only(value, _PATH)
    if kind == AUTHORITY or kind == HOST:
        return _only(value, _AUTHORITY)
    if kind == STATUS:
        return n == 3 and _only(value, _DIGITS) and value[0] != _ZERO
    return n > 0 and _only(value, _SCHEME if kind == SCHEME else _METHOD)


def _known() -> dict[bytes, Name]:
    names = {text: Name(text) for text in (*_KINDS, *_SECRET, *_FLEETING)}
    for at, (text, value) in enumerate(static_entries()):
        name = names.setdefault(text, Name(text))
        if name.index == 0:
            name.index = at + 1
        if name.values is None:
            name.values = {}
        name.values.setdefault(value, at + 1)
    return names


_NAMES: Final = _known()
STATIC: Final[list[Field]] = [Field(_NAMES[text], value) for text, value in static_entries()]


def name_of(text: bytes) -> Name:
    """What is known of a name; HTTP/2 has them in lower case only."""
    known = _NAMES.get(text)
    return known if known is not None else Name(text)


def field(name: bytes, value: bytes) -> Field:
    """A field by its name, in lower case, and its value."""
    return Field(name_of(name), value)


def fields(*pairs: tuple[bytes, bytes]) -> list[Field]:
    """Several of them."""
    return [field(name, value) for name, value in pairs]
