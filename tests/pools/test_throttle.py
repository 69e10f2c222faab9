from pools.settings import PoolSettings
from pools.throttle import Throttle


def longest(**settings: float) -> Throttle:
    """A throttle whose random pauses are all as long as they can be."""
    return Throttle(PoolSettings(**settings), lambda: 1.0)  # type: ignore[arg-type]


def attempts(throttle: Throttle, now: float, until: float) -> list[float]:
    """When connects start for somebody who always wants one more."""
    times = []
    while (now := max(now, throttle.ready_at())) < until:
        throttle.take(now)
        times.append(now)
    return times


def test_without_failures_or_a_rate_any_number_may_start() -> None:
    throttle = longest()
    for _ in range(1000):
        assert throttle.ready_at() <= 10.0
        throttle.take(10.0)


def test_pauses_double_up_to_backoff_max_and_a_success_resets_them() -> None:
    throttle = longest(backoff_base=0.5, backoff_max=3.0)
    pauses = []
    for now in (10.0, 20.0, 30.0, 40.0, 50.0):
        throttle.failed(now, "refused", now)
        pauses.append(throttle.retry_at - now)
    assert pauses == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert throttle.failures == 5

    throttle.succeeded()
    assert throttle.failures == 0
    assert throttle.ready_at() == 0.0

    throttle.failed(60.0, "refused", 60.0)
    assert throttle.retry_at == 60.5


def test_a_pause_is_a_random_share_of_its_ceiling() -> None:
    throttle = Throttle(PoolSettings(backoff_base=0.5), iter([0.0, 0.25]).__next__)
    throttle.failed(10.0, "refused", 10.0)
    assert throttle.retry_at == 10.0
    assert not throttle.backing_off(10.0)
    throttle.failed(10.0, "refused", 10.0)
    assert throttle.retry_at == 10.25
    assert throttle.backing_off(10.0)
    assert not throttle.backing_off(10.25)


def test_attempts_that_were_under_way_together_fail_as_one() -> None:
    throttle = longest(backoff_base=0.5)
    for now in (11.0, 11.1, 11.2):
        throttle.failed(10.0, f"timed out at {now}", now)
    assert throttle.failures == 1
    assert throttle.retry_at == 11.5
    assert throttle.failure == "timed out at 11.2"


def test_an_endpoint_that_failed_is_probed_by_one_attempt_at_a_time() -> None:
    throttle = longest(backoff_base=0.5)
    throttle.failed(10.0, "refused", 10.0)  # the next pause is 1 s
    assert attempts(throttle, 10.0, until=13.0) == [10.5, 11.5, 12.5]
    throttle.succeeded()
    assert throttle.ready_at() <= 12.5


def test_a_rate_lets_a_second_s_worth_start_at_once_and_then_spreads_them() -> None:
    assert attempts(longest(connect_rate=4.0), 10.0, until=11.0) == [10.0, 10.0, 10.0, 10.0, 10.25, 10.5, 10.75]


def test_a_rate_below_one_a_second_spreads_all() -> None:
    assert attempts(longest(connect_rate=0.5), 10.0, until=15.0) == [10.0, 12.0, 14.0]


def test_a_rate_does_not_save_up_more_than_a_second_s_worth() -> None:
    throttle = longest(connect_rate=4.0)
    throttle.take(10.0)
    assert attempts(throttle, 100.0, until=100.25) == [100.0] * 4


def test_resize_keeps_the_pause_under_way_and_bounds_the_next() -> None:
    throttle = longest(backoff_base=1.0, backoff_max=8.0)
    for now in (10.0, 20.0, 30.0):
        throttle.failed(now, "refused", now)
    throttle.resize(PoolSettings(backoff_base=1.0, backoff_max=2.0, connect_rate=1.0))
    assert throttle.retry_at == 34.0
    throttle.failed(40.0, "refused", 40.0)
    assert throttle.retry_at == 42.0
    throttle.succeeded()
    assert attempts(throttle, 50.0, until=53.0) == [50.0, 51.0, 52.0]


def test_stats_say_how_long_the_pause_still_is() -> None:
    throttle = longest(backoff_base=0.5)
    assert throttle.stats(9.0) == {"failures": 0, "failure": "", "retry_in": 0.0}
    throttle.failed(10.0, "refused", 10.0)
    assert throttle.stats(10.25) == {"failures": 1, "failure": "refused", "retry_in": 0.25}
