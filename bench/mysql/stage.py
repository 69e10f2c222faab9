"""The MariaDB behind everybody, and what a peer has to know to stand before it."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from bench import certificates, far
from bench.mysql.load import reach
from bench.mysql.wire import DATABASE, connect, greets
from bench.mysql.workloads import ROWS, MysqlWorkload
from bench.peer import Target, debian
from bench.process import LOOPBACK, BenchError, free_port, last_words, running
from bench.suite import Asking, Stage

UPSTREAM_USER, UPSTREAM_PASSWORD = "app", "bench-upstream"
CLIENT_USER, CLIENT_PASSWORD = "shop", "bench-client"
OPTIONS = (
    "--innodb-buffer-pool-size=256M",
    "--innodb-flush-log-at-trx-commit=2",  # a disk is not what is measured
    "--max-connections=2100",
    "--back-log=4096",
    "--skip-name-resolve",
    "--skip-log-bin",
)


class MariaDBAsking(Asking):
    """A connection past every peer, through the unix socket."""

    def __init__(self, connection: pymysql.Connection[Any], counter: str) -> None:
        """Of root, and the status variable that counts requests."""
        self._connection = connection
        self._counter = counter

    def connections(self) -> int:
        """As MariaDB counts them."""
        return self._status("Threads_connected")

    def executed(self, test: str) -> int:
        """How often the command that makes a request of this workload; it is the same in every test."""
        return self._status(self._counter)

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def _status(self, name: str) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute(f"SHOW GLOBAL STATUS LIKE '{name}'")
            row = cursor.fetchone()
        assert row is not None
        return int(row[1])


@dataclass(frozen=True, kw_only=True)
class MysqlStage(Stage):
    """One running MariaDB and the manner in which a workload wants it reached."""

    workload: MysqlWorkload
    host: str
    port: int
    unix: Path
    ca: Path

    @property
    def target(self) -> Target:
        """MariaDB itself, as the clients of a peer that only relays reach it too, but for the address."""
        ca = self.ca if self.workload.upstream == "tls" else None
        return Target((self.host, self.port), UPSTREAM_PASSWORD, ca, UPSTREAM_USER)

    def asking(self) -> MariaDBAsking:
        """Somebody to ask."""
        counter = "Com_commit" if self.workload.script == "oltp_read_write" else "Com_select"
        return MariaDBAsking(root(self.unix), counter)


def root(unix: Path) -> pymysql.Connection[Any]:
    """Through the unix socket, wherever the server's network is."""
    return connect(Target(str(unix), user="root"), database=None, autocommit=True)


@contextmanager
def mariadb_server(workload: MysqlWorkload, directory: Path) -> Iterator[MysqlStage]:
    """Run a MariaDB for one workload, with sysbench's table in it."""
    certificate, key = certificates.make(directory)
    unix, port = directory / "mariadb.sock", free_port()
    with ExitStack() as stack:
        place = stack.enter_context(far.network(directory)) if workload.upstream == "far" else None
        line = [*_install(directory), f"--socket={unix}", f"--port={port}", f"--pid-file={directory / 'mariadb.pid'}"]
        line += [f"--ssl-cert={certificate}", f"--ssl-key={key}", f"--bind-address={place.host if place else LOOPBACK}"]
        if workload.upstream == "tls":
            line += ["--require-secure-transport=ON"]
        command = [*(place.inside if place else ()), *line]
        process = stack.enter_context(running(command, directory / "mariadb.log", lambda: greets(str(unix))))
        stage = MysqlStage(
            directory=directory,
            pid=process.pid,
            command=tuple(line),
            helpers=(place.pid,) if place else (),
            workload=workload,
            host=place.host if place else LOOPBACK,
            port=port,
            unix=unix,
            ca=certificate,
        )
        _fill(unix)
        yield stage


def _install(directory: Path) -> list[str]:
    """Make a data folder; returns how the server is started on it."""
    data = directory / "data"
    # Its own tmpdir: a server that starts removes the temporary tables that it finds there, those of others as well.
    words = ["--no-defaults", f"--datadir={data}", f"--tmpdir={directory}"]
    words.append(f"--user={pwd.getpwuid(os.geteuid()).pw_name}")
    line = [debian("mariadb-install-db", "mariadb-server"), *words, "--auth-root-authentication-method=normal"]
    line += ["--skip-test-db", "--skip-name-resolve"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = [text for text in (done.stdout + done.stderr).splitlines() if "ERROR" in text]
        raise BenchError(f"mariadb-install-db failed: {last_words(said[-1] if said else done.stderr)}")
    return [debian("mariadbd", "mariadb-server"), *words, *OPTIONS]


def _fill(unix: Path) -> None:
    with root(unix) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {DATABASE}")
        cursor.execute(f"CREATE USER '{UPSTREAM_USER}'@'%' IDENTIFIED BY '{UPSTREAM_PASSWORD}'")
        cursor.execute(f"GRANT ALL ON *.* TO '{UPSTREAM_USER}'@'%'")
    target = Target(str(unix), UPSTREAM_PASSWORD, user=UPSTREAM_USER)
    line = [debian("sysbench"), "oltp_point_select", *reach(target), f"--table-size={ROWS}", "prepare"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"sysbench cannot prepare its table: {last_words(done.stdout + done.stderr)}")
