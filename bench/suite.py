"""What a protocol brings to the benchmark."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, Self, TypeVar

from bench.generator import Load
from bench.peer import Peer, Standing, Target
from bench.reading import Reading
from bench.targets import Promise


@dataclass(frozen=True)
class Workload:
    """What is asked of each peer in one turn, as data: the same words for every peer."""

    name: str
    about: str
    kind: str
    tests: tuple[str, ...]
    clients: int = 1
    requests: int = 0

    @property
    def step(self) -> int:
        """Requests come in multiples of this."""
        return self.clients

    def scaled(self, factor: float) -> Self:
        """The same workload with fewer requests."""
        return replace(self, requests=max(self.step, int(self.requests * factor) // self.step * self.step))


class Asking(ABC):
    """A connection for questions about the server; it is not part of any measurement."""

    @abstractmethod
    def connections(self) -> int:
        """How many the server has, this one included."""

    @abstractmethod
    def executed(self, test: str) -> int:
        """Requests of this test that the server has executed so far."""

    @abstractmethod
    def close(self) -> None:
        """No more questions."""


@dataclass(frozen=True, kw_only=True)
class Stage(ABC):
    """The server behind everybody, as one workload wants it."""

    directory: Path
    pid: int
    command: tuple[str, ...]
    helpers: tuple[int, ...] = ()  # processes of the stage itself, whose work is nobody's

    @abstractmethod
    def asking(self) -> Asking:
        """Somebody to ask; close it afterwards."""


@dataclass(frozen=True)
class Column:
    """One figure in the tables."""

    figure: str
    title: str
    digits: int
    spread: bool = False


@dataclass(frozen=True)
class Panel:
    """One part of the picture: a figure, as it is or relative to that of a peer."""

    figure: str
    title: str
    base: str | None = None


W = TypeVar("W", bound=Workload)
S = TypeVar("S", bound=Stage)


@dataclass(frozen=True)
class Suite(Generic[W, S]):
    """A benchmark: everything that differs between the protocols."""

    name: str  # of its files and of its command
    help: str
    server: str  # as it is called; in lower case it begins the names of figures
    workloads: dict[str, W]
    peers: dict[str, Peer[S]]
    targets: tuple[Promise, ...]
    stage: Callable[[W, Path], AbstractContextManager[S]]
    load: Callable[[Target, S, str], AbstractContextManager[Load]]
    measure: Callable[[Standing, S, str], Reading]
    versions: Callable[[], dict[str, str]]
    bases: tuple[str, ...]  # the peers that ratios are told to
    panels: tuple[Panel, ...]
    profiled: str  # the workload that is profiled when none is named
    columns: dict[str, tuple[Column, ...]] = field(default_factory=dict)  # of kinds with tables of their own
    unloaded: tuple[str, ...] = ()  # kinds that have no throughput
    problems: tuple[type[Exception], ...] = ()  # of its client library: a reading's fault, not the end of the run
    lacking: Callable[[W], str | None] = lambda _workload: None  # why a workload cannot be had here

    @property
    def server_cpu(self) -> str:
        """The figure of the server's own CPU per request."""
        return f"{self.server.lower()}_cpu_us"
