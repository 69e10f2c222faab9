"""What a SET statement sets: golden statements, and a real server that is told the same in our words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mysql_servers import MariaDBServer
from protocols.mysql.assignments import MAX_TOKENS, Assignment, parse
from protocols.mysql.lexer import ANSI_QUOTES

# A statement and its assignments, in the words of a server's SET.
TOLD = [
    ("SET autocommit=0", "autocommit=0"),
    ("set AutoCommit := ON;", "autocommit=ON"),
    ("SET SESSION wait_timeout = 60, net_read_timeout=7", "wait_timeout=60 net_read_timeout=7"),
    ("SET LOCAL net_read_timeout=7, SESSION net_write_timeout=DEFAULT", "net_read_timeout=7 net_write_timeout=DEFAULT"),
    ("SET @@net_read_timeout=7, @@session.net_write_timeout=8, @@LOCAL . sql_safe_updates=TRUE",
     "net_read_timeout=7 net_write_timeout=8 sql_safe_updates=TRUE"),
    ("SET `net_read_timeout`=7", "net_read_timeout=7"),
    ("SET sql_mode='ANSI,NO_ZERO_DATE'", "sql_mode='ANSI,NO_ZERO_DATE'"),
    ('SET time_zone="+02:00"', "time_zone='+02:00'"),
    ("SET time_zone=`+02:00`", "time_zone='+02:00'"),
    ("SET sql_mode = traditional", "sql_mode=traditional"),
    ("SET long_query_time=-1.5", "long_query_time=-1.5"),
    ("SET long_query_time=+1e1", "long_query_time=+1e1"),
    ("SET character_set_results = NULL", "character_set_results=NULL"),
    ("/* x */ SET -- y\n sql_big_selects = 1 # z", "sql_big_selects=1"),
    ("/*!40101 SET character_set_client = utf8 */", "character_set_client=utf8"),
    ("SET NAMES utf8mb4",
     "character_set_client='utf8mb4' character_set_results='utf8mb4' character_set_connection='utf8mb4'"),
    ("SET NAMES 'latin1' COLLATE \"latin1_bin\"",
     "character_set_client='latin1' character_set_results='latin1' collation_connection='latin1_bin'"),
    ("SET names binary",
     "character_set_client='binary' character_set_results='binary' character_set_connection='binary'"),
    ("SET sql_notes=0, NAMES latin1",
     "sql_notes=0 character_set_client='latin1' character_set_results='latin1' character_set_connection='latin1'"),
    ("SET CHARACTER SET latin1",
     "character_set_client='latin1' character_set_results='latin1' collation_connection=@@collation_database"),
    ("SET CHARSET 'utf8mb4'",
     "character_set_client='utf8mb4' character_set_results='utf8mb4' collation_connection=@@collation_database"),
    ("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "tx_isolation='READ-COMMITTED'"),
    ("SET LOCAL TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE", "tx_read_only=1 tx_isolation='SERIALIZABLE'"),
    ("SET SESSION TRANSACTION READ WRITE", "tx_read_only=0"),
    ("SET tx_isolation='REPEATABLE-READ'", "tx_isolation='REPEATABLE-READ'"),
    ("SET @@session.tx_read_only=1", "tx_read_only=1"),
    # User variables.
    ("SET @a = 1, @B := 'x', @`c`=-.5e3", "@a=1 @b='x' @c=-.5e3"),
    ("SET @a='it''s', @b=\"say 'x'\", @c='say \"x\"'", "@a='it''s' @b='say ''x''' @c='say \"x\"'"),
    ("SET @a=NULL, @b=true, @c=''", "@a=NULL @b=true @c=''"),
    ("SET @a=1, sql_safe_updates=1", "@a=1 sql_safe_updates=1"),
]  # fmt: skip


def spelled(assignments: list[Assignment] | None) -> str:
    assert assignments is not None
    return " ".join(f"{one.name}={one.value.decode()}" for one in assignments)


@pytest.mark.parametrize(("sql", "expected"), TOLD)
def test_what_is_assigned(sql: str, expected: str) -> None:
    found = parse(sql.encode(), mariadb=True)
    assert spelled(found) == expected
    assert found is not None
    assert [one.is_user_variable for one in found] == [one.name.startswith("@") for one in found]


def test_mysql_has_other_names_for_a_transaction_s_characteristics() -> None:
    for sql in (b"SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", b"SET tx_isolation='SERIALIZABLE'"):
        assert spelled(parse(sql)) == "transaction_isolation='SERIALIZABLE'"
    assert spelled(parse(b"SET transaction_read_only=1")) == "transaction_read_only=1"
    assert spelled(parse(b"SET transaction_read_only=1", mariadb=True)) == "tx_read_only=1"


@pytest.mark.parametrize(
    "sql",
    [
        # No SET of the session, or more than one.
        "",
        "SELECT 1",
        "SET",
        "SET ;",
        "SET x",
        "SET x=",
        "SET x=1,",
        "SET x=1 y=2",
        "SET x=1; SET y=2",
        "SET x=1;;",
        "SET GLOBAL x=1",
        "SET x=1, GLOBAL y=2",
        "SET @@GLOBAL.x=1",
        "SET PERSIST x=1",
        "SET @@persist_only.x=1",
        "SET PASSWORD='x'",
        "SET ROLE admin",
        "SET DEFAULT ROLE NONE TO u",
        "SET RESOURCE GROUP g",
        "SET STATEMENT x=1 FOR SELECT 1",
        "SET hot.key_buffer_size=1",
        "SET NEW.x=1",
        # The next transaction alone.
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET @@transaction_isolation='SERIALIZABLE'",
        "SET @@tx_read_only=1",
        "SET SESSION TRANSACTION ISOLATION LEVEL CHAOS",
        "SET SESSION TRANSACTION READ",
        # No literals, or not the same ones elsewhere.
        "SET x=?",
        "SET x=@y",
        "SET x=@@y",
        "SET x=1+1",
        "SET x=(1)",
        "SET x=- 1",
        "SET x=CONCAT(@@sql_mode, ',ANSI')",
        "SET x=(SELECT 1)",
        "SET timestamp=CURRENT_TIMESTAMP",
        "SET @a=b",
        "SET @a=DEFAULT",
        "SET @a=`b`",
        "SET @a=@b:=1",
        "SET @a=x'41'",
        "SET @a=0x41",
        "SET @a=_latin1'x'",
        "SET @a=DATE'2020-01-01'",
        "SET @a='x' 'y'",
        "SET @a='é'",
        "SET @é=1",
        "SET x=é",
        "SET @a='x\\'y'",
        "SET @a='x\ny'",
        "SET @'a b'=1",
        "SET @a.b=1",
        "SET NAMES DEFAULT",
        "SET NAMES utf8 COLLATE DEFAULT",
        "SET NAMES ?",
        "SET NAMES 'utf\\8'",
        "SET CHARACTER SET DEFAULT",
        # To set them once more is not the same.
        "SET insert_id=5",
        "SET @@session.last_insert_id=5",
        "SET gtid_next='AUTOMATIC'",
        "SET rand_seed1=1",
        "SET optimizer_switch='mrr=on'",
        "SET debug_sync='x'",
        "SET pseudo_thread_id=5",
        "SET session_track_schema=0",
        # Not all servers read the same.
        "/*!80000 SET x=1 */",
        "SET x=1 /*!50701 , y=2 */",
        "SET x=1 /*M! , y=2 */",
        "SET " + ",".join(["x=1"] * MAX_TOKENS),
        "SET @a='" + "x" * 70_000 + "'",
    ],
)
def test_what_cannot_be_told(sql: str) -> None:
    assert parse(sql.encode()) is None
    assert parse(sql.encode(), mariadb=True) is None


def test_the_sql_mode_says_what_is_a_string() -> None:
    assert spelled(parse(b'SET time_zone="+02:00"', mode=ANSI_QUOTES)) == "time_zone='+02:00'"
    assert spelled(parse(b'SET "time_zone"=1', mode=ANSI_QUOTES)) == "time_zone=1"
    assert parse(b'SET @a="b"', mode=ANSI_QUOTES) is None  # a column
    assert parse(b'SET "time_zone"=1') is None


def test_assignments_are_values() -> None:
    one = Assignment("a", b"'s3cret'")
    assert one == Assignment("a", b"'s3cret'")
    assert len({one, Assignment("a", b"'s3cret'"), Assignment("@a", b"'s3cret'", is_user_variable=True)}) == 2
    assert one != Assignment("a", b"2")
    assert one != "a"
    assert "s3cret" not in repr(one)


@given(st.binary(max_size=80) | st.text("SETseNAM@`'\"=:,;. x1?-\\\n").map(str.encode), st.integers(0, 3))
def test_any_bytes_can_be_read(sql: bytes, mode: int) -> None:
    for text in (sql, b"SET " + sql, b"SET x=" + sql, b"SET @a=" + sql):
        found = parse(text, mode=mode)
        assert found is None or all(one.value and one.value.isascii() for one in found)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\")))
def test_what_is_told_can_be_told_again(value: str) -> None:
    doubled = value.replace("'", "''")
    found = parse(f"SET @a='{doubled}', time_zone='{doubled}'".encode())
    assert spelled(found) == f"@a='{doubled}' time_zone='{doubled}'"
    again = (
        parse(f"SET {spelled(found).replace(' time_zone', ',time_zone', 1)}".encode()) if " " not in value else found
    )
    assert again == found


# A real server

OWN = ("timestamp", "pseudo_thread_id", "rand_seed1", "rand_seed2")  # of each connection


@pytest.mark.parametrize("sql", [sql for sql, _ in TOLD])
def test_a_server_is_set_to_the_same(mariadb_server: MariaDBServer, sql: str) -> None:
    """One connection gets the statement, another what was told of it: all their variables are the same afterwards."""
    found = parse(sql.encode(), mariadb=True)
    assert found is not None
    names = [one.name for one in found if one.is_user_variable] or ["1"]
    assignments = ",".join(f"{one.name}={one.value.decode()}" for one in found)
    states = []
    for text in (sql, f"SET {assignments}"):
        with mariadb_server.client(database="test") as connection, connection.cursor() as cursor:
            cursor.execute(text)
            cursor.execute(f"SELECT {','.join(names)}")
            values = cursor.fetchall()
            cursor.execute("SHOW SESSION VARIABLES")
            variables = {str(row).replace("b'", "'") for row in cursor.fetchall()}  # bytes behind SET NAMES binary
            states.append({row for row in variables if not any(name in row for name in OWN)} | {str(values)})
    told, replayed = states
    assert replayed == told
