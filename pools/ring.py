"""Lists that any member leaves in O(1), at the price of a few assignments: slots change lists with every call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar, final

from mypy_extensions import i64

T = TypeVar("T")


@final
class Link(Generic[T]):
    """A member's place in one ring, or in none."""

    __slots__ = ("member", "newer", "older", "ring")

    def __init__(self, member: T) -> None:
        self.member: T = member
        self.older: Link[T] | None = None
        self.newer: Link[T] | None = None
        self.ring: Ring[T] | None = None


@final
class Ring(Generic[T]):
    """Members in the order in which they were added."""

    __slots__ = ("count", "newest", "oldest")

    def __init__(self) -> None:
        self.count: i64 = 0
        self.oldest: Link[T] | None = None
        self.newest: Link[T] | None = None

    def add(self, link: Link[T]) -> None:
        """As the newest; it is in no ring."""
        last = self.newest
        link.older = last
        link.ring = self
        if last is None:
            self.oldest = link
        else:
            last.newer = link
        self.newest = link
        self.count += 1

    def remove(self, link: Link[T]) -> None:
        """It is in this ring."""
        older, newer = link.older, link.newer
        if older is None:
            self.oldest = newer
        else:
            older.newer = newer
        if newer is None:
            self.newest = older
        else:
            newer.older = older
        link.older = link.newer = link.ring = None
        self.count -= 1

    def members(self) -> list[T]:
        """All of them, the oldest first."""
        found: list[T] = []
        link = self.oldest
        while link is not None:
            found.append(link.member)
            link = link.newer
        return found

    def __iter__(self) -> Iterator[T]:
        return iter(self.members())

    def __len__(self) -> int:
        return self.count
