"""The layers of one connection: everything between its transport and its protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from mypy_extensions import i64

from protocols.errors import ProtocolError
from protocols.layer import Layer


@final
class Layers:
    """A stack of layers, the one next to the wire first. A connection without any has no stack either."""

    def __init__(self, transport: Any, failed: Callable[[str], None]) -> None:
        self._transport: Final = transport
        self._failed: Final = failed  # what goes out cannot: whoever writes may be anybody, so nothing is raised
        self._layers: Final[list[Layer]] = []
        self._leftover: bytes = b""  # for the layer on top

    def push(self, layer: Layer, leftover: bytes = b"") -> None:
        """On top; what it has to say at once goes out. ``leftover`` came through the others already."""
        self._layers.append(layer)
        self._leftover = leftover
        self._say_pending()

    def received(self, data: bytes) -> bytes:
        """From the transport to the protocol.

        Raises:
            ProtocolError: see Layer. What the layers say to that has been written.
        """
        try:
            for layer in self._layers[:-1]:
                data = layer.received(data)
            if self._leftover:
                data = self._leftover + data
                self._leftover = b""
            return self._layers[-1].received(data)
        finally:
            self._say_pending()

    def write(self, data: bytes) -> None:
        """From the protocol to the transport."""
        self._sink(data, len(self._layers))

    def _sink(self, data: bytes, at: i64) -> None:
        """Write what comes from the layer at a place in the stack, through those below it."""
        try:
            while at > 0 and data:
                at -= 1
                data = self._layers[at].sending(data)
        except ProtocolError as error:
            self._failed(str(error))
            return
        if data:
            self._transport.write(data)

    def _say_pending(self) -> None:
        for at in range(len(self._layers)):
            self._sink(self._layers[at].pending(), at)

    def close(self) -> None:
        """Say the last words, from the top."""
        for at in range(len(self._layers) - 1, -1, -1):
            self._sink(self._layers[at].closing(), at)

    def held(self) -> bool:
        """A layer holds bytes back: ``received(b"")`` goes on."""
        return any(layer.held for layer in self._layers)

    def ended(self) -> bool:
        """The peer sends no more."""
        return any(layer.ended for layer in self._layers)
