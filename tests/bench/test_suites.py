"""What the suites of all protocols have to keep to."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from bench.crowd import obey
from bench.poolgate import GOVERNED, PLAIN
from bench.suite import Suite
from bench.suites import SUITES

EACH = pytest.mark.parametrize("suite", SUITES.values(), ids=list(SUITES))


@EACH
def test_targets_name_what_is_measured(suite: Suite[Any, Any]) -> None:
    for target in suite.targets:
        assert target.test in suite.workloads[target.workload].tests
        assert set(target.against) <= set(suite.peers)


@EACH
def test_figures_and_bases_are_those_of_the_suite(suite: Suite[Any, Any]) -> None:
    assert set(suite.bases) <= set(suite.peers)
    assert {panel.base for panel in suite.panels} - {None} <= set(suite.peers)
    assert suite.server_cpu in {panel.figure for panel in suite.panels}
    assert {PLAIN, GOVERNED, "direct"} <= set(suite.peers)


@EACH
def test_what_is_profiled_can_be(suite: Suite[Any, Any]) -> None:
    assert suite.workloads[suite.profiled].kind not in suite.unloaded


@EACH
def test_colours_tell_peers_apart(suite: Suite[Any, Any]) -> None:
    assert len({peer.colour for peer in suite.peers.values()}) == len(suite.peers)


def test_a_crowd_does_as_it_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise OSError("no")

    monkeypatch.setattr(sys, "stdin", io.StringIO("add 1 2\nfail\nnothing\n"))
    obey({"add": lambda one, other: str(int(one) + int(other)), "fail": fail, "nothing": lambda: None})
    assert capsys.readouterr().out.splitlines() == ["done 3", "failed no", "done "]
