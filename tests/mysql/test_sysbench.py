"""sysbench runs clean through the gateway, many threads over few connections, and leaves nothing behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest

from mysql_ways import DATABASE, PASSWORD, USER, Ways, ways
from servers import LOOPBACK, binary

CONNECTIONS: Final = 4
THREADS: Final = 16
ROWS: Final = 500
SECONDS: Final = 2


@pytest.fixture(scope="module")
def both() -> Iterator[Ways]:
    """One MariaDB for this file, with sysbench's table in it."""
    with ways(pool={"max_connections": CONNECTIONS, "wait_timeout": "30s"}) as both:
        both.renew()
        sysbench(both, "oltp_common", "prepare", "--tables=2", f"--table-size={ROWS}")
        yield both


def sysbench(both: Ways, workload: str, command: str, *options: str) -> str:
    place = [f"--mysql-host={LOOPBACK}", f"--mysql-port={both.through.port}", f"--mysql-db={DATABASE}"]
    login = [f"--mysql-user={USER}", f"--mysql-password={PASSWORD}", "--mysql-ssl=off"]
    return both.run(both.through, [binary("sysbench"), *place, *login, *options, workload, command])


@pytest.mark.parametrize("prepared", ["auto", "disable"])
@pytest.mark.parametrize("workload", ["oltp_read_write", "oltp_point_select", "oltp_write_only"])
def test_a_workload(both: Ways, workload: str, prepared: str) -> None:
    size = ["--tables=2", f"--table-size={ROWS}", f"--threads={THREADS}", f"--time={SECONDS}"]
    said = sysbench(both, workload, "run", *size, f"--db-ps-mode={prepared}", "--mysql-ignore-errors=1213,1205,1020")
    transactions = re.search(r"transactions:\s+(\d+)", said)
    assert transactions is not None
    assert int(transactions[1]) > 20, said
    assert re.search(r"reconnects:\s+0 ", said), said
    both.gateway.wait_until_quiet()
    leases = both.gateway.leases()
    assert leases["leased"] == leases["waiting"] == leases["cleaning"] == 0
    assert len(both.mariadb.thread_ids(USER)) <= CONNECTIONS
    assert not both.mariadb.execute("SELECT * FROM information_schema.innodb_trx"), "no transaction was left open"
    for number in (1, 2):
        [counted] = both.mariadb.execute(f"SELECT COUNT(*) AS n FROM {DATABASE}.sbtest{number}")
        assert counted["n"] == ROWS, "each transaction deletes a row and inserts it again"
