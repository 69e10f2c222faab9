"""What a SET means for a session's settings: what it says itself, corrected by what the server reports."""

from __future__ import annotations

import pytest

from mysql_playbook import MARIADB, MYSQL
from protocols.mysql.assignments import parse
from protocols.mysql.effects import is_all_reported, is_lasting, reported, said


def effect_of(sql: str, *, mariadb: bool = True) -> dict[str, bytes] | None:
    found = parse(sql.encode(), mariadb=mariadb)
    return None if found is None else said(found, MARIADB if mariadb else MYSQL)


@pytest.mark.parametrize(
    ("sql", "effect"),
    [
        ("SET sql_mode='ANSI'", {"sql_mode": b"'ANSI'"}),
        ("SET SESSION sql_mode = 'ANSI', @@time_zone := '+00:00'", {"sql_mode": b"'ANSI'", "time_zone": b"'+00:00'"}),
        ("SET autocommit=1", {"autocommit": b""}),
        ("SET autocommit=ON", {"autocommit": b""}),
        ("SET autocommit=0", {"autocommit": b"0"}),
        ("SET autocommit='off'", {"autocommit": b"0"}),
        ("SET wait_timeout=DEFAULT", {"wait_timeout": b""}),
        ("SET @a=5", {"@a": b"5"}),
        ("SET character_set_results=NULL", {"character_set_results": b"NULL"}),
        ("SET collation_connection=latin1_bin",
         {"character_set_connection": b"latin1", "collation_connection": b"latin1_bin"}),
        ("SET timestamp=5", None),
        ("SET insert_id=5", None),
        ("SET last_insert_id=5", None),
        ("SET a=@@b", None),
        ("SET character_set_client=DEFAULT", None),
        ("SET collation_connection=nope", None),
    ],
)  # fmt: skip
def test_what_literals_say(sql: str, effect: dict[str, bytes] | None) -> None:
    assert effect_of(sql) == effect


def test_names_sets_four_and_the_default_collation_is_the_servers() -> None:
    for mariadb, collation in ((True, b"utf8mb4_general_ci"), (False, b"utf8mb4_0900_ai_ci")):
        effect = effect_of("SET NAMES utf8mb4", mariadb=mariadb)
        assert effect is not None
        assert effect["collation_connection"] == collation
        assert len(effect) == 4
    effect = effect_of("SET NAMES latin1 COLLATE latin1_bin")
    assert effect is not None
    assert effect["collation_connection"] == b"latin1_bin"


@pytest.mark.parametrize(
    ("variables", "effect", "stuck"),
    [
        ({"sql_mode": b"ANSI"}, {"sql_mode": b"'ANSI'"}, ""),
        ({"autocommit": b"OFF"}, {"autocommit": b"0"}, ""),
        ({"autocommit": b"ON"}, {"autocommit": b""}, ""),
        ({"character_set_client": b"latin1"}, {"character_set_client": b"latin1"}, ""),
        ({"character_set_results": b""}, {"character_set_results": b"NULL"}, ""),
        ({"last_insert_id": b"5", "warning_count": b"1"}, {}, ""),
        ({"timestamp": b"5"}, {}, "timestamp"),
        ({"session_track_schema": b"OFF"}, {}, "session_track_schema"),
        ({"init_connect": b"a\\b"}, {}, "init_connect"),
        ({"character_set_connection": b"nope"}, {}, "character_set_connection"),
    ],
)
def test_what_the_server_reports(variables: dict[str, bytes], effect: dict[str, bytes], stuck: str) -> None:
    found: dict[str, bytes] = {}
    assert reported(found, variables, MARIADB) == stuck
    assert found == effect


def test_of_the_connections_charset_the_statement_knows_more() -> None:
    """The server reports one of two variables that go together."""
    effect = effect_of("SET NAMES latin1 COLLATE latin1_bin")
    assert effect is not None
    assert reported(effect, {"character_set_connection": b"latin1", "character_set_client": b"latin1"}, MARIADB) == ""
    assert effect["collation_connection"] == b"latin1_bin"


def test_what_the_server_reports_counts_more_than_what_was_said() -> None:
    effect = {"sql_mode": b"'ANSI'"}
    assert reported(effect, {"sql_mode": b"REAL_AS_FLOAT,ANSI"}, MARIADB) == ""
    assert effect == {"sql_mode": b"'REAL_AS_FLOAT,ANSI'"}


@pytest.mark.parametrize(
    ("sql", "all_of_it"),
    [
        ("SET sql_mode = CONCAT(@@sql_mode, ',ANSI')", True),
        ("SET @@session.sql_mode = 'ANSI'", True),
        ("SET @@sql_mode = 'ANSI'", False),
        ("SET a = 1, @@sql_mode = 'ANSI'", False),
        ("set @@GLOBAL.sql_mode = 'ANSI'", True),
    ],
)
def test_mariadb_says_nothing_of_a_variable_without_a_scope(sql: str, all_of_it: bool) -> None:
    assert is_all_reported(sql.encode()) == all_of_it


@pytest.mark.parametrize(
    ("sql", "lasting"),
    [("SET a=1", True), ("SET a=DEFAULT", False), ("SET a=default, b=1", False), ("SET @a=1", False)],
)
def test_what_may_be_learned_from_one_session_for_all(sql: str, lasting: bool) -> None:
    found = parse(sql.encode(), mariadb=True)
    assert found is not None
    assert is_lasting(found) == lasting
