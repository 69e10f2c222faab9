"""Our own load generators against a real MariaDB."""

from __future__ import annotations

import pytest

from bench.mysql.bulk import LEAST
from bench.mysql.load import ready
from bench.mysql.wire import DATABASE, ask, dial
from bench.mysql.workloads import ROWS, WORKLOADS, MysqlWorkload
from bench.peer import Target
from bench.process import BenchError
from mysql_servers import MariaDBServer
from servers import LOOPBACK, binary


@pytest.fixture(scope="module")
def target(mariadb_server: MariaDBServer) -> Target:
    """The server, with a table like sysbench's: all values of one length."""
    mariadb_server.execute(f"CREATE OR REPLACE DATABASE {DATABASE}")
    table = f"{DATABASE}.sbtest1 (id INT PRIMARY KEY, c CHAR(120))"
    mariadb_server.execute(
        f"CREATE TABLE {table} SELECT seq AS id, LPAD(seq, 119, '#') AS c FROM {DATABASE}.seq_1_to_{ROWS}"
    )
    return Target((LOOPBACK, mariadb_server.port), "s3cret", user="app")


def workload(kind: str, clients: int) -> MysqlWorkload:
    found = next(one for one in WORKLOADS.values() if one.kind == kind)
    return MysqlWorkload(found.name, "", found.kind, found.tests, clients=clients)


@pytest.mark.parametrize("test", ["16-active", "all-active"])
def test_every_question_of_a_crowd_is_counted(mariadb_server: MariaDBServer, target: Target, test: str) -> None:
    with ready(workload("crowd", 40), test, target) as load:
        assert len(mariadb_server.thread_ids("app")) >= 40
        for count in (100, 1000):
            before = selects(mariadb_server)
            result = load.run(count)
            assert selects(mariadb_server) - before == count
            assert result.rps > 0
            assert 0 < result.p50_ms <= result.p99_ms
            assert 0 < result.busy <= 2


def test_a_crowd_that_is_disconnected_says_so(mariadb_server: MariaDBServer, target: Target) -> None:
    with ready(workload("crowd", 3), "16-active", target) as load:
        for one in mariadb_server.thread_ids("app"):
            mariadb_server.kill_connection(one)
        with pytest.raises(BenchError, match="the clients could not run"):
            load.run(100)


def test_a_crowd_that_cannot_log_in_says_so(target: Target) -> None:
    with pytest.raises(BenchError, match="Access denied"):
        with ready(workload("crowd", 1), "16-active", Target(target.address, "wrong", user="app")):
            raise AssertionError("logged in")


def test_every_visit_is_counted(mariadb_server: MariaDBServer, target: Target) -> None:
    binary("php")
    before = selects(mariadb_server)
    with ready(workload("visits", 4), "visit", target) as load:
        result = load.run(200)
    assert selects(mariadb_server) - before == 200
    assert result.errors == ()
    assert result.rps > 0
    assert 0 < result.p50_ms <= result.p99_ms


def test_refused_visits_are_counted_and_named(target: Target) -> None:
    binary("php")
    with ready(workload("visits", 2), "visit", Target(target.address, "wrong", user="app")) as load:
        [error] = load.run(20).errors
    assert error.startswith("20 x Access denied for user 'app'")


def test_a_large_result_is_fetched_whole(mariadb_server: MariaDBServer, target: Target) -> None:
    before = sent(mariadb_server)
    with ready(workload("bulk", 1), "100MB", target) as load:
        assert load.run(2).rps > 0
    assert sent(mariadb_server) - before > 2 * LEAST


def test_an_error_in_place_of_an_answer_is_raised(target: Target) -> None:
    with dial(target) as opened:
        with pytest.raises(OSError, match="doesn't exist"):
            ask(opened, "SELECT c FROM nowhere")


def status(server: MariaDBServer, name: str) -> int:
    return int(server.execute(f"SHOW GLOBAL STATUS LIKE '{name}'")[0]["Value"])


def selects(server: MariaDBServer) -> int:
    return status(server, "Com_select")


def sent(server: MariaDBServer) -> int:
    return status(server, "Bytes_sent")
