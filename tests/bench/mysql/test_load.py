"""Command lines of the generators, what is read from them, and the few words of protocol that they speak."""

from __future__ import annotations

import pytest

from bench.mysql.bulk import ended
from bench.mysql.load import parse_sysbench, percentile, sysbench
from bench.mysql.wire import check, complete, packets, query
from bench.mysql.workloads import WORKLOADS
from bench.peer import Target
from bench.process import BenchError

SAID = """Latency histogram (values are in milliseconds)
       value  ------------- distribution ------------- count
       0.075 |                                         1
       0.110 |******                                   49
       0.126 |**************************************** 49
       2.106 |                                         1

SQL statistics:
    transactions:                        100    (12345.67 per sec.)
    queries:                             100    (12345.67 per sec.)
    ignored errors:                      0      (0.00 per sec.)
    reconnects:                          {reconnects}      (0.00 per sec.)
"""
EOF = b"\x05\x00\x00\x03\xfe\x00\x00\x02\x00"
ROWS = b"\x01\x00\x00\x01\x01" + b"\x02\x00\x00\x02xx" + EOF + b"\x02\x00\x00\x04\x01x"


def test_the_histogram_of_sysbench_is_read() -> None:
    result = parse_sysbench(SAID.format(reconnects=0), busy=0.5)
    assert (result.rps, result.p50_ms, result.p99_ms, result.errors) == (12345.67, 0.110, 0.126, ())


def test_a_reconnect_is_an_error_of_the_peer() -> None:
    assert parse_sysbench(SAID.format(reconnects=2), busy=0.5).errors == ("2 reconnects",)


def test_no_rate_is_no_result() -> None:
    with pytest.raises(BenchError, match="no result"):
        parse_sysbench("FATAL: nobody there", busy=0.5)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 1.0), (0.51, 2.0), (1.0, 3.0)])
def test_a_percentile_of_buckets(share: float, value: float) -> None:
    assert percentile([(1.0, 5), (2.0, 4), (3.0, 1)], share) == value


def test_sysbench_is_the_same_for_all_but_the_address() -> None:
    point = WORKLOADS["point"]
    one = sysbench(point, "prepared", Target(("127.0.0.1", 7), "a", user="u"), 9)
    other = sysbench(point, "text", Target(("127.0.0.1", 8), "b", user="v"), 9)
    assert [word for word in one if word not in other] == [
        "--mysql-port=7",
        "--mysql-user=u",
        "--mysql-password=a",
        "--db-ps-mode=auto",
    ]
    assert "--events=9" in one


@pytest.mark.parametrize("factor", [1.0, 0.15, 0.02, 0.0])
def test_every_visitor_has_as_many_visits(factor: float) -> None:
    workload = WORKLOADS["connect"].scaled(factor)
    assert workload.requests > 0
    assert workload.requests % workload.clients == 0


def test_a_query_is_a_packet() -> None:
    assert packets(query("SELECT 1")) == [b"\x03SELECT 1"]


@pytest.mark.parametrize("cut", range(len(ROWS + EOF)))
def test_an_answer_is_complete_with_its_second_eof(cut: int) -> None:
    assert not complete((ROWS + EOF)[:cut])
    assert complete(ROWS + EOF)


def test_an_error_is_an_answer_and_is_raised() -> None:
    error = b"\x09\x00\x00\x01\xff\x28\x04#42S02"
    assert complete(error)
    with pytest.raises(OSError, match="#42S02"):
        check(error)
    check(ROWS)


def test_the_end_of_a_large_result() -> None:
    assert ended(EOF)
    assert not ended(EOF[1:])
    assert not ended(b"x" * len(EOF))
