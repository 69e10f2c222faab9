"""Two ways to one MariaDB, direct and through the gateway: a program has to print the same on both.

    with ways() as both:
        said = both.compare(lambda way: ["php", "script.php", str(way.port)])

Each way has a plain port that speaks TLS to those who ask, and a unix socket. ``compare`` gives each run the same empty
database.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mysql_gateway import MysqlGateway
from mysql_servers import MariaDBServer
from servers import LOOPBACK, Certificates, free_port

USER: Final = "app"
PASSWORD: Final = "s3cret"
DATABASE: Final = "ways"
_PATIENCE: Final = 120.0  # seconds for a program to end


@dataclass(frozen=True)
class Way:
    """Where a program connects to."""

    name: str
    port: int
    socket: Path
    ca: Path

    def environment(self) -> dict[str, str]:
        """The same as environment variables."""
        told = {"HOST": LOOPBACK, "PORT": str(self.port), "SOCKET": str(self.socket), "CA": str(self.ca)}
        return told | {"USER": USER, "PASSWORD": PASSWORD, "DATABASE": DATABASE}


class Ways:
    """The server, the gateway in front of it, and the way to each."""

    def __init__(self, mariadb: MariaDBServer, gateway: MysqlGateway, direct: Way, through: Way) -> None:
        self.mariadb: Final = mariadb
        self.gateway: Final = gateway
        self.direct: Final = direct
        self.through: Final = through

    def renew(self) -> None:
        """The database, empty."""
        self.mariadb.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
        self.mariadb.execute(f"CREATE DATABASE {DATABASE}")

    def run(self, way: Way, command: Sequence[str], *, env: Mapping[str, str] | None = None, stdin: str = "") -> str:
        """What a program prints that finds its way in its environment; it has to end well."""
        done = subprocess.run(
            list(command),
            env=dict(os.environ) | way.environment() | dict(env or {}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{way.name}: {' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout + done.stderr

    def compare(
        self, command: Callable[[Way], Sequence[str]], *, env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> str:
        """Run it both ways, on an empty database each time; what it printed, which is the same."""
        said = []
        for way in (self.direct, self.through):
            self.renew()
            said.append(self.run(way, command(way), env=env, stdin=stdin))
        self.gateway.wait_until_quiet()
        ours, theirs = said[1].splitlines(), said[0].splitlines()
        assert ours == theirs, "\n".join(difflib.unified_diff(theirs, ours, "direct", "through", lineterm="", n=1))
        return said[1]


@contextmanager
def ways(*, options: Mapping[str, str] | None = None, **service: Any) -> Iterator[Ways]:
    """MariaDB with TLS, and poolgate in front of it; ``options`` of mariadbd, ``service``: see MysqlGateway."""
    with tempfile.TemporaryDirectory(prefix="poolgate-ways-") as folder:
        certificates = Certificates.make(Path(folder))
        path = Path(folder) / "gateway.sock"
        port = free_port()
        tls = {"cert": str(certificates.server), "key": str(certificates.server_key)}
        service.setdefault("listen", [{"address": f"{LOOPBACK}:{port}", "tls": tls}, f"unix:{path}"])
        service.setdefault("clients", [{"user": USER, "password": PASSWORD}])
        service.setdefault("upstream", {"user": USER, "password": PASSWORD})
        service.setdefault("pool", {"max_connections": 10})
        with MariaDBServer(users={USER: PASSWORD}, tls=certificates, options=options) as mariadb:
            with MysqlGateway([mariadb.address], **service) as gateway:
                direct = Way("direct", mariadb.port, mariadb.path, certificates.ca)
                yield Ways(mariadb, gateway, direct, Way("through", port, path, certificates.ca))
