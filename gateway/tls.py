"""TLS as a layer, for protocols that start it in mid-connection; and the contexts that hold certificates."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, final

from protocols.errors import ProtocolError
from protocols.layer import Layer

_RECORD: Final = 1 << 14  # plain bytes of one TLS record, at most
_MAX_WAITING: Final = 1 << 20  # plain bytes that wait for the end of the handshake


@final
class TlsLayer(Layer):
    """One end of a TLS connection. What is sent during the handshake goes out behind it, so nothing leaks."""

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_name: str | None = None,
        memory: TlsMemory | None = None,
    ) -> None:
        super().__init__()
        self._incoming: Final = ssl.MemoryBIO()
        self._outgoing: Final = ssl.MemoryBIO()
        self._memory: TlsMemory | None = memory
        self._tls: Final = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_side,
            server_hostname=server_name,
            session=memory.session if memory is not None else None,
        )
        self._established: bool = False
        self._waiting: bytes = b""
        self._shake_hands()

    def received(self, data: bytes) -> bytes:
        """See Layer."""
        if self.ended:
            return b""  # as TLS has it, whatever follows the peer's farewell is ignored
        self._incoming.write(data)
        try:
            if not self._established and not self._shake_hands():
                return b""
            plain = self._read()
        except ssl.SSLError as error:
            raise ProtocolError(f"TLS: {explain(error)}") from None
        if plain and self._memory is not None:
            self._memory.session = self._tls.session  # TLS 1.3 issues it behind the handshake
            self._memory = None
        return plain

    def _shake_hands(self) -> bool:
        """Go on with the handshake; True: it is complete."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self._established = True
        self._write(self._waiting)
        self._waiting = b""
        return True

    def _read(self) -> bytes:
        parts: list[bytes] = []
        try:
            while part := self._tls.read(_RECORD):
                parts.append(part)
            self.ended = True
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLWantReadError:
            pass  # the rest of a record is still to come
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[self._tls.write(data) :]

    def sending(self, data: bytes) -> bytes:
        """See Layer."""
        if not self._established:
            if len(self._waiting) + len(data) > _MAX_WAITING:
                raise ProtocolError("TLS: too much is to be sent before the handshake is through")
            self._waiting += data
            return b""
        try:
            self._write(data)
        except ssl.SSLError as error:
            raise ProtocolError(f"TLS: {explain(error)}") from None
        return self._outgoing.read()

    def pending(self) -> bytes:
        """See Layer."""
        return self._outgoing.read()

    def closing(self) -> bytes:
        """See Layer."""
        if self._established:
            with suppress(ssl.SSLError):  # close_notify is written; that the peer's has not come yet is no error
                self._tls.unwrap()
        return self._outgoing.read()


@final
class TlsMemory:
    """The last session with one upstream: who resumes it is spared most of the handshake."""

    def __init__(self) -> None:
        self.session: ssl.SSLSession | None = None


@final
class TlsClient:
    """How one upstream is spoken to in private."""

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self.context: Final = context
        self.server_name: Final = server_name
        self._memory: Final = TlsMemory()

    def layer(self) -> Layer:
        """For a new connection."""
        return TlsLayer(self.context, server_name=self.server_name, memory=self._memory)


def listener_context(cert: Path, key: Path, ca: Path | None) -> ssl.SSLContext:
    """What a listener shows its clients, and, with ``ca``, what they have to show.

    Raises:
        OSError: a file is of no use; the text says which and why.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        load_pair(context, cert, key)
    except OSError as error:
        raise OSError(f"{cert} and {key} are no certificate with its key: {explain(error)}") from None
    if ca is not None:
        try:
            context.load_verify_locations(ca)
        except OSError as error:
            raise OSError(f"{ca} holds no certificates: {explain(error)}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def load_pair(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    """Load a certificate and its key; OpenSSL would ask a terminal for the password of an encrypted one.

    Raises:
        OSError: they cannot be read, or do not belong together.
    """
    context.load_cert_chain(cert, key, password=_no_password)


def _no_password() -> str:
    return ""


def explain(error: OSError) -> str:
    """What OpenSSL, or the system, found wrong, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        reason: Any = getattr(error, "reason", None)  # typed as text, and not always there
        text = reason or str(error).removeprefix("[SSL] ").partition(" (_ssl")[0]
        return text.replace("_", " ").lower()
    return error.strerror or str(error)
