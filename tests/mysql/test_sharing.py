"""What a session does to its connection is seen by that session and by no other, on one upstream connection for all.

Each case is run three times: on a connection of its own, past poolgate, which says what is right; through the gateway,
where another client uses the same upstream connection in between if the session shares it; and by a client that comes
behind it, which has to see what a fresh connection shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest

from mysql_gateway import MysqlGateway
from mysql_servers import DatabaseServer, MariaDBServer, MySQL8Server
from mysql_wire import BASIC, MODERN, Result, Wire, binary_row
from protocols.mysql.constants import COM_RESET_CONNECTION
from servers import LOOPBACK, wait_until

UPSTREAM: Final = {"user": "app", "password": "s3cret"}


class Case(NamedTuple):
    """What a session says, how its effect is seen, why the session is pinned then, and what ends that."""

    says: str
    probe: str
    pin: str = ""
    ends: str = ""


CHARSETS: Final = (
    "SELECT @@character_set_client, @@character_set_connection, @@character_set_results, @@collation_connection, 'ä'"
)
TABLE: Final = "SELECT * FROM sharing.temporary"
MARIADB: Final = (
    # Settings, in every way to write them.
    Case("SET time_zone = '+03:00'", "SELECT @@time_zone"),
    Case("SET @@time_zone = '+04:00'", "SELECT @@time_zone"),
    Case("SET SESSION time_zone = '+05:00', @@session.sql_safe_updates = 1", "SELECT @@time_zone, @@sql_safe_updates"),
    Case("SET time_zone = CONCAT('+0', 6, ':00')", "SELECT @@time_zone"),
    Case("SET @@time_zone = CONCAT('+0', 6, ':00')", "SELECT @@time_zone", "SET"),
    Case("SET NAMES latin1", CHARSETS),
    Case("SET NAMES utf8mb4 COLLATE utf8mb4_bin", CHARSETS),
    Case("SET NAMES binary", CHARSETS),
    Case("SET CHARACTER SET latin1", CHARSETS, "SET"),
    Case("SET collation_connection = latin1_german2_ci", CHARSETS),
    Case("SET character_set_connection = latin2", CHARSETS),
    Case("SET character_set_results = NULL", CHARSETS),
    Case("SET NAMES gbk", CHARSETS, "character set", "SET NAMES utf8mb4"),
    Case("SET autocommit = 0", "SELECT @@autocommit"),
    Case("SET autocommit = OFF", "SELECT @@autocommit"),
    Case("SET sql_mode = ''", "SELECT @@sql_mode"),
    Case("SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'", "SELECT @@sql_mode, '\\\\'"),
    Case("SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')", "SELECT @@sql_mode"),
    Case("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "SELECT @@tx_isolation"),
    Case("SET SESSION TRANSACTION READ ONLY", "SELECT @@tx_read_only"),
    Case("SET tx_isolation = 'SERIALIZABLE'", "SELECT @@tx_isolation"),
    Case("SET lc_time_names = 'de_DE'", "SELECT DATE_FORMAT('2024-03-01', '%M')"),
    Case("SET group_concat_max_len = 4; SET div_precision_increment = 9", "SELECT GROUP_CONCAT('abcdefgh'), 1/3"),
    Case("SET sql_select_limit = 1", "SELECT id FROM sharing.plain"),
    Case("SET foreign_key_checks = 0, unique_checks = 0", "SELECT @@foreign_key_checks, @@unique_checks"),
    Case("SET max_statement_time = 7.5", "SELECT @@max_statement_time"),
    Case("SET wait_timeout = 123, net_read_timeout = DEFAULT", "SELECT @@wait_timeout, @@net_read_timeout"),
    Case("SET STATEMENT time_zone = '+07:00' FOR SELECT 1", "SELECT @@time_zone"),
    Case("SET time_zone = '+09:00'; SET NAMES latin1; SELECT 1", "SELECT @@time_zone, @@character_set_client"),
    Case("USE sharing_other", "SELECT DATABASE()"),
    Case("BEGIN; SELECT 1; COMMIT", "SELECT @@in_transaction"),
    Case("SET last_insert_id = 77", "SELECT LAST_INSERT_ID()", "SET"),
    Case("SET timestamp = 1000000000", "SELECT NOW() > '2010-01-01'", "SET"),
    Case("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SELECT @@in_transaction", "SET TRANSACTION", "BEGIN; COMMIT"),
    # What only one connection has.
    Case("SET @own = 5", "SELECT @own", "user variable"),
    Case("SELECT @own := 6", "SELECT @own", "user variable"),
    Case("SELECT 7 INTO @own", "SELECT @own", "user variable"),
    Case("SELECT sets_a_variable()", "SELECT @own", "session state"),
    Case("INSERT INTO sharing.triggering VALUES (1)", "SELECT @own", "session state"),
    Case("CALL makes_a_table()", TABLE, "CALL"),
    Case("CREATE TEMPORARY TABLE sharing.temporary (id INT)", TABLE, "temporary table"),
    Case("CREATE TEMPORARY TABLE sharing.plain (other INT)", "SELECT * FROM sharing.plain", "temporary table"),
    Case("PREPARE own FROM 'SELECT 8'", "EXECUTE own", "PREPARE"),
    Case("EXECUTE IMMEDIATE 'SET @own = 9'", "SELECT @own", "EXECUTE IMMEDIATE"),
    Case("BEGIN NOT ATOMIC SET @own = 10; END", "SELECT @own", "COMPOUND"),
    Case("HANDLER sharing.plain OPEN", "HANDLER plain READ FIRST", "HANDLER"),
    Case("SELECT GET_LOCK('own', 0)", "SELECT RELEASE_LOCK('own')", "GET_LOCK()", "SELECT RELEASE_ALL_LOCKS()"),
    Case("LOCK TABLES sharing.plain WRITE", "SELECT * FROM sharing.other", "LOCK TABLES", "UNLOCK TABLES"),
    Case(
        "FLUSH TABLES WITH READ LOCK", "INSERT INTO sharing.other VALUES (1)", "FLUSH TABLES WITH READ LOCK",
        "UNLOCK TABLES",
    ),
    Case("BEGIN", "SELECT @@in_transaction", "transaction", "COMMIT"),
    Case("START TRANSACTION READ ONLY", "INSERT INTO sharing.other VALUES (2)", "transaction", "ROLLBACK"),
    Case("SET autocommit = 0; SELECT * FROM sharing.plain", "SELECT @@in_transaction", "transaction", "COMMIT"),
    Case("XA START 'own'", "SELECT @@in_transaction", "XA", "XA END 'own'; XA ROLLBACK 'own'"),
    Case("SET ROLE sharer", "SELECT CURRENT_ROLE()", "SET ROLE"),
    Case("SELECT 1/0 FROM sharing.plain", "SHOW WARNINGS", "warnings", "SELECT id FROM sharing.plain"),
    Case("INSERT INTO sharing.numbered VALUES (NULL)", "SELECT LAST_INSERT_ID() > 0"),
    Case("INSERT INTO sharing.numbered VALUES (NULL)", "SELECT @@last_insert_id > 0"),
)  # fmt: skip
MYSQL8: Final = (
    Case("SET time_zone = '+03:00'", "SELECT @@time_zone"),
    Case("SET @@time_zone = '+04:00'", "SELECT @@time_zone"),
    Case("SET SESSION time_zone = '+05:00', @@session.sql_safe_updates = 1", "SELECT @@time_zone, @@sql_safe_updates"),
    Case("SET time_zone = CONCAT('+0', 6, ':00')", "SELECT @@time_zone", "SET"),
    Case("SET NAMES latin1", "SELECT @@character_set_client, @@character_set_results"),
    Case("SET autocommit = 0", "SELECT @@autocommit", "transaction", "COMMIT"),  # it says that it is in one
    Case("SET sql_mode = ''", "SELECT @@sql_mode"),
    Case("SET sql_mode = 'ANSI_QUOTES'", "SELECT @@sql_mode"),
    Case("SET sql_select_limit = 1", "SELECT @@sql_select_limit"),
    Case("SET foreign_key_checks = 0", "SELECT @@foreign_key_checks"),
    Case("USE sharing_other", "SELECT DATABASE()"),
    Case("SET @own = 5", "SELECT @own", "user variable"),
    Case("PREPARE own FROM 'SELECT 8'", "EXECUTE own", "PREPARE"),
    Case("SELECT GET_LOCK('own', 0)", "SELECT IS_FREE_LOCK('own')", "GET_LOCK()", "SELECT RELEASE_ALL_LOCKS()"),
    Case("BEGIN", "SELECT 1", "transaction", "COMMIT"),
    Case("INSERT INTO sharing.numbered VALUES (NULL)", "SELECT LAST_INSERT_ID() > 0"),
)


def make_tables(server: DatabaseServer) -> None:
    """What the cases need."""
    for sql in ("sharing", "sharing_other"):
        server.execute(f"CREATE DATABASE IF NOT EXISTS {sql}")
    server.execute("CREATE TABLE IF NOT EXISTS sharing.plain (id INT PRIMARY KEY, note VARCHAR(40))")
    server.execute("CREATE TABLE IF NOT EXISTS sharing.other (id INT)")
    server.execute("CREATE TABLE IF NOT EXISTS sharing.numbered (id INT AUTO_INCREMENT PRIMARY KEY)")
    server.execute("REPLACE INTO sharing.plain VALUES (1, 'one'), (2, 'two'), (3, 'three')")


@pytest.fixture(scope="module")
def mariadb(mariadb_server: MariaDBServer) -> MariaDBServer:
    make_tables(mariadb_server)
    for sql in (
        "CREATE SEQUENCE IF NOT EXISTS sharing.counter",
        "CREATE TABLE IF NOT EXISTS sharing.triggering (id INT)",
        "CREATE OR REPLACE TRIGGER sharing.sets BEFORE INSERT ON sharing.triggering FOR EACH ROW SET @own = 12",
        "CREATE OR REPLACE FUNCTION sharing.sets_a_variable() RETURNS INT BEGIN SET @own = 11; RETURN 1; END",
        "CREATE OR REPLACE PROCEDURE sharing.makes_a_table()"
        " CREATE OR REPLACE TEMPORARY TABLE sharing.temporary SELECT 1 AS id",
        "CREATE ROLE IF NOT EXISTS sharer",
        "GRANT sharer TO app@'%'",
    ):
        mariadb_server.execute(sql)
    return mariadb_server


@pytest.fixture(scope="module")
def mysql8(mysql8_server: MySQL8Server) -> MySQL8Server:
    make_tables(mysql8_server)
    return mysql8_server


@pytest.fixture(scope="module")
def over_mariadb(mariadb: MariaDBServer) -> Iterator[MysqlGateway]:
    """One upstream connection for everybody."""
    pool = {"max_connections": 1, "wait_timeout": "5s"}
    with MysqlGateway([mariadb.address], upstream=UPSTREAM, pool=pool) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def over_mysql8(mysql8: MySQL8Server) -> Iterator[MysqlGateway]:
    """The same, over a server without trackers."""
    pool = {"max_connections": 1, "wait_timeout": "5s"}
    with MysqlGateway([mysql8.address], upstream=UPSTREAM, pool=pool) as gateway:
        yield gateway


def direct(server: DatabaseServer, capabilities: int = BASIC) -> Wire:
    """Past poolgate."""
    return Wire(str(server.path), password="s3cret", schema="sharing", capabilities=capabilities)


def through(gateway: MysqlGateway, capabilities: int = BASIC) -> Wire:
    """Through it."""
    return Wire((LOOPBACK, gateway.port), schema="sharing", capabilities=capabilities)


def pin(gateway: MysqlGateway, wire: Wire) -> str:
    """Why a client has a connection of its own; "": it shares."""
    [session] = [one for one in gateway.sessions() if one["connection_id"] == wire.id]
    holds: str = session["holds"]
    return holds.removeprefix("pinned because ").rpartition(" since ")[0]


def seen(results: list[Result]) -> list[Any]:
    """What of results does not depend on the connection."""
    return [(one.columns, one.rows, one.error, one.affected, one.status & 0x3FFF, one.warnings) for one in results]


def right_answers(server: DatabaseServer, case: Case, capabilities: int) -> tuple[Any, Any]:
    """What the probe shows behind the case, and on a fresh connection."""
    with direct(server, capabilities) as fresh:
        untouched = seen(fresh.query(case.probe))
    with direct(server, capabilities) as alone:
        alone.query(case.says)
        own = seen(alone.query(case.probe))
        alone.query("UNLOCK TABLES")
    wait_until(lambda: not {fresh.id, alone.id} & set(server.thread_ids()), "they are gone, with their locks")
    return own, untouched


def run_case(server: DatabaseServer, gateway: MysqlGateway, case: Case, capabilities: int) -> None:
    own, untouched = right_answers(server, case, capabilities)
    with through(gateway, capabilities) as wire:
        wire.do("SELECT 1")
        before = server.thread_ids("app")
        for result in wire.query(case.says):
            assert result.error is None
        assert pin(gateway, wire) == case.pin
        if not case.pin:
            with through(gateway, capabilities) as other:
                assert seen(other.query(case.probe)) == untouched
        assert seen(wire.query(case.probe)) == own
        if case.ends:
            for result in wire.query(case.ends):
                assert result.error is None
            assert pin(gateway, wire) == ""
    gateway.wait_until_quiet()
    with through(gateway, capabilities) as behind:
        assert seen(behind.query(case.probe)) == untouched
    if case.pin not in ("XA", "SET ROLE"):
        assert set(server.thread_ids("app")) <= set(before)  # it was one and the same connection


@pytest.mark.parametrize("capabilities", [BASIC, MODERN], ids=["basic", "modern"])
@pytest.mark.parametrize("case", MARIADB, ids=lambda case: case.says[:60])
def test_state_is_seen_by_its_session_alone(
    mariadb: MariaDBServer, over_mariadb: MysqlGateway, case: Case, capabilities: int
) -> None:
    run_case(mariadb, over_mariadb, case, capabilities)


@pytest.mark.parametrize("case", MYSQL8, ids=lambda case: case.says[:60])
def test_state_is_seen_by_its_session_alone_without_trackers(
    mysql8: MySQL8Server, over_mysql8: MysqlGateway, case: Case
) -> None:
    run_case(mysql8, over_mysql8, case, MODERN)


@pytest.mark.parametrize("case", [case for case in MARIADB if case.pin], ids=lambda case: case.says[:60])
def test_a_reset_ends_every_pin(mariadb: MariaDBServer, over_mariadb: MysqlGateway, case: Case) -> None:
    _, untouched = right_answers(mariadb, case, BASIC)
    with through(over_mariadb) as wire:
        wire.do(case.says)
        assert pin(over_mariadb, wire) == case.pin
        assert wire.answer(COM_RESET_CONNECTION).error is None
        assert pin(over_mariadb, wire) == ""
        assert seen(wire.query(case.probe)) == untouched
        if pin(over_mariadb, wire) == "":  # the probe may have failed in a way that pins
            with through(over_mariadb) as other:
                assert seen(other.query(case.probe)) == untouched
    over_mariadb.wait_until_quiet()


def test_numbers_of_the_last_statement_are_one_s_own(mariadb: MariaDBServer, over_mariadb: MysqlGateway) -> None:
    with through(over_mariadb) as one, through(over_mariadb) as other:
        for ask, expected in (
            ("SELECT ROW_COUNT()", "3"),
            ("SELECT ROW_COUNT() + 1", "4"),
            ("SELECT (SELECT MAX(id) FROM sharing.plain) - ROW_COUNT()", "0"),
        ):
            one.do("UPDATE sharing.plain SET note = UUID()")
            other.do("UPDATE sharing.plain SET note = UUID() WHERE id = 1")
            assert one.ask(ask) == expected
            assert one.ask("SELECT ROW_COUNT()") == "-1"
        for ask, expected in (
            ("SELECT FOUND_ROWS()", "2"),
            ("SELECT FOUND_ROWS() + 1 AS n", "3"),
            ("INSERT INTO sharing.other VALUES (FOUND_ROWS()); SELECT MAX(id) FROM sharing.other", "2"),
        ):
            one.do("SELECT id FROM sharing.plain LIMIT 2")
            other.do("SELECT id FROM sharing.plain LIMIT 1")
            assert one.ask(ask) == expected
        assert pin(over_mariadb, one) == "FOUND_ROWS()"  # among several statements: it may be about one of these
    over_mariadb.wait_until_quiet()
    with through(over_mariadb) as one, through(over_mariadb) as other:
        statement = one.prepared("SELECT FOUND_ROWS()")
        one.do("SELECT id FROM sharing.plain LIMIT 2")
        other.do("SELECT id FROM sharing.plain LIMIT 1")
        assert one.executed(statement)[0].rows == [binary_row(2)]
        one.do("SELECT SQL_CALC_FOUND_ROWS id FROM sharing.plain LIMIT 1")
        assert pin(over_mariadb, one) == "SQL_CALC_FOUND_ROWS"
        assert one.executed(statement)[0].rows == [binary_row(3)]
        assert pin(over_mariadb, one) == ""


def test_what_is_random_or_counted_is_one_s_own(mariadb: MariaDBServer, over_mariadb: MysqlGateway) -> None:
    with direct(mariadb) as alone:
        alone.do("SET rand_seed1 = 5, rand_seed2 = 7")
        expected = [alone.ask("SELECT RAND()"), alone.ask("SELECT RAND()")]
    with through(over_mariadb) as one:
        one.do("SET rand_seed1 = 5, rand_seed2 = 7")
        assert pin(over_mariadb, one) == "SET"
        assert [one.ask("SELECT RAND()"), one.ask("SELECT RAND()")] == expected
    over_mariadb.wait_until_quiet()
    with through(over_mariadb) as one, through(over_mariadb) as other:
        number = one.ask("SELECT NEXTVAL(sharing.counter)")
        assert pin(over_mariadb, one) == "NEXTVAL()"
        assert one.ask("SELECT LASTVAL(sharing.counter)") == number
        assert pin(over_mariadb, one) == "LASTVAL()"
        one.answer(COM_RESET_CONNECTION)
        one.ask("SELECT NEXTVAL(sharing.counter)")
        one.do("SELECT 1")
        assert pin(over_mariadb, one) == ""
        assert int(other.ask("SELECT NEXTVAL(sharing.counter)") or 0) > int(number or 0)


def test_a_connection_s_own_id_is_not_written_into_definitions(
    mariadb: MariaDBServer, over_mariadb: MysqlGateway
) -> None:
    with through(over_mariadb) as wire:
        wire.do(
            "CREATE OR REPLACE FUNCTION own_id() RETURNS BIGINT RETURN CONNECTION_ID()",
            "CREATE OR REPLACE VIEW own_ids AS SELECT CONNECTION_ID() AS id",
        )
        wire.executed(wire.prepared("CREATE OR REPLACE VIEW prepared_ids AS SELECT CONNECTION_ID() AS id"))
        assert wire.ask("SELECT CONNECTION_ID()") == wire.ask("SELECT CONNECTION_ID() + 0") == str(wire.id)
    with direct(mariadb) as alone:
        for ask in ("SELECT own_id()", "SELECT id FROM own_ids", "SELECT id FROM prepared_ids"):
            assert alone.ask(ask) == str(alone.id)


def test_what_failed_with_autocommit_off_keeps_its_locks_to_itself(
    mariadb: MariaDBServer, over_mariadb: MysqlGateway
) -> None:
    """The server's flags say nothing of it, but the row stays locked until ROLLBACK."""
    for ending in ("ROLLBACK", "COMMIT", "SET autocommit = 1", "BEGIN; COMMIT"):
        with through(over_mariadb) as wire:
            wire.do("SET autocommit = 0")
            assert wire.query("INSERT INTO sharing.plain VALUES (1, 'there already')")[0].errno == 1062
            assert pin(over_mariadb, wire) == "transaction"
            wire.do("SELECT 1")
            assert pin(over_mariadb, wire) == "transaction"
            wire.do(ending)
            assert pin(over_mariadb, wire) == ""
            with direct(mariadb) as alone:
                alone.do("SELECT * FROM sharing.plain WHERE id = 1 FOR UPDATE NOWAIT")
