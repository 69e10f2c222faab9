"""A MySQL client without a library: commands out, whatever the server says in, packet by packet. Errors are values.

    with Wire((LOOPBACK, port)) as wire:
        assert wire.query("SELECT 1")[0].rows == [(b"1",)]

``Talk`` is the conversation without I/O: generators that yield what is to be sent and get packets. ``Wire`` drives them
over a socket, tests/mysql_clients.py over asyncio.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from typing import Any, Final, Self

from protocols.mysql import constants as c
from protocols.mysql.packets import Reader, command, lenenc, lenenc_bytes, packet, read_error

PATIENCE: Final = 10.0  # seconds until something that has to come is given up, on a busy machine
BASIC: Final = (
    c.CLIENT_LONG_PASSWORD
    | c.CLIENT_LONG_FLAG
    | c.CLIENT_LOCAL_FILES
    | c.CLIENT_PROTOCOL_41
    | c.CLIENT_TRANSACTIONS
    | c.CLIENT_SECURE_CONNECTION
    | c.CLIENT_MULTI_STATEMENTS
    | c.CLIENT_MULTI_RESULTS
    | c.CLIENT_PS_MULTI_RESULTS
    | c.CLIENT_PLUGIN_AUTH
)
MODERN: Final = BASIC | c.CLIENT_DEPRECATE_EOF | c.CLIENT_SESSION_TRACK
_UTF8MB4: Final = 45
_LONG_TEXT: Final = b"\xfd\x00"  # MYSQL_TYPE_VAR_STRING
_LONGLONG: Final = b"\x08\x00"

Steps = Generator[bytes, bytes, Any]


@dataclass
class Result:
    """One result of a reply. Rows of prepared statements are undecoded."""

    columns: list[bytes] = field(default_factory=list)  # the definitions as they came
    rows: list[Any] = field(default_factory=list)
    error: tuple[int, str, str] | None = None  # number, SQLSTATE, message
    affected: int = 0
    insert_id: int = 0
    status: int = 0
    warnings: int = 0
    info: bytes = b""
    changes: bytes = b""  # of session state

    @property
    def errno(self) -> int:
        """The number of its error; 0: none."""
        return self.error[0] if self.error else 0

    @property
    def value(self) -> str | None:
        """The only value."""
        assert self.error is None, self.error
        [[value]] = self.rows
        return value.decode() if value is not None else None

    @property
    def names(self) -> list[str]:
        """Of its columns."""
        found = []
        for definition in self.columns:
            reader = Reader(definition)
            found.append([reader.lenenc_bytes() for _ in range(5)][4].decode())
        return found


@dataclass
class Prepared:
    """What COM_STMT_PREPARE replied."""

    id: int
    parameters: int
    columns: list[bytes]
    warnings: int


class LoginRefused(Exception):
    """The server's error: number, SQLSTATE, message."""


class Talk:
    """The client's part of the protocol."""

    def __init__(self, user: str, password: str, schema: str, capabilities: int, secure: bool) -> None:
        self.capabilities: int = capabilities | (c.CLIENT_CONNECT_WITH_DB if schema else 0)
        self.id: int = 0
        self.version: str = ""
        self.files: dict[str, list[bytes]] = {}  # that the server may ask for, in pieces
        self.sequence: int = -1  # of the packet that went or came last; -1: not known
        self._user: Final = user
        self._password: Final = password.encode()
        self._schema: Final = schema
        self._secure: Final = secure

    # The login

    def login(self) -> Steps:
        """The handshake."""
        greeting = yield b""
        if greeting[0] == c.ERR_PACKET:
            raise LoginRefused(*read_error(greeting))
        reader = Reader(greeting, 1)
        self.version = reader.until_nul().decode()
        self.id = reader.integer(4)
        nonce = reader.take(8)
        reader.take(1)
        offered = reader.integer(2)
        reader.take(3)
        offered |= reader.integer(2) << 16
        length = reader.integer(1)
        reader.take(10)
        nonce += reader.take(max(13, length - 8))[:12]
        plugin = reader.until_nul()
        self.capabilities &= offered | c.CLIENT_LONG_PASSWORD
        answer = yield packet(self._response(plugin, nonce), self.sequence + 1)
        while answer[0] in (c.AUTH_SWITCH, c.AUTH_MORE_DATA):
            said = b""
            if answer[0] == c.AUTH_SWITCH:
                reader = Reader(answer, 1)
                plugin, nonce = reader.until_nul(), reader.rest()[:20]
                said = packet(scramble(plugin, self._password, nonce), self.sequence + 1)
            elif answer[1:] == b"\x04":
                assert self._secure, "the password would be readable"
                said = packet(self._password + b"\0", self.sequence + 1)
            answer = yield said
        if answer[0] == c.ERR_PACKET:
            raise LoginRefused(*read_error(answer))

    def _response(self, plugin: bytes, nonce: bytes) -> bytes:
        parts = [struct.pack("<IIB23x", self.capabilities, 1 << 24, _UTF8MB4), self._user.encode() + b"\0"]
        answer = scramble(plugin, self._password, nonce)
        parts += [bytes([len(answer)]), answer]
        if self._schema:
            parts.append(self._schema.encode() + b"\0")
        return b"".join([*parts, plugin, b"\0"])

    def change_user(self, user: str, password: str, schema: str = "") -> Steps:
        """COM_CHANGE_USER; its last packet as a result."""
        body = user.encode() + b"\0\0" + schema.encode() + b"\0" + struct.pack("<H", _UTF8MB4)
        answer = yield command(c.COM_CHANGE_USER, body + b"mysql_native_password\0")
        while answer[0] in (c.AUTH_SWITCH, c.AUTH_MORE_DATA):
            reader = Reader(answer, 1)
            if answer[0] == c.AUTH_SWITCH:
                plugin, nonce = reader.until_nul(), reader.rest()[:20]
                answer = yield packet(scramble(plugin, password.encode(), nonce), self.sequence + 1)
            else:
                answer = yield b""
        result = Result()
        self._finish(result, answer)
        return result

    # Replies

    def results(self, request: bytes, *, binary: bool = False) -> Steps:
        """All results of a command."""
        found: list[Result] = []
        head = yield request
        while True:
            result = Result()
            found.append(result)
            if head[0] == c.LOCAL_INFILE:
                said, sequence = [], self.sequence + 1
                for piece in [*self.files.get(head[1:].decode(), []), b""]:
                    said.append(packet(piece, sequence))
                    sequence += len(piece) // 0xFFFFFF + 1
                head = yield b"".join(said)
            if head[0] not in (c.OK_PACKET, c.ERR_PACKET):
                for _ in range(Reader(head).lenenc()):
                    result.columns.append((yield b""))
                if not self.capabilities & c.CLIENT_DEPRECATE_EOF:
                    head = yield b""
                    assert head[0] == c.EOF_PACKET and len(head) == 5, head
                    if int.from_bytes(head[3:5], "little") & c.SERVER_STATUS_CURSOR_EXISTS:
                        self._finish(result, head)
                        return found
                head = yield from self._rows(result, binary)
            self._finish(result, head)
            if not result.status & c.SERVER_MORE_RESULTS_EXISTS:
                return found
            head = yield b""

    def _is_end(self, payload: bytes) -> bool:
        if payload[0] == c.EOF_PACKET:
            return len(payload) < (0xFFFFFF if self.capabilities & c.CLIENT_DEPRECATE_EOF else 9)
        return payload[0] == c.ERR_PACKET

    def _rows(self, result: Result, binary: bool) -> Steps:
        """All rows; returns what ends them."""
        columns = len(result.columns)
        while True:
            payload = yield b""
            if payload[:1] and self._is_end(payload):
                return payload
            result.rows.append(payload if binary else text_row(payload, columns))

    def _finish(self, result: Result, payload: bytes) -> None:
        """OK, ERR or EOF."""
        if payload[0] == c.ERR_PACKET:
            result.error = read_error(payload)
        elif payload[0] == c.EOF_PACKET and not self.capabilities & c.CLIENT_DEPRECATE_EOF:
            result.warnings, result.status = struct.unpack("<HH", payload[1:5])
        else:
            reader = Reader(payload, 1)
            result.affected, result.insert_id = reader.lenenc(), reader.lenenc()
            result.status, result.warnings = reader.integer(2), reader.integer(2)
            if reader.left() and self.capabilities & c.CLIENT_SESSION_TRACK:
                result.info = reader.lenenc_bytes()
                if result.status & c.SERVER_SESSION_STATE_CHANGED:
                    result.changes = reader.lenenc_bytes()
            else:
                result.info = reader.rest()
                if result.info and result.info[0] == len(result.info) - 1:
                    result.info = result.info[1:]  # servers give it with its length, whatever the documentation says
            assert not reader.left(), payload

    def prepare(self, sql: str | bytes) -> Steps:
        """A Prepared, or a Result with an error."""
        text = sql if isinstance(sql, bytes) else sql.encode()
        head = yield command(c.COM_STMT_PREPARE, text)
        if head[0] == c.ERR_PACKET:
            result = Result()
            self._finish(result, head)
            return result
        number, columns, parameters, warnings = struct.unpack("<IHHxH", head[1:12])
        definitions: list[bytes] = []
        for count in (parameters, columns):
            definitions = []
            for _ in range(count):
                definitions.append((yield b""))
            if count and not self.capabilities & c.CLIENT_DEPRECATE_EOF:
                end = yield b""
                assert end[0] == c.EOF_PACKET, end
        return Prepared(number, parameters, definitions, warnings)

    def execute(self, statement: Prepared, arguments: Sequence[Any] = (), **options: Any) -> Steps:
        """COM_STMT_EXECUTE."""
        return (yield from self.results(execution(statement, arguments, **options), binary=True))

    def fetch(self, statement: Prepared, count: int) -> Steps:
        """COM_STMT_FETCH."""
        result = Result(columns=statement.columns)
        first = yield command(c.COM_STMT_FETCH, struct.pack("<II", statement.id, count))
        while not self._is_end(first):
            result.rows.append(first)
            first = yield b""
        self._finish(result, first)
        return result

    def one(self, request: bytes) -> Steps:
        """A command that one packet answers."""
        result = Result()
        self._finish(result, (yield request))
        return result


def scramble(plugin: bytes, password: bytes, nonce: bytes) -> bytes:
    """The answer to a nonce."""
    if not password:
        return b""
    if plugin == b"caching_sha2_password":
        first = sha256(password).digest()
        return _xor(first, sha256(sha256(first).digest() + nonce).digest())
    first = sha1(password).digest()
    return _xor(first, sha1(nonce + sha1(first).digest()).digest())


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def text_row(payload: bytes, columns: int) -> tuple[bytes | None, ...]:
    """A row of the text protocol."""
    reader = Reader(payload)
    values: list[bytes | None] = []
    for _ in range(columns):
        if payload[reader.at : reader.at + 1] == b"\xfb":
            reader.take(1)
            values.append(None)
        else:
            values.append(reader.lenenc_bytes())
    assert not reader.left(), payload
    return tuple(values)


def execution(
    statement: Prepared, arguments: Sequence[Any] = (), *, types: bool = True, cursor: bool = False, long: bool = False
) -> bytes:
    """COM_STMT_EXECUTE. ``types`` False: those of the last time. ``long``: the arguments were sent before."""
    body = struct.pack("<IBI", statement.id, int(cursor), 1)
    if statement.parameters:
        nulls = bytearray((len(arguments) + 7) // 8)
        kinds, values = b"", b""
        for at, argument in enumerate(arguments):
            if argument is None:
                nulls[at // 8] |= 1 << at % 8
            kinds += _LONGLONG if isinstance(argument, int) else _LONG_TEXT
            if isinstance(argument, int):
                values += struct.pack("<q", argument)
            elif argument is not None and not long:
                values += lenenc_bytes(argument if isinstance(argument, bytes) else str(argument).encode())
        body += bytes(nulls) + (b"\1" + kinds if types else b"\0") + values
    return command(c.COM_STMT_EXECUTE, body)


def last_sequence(packets: bytes) -> int:
    """Of the last one."""
    at = last = 0
    while at < len(packets):
        last = at
        at += 4 + int.from_bytes(packets[at : at + 3], "little")
    return packets[last + 3]


def binary_row(*values: object) -> bytes:
    """A row of the binary protocol as integers of 8 bytes, texts and NULLs make it."""
    nulls = bytearray((len(values) + 9) // 8)
    data = b""
    for at, value in enumerate(values):
        if value is None:
            nulls[(at + 2) // 8] |= 1 << (at + 2) % 8
        elif isinstance(value, int):
            data += struct.pack("<q", value)
        else:
            text = str(value).encode()
            data += lenenc(len(text)) + text
    return b"\0" + bytes(nulls) + data


class Wire(Talk):
    """Over a socket. ``address`` is host and port, or the path of a unix socket."""

    def __init__(
        self,
        address: tuple[str, int] | str,
        *,
        user: str = "app",
        password: str = "",
        schema: str = "",
        capabilities: int = BASIC,
        timeout: float = PATIENCE,
        login: bool = True,
    ) -> None:
        super().__init__(user, password, schema, capabilities, isinstance(address, str))
        self.socket: Final = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(timeout)
        self._buffer = b""
        try:
            self.socket.connect(address)
            if login:
                self.run(self.login())
        except BaseException:
            self.socket.close()
            raise

    def run(self, steps: Steps) -> Any:
        """Drive a conversation to its end.

        Raises:
            EOFError: the other side closed instead.
        """
        out = next(steps)
        while True:
            if out:
                self.socket.sendall(out)
                self.sequence = last_sequence(out)
            try:
                out = steps.send(self.packet())
            except StopIteration as done:
                return done.value

    def packet(self) -> bytes:
        """The next packet, put together if it is a long one."""
        payload = b""
        while True:
            header = self._take(4)
            length = int.from_bytes(header[:3], "little")
            assert self.sequence < 0 or header[3] == self.sequence + 1 & 255, (header, self.sequence)
            self.sequence = header[3]
            payload += self._take(length)
            if length < 0xFFFFFF:
                return payload

    def _take(self, count: int) -> bytes:
        parts, have = [self._buffer], len(self._buffer)
        while have < count:
            data = self.socket.recv(max(1 << 16, min(count - have, 1 << 20)))
            if not data:
                raise EOFError("closed")
            parts.append(data)
            have += len(data)
        whole = b"".join(parts) if len(parts) > 1 else self._buffer
        self._buffer = whole[count:]
        return whole[:count]

    # Commands

    def send(self, data: bytes) -> None:
        """Just these bytes."""
        self.sequence = -1
        self.socket.sendall(data)

    def query(self, sql: str | bytes) -> list[Result]:
        """All results of a text."""
        text = sql if isinstance(sql, bytes) else sql.encode()
        results: list[Result] = self.run(self.results(command(c.COM_QUERY, text)))
        return results

    def ask(self, sql: str) -> str | None:
        """The only value of the last result of a text, which goes well."""
        return self.query(sql)[-1].value

    def do(self, *texts: str) -> None:
        """Texts that go well."""
        for text in texts:
            for result in self.query(text):
                assert result.error is None, (text, result.error)

    def prepared(self, sql: str) -> Prepared:
        """A statement that can be prepared."""
        found = self.run(self.prepare(sql))
        assert isinstance(found, Prepared), found
        return found

    def executed(self, statement: Prepared, *arguments: Any, **options: Any) -> list[Result]:
        """All results of an execution."""
        results: list[Result] = self.run(self.execute(statement, arguments, **options))
        return results

    def answer(self, word: int, body: bytes = b"") -> Result:
        """A command that one packet answers."""
        result: Result = self.run(self.one(command(word, body)))
        return result

    def tell(self, word: int, body: bytes = b"") -> None:
        """A command that nobody answers."""
        self.socket.sendall(command(word, body))

    def is_closed(self) -> bool:
        """The other side ended the connection and sent nothing before that."""
        try:
            return self._take(1) == b""
        except (EOFError, ConnectionError):
            return True

    def vanish(self) -> None:
        """As a client that crashed: the connection is reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
