"""Kinds of settings as humans write them: durations, sizes, rates, percentages, counts, words.

A policy's or pool's dataclass marks a field with ``field(metadata=DURATION)``; the configuration turns the mark
into validation, JSON Schema and the effective value that ``poolgate check`` prints.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final, final


@final
class Kind:
    """One way to write a value: ``parse`` takes what YAML gave (raises ValueError), ``render`` writes it back."""

    def __init__(
        self, name: str, parse: Callable[[object], Any], render: Callable[[Any], Any], schema: Mapping[str, Any]
    ) -> None:
        self.name: Final = name
        self.parse: Final = parse
        self.render: Final = render
        self.schema: Final = schema


def shown(value: object) -> str:
    """A value as messages quote it: short, and never the inside of a list or mapping (a secret may be in it)."""
    if value is None:
        return "nothing"
    if isinstance(value, str | int | float):
        text = repr(value)
        return text if len(text) <= 60 else text[:57] + "..."
    return "a mapping" if isinstance(value, Mapping) else "a list"


def nearest(word: str, words: Iterable[str]) -> str:
    """The end of a message: ``, did you mean `x`?`` when one of the words is near, else all of them if they are few."""
    known = list(words)
    cases = (word, word.lower(), word.upper())
    near = [match for case in cases for match in get_close_matches(case, known, n=1, cutoff=0.7)]
    if near:
        return f", did you mean `{near[0]}`?"
    return f": choose from {', '.join(known)}" if len(known) <= 20 else ""


_NUMBER = r"([0-9]{1,15}(?:\.[0-9]{1,15})?)"
_DURATION = re.compile(_NUMBER + r" ?(us|ms|s|m|h|d)")
_SIZE = re.compile(_NUMBER + r" ?(B|KB|MB|GB|KiB|MiB|GiB)?", re.IGNORECASE)
_RATE = re.compile(_NUMBER + r" ?/ ?(ms|s|m|h|d)")
_PERCENT = re.compile(_NUMBER + r" ?%")
_WHOLE = re.compile(r"[0-9]{1,15}")

# A unit as (multiply by, divide by): dividing is exact where multiplying by 0.001 would not be.
_SECONDS: Final = {"us": (1, 10**6), "ms": (1, 10**3), "s": (1, 1), "m": (60, 1), "h": (3600, 1), "d": (86400, 1)}
_EACH: Final = {"ms": (1000, 1), "s": (1, 1), "m": (1, 60), "h": (1, 3600), "d": (1, 86400)}
_BYTES: Final = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}

MAX_DURATION: Final = 365 * 86400.0
MAX_SIZE: Final = 2**40


def _match(pattern: re.Pattern[str], value: object) -> re.Match[str] | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return pattern.fullmatch(value.strip()) if isinstance(value, str) else None


def _shortest(value: float, units: Mapping[str, tuple[int, int]], sign: str) -> str:
    """The first of the units, with the fewest decimals, that reads back as exactly the same value."""
    text = ""
    for decimals in range(16):
        for unit, (times, per) in units.items():
            number = f"{value / times * per:.{decimals}f}"
            text = f"{number}{sign}{unit}"
            if float(number) > 0 and float(number) * times / per == value:
                return text
    return text


def parse_duration(value: object) -> float:
    """``250ms``, ``5s``, ``1h`` to seconds. A bare number other than 0 is refused: its unit would be a guess."""
    if value in (0, "0") and not isinstance(value, bool):
        return 0.0
    match = _match(_DURATION, value)
    if match is None:
        raise ValueError(f"{shown(value)} is not a duration: write 250ms, 5s, 10m or 1h")
    times, per = _SECONDS[match[2]]
    seconds = float(match[1]) * times / per
    if seconds > MAX_DURATION:
        raise ValueError(f"{shown(value)} is more than 365d")
    return seconds


def render_duration(value: float) -> str:
    """Seconds as the largest unit that keeps the number whole."""
    return _shortest(value, dict(reversed(_SECONDS.items())), "") if value else "0s"


def parse_size(value: object) -> int:
    """``64KiB``, ``1MB`` or a bare number of bytes."""
    match = _match(_SIZE, value)
    if match is None:
        raise ValueError(f"{shown(value)} is not a size: write 512, 64KiB, 1MB or 2GiB")
    size = int(float(match[1]) * _BYTES[(match[2] or "B").lower()])
    if size > MAX_SIZE:
        raise ValueError(f"{shown(value)} is more than {render_size(MAX_SIZE)}")
    return size


def render_size(value: int) -> str:
    """Bytes as the largest binary unit that keeps the number whole."""
    for unit in ("GiB", "MiB", "KiB"):
        if value and value % _BYTES[unit.lower()] == 0:
            return f"{value // _BYTES[unit.lower()]}{unit}"
    return f"{value}B"


def parse_rate(value: object) -> float:
    """``500/s``, ``100/m`` to events a second."""
    match = _match(_RATE, value)
    if match is None or float(match[1]) <= 0:
        raise ValueError(f"{shown(value)} is not a rate above zero: write 500/s, 100/m or 10/h")
    times, per = _EACH[match[2]]
    return float(match[1]) * times / per


def render_rate(value: float) -> str:
    """Events a second, or a minute, hour or day where that keeps the number whole."""
    return _shortest(value, {unit: _EACH[unit] for unit in ("s", "m", "h", "d")}, "/")


def parse_percent(value: object) -> float:
    """``50%`` to 0.5. A bare number other than 0 is refused: 1 could be 1 % or 100 %."""
    if value in (0, "0") and not isinstance(value, bool):
        return 0.0
    match = _match(_PERCENT, value)
    if match is None or float(match[1]) > 100:
        raise ValueError(f"{shown(value)} is not a percentage: write 0% to 100%")
    return float(match[1]) / 100


def render_percent(value: float) -> str:
    """A share of one as a percentage."""
    return _shortest(value, {"%": (1, 100)}, "") if value else "0%"


def parse_count(value: object) -> int:
    """A whole number, zero or more."""
    match = _match(_WHOLE, value)
    if match is None:
        raise ValueError(f"{shown(value)} is not a whole number of zero or more")
    return int(match[0])


def parse_positive(value: object) -> int:
    """A whole number, one or more."""
    match = _match(_WHOLE, value)
    if match is None or int(match[0]) == 0:
        raise ValueError(f"{shown(value)} is not a whole number of one or more")
    return int(match[0])


def parse_flag(value: object) -> bool:
    """``true`` or ``false``; YAML's older ``yes``, ``on``, ``no`` and ``off`` are refused."""
    if value is True or value is False:
        return bool(value)
    if value in ("true", "false"):
        return value == "true"
    raise ValueError(f"{shown(value)} is not a yes-or-no value: write true or false")


def parse_text(value: object) -> str:
    """Some text on one line, not empty."""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text")
    if not value.strip():
        raise ValueError("the text is empty: leave the key out where nothing is meant")
    if len(value) > 255 or not value.isprintable():
        raise ValueError(f"{shown(value)} is not one printable line of up to 255 characters")
    return value


def _same(value: Any) -> Any:
    return value


def _kind(name: str, parse: Callable[[object], Any], render: Callable[[Any], Any], **schema: Any) -> dict[str, Kind]:
    return {"kind": Kind(name, parse, render, schema)}


def _written(pattern: re.Pattern[str]) -> str:
    return f"^{pattern.pattern}$"


_ZERO: Final[dict[str, Any]] = {"type": ["string", "integer"], "minimum": 0, "maximum": 0}  # 0 needs no unit
DURATION: Final = _kind(
    "duration", parse_duration, render_duration, pattern=_written(_DURATION), examples=["250ms"], **_ZERO
)
SIZE: Final = _kind(
    "size", parse_size, render_size, type=["string", "integer"], pattern="^[0-9.]+ ?([KMGkmg][Ii]?)?[Bb]?$", minimum=0
)
RATE: Final = _kind("rate", parse_rate, render_rate, type="string", pattern=_written(_RATE), examples=["500/s"])
PERCENT: Final = _kind(
    "percentage", parse_percent, render_percent, pattern=_written(_PERCENT), examples=["50%"], **_ZERO
)
COUNT: Final = _kind("count", parse_count, _same, type="integer", minimum=0)
POSITIVE: Final = _kind("positive count", parse_positive, _same, type="integer", minimum=1)
FLAG: Final = _kind("flag", parse_flag, _same, type="boolean")
TEXT: Final = _kind("text", parse_text, _same, type="string")


def one_of(*words: str) -> dict[str, Kind]:
    """Metadata of a field that takes one of some words."""

    def parse(value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        word = value if isinstance(value, str) else ""
        raise ValueError(f"{shown(value)} is not known here{nearest(word, words)}")

    return _kind("word", parse, _same, enum=list(words))


def optional(kind: Mapping[str, Kind]) -> dict[str, Kind]:
    """Metadata of a field that may also be absent (None, YAML's null)."""
    inner = kind["kind"]

    def parse(value: object) -> Any:
        return None if value is None else inner.parse(value)

    def render(value: Any) -> Any:
        return None if value is None else inner.render(value)

    return _kind(f"optional {inner.name}", parse, render, anyOf=[dict(inner.schema), {"type": "null"}])
