"""Where to listen and where to connect: ``host:port``, ``[::1]:port`` or ``unix:/path``."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Annotated, Final

from gateway.config.kinds import Written
from protocols.settings import Kind, shown

_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?")
_PORT: Final = re.compile(r"[0-9]{1,5}")
MAX_UNIX_PATH: Final = 107  # bytes, on Linux


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP host and port, or the path of a unix socket. ``str()`` writes it as the configuration does."""

    host: str = ""
    port: int = 0
    path: str = ""  # a unix socket when not empty

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def overlaps(self, other: Address) -> bool:
        """Listening on both at once fails: the same, or one is every interface of the other's family."""
        if self.path or other.path or self.port != other.port or not self.port:
            return bool(self.path) and self.path == other.path
        if (":" in self.host) != (":" in other.host):
            return False
        return self.host == other.host or bool({self.host, other.host} & {"0.0.0.0", "::"})


def parse_address(value: object) -> Address:
    """Read an address; port 0 (any free port) is for listeners.

    Raises:
        ValueError: it is none, with a hint.
    """
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not an address: write host:port or unix:/path")
    if value.startswith("unix:"):
        return _unix(value.removeprefix("unix:"))
    host, colon, port = value.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError(f"{shown(value)} is not an address: write host:port (port up to 65535) or unix:/path")
    if not host:
        raise ValueError(
            f"{shown(value)} does not say where: write 127.0.0.1:{port} (this machine only) or 0.0.0.0:{port} (all)"
        )
    if host.startswith("[") and host.endswith("]"):
        return Address(_numeric(socket.AF_INET6, host[1:-1]), int(port))
    if ":" in host:
        raise ValueError(f"{shown(value)} is ambiguous: write an IPv6 address as [::1]:{port}")
    if not _HOST.fullmatch(host):
        raise ValueError(f"{shown(value)} has no proper host name")
    digits = host.replace(".", "").isdigit()
    return Address(_numeric(socket.AF_INET, host) if digits else host, int(port))


def _unix(path: str) -> Address:
    if not path.startswith("/") or not path.isprintable():
        raise ValueError(f"{shown('unix:' + path)} needs an absolute path: unix:/run/poolgate/cache.sock")
    if len(path.encode()) > MAX_UNIX_PATH:
        raise ValueError(f"{shown('unix:' + path)} is longer than the {MAX_UNIX_PATH} bytes that the system takes")
    return Address(path=path)


def _numeric(family: socket.AddressFamily, host: str) -> str:
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, host))
    except OSError:
        raise ValueError(f"{shown(host)} is not an IP address") from None


def _parse_peer(value: object) -> Address:
    address = parse_address(value)
    if not address.path and not address.port:
        raise ValueError(f"{shown(value)}: port 0 is nowhere to connect to")
    return address


_SCHEMA: Final = {"type": "string", "examples": ["127.0.0.1:6379", "[::1]:6379", "unix:/run/poolgate/cache.sock"]}
ListenAddress = Annotated[Address, Written({"kind": Kind("address", parse_address, str, _SCHEMA)})]
PeerAddress = Annotated[Address, Written({"kind": Kind("address", _parse_peer, str, _SCHEMA)})]
