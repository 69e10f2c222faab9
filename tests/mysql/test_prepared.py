"""Prepared statements through the gateway: they follow their client from connection to connection."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import pytest

from mysql_gateway import MysqlGateway
from mysql_servers import MariaDBServer
from mysql_wire import BASIC, MODERN, Prepared, Result, Wire, binary_row
from protocols.mysql import constants as c
from servers import LOOPBACK

UPSTREAM: Final = {"user": "app", "password": "s3cret"}


@pytest.fixture(scope="module")
def server(mariadb_server: MariaDBServer) -> MariaDBServer:
    for sql in ("prepared", "prepared_other"):
        mariadb_server.execute(f"CREATE DATABASE IF NOT EXISTS {sql}")
        mariadb_server.execute(f"CREATE TABLE IF NOT EXISTS {sql}.t (id INT PRIMARY KEY, name VARCHAR(20))")
        mariadb_server.execute(f"REPLACE INTO {sql}.t VALUES (1, 'one'), (2, 'two'), (3, 'three'), (4, '{sql}')")
    mariadb_server.execute(
        "CREATE OR REPLACE PROCEDURE prepared.results(n INT) BEGIN SELECT n; SELECT name FROM prepared.t; END"
    )
    return mariadb_server


@pytest.fixture(scope="module")
def gateway(server: MariaDBServer) -> Iterator[MysqlGateway]:
    """One connection for everybody, which keeps few statements."""
    pool = {"max_connections": 1, "statements": 2, "wait_timeout": "5s"}
    with MysqlGateway([server.address], upstream=UPSTREAM, pool=pool) as gateway:
        yield gateway


def connect(gateway: MysqlGateway, capabilities: int = BASIC, schema: str = "prepared") -> Wire:
    return Wire((LOOPBACK, gateway.port), schema=schema, capabilities=capabilities)


def counted(server: MariaDBServer, name: str) -> int:
    """A counter of the server's."""
    [row] = server.execute(f"SHOW GLOBAL STATUS LIKE '{name}'")
    return int(row["Value"])


def test_equal_texts_of_different_clients_are_prepared_once(server: MariaDBServer, gateway: MysqlGateway) -> None:
    with connect(gateway) as one, connect(gateway) as other:
        first = one.prepared("SELECT name FROM t WHERE id = ?")
        before = counted(server, "Com_stmt_prepare")
        second = other.prepared("SELECT name FROM t WHERE id = ?")
        one_more = counted(server, "Com_stmt_prepare") - before
        for _ in range(5):
            assert one.executed(first, 1)[0].rows == [binary_row("one")]
            assert other.executed(second, 2)[0].rows == [binary_row("two")]
        assert counted(server, "Com_stmt_prepare") - before == one_more <= 1


def test_the_least_recently_used_are_closed_and_come_back(server: MariaDBServer, gateway: MysqlGateway) -> None:
    with connect(gateway) as wire:
        statements = [wire.prepared(f"SELECT ? + {n} AS a") for n in range(6)]
        before = counted(server, "Prepared_stmt_count")
        for _ in range(3):
            for n, statement in enumerate(statements):
                assert wire.executed(statement, "1")[0].rows[0].endswith(struct.pack("<d", n + 1.0))
        assert counted(server, "Prepared_stmt_count") <= max(before, 3)


def test_types_of_parameters_are_told_again_where_others_told_theirs(gateway: MysqlGateway) -> None:
    """A client sends them once; on its connection somebody else executes the same text with other types."""
    with connect(gateway) as one, connect(gateway) as other:
        first, second = one.prepared("SELECT CONCAT(?, '')"), other.prepared("SELECT CONCAT(?, '')")
        assert one.executed(first, 7)[0].rows == [binary_row("7")]
        for _ in range(3):
            assert other.executed(second, "a text")[0].rows == [binary_row("a text")]
            assert one.executed(first, 12, types=False)[0].rows == [binary_row("12")]


def test_a_statement_keeps_to_the_schema_that_it_was_prepared_in(server: MariaDBServer, gateway: MysqlGateway) -> None:
    with connect(gateway) as one, connect(gateway) as other:
        statement = one.prepared("SELECT name FROM t WHERE id = 4")
        one.do("USE prepared_other")
        for n in range(3):  # the statement does not stay on the connection
            other.executed(other.prepared(f"SELECT {n}"))
        before = counted(server, "Com_change_db")
        assert one.executed(statement)[0].rows == [binary_row("prepared")]
        assert counted(server, "Com_change_db") - before == 3  # of the session, to prepare it, and back
        assert one.ask("SELECT DATABASE()") == one.ask("SELECT name FROM t WHERE id = 4") == "prepared_other"
        # MariaDB reports a change of state behind it; whatever it was, the next client has its own schema.
    gateway.wait_until_quiet()
    with connect(gateway) as behind:
        assert behind.ask("SELECT DATABASE()") == "prepared"


def test_long_data_goes_with_its_execution_only(gateway: MysqlGateway) -> None:
    with connect(gateway) as one, connect(gateway) as other:
        first, second = one.prepared("SELECT LENGTH(?), MD5(?)"), other.prepared("SELECT LENGTH(?), MD5(?)")
        long = b"x" * 300_000
        for n in range(10):
            one.tell(c.COM_STMT_SEND_LONG_DATA, struct.pack("<IH", first.id, 0) + long)
            if n % 3 == 0:
                assert other.executed(second, "a", "b")[0].error is None
        one.tell(c.COM_STMT_SEND_LONG_DATA, struct.pack("<IH", first.id, 1) + b"b")
        [result] = one.executed(first, b"", b"", long=True)
        assert result.rows[0][2:6] == struct.pack("<I", 3_000_000)
        [result] = one.executed(first, "abc", "b")
        assert result.rows[0][2:6] == struct.pack("<I", 3)
        one.tell(c.COM_STMT_SEND_LONG_DATA, struct.pack("<IH", first.id, 0) + long)
        assert one.answer(c.COM_STMT_RESET, struct.pack("<I", first.id)).error is None
        assert one.executed(first, "abc", "b")[0].rows == [result.rows[0]]


@pytest.mark.parametrize("capabilities", [BASIC, MODERN], ids=["basic", "modern"])
def test_a_cursor_holds_its_connection_until_its_last_row(gateway: MysqlGateway, capabilities: int) -> None:
    with connect(gateway, capabilities) as wire:
        statement = wire.prepared("SELECT id FROM t ORDER BY id")
        [opened] = wire.executed(statement, cursor=True)
        assert opened.status & c.SERVER_STATUS_CURSOR_EXISTS and not opened.rows
        assert gateway.leases()["leased"] == 1
        found: list[bytes] = []
        while True:
            part: Result = wire.run(wire.fetch(statement, 3))
            assert part.error is None
            found += part.rows
            if part.status & c.SERVER_STATUS_LAST_ROW_SENT:
                break
        assert found == [b"\0\0" + struct.pack("<I", n) for n in (1, 2, 3, 4)]
        gateway.wait_until_free()
        wire.executed(statement, cursor=True)
        assert wire.answer(c.COM_STMT_RESET, struct.pack("<I", statement.id)).error is None
        gateway.wait_until_free()
        wire.executed(statement, cursor=True)
        wire.tell(c.COM_STMT_CLOSE, struct.pack("<I", statement.id))
        assert wire.ask("SELECT 1") == "1"
        gateway.wait_until_free()


def test_two_cursors_of_one_text(gateway: MysqlGateway) -> None:
    with connect(gateway) as wire:
        one, other = wire.prepared("SELECT id FROM t ORDER BY id"), wire.prepared("SELECT id FROM t ORDER BY id")
        wire.executed(one, cursor=True)
        assert len(wire.run(wire.fetch(one, 1)).rows) == 1
        wire.executed(other, cursor=True)
        for statement, first in ((one, 2), (other, 1), (one, 3), (other, 2)):
            assert wire.run(wire.fetch(statement, 1)).rows == [b"\0\0" + struct.pack("<I", first)]
    gateway.wait_until_quiet()


def test_a_cursor_outlives_a_change_of_settings(gateway: MysqlGateway) -> None:
    with connect(gateway) as wire:
        statement = wire.prepared("SELECT id FROM t ORDER BY id")
        wire.executed(statement, cursor=True)
        wire.do("SET sql_mode = 'ANSI_QUOTES'", "SET NAMES latin1", "USE prepared_other")
        assert wire.run(wire.fetch(statement, 2)).rows == [b"\0\0" + struct.pack("<I", n) for n in (1, 2)]
    gateway.wait_until_quiet()


def test_several_results_of_one_execution(gateway: MysqlGateway) -> None:
    with connect(gateway) as wire:
        statement = wire.prepared("CALL results(?)")
        for _ in range(2):
            results = wire.executed(statement, 5)
            assert [len(result.rows) for result in results] == [1, 4, 0]


def test_ids_stay_whatever_happens_to_the_connection(server: MariaDBServer, gateway: MysqlGateway) -> None:
    with connect(gateway) as wire:
        statement = wire.prepared("SELECT ? AS a")
        assert wire.executed(statement, "x")[0].rows == [binary_row("x")]
        for number in server.thread_ids("app"):
            server.kill_connection(number)
        [result] = wire.executed(statement, "y")
        while result.error is not None:  # the gateway may hear of the loss by the execution itself
            assert result.errno in (2003, 2013)
            [result] = wire.executed(statement, "y")
        assert result.rows == [binary_row("y")]


def test_a_table_that_changes_under_a_statement(server: MariaDBServer, gateway: MysqlGateway) -> None:
    server.execute("CREATE OR REPLACE TABLE prepared.changing (a INT)")
    server.execute("INSERT INTO prepared.changing VALUES (1)")
    with connect(gateway) as wire:
        statement = wire.prepared("SELECT * FROM changing")
        assert len(wire.executed(statement)[0].columns) == 1
        server.execute("ALTER TABLE prepared.changing ADD b INT")
        [result] = wire.executed(statement)
        assert len(result.columns) == 2 and result.error is None
        server.execute("DROP TABLE prepared.changing")
        assert wire.executed(statement)[0].errno == 1146


def test_what_cannot_be_prepared(gateway: MysqlGateway) -> None:
    with connect(gateway) as wire:
        refused = wire.run(wire.prepare("SELECT * FROM missing"))
        assert isinstance(refused, Result) and refused.errno == 1146
        assert wire.executed(Prepared(99, 0, [], 0))[0].errno == 1243
        statement = wire.prepared("SELECT 1")
        wire.answer(c.COM_RESET_CONNECTION)
        assert wire.executed(statement)[0].errno == 1243
        assert wire.ask("SELECT 1") == "1"
