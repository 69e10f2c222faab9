"""The Redis server behind everybody, and what a peer has to know to stand before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis as redis_py

from bench import certificates
from bench.process import LOOPBACK, free_port, running
from bench.resp import KEY, answers
from bench.workloads import Workload

UPSTREAM_PASSWORD = "bench-upstream"
CLIENT_PASSWORD = "bench-client"


@dataclass(frozen=True)
class Stage:
    """One running Redis and the manner in which a workload wants it reached."""

    workload: Workload
    directory: Path
    pid: int
    port: int
    tls_port: int
    unix: Path
    ca: Path
    command: tuple[str, ...]

    @property
    def password(self) -> str | None:
        """What Redis asks for, if anything."""
        return None if self.workload.upstream == "plain" else UPSTREAM_PASSWORD

    @property
    def upstream_port(self) -> int:
        """The port that the proxies connect to."""
        return self.tls_port if self.workload.upstream == "tls" else self.port

    def client(self) -> redis_py.Redis:
        """A connection for questions about the server; it is not part of any measurement."""
        return redis_py.Redis(LOOPBACK, self.port, password=self.password, protocol=2)


@contextmanager
def redis_server(workload: Workload, directory: Path) -> Iterator[Stage]:
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
        stage = Stage(workload, directory, process.pid, port, tls_port, unix, certificate, tuple(line))
        with stage.client() as client:
            client.set(KEY, "x" * workload.size)
        yield stage
