"""One worker process: starts everything, keeps it running, and ends it in order."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import socket
import ssl
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final

import uvloop

from gateway import logs
from gateway.admin import Admin
from gateway.config import Config
from gateway.listeners import ListenError, bind
from gateway.service import Service
from gateway.session import Session
from gateway.wiring import build, listener_tls

STARTING: Final = "starting"
READY: Final = "ready"
DRAINING: Final = "draining"

_HANDSHAKE_TIMEOUT: Final = 10.0  # seconds that a client may take for it, where TLS comes before all else
_SPARE_FILES: Final = 128  # lanes, listeners, the admin's
_GC_THRESHOLD: Final = 50_000  # what a call makes is freed by its reference count; cycles are rare


class Worker:
    """Services, their listeners and the admin address."""

    def __init__(self, config_path: str, config: Config) -> None:
        self.config_path: Final = config_path
        self.config: Final = config
        self.state: str = STARTING
        self.started: Final = monotonic()
        self.listening: Final[list[tuple[str, str]]] = []
        self.services: Final[dict[str, Service]] = build(config, self.spawn)
        self._admin: Final = Admin(self)
        self._servers: Final[list[asyncio.Server]] = []
        self._unix_paths: Final[list[str]] = []
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._numbers: int = 0
        self._draining: Final = asyncio.Event()
        self._quitting: Final = asyncio.Event()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside the rest; what it raises is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logs.error("a task failed", exception=error)

    async def run(self) -> None:
        """Serve until told to stop.

        Raises:
            ListenError: an address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        self._make_room_for_files()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        try:
            await self._open()
            await self._draining.wait()
            await self._drain()
        finally:
            self._close()
        await asyncio.sleep(0)  # transports that were closed get to say goodbye

    def _make_room_for_files(self) -> None:
        """Every connection is an open file. Beyond the limit the kernel turns clients away, and nobody would say so."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        wanted = _SPARE_FILES + sum(
            settings.limits.max_clients + settings.pool.max_connections for settings in self.config.services.values()
        )
        if hard != resource.RLIM_INFINITY and hard < wanted:
            logs.warning("ulimit -n allows fewer connections than max_clients", allowed=hard, wanted=wanted)

    def _on_signal(self) -> None:
        if self._draining.is_set():
            self.quit()
        self.drain()

    async def _open(self) -> None:
        """Listen everywhere before the first client is accepted, then say so in one line."""
        sockets = [
            (name, listener, listener_tls(listener), sock)
            for name, service in self.config.services.items()
            for listener in service.listen
            for sock in bind(listener)
        ]
        for service in self.services.values():
            service.start()
        for name, listener, tls, sock in sockets:
            await self._listen(name, sock, listener.backlog, tls)
        if self.config.admin is not None:
            await self._admin.start(self.config.admin)
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 20, 100)
        where = ", ".join(f"{name} on {address}" for name, address in self.listening)
        logs.info("listening", services=where, admin=str(self.config.admin or "off"), config=self.config_path)
        self.spawn(self._become_ready())

    async def _become_ready(self) -> None:
        """Ready means: the first connect of every service has been tried, whatever came of it."""
        for service in self.services.values():
            for endpoint in service.balance.endpoints:
                await endpoint.tried.wait()
        if self.state == STARTING:
            self.state = READY
            logs.info("ready")

    async def _listen(self, name: str, sock: socket.socket, backlog: int, tls: ssl.SSLContext | None) -> None:
        loop: Any = asyncio.get_running_loop()  # Any: a Session has no asyncio base class, so that it compiles
        service = self.services[name]
        later = tls if service.protocol.starts_tls_itself else None
        at_once = {"ssl": tls, "ssl_handshake_timeout": _HANDSHAKE_TIMEOUT} if tls is not None and later is None else {}

        def accept() -> Session:
            self._numbers += 1
            return Session(service, self._numbers, later)

        if sock.family == socket.AF_UNIX:
            path = sock.getsockname()
            self._unix_paths.append(path)
            server = await loop.create_unix_server(accept, sock=sock, backlog=backlog, **at_once)
            self.listening.append((name, f"unix:{path}"))
        else:
            server = await loop.create_server(accept, sock=sock, backlog=backlog, **at_once)
            host, port = sock.getsockname()[:2]
            self.listening.append((name, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"))
        self._servers.append(server)

    def drain(self) -> None:
        """Stop accepting; let what is under way finish; then stop."""
        if self.state != DRAINING:
            self.state = DRAINING
            logs.info("draining", clients=self._sessions(), drain_timeout=self.config.drain_timeout)
        self._draining.set()

    def quit(self) -> None:
        """Stop now."""
        self._quitting.set()
        self.drain()

    def _sessions(self) -> int:
        return sum(len(service.sessions) for service in self.services.values())

    async def _drain(self) -> None:
        for server in self._servers:
            server.close()
        self._remove_unix_paths()
        for service in self.services.values():
            service.drain()
        over = [self.spawn(self._everyone_gone()), self.spawn(self._told_to_quit())]
        await asyncio.wait(over, timeout=self.config.drain_timeout, return_when=asyncio.FIRST_COMPLETED)
        if left := self._sessions():
            logs.warning("stopping with clients left", clients=left)

    async def _everyone_gone(self) -> None:
        for service in self.services.values():
            await service.gone()

    async def _told_to_quit(self) -> None:
        await self._quitting.wait()

    def _remove_unix_paths(self) -> None:
        while self._unix_paths:
            with suppress(FileNotFoundError):
                Path(self._unix_paths.pop()).unlink()

    def _close(self) -> None:
        self._admin.close()
        for service in self.services.values():
            service.close()
        for server in self._servers:
            server.close()
        self._remove_unix_paths()
        for task in self._tasks:
            task.cancel()
        logs.info("stopped")


def run(config_path: str, config: Config) -> int:
    """Run a worker until it is told to stop; the exit code."""
    logs.configure(config.log.format, config.log.level)

    async def serve() -> None:
        logs.install(asyncio.get_running_loop())
        await Worker(config_path, config).run()

    try:
        uvloop.run(serve())
    except (ListenError, OSError) as error:  # an address that is taken, a certificate that cannot be read
        logs.error(f"cannot start: {error}")
        return 1
    return 0
