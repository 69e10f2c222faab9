"""Real MySQL servers for tests: MariaDB, and one that logs in like MySQL 8.

    with MariaDBServer(users={"app": "s3cret"}) as mariadb:
        mariadb.execute("CREATE DATABASE shop")
        with mariadb.client(user="app", password="s3cret", database="shop") as connection: ...

Each has a database ``test`` and a user ``root``. Tests look at the server and change it past poolgate with ``execute``,
which logs in as root through the server's unix socket each time, so that restarts and kills do not matter to it.
"""

from __future__ import annotations

import atexit
import functools
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pymysql
from pymysql.cursors import Cursor, DictCursor

from servers import LOOPBACK, Certificates, Server, binary, free_port

_GREETING: Final = 10  # the protocol's version, the first byte of what a server says to a new connection


class DatabaseServer(Server):
    """What both have: an address, a client, and what tests ask a database server."""

    def __init__(self, *, port: int = 0, password: str = "", tls: Certificates | None = None) -> None:
        super().__init__()
        self.port: Final = port or free_port()
        self.path: Final = self.folder / "mysql.sock"
        self.password: Final = password
        self.tls: Final = tls

    @property
    def address(self) -> str:
        """``127.0.0.1:port``, as poolgate's ``endpoints`` take it."""
        return f"{LOOPBACK}:{self.port}"

    def client(self, **options: Any) -> pymysql.Connection[Cursor]:
        """A connection to this server, past poolgate; ``options`` go to ``pymysql.connect``, where root is the user."""
        to: dict[str, Any] = {"host": LOOPBACK, "port": self.port, "user": "root", "password": self.password}
        if "unix_socket" in options or not self.tls:
            to["ssl_disabled"] = True
        else:
            to["ssl"] = ssl.create_default_context(cafile=self.tls.ca)
        connection: pymysql.Connection[Cursor] = pymysql.connect(**to | options)
        return connection

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        """The rows of a statement, which commits by itself."""
        with self.client(unix_socket=str(self.path), autocommit=True, cursorclass=DictCursor) as connection:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters or None)
                return [dict(row) for row in cursor.fetchall()]

    def processlist(self) -> list[dict[str, Any]]:
        """A row for each connection but the one that asks: ``Id``, ``User``, ``db``, ``Command``, ``Info``, ..."""
        rows = self.execute("SHOW FULL PROCESSLIST")
        return [row for row in rows if row["User"] != "system user" and row["Info"] != "SHOW FULL PROCESSLIST"]

    def thread_ids(self, user: str | None = None) -> list[int]:
        """The connections by their id, of one user or of all."""
        return sorted(row["Id"] for row in self.processlist() if user in (None, row["User"]))

    def kill_query(self, thread_id: int) -> None:
        """``KILL QUERY``: the connection stays."""
        self.execute(f"KILL QUERY {thread_id:d}")

    def kill_connection(self, thread_id: int) -> None:
        """``KILL``: end a connection, whatever it does."""
        self.execute(f"KILL {thread_id:d}")

    def is_ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self.path))
                return probe.recv(5)[4:] == bytes([_GREETING])
            except OSError:
                return False


@functools.cache
def _mariadb_template() -> Path:
    """A data folder as ``mariadb-install-db`` makes it, which takes longer than to copy one."""
    folder = Path(tempfile.mkdtemp(prefix="poolgate-mariadb-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    command = [binary("mariadb-install-db"), "--no-defaults", f"--datadir={folder / 'data'}", _as_user()]
    command += ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
    # A server that starts removes temporary tables from its tmpdir, those of others as well: never a shared one.
    command += [f"--tmpdir={folder}"]
    subprocess.run([*command, *_SMALL], check=True, capture_output=True)
    return folder / "data"


def _as_user() -> str:
    return f"--user={pwd.getpwuid(os.geteuid()).pw_name}"  # mariadbd as root wants to hear that it is meant so


_SMALL: Final = ["--innodb-log-file-size=4M", "--innodb-autoextend-increment=1", "--innodb-flush-method=nosync"]
_OPTIONS: Final = {
    "innodb-buffer-pool-size": "32M",
    "innodb-buffer-pool-dump-at-shutdown": "OFF",
    "innodb-buffer-pool-load-at-startup": "OFF",
    "innodb-doublewrite": "OFF",
    "innodb-flush-log-at-trx-commit": "2",
    "innodb-temp-data-file-path": "ibtmp1:1M:autoextend",
    "aria-pagecache-buffer-size": "8M",
    "key-buffer-size": "1M",
    "performance-schema": "OFF",
    "local-infile": "ON",
    "skip-log-bin": "",
    "skip-name-resolve": "",
}


class MariaDBServer(DatabaseServer):
    """mariadbd on a free port and on a unix socket, small and without care for its data when the machine fails.

    Args:
        port: where to listen; 0 takes a free one.
        password: of root.
        users: passwords by user, with mysql_native_password. Each may do everything.
        ed25519_users: the same with the plugin ed25519.
        tls: serve TLS to the clients that ask for it. Client certificates are checked when they are shown.
        options: of mariadbd: ``{"max-connections": "5", "require-secure-transport": "ON"}``.
    """

    start_timeout = 30.0
    stop_timeout = 30.0

    def __init__(
        self,
        *,
        port: int = 0,
        password: str = "",
        users: Mapping[str, str] | None = None,
        ed25519_users: Mapping[str, str] | None = None,
        tls: Certificates | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(port=port, password=password, tls=tls)
        self.data: Final = self.folder / "data"
        shutil.copytree(_mariadb_template(), self.data)
        own = {
            "datadir": str(self.data),
            "tmpdir": str(self.folder),
            "socket": str(self.path),
            "pid-file": str(self.folder / "pid"),
            "init-file": str(self.folder / "init.sql"),
            "bind-address": LOOPBACK,
            "port": str(self.port),
        }
        if ed25519_users:
            own["plugin-load-add"] = "auth_ed25519"
        if tls:
            own |= {"ssl-ca": str(tls.ca), "ssl-cert": str(tls.server), "ssl-key": str(tls.server_key)}
        self._options: Final = _OPTIONS | own | dict(options or {})
        # What the server does at each of its starts, one statement a line.
        lines = ["CREATE DATABASE IF NOT EXISTS test"]
        lines += [f"SET PASSWORD FOR root@'{host}' = PASSWORD('{password}')" for host in ("localhost", LOOPBACK)]
        for plugin, those in (("mysql_native_password", users), ("ed25519", ed25519_users)):
            for name, secret in (those or {}).items():
                lines.append(f"CREATE OR REPLACE USER '{name}'@'%' IDENTIFIED VIA {plugin} USING PASSWORD('{secret}')")
                lines.append(f"GRANT ALL ON *.* TO '{name}'@'%'")
        (self.folder / "init.sql").write_text("".join(f"{line};\n" for line in lines))

    def command(self) -> list[str]:
        options = [f"--{name}={value}" if value else f"--{name}" for name, value in self._options.items()]
        return [binary("mariadbd"), "--no-defaults", _as_user(), *_SMALL, *options]


class MySQL8Server(DatabaseServer):
    """tests/mysql/sha2_server: it logs in with caching_sha2_password as MySQL 8 does, and keeps tables in memory.

    A full login goes over TLS, the unix socket or RSA; later ones of the same user are fast until a restart. Its SQL is
    that of the library go-mysql-server: without session trackers, temporary tables, COM_CHANGE_USER and privileges. In
    its processlist a connection has its user's name once it has a database.

    Args:
        port: where to listen; 0 takes a free one.
        password: of root.
        users: passwords by user.
        native_users: the same with mysql_native_password, to which the server has to switch.
        tls: serve TLS to the clients that ask for it.
        max_connections: more have to wait until one leaves; 0: no limit.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        password: str = "",
        users: Mapping[str, str] | None = None,
        native_users: Mapping[str, str] | None = None,
        tls: Certificates | None = None,
        max_connections: int = 0,
    ) -> None:
        super().__init__(port=port, password=password, tls=tls)
        words = [f"{name}:{secret}" for name, secret in {"root": password, **(users or {})}.items()]
        words += [f"{name}:{secret}:native" for name, secret in (native_users or {}).items()]
        self._options: Final = [f"-users={','.join(words)}", f"-max-connections={max_connections}"]
        if tls:
            self._options.extend([f"-cert={tls.server}", f"-key={tls.server_key}"])

    def command(self) -> list[str]:
        return [binary("sha2_server"), f"-address={self.address}", f"-socket={self.path}", *self._options]
