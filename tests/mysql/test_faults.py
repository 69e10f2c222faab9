"""Broken input, and an upstream that fails: clear errors, no hang, no wrong data, and nobody else notices."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from mysql_gateway import MysqlGateway
from mysql_servers import MariaDBServer
from mysql_wire import Wire
from protocols.mysql import constants as c
from protocols.mysql.packets import command, packet
from servers import LOOPBACK, free_port, wait_until

UPSTREAM: Final = {"user": "app", "password": "s3cret"}
SLOW: Final = "SELECT SLEEP(30)"


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDBServer]:
    """One that these tests may end, users of the gateway's alone."""
    with MariaDBServer(users={"app": "s3cret"}) as mariadb:
        mariadb.execute("CREATE TABLE test.kept (id INT PRIMARY KEY) ENGINE=InnoDB")
        yield mariadb


@pytest.fixture(scope="module")
def gateway(server: MariaDBServer) -> Iterator[MysqlGateway]:
    clients = [{"user": "web", "password": "webpw"}]
    limits = {"login_timeout": "1s"}
    pool = {"max_connections": 3, "backoff_max": "100ms"}
    with MysqlGateway([server.address], upstream=UPSTREAM, clients=clients, limits=limits, pool=pool) as running:
        running.wait_until_up()
        yield running


def wire(gateway: MysqlGateway, *, login: bool = True, password: str = "webpw", schema: str = "") -> Wire:
    return Wire((LOOPBACK, gateway.port), user="web", password=password, login=login, schema=schema)


def running(server: MariaDBServer, text: str) -> list[dict[str, Any]]:
    """Threads of the gateway that execute this."""
    return [one for one in server.processlist() if one["User"] == "app" and text in (one["Info"] or "")]


# What clients do wrong

BROKEN: Final[dict[str, bytes]] = {
    "a sequence that does not begin with 0": packet(b"\x03SELECT 1", 3),
    "an empty command": b"\0\0\0\0",
    "an execution that is cut short": command(c.COM_STMT_EXECUTE, b"\1"),
    "long data that is cut short": command(c.COM_STMT_SEND_LONG_DATA, b"\1"),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_broken_command_ends_its_own_connection_only(gateway: MysqlGateway, data: bytes) -> None:
    with wire(gateway) as witness, wire(gateway) as client:
        witness.do("BEGIN")
        client.send(data)
        assert client.packet()[0] == c.ERR_PACKET
        assert client.is_closed()
        assert witness.ask("SELECT 1") == "1"
        witness.do("COMMIT")


@pytest.mark.parametrize("word", [0x20, 0x7F, 0xFF, c.COM_SLEEP, c.COM_TIME, c.COM_DAEMON])
def test_an_unknown_command_is_refused_and_the_connection_stays(gateway: MysqlGateway, word: int) -> None:
    with wire(gateway) as client:
        assert client.answer(word, b"whatever").errno == 1047
        assert client.ask("SELECT 1") == "1"


@pytest.mark.parametrize("word", [c.COM_BINLOG_DUMP, c.COM_REGISTER_SLAVE, c.COM_TABLE_DUMP, c.COM_SHUTDOWN])
def test_what_no_client_may_do(gateway: MysqlGateway, word: int) -> None:
    with wire(gateway) as client:
        assert client.answer(word, bytes(20)).errno == 1227
        assert client.ask("SELECT 1") == "1"


HANDSHAKES: Final[dict[str, bytes]] = {
    "garbage": packet(b"\xff" * 40, 1),
    "nothing in it": packet(b"", 1),
    "cut short": packet(b"\x8d\xa6\x0f\0\0\0\0\x01\x21" + bytes(23) + b"web", 1),
    "the wrong sequence": packet(b"\x8d\xa6\x0f\0\0\0\0\x01\x21" + bytes(23) + b"web\0\0", 7),
    "a length that is a lie": packet(b"\x8d\xa6\xff\0\0\0\0\x01\x21" + bytes(23) + b"web\0\xfe" + b"\xff" * 8, 1),
    "more than any login is long": (1 << 17).to_bytes(3, "little") + b"\1" + bytes(100),
    "a command": packet(b"\x03DROP TABLE test.kept", 0),
}


@pytest.mark.parametrize("data", HANDSHAKES.values(), ids=HANDSHAKES)
def test_a_broken_login_is_refused_and_nothing_is_executed(gateway: MysqlGateway, data: bytes) -> None:
    before = gateway.stats()["calls"]["ok"]
    with wire(gateway, login=False) as client:
        client.packet()
        client.send(data + command(c.COM_QUERY, b"DROP TABLE test.kept"))
        with pytest.raises((EOFError, ConnectionError)):
            assert client.packet()[0] == c.ERR_PACKET
            client.packet()
    with wire(gateway) as witness:
        assert witness.ask("SELECT COUNT(*) FROM test.kept") == "0"
    assert gateway.stats()["calls"]["ok"] >= before


def test_a_wrong_password_is_told_as_the_server_tells_it(gateway: MysqlGateway) -> None:
    with wire(gateway, login=False) as client:
        client.packet()
        client.send(packet(b"\x8d\xa6\x08\0\0\0\0\1\x2d" + bytes(23) + b"web\0\x14" + bytes(20) + b"x\0", 1))
        payload = client.packet()
        while payload[0] == c.AUTH_SWITCH:
            client.socket.sendall(packet(bytes(20), 3))
            client.sequence = 3
            payload = client.packet()
        text = b"Access denied for user 'web'@'127.0.0.1' (using password: YES)"
        assert (payload[0], int.from_bytes(payload[1:3], "little"), payload[3:]) == (0xFF, 1045, b"#28000" + text)
        assert client.is_closed()


def test_changing_to_a_user_with_a_wrong_password_ends_the_session(gateway: MysqlGateway) -> None:
    with wire(gateway) as client:
        client.do("BEGIN", "INSERT INTO test.kept VALUES (77)")
        assert client.run(client.change_user("web", "wrong")).errno == 1045
        assert client.is_closed()
    with wire(gateway) as witness:
        assert witness.ask("SELECT COUNT(*) FROM test.kept WHERE id = 77") == "0"


def test_silence_instead_of_a_login_is_not_borne_for_long(gateway: MysqlGateway) -> None:
    with wire(gateway, login=False) as silent, wire(gateway) as other:
        silent.packet()
        assert silent.is_closed()
        assert other.ask("SELECT 1") == "1"


# What upstreams do


def test_a_server_that_restarts_is_found_again(server: MariaDBServer, gateway: MysqlGateway) -> None:
    with wire(gateway) as shares, wire(gateway) as pinned:
        shares.do("SELECT 1")
        pinned.do("BEGIN", "INSERT INTO test.kept VALUES (1)")
        server.restart()
        with pytest.raises((EOFError, ConnectionError)):  # told 2013, and disconnected
            result = pinned.query("INSERT INTO test.kept VALUES (2)")[-1]
            assert result.errno == 2013
            pinned.query("SELECT 1")
        wait_until(lambda: shares.query("SELECT COUNT(*) FROM test.kept")[-1].error is None, "the server is back")
        assert shares.ask("SELECT COUNT(*) FROM test.kept") == "0"


def test_a_server_that_is_down_is_told_at_once(server: MariaDBServer, gateway: MysqlGateway) -> None:
    with wire(gateway) as client:
        client.do("SELECT 1")
        server.kill()
        wait_until(lambda: gateway.endpoints()[0]["leases"]["idle"] == 0, "the connections are gone")
        result = client.query("SELECT 1")[-1]
        assert result.errno == 2003
        assert result.error is not None and "orders-db" in result.error[2]
        server.start()
        wait_until(lambda: client.query("SELECT 1")[-1].error is None, "the server is back")


@pytest.mark.parametrize("state", ["idle", "in a transaction", "in a query"])
def test_a_connection_that_the_server_kills(server: MariaDBServer, gateway: MysqlGateway, state: str) -> None:
    with wire(gateway) as client:
        client.do("SELECT 1")
        if state == "in a transaction":
            client.do("BEGIN", "INSERT INTO test.kept VALUES (5)")
        if state == "in a query":
            client.send(command(c.COM_QUERY, SLOW.encode()))
            wait_until(lambda: running(server, SLOW) != [], "the query runs")
        for thread in server.thread_ids("app"):
            server.kill_connection(thread)
        wait_until(lambda: gateway.endpoints()[0]["leases"]["leased"] == 0, "the lease is lost")
        if state == "in a query":
            assert int.from_bytes(client.packet()[1:3], "little") == 2013
            assert client.ask("SELECT 1") == "1"
        elif state == "in a transaction":
            with pytest.raises((EOFError, ConnectionError)):
                assert client.query("COMMIT")[-1].errno == 2013
                client.query("SELECT 1")
        else:
            assert client.ask("SELECT 1") == "1"
    with wire(gateway) as witness:
        assert witness.ask("SELECT COUNT(*) FROM test.kept WHERE id = 5") == "0"


def test_a_server_that_ends_in_the_middle_of_a_result(server: MariaDBServer, gateway: MysqlGateway) -> None:
    with wire(gateway) as client, wire(gateway) as other:
        client.send(command(c.COM_QUERY, b"SELECT REPEAT('x', 100000) FROM test.seq_1_to_2000"))
        assert len(client.socket.recv(1 << 16)) > 1000
        server.kill()
        with pytest.raises((EOFError, ConnectionError)):
            while client.socket.recv(1 << 20):
                pass
            raise EOFError
        server.start()
        wait_until(lambda: other.query("SELECT 1")[-1].error is None, "the server is back")


def test_a_server_that_lets_nobody_in(server: MariaDBServer) -> None:
    """Its own words reach the client."""
    server.execute("CREATE OR REPLACE USER single@'%' IDENTIFIED BY 'single' WITH MAX_USER_CONNECTIONS 1")
    with server.client(user="single", password="single"):
        pool = {"max_connections": 2, "wait_timeout": "300ms"}
        with MysqlGateway([server.address], upstream={"user": "single", "password": "single"}, pool=pool) as gateway:
            with Wire((LOOPBACK, gateway.port), login=False) as client:
                payload = client.packet()
    assert payload[0] == c.ERR_PACKET
    assert b"max_user_connections" in payload


def test_a_primary_that_is_read_only(server: MariaDBServer, gateway: MysqlGateway) -> None:
    server.execute("CREATE OR REPLACE USER limited@'%' IDENTIFIED BY 'limited'")
    server.execute("GRANT SELECT, INSERT ON test.* TO limited@'%'")
    server.execute("SET GLOBAL read_only = 1")
    try:
        with MysqlGateway([server.address], upstream={"user": "limited", "password": "limited"}) as limited:
            with Wire((LOOPBACK, limited.port)) as client:
                assert client.query("INSERT INTO test.kept VALUES (9)")[-1].errno == 1290
                assert client.ask("SELECT 1") == "1"
            assert limited.calls("INSERT") == {"retryable": 1}
    finally:
        server.execute("SET GLOBAL read_only = 0")


def test_a_replica_that_is_lost(server: MariaDBServer) -> None:
    """Reads go to the primary instead."""
    lost = {"address": f"{LOOPBACK}:{free_port()}", "role": "replica"}
    with MysqlGateway([server.address, lost], upstream=UPSTREAM, reads="replica") as gateway:
        with Wire((LOOPBACK, gateway.port)) as client:
            wait_until(lambda: client.query("SELECT 1")[-1].error is None, "the primary answers")


# Queries that nobody waits for any more


def ends_upstream(server: MariaDBServer, gateway: MysqlGateway) -> None:
    wait_until(lambda: running(server, SLOW) == [], "the query ended", timeout=5.0)
    gateway.wait_until_free()


def vanish(client: Wire) -> None:
    client.vanish()


def leave(client: Wire) -> None:
    client.socket.close()


@pytest.mark.parametrize("end", [vanish, leave])
def test_a_client_that_leaves_ends_its_query(
    server: MariaDBServer, gateway: MysqlGateway, end: Callable[[Wire], None]
) -> None:
    client = wire(gateway)
    client.send(command(c.COM_QUERY, SLOW.encode()))
    wait_until(lambda: running(server, SLOW) != [], "the query runs")
    end(client)
    ends_upstream(server, gateway)
    with wire(gateway) as witness:
        assert witness.ask("SELECT 1") == "1"


@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_timeout_ends_the_query_and_leaves_the_session(server: MariaDBServer, in_transaction: bool) -> None:
    policies = [{"timeout": "300ms"}, {"concurrency": 10}]
    pool = {"max_connections": 1}
    with MysqlGateway([server.address], upstream=UPSTREAM, policies=policies, pool=pool) as gateway:
        with Wire((LOOPBACK, gateway.port)) as client:
            client.do("SELECT 1")
            if in_transaction:
                client.do("BEGIN", "INSERT INTO test.kept VALUES (12)")
            result = client.query(SLOW)[-1]
            assert result.errno == 3024
            assert result.error is not None and "(policy timeout)" in result.error[2]
            assert client.ask("SELECT COUNT(*) FROM test.kept WHERE id = 12") == str(int(in_transaction))
            client.do("ROLLBACK")
            assert client.ask("SELECT COUNT(*) FROM test.kept WHERE id = 12") == "0"
        ends_upstream(server, gateway)
        gateway.wait_until_quiet()
        assert gateway.policy("concurrency")["in_flight"] == 0


def test_kill_query_by_another_client_of_the_same_user(server: MariaDBServer, gateway: MysqlGateway) -> None:
    with wire(gateway) as victim, wire(gateway) as killer:
        number = victim.ask("SELECT CONNECTION_ID()")
        victim.send(command(c.COM_QUERY, SLOW.encode()))
        wait_until(lambda: running(server, SLOW) != [], "the query runs")
        thread = threading.Thread(target=lambda: killer.do(f"KILL QUERY {number}"))
        thread.start()
        while victim.packet()[0] not in (c.ERR_PACKET, c.EOF_PACKET):
            pass  # SLEEP that is interrupted returns 1, or the error 1317
        thread.join()
        wait_until(lambda: running(server, SLOW) == [], "the query ended")


def test_a_paused_server_stops_nobody_for_ever(server: MariaDBServer) -> None:
    policies = [{"timeout": "200ms"}]
    pool = {"max_connections": 2, "connect_timeout": "300ms", "stall_timeout": "300ms", "backoff_max": "50ms"}
    with MysqlGateway([server.address], upstream=UPSTREAM, policies=policies, pool=pool) as gateway:
        with Wire((LOOPBACK, gateway.port)) as client:
            client.do("SELECT 1")
            server.pause()
            try:
                assert client.query("SELECT 1")[-1].errno in (3024, 2013, 2003, 1040)
            finally:
                server.resume()
            wait_until(lambda: client.query("SELECT 1")[-1].error is None, "it goes on")
