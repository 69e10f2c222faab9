"""A layer changes a connection's bytes below its protocol: TLS, compression. Sans-I/O, as codecs are."""

from __future__ import annotations

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Layer:
    """A pair of transformations, one for each direction. When one raises, the connection is over."""

    def __init__(self) -> None:
        self.held: bool = False  # some of what was received is held back: ``received(b"")`` goes on
        self.ended: bool = False  # the peer has said that it sends no more

    def received(self, data: bytes) -> bytes:
        """Bytes from the wire; returns the plain bytes that are ready.

        Raises:
            ProtocolError: the peer broke the layer's protocol.
        """
        raise NotImplementedError

    def sending(self, data: bytes) -> bytes:
        """Plain bytes; returns what goes on the wire now.

        Raises:
            ProtocolError: the layer takes no more.
        """
        raise NotImplementedError

    def pending(self) -> bytes:
        """What the layer itself has to say on the wire; asked when it starts and after ``received``."""
        return b""

    def closing(self) -> bytes:
        """The last bytes for the wire, ahead of an end in order."""
        return b""
