"""What was executed, by digest: how often, how long it took, what came of it. Texts hold no literals."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from heapq import nlargest
from math import inf
from typing import Any, Final, final

from mypy_extensions import i64

from protocols.histogram import Histogram
from protocols.mysql.lexer import digest
from protocols.mysql.statements import Statement
from protocols.mysql.verbs import OTHER


@final
class Digest:
    """The executions of all statements with one digest text."""

    __slots__ = ("affected", "count", "errors", "first", "last", "latency", "longest", "rows", "shortest", "statement")

    def __init__(self, statement: Statement) -> None:
        self.statement: Final = statement
        self.count: i64 = 0
        self.errors: i64 = 0
        self.rows: i64 = 0  # sent to clients
        self.affected: int = 0  # the server's own number, which may be as large as 64 bits allow
        self.shortest: float = inf
        self.longest: float = 0.0
        self.latency: Final = Histogram()  # and the time in all
        self.first: float = 0.0  # when it came, on the monotonic clock
        self.last: float = 0.0

    def add(self, failed: bool, rows: i64, affected: int, duration: float, now: float) -> None:
        """One more execution."""
        if self.count == 0:
            self.first = now
        self.last = now
        self.count += 1
        if failed:
            self.errors += 1
        self.rows += rows
        self.affected += affected
        if duration < self.shortest:
            self.shortest = duration
        if duration > self.longest:
            self.longest = duration
        self.latency.record(duration, 1)

    def numbers(self) -> dict[str, Any]:
        """For people; ``latency`` as it is."""
        count = int(self.count)
        total = self.latency.total
        return {
            "count": count,
            "errors": int(self.errors),
            "rows": int(self.rows),
            "affected": self.affected,
            "time_ms": _milliseconds(total),
            "mean_ms": _milliseconds(total / count if count else 0.0),
            "min_ms": _milliseconds(self.shortest if count else 0.0),
            "max_ms": _milliseconds(self.longest),
            "latency": self.latency,
        }

    def facts(self, now: float) -> dict[str, Any]:
        """The numbers, and whose they are. First and last seen are ages in seconds."""
        text = self.statement.digest
        return {
            "digest": digest(text),
            "text": text.decode("utf-8", "replace"),
            "verb": self.statement.verb.name,
            **self.numbers(),
            "first_seen": round(now - self.first, 3),
            "last_seen": round(now - self.last, 3),
        }


# What a list of digests can be sorted by, the greatest first.
ORDERS: Final[dict[str, Callable[[Digest], float]]] = {
    "time": lambda one: one.latency.total,
    "count": lambda one: float(one.count),
    "errors": lambda one: float(one.errors),
    "rows": lambda one: float(one.rows),
    "mean": lambda one: one.latency.total / float(one.count),
}


@final
class Digests:
    """The digests of one service: ``limit`` of them at most, then the one that was not executed for longest goes."""

    def __init__(self, limit: int) -> None:
        self._limit: Final[i64] = limit
        self._by_text: Final[OrderedDict[bytes, Digest]] = OrderedDict()
        self._all: Digest = Digest(_ALL)
        self._forgotten: i64 = 0

    def __len__(self) -> int:
        return len(self._by_text)

    def record(self, statement: Statement, failed: bool, rows: i64, affected: int, duration: float, now: float) -> None:
        """A statement was executed."""
        text = statement.digest
        found = self._by_text.get(text)
        if found is None:
            if len(self._by_text) >= self._limit:
                self._by_text.popitem(last=False)
                self._forgotten += 1
            found = self._by_text[text] = Digest(statement)
        else:
            self._by_text.move_to_end(text)
        found.add(failed, rows, affected, duration, now)
        self._all.add(failed, rows, affected, duration, now)

    def fetched(self, statement: Statement, rows: i64) -> None:
        """More rows of an execution that was recorded before."""
        self._all.rows += rows
        found = self._by_text.get(statement.digest)
        if found is not None:
            found.rows += rows

    def top(self, by: str, limit: int, now: float) -> list[dict[str, Any]]:
        """The facts of the greatest ones, by one of ORDERS."""
        return [one.facts(now) for one in nlargest(limit, self._by_text.values(), key=ORDERS[by])]

    def totals(self) -> dict[str, Any]:
        """All executions together, those of forgotten digests included."""
        numbers = self._all.numbers()
        del numbers["latency"]
        return {
            "digests": len(self._by_text),
            "limit": int(self._limit),
            "forgotten": int(self._forgotten),
            **numbers,
        }

    def reset(self) -> None:
        """Begin anew."""
        self._by_text.clear()
        self._all = Digest(_ALL)
        self._forgotten = 0


_ALL: Final = Statement(b"", [OTHER])


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
