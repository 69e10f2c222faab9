"""Listening sockets: made here, or passed in by whoever started the process."""

from __future__ import annotations

import os
import socket
import stat

from gateway.config.address import Address
from gateway.config.model import Listener


class ListenError(Exception):
    """An address cannot be listened on; the text names it and says why."""


def bind(listener: Listener) -> list[socket.socket]:
    """Sockets bound to the listener's address; a host name may have several.

    Raises:
        ListenError: the address is taken, or not ours.
    """
    address = listener.address
    try:
        if address.path:
            return [_bind_unix(address.path, listener.mode)]
        return [_bind_tcp(family, name) for family, name in _resolve(address)]
    except OSError as error:
        raise ListenError(f"cannot listen on {address}: {error.strerror or error}") from error


def _resolve(address: Address) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, name) for family, _, _, _, name in found))


def _bind_tcp(family: socket.AddressFamily, name: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(name)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_unix(path: str, mode: int | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        # Nobody may connect before the mode is right, so the socket is made private first.
        previous = os.umask(0o177 if mode is not None else 0o077)
        try:
            sock.bind(path)
        finally:
            os.umask(previous)
        if mode is not None:
            os.chmod(path, mode)
    except OSError:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    """A socket file that nobody listens on is left over from a process that was killed."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)
    finally:
        probe.close()
