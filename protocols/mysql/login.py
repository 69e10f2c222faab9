"""How a new upstream connection logs in, and what it learns of the server.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, final

from protocols.codec import Login
from protocols.errors import LoginError, TagError
from protocols.mysql.auth import (
    CLEAR,
    ED25519,
    FAST_AUTH_SUCCESS,
    NATIVE,
    NONCE,
    PERFORM_FULL_AUTHENTICATION,
    REQUEST_PUBLIC_KEY,
    SHA2,
    encrypt_password,
    scramble_native,
    scramble_sha2,
    sign_ed25519,
)
from protocols.mysql.collations import handshake_byte
from protocols.mysql.constants import (
    AUTH_MORE_DATA,
    AUTH_NEXT_FACTOR,
    AUTH_SWITCH,
    CLIENT_COMPRESS,
    CLIENT_CONNECT_ATTRS,
    CLIENT_CONNECT_WITH_DB,
    CLIENT_LONG_PASSWORD,
    CLIENT_PLUGIN_AUTH,
    CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA,
    CLIENT_PROTOCOL_41,
    CLIENT_SECURE_CONNECTION,
    CLIENT_SSL,
    ER_BAD_DB,
    ER_DBACCESS_DENIED,
    ERR_PACKET,
    OK_PACKET,
    SERVER_SESSION_STATE_CHANGED,
)
from protocols.mysql.packets import HEADER, Reader, lenenc_bytes, packet, read_error, u24

MAX_REPLY: Final = 1 << 16

_PROTOCOL_VERSION: Final = 10
_MAX_PACKET: Final = 1 << 24
_MAX_TEXT: Final = 255  # what a server says of itself and of its reasons is shown and logged
_NEEDED: Final = CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION
# They change what is said here: not for others to want.
_OURS: Final = CLIENT_SSL | CLIENT_CONNECT_WITH_DB | CLIENT_CONNECT_ATTRS | CLIENT_COMPRESS
_VERSION: Final = re.compile(r"(?:5\.5\.5-)?(\d{1,4})\.(\d{1,4})")  # MariaDB leads with 5.5.5- for old replicas' sake

# What comes next.
_GREETING: Final = 0
_TLS: Final = 1
_VERDICT: Final = 2  # OK, or more of the authentication's dialogue
_PUBLIC_KEY: Final = 3
_SETUP: Final = 4


@final
class ServerFacts:
    """What a server says of itself in its greeting."""

    def __init__(self, version: str, capabilities: int, collation: int, thread_id: int) -> None:
        self.version: Final = version  # as it says it: a client is to see the same
        self.capabilities: Final = capabilities
        self.collation: Final = collation
        self.thread_id: Final = thread_id
        self.is_mariadb: Final = "mariadb" in version.lower() or not capabilities & CLIENT_LONG_PASSWORD
        numbers = _VERSION.match(version)
        self.status: int = 0  # the flags of a connection that was set up: they tell of the server's sql_mode
        self.release: Final = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


@final
class MysqlLogin(Login):
    """The server greets; TLS where wanted; HandshakeResponse; the plugin's dialogue; then the setup statements.

    ``capabilities`` are those that this connection is to have; what the server lacks is dropped. A ``collation``
    beyond 255 does not fit into the handshake: a setup statement has to set it. ``secure`` says that nobody else can
    read the line (a unix socket); TLS makes it so, too. ``setup`` holds COM_QUERY packets, and whether each has to
    succeed.
    """

    def __init__(
        self,
        capabilities: int,
        user: str,
        password: bytes,
        database: str,
        collation: int,
        *,
        tls: bool,
        secure: bool,
        setup: list[tuple[bytes, bool]],
        learned: Callable[[ServerFacts], None],
    ) -> None:
        self.facts: ServerFacts | None = None
        self.capabilities: int = capabilities
        self.status: int = 0
        self.tracked: bool = False  # the server told of a session state change that a setup statement made
        self.starts_tls: bool = False  # start TLS, then feed b""
        self._user: Final = user.encode()
        self._password: Final = password
        self._database: Final = database.encode()
        self._collation: Final = handshake_byte(collation)
        self._tls: Final = tls
        self._secure: bool = secure
        self._setup: Final = setup
        self._learned: Final = learned
        self._state: int = _GREETING
        self._buffer: bytes = b""
        self._sequence: int = 0
        self._plugin: str = ""
        self._nonce: bytes = b""
        self._switched: bool = False
        self._done: int = 0  # setup statements

    def start(self) -> bytes:
        """Nothing: the server speaks first."""
        return b""

    def feed(self, data: bytes) -> bytes | None:
        """See Login. One packet at a time: what is left when we have to speak was not asked for."""
        self._buffer += data
        if self._state == _TLS:
            self._expect_silence()
            self.starts_tls = False
            self._secure = True
            return self._respond()
        while True:
            payload = self._packet()
            if payload is None:
                return b""
            answer = _READERS[self._state](self, payload)
            if answer != b"":
                self._expect_silence()
                return answer

    def _expect_silence(self) -> None:
        if self._buffer:
            raise LoginError("the upstream said more than it was asked for")  # its replies would shift

    def _packet(self) -> bytes | None:
        """The payload of the next packet; None: it is not here yet."""
        if len(self._buffer) < HEADER:
            return None
        length = int(u24(self._buffer, 0))
        if length == 0 or length > MAX_REPLY:
            known = f"the upstream's answer to the login has {length} bytes"
            raise LoginError(known if self.facts is not None else "the upstream does not speak the protocol of MySQL")
        if len(self._buffer) < HEADER + length:
            return None
        sequence = self._buffer[3]
        payload = self._buffer[HEADER : HEADER + length]
        self._buffer = self._buffer[HEADER + length :]
        if sequence != self._sequence and payload[0] != ERR_PACKET:  # a server that shuts down does not wait its turn
            raise LoginError("the upstream's packets are out of order")
        self._sequence = sequence + 1 & 255
        return payload

    def _say(self, payload: bytes) -> bytes:
        said = packet(payload, self._sequence)
        self._sequence = self._sequence + 1 & 255
        return said

    # The handshake

    def _greeting(self, payload: bytes) -> bytes | None:
        if payload[0] == ERR_PACKET:
            raise LoginError(_refusal("connection refused", payload))
        if payload[0] != _PROTOCOL_VERSION:
            raise LoginError("the upstream does not speak protocol version 10 of MySQL")
        reader = Reader(payload, 1)
        version = reader.until_nul()[:_MAX_TEXT].decode("utf-8", "replace")
        thread_id = reader.integer(4)
        nonce = reader.take(8)
        reader.take(1)
        offered = reader.integer(2)
        collation = reader.integer(1)
        self.status = reader.integer(2)
        offered |= reader.integer(2) << 16
        size = reader.integer(1)
        reader.take(6)
        own = reader.integer(4)
        if not offered & CLIENT_LONG_PASSWORD:
            offered |= own << 32
        if offered & _NEEDED != _NEEDED:
            raise LoginError(f"the upstream is too old: MySQL {version} without the protocol of 4.1")
        nonce += reader.take(max(13, size - 8))
        self._nonce = nonce.removesuffix(b"\0")
        named = reader.rest() if offered & CLIENT_PLUGIN_AUTH else b""  # old servers forget the NUL behind it
        self._plugin = named.partition(b"\0")[0].decode("latin-1")
        if self._plugin not in (NATIVE, SHA2):
            self._plugin = NATIVE  # the server will say which one this user has
        self.facts = ServerFacts(version, offered, collation, thread_id)
        self._negotiate(offered)
        if not self._tls:
            return self._respond()
        self._state = _TLS
        self.starts_tls = True
        return self._say(self._introduction())

    def _negotiate(self, offered: int) -> None:
        wanted = self.capabilities & ~_OURS | _NEEDED | CLIENT_PLUGIN_AUTH | CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
        if self._database:
            wanted |= CLIENT_CONNECT_WITH_DB
        if self._tls:
            wanted |= CLIENT_SSL
            if not offered & CLIENT_SSL:
                raise LoginError("TLS is wanted, and the upstream does not offer it")
        # To MariaDB LONG_PASSWORD means: no capabilities beyond MySQL's.
        common = wanted & offered
        self.capabilities = common & ~CLIENT_LONG_PASSWORD if common >> 32 else common | CLIENT_LONG_PASSWORD

    def _introduction(self) -> bytes:
        numbers = (self.capabilities & 0xFFFFFFFF).to_bytes(4, "little") + _MAX_PACKET.to_bytes(4, "little")
        return numbers + bytes([self._collation]) + bytes(19) + (self.capabilities >> 32).to_bytes(4, "little")

    def _respond(self) -> bytes:
        """HandshakeResponse."""
        proof = self._proof()
        parts = [self._introduction(), self._user, b"\0", lenenc_bytes(proof)]
        if self.capabilities & CLIENT_CONNECT_WITH_DB:
            parts += [self._database, b"\0"]
        if self.capabilities & CLIENT_PLUGIN_AUTH:
            parts += [self._plugin.encode(), b"\0"]
        self._state = _VERDICT
        return self._say(b"".join(parts))

    # Authentication

    def _proof(self) -> bytes:
        """What the plugin answers to the server's nonce."""
        if self._plugin == ED25519:
            return sign_ed25519(self._password, self._nonce)
        if self._plugin == CLEAR:
            if not self._secure:
                raise LoginError(f"the upstream asks for the password in clear ({CLEAR}): only over TLS")
            return self._password + b"\0"
        if len(self._nonce) != NONCE:
            raise LoginError(f"the upstream's nonce has {len(self._nonce)} bytes instead of {NONCE}")
        if self._plugin == SHA2:
            return scramble_sha2(self._password, self._nonce)
        return scramble_native(self._password, self._nonce)

    def _verdict(self, payload: bytes) -> bytes | None:
        kind = payload[0]
        if kind == OK_PACKET:
            self.status = _status(payload)
            assert self.facts is not None
            self._learned(self.facts)
            self._state = _SETUP
            return self._next_statement()
        if kind == ERR_PACKET:
            raise _login_error(payload)
        if kind == AUTH_SWITCH:
            return self._switch(payload)
        if kind == AUTH_NEXT_FACTOR:
            raise LoginError("the upstream wants a second factor: multi-factor authentication is not supported")
        if kind != AUTH_MORE_DATA or self._plugin != SHA2:
            raise LoginError("the upstream answered the login with a packet that has no place there")
        if payload[1:] == FAST_AUTH_SUCCESS:
            return b""
        if payload[1:] != PERFORM_FULL_AUTHENTICATION:
            raise LoginError(f"the upstream answered {SHA2} with what it does not define")
        if self._secure:
            return self._say(self._password + b"\0")
        self._state = _PUBLIC_KEY
        return self._say(REQUEST_PUBLIC_KEY)

    def _switch(self, payload: bytes) -> bytes:
        if len(payload) == 1:
            raise LoginError("the upstream wants the password as before 4.1 (mysql_old_password): not supported")
        if self._switched:
            raise LoginError("the upstream switches the authentication plugin again and again")
        self._switched = True
        reader = Reader(payload, 1)
        self._plugin = reader.until_nul().decode("latin-1")
        nonce = reader.rest()
        self._nonce = nonce if self._plugin == ED25519 else nonce.removesuffix(b"\0")
        if self._plugin not in (NATIVE, SHA2, ED25519, CLEAR):
            raise LoginError(f"the upstream wants the authentication plugin {self._plugin[:64]!r}: not supported")
        return self._say(self._proof())

    def _public_key(self, payload: bytes) -> bytes | None:
        if payload[0] == ERR_PACKET:
            raise _login_error(payload)
        if payload[0] != AUTH_MORE_DATA:
            raise LoginError("the upstream has no public key to encrypt the password with: use TLS")
        self._state = _VERDICT
        return self._say(encrypt_password(self._password, self._nonce, payload[1:]))

    # Setup

    def _next_statement(self) -> bytes | None:
        if self._done == len(self._setup):
            assert self.facts is not None
            self.facts.status = self.status
            return None
        self._sequence = 1
        return self._setup[self._done][0]

    def _set_up(self, payload: bytes) -> bytes | None:
        required = self._setup[self._done][1]
        self._done += 1
        if payload[0] == ERR_PACKET:
            if required:
                raise LoginError(_refusal("a statement that sets the connection up was refused", payload))
        elif payload[0] == OK_PACKET:
            self.status = _status(payload)
            self.tracked = self.tracked or self.status & SERVER_SESSION_STATE_CHANGED > 0
        else:
            raise LoginError("a statement that sets the connection up was answered with rows")
        return self._next_statement()


_READERS: Final[dict[int, Callable[[MysqlLogin, bytes], bytes | None]]] = {
    _GREETING: MysqlLogin._greeting,
    _VERDICT: MysqlLogin._verdict,
    _PUBLIC_KEY: MysqlLogin._public_key,
    _SETUP: MysqlLogin._set_up,
}


def _status(payload: bytes) -> int:
    """The status flags of an OK packet."""
    reader = Reader(payload, 1)
    reader.lenenc()
    reader.lenenc()
    return reader.integer(2)


def _refusal(what: str, payload: bytes) -> str:
    number, _, text = read_error(payload)
    return f"{what}: {number} {text[:_MAX_TEXT]}"


def _login_error(payload: bytes) -> LoginError:
    """The user was let in, but not into this database: then the upstream itself is well."""
    of_database = read_error(payload)[0] in (ER_BAD_DB[0], ER_DBACCESS_DENIED[0])
    text = _refusal("login refused", payload)
    return TagError(text) if of_database else LoginError(text)
