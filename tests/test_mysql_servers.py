"""The database servers that other tests stand on."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from pymysql.cursors import Cursor

from mysql_servers import DatabaseServer, MariaDBServer, MySQL8Server
from servers import LOOPBACK, Certificates, wait_until


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=[MariaDBServer, MySQL8Server], ids=["MariaDB", "MySQL 8"])
def server(request: pytest.FixtureRequest, tls: Certificates) -> Iterator[DatabaseServer]:
    made: DatabaseServer = request.param(password="r00t", users={"app": "s3cret"}, tls=tls)
    with made:
        yield made


def answer(connection: pymysql.Connection[Cursor], sql: str) -> object:
    """The first value of a statement; ends the connection."""
    with connection, connection.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
        return row[0] if row else None


def test_it_is_reached_by_port_and_path_with_tls_and_without(server: DatabaseServer, tls: Certificates) -> None:
    app = {"user": "app", "password": "s3cret", "database": "test"}
    assert answer(server.client(**app), "SELECT 1") == 1
    assert answer(server.client(**app, ssl=None, ssl_disabled=True), "SELECT 2") == 2
    assert answer(server.client(**app, unix_socket=str(server.path)), "SELECT 3") == 3
    assert answer(server.client(), "SELECT DATABASE()") is None
    assert server.rss() > 1_000_000
    with pytest.raises(pymysql.OperationalError, match=r"1045.*Access denied"):
        server.client(user="app", password="wrong")
    with pytest.raises(pymysql.OperationalError, match="certificate verify failed"):
        server.client(**app, ssl=ssl.create_default_context(cafile=tls.client))


def test_execute_gives_rows_and_takes_parameters(server: DatabaseServer) -> None:
    assert server.execute("SELECT 1 AS a, %s AS b", ("x",)) == [{"a": 1, "b": "x"}]
    server.execute("CREATE TABLE test.kept (a INT)")
    server.execute("INSERT INTO test.kept VALUES (%s)", (5,))
    assert server.execute("SELECT a FROM test.kept") == [{"a": 5}]


def test_connections_are_seen_and_killed(server: DatabaseServer) -> None:
    with server.client(user="app", password="s3cret", database="test") as app, server.client() as root:
        ids = []
        for connection in (app, root):
            with connection.cursor() as cursor:
                cursor.execute("SELECT CONNECTION_ID()")
                ids += [row[0] for row in cursor.fetchall()]
        wait_until(lambda: server.thread_ids() == ids, "two connections")  # those before left meanwhile
        assert server.thread_ids("app") == ids[:1]
        assert [row["Command"] for row in server.processlist()] == ["Sleep", "Sleep"]
        server.kill_query(ids[0])
        app.ping(reconnect=False)
        server.kill_connection(ids[0])
        wait_until(lambda: server.thread_ids() == ids[1:], "one connection")


def test_it_restarts_at_its_address_and_pauses(server: DatabaseServer) -> None:
    first = server.pid
    server.restart()
    assert server.pid != first
    server.kill()  # SIGKILL
    server.start()
    server.pause()
    with pytest.raises(pymysql.OperationalError):
        server.client(ssl=None, ssl_disabled=True, read_timeout=0.05)
    server.resume()
    assert answer(server.client(), "SELECT 1") == 1


def test_mariadb_keeps_its_data_and_its_users_over_a_kill() -> None:
    with MariaDBServer(users={"app": "s3cret"}) as mariadb:
        mariadb.execute("CREATE TABLE test.kept (a INT)")
        mariadb.execute("INSERT INTO test.kept VALUES (1)")
        mariadb.kill()
        mariadb.start()
        assert answer(mariadb.client(user="app", password="s3cret"), "SELECT a FROM test.kept") == 1
        assert mariadb.stop() == 0


def test_mariadb_switches_to_ed25519() -> None:
    with MariaDBServer(ed25519_users={"edna": "s3cret"}) as mariadb:
        assert answer(mariadb.client(user="edna", password="s3cret"), "SELECT 1") == 1
        assert mariadb.execute("SELECT plugin FROM mysql.user WHERE user = 'edna'") == [{"plugin": "ed25519"}]


def test_mariadb_takes_options(tls: Certificates) -> None:
    options = {"max-connections": "10", "require-secure-transport": "ON", "sql-mode": "ANSI_QUOTES"}
    with MariaDBServer(tls=tls, options=options) as mariadb:
        assert answer(mariadb.client(), "SELECT @@sql_mode") == "ANSI_QUOTES"
        with pytest.raises(pymysql.OperationalError, match=r"1045|3159"):
            mariadb.client(ssl=None, ssl_disabled=True)
        assert mariadb.execute("SELECT @@max_connections AS n") == [{"n": 10}]


def test_a_failed_start_shows_the_log() -> None:
    mariadb = MariaDBServer(options={"no-such-option": "1"})
    with pytest.raises(ChildProcessError) as failed:
        mariadb.start()
    assert "no-such-option" in failed.value.__notes__[0]
    mariadb.remove()


class Recorded(pymysql.Connection):
    """Remembers the packets that it sends to log in, without those of TLS and the first, which says who it is."""

    def __init__(self, **options: Any) -> None:
        self.packets: list[bytes] = []
        super().__init__(**options)

    def write_packet(self, payload: bytes) -> None:
        self.packets.append(payload)
        super().write_packet(payload)

    def answers(self) -> list[bytes]:
        with self:
            first = next(i for i, packet in enumerate(self.packets) if b"app" in packet)
            return self.packets[first + 1 :]


def test_mysql8_logs_in_in_full_by_each_way_and_then_fast(tls: Certificates) -> None:
    app = {"user": "app", "password": "s3cret"}
    with MySQL8Server(users={"app": "s3cret"}, tls=tls) as mysql8:
        tcp = {"host": LOOPBACK, "port": mysql8.port}
        secure, plain = {"ssl": ssl.create_default_context(cafile=tls.ca)}, {"ssl_disabled": True}
        asked, encrypted = Recorded(**app, **tcp, **plain).answers()
        assert (asked, len(encrypted)) == (b"\x02", 256)
        for way in (tcp | plain, tcp | secure, plain | {"unix_socket": str(mysql8.path)}):
            assert Recorded(**app, **way).answers() == []
            mysql8.restart()
            assert len(Recorded(**app, **way).answers()) in (1, 2)
            with pytest.raises(pymysql.OperationalError, match="1045"):
                Recorded(**app | {"password": "wrong"}, **way)
        mysql8.restart()
        assert Recorded(**app, **tcp, **secure).answers() == [b"s3cret\0"]


def test_mysql8_switches_to_native_passwords_and_takes_none_at_all() -> None:
    with MySQL8Server(native_users={"app": "s3cret"}, users={"": "", "open": ""}) as mysql8:
        (scrambled,) = Recorded(user="app", password="s3cret", host=LOOPBACK, port=mysql8.port).answers()
        assert len(scrambled) == 20
        assert answer(mysql8.client(user="open"), "SELECT 1") == 1
        with pytest.raises(pymysql.OperationalError, match="1045"):
            mysql8.client(user="nobody")


def test_mysql8_talks_sql(mysql8_server: MySQL8Server) -> None:
    with mysql8_server.client(database="test") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT VERSION(), @@transaction_isolation")
        assert cursor.fetchone() == ("8.0.31", "REPEATABLE-READ")
        assert connection.get_autocommit() is False  # PyMySQL said so
        cursor.execute("CREATE TABLE talk (id INT AUTO_INCREMENT PRIMARY KEY, word VARCHAR(20))")
        cursor.execute("INSERT INTO talk (word) VALUES ('a'), ('b')")
        assert cursor.lastrowid == 1
        connection.commit()
        cursor.execute("INSERT INTO talk (word) VALUES ('c')")
        connection.rollback()
        cursor.execute("SELECT word FROM talk")
        assert cursor.fetchall() == (("a",), ("b",))
        cursor.execute("DROP TABLE talk")


def test_servers_for_the_session_are_there(mariadb_server: MariaDBServer, mysql8_server: MySQL8Server) -> None:
    for server in (mariadb_server, mysql8_server):
        assert answer(server.client(user="app", password="s3cret", database="test"), "SELECT 1") == 1
    assert mariadb_server.address != mysql8_server.address
