"""Who is measured. A peer says how it is started before a stage; everything else is the same for all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from bench.process import BenchError, running

SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
Address = tuple[str, int] | str  # host and port, or the path of a unix socket


@dataclass(frozen=True)
class Target:
    """Where and how the clients connect in one turn."""

    address: Address
    password: str | None = None
    ca: Path | None = None  # TLS when given
    user: str | None = None


@dataclass(frozen=True)
class Proxy:
    """One process to be started: its command, how its clients reach it, and how one sees that they can."""

    command: list[str]
    target: Target
    ready: Callable[[Target], bool]
    admin: int | None = None


@dataclass(frozen=True)
class Standing:
    """A peer that is ready for clients. The direct peer has no process of its own."""

    target: Target
    pid: int | None = None
    command: tuple[str, ...] = ()
    admin: int | None = None


class Place(Protocol):
    """What a peer needs to know of any stage."""

    @property
    def directory(self) -> Path:
        """Where its files go."""


S = TypeVar("S", bound=Place)


@dataclass(frozen=True)
class Peer(Generic[S]):
    """A way for clients to reach the server."""

    name: str
    about: str
    colour: str
    prepare: Callable[[S], Proxy | Target]  # a mere target: without a process in between
    needs: Callable[[], object] = lambda: True  # raises BenchError when the peer is not installed
    joins: Callable[[S], bool] = lambda _stage: True  # whether the workload can be asked of it


@contextmanager
def standing(peer: Peer[S], stage: S) -> Iterator[Standing]:
    """Start the peer, and end it afterwards."""
    proxy = peer.prepare(stage)
    if isinstance(proxy, Target):
        yield Standing(proxy)
        return
    log = stage.directory / f"{peer.name}.log"
    with running(proxy.command, log, lambda: proxy.ready(proxy.target)) as process:
        yield Standing(proxy.target, process.pid, tuple(proxy.command), proxy.admin)


def write(stage: Place, name: str, text: str) -> str:
    """A file of the stage; returns its path."""
    path = stage.directory / name
    path.write_text(text)
    return str(path)


def debian(name: str, package: str = "") -> str:
    """The path of a program that Debian has."""
    if found := shutil.which(name, path=SEARCH):
        return found
    raise BenchError(f"{name} is not installed (apt-get install {package or name})")


def available(peers: dict[str, Peer[S]], names: list[str]) -> tuple[list[Peer[S]], dict[str, str]]:
    """The peers that can take part, and why the others cannot."""
    present, absent = [], {}
    for name in names:
        try:
            peers[name].needs()
        except BenchError as reason:
            absent[name] = str(reason)
        else:
            present.append(peers[name])
    return present, absent
