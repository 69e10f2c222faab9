"""Tokens of SQL, and the digest text that statements share which differ in their literals alone.

The rules are those of the servers' own lexers (MySQL's and MariaDB's sql_lex.cc), as far as boundaries go: what is a
literal, a comment, an identifier. Nothing here raises, whatever the bytes, and all of it takes linear time.
https://dev.mysql.com/doc/refman/8.4/en/language-structure.html

Bytes above 0x7F are letters. That is true of UTF-8, latin1 and all else whose bytes below 0x80 are ASCII. In sjis,
cp932, big5, gbk and gb18030 the second byte of a character may be a backslash or a backquote: a client that uses
one of these can hide code from this lexer.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, final

from mypy_extensions import i64

# Kinds of tokens. Any other byte (an operator, a bracket) is a token, and its own kind.
END: Final = 256
SPACE: Final = 257  # blanks and comments
WORD: Final = 258  # a keyword or an identifier
QUOTED: Final = 259  # a `quoted identifier`
LITERAL: Final = 260  # a number, a string, or the placeholder of one

# Words of @@sql_mode that change what is a string.
ANSI_QUOTES: Final = 1
NO_BACKSLASH_ESCAPES: Final = 2

LONGEST: Final = 1 << 16  # of a longer text only so much is read
CUT: Final = b" ..."  # ends a digest text that was cut

_NEWEST: Final = 999_999
_OLDEST: Final = 50_699  # /*!50600 */ is code for all servers that are still about

_BLANK: Final = 32
_QUOTATION: Final = 34
_HASH: Final = 35
_APOSTROPHE: Final = 39
_CLOSE: Final = 41
_STAR: Final = 42
_MINUS: Final = 45
_DOT: Final = 46
_SLASH: Final = 47
_QUESTION: Final = 63
_AT: Final = 64
_BACKSLASH: Final = 92
_BACKQUOTE: Final = 96
_DELETE: Final = 127
_NO_BREAK_SPACE: Final = 0xA0  # a blank in latin1 and its kin; no character of UTF-8 begins with it

# What a byte begins; 0 for a token of its own.
_LETTER: Final = 1
_DIGIT: Final = 2
_SPACE: Final = 3
_QUOTE: Final = 4
_COMMENT: Final = 5  # perhaps
_SIGN: Final = 6  # or a comment
_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_$" + bytes(range(0x80, 0x100))
_BEGINS: Final = bytes(
    _LETTER if c in _LETTERS
    else _DIGIT if c in b"0123456789"
    else _SPACE if c in b" \t\n\v\f\r"
    else _QUOTE if c in b"'\"`"
    else _COMMENT if c in b"#/*"
    else _SIGN if c in b"+-"
    else 0
    for c in range(256)
)  # fmt: skip

_NUMBER: Final = re.compile(
    rb"(?:[0-9]++\.[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?|[0-9]++[eE][+-]?[0-9]++|"
    rb"(?:0x[0-9A-Fa-f]++|0b[01]++|[0-9]++)(?![\w$\x80-\xff])"  # a name may begin with digits
)
# Words behind which a sign belongs to the number, and is no operator.
_BEFORE_SIGN: Final = frozenset(
    b"SELECT DISTINCT ALL WHERE HAVING ON AND OR XOR NOT IN IS LIKE BETWEEN DIV MOD WHEN THEN ELSE CASE BY LIMIT "
    b"OFFSET INTERVAL RETURN DEFAULT DO".split()
)
# Words that are part of the string behind them.
_INTRODUCERS: Final = frozenset(
    b"X B N DATE TIME TIMESTAMP _ARMSCII8 _ASCII _BIG5 _BINARY _CP1250 _CP1251 _CP1256 _CP1257 _CP850 _CP852 _CP866 "
    b"_CP932 _DEC8 _EUCJPMS _EUCKR _GB18030 _GB2312 _GBK _GEOSTD8 _GREEK _HEBREW _HP8 _KEYBCS2 _KOI8R _KOI8U _LATIN1 "
    b"_LATIN2 _LATIN5 _LATIN7 _MACCE _MACROMAN _SJIS _SWE7 _TIS620 _UCS2 _UJIS _UTF16 _UTF16LE _UTF32 _UTF8 _UTF8MB3 "
    b"_UTF8MB4".split()
)
_LONGEST_INTRODUCER: Final = max(len(word) for word in _INTRODUCERS)

# Lists of literals, rows of them, and (where a text was cut) the beginning of one.
_ITEM: Final = rb"(?:\?|NULL\b|TRUE\b|FALSE\b|DEFAULT\b)"
_ROW: Final = rb"\( ?(?:\?\+|" + _ITEM + rb"(?: ?, ?" + _ITEM + rb")*+) ?\)"
_ROWS: Final = re.compile(_ROW + rb"(?: ?, ?" + _ROW + rb")*+", re.IGNORECASE)
_CUT_ROWS: Final = re.compile(rb"\(\?\+\) ?, ?\(?[^()]*+\Z|\( ?\?[^()]*+\Z")
_LIST: Final = b"(?+)"

_CONDITION: Final = re.compile(rb"/\*M?!([0-9]{5,6})?")
_MAX_VERSIONS: Final = 5


@final
class Reading:
    """Which executable comments are code: one server's answer, or (``mysql`` and ``mariadb``) anybody's.

    https://dev.mysql.com/doc/refman/8.4/en/comments.html, https://mariadb.com/kb/en/comment-syntax/
    """

    __slots__ = ("mariadb", "mysql", "version")

    def __init__(self, version: int, *, mysql: bool, mariadb: bool) -> None:
        self.version: Final[i64] = version
        self.mysql: Final = mysql
        self.mariadb: Final = mariadb

    def executes(self, version: i64, *, m: bool) -> bool:
        """Whether the content of ``/*!version */``, or with ``m`` of ``/*M!version */``, is code."""
        if version > self.version or (m and not self.mariadb):
            return False
        return m or self.mysql or not 50_700 <= version <= 99_999  # these are comments for MariaDB


EVERYTHING: Final = Reading(_NEWEST, mysql=True, mariadb=True)


def readings(sql: bytes) -> tuple[list[Reading], bool]:
    """How servers may read a text with executable comments, EVERYTHING first, and whether these are all the ways."""
    versions: set[int] = set()
    for found in _CONDITION.finditer(sql, 0, LONGEST):
        version = int(found[1] or b"0")
        if version > _OLDEST or found[0].startswith(b"/*M"):
            versions.update((_OLDEST, max(version, _OLDEST)))
            if len(versions) > _MAX_VERSIONS:
                return [EVERYTHING], False
    chosen = [EVERYTHING]
    for version in sorted(versions):
        chosen += [Reading(version, mysql=True, mariadb=False), Reading(version, mysql=False, mariadb=True)]
    return chosen, True


@final
class Lexer:
    """Reads one token after the other; ``start`` and ``end`` say where the last one stands."""

    __slots__ = (
        "_in_comment", "_operand", "_reading", "_space", "_space_end", "_sql", "_word", "_word_end", "conditional",
        "end", "length", "mode", "start",
    )  # fmt: skip

    def __init__(self, sql: bytes, mode: i64 = 0, reading: Reading = EVERYTHING) -> None:
        self._sql: Final = sql
        self._reading: Final = reading
        self.mode: Final[i64] = mode
        self.length: Final[i64] = min(len(sql), LONGEST)
        self.start: i64 = 0
        self.end: i64 = 0
        self.conditional: bool = False  # an executable comment came by that not every server executes
        self._in_comment: bool = False  # in an executable comment
        self._operand: bool = False  # the last token was one: a sign behind it is an operator
        self._word: i64 = 0  # ... and a word, if it ends at _word_end and _operand is true
        self._word_end: i64 = 0
        self._space: i64 = 0  # the last blanks
        self._space_end: i64 = 0

    def next(self) -> i64:
        """Its kind."""
        sql, length = self._sql, self.length
        at = self.start = self.end
        if at >= length:
            return END
        c: i64 = sql[at]
        begins: i64 = _BEGINS[c]
        if begins == _LETTER:
            return self._read_word(at)
        if begins == _SPACE:
            return self._read_space(at)
        if begins == _DIGIT:
            return self._read_number(at)
        if begins == _QUOTE:
            return self._read_quoted(at, c)
        if begins == _COMMENT or begins == _SIGN:
            if self._is_comment(at, c):
                return self._read_space(at)
            if begins == _SIGN and at + 1 < length and self._is_sign(at):
                return self._read_literal(at + 1)
        if c == _DOT and at + 1 < length and _BEGINS[sql[at + 1]] == _DIGIT and not self._names(at):
            return self._read_literal(at)
        self.end = at + 1
        self._operand = c == _CLOSE or c == _QUESTION
        return LITERAL if c == _QUESTION else c

    def _names(self, at: i64) -> bool:
        """Whether a name goes on here: ``t.1`` and ``@1`` are no numbers."""
        return self._operand and self._word_end == at

    def _read_word(self, at: i64) -> i64:
        sql, length = self._sql, self.length
        start = at
        at += 1
        while at < length and 0 < _BEGINS[sql[at]] <= _DIGIT:
            at += 1
        if at < length and at - start <= _LONGEST_INTRODUCER:
            quote = at
            if sql[at] == _BLANK and at + 1 < length and at - start > 1:
                quote += 1
            c: i64 = sql[quote]
            if c == _APOSTROPHE or (c == _QUOTATION and not self.mode & ANSI_QUOTES):
                if sql[start:at].upper() in _INTRODUCERS and (start == 0 or sql[start - 1] != _AT):
                    return self._literal(self._string_end(quote + 1, c))
        return self._named(start, at, WORD)

    def _named(self, start: i64, end: i64, kind: i64) -> i64:
        self._word = start
        self._word_end = self.end = end
        self._operand = True
        return kind

    def _literal(self, end: i64) -> i64:
        self.end = end
        self._operand = True
        return LITERAL

    def _read_number(self, at: i64) -> i64:
        sql, length = self._sql, self.length
        start = at
        at += 1
        while at < length and _BEGINS[sql[at]] == _DIGIT:
            at += 1
        if start > 0 and (sql[start - 1] == _AT or sql[start - 1] == _DOT):
            return self._read_rest(at)
        if at < length and (_BEGINS[sql[at]] == _LETTER or sql[at] == _DOT):
            return self._read_literal(start)
        return self._literal(at)

    def _read_literal(self, at: i64) -> i64:
        """A number of any form, or the word that begins like one."""
        found = _NUMBER.match(self._sql, at, self.length)
        return self._read_rest(at + 1) if found is None else self._literal(found.end())

    def _read_rest(self, at: i64) -> i64:
        """The rest of a word that began with a digit."""
        sql, length = self._sql, self.length
        while at < length and 0 < _BEGINS[sql[at]] <= _DIGIT:
            at += 1
        return self._named(self.start, at, WORD)

    def _is_sign(self, at: i64) -> bool:
        """Whether this + or - belongs to the number behind it."""
        sql = self._sql
        c: i64 = sql[at + 1]
        if _BEGINS[c] != _DIGIT and not (c == _DOT and at + 2 < self.length and _BEGINS[sql[at + 2]] == _DIGIT):
            return False
        if not self._operand:
            return True
        word_end = self._word_end
        if word_end != (self._space if self._space_end == at else at):
            return False
        return word_end - self._word <= 8 and sql[self._word : word_end].upper() in _BEFORE_SIGN

    def _read_quoted(self, at: i64, quote: i64) -> i64:
        end = self._string_end(at + 1, quote)
        if quote == _BACKQUOTE or (quote == _QUOTATION and self.mode & ANSI_QUOTES):
            return self._named(at, end, QUOTED)
        return self._literal(end)

    def _string_end(self, at: i64, quote: i64) -> i64:
        """Behind the closing quote; the end of the text if there is none."""
        sql, length = self._sql, self.length
        escapes = not self.mode & NO_BACKSLASH_ESCAPES and (
            quote == _APOSTROPHE or (quote == _QUOTATION and not self.mode & ANSI_QUOTES)
        )
        while at < length:
            c: i64 = sql[at]
            at += 1
            if c == quote:
                if at >= length or sql[at] != quote:
                    return at
                at += 1
            elif c == _BACKSLASH and escapes:
                at += 1
        return length

    def _is_comment(self, at: i64, c: i64) -> bool:
        """Whether one begins here, or an executable one ends."""
        if c == _HASH:
            return True
        sql = self._sql
        after: i64 = sql[at + 1] if at + 1 < self.length else 0
        if c == _SLASH:
            return after == _STAR
        if c == _STAR:
            return self._in_comment and after == _SLASH
        if c != _MINUS or after != _MINUS:
            return False
        behind: i64 = sql[at + 2] if at + 2 < self.length else 0
        return behind <= _BLANK or behind == _DELETE or behind == _NO_BREAK_SPACE

    def _read_space(self, at: i64) -> i64:
        """Blanks and comments, and the marks around the code in executable comments."""
        sql, length = self._sql, self.length
        self._space = at
        while at < length:
            c: i64 = sql[at]
            begins: i64 = _BEGINS[c]
            if begins == _SPACE:
                at += 1
            elif (begins == _COMMENT or begins == _SIGN) and self._is_comment(at, c):
                at = self._comment_end(at, c)
            else:
                break
        self._space_end = self.end = at
        return SPACE

    def _comment_end(self, at: i64, c: i64) -> i64:
        sql, length = self._sql, self.length
        if c == _HASH or c == _MINUS:
            end: i64 = sql.find(b"\n", at, length)
            return length if end < 0 else end + 1
        if c == _STAR:
            self._in_comment = False
            return at + 2
        found = _CONDITION.match(sql, at, length)
        if found is None:
            return self._skip(at + 2, False)
        version: i64 = int(found[1] or b"0")
        m = sql[at + 2] != 33
        if m or version > _OLDEST:
            self.conditional = True
        if not self._reading.executes(version, m=m):
            return self._skip(at + 2, True)
        self._in_comment = True
        return found.end()

    def _skip(self, at: i64, nests: bool) -> i64:
        """Behind the end of a comment. The servers skip one comment inside an executable one that is not for them."""
        sql, length = self._sql, self.length
        while True:
            close: i64 = sql.find(b"*/", at, length)
            if close < 0:
                return length
            inner: i64 = sql.find(b"/*", at, close) if nests else -1
            if inner < 0:
                return close + 2
            close = sql.find(b"*/", inner + 2, length)
            if close < 0:
                return length
            at = close + 2


def normalise(sql: bytes, limit: int = 2048, mode: i64 = 0, reading: Reading = EVERYTHING) -> bytes:
    """The digest text: literals are ``?``, lists and rows of them ``(?+)``, comments are gone, blanks are single.

    Names and keywords stay as they are written. A text longer than ``LONGEST``, or whose digest is longer than
    ``limit``, ends with ``CUT``.
    """
    lexer = Lexer(sql, mode, reading)
    parts: list[bytes] = []
    kept: i64 = 0  # from here on nothing had to be replaced
    listed = False
    last: i64 = END
    while True:
        kind = lexer.next()
        start = lexer.start
        if kind == SPACE:
            if lexer.end == start + 1 and sql[start] == _BLANK:
                continue
            parts.append(sql[kept:start])
            parts.append(b" ")
            kept = lexer.end
            continue
        if kind == LITERAL:
            parts.append(sql[kept:start])
            parts.append(b"?")
            kept = lexer.end
            listed = listed or last == 40 or last == 44
        elif kind == END:
            break
        last = kind
    parts.append(sql[kept:start])
    text = b"".join(parts)
    if listed:
        text = _ROWS.sub(_LIST, text)
    if len(sql) > LONGEST:
        return _CUT_ROWS.sub(_LIST, text)[:limit].rstrip(b" ") + CUT
    text = text.strip(b" ;")
    return text if len(text) <= limit else text[:limit] + CUT


def digest(text: bytes) -> str:
    """A short name for a digest text."""
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def unquote(token: bytes) -> bytes:
    """What stands in the quotes of a QUOTED or a string, if there are any; backslashes stay."""
    quote = token[:1]
    if quote not in (b"'", b'"', b"`") or len(token) < 2 or not token.endswith(quote):
        return token
    return token[1:-1].replace(quote * 2, quote)
