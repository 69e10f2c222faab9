"""Much data through the gateway: files of the client's, packets above 16 MiB, results of hundreds of megabytes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from hashlib import md5
from typing import Final

import pytest

from mysql_gateway import MysqlGateway
from mysql_servers import MariaDBServer
from mysql_wire import BASIC, MODERN, Wire, execution
from protocols.mysql import constants as c
from protocols.mysql.packets import command, packet
from servers import LOOPBACK, wait_until

UPSTREAM: Final = {"user": "app", "password": "s3cret"}
MB: Final = 1 << 20
LOAD: Final = "LOAD DATA LOCAL INFILE 'mine' INTO TABLE loaded FIELDS TERMINATED BY ','"


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDBServer]:
    with MariaDBServer(users={"app": "s3cret"}, options={"max-allowed-packet": "128M"}) as server:
        server.execute("CREATE TABLE test.loaded (id INT, name VARCHAR(100)) ENGINE=MyISAM")
        yield server


@pytest.fixture(scope="module")
def gateway(server: MariaDBServer) -> Iterator[MysqlGateway]:
    pool = {"max_connections": 1, "wait_timeout": "30s", "connect_timeout": "5s"}
    limits = {"output_buffer": "1MiB", "slow_client_timeout": "30s"}
    with MysqlGateway([server.address], upstream=UPSTREAM, pool=pool, limits=limits) as gateway:
        yield gateway


def connect(gateway: MysqlGateway, capabilities: int = BASIC) -> Wire:
    return Wire((LOOPBACK, gateway.port), schema="test", capabilities=capabilities, timeout=60.0)


@pytest.fixture(autouse=True)
def empty(server: MariaDBServer) -> None:
    server.execute("TRUNCATE test.loaded")


def loaded(server: MariaDBServer) -> int:
    """Rows that have arrived."""
    [row] = server.execute("SELECT COUNT(*) AS n FROM test.loaded")
    return int(row["n"])


def test_a_file_is_the_client_s_own(server: MariaDBServer, gateway: MysqlGateway) -> None:
    with connect(gateway) as wire:
        wire.files["mine"] = [b"1,one\n2,tw", b"o\n3,three\n"]
        [result] = wire.query(LOAD)
        assert (result.error, result.affected) == (None, 3)
        assert wire.ask("SELECT GROUP_CONCAT(name ORDER BY id) FROM loaded") == "one,two,three"
        assert wire.query(LOAD.replace("mine", "/etc/hostname"))[0].affected == 0  # of which the client has nothing
    gateway.wait_until_quiet()


def test_a_file_among_several_statements(server: MariaDBServer, gateway: MysqlGateway) -> None:
    with connect(gateway, MODERN) as wire:
        wire.files["mine"] = [b"1,one\n"]
        results = wire.query(f"SELECT 'before'; {LOAD}; SELECT COUNT(*) FROM loaded; {LOAD}; SELECT 'behind'")
        assert [result.error for result in results] == [None] * 5
        assert (results[2].value, results[4].value) == ("1", "behind")
        assert loaded(server) == 2


def test_a_large_file_in_packets_of_every_size(server: MariaDBServer, gateway: MysqlGateway) -> None:
    line = b"123456,a name of some length that is the same on every line\n"
    with connect(gateway) as wire:
        whole = line * 700_000
        wire.files["mine"] = [whole[:1], whole[1 : 20 * MB], whole[20 * MB :]]  # 40 MB, one packet above 16 MiB
        before = gateway.rss()
        [result] = wire.query(LOAD)
        assert (result.error, result.affected) == (None, 700_000)
        assert gateway.rss() - before < 30 * MB
    gateway.wait_until_quiet()


def test_a_slow_file_holds_its_own_connection_only(server: MariaDBServer) -> None:
    with MysqlGateway([server.address], upstream=UPSTREAM, pool={"max_connections": 2}) as gateway:
        with connect(gateway) as wire, connect(gateway) as other:
            wire.send(command(c.COM_QUERY, LOAD.encode()))
            assert wire.packet()[0] == c.LOCAL_INFILE
            for n in range(5):
                wire.send(packet(b"%d,slow\n" % n, 2 + n))
                assert other.ask("SELECT 1") == "1"
            wire.send(packet(b"", 7))
            assert wire.packet()[0] == c.OK_PACKET
        assert loaded(server) == 5


def test_a_file_that_the_server_does_not_like(server: MariaDBServer, gateway: MysqlGateway) -> None:
    """It says so before, or behind the file, which is read to its end; the connection goes on."""
    with connect(gateway) as wire:
        wire.files["mine"] = [b"not a number,x\n" * 50_000]
        assert wire.query(LOAD.replace("loaded", "missing"))[0].errno == 1146
        assert wire.query(LOAD)[0].warnings == 50_000
        server.execute("CREATE TRIGGER test.stops BEFORE INSERT ON test.loaded FOR EACH ROW SIGNAL SQLSTATE '45000'")
        assert wire.query(LOAD)[0].errno == 1644
        assert wire.ask("SELECT 'next'") == "next"
        server.execute("DROP TRIGGER test.stops")
    gateway.wait_until_quiet()


@pytest.mark.parametrize("way", ["vanish", "leave"])
def test_a_client_that_leaves_amid_its_file(server: MariaDBServer, gateway: MysqlGateway, way: str) -> None:
    """Half a file must not become a whole one that somebody else ends."""
    wire = connect(gateway)
    wire.send(command(c.COM_QUERY, LOAD.encode()))
    assert wire.packet()[0] == c.LOCAL_INFILE
    wire.send(packet(b"1,one\n" * 1000, 2) + b"\xff\xff\x00\x03half of a packet")
    if way == "vanish":
        wire.vanish()
    else:
        wire.socket.close()
    gateway.wait_until_quiet()
    with connect(gateway) as other:
        assert other.ask("SELECT 'next'") == "next"


def test_packets_above_16_mib_both_ways(gateway: MysqlGateway) -> None:
    text = bytes(range(32, 127)).replace(b"'", b"").replace(b"\\", b"") * 420_000  # 39 MB: three packets
    with connect(gateway) as wire:
        before = gateway.rss()
        assert wire.ask(f"SELECT MD5('{text.decode()}')") == md5(text, usedforsecurity=False).hexdigest()
        [result] = wire.query(b"SELECT '" + text + b"', 'behind'")
        assert result.rows == [(text, b"behind")]
        statement = wire.prepared("SELECT ?")
        [result] = wire.executed(statement, text)
        assert result.rows[0].endswith(text)
        assert gateway.rss() - before < 40 * MB
    gateway.wait_until_quiet()


@pytest.mark.parametrize("size", [0xFFFFFF - 9, 0xFFFFFF - 8, 0xFFFFFF - 7, 0xFFFFFF, 2 * 0xFFFFFF - 8])
def test_packets_of_just_16_mib(gateway: MysqlGateway, size: int) -> None:
    """A command of 16 MiB - 1 is followed by an empty packet."""
    with connect(gateway, MODERN) as wire:
        [result] = wire.query(b"SELECT '" + b"x" * size + b"'")
        assert result.rows == [(b"x" * size,)]
        assert wire.ask("SELECT 1") == "1"


def test_a_long_execution_where_the_statement_is_prepared_anew(gateway: MysqlGateway) -> None:
    with connect(gateway) as wire, connect(gateway) as other:
        statement = wire.prepared("SELECT LENGTH(?), ?")
        other.executed(other.prepared("SELECT LENGTH(?), ?"), 1, 2)
        text = b"y" * (17 * MB)
        wire.send(execution(statement, [text, "end"]))
        assert wire.packet()[0] == 2
        for _ in range(3):
            wire.packet()
        assert wire.packet().endswith(b"\x03end")


def test_a_result_of_200_mb_leaves_memory_flat(gateway: MysqlGateway) -> None:
    with connect(gateway, MODERN) as wire:
        before = gateway.rss()
        wire.send(command(c.COM_QUERY, b"SELECT REPEAT('x', 10000) FROM seq_1_to_20000"))
        received = peak = 0
        while (row := wire.packet())[0] != c.EOF_PACKET:
            received += len(row)
            if received % 10_000_000 < 10_003:
                peak = max(peak, gateway.rss())
        assert received > 200_000_000 and peak - before < 40 * MB
    gateway.wait_until_quiet()


def test_a_slow_reader_slows_its_own_query_only(server: MariaDBServer) -> None:
    with MysqlGateway([server.address], upstream=UPSTREAM, pool={"max_connections": 2}) as gateway:
        with connect(gateway) as slow, connect(gateway) as other:
            before = gateway.rss()
            slow.send(command(c.COM_QUERY, b"SELECT REPEAT('x', 10000) FROM seq_1_to_20000"))
            wait_until(lambda: "Writing to net" in str(server.processlist()), "the server waits")
            for _ in range(20):
                assert other.ask("SELECT 1") == "1"
            assert gateway.rss() - before < 30 * MB
            received = 0
            while received < 200_000_000:
                received += len(slow.packet())


def test_a_reader_that_stops_is_disconnected(server: MariaDBServer) -> None:
    limits = {"output_buffer": "256KiB", "slow_client_timeout": "500ms"}
    with MysqlGateway([server.address], upstream=UPSTREAM, pool={"max_connections": 1}, limits=limits) as gateway:
        with connect(gateway) as stopped:
            stopped.send(command(c.COM_QUERY, b"SELECT REPEAT('x', 10000) FROM seq_1_to_20000"))
            wait_until(lambda: not gateway.sessions(), "it has to leave")
            gateway.wait_until_quiet()
            running = [row for row in server.processlist() if row["User"] == "app" and row["Command"] == "Query"]
            assert running == []
        with connect(gateway) as other:
            assert other.ask("SELECT 1") == "1"


def test_many_read_at_once(server: MariaDBServer) -> None:
    """Ten results of 20 MB over two connections; each reader gets its own, whole."""
    pool = {"max_connections": 2, "wait_timeout": "60s"}
    with MysqlGateway([server.address], upstream=UPSTREAM, pool=pool) as gateway:
        wrong: list[str] = []

        def read(number: int) -> None:
            letter = "abcdefghij"[number]
            with connect(gateway, MODERN if number % 2 else BASIC) as wire:
                [result] = wire.query(f"SELECT REPEAT('{letter}', 10000) FROM seq_1_to_2000")
                rows = set(result.rows)
                if len(result.rows) != 2000 or rows != {(letter.encode() * 10000,)}:
                    wrong.append(letter)

        began = time.monotonic()
        readers = [threading.Thread(target=read, args=(number,)) for number in range(10)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(60)
        assert wrong == [] and time.monotonic() - began < 60
        gateway.wait_until_quiet()
