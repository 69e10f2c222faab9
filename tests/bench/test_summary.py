"""Medians, ratios and verdicts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.reading import Measurement, Reading
from bench.redis.suite import REDIS
from bench.refusals import counted
from bench.report import Run, as_json, as_markdown
from bench.run import order
from bench.summary import Cells, Spread, ratio, summarise
from bench.targets import SUBJECT, Promise, judge, verdicts


def measured(peer: str, *values: float, figure: str = "cpu_us", fault: str | None = None) -> list[Measurement]:
    return [
        Measurement("c50", "GET", peer, number, Reading({figure: value}, fault)) for number, value in enumerate(values)
    ]


def cells_of(**peers: tuple[float, ...]) -> Cells:
    return summarise([one for peer, values in peers.items() for one in measured(peer.replace("_", "-"), *values)])


CPU = Promise("CPU", "c50", "GET", "cpu_us", "<=", 0.85, ("envoy", "envoy-batching"))


def test_a_cell_is_the_median_and_the_extremes() -> None:
    cells = cells_of(envoy=(9.0, 1.0, 2.0))
    assert cells["c50", "GET", "envoy"].figures == {"cpu_us": Spread(2.0, 1.0, 9.0)}


def test_one_fault_disqualifies_the_cell() -> None:
    cells = summarise([*measured("envoy", 1.0), *measured("envoy", 2.0, fault="errors were answered")])
    assert cells["c50", "GET", "envoy"].median("cpu_us") is None
    assert ratio(cells, "c50", "GET", "cpu_us", "envoy", "envoy") is None


@pytest.mark.parametrize(("ours", "word"), [(8.0, "met"), (8.5, "met"), (8.6, "**missed**")])
def test_a_target_is_judged_against_the_stronger_envoy(ours: float, word: str) -> None:
    verdict = judge(cells_of(poolgate_governed=(ours,), envoy=(20.0,), envoy_batching=(10.0,)), CPU)
    assert (verdict.word, verdict.base) == (word, "envoy-batching")


def test_more_is_judged_against_the_faster_envoy() -> None:
    target = Promise("rps", "c50", "GET", "cpu_us", ">=", 2.5, ("envoy", "envoy-batching"))
    verdict = judge(cells_of(poolgate_governed=(25.0,), envoy=(10.0,), envoy_batching=(5.0,)), target)
    assert (verdict.measured, verdict.base, verdict.word) == (2.5, "envoy", "met")


def test_an_absolute_target_needs_no_other_peer() -> None:
    target = Promise("memory", "c50", "GET", "cpu_us", "<=", 60.0, unit="MB")
    assert judge(cells_of(poolgate_governed=(61.0,)), target).word == "**missed**"


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert {verdict.word for verdict in verdicts({}, REDIS.targets)} == {"not measured"}
    assert judge(cells_of(poolgate_governed=(8.0,)), CPU).word == "not measured"


def test_everyone_goes_first_once() -> None:
    assert [order([1, 2, 3], number)[0] for number in range(4)] == [1, 2, 3, 1]
    assert order([1, 2, 3], 1) == [2, 3, 1]


def test_a_run_is_told_in_full() -> None:
    taken = [*measured(SUBJECT, 8.0, 9.0), *measured("envoy", 16.0, 17.0), *measured("direct", 1.0, fault="it broke")]
    cells = summarise(taken)
    absent, judged = {"nutcracker": "gone"}, verdicts(cells, REDIS.targets)
    run = Run(REDIS, {"kernel": "6"}, [REDIS.workloads["c50"]], absent, taken, cells, judged, 2, False, 0.1)
    text = as_markdown(run)
    assert "| CPU per request without pipeline, to Envoy, GET | <= 0.85 x | 0.52 x envoy | met |" in text
    assert "Disqualified: `direct`: it broke" in text
    assert "nutcracker: gone" in text
    assert len(json.loads(json.dumps(as_json(run)))["raw"]) == len(taken)


def test_a_run_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from bench import plot

    plot.draw(REDIS, cells_of(direct=(1.0, 2.0), envoy=(3.0, 4.0)), tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 1000


def test_only_counters_of_refusals_count() -> None:
    text = """# HELP x_refused_total x
x_refused_total{policy="rate_limit"} 3.0
x_refused_total{policy="timeout"} 0.0
x_calls_total{outcome="ok",verb="GET"} 9.0
x_calls_total{outcome="fatal",verb="GET"} 1.0
"""
    assert counted(text) == {
        'x_refused_total{policy="rate_limit"}': 3.0,
        'x_calls_total{outcome="fatal",verb="GET"}': 1.0,
    }
    assert list(counted(text, tolerated="fatal")) == ['x_refused_total{policy="rate_limit"}']
