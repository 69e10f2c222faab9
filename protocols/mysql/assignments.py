"""What a SET statement changes in its session, where that can be told exactly: names and values to set again elsewhere.

https://dev.mysql.com/doc/refman/8.4/en/set-variable.html, https://mariadb.com/kb/en/set/
"""

from __future__ import annotations

import re
from typing import Final, final

from mypy_extensions import i64

from protocols.mysql.lexer import END, LITERAL, QUOTED, SPACE, WORD, Lexer, unquote

MAX_TOKENS: Final = 512

_QUOTATION: Final = 34
_APOSTROPHE: Final = 39
_COMMA: Final = 44
_DOT: Final = 46
_COLON: Final = 58
_SEMICOLON: Final = 59
_EQUALS: Final = 61
_AT: Final = 64

# Words in the place of a variable that begin another kind of SET.
_NO_NAMES: Final = frozenset(
    b"GLOBAL PERSIST PERSIST_ONLY PASSWORD ROLE TRANSACTION STATEMENT DEFAULT RESOURCE".split()
)
# Words in the place of a value that are functions.
_FUNCTIONS: Final = re.compile(rb"(?:CURRENT_|UTC_|LOCALTIME|SYSDATE\Z)")
# Variables whose value is spent or moves on by itself, and those that change only in part what they held before:
# to set them once more is not the same. With session_track_* a client would blind the gateway.
_NOT_AGAIN: Final = re.compile(
    r"(?:insert_id|last_insert_id|identity|rand_seed1|rand_seed2|gtid_next|gtid_seq_no|pseudo_.*|profiling.*|"
    r"optimizer_switch|optimizer_trace.*|debug.*|session_track_.*)\Z"
)
# Written with @@ and without SESSION they are those of the next transaction alone.
_CHARACTERISTICS: Final[dict[str, str]] = {
    f"{prefix}_{name}": name for prefix in ("transaction", "tx") for name in ("isolation", "read_only")
}
_LEVELS: Final = (b"READ UNCOMMITTED", b"READ COMMITTED", b"REPEATABLE READ", b"SERIALIZABLE")

_NAME: Final = re.compile(rb"[\w$]{1,64}\Z")
_NUMBER: Final = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_PLAIN: Final = re.compile(rb"[ -\[\]-~]*\Z")  # means the same in every character set and sql_mode
_CHARSET: Final = re.compile(rb"\w*\Z")


@final
class Assignment:
    """One variable and its new value: SQL text that can stand on the right of = again."""

    __slots__ = ("is_user_variable", "name", "value")

    def __init__(self, name: str, value: bytes, *, is_user_variable: bool = False) -> None:
        self.name: Final = name  # in lower case, that of a user variable with its @
        self.value: Final = value
        self.is_user_variable: Final = is_user_variable

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Assignment) and other.name == self.name and other.value == self.value

    def __hash__(self) -> int:
        return hash((self.name, self.value))

    def __repr__(self) -> str:
        return f"Assignment({self.name!r})"  # the value may be a secret


def parse(sql: bytes, *, mariadb: bool = False, mode: i64 = 0) -> list[Assignment] | None:
    """The assignments of a SET statement whose values are literals, all of them for the session; None for any other.

    SET NAMES, SET CHARACTER SET and SET SESSION TRANSACTION are told as assignments as well. MariaDB before 11.1 and
    MySQL since 8.0 have no common names for what the last one sets: ``mariadb`` says which are meant. ``mode`` is the
    lexer's.
    """
    parser = _Parser(sql, mariadb, mode)
    return parser.found if parser.run() else None


@final
class _Parser:
    """Goes over the tokens once. Each method says whether what it looks for is there, and steps over it if so."""

    def __init__(self, sql: bytes, mariadb: bool, mode: i64) -> None:
        self.found: Final[list[Assignment]] = []
        self._prefix: Final = "tx_" if mariadb else "transaction_"
        self._kinds: Final[list[i64]] = []
        self._texts: Final[list[bytes]] = []
        self._at: i64 = 0
        self._readable: Final = self._read(sql, mode)

    def _read(self, sql: bytes, mode: i64) -> bool:
        lexer = Lexer(sql, mode)
        while len(self._kinds) < MAX_TOKENS:
            kind = lexer.next()
            if kind == END:
                return not lexer.conditional and lexer.length == len(sql)
            if kind != SPACE:
                self._kinds.append(kind)
                self._texts.append(sql[lexer.start : lexer.end])
        return False

    def run(self) -> bool:
        """Whether the whole statement could be told."""
        if not self._readable or not self._words(b"SET"):
            return False
        characteristics = self._words(b"SESSION TRANSACTION") or self._words(b"LOCAL TRANSACTION")
        while True:
            told = self._characteristic() if characteristics else self._item()
            if not told:
                return False
            if not self._is(_COMMA):
                self._is(_SEMICOLON)
                return self._kind() == END

    def _kind(self) -> i64:
        return self._kinds[self._at] if self._at < len(self._kinds) else END

    def _take(self) -> bytes:
        self._at += 1
        return self._texts[self._at - 1]

    def _is(self, kind: i64) -> bool:
        if self._kind() != kind:
            return False
        self._at += 1
        return True

    def _words(self, words: bytes) -> bool:
        at = self._at
        for word in words.split():
            if at >= len(self._kinds) or self._kinds[at] != WORD or self._texts[at].upper() != word:
                return False
            at += 1
        self._at = at
        return True

    def _characteristic(self) -> bool:
        if self._words(b"ISOLATION LEVEL"):
            for level in _LEVELS:
                if self._words(level):
                    return self._set("tx_isolation", b"'%b'" % level.replace(b" ", b"-"))
            return False
        if self._words(b"READ ONLY"):
            return self._set("tx_read_only", b"1")
        return self._words(b"READ WRITE") and self._set("tx_read_only", b"0")

    def _item(self) -> bool:
        if self._words(b"NAMES"):
            return self._names()
        if self._words(b"CHARACTER SET") or self._words(b"CHARSET"):
            return self._character_set()
        if not self._is(_AT):
            if not self._words(b"SESSION"):
                self._words(b"LOCAL")
            return self._variable(True)
        if not self._is(_AT):
            return self._user_variable()
        if not self._words(b"SESSION") and not self._words(b"LOCAL"):
            return self._variable(False)
        return self._is(_DOT) and self._variable(True)

    def _variable(self, session: bool) -> bool:
        """A system variable; without ``session`` it may be that of the next transaction alone."""
        name = self._name()
        if not name or _NOT_AGAIN.match(name) is not None or (name in _CHARACTERISTICS and not session):
            return False
        if not self._equals():
            return False
        kind = self._kind()
        if kind == WORD:
            value = self._take()
            if not value.isascii() or _FUNCTIONS.match(value.upper()) is not None:
                return False
        elif kind == QUOTED:
            value = _plain_string(unquote(self._take()))
        else:
            value = self._literal()
        return self._set(name, value)

    def _user_variable(self) -> bool:
        name = self._name()
        if not name or not self._equals():
            return False
        if self._words(b"NULL") or self._words(b"TRUE") or self._words(b"FALSE"):
            value = self._texts[self._at - 1]
        else:
            value = self._literal()
        if not value:
            return False
        self.found.append(Assignment("@" + name, value, is_user_variable=True))
        return True

    def _names(self) -> bool:
        charset = self._charset()
        if not self._set("character_set_client", charset) or not self._set("character_set_results", charset):
            return False
        if self._words(b"COLLATE"):
            return self._set("collation_connection", self._charset())
        return self._set("character_set_connection", charset)

    def _character_set(self) -> bool:
        charset = self._charset()
        if not self._set("character_set_client", charset) or not self._set("character_set_results", charset):
            return False
        return self._set("collation_connection", b"@@collation_database")

    def _set(self, name: str, value: bytes) -> bool:
        if not value:
            return False
        if name in _CHARACTERISTICS:
            name = self._prefix + _CHARACTERISTICS[name]
        self.found.append(Assignment(name, value))
        return True

    def _equals(self) -> bool:
        self._is(_COLON)
        return self._is(_EQUALS)

    def _name(self) -> str:
        """A name in lower case; "" for one that is none of ours."""
        kind = self._kind()
        if kind != WORD and kind != QUOTED:
            return ""
        name = self._take()
        if kind == WORD and name.upper() in _NO_NAMES:
            return ""
        name = unquote(name)
        return name.decode("ascii").lower() if _NAME.match(name) is not None else ""

    def _literal(self) -> bytes:
        """A number or a string; b"" for what is neither, or may mean something else elsewhere."""
        if self._kind() != LITERAL:
            return b""
        value = self._take()
        if value[0] == _APOSTROPHE or value[0] == _QUOTATION:
            return _plain_string(unquote(value))
        return value if _NUMBER.match(value) is not None else b""

    def _charset(self) -> bytes:
        """The name of a character set or collation, as a string; b"" for DEFAULT and what is no name."""
        kind = self._kind()
        if (kind != WORD and kind != LITERAL) or self._words(b"DEFAULT"):
            return b""
        name = unquote(self._take())
        return b"'%b'" % name if _CHARSET.match(name) is not None else b""


def _plain_string(text: bytes) -> bytes:
    """A string literal, if it is the same whatever the sql_mode and character set; b"" if not."""
    return b"'%b'" % text.replace(b"'", b"''") if _PLAIN.match(text) is not None else b""
