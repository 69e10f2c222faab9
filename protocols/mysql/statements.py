"""What a text is: its verb, what it asks of the connection, and what it leaves on it.

The facts are found once for each digest text. They are found by words, not by a grammar, and err on the side of
caution: a name that looks like a word may pin a session that could have shared. What a text cannot show (a routine
that takes a lock, a trigger) is left to the server's own session trackers.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, final

from mypy_extensions import i64

from protocols.call import Verb
from protocols.mysql.assignments import parse
from protocols.mysql.lexer import CUT, END, LONGEST, QUOTED, SPACE, WORD, Lexer, normalise, readings, unquote
from protocols.mysql.pins import PINS, UNPINS, VARIABLE, finder
from protocols.mysql.verbs import BY_NAME, COMPOUND, OTHER, STRENGTH, find_verb

# What an answer depends on besides the data.
USES_LAST_INSERT_ID: Final = 1
USES_FOUND_ROWS: Final = 2
USES_ROW_COUNT: Final = 4
USES_CONNECTION_ID: Final = 8
USES_WARNINGS: Final = 16
USES_USER_VARIABLE: Final = 32
USES_NEXTVAL: Final = 64  # MariaDB: a LASTVAL() on the same connection will tell
SETS_INSERT_ID: Final = 128  # LAST_INSERT_ID() is something else behind it, whether or not it made an id

# What the session has to do with a statement besides passing it on. The greatest one of several statements counts.
NONE: Final = 0
USE: Final = 1  # read_use says which
SET: Final = 2  # assignments.parse explains the very text; where it cannot, "SET" pins
LOAD_LOCAL: Final = 3  # the server will ask the client for a file
KILL: Final = 4  # read_kill says whom

_OPEN: Final = 40
_CLOSE: Final = 41
_DOT: Final = 46
_SEMICOLON: Final = 59

MAX_DIGEST: Final = 2048
_MAX_STATEMENTS: Final = 64  # different ones in one text

_SELECT: Final = BY_NAME["SELECT"]
_SPECIAL: Final[dict[str, int]] = {"USE": USE, "SET": SET, "KILL": KILL}

# A `name` that is called or that is a system variable keeps its name, any other becomes a lone backquote.
_QUOTED: Final = re.compile(rb'`(\w+)`(?= ?\()|(@@(?:\w+ ?\. ?)?)`(\w+)`|`[^`]*`?|"[^"]*"?')
_BLANKS: Final = re.compile(rb"[ \xa0\xff]+")  # the last two are blanks in latin1, cp866 and their kin
_EXECUTABLE: Final = re.compile(rb"/\*M?!")
# The ends of blocks, of which the semicolons in a routine's body make statements.
_BLOCK_END: Final = re.compile(rb" ?(?:END(?: (?:IF|LOOP|WHILE|REPEAT|CASE|FOR))?(?: [\w`$]+)? ?)?\Z")
_LOCAL: Final = re.compile(rb"LOAD (?:DATA|XML) (?:LOW_PRIORITY |CONCURRENT )?LOCAL ")
_ONE_GLOBAL: Final = re.compile(rb"SET (?:@@)?(?:GLOBAL|PERSIST|PERSIST_ONLY)\b[^,]*\Z")
_SUBQUERY: Final = re.compile(rb"\( ?(?:SELECT|TABLE|VALUES|WITH)\b")

# What the gateway can answer by itself, where it stands alone.
_ANSWERED: Final = (b"FOUND_ROWS", b"ROW_COUNT", b"CONNECTION_ID")
_CALL: Final = re.compile(rb"(\w+)\s*\(\s*\)")
_JOINS: Final = re.compile(rb"[\w$.\x80-\xff]")  # what would become one with a number before it

_SYSTEM: Final = rb"@@(?:(?:SESSION|LOCAL|GLOBAL) ?\. ?)?"
_USES: Final = tuple(
    (flag, finder(pattern))
    for flag, pattern in (
        (USES_LAST_INSERT_ID, rb"\bLAST_INSERT_ID ?\(|" + _SYSTEM + rb"(?:LAST_INSERT_ID|IDENTITY)\b"),
        (SETS_INSERT_ID, rb"\bLAST_INSERT_ID ?\((?! ?\))|\bRETURNING\b|\ASET .*\b(?:LAST_INSERT_ID|IDENTITY) ?:?="),
        (USES_FOUND_ROWS, rb"\bFOUND_ROWS ?\("),
        (USES_ROW_COUNT, rb"\bROW_COUNT ?\("),
        (USES_CONNECTION_ID, rb"\bCONNECTION_ID ?\(|" + _SYSTEM + rb"PSEUDO_THREAD_ID\b"),
        (USES_WARNINGS, rb"\ASHOW (?:COUNT ?\( ?\* ?\) ?)?(?:WARNINGS|ERRORS)\b"),
        (USES_WARNINGS, rb"\AGET (?:CURRENT |STACKED )?DIAGNOSTICS\b"),
        (USES_WARNINGS, _SYSTEM + rb"(?:WARNING|ERROR)_COUNT\b"),
        (USES_USER_VARIABLE, VARIABLE),
        (USES_NEXTVAL, rb"\bNEXTVAL ?\(|\bNEXT VALUE FOR\b|\bSETVAL ?\(|\.NEXTVAL\b"),
    )
)

# What a replica can answer as well: SHOW of definitions, and queries that do not lock, write, wait or ask of a server.
_QUERIES: Final = ("SELECT", "TABLE", "VALUES", "DESCRIBE")
_SHOWN: Final = re.compile(
    rb"SHOW (?:FULL |EXTENDED )*+(?:TABLES|TABLE STATUS|COLUMNS|FIELDS|INDEX|INDEXES|KEYS|DATABASES|SCHEMAS|CREATE|"
    rb"CHARACTER SET|CHARSET|COLLATION|TRIGGERS|EVENTS|PROCEDURE|FUNCTION)\b"
)
_PRIMARY: Final = re.compile(
    rb"\b(?:FOR UPDATE|FOR SHARE|LOCK IN SHARE MODE|INTO|PERFORMANCE_SCHEMA|PROCESSLIST|INNODB_\w+)\b|@@|"
    rb"(?:_LOCKS?|_POS_WAIT|GTID_WAIT|_GTIDS|_GTID_SET) ?\("
)


_OPAQUE: Final = frozenset({"CALL", "COMPOUND", "EXECUTE", "OTHER"})


@final
class Statement:
    """The facts of all texts with one digest."""

    __slots__ = (
        "count",
        "digest",
        "is_opaque",
        "is_plain",
        "pins",
        "replica",
        "special",
        "unpins",
        "uses",
        "verb",
        "verbs",
    )

    def __init__(
        self,
        digest: bytes,
        verbs: list[Verb],
        *,
        pins: str = "",
        unpins: tuple[str, ...] = (),
        uses: i64 = 0,
        special: i64 = NONE,
        count: i64 = 1,
        replica: bool = False,
    ) -> None:
        self.digest: Final = digest  # the digest text, cut to MAX_DIGEST; lexer.digest() makes an id of it
        self.verbs: Final = verbs  # of all its statements, each once: a client needs the right to every one
        self.verb: Final = max(verbs, key=_strength)  # the strongest one, the first of those: what it counts under
        self.pins: Final = pins  # why the session needs a connection of its own from now on; "": it does not
        self.unpins: Final = unpins  # the reasons that end, once the server says OK, before its own begins
        self.uses: Final[i64] = uses
        self.special: Final[i64] = special
        self.count: Final[i64] = count  # statements in the text; those in the body of a routine count as well
        self.replica: Final = replica  # a plain read: a replica may answer it
        self.is_opaque: Final = any(verb.name in _OPAQUE for verb in verbs)  # what it does, no text tells
        self.is_plain: Final = not (pins or unpins or special or self.is_opaque)  # leaves nothing that the text shows


def _strength(verb: Verb) -> int:
    return STRENGTH[verb.effect]


@final
class Statements:
    """The statements that came by lately, by digest text: two generations of half the limit each."""

    def __init__(self, limit: int = 10_000) -> None:
        self._half: Final[i64] = max(limit // 2, 1)
        self._young: dict[bytes, Statement] = {}
        self._old: dict[bytes, Statement] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def find(self, sql: bytes, mode: i64 = 0) -> Statement:
        """The facts of a text, of which only the first ``LONGEST`` bytes are read.

        ``mode`` has the bits of lexer.ANSI_QUOTES and lexer.NO_BACKSLASH_ESCAPES that the session's sql_mode has.
        """
        if mode == 0 and len(sql) <= MAX_DIGEST:
            known = self._known(sql)  # a text without literals is its own digest text
            if known is not None:
                return known
        if sql.find(b"/*", 0, LONGEST) >= 0 and _EXECUTABLE.search(sql, 0, LONGEST) is not None:
            return self._find_conditional(sql, mode)
        text = normalise(sql, LONGEST, mode)
        key = _key(text, mode)
        known = self._known(key)
        if known is None:
            known = _explain([text], mode)
            self._learn(key, known)
        return known

    def _find_conditional(self, sql: bytes, mode: i64) -> Statement:
        """With executable comments, which are code for some servers: the facts of all the readings."""
        chosen, clear = readings(sql)
        texts = [normalise(sql, LONGEST, mode, reading) for reading in chosen]
        key = b"* " + _key(b"*/".join(texts), mode)
        known = self._known(key)
        if known is None:
            known = _explain(list(dict.fromkeys(texts)), mode, clear=clear)
            self._learn(key, known)
        return known

    def _known(self, key: bytes) -> Statement | None:
        known = self._young.get(key)
        if known is None:
            known = self._old.get(key)
            if known is not None:
                self._learn(key, known)
        return known

    def _learn(self, key: bytes, statement: Statement) -> None:
        if len(self._young) >= self._half:
            self._old = self._young
            self._young = {}
        self._young[key] = statement


def _key(text: bytes, mode: i64) -> bytes:
    """What the cache knows a digest text by: the text, where that says it all. No text begins with a number or a *."""
    if mode != 0:
        text = b"%d " % mode + text
    return text if len(text) <= MAX_DIGEST else hashlib.blake2b(text, digest_size=24).digest()


@final
class _Facts:
    """The facts of a text in the making."""

    __slots__ = ("other_pin", "pin", "replica", "special", "unpins", "uses", "verbs")

    def __init__(self) -> None:
        self.verbs: dict[str, Verb] = {}
        self.pin: i64 = len(PINS)  # a place in that table
        self.other_pin: str = ""
        self.unpins: dict[str, None] = {}
        self.uses: i64 = 0
        self.special: i64 = NONE
        self.replica: bool = True

    def add(self, shape: bytes, digest: bytes, mode: i64) -> None:
        """Add one statement. ``digest`` is its digest text; b"" of one among others."""
        verb, text = find_verb(shape)
        self.verbs[verb.name] = verb
        for at, (_, find) in enumerate(PINS):
            if at < self.pin and find(text) is not None:
                self.pin = at
        for reasons, find in UNPINS:
            if find(text) is not None:
                self.unpins.update(dict.fromkeys(reasons))
        uses: i64 = 0
        for flag, find in _USES:
            if find(shape) is not None:
                uses |= flag
        self.uses |= uses
        self.special = max(self.special, LOAD_LOCAL if _LOCAL.match(text) else _SPECIAL.get(verb.name, NONE))
        self._add_other_pin(verb, text, digest, mode)
        replicated = verb.name in _QUERIES or (verb.name == "SHOW" and _SHOWN.match(text) is not None)
        if not replicated or uses != 0 or self.pins() or _PRIMARY.search(text) is not None:
            self.replica = False

    def _add_other_pin(self, verb: Verb, text: bytes, digest: bytes, mode: i64) -> None:
        if verb is COMPOUND:
            self.other_pin = COMPOUND.name
        elif verb.name == "SET" or verb.name == "SET GLOBAL":
            if _SUBQUERY.search(text) is not None:
                self.verbs[_SELECT.name] = _SELECT  # SET is open to every client, what a table holds is not
            if _ONE_GLOBAL.match(text) is None and parse(digest.replace(b"?", b"''"), mode=mode) is None:
                self.other_pin = "SET"

    def pins(self) -> str:
        """Why the session is pinned."""
        return PINS[self.pin][0] if self.pin < len(PINS) else self.other_pin


def _explain(texts: list[bytes], mode: i64, *, clear: bool = True) -> Statement:
    """Find the facts of a text from all its readings; without ``clear`` there are more than these."""
    facts = _Facts()
    count = 0
    for text in texts:
        shapes = [shape for shape in _shape(text).split(b";") if _BLOCK_END.match(shape) is None]
        count = max(count, len(shapes))
        different = list(dict.fromkeys(shapes))
        for shape in different[:_MAX_STATEMENTS]:
            facts.add(shape.strip(), text if len(shapes) == 1 else b"", mode)
        clear = clear and len(different) <= _MAX_STATEMENTS
    if not clear:
        facts.add(COMPOUND.name.encode(), b"", mode)
    digest = texts[0]
    return Statement(
        digest if len(digest) <= MAX_DIGEST else digest[:MAX_DIGEST] + CUT,
        list(facts.verbs.values()) or [OTHER],
        pins=facts.pins(),
        unpins=tuple(facts.unpins),
        uses=facts.uses,
        special=facts.special,
        count=count,
        replica=facts.replica and count == 1 and not digest.endswith(CUT),
    )


def _shape(text: bytes) -> bytes:
    """A digest text in capitals, without the quoted names that might look like words."""
    if b"`" in text or b'"' in text:
        text = _QUOTED.sub(_unquote, text)
    return _BLANKS.sub(b" ", text).upper()


def _unquote(found: re.Match[bytes]) -> bytes:
    return found[1] or (found[2] + found[3] if found[2] else b"`")


def _tokens(sql: bytes, mode: i64, limit: int) -> list[tuple[i64, bytes]]:
    """The tokens of one statement; [] if there are more than the limit, or servers differ in what they are."""
    found: list[tuple[i64, bytes]] = []
    lexer = Lexer(sql, mode)
    while len(found) <= limit:
        kind = lexer.next()
        if kind == END:
            if found and found[-1][0] == _SEMICOLON:
                found.pop()
            return [] if lexer.conditional else found
        if kind != SPACE:
            found.append((kind, sql[lexer.start : lexer.end]))
    return []


def read_use(sql: bytes, mode: i64 = 0) -> bytes | None:
    """The schema of a USE statement; None for any other."""
    tokens = _tokens(sql, mode, 3)
    if len(tokens) != 2 or tokens[0][1].upper() != b"USE" or tokens[1][0] not in (WORD, QUOTED):
        return None
    return unquote(tokens[1][1])


def read_kill(sql: bytes) -> tuple[bool, int] | None:
    """Whether a KILL statement means the query alone, and the id of the connection.

    None for any other statement: KILL USER, KILL QUERY ID (of a query), an id that is no plain number.
    """
    texts = [text.upper() for _, text in _tokens(sql, 0, 5)]
    words, number = texts[:-1], texts[-1] if texts else b""
    if words[1:2] == [b"HARD"] or words[1:2] == [b"SOFT"]:
        del words[1]
    if words not in ([b"KILL"], [b"KILL", b"CONNECTION"], [b"KILL", b"QUERY"]):
        return None
    if not number.isdigit() or len(number) > 20:
        return None
    return words[-1] == b"QUERY", int(number)


def lone_function(sql: bytes) -> tuple[str, bytes] | None:
    """The function and the name of the column of ``SELECT FOUND_ROWS() [AS name]``, or of the like.

    None for any other statement. The name is as the client wrote it.
    """
    tokens = _tokens(sql, 0, 7)
    texts = [text for _, text in tokens]
    if len(tokens) not in (4, 6) or texts[0].upper() != b"SELECT" or texts[2:4] != [b"(", b")"]:
        return None
    name = texts[1].upper()
    if name not in _ANSWERED:
        return None
    if len(tokens) == 4:
        call = _CALL.search(sql)
        return (name.decode(), call[0]) if call is not None and call[1].upper() == name else None
    kind, alias = tokens[5]
    if texts[4].upper() != b"AS" or (kind != WORD and alias[:1] not in (b"`", b"'", b'"')) or b"\\" in alias:
        return None
    return name.decode(), unquote(alias)


def replace_connection_id(sql: bytes, value: int) -> bytes:
    """The text with a number in the place of every CONNECTION_ID(), in its first ``LONGEST`` bytes."""
    return replace_functions(sql, {b"CONNECTION_ID": value})


def replace_functions(sql: bytes, values: dict[bytes, int]) -> bytes:
    """The text with numbers in the place of calls of these functions, in its first ``LONGEST`` bytes."""
    value = 0
    parts: list[bytes] = []
    kept: i64 = 0
    begin: i64 = 0
    seen = 0  # 1: the name, 2: the bracket behind it
    last: i64 = END
    lexer = Lexer(sql)
    while (kind := lexer.next()) != END:
        if kind == SPACE:
            continue
        if kind == WORD or kind == QUOTED:
            begin = lexer.start
            name = unquote(sql[begin : lexer.end]).upper()
            seen = 1 if last != _DOT and name in values else 0
            value = values.get(name, 0)
        elif seen == 1 and kind == _OPEN:
            seen = 2
        elif seen == 2 and kind == _CLOSE:
            parts += [sql[kept:begin], b"%d" % value if value >= 0 else b"(%d)" % value]
            kept = lexer.end
            if _JOINS.match(sql, kept) is not None:
                parts.append(b" ")
            seen = 0
        else:
            seen = 0
        last = kind
    parts.append(sql[kept:])
    return b"".join(parts)
