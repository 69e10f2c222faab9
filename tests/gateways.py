"""One gateway in front of one Redis, and what its tests ask of both.

with Gateway(redis_server, pool={"max_connections": 4}) as gateway:
    with gateway.wire() as wire:
        assert wire.call("PING") == "PONG"
    gateway.is_quiet()
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final, Self

import hiredis
import redis

from servers import LOOPBACK, PoolgateProcess, RedisServer, free_port, wait_until

SERVICE: Final = "cache"
PATIENCE: Final = 10.0  # seconds until something that has to happen is given up, on a busy machine
Reply = Any


def pack(*args: Any) -> bytes:
    """A command as clients send it."""
    packed: bytes = hiredis.pack_command(args)
    return packed


class Wire:
    """A client without a library: commands out, replies in, as they come. Errors are values here."""

    def __init__(self, address: tuple[str, int] | str, timeout: float = PATIENCE) -> None:
        self.socket: Final = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        self._reader: Final = hiredis.Reader(encoding="utf-8", errors="surrogateescape", notEnoughData=Ellipsis)

    def send(self, *args: Any) -> Self:
        """One command."""
        return self.raw(pack(*args))

    def pipeline(self, *commands: str) -> Self:
        """Several commands in one write; a command is split at blanks."""
        return self.raw(b"".join(pack(*command.split()) for command in commands))

    def raw(self, data: bytes) -> Self:
        """Just these bytes."""
        self.socket.sendall(data)
        return self

    def reply(self) -> Reply:
        """The next reply or push.

        Raises:
            EOFError: the gateway closed instead.
        """
        while (value := self._reader.gets()) is Ellipsis:
            data = self.socket.recv(1 << 16)
            if not data:
                raise EOFError("closed")
            self._reader.feed(data)
        return value

    def replies(self, count: int) -> list[Reply]:
        """The next ones."""
        return [self.reply() for _ in range(count)]

    def call(self, *args: Any) -> Reply:
        """One command and its reply."""
        return self.send(*args).reply()

    def calls(self, *commands: str) -> list[Reply]:
        """Several commands in one write, and their replies."""
        return self.pipeline(*commands).replies(len(commands))

    def is_closed(self) -> bool:
        """The gateway ended the connection and sent nothing before that."""
        try:
            self.reply()
        except (EOFError, ConnectionError):
            return True
        return False

    def is_silent(self, seconds: float = 0.1) -> bool:
        """Nothing comes, for so long."""
        patience = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            self.reply()
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(patience)
        return False

    def end_sending(self) -> Self:
        """A half-closed connection: the client still reads."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def vanish(self) -> None:
        """As a client that crashed: the connection is reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


class Gateway(PoolgateProcess):
    """poolgate with one service, ``cache``, in front of one upstream.

    Args:
        server: a Redis, or the address of something that passes for one.
        service: further keys of the service: ``pool``, ``policies``, ``limits``, ``clients``, ``commands``, ...
        top: further keys of the configuration: ``drain_timeout``, ...
    """

    def __init__(self, server: RedisServer | str, /, *, top: Mapping[str, Any] | None = None, **service: Any) -> None:
        self.port: Final = free_port()
        address = server if isinstance(server, str) else server.address
        service.setdefault("listen", [f"{LOOPBACK}:{self.port}"])
        service["upstream"] = {"endpoints": [address], **service.get("upstream", {})}
        super().__init__({**(top or {}), "services": {SERVICE: {"protocol": "redis", **service}}})

    def wire(self, *, timeout: float = PATIENCE) -> Wire:
        """A client without a library."""
        return Wire((LOOPBACK, self.port), timeout)

    @contextmanager
    def wires(self, count: int) -> Iterator[list[Wire]]:
        """Several of them, closed at the end."""
        with ExitStack() as closing:
            yield [closing.enter_context(self.wire()) for _ in range(count)]

    def client(self, **options: Any) -> redis.Redis:
        """A redis-py client, which neither retries nor pools more than it is told to."""
        options = {"socket_timeout": PATIENCE, "retry": None, "decode_responses": True, **options}
        return redis.Redis(host=LOOPBACK, port=self.port, **options)

    # What the admin says

    def stats(self) -> dict[str, Any]:
        """The service in ``/stats``."""
        stats: dict[str, Any] = self.admin("/stats")["services"][SERVICE]
        return stats

    def calls(self, verb: str) -> dict[str, int]:
        """How the calls of one verb ended, as ``/stats`` counts them; without those that never happened."""
        counts = self.stats()["calls"]["by_verb"].get(verb, {})
        return {word: n for word, n in counts.items() if word not in ("effect", "latency_ms") and n}

    def policy(self, name: str) -> dict[str, Any]:
        """A policy's live state."""
        return next(entry for entry in self.stats()["policies"] if entry["policy"] == name)

    def endpoint(self) -> dict[str, Any]:
        """The one endpoint in ``/clusters``."""
        endpoint: dict[str, Any] = self.admin("/clusters")[SERVICE]["endpoints"][0]
        return endpoint

    def leases(self) -> dict[str, Any]:
        """The pool of leases."""
        leases: dict[str, Any] = self.endpoint()["leases"]
        return leases

    def in_flight(self) -> int:
        """Replies that lanes wait for."""
        return sum(lane["in_flight"] for group in self.endpoint()["lanes"]["groups"] for lane in group["lanes"])

    def sessions(self) -> list[dict[str, Any]]:
        """Who is connected."""
        sessions: list[dict[str, Any]] = self.admin("/sessions")["sessions"]
        return sessions

    def session(self, number: int) -> dict[str, Any]:
        """One client, by its CLIENT ID."""
        return next(session for session in self.sessions() if session["id"] == number)

    # What may take a moment

    def wait_until_free(self) -> None:
        """Until nobody holds a lease or waits for one, and nothing is in flight."""
        wait_until(self._is_free, "everything given back")

    def _is_free(self) -> bool:
        leases = self.leases()
        return not (leases["leased"] or leases["cleaning"] or leases["waiting"] or self.in_flight())

    def wait_until_quiet(self) -> None:
        """Until the last client is gone and everything balances."""
        wait_until(lambda: not self.sessions(), "no sessions")
        self.wait_until_free()

    def wait_until_up(self) -> None:
        """Until the upstream is connected."""
        wait_until(lambda: self.endpoint()["state"] == "up" and self._has_lane(), "upstream up")

    def _has_lane(self) -> bool:
        groups = self.endpoint()["lanes"]["groups"]
        return any(lane["state"] == "open" for group in groups for lane in group["lanes"])

    def wait_until_holds(self, number: int, word: str) -> None:
        """Until a client is pinned because of ``word`` and has its lease, or (``""``) shares again."""

        def holds() -> bool:
            session = self.session(number)
            if not word:
                return session["lease"] is None and session["holds"] == "shares connections"
            return session["lease"] is not None and f"because {word} " in session["holds"]

        wait_until(holds, f"client {number} holds {word or 'nothing'}")


def upstream_connections(server: RedisServer) -> list[dict[str, Any]]:
    """Who is connected to Redis itself, without the connection that asks."""
    with server.client(decode_responses=True) as direct:
        me = str(direct.client_id())
        return [client for client in direct.client_list() if client["id"] != me]
