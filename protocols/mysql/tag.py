"""What a MySQL connection is set to: schema and session settings. Connections with equal tags are alike.

A tag's *kind* is what no command can change: capabilities fixed at the handshake, and whether there is a schema at all
(none can be chosen, but never given up again).
"""

from __future__ import annotations

import re
from typing import Final, final

from mypy_extensions import i64

from protocols.mysql.collations import Collation
from protocols.mysql.constants import (
    CLIENT_DEPRECATE_EOF,
    CLIENT_FOUND_ROWS,
    CLIENT_LOCAL_FILES,
    CLIENT_MULTI_RESULTS,
    CLIENT_PS_MULTI_RESULTS,
    COM_INIT_DB,
    COM_QUERY,
    COM_SET_OPTION,
    MARIADB_EXTENDED_METADATA,
)
from protocols.mysql.lexer import ANSI_QUOTES, NO_BACKSLASH_ESCAPES
from protocols.mysql.packets import command

# Capabilities that change what the server does or says, and stay as the handshake made them.
FIXED: Final = (
    CLIENT_FOUND_ROWS
    | CLIENT_LOCAL_FILES
    | CLIENT_MULTI_RESULTS
    | CLIENT_PS_MULTI_RESULTS
    | CLIENT_DEPRECATE_EOF
    | MARIADB_EXTENDED_METADATA
)
UNKNOWN_SCHEMA: Final = b"\0"  # of a connection on which a statement was given up: no name has such a byte
WITH_SCHEMA: Final = 1 << 32  # in a kind, beside the capabilities

CHARSET_SETTINGS: Final = (
    "character_set_client", "character_set_connection", "character_set_results", "collation_connection",
)  # fmt: skip

_OBSCURE: Final = (b"sjis", b"cp932", b"big5", b"gbk", b"gb18030")
_NUMBER: Final = re.compile(rb"-?\d{1,20}(\.\d{1,20})?")


@final
class Tag:
    """Immutable. ``settings``: SQL text by the name of the session variable; what is not in it has its default."""

    __slots__ = (
        "_hash", "_key", "adds_to_mode", "is_obscure", "kind", "mode", "multi_statements", "schema", "settings",
    )  # fmt: skip

    def __init__(self, flags: int, multi_statements: bool, schema: bytes, settings: dict[str, bytes]) -> None:
        self.kind: Final[int] = flags & FIXED | (WITH_SCHEMA if schema else 0)
        self.multi_statements: Final = multi_statements
        self.schema: Final = schema
        self.settings: Final = settings
        self._key: Final = (self.kind, multi_statements, schema, *sorted(settings.items()))
        self._hash: Final[int] = hash(self._key)
        # Text in these may hold a backslash inside a character: what it says, only the server knows.
        self.is_obscure: Final = settings.get("character_set_client") in _OBSCURE
        modes = settings.get("sql_mode", b"").upper()
        mode = ANSI_QUOTES if b"ANSI" in modes else 0  # ANSI stands for several, quotes among them
        self.mode: Final[i64] = mode | (NO_BACKSLASH_ESCAPES if b"NO_BACKSLASH_ESCAPES" in modes else 0)
        self.adds_to_mode: Final = not modes or b"@@GLOBAL" in modes  # the server's own, which is not said here

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Tag) and other._key == self._key)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value.decode('utf-8', 'replace')}" for name, value in self.settings.items())
        schema = self.schema.decode("utf-8", "replace") or "no schema"
        return f"{schema}; {settings}" if settings else schema

    def with_schema(self, schema: bytes) -> Tag:
        """The same settings, another schema."""
        return Tag(self.kind, self.multi_statements, schema, self.settings)

    def with_settings(self, changes: dict[str, bytes]) -> Tag:
        """The same schema, changed settings; an empty text means the default."""
        settings = {name: value for name, value in {**self.settings, **changes}.items() if value}
        return Tag(self.kind, self.multi_statements, self.schema, settings)

    def with_multi_statements(self, allowed: bool) -> Tag:
        """As COM_SET_OPTION."""
        return Tag(self.kind, allowed, self.schema, self.settings)


def charset_settings(collation: Collation) -> dict[str, bytes]:
    """What a handshake with this collation, or SET NAMES, sets."""
    charset = collation.charset.encode()
    return dict.fromkeys(CHARSET_SETTINGS[:3], charset) | {CHARSET_SETTINGS[3]: collation.name.encode()}


def sql_text(value: bytes) -> bytes | None:
    """A session variable's value, as the server tells it, as SQL text; None: not in a way that is always understood.

    A backslash escapes or does not, as sql_mode has it.
    """
    if _NUMBER.fullmatch(value):
        return value
    if b"\\" in value or b"\0" in value or len(value) > 1024:
        return None
    return b"'" + value.replace(b"'", b"''") + b"'"


def assign(settings: dict[str, bytes]) -> bytes:
    """A SET statement; an empty text means the default.

    Character sets go by SET NAMES where that can say them: only so results get the collation, too, which columns show.
    """
    parts: list[bytes] = []
    charset, collation = settings.get(CHARSET_SETTINGS[0]), settings.get(CHARSET_SETTINGS[3])
    if charset and collation and all(settings.get(name) == charset for name in CHARSET_SETTINGS[:3]):
        parts.append(b"NAMES %b COLLATE %b" % (charset, collation))
        settings = {name: value for name, value in settings.items() if name not in CHARSET_SETTINGS}
    for name, value in sorted(settings.items()):
        parts.append(name.encode() + b"=" + (value or (b"NULL" if name.startswith("@") else b"DEFAULT")))
    return b"SET " + b",".join(parts)


def changes(have: Tag, want: Tag) -> list[bytes]:
    """Commands, one reply each, that bring a connection from one tag to another of the same kind."""
    commands: list[bytes] = []
    if have.multi_statements != want.multi_statements:
        commands.append(command(COM_SET_OPTION, b"\0\0" if want.multi_statements else b"\1\0"))
    if have.settings != want.settings:
        differing = {name: value for name, value in want.settings.items() if have.settings.get(name) != value}
        if any(name in differing for name in CHARSET_SETTINGS):
            differing |= {name: want.settings[name] for name in CHARSET_SETTINGS if name in want.settings}
        differing |= {name: b"" for name in have.settings if name not in want.settings}
        commands.append(command(COM_QUERY, assign(differing)))
    if have.schema != want.schema:
        commands.append(command(COM_INIT_DB, want.schema))
    return commands
