"""Reading /proc."""

from __future__ import annotations

from bench.procfs import Clock, Cpu, Memory, parse_busy, parse_schedstat, parse_stat, parse_status

STAT = "42 (a ) (name) S 1 42 42 0 -1 4194304 100 0 0 0 {user} {system} 0 0 20 0 1 0 900 1000 200"


def test_stat_is_read_behind_a_name_with_brackets() -> None:
    assert parse_stat(STAT.format(user=150, system=50), ticks=100) == Cpu(1.5, 0.5)


def test_schedstat_counts_nanoseconds() -> None:
    assert parse_schedstat("2500000000 77 9\n") == 2.5


def test_status_tells_memory_now_and_at_most() -> None:
    assert parse_status("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n") == Memory(1024, 2048)


def test_a_machine_that_idles_or_waits_is_not_busy() -> None:
    assert parse_busy("cpu  100 0 50 900 300 0 10 5 0 0\ncpu0 1 2 3\n", ticks=100) == 1.65


def test_the_sum_is_the_fine_clock_and_the_split_the_coarse_one() -> None:
    used = Clock(Cpu(3.0, 2.0), 5.05).since(Clock(Cpu(2.0, 1.0), 3.0))
    assert round(used.total, 6) == 2.05
    assert round(used.user, 6) == round(used.system, 6) == 1.025


def test_a_thread_that_ended_does_not_shrink_the_sum() -> None:
    assert Clock(Cpu(3.0, 2.0), 1.0).since(Clock(Cpu(2.0, 1.0), 3.0)) == Cpu(1.0, 1.0)


def test_what_the_coarse_clock_missed_still_counts() -> None:
    assert round(Clock(Cpu(1.0, 1.0), 2.004).since(Clock(Cpu(1.0, 1.0), 2.0)).total, 6) == 0.004
