"""``poolgate wait``: for start-up order, when an application must not begin before its sidecar."""

from __future__ import annotations

import http.client
import socket
import time
from typing import Final

from gateway.config.address import Address

_PAUSE: Final = 0.1  # seconds between two questions
_PATIENCE: Final = 2.0  # seconds for one answer


class _Connection(http.client.HTTPConnection):
    """HTTP to an address, which may be a unix socket."""

    def __init__(self, address: Address, timeout: float) -> None:
        super().__init__(address.host or "localhost", address.port, timeout=timeout)
        self._address = address

    def connect(self) -> None:
        if not self._address.path:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._address.path)


def wait(admin: Address, timeout: float) -> bool:
    """Ask ``GET /ready`` until the answer is 200; False when it was not, for so many seconds."""
    end = time.monotonic() + timeout
    while True:
        left = end - time.monotonic()
        if _is_ready(admin, min(_PATIENCE, max(left, _PAUSE))):
            return True
        if left <= _PAUSE:
            return False
        time.sleep(_PAUSE)


def _is_ready(admin: Address, timeout: float) -> bool:
    connection = _Connection(admin, timeout)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
