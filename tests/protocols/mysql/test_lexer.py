"""Where tokens end, and which texts share a digest: golden texts, a real server, hostile bytes."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pymysql
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymysql.constants import CLIENT

from mysql_servers import MariaDBServer
from protocols.mysql.lexer import (
    ANSI_QUOTES,
    CUT,
    END,
    LITERAL,
    LONGEST,
    NO_BACKSLASH_ESCAPES,
    QUOTED,
    SPACE,
    WORD,
    Lexer,
    Reading,
    digest,
    normalise,
    readings,
    unquote,
)

DIGESTS = [
    # Literals.
    ("SELECT c FROM t WHERE id=5", "SELECT c FROM t WHERE id=?"),
    ("SELECT 1.5, .5, 1., 1e3, 1.5E-3, 0x1F, 0b01", "SELECT ?, ?, ?, ?, ?, ?, ?"),
    ("SELECT 1ex, 2_a, 0x, 0xg, 0X1, t.1, t.1a, @1", "SELECT 1ex, 2_a, 0x, 0xg, 0X1, t.1, t.1a, @1"),
    ("SELECT .5x, 1.5x, 1e3x", "SELECT ?x, ?x, ?x"),  # a number and its alias
    ("SELECT 'a', \"b\", 'it''s', 'it\\'s', '', 'a;b--c'", "SELECT ?, ?, ?, ?, ?, ?"),
    ("SELECT _utf8'a', _latin1 'b', n'c', N'd', x'41', X'', b'1'", "SELECT ?, ?, ?, ?, ?, ?, ?"),
    ("SELECT DATE'2020-01-01', time '10:00', Timestamp'x'", "SELECT ?, ?, ?"),
    ("SELECT _id 'alias', xx'a', a.x'1'", "SELECT _id ?, xx?, a.?"),
    ("SELECT NULL, TRUE, false, DEFAULT", "SELECT NULL, TRUE, false, DEFAULT"),
    ("SELECT ? FROM t WHERE a = ?", "SELECT ? FROM t WHERE a = ?"),
    # Signs.
    ("SELECT -1, a-1, a -1, a = -1, (-1)-1, 5--1, +.5", "SELECT ?, a-?, a -?, a = ?, (?+)-?, ?-?, ?"),
    ("SELECT a BETWEEN -1 AND -2 OR\n-3 AND 2-3 LIMIT -5", "SELECT a BETWEEN ? AND ? OR ? AND ?-? LIMIT ?"),
    ("SELECT `limit`-1, @a-1, -a, - 1", "SELECT `limit`-?, @a-?, -a, - ?"),
    # Lists and rows.
    ("SELECT a FROM t WHERE a IN (1)", "SELECT a FROM t WHERE a IN (?+)"),
    ("SELECT a FROM t WHERE a IN ( 1 ,'b', NULL,-3 )", "SELECT a FROM t WHERE a IN (?+)"),
    ("INSERT INTO t (a, b) VALUES (1, 2)", "INSERT INTO t (a, b) VALUES (?+)"),
    ("INSERT INTO t (a, b) VALUES (1, NULL), (?, DEFAULT),(5,'x')", "INSERT INTO t (a, b) VALUES (?+)"),
    ("INSERT INTO t VALUES (1, NOW()), (2, a)", "INSERT INTO t VALUES (?, NOW()), (?, a)"),
    ("SELECT (1, nullable), ((1,2),(3,4))", "SELECT (?, nullable), ((?+))"),
    # Comments and blanks.
    ("SELECT 1 -- x\n, 2 # y\n, /* z */ 3", "SELECT ? , ? , ?"),
    ("SELECT/**/1/* ' */,2", "SELECT ? ,?"),
    ("SELECT /*+ NO_INDEX(t) */ a FROM t", "SELECT a FROM t"),
    ("  SELECT\t\r\n1 ;; ", "SELECT ?"),
    ("SELECT 1 --", "SELECT ?"),
    ("SELECT 5--1, '#', '--  ', `-- `, a--b", "SELECT ?-?, ?, ?, `-- `, a--b"),
    ("/* ping */", ""),
    ("SELECT '/*', 1, '*/'", "SELECT ?, ?, ?"),
    # Executable comments are code.
    ("/*!40101 SET NAMES utf8 */;", "SET NAMES utf8"),
    ("SELECT /*! STRAIGHT_JOIN */ a /*M!100100 , b */ FROM t", "SELECT STRAIGHT_JOIN a , b FROM t"),
    ("SELECT 1 /*! /* x */ + 1 */, 2", "SELECT ? + ? , ?"),
    ("SELECT 1 /*!+'*/' */, 2", "SELECT ? +? , ?"),
    # Names.
    ("SELECT `a``b 1`, é1, $x, @a.b, @@session.x, @'v'", "SELECT `a``b 1`, é1, $x, @a.b, @@session.x, @?"),
    ("GRANT ALL ON *.* TO 'root'@'%'", "GRANT ALL ON *.* TO ?@?"),
    # Unfinished.
    ("SELECT 'abc", "SELECT ?"),
    ("SELECT 'abc\\", "SELECT ?"),
    ("SELECT `abc", "SELECT `abc"),
    ("SELECT 1 /* abc", "SELECT ?"),
    ("SELECT 1 /*! + 2", "SELECT ? + ?"),
]


@pytest.mark.parametrize(("sql", "expected"), DIGESTS)
def test_the_digest_text(sql: str, expected: str) -> None:
    assert normalise(sql.encode()).decode() == expected
    assert normalise(expected.encode()).decode() == expected


@pytest.mark.parametrize(
    ("mode", "sql", "expected"),
    [
        (ANSI_QUOTES, 'SELECT "a", "a""b", \'"\' FROM "t"', 'SELECT "a", "a""b", ? FROM "t"'),
        (ANSI_QUOTES, 'SELECT "\\", 1, "x"', 'SELECT "\\", ?, "x"'),
        (ANSI_QUOTES, "SELECT '\\', 1'", "SELECT ?"),
        (NO_BACKSLASH_ESCAPES, "SELECT '\\', 1, \"\\\", 2", "SELECT ?, ?, ?, ?"),
        (NO_BACKSLASH_ESCAPES | ANSI_QUOTES, "SELECT '\\', 1, \"\\\", 2", 'SELECT ?, ?, "\\", ?'),
    ],
)
def test_the_sql_mode_says_what_is_a_string(mode: int, sql: str, expected: str) -> None:
    assert normalise(sql.encode(), mode=mode).decode() == expected


def test_a_long_digest_is_cut() -> None:
    assert normalise(b"SELECT " + b"a, " * 10_000) == (b"SELECT " + b"a, " * 1000)[:2048] + CUT
    assert normalise(b"SELECT a, b", 8) == b"SELECT a" + CUT


def test_rows_have_one_digest_wherever_a_long_text_is_cut() -> None:
    rows = b"(1, NULL, 'abc')," * 10_000
    found = {normalise(b"INSERT INTO t VALUES " + b" " * shift + rows) for shift in range(20)}
    assert found == {b"INSERT INTO t VALUES (?+)" + CUT}
    found = {normalise(b"SELECT a FROM t WHERE a IN (" + b" " * shift + b"12, " * 20_000) for shift in range(8)}
    assert found == {b"SELECT a FROM t WHERE a IN (?+)" + CUT}


def test_a_digest_has_a_short_name() -> None:
    assert digest(b"SELECT ?") == digest(b"SELECT ?") == "c148796e1220075a"
    assert digest(b"SELECT ?") != digest(b"select ?")


@pytest.mark.parametrize(
    ("token", "expected"),
    [("`a``b`", "a`b"), ("'it''s'", "it's"), ('"x"', "x"), ("x", "x"), ("'", "'"), ("`x", "`x"), ("''", ""), ("", "")],
)
def test_unquote(token: str, expected: str) -> None:
    assert unquote(token.encode()).decode() == expected


# Executable comments


def test_which_comments_a_server_executes() -> None:
    sql = b"a /*! b */ /*!50699 c */ /*!50700 d */ /*!80000 e */ /*!100100 f */ /*M! g */ /*M!100500 h */ /*!123 i */"
    mysql, mariadb = Reading(80_100, mysql=True, mariadb=False), Reading(100_400, mysql=False, mariadb=True)
    assert normalise(sql) == b"a b c d e f g h ? i"
    assert normalise(sql, reading=mysql) == b"a b c d e ? i"
    assert normalise(sql, reading=mariadb) == b"a b c f g ? i"


def test_a_text_has_the_readings_that_servers_may_have() -> None:
    def texts(sql: bytes) -> list[bytes]:
        chosen, clear = readings(sql)
        assert clear
        return list(dict.fromkeys(normalise(sql, reading=reading) for reading in chosen))

    assert texts(b"SELECT 1 /*!40101 + 1 */") == [b"SELECT ? + ?"]
    assert texts(b"a /*!80000 b */") == [b"a b", b"a"]
    assert texts(b"a /*M! b */") == [b"a b", b"a"]
    assert texts(b"a /*!80000 b */ /*!80023 c */") == [b"a b c", b"a", b"a b"]
    assert texts(b"a /*!80000 b */ /*!100100 c */ /*M! d */") == [b"a b c d", b"a", b"a d", b"a b", b"a b c", b"a c d"]
    assert texts(b"a /*!99999 /* x */ b */ c") == [b"a b c", b"a c"]


def test_of_too_many_versions_not_all_readings_are_known() -> None:
    sql = b"".join(b"/*!%d a */" % version for version in range(80_000, 80_010))
    assert not readings(sql)[1]


# A real server


@pytest.fixture(scope="module")
def server(mariadb_server: MariaDBServer) -> Iterator[pymysql.Connection[pymysql.cursors.Cursor]]:
    with mariadb_server.client(client_flag=CLIENT.MULTI_STATEMENTS, charset="utf8mb4") as connection:
        yield connection


def results(server: pymysql.Connection[pymysql.cursors.Cursor], sql: str) -> int:
    """How many result sets a text has; -1 for one that the server does not understand."""
    with server.cursor() as cursor:
        try:
            cursor.execute(sql)
            found = 0
            while True:
                found += cursor.description is not None
                if not cursor.nextset():
                    return found
        except pymysql.MySQLError:
            return -1


def statements(sql: bytes, mode: int, reading: Reading) -> int:
    """How many there are, to the lexer."""
    lexer = Lexer(sql, mode, reading)
    kinds = []
    while (kind := lexer.next()) != END:
        kinds.append(int(kind))
    whole = " ".join("" if kind == SPACE else ";" if kind == ord(";") else "x" for kind in kinds)
    return len([part for part in whole.split(";") if part.strip()])


PIECES = r"""' ' \ \' '' " " -- --_ # # /* */ /*! /*!99999 /*M! /*!50101 /*M!999999 /*/ /**/ ; ; ;SELECT_2 ;SELECT_3 ` `
 5 + -1 , _as_x n'q' x'41' .5 1e5 (1) @a @'b' _ _ ~ --~ / *"""


@pytest.mark.parametrize("mode", ["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"])
def test_a_server_sees_as_many_statements(server: pymysql.Connection[pymysql.cursors.Cursor], mode: str) -> None:
    """Whatever stands in them: what hides a semicolon from one must hide it from the other."""
    flags = ANSI_QUOTES * ("ANSI" in mode) + NO_BACKSLASH_ESCAPES * ("BACK" in mode)
    mariadb = Reading(101_100, mysql=False, mariadb=True)
    pieces = [piece.replace("_", " ").replace("~", "\n") for piece in PIECES.split()]
    dice = random.Random(mode)
    understood = 0
    with server.cursor() as cursor:
        cursor.execute("SET sql_mode = %s", (mode,))
    for _ in range(5000):
        sql = "SELECT 1" + "".join(dice.choice(pieces) for _ in range(dice.randint(1, 8)))
        found = results(server, sql)
        if found >= 0 and not sql.endswith(";"):  # the server takes that one off before all else
            understood += 1
            assert statements(sql.encode(), flags, mariadb) == found, sql
    assert understood > 300


NUMBERS = "1 1. .5 1.5 1e5 1.e5 1e 1ex 1x 0x1 0x 0xg 0X1 0b1 0b2 0b 1_ 1$ .5x 1.5x 1e5x 12a.b 1e+5 1e+"


def test_a_server_takes_the_same_for_numbers(server: pymysql.Connection[pymysql.cursors.Cursor]) -> None:
    for text in NUMBERS.split():
        assert (results(server, f"SELECT {text}") == 1) == (b"?" in normalise(f"SELECT {text}".encode())), text


# Whatever the bytes

MODES = st.integers(0, 3)


@given(st.binary(max_size=200) | st.text("'\"`\\/*!M-#\n 15;,()?@xa.e+", max_size=60).map(str.encode), MODES)
def test_tokens_are_the_whole_text(sql: bytes, mode: int) -> None:
    lexer = Lexer(sql, mode)
    tokens = []
    while (kind := lexer.next()) != END:
        assert lexer.end > lexer.start
        assert kind < END or kind in (SPACE, WORD, QUOTED, LITERAL)
        tokens.append(sql[lexer.start : lexer.end])
    assert b"".join(tokens) == sql
    for reading in readings(sql)[0]:
        assert len(normalise(sql, mode=mode, reading=reading)) <= 2 * len(sql)  # (1) becomes (?+)


NAMES = st.sampled_from(["a", "b1", "`c d`", "t.x", "@v", "@@x", "COUNT(*)", "f(a, b)", "NULL", "é"])
LITERALS = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.binary(min_size=1).map(lambda value: "x'" + value.hex() + "'"),
    st.binary(min_size=1).map(lambda value: "0x" + value.hex()),
    st.text(st.characters(codec="utf-8")).map(lambda value: "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"),
    st.text(st.characters(codec="utf-8")).map(
        lambda value: '_utf8mb4"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    ),
)
SHAPES = st.recursive(
    st.just("?") | NAMES,
    lambda part: st.one_of(
        st.tuples(part, st.sampled_from([" = ", "-", " + ", " AND ", "<", ", ", " IN ", "; "]), part).map("".join),
        part.map(lambda text: f"({text})"),
        part.map(lambda text: f"CASE WHEN {text} THEN ? END"),
    ),
)


@given(SHAPES, st.data())
def test_a_digest_does_not_change_with_the_literals(shape: str, data: st.DataObject) -> None:
    filled = "".join(data.draw(LITERALS) if char == "?" else char for char in f"SELECT {shape}")
    text = normalise(filled.encode(), LONGEST)
    assert text == normalise(f"SELECT {shape}".encode(), LONGEST)
    assert normalise(text, LONGEST) == text


HOSTILE = (
    r"""( ) ' " ` ; /* */ /*! /*!99999 -- - + # \ \' '' , (1, (?, (NULL, (1), 1 1a .1 1e @ @a ?, a=1, '/* _utf8' é"""
)


@pytest.mark.parametrize("unit", [*HOSTILE.split(), "\0", " ", "\n-- "])
def test_a_megabyte_of_anything_takes_no_time(unit: str) -> None:
    sql = unit.encode() * (1_000_000 // len(unit))
    before = time.process_time()
    for reading in readings(sql)[0]:
        assert len(normalise(sql, reading=reading)) <= 2048 + len(CUT)
    assert time.process_time() - before < 2  # generous: the compiled form takes milliseconds
