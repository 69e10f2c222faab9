"""Something that passes for a Redis until it misbehaves as a test says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from servers import LOOPBACK


class FakeUpstream:
    """Answers as the test says: ``behave(connection)`` runs for every connection, in a thread."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self._behave = behave
        self._listener = socket.create_server((LOOPBACK, 0))
        self.address = f"{LOOPBACK}:{self._listener.getsockname()[1]}"
        self.accepted = 0
        self._connections: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the gateway, or the test, closed it
            self._behave(connection)

    def __enter__(self) -> FakeUpstream:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()  # nothing is accepted behind its back
        self._listener.close()
        for connection in self._connections:
            connection.close()


def greet(connection: socket.socket) -> None:
    """Answer HELLO as Redis does."""
    connection.recv(4096)
    connection.sendall(b"*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n")
