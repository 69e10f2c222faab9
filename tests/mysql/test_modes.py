"""How connections are shared: pool.mode, pool.user_variables, several kinds of clients in a small pool."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import pytest

from mysql_gateway import MysqlGateway
from mysql_servers import DatabaseServer, MariaDBServer, MySQL8Server
from mysql_wire import BASIC, MODERN, LoginRefused, Wire
from protocols.mysql import constants as c
from servers import LOOPBACK, wait_until

UPSTREAM: Final = {"user": "app", "password": "s3cret"}
MIXED: Final = (BASIC, MODERN, BASIC | c.CLIENT_FOUND_ROWS, MODERN | c.CLIENT_FOUND_ROWS, BASIC | c.CLIENT_IGNORE_SPACE)


@contextmanager
def gateway_over(
    server: DatabaseServer, *, clients: list[dict[str, str]] | None = None, **pool: Any
) -> Iterator[MysqlGateway]:
    """A small pool."""
    pool = {"max_connections": 1, "wait_timeout": "5s", **pool}
    service: dict[str, Any] = {"clients": clients} if clients else {}
    with MysqlGateway([server.address], upstream=UPSTREAM, pool=pool, **service) as gateway:
        yield gateway


def connect(gateway: MysqlGateway, capabilities: int = BASIC, **options: Any) -> Wire:
    return Wire((LOOPBACK, gateway.port), schema="test", capabilities=capabilities, **options)


def pin(gateway: MysqlGateway, wire: Wire) -> str:
    """Why a client has a connection of its own; "": it shares."""
    [session] = [one for one in gateway.sessions() if one["connection_id"] == wire.id]
    holds: str = session["holds"]
    return holds.removeprefix("pinned because ").rpartition(" since ")[0]


def test_a_session_keeps_its_connection_in_mode_session(mariadb_server: MariaDBServer) -> None:
    with gateway_over(mariadb_server, mode="session", max_connections=2) as gateway:
        with connect(gateway) as one, connect(gateway) as other:
            for name, wire in (("one", one), ("other", other)):
                wire.do(f"SET @own = '{name}'", "CREATE TEMPORARY TABLE own (id INT)")
                assert pin(gateway, wire) == "user variable"
            assert (one.ask("SELECT @own"), other.ask("SELECT @own")) == ("one", "other")
            with connect(gateway) as third:
                assert third.answer(c.COM_PING).error is None  # it has asked for nothing yet
        gateway.wait_until_quiet()
        with connect(gateway) as behind:
            assert behind.ask("SELECT @own") is None
            assert pin(gateway, behind) == "pool.mode session"
            assert behind.answer(c.COM_RESET_CONNECTION).error is None
            assert behind.ask("SELECT @own") is None


def test_nothing_outlives_its_statement_in_mode_statement(mariadb_server: MariaDBServer) -> None:
    with gateway_over(mariadb_server, mode="statement") as gateway:
        with connect(gateway) as one, connect(gateway) as other:
            for sql in (
                "BEGIN", "START TRANSACTION", "SET autocommit = 0", "CREATE TEMPORARY TABLE own (id INT)",
                "LOCK TABLES t READ", "SET @own = 1", "SELECT GET_LOCK('own', 0)", "PREPARE own FROM 'SELECT 1'",
                "XA START 'own'", "SELECT 1; BEGIN",
            ):  # fmt: skip
                [result] = one.query(sql)
                assert result.errno == 1235 and "pool.mode statement" in (result.error or ("", "", ""))[2], sql
                assert other.ask("SELECT @@in_transaction") == "0"
            one.do("SET time_zone = '+03:00'")
            assert other.ask("SELECT @@time_zone") == "SYSTEM"
            assert one.ask("SELECT @@time_zone") == "+03:00"
            assert one.executed(one.prepared("SELECT 1"))[0].error is None
            refused = one.run(one.prepare("SET autocommit = 0"))
            assert one.executed(refused)[0].errno == 1235


@pytest.mark.parametrize("which", ["mariadb", "mysql8"])
def test_user_variables_are_replayed(which: str, request: pytest.FixtureRequest) -> None:
    server: DatabaseServer = request.getfixturevalue(f"{which}_server")
    with gateway_over(server, user_variables="replay") as gateway:
        with connect(gateway) as one, connect(gateway) as other:
            one.do("SET @own = 'one''s', @two = 2")
            assert pin(gateway, one) == ""
            other.do("SET @own = 'other'")
            for _ in range(3):
                assert one.query("SELECT @own, @two")[0].rows == [(b"one's", b"2")]
                assert other.query("SELECT @own, @two")[0].rows == [(b"other", None)]
            one.do("SET @own = NULL")
            assert one.query("SELECT @own, @two")[0].rows == [(None, b"2")]
            one.do("SELECT 5 INTO @own")  # not by a literal: it pins
            assert pin(gateway, one) == "user variable"
        gateway.wait_until_quiet()
        with connect(gateway) as behind:
            assert behind.query("SELECT @own, @two")[0].rows == [(None, None)]


@pytest.mark.parametrize("connections", [1, 2])
def test_clients_of_many_kinds_share_few_connections(mariadb_server: MariaDBServer, connections: int) -> None:
    """Nobody starves: the oldest idle connection of another kind makes room."""
    with gateway_over(mariadb_server, max_connections=connections) as gateway:
        wrong: list[object] = []

        def talk(number: int) -> None:
            with connect(gateway, MIXED[number % len(MIXED)]) as wire:
                for n in range(15):
                    [result] = wire.query(f"SELECT '{number}-{n}'")
                    if result.error or result.value != f"{number}-{n}":
                        wrong.append(result)

        talkers = [threading.Thread(target=talk, args=(number,)) for number in range(15)]
        for talker in talkers:
            talker.start()
        for talker in talkers:
            talker.join(30)
        assert wrong == []
        gateway.wait_until_quiet()
        assert gateway.leases()["idle"] <= connections


def test_affected_rows_are_counted_as_the_client_asked(mariadb_server: MariaDBServer) -> None:
    """CLIENT_FOUND_ROWS is fixed at the handshake: such clients never share with others."""
    mariadb_server.execute("CREATE TABLE IF NOT EXISTS test.counted (id INT)")
    mariadb_server.execute("INSERT INTO test.counted VALUES (1)")
    with gateway_over(mariadb_server) as gateway:
        with connect(gateway) as changed, connect(gateway, BASIC | c.CLIENT_FOUND_ROWS) as found:
            for _ in range(3):
                assert changed.query("UPDATE counted SET id = 1")[0].affected == 0
                assert found.query("UPDATE counted SET id = 1")[0].affected >= 1


def test_multi_statements_are_as_each_client_has_them(mariadb_server: MariaDBServer) -> None:
    with gateway_over(mariadb_server) as gateway:
        with connect(gateway, BASIC & ~c.CLIENT_MULTI_STATEMENTS) as one, connect(gateway) as other:
            for _ in range(2):
                assert one.query("SELECT 1; SELECT 2")[0].errno == 1064
                assert [result.value for result in other.query("SELECT 1; SELECT 2")] == ["1", "2"]
            assert other.answer(c.COM_SET_OPTION, b"\1\0").error is None
            assert other.query("SELECT 1; SELECT 2")[0].errno == 1064
            assert one.answer(c.COM_SET_OPTION, b"\0\0").error is None
            assert [result.value for result in one.query("SELECT 1; SELECT 2")] == ["1", "2"]


def test_connection_ids_are_one_s_own_wherever_they_are_used(mariadb_server: MariaDBServer) -> None:
    with gateway_over(mariadb_server, max_connections=2) as gateway:
        with connect(gateway) as one, connect(gateway) as other:
            assert one.id != other.id
            for wire in (one, other):
                assert wire.ask("SELECT CONNECTION_ID()") == wire.ask("SELECT connection_id() AS id") == str(wire.id)
            threading.Timer(0.3, lambda: other.do(f"KILL QUERY {one.id}")).start()
            [result] = one.query("SELECT SLEEP(20)")
            assert result.errno == 1317 or result.value == "1"
            assert one.ask("SELECT 'still here'") == "still here"
            assert other.query("KILL 1073999999")[0].errno == 1094
            other.do(f"KILL {one.id}")
            assert one.is_closed()
            assert other.answer(c.COM_PROCESS_KILL, (1 << 30).to_bytes(4, "little")).errno == 1094
    with gateway_over(mariadb_server, clients=[{"user": name, "password": name} for name in "ab"]) as gateway:
        with connect(gateway, user="a", password="a") as one, connect(gateway, user="b", password="b") as other:
            assert other.query(f"KILL {one.id}")[0].errno == 1095
            assert one.ask("SELECT 1") == "1"


def test_a_change_of_user_is_a_fresh_session(mariadb_server: MariaDBServer) -> None:
    clients = [{"user": "a", "password": "first"}, {"user": "b", "password": "second"}]
    with gateway_over(mariadb_server, clients=clients) as gateway:
        with (
            connect(gateway, user="a", password="first") as wire,
            connect(gateway, user="b", password="second") as other,
        ):
            wire.do("SET @own = 1", "SET time_zone = '+03:00'", "BEGIN", "CREATE TEMPORARY TABLE own (id INT)")
            assert wire.run(wire.change_user("b", "second", "mysql")).error is None
            assert pin(gateway, wire) == ""
            assert other.query("SELECT @own, @@time_zone, DATABASE()")[0].rows == [(None, b"SYSTEM", b"test")]
            assert wire.query("SELECT @own, @@time_zone, DATABASE()")[0].rows == [(None, b"SYSTEM", b"mysql")]
            assert [session["user"] for session in gateway.sessions()] == ["b", "b"]
            wire.do("BEGIN")
            assert wire.run(wire.change_user("a", "wrong")).errno == 1045
            assert wire.is_closed()
            assert other.ask("SELECT @@in_transaction") == "0"  # there is one connection: it is free and clean


def test_a_session_that_waits_too_long_is_told_what_it_waited_for(mariadb_server: MariaDBServer) -> None:
    with gateway_over(mariadb_server, wait_timeout="200ms") as gateway:
        with connect(gateway) as one, connect(gateway) as other:
            one.do("BEGIN")
            [result] = other.query("SELECT 1")
            assert result.errno == 1040 and "max_connections 1" in (result.error or ("", "", ""))[2]
            one.do("COMMIT")
            assert other.ask("SELECT 1") == "1"


def test_a_hundred_sessions_cost_no_connection(mariadb_server: MariaDBServer) -> None:
    with gateway_over(mariadb_server) as gateway, ExitStack() as closing:
        wires = [closing.enter_context(connect(gateway)) for _ in range(100)]
        for wire in wires:
            wire.do("SET NAMES latin1", f"SET time_zone = '+0{wire.id % 10}:00'")
        for wire in wires:
            assert wire.ask("SELECT @@time_zone") == f"+0{wire.id % 10}:00"
        assert gateway.leases()["opened"] <= 2


def test_a_schema_that_is_not_there(mariadb_server: MariaDBServer, mysql8_server: MySQL8Server) -> None:
    for server in (mariadb_server, mysql8_server):
        with gateway_over(server) as gateway:
            with pytest.raises(LoginRefused) as refused:
                Wire((LOOPBACK, gateway.port), schema="missing")
            assert refused.value.args[0] == 1049
            with connect(gateway) as wire:
                assert wire.query("USE missing")[0].errno == 1049
                assert wire.answer(c.COM_INIT_DB, b"missing").errno == 1049
                assert wire.ask("SELECT DATABASE()") == "test"


def test_a_schema_that_goes_away(mariadb_server: MariaDBServer) -> None:
    """The session that is in it is told; those that share its connection are not concerned."""
    mariadb_server.execute("CREATE DATABASE fleeting")
    with gateway_over(mariadb_server) as gateway:
        with Wire((LOOPBACK, gateway.port), schema="fleeting") as one, connect(gateway) as other:
            assert one.ask("SELECT DATABASE()") == "fleeting"
            mariadb_server.execute("DROP DATABASE fleeting")
            assert other.ask("SELECT DATABASE()") == "test"
            [result] = one.query("SELECT DATABASE()")
            assert result.error is not None or result.value in (None, "fleeting")
            assert other.ask("SELECT DATABASE()") == "test"
            one.do("USE test")
            assert one.ask("SELECT DATABASE()") == "test"
        wait_until(lambda: not gateway.sessions(), "no sessions")


def test_several_statements_that_change_the_schema(mysql8_server: MySQL8Server) -> None:
    """Without trackers nobody tells which one it is now."""
    mysql8_server.execute("CREATE DATABASE IF NOT EXISTS elsewhere")
    with gateway_over(mysql8_server) as gateway:
        with connect(gateway) as one:
            one.do("USE elsewhere; SELECT 1")
            assert one.ask("SELECT DATABASE()") == "elsewhere"
        gateway.wait_until_quiet()
        with connect(gateway) as other:
            assert other.ask("SELECT DATABASE()") == "test"
