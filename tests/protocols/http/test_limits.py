"""Allowances: bursts that refill with time, or with useful work."""

from __future__ import annotations

import pytest

from protocols.http.limits import Allowance, Limits


def test_a_burst_and_what_refills_it() -> None:
    allowance = Allowance(3, 2.0)
    assert [allowance.spend(1, 10.0) for _ in range(4)] == [True, True, True, False]
    assert not allowance.spend(1, 10.4)
    assert allowance.spend(1, 10.5)
    assert not allowance.spend(1, 10.5)
    assert allowance.spend(3, 1e9)
    assert not allowance.spend(1, 1e9)


def test_what_is_earned_is_bounded() -> None:
    allowance = Allowance(3, 0.0)
    for _ in range(100):
        allowance.earn(2)
    assert not allowance.spend(6, 0.0)
    assert allowance.spend(3, 0.0)
    allowance.earn(1)
    assert allowance.spend(1, 0.0)


@pytest.mark.parametrize("window", [0, 65534, 1 << 31])
def test_windows_have_bounds(window: int) -> None:
    with pytest.raises(ValueError, match="a window is between"):
        Limits(stream_window=window)
    with pytest.raises(ValueError, match="a window is between"):
        Limits(connection_window=window)
