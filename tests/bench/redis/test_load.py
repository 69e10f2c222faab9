"""Command lines of the generators, and what is read from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.generator import parse
from bench.peer import Target
from bench.process import BenchError, last_words, shown
from bench.redis.load import benchmark, parse_csv
from bench.redis.workloads import WORKLOADS

HEAD = (
    '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"'
)
ROW = '"GET","88731.15","0.297","0.064","0.287","0.399","0.567","4.367"'


def test_the_csv_of_redis_benchmark_is_read() -> None:
    result = parse_csv(f"{HEAD}\n{ROW}\n", busy=0.5)
    assert (result.rps, result.p50_ms, result.p99_ms, result.errors) == (88731.15, 0.287, 0.567, ())


def test_an_error_of_the_peer_is_kept() -> None:
    assert parse_csv(f"Error from server: ERR no\n{HEAD}\n{ROW}\n", busy=0.5).errors == ("Error from server: ERR no",)


def test_no_row_is_no_result() -> None:
    with pytest.raises(BenchError, match="0 rows"):
        parse_csv(f"{HEAD}\n", busy=0.5)


def test_the_connect_generator_is_read() -> None:
    result = parse('{"rps": 10.5, "p50_ms": 1.0, "p99_ms": 2.0, "errors": ["3 x refused"]}', busy=0.9)
    assert (result.rps, result.errors) == (10.5, ("3 x refused",))


def test_redis_benchmark_is_the_same_for_all_but_the_address() -> None:
    tcp = benchmark(WORKLOADS["p16"], "GET", Target(("127.0.0.1", 7)), 800)
    unix = benchmark(WORKLOADS["p16"], "GET", Target("/tmp/x.sock", "secret"), 800)
    assert tcp[:5] == ["redis-benchmark", "-h", "127.0.0.1", "-p", "7"]
    assert unix == ["redis-benchmark", "-s", "/tmp/x.sock", *tcp[5:], "-a", "secret"]


@pytest.mark.parametrize("name", [name for name, workload in WORKLOADS.items() if workload.kind == "benchmark"])
@pytest.mark.parametrize("factor", [1.0, 0.15, 0.02, 0.0])
def test_requests_are_whole_pipelines_of_every_client(name: str, factor: float) -> None:
    workload = WORKLOADS[name].scaled(factor)
    assert workload.requests > 0
    assert workload.requests % (workload.pipeline * workload.clients) == 0


def test_records_name_no_folder_of_this_machine() -> None:
    assert shown(["/opt/x/envoy", "-c", "/tmp/b-1/envoy.json"], Path("/tmp/b-1")) == "envoy -c DIR/envoy.json"
    assert last_words("first\n  File /home/me/x.py is missing\n") == "  File x.py is missing"
    assert last_words("") == "it said nothing"
