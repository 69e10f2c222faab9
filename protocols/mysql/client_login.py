"""How a client logs in to the gateway: the server's side of the connection phase, and of COM_CHANGE_USER.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from protocols.errors import ProtocolError
from protocols.mysql.auth import (
    FAST_AUTH_SUCCESS,
    NATIVE,
    PERFORM_FULL_AUTHENTICATION,
    REQUEST_PUBLIC_KEY,
    SHA2,
    Account,
    RsaKey,
    decoy,
    verify_clear,
    verify_native,
    verify_sha2,
)
from protocols.mysql.collations import handshake_byte
from protocols.mysql.constants import (
    AUTH_MORE_DATA,
    AUTH_SWITCH,
    CLIENT_CONNECT_ATTRS,
    CLIENT_CONNECT_WITH_DB,
    CLIENT_LONG_PASSWORD,
    CLIENT_PLUGIN_AUTH,
    CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA,
    CLIENT_PROTOCOL_41,
    CLIENT_SECURE_CONNECTION,
    CLIENT_SSL,
    ER_ACCESS_DENIED,
    ER_HANDSHAKE,
    ER_NET_PACKETS_OUT_OF_ORDER,
    ER_NOT_SUPPORTED_AUTH_MODE,
    SERVER_STATUS_ANSI_QUOTES,
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_NO_BACKSLASH_ESCAPES,
)
from protocols.mysql.login import ServerFacts
from protocols.mysql.packets import Reader, error, packet

# Where the login stands.
MORE: Final = 0  # the client has to say more
TLS: Final = 1  # the client wants TLS: start it, then call ``started_tls``
DONE: Final = 2  # let in; its OK packet has ``sequence``
REFUSED: Final = 3  # said so: close

MAX_LOGIN: Final = 1 << 16  # bytes of one packet: nobody is known yet who could be charged for more
MAX_ATTRIBUTES: Final = 1024  # bytes kept of what a client says of itself
_MAX_NAME: Final = 384  # bytes of a user's or a schema's name: MariaDB's longest are 128 characters

_SSL_REQUEST: Final = 32  # bytes
_MODES: Final = SERVER_STATUS_NO_BACKSLASH_ESCAPES | SERVER_STATUS_ANSI_QUOTES  # by which clients escape text
_EMPTY: Final = (b"", b"\0")  # caching_sha2_password says "no password" in two ways
_OWN_CAPABILITIES: Final = (
    CLIENT_LONG_PASSWORD
    | CLIENT_CONNECT_WITH_DB
    | CLIENT_PROTOCOL_41
    | CLIENT_SECURE_CONNECTION
    | CLIENT_PLUGIN_AUTH
    | CLIENT_CONNECT_ATTRS
    | CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
)

# What the client's next packet is.
_HANDSHAKE_RESPONSE: Final = 0  # or SSLRequest
_AUTH_SWITCH_RESPONSE: Final = 1
_FULL_AUTHENTICATION: Final = 2  # caching_sha2_password: the password, or a request for the public key
_ENCRYPTED_PASSWORD: Final = 3


@final
class ClientLogin:
    """One client's login. ``accounts`` is None where whoever reaches the listener is let in, whatever it answers.

    ``capabilities`` are those that the gateway offers; those of the login itself come on top. ``plugin`` is what the
    greeting proposes, mysql_native_password or caching_sha2_password. ``tls`` says that TLS can be started: what
    follows an SSLRequest, without a pause, is TLS already, and never for ``feed``. ``secure`` says that nobody else
    can read the line (a unix socket).

    Where only the native hash of a password is known, caching_sha2_password has to ask for the password itself: on a
    private line, or by ``rsa`` where it is what we propose. Not otherwise: libmysqlclient refuses RSA unless told.
    """

    def __init__(
        self,
        facts: ServerFacts,
        accounts: dict[str, Account] | None,
        connection_id: int,
        nonce: bytes,
        host: str,
        *,
        capabilities: int,
        tls: bool,
        secure: bool,
        rsa: RsaKey | None,
        plugin: str,
    ) -> None:
        self.state: int = MORE
        self.sequence: int = 0  # of the next packet, from either side
        self.user: str = ""
        self.database: str = ""
        self.capabilities: int = 0  # the client's and ours
        self.collation: int = 0
        self.attributes: dict[str, str] = {}
        self._facts: Final = facts
        self._accounts: Final = accounts
        self._connection_id: Final = connection_id
        self._nonce: bytes = nonce
        self._host: Final = host
        self._offered: int = capabilities & ~CLIENT_SSL | _OWN_CAPABILITIES | (CLIENT_SSL if tls else 0)
        self._secure: bool = secure
        self._rsa: Final = rsa
        self._proposed: Final = plugin
        self._plugin: str = plugin  # what the client is to answer by
        self._account: Account | None = None  # None: no password is checked
        self._awaits: int = _HANDSHAKE_RESPONSE

    def greeting(self) -> bytes:
        """The first packet, which the server sends."""
        self.sequence = 1
        own = self._offered >> 32  # MariaDB's; it says so by LONG_PASSWORD
        offered = (self._offered & (0xFFFFFFFE if own else 0xFFFFFFFF)).to_bytes(4, "little")
        status = SERVER_STATUS_AUTOCOMMIT | self._facts.status & _MODES
        parts = [
            b"\x0a", self._facts.version.encode(), b"\0",
            (self._connection_id & 0xFFFFFFFF).to_bytes(4, "little"), self._nonce[:8], b"\0",
            offered[:2], bytes([handshake_byte(self._facts.collation)]),
            status.to_bytes(2, "little"), offered[2:], bytes([len(self._nonce) + 1]), bytes(6),
            own.to_bytes(4, "little"), self._nonce[8:], b"\0", self._proposed.encode(), b"\0",
        ]  # fmt: skip
        return packet(b"".join(parts), 0)

    def feed(self, payload: bytes, sequence: int) -> bytes:
        """What to answer to the client's next packet; ``state`` says how to go on.

        Raises:
            ProtocolError: the packet is malformed.
        """
        if self.state != MORE:
            raise ProtocolError("a packet where the login had nothing to ask")
        expected = self.sequence
        self.sequence = sequence + 1 & 255
        if sequence != expected:
            return self._refuse(ER_NET_PACKETS_OUT_OF_ORDER, "Got packets out of order")
        if len(payload) > MAX_LOGIN:
            raise ProtocolError("the login packet is too long")
        return _READERS[self._awaits](self, payload)

    def started_tls(self) -> None:
        """The line is private from now on."""
        self._offered &= ~CLIENT_SSL
        self._secure = True
        self.state = MORE

    def change_user(self, payload: bytes, nonce: bytes) -> bytes:
        """COM_CHANGE_USER: the same once more, with a fresh nonce, for another user. Then it goes on with ``feed``.

        A client that knows plugins is always asked again (AuthSwitchRequest), as servers do; another can only have
        answered by the nonce that it has.
        """
        self.state = MORE
        self.sequence = 1
        reader = Reader(payload, 1)
        user = reader.until_nul()
        response = reader.take(reader.integer(1))
        database = reader.until_nul()
        if reader.left():
            self.collation = reader.integer(2)
        plugin = self._read_plugin(reader)
        self._read_attributes(reader)
        self._introduce(user, database)
        if not self.capabilities & CLIENT_PLUGIN_AUTH:
            return self._answered(plugin, response)
        self._nonce = nonce
        return self._switch(plugin if self._checkable(plugin) else self._preferred())

    # Reading

    def _handshake_response(self, payload: bytes) -> bytes:
        reader = Reader(payload)
        claimed = reader.integer(2)
        if not claimed & CLIENT_PROTOCOL_41:
            return self._refuse(ER_HANDSHAKE, "Bad handshake")
        claimed |= reader.integer(2) << 16
        self.capabilities = claimed & self._offered
        if self.capabilities & CLIENT_SSL:
            if len(payload) != _SSL_REQUEST:
                raise ProtocolError("the handshake response asks for TLS, and does not wait for it")
            self.state = TLS
            return b""
        if not claimed & CLIENT_SECURE_CONNECTION:
            return self._unsupported()
        reader.take(4)  # the longest packet that the client takes: servers do not heed it, either
        self.collation = reader.integer(1)
        reader.take(19)
        own = reader.integer(4)
        if not claimed & CLIENT_LONG_PASSWORD:
            self.capabilities |= (own << 32) & self._offered
        user = reader.until_nul()
        lenenc = self.capabilities & CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
        response = reader.lenenc_bytes() if lenenc else reader.take(reader.integer(1))
        database = reader.until_nul() if self.capabilities & CLIENT_CONNECT_WITH_DB else b""
        plugin = self._read_plugin(reader)
        self._read_attributes(reader)
        self._introduce(user, database)
        # A client that does not know the proposed plugin names its own, mostly with an empty response: no answer yet.
        if self._checkable(plugin) and (response or plugin == self._proposed):
            return self._answered(plugin, response)
        return self._switch(self._preferred())

    def _read_plugin(self, reader: Reader) -> str:
        """The plugin that the client answers by. Some leave it out though they announce it."""
        if not self.capabilities & CLIENT_PLUGIN_AUTH or not reader.left():
            return NATIVE
        return reader.until_nul().decode("latin-1")

    def _read_attributes(self, reader: Reader) -> None:
        self.attributes = {}
        if not self.capabilities & CLIENT_CONNECT_ATTRS or not reader.left():
            return
        pairs = Reader(reader.lenenc_bytes())
        room = MAX_ATTRIBUTES
        while pairs.left():
            name, value = pairs.lenenc_bytes(), pairs.lenenc_bytes()
            room -= len(name) + len(value)
            if room >= 0:
                self.attributes[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")

    def _introduce(self, user: bytes, database: bytes) -> None:
        if len(user) > _MAX_NAME or len(database) > _MAX_NAME:
            raise ProtocolError("the name of the user or the schema is too long")
        self.user = user.decode("utf-8", "replace")
        self.database = database.decode("utf-8", "replace")
        if self._accounts is not None:
            known = self._accounts.get(self.user)
            self._account = known if known is not None else decoy(self.user, self._accounts)

    # Authentication

    def _checkable(self, plugin: str) -> bool:
        """A client that answers by this plugin can be let in: by its answer, or by the password that it then tells."""
        account = self._account
        if plugin == NATIVE:
            return account is None or account.empty or account.native != b""
        tells = self._secure or (self._rsa is not None and self._proposed == SHA2)
        return plugin == SHA2 and (account is None or account.empty or account.sha2 != b"" or tells)

    def _preferred(self) -> str:
        return self._proposed if self._checkable(self._proposed) else NATIVE if self._checkable(NATIVE) else SHA2

    def _switch(self, plugin: str) -> bytes:
        if not self.capabilities & CLIENT_PLUGIN_AUTH:
            return self._unsupported()
        self._plugin = plugin
        self._awaits = _AUTH_SWITCH_RESPONSE
        return self._say(bytes([AUTH_SWITCH]) + plugin.encode() + b"\0" + self._nonce + b"\0")

    def _auth_switch_response(self, payload: bytes) -> bytes:
        return self._answered(self._plugin, payload)

    def _answered(self, plugin: str, response: bytes) -> bytes:
        """The client's answer to our nonce."""
        account = self._account
        if plugin == NATIVE:
            return self._judge(account is None or verify_native(account, self._nonce, response), response)
        if response in _EMPTY:
            return self._judge(account is None or account.empty, b"")
        if account is None or verify_sha2(account, self._nonce, response):
            return self._say(bytes([AUTH_MORE_DATA]) + FAST_AUTH_SUCCESS) + self._judge(True, response)
        if account.sha2 or account.empty:
            return self._judge(False, response)
        self._awaits = _FULL_AUTHENTICATION
        return self._say(bytes([AUTH_MORE_DATA]) + PERFORM_FULL_AUTHENTICATION)

    def _full_authentication(self, payload: bytes) -> bytes:
        if payload == REQUEST_PUBLIC_KEY and self._rsa is not None:
            self._awaits = _ENCRYPTED_PASSWORD
            return self._say(bytes([AUTH_MORE_DATA]) + self._rsa.pem())
        if not self._secure:
            return self._encrypted_password(payload)  # by a key that it has from before
        return self._told(payload.removesuffix(b"\0"))

    def _encrypted_password(self, payload: bytes) -> bytes:
        return self._told(self._rsa.decrypt(payload, self._nonce) if self._rsa is not None else None)

    def _told(self, password: bytes | None) -> bytes:
        account = self._account
        good = password is not None and (account is None or verify_clear(account, password))
        return self._judge(good, b"?" if password is None else password)

    def _judge(self, good: bool, answer: bytes) -> bytes:
        """Let the client in, or not; whether there was any answer is all that it is told."""
        if good:
            self.state = DONE
            return b""
        using = "YES" if answer else "NO"
        return self._refuse(
            ER_ACCESS_DENIED, f"Access denied for user '{self.user}'@'{self._host}' (using password: {using})"
        )

    # Writing

    def _unsupported(self) -> bytes:
        return self._refuse(
            ER_NOT_SUPPORTED_AUTH_MODE,
            "Client does not support authentication protocol requested by server; consider upgrading MySQL client",
        )

    def _say(self, payload: bytes) -> bytes:
        said = packet(payload, self.sequence)
        self.sequence = self.sequence + 1 & 255
        return said

    def _refuse(self, kind: tuple[int, str], message: str) -> bytes:
        self.state = REFUSED
        return error(self.sequence, kind, message)


_READERS: Final[dict[int, Callable[[ClientLogin, bytes], bytes]]] = {
    _HANDSHAKE_RESPONSE: ClientLogin._handshake_response,
    _AUTH_SWITCH_RESPONSE: ClientLogin._auth_switch_response,
    _FULL_AUTHENTICATION: ClientLogin._full_authentication,
    _ENCRYPTED_PASSWORD: ClientLogin._encrypted_password,
}
