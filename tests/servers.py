"""Real servers for tests, each on a free loopback port, and poolgate itself as a process.

    with RedisServer(password="s3cret") as redis, PoolgateProcess(config) as gateway:
        redis.client().set("a", 1)
        assert gateway.admin("/stats")

Every process is in a group of its own and ends with the test session, whatever happens: by ``stop`` at the end of
its ``with``, by ``atexit``, and by the kernel when the test process is killed.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Self

import pytest
import redis
import yaml

ROOT: Final = Path(__file__).parent.parent
LOOPBACK: Final = "127.0.0.1"
# Which form of poolgate is under test: the sources, or the installed, compiled package.
COMPILED: Final = os.environ.get("POOLGATE_FORM", "interpreted") == "compiled"

_libc = ctypes.CDLL(None, use_errno=True)  # before any fork: nothing may be loaded between fork and exec
_PR_SET_PDEATHSIG: Final = 1
_running: set[Server] = set()


def _ports() -> Iterator[int]:
    """Ports below the kernel's ephemeral range, a slice of them for each worker of pytest-xdist."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first, size = 12_000 + worker % 10 * 2_000, 2_000
    at = random.randrange(size)  # other runs on this machine start elsewhere
    while True:
        yield first + at
        at = (at + 1) % size


_next_port = _ports()


def free_port() -> int:
    """A loopback port that nobody listens on, not given out again soon."""
    for port in _next_port:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((LOOPBACK, port))
                return port
    raise AssertionError("unreachable")


def binary(name: str) -> str:
    """The path of a program. Without it the test fails in CI, which installs everything, and is skipped elsewhere."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", str(Path(sys.executable).parent)])
    found = shutil.which(name, path=places)
    if found is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"{name} is not installed: tests/install-servers.sh")
    return str(found)


def wait_until(ready: Any, what: str, timeout: float = 10.0) -> None:
    """Ask ``ready()`` until it is true, first often, then less often.

    Raises:
        TimeoutError: it did not become true in time.
    """
    end, pause = time.monotonic() + timeout, 0.002
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


@dataclass(frozen=True)
class Certificates:
    """PEM files of a throw-away authority, and what it signed for ``localhost`` and 127.0.0.1."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Have openssl write them into a folder."""

        def pair(name: str, *options: str) -> tuple[Path, Path]:
            certificate, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
            command = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
            names = ["-subj", f"/CN=poolgate test {name}", "-keyout", str(key), "-out", str(certificate)]
            subprocess.run([binary("openssl"), *command, *names, *options], check=True, capture_output=True)
            return certificate, key

        ca, ca_key = pair("ca", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        signed = ("-CA", str(ca), "-CAkey", str(ca_key), "-addext", "basicConstraints=critical,CA:FALSE")
        server, server_key = pair("server", *signed, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        client, client_key = pair("client", *signed)
        return cls(ca, server, server_key, client, client_key)


class Server:
    """A program that runs for a while in a folder of its own. Subclasses say how it starts and when it is ready."""

    start_timeout: float = 10.0
    stop_timeout: float = 10.0

    def __init__(self) -> None:
        self.folder: Final = Path(tempfile.mkdtemp(prefix="poolgate-"))
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def is_ready(self) -> bool:
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self.process is not None, "not running"
        return self.process.pid

    @property
    def log(self) -> str:
        """What it wrote so far, of all its runs."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> Self:
        """Start it and wait until it is ready; ends it again, and shows its log, when that does not happen."""
        assert self.process is None, "already running"
        with (self.folder / "log").open("ab") as log:
            self.process = self._spawn(log)
        _running.add(self)
        try:
            wait_until(self._ready_or_dead, f"{type(self).__name__} ready", self.start_timeout)
        except BaseException as error:
            self.kill()
            error.add_note(f"--- its log ---\n{self.log}")
            raise
        return self

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self.folder,
            env=self.environment(),
            start_new_session=True,
            preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
        )

    def _ready_or_dead(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise ChildProcessError(f"{type(self).__name__} ended with {self.process.returncode} at its start")
        return self.is_ready()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it alone: SIGHUP, SIGSTOP and SIGCONT to pause it, ..."""
        os.kill(self.pid, number)

    def pause(self) -> None:
        """Freeze it: it stays connected and says nothing."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after ``pause``."""
        self.signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM, and its exit code; kills it, and fails, when it does not end in time. 0 when it does not run."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.resume()
            self.process.terminate()
        try:
            code = self.process.wait(self.stop_timeout)
        except subprocess.TimeoutExpired as error:
            error.add_note(f"--- its log ---\n{self.log}")
            raise
        finally:
            self.kill()
        return code

    def kill(self) -> None:
        """SIGKILL to all of its process group."""
        process, self.process = self.process, None
        _running.discard(self)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def restart(self) -> Self:
        """Stop it and start it again at the same address."""
        self.stop()
        return self.start()

    def rss(self) -> int:
        """Resident memory in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def remove(self) -> None:
        """End it, if it runs, and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start() if self.process is None else self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.stop()
        finally:
            self.remove()


class RedisServer(Server):
    """redis-server on a free port and on a unix socket, without persistence.

    Args:
        port: where to listen; 0 takes a free one.
        password: ``requirepass``, the password of the user ``default``.
        users: ACL rules by user, ``{"app": "on >secret ~app:* +@all"}``.
        tls: serve TLS, and only TLS, on the port. Client certificates are checked when they are shown.
        settings: more lines of redis.conf, ``{"maxmemory": "64mb"}``.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        password: str = "",
        users: Mapping[str, str] | None = None,
        tls: Certificates | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.port: Final = port or free_port()
        self.path: Final = self.folder / "redis.sock"
        self.password: Final = password
        self.tls: Final = tls
        lines = {
            "bind": LOOPBACK,
            "port": "0" if tls else str(self.port),
            "unixsocket": str(self.path),
            "save": '""',
            "appendonly": "no",
            "enable-debug-command": "yes",
            "repl-diskless-sync-delay": "0",
        }
        if password:
            lines["requirepass"] = password
        if tls:
            lines |= {"tls-port": str(self.port), "tls-ca-cert-file": str(tls.ca), "tls-auth-clients": "optional"}
            lines |= {"tls-cert-file": str(tls.server), "tls-key-file": str(tls.server_key)}
        lines |= settings or {}
        rules = [f"user {name} {rule}" for name, rule in (users or {}).items()]
        text = "\n".join([*(f"{word} {value}" for word, value in lines.items()), *rules])
        (self.folder / "redis.conf").write_text(text + "\n")

    @property
    def address(self) -> str:
        """``127.0.0.1:port``, as poolgate's ``endpoints`` take it."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """For redis-py's ``from_url``."""
        return f"redis{'s' if self.tls else ''}://{f':{self.password}@' if self.password else ''}{self.address}/0"

    def client(self, **options: Any) -> redis.Redis:
        """A redis-py client of this server, past poolgate; ``options`` go to ``redis.Redis``."""
        if self.tls:
            options = {"ssl": True, "ssl_ca_certs": str(self.tls.ca), **options}
        return redis.Redis(**{"host": LOOPBACK, "port": self.port, "password": self.password or None, **options})

    def command(self) -> list[str]:
        return [binary("redis-server"), str(self.folder / "redis.conf")]

    def is_ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.path))
                probe.sendall(b"PING\r\n")
                return probe.recv(64).startswith((b"+PONG", b"-NOAUTH"))
            except OSError:
                return False


class PoolgateProcess(Server):
    """``poolgate run`` in the form under test, on a configuration file in its folder.

    Args:
        config: the configuration, as a mapping or as YAML text. Without ``admin`` it gets a free port for it.
        env: more environment variables, for ``${NAME}`` in the configuration.
    """

    start_timeout = 20.0
    stop_timeout = 20.0

    def __init__(self, config: Mapping[str, Any] | str, *, env: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.env: Final = dict(env or {})
        self.file: Final = self.folder / "poolgate.yaml"
        self._free_admin: Final = f"{LOOPBACK}:{free_port()}"
        self.address: str = ""  # of the admin
        self.configure(config)

    def configure(self, config: Mapping[str, Any] | str) -> None:
        """Write the configuration file; a running poolgate takes it up by itself, or at once by ``reload``."""
        text = config if isinstance(config, str) else yaml.safe_dump(dict(config), sort_keys=False)
        parsed = yaml.safe_load(text)
        if isinstance(parsed, dict) and "admin" not in parsed:
            text = f"{text.rstrip()}\nadmin: {self._free_admin}\n"  # at the end: lines keep their numbers
        self.address = str(parsed.get("admin", self._free_admin)) if isinstance(parsed, dict) else self._free_admin
        waiting = self.file.with_suffix(".new")
        waiting.write_text(text)
        waiting.replace(self.file)

    def reload(self) -> None:
        """SIGHUP. That it was heard is seen in what changes, not here."""
        self.signal(signal.SIGHUP)

    def command(self) -> list[str]:
        return [sys.executable, *(["-P"] if COMPILED else []), "-m", "gateway", "run", "-c", str(self.file)]

    def environment(self) -> dict[str, str]:
        env = dict(os.environ) | self.env
        if COMPILED:
            env.pop("PYTHONPATH", None)
        else:
            env["PYTHONPATH"] = str(ROOT)
        return env

    def is_ready(self) -> bool:
        try:
            self.admin("/ready")
        except OSError:  # not listening yet, or listening and not ready (an HTTP error is an OSError too)
            return False
        return True

    def admin(self, path: str, *, method: str = "GET", timeout: float = 5.0) -> Any:
        """What the admin answers: JSON decoded, or text.

        Raises:
            urllib.error.HTTPError: the answer is not 2xx; ``.code`` and ``.read()`` tell more.
        """
        request = urllib.request.Request(f"http://{self.address}{path}", method=method)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            body = answer.read().decode()
            return json.loads(body) if answer.headers.get_content_type() == "application/json" else body

    def stop(self) -> int:
        """SIGTERM: it must drain and exit with 0."""
        code = super().stop()
        assert code == 0, f"poolgate ended with {code}\n--- its log ---\n{self.log}"
        return code


@atexit.register
def _kill_all() -> None:
    for server in list(_running):
        server.remove()
