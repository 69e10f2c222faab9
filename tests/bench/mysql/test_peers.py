"""Whole turns, small: every peer before a real MariaDB."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import far
from bench.mysql.peers import PEERS
from bench.mysql.stage import mariadb_server
from bench.mysql.suite import MYSQL
from bench.mysql.workloads import WORKLOADS
from bench.turn import take
from servers import binary

NEEDED = ("mariadbd", "haproxy", "sysbench", "php", "openssl")


@pytest.mark.parametrize("name", ["point", "read-write", "c1000", "connect-tls", "connect-far"])
def test_every_peer_does_what_the_workload_wants(name: str, tmp_path: Path) -> None:
    workload = WORKLOADS[name].scaled(0.005)
    for program in NEEDED:
        binary(program)
    if reason := MYSQL.lacking(workload):
        pytest.skip(reason)
    with mariadb_server(workload, tmp_path) as stage:
        taken = [one for peer in PEERS.values() for one in take(MYSQL, workload, peer, stage, 0)]
    assert {(one.peer, one.test): one.reading.fault for one in taken} == {
        (peer, test): None for peer in PEERS for test in workload.tests
    }
    for one in taken:
        assert one.reading.figures["rps"] > 0
        assert one.reading.figures["mariadb_cpu_us"] > 0
        assert ("cpu_us" in one.reading.figures) == (one.peer != "direct")


def test_a_far_server_is_needed_by_one_workload_only() -> None:
    needy = [name for name, workload in WORKLOADS.items() if MYSQL.lacking(workload)]
    assert needy == (["connect-far"] if far.lacking() else [])
