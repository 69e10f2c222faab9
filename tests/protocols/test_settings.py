"""Every kind reads what it writes, and writes what humans write."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.settings import (
    COUNT,
    DURATION,
    FLAG,
    PERCENT,
    POSITIVE,
    RATE,
    SIZE,
    TEXT,
    Kind,
    nearest,
    one_of,
    optional,
    shown,
)

WORD = one_of("console", "json")


@pytest.mark.parametrize(
    ("kind", "written", "value", "rendered"),
    [
        (DURATION, "250ms", 0.25, "250ms"),
        (DURATION, "700ms", 0.7, "700ms"),
        (DURATION, "1.5 s", 1.5, "1500ms"),
        (DURATION, "90s", 90.0, "90s"),
        (DURATION, "60m", 3600.0, "1h"),
        (DURATION, "1.5us", 1.5e-6, "1.5us"),
        (DURATION, "0", 0.0, "0s"),
        (SIZE, "65536", 65536, "64KiB"),
        (SIZE, "1.5kib", 1536, "1536B"),
        (SIZE, "2 GB", 2 * 10**9, "1953125KiB"),
        (SIZE, "0", 0, "0B"),
        (RATE, "500/s", 500.0, "500/s"),
        (RATE, "5/ms", 5000.0, "5000/s"),
        (RATE, "10 / h", 10 / 3600, "10/h"),
        (RATE, "0.5/s", 0.5, "30/m"),
        (PERCENT, "50%", 0.5, "50%"),
        (PERCENT, "33.333333 %", 33.333333 / 100, "33.333333%"),
        (PERCENT, "0", 0.0, "0%"),
        (COUNT, "0", 0, 0),
        (POSITIVE, "8", 8, 8),
        (FLAG, "true", True, True),
        (TEXT, "no", "no", "no"),
        (WORD, "json", "json", "json"),
        (optional(RATE), None, None, None),
        (optional(RATE), "1/s", 1.0, "1/s"),
    ],
)
def test_read_and_write(kind: dict[str, Kind], written: object, value: object, rendered: object) -> None:
    assert kind["kind"].parse(written) == value
    assert kind["kind"].render(value) == rendered
    assert kind["kind"].parse(rendered) == value


@pytest.mark.parametrize(
    ("kind", "written", "message"),
    [
        (DURATION, "5", "'5' is not a duration: write 250ms, 5s, 10m or 1h"),
        (DURATION, 5, "5 is not a duration"),
        (DURATION, False, "False is not a duration"),
        (DURATION, "-5s", "'-5s' is not a duration"),
        (DURATION, "٣s", "'٣s' is not a duration"),
        (DURATION, "9" * 999 + "s", "'" + "9" * 56 + "... is not a duration"),
        (DURATION, "8761h", "'8761h' is more than 365d"),
        (SIZE, "-1", "'-1' is not a size: write 512, 64KiB, 1MB or 2GiB"),
        (SIZE, "2000GiB", "'2000GiB' is more than 1024GiB"),
        (RATE, "500", "'500' is not a rate above zero: write 500/s, 100/m or 10/h"),
        (RATE, "0/s", "'0/s' is not a rate above zero"),
        (PERCENT, "101%", "'101%' is not a percentage: write 0% to 100%"),
        (PERCENT, 1, "1 is not a percentage"),
        (COUNT, "1.5", "'1.5' is not a whole number of zero or more"),
        (COUNT, True, "True is not a whole number of zero or more"),
        (POSITIVE, "0", "'0' is not a whole number of one or more"),
        (FLAG, "yes", "'yes' is not a yes-or-no value: write true or false"),
        (TEXT, "", "the text is empty: leave the key out where nothing is meant"),
        (TEXT, "a\nb", "'a\\nb' is not one printable line of up to 255 characters"),
        (TEXT, ["secret"], "a list is not text"),
        (WORD, "jsn", "'jsn' is not known here, did you mean `json`?"),
        (WORD, None, "nothing is not known here: choose from console, json"),
        (optional(RATE), "5", "'5' is not a rate above zero"),
    ],
)
def test_refuse(kind: dict[str, Kind], written: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        kind["kind"].parse(written)
    assert str(caught.value).startswith(message)


NUMBERS = st.decimals(min_value="0.001", max_value="99999", places=3).map(str)


@given(st.builds("{}{}".format, NUMBERS, st.sampled_from(["us", "ms", "s", "m"])))
def test_durations_round_trip(written: str) -> None:
    seconds = DURATION["kind"].parse(written)
    assert DURATION["kind"].parse(DURATION["kind"].render(seconds)) == seconds


@given(st.builds("{}/{}".format, NUMBERS, st.sampled_from(["ms", "s", "m", "h", "d"])))
def test_rates_round_trip(written: str) -> None:
    rate = RATE["kind"].parse(written)
    assert RATE["kind"].parse(RATE["kind"].render(rate)) == rate


@given(st.decimals(min_value=0, max_value=100, places=4).map("{}%".format))
def test_percentages_round_trip(written: str) -> None:
    share = PERCENT["kind"].parse(written)
    assert PERCENT["kind"].parse(PERCENT["kind"].render(share)) == share


@given(st.integers(min_value=0, max_value=2**40))
def test_sizes_round_trip(size: int) -> None:
    assert SIZE["kind"].parse(SIZE["kind"].render(size)) == size


@given(st.floats(min_value=1e-6, max_value=365 * 86400))
def test_any_duration_can_be_written(seconds: float) -> None:
    again = DURATION["kind"].parse(DURATION["kind"].render(seconds))
    assert abs(Fraction(again) - Fraction(seconds)) <= Fraction(seconds) / 10**9


@pytest.mark.parametrize("kind", [DURATION, SIZE, RATE, PERCENT, COUNT, POSITIVE, FLAG, TEXT, WORD])
@given(value=st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()))
def test_anything_is_read_or_refused(kind: dict[str, Kind], value: object) -> None:
    try:
        read = kind["kind"].parse(value)
    except ValueError:
        return
    assert kind["kind"].parse(kind["kind"].render(read)) == read


def test_nearest() -> None:
    assert nearest("max_conections", ["max_connections", "min_idle"]) == ", did you mean `max_connections`?"
    assert nearest("flushal", ["FLUSHALL"]) == ", did you mean `FLUSHALL`?"
    assert nearest("x", ["a", "b"]) == ": choose from a, b"
    assert nearest("x", [f"word{n}" for n in range(99)]) == ""


def test_shown_never_opens_a_list_or_mapping() -> None:
    assert shown({"password": "secret"}) == "a mapping"
    assert shown(["secret"]) == "a list"
    assert shown("x" * 99) == "'" + "x" * 56 + "..."
