"""The cost of the hot path in figures that noise cannot move; see bench/hotpath.py."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "bench" / "hotpath.py"
CASES = ("single", "single-governed", "pipeline-governed")


def hotpath(*words: str) -> str:
    """What the program says of the form under test; `-P` keeps bench/ itself off the path."""
    line = [sys.executable, "-P", str(PROGRAM), *words]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def facts(case: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(hotpath("--facts", "--rounds", "200", case))
    return found


@pytest.mark.parametrize("case", CASES)
def test_calls_leave_nothing_in_memory(case: str) -> None:
    # Thousands of calls; the interpreter's own caches may keep a few blocks.
    assert facts(case)["blocks_left"] < 100


@pytest.mark.parametrize("case", CASES)
def test_a_lane_is_written_to_once_per_turn_of_the_loop(case: str) -> None:
    assert facts(case)["upstream_writes_per_lane_and_turn"] <= 1


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind counts the instructions")
@pytest.mark.parametrize("case", CASES)
def test_a_command_costs_no_more_instructions_than_it_may(case: str) -> None:
    if facts(case)["form"] != "compiled":
        pytest.skip("only the compiled form has a limit")
    told = re.search(r"(\d+) instructions per command \(limit (\d+)\)", hotpath(case))
    assert told, "no count"
    assert int(told[1]) <= int(told[2]), told[0]
