"""The Redis server behind everybody, and what a peer has to know to stand before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import redis as redis_py

from bench import certificates
from bench.process import LOOPBACK, free_port, running
from bench.redis.resp import KEY, answers
from bench.redis.workloads import RedisWorkload
from bench.suite import Asking, Stage

UPSTREAM_PASSWORD = "bench-upstream"
CLIENT_PASSWORD = "bench-client"


class RedisAsking(Asking):
    """A connection of redis-py's."""

    def __init__(self, client: redis_py.Redis) -> None:
        """Of a client to the measured Redis."""
        self._client = client

    def connections(self) -> int:
        """As Redis counts them."""
        return cast("dict[str, int]", self._client.info("clients"))["connected_clients"]

    def executed(self, test: str) -> int:
        """How often the command of this name."""
        stats = cast("dict[str, dict[str, int]]", self._client.info("commandstats"))
        return stats.get(f"cmdstat_{test.lower()}", {}).get("calls", 0)

    def close(self) -> None:
        """Disconnect."""
        self._client.close()


@dataclass(frozen=True, kw_only=True)
class RedisStage(Stage):
    """One running Redis and the manner in which a workload wants it reached."""

    workload: RedisWorkload
    port: int
    tls_port: int
    unix: Path
    ca: Path

    @property
    def password(self) -> str | None:
        """What Redis asks for, if anything."""
        return None if self.workload.upstream == "plain" else UPSTREAM_PASSWORD

    @property
    def upstream_port(self) -> int:
        """The port that the proxies connect to."""
        return self.tls_port if self.workload.upstream == "tls" else self.port

    def client(self) -> redis_py.Redis:
        """A client of this Redis, past every peer."""
        return redis_py.Redis(LOOPBACK, self.port, password=self.password, protocol=2)

    def asking(self) -> RedisAsking:
        """Somebody to ask."""
        return RedisAsking(self.client())


@contextmanager
def redis_server(workload: RedisWorkload, directory: Path) -> Iterator[RedisStage]:
    """Run a Redis for one workload: no persistence, everything else as it comes."""
    port, tls_port, unix = free_port(), free_port(), directory / "redis.sock"
    certificate, key = certificates.make(directory)
    line = ["redis-server", "--bind", LOOPBACK, "--port", str(port), "--unixsocket", str(unix), "--save", ""]
    line += ["--appendonly", "no", "--maxclients", "12000", "--tcp-backlog", "4096", "--dir", str(directory)]
    if workload.upstream != "plain":
        line += ["--requirepass", UPSTREAM_PASSWORD]
    if workload.upstream == "tls":
        line += ["--tls-port", str(tls_port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
        line += ["--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no"]
    password = None if workload.upstream == "plain" else UPSTREAM_PASSWORD
    with running(line, directory / "redis.log", lambda: answers((LOOPBACK, port), password)) as process:
        stage = RedisStage(
            directory=directory,
            pid=process.pid,
            command=tuple(line),
            workload=workload,
            port=port,
            tls_port=tls_port,
            unix=unix,
            ca=certificate,
        )
        with stage.client() as client:
            client.set(KEY, "x" * workload.size)
        yield stage
