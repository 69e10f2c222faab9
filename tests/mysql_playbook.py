"""One MySQL client as a playbook: bytes are given, calls are expected, line by line. No gateway, no loop.

    client = Conversation()
    assert client.says("SELECT 1") == ["SELECT (observed, barrier, pin SELECT)"]
    assert client.hears(okay()) == okay()
    assert client.returned == [[]]  # the lease went back, with nothing to be undone

It plays the exchange's part just as far as the codecs can tell: one call at a time, what goes ahead of it on its lease,
refusals, and upstream connections whose replies are given by hand. ``moves_to`` lends the client another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from protocols.call import Call, Receiver
from protocols.codec import DONE, MORE
from protocols.errors import ProtocolError
from protocols.fault import LIMITED, LOST, Fault
from protocols.mysql.constants import (
    CLIENT_CONNECT_WITH_DB,
    CLIENT_DEPRECATE_EOF,
    CLIENT_LONG_PASSWORD,
    CLIENT_PLUGIN_AUTH,
    CLIENT_PROTOCOL_41,
    CLIENT_SECURE_CONNECTION,
    COM_QUERY,
    EOF_PACKET,
    ERR_PACKET,
    OK_PACKET,
    SERVER_SESSION_STATE_CHANGED,
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_CURSOR_EXISTS,
    SERVER_STATUS_LAST_ROW_SENT,
    SESSION_TRACK_SYSTEM_VARIABLES,
)
from protocols.mysql.login import ServerFacts
from protocols.mysql.packets import command, lenenc, lenenc_bytes, packet, read_error
from protocols.mysql.protocol import MysqlProtocol
from protocols.mysql.server import MysqlServer
from protocols.mysql.shared import TRANSACTION_MODE, Options
from protocols.mysql.tag import Tag
from protocols.mysql.upstream import ANY, ONE_PACKET, PREPARE, ROWS_ONLY, MysqlUpstream

RELAY_FROM: Final = 1 << 16  # as gateway/upstream.py: more of an unfinished reply than this goes on in pieces
BUFFER: Final = 1 << 18
MARIADB: Final = ServerFacts("5.5.5-10.11.6-MariaDB", 0x81FFF7FE, 45, 7)
MYSQL: Final = ServerFacts("8.0.36", 0xDFFFFFFF, 255, 7)
LIMIT: Final = Fault(LIMITED, "db", "rate limit 5/s exceeded", "rate_limit")
GONE: Final = Fault(LOST, "db", "connection to the upstream lost")
CURSOR_EXISTS: Final = SERVER_STATUS_AUTOCOMMIT | SERVER_STATUS_CURSOR_EXISTS
LAST_ROW: Final = SERVER_STATUS_AUTOCOMMIT | SERVER_STATUS_LAST_ROW_SENT
SHAPES: Final = {ANY: "", PREPARE: "prepares", ROWS_ONLY: "rows only", ONE_PACKET: "one packet"}
_CLAIMED: Final = CLIENT_LONG_PASSWORD | CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION | CLIENT_PLUGIN_AUTH
_SOMEBODY: Final = Receiver()  # who waits for a reply


# What clients and servers say


def query(sql: str | bytes) -> bytes:
    return command(COM_QUERY, sql.encode() if isinstance(sql, str) else sql)


def hello(flags: int = 0, schema: str = "", *, collation: int = 45, user: str = "app") -> bytes:
    """A client's answer to the greeting, with some password or other."""
    flags |= _CLAIMED | (CLIENT_CONNECT_WITH_DB if schema else 0)
    parts = [flags.to_bytes(4, "little"), b"\0\0\0\1", bytes([collation]), bytes(23), user.encode(), b"\0\1x"]
    parts += [schema.encode() + b"\0"] if schema else []
    return packet(b"".join([*parts, b"mysql_native_password\0"]), 1)


def tracked(*changes: tuple[str, str]) -> bytes:
    """Session state: variables that have new values."""
    entries = [lenenc_bytes(name.encode()) + lenenc_bytes(value.encode()) for name, value in changes]
    return b"".join(bytes([SESSION_TRACK_SYSTEM_VARIABLES]) + lenenc_bytes(entry) for entry in entries)


def okay(
    sequence: int = 1,
    *,
    status: int = SERVER_STATUS_AUTOCOMMIT,
    affected: int = 0,
    insert_id: int = 0,
    warnings: int = 0,
    info: bytes = b"",
    state: bytes = b"",
    first: int = OK_PACKET,
) -> bytes:
    """An OK packet; with ``first`` the end of rows, where EOF is deprecated."""
    status |= SERVER_SESSION_STATE_CHANGED if state else 0
    numbers = lenenc(affected) + lenenc(insert_id) + status.to_bytes(2, "little") + warnings.to_bytes(2, "little")
    told = (lenenc_bytes(info) if info or state else b"") + (lenenc_bytes(state) if state else b"")
    return packet(bytes([first]) + numbers + told, sequence)


def ended(
    sequence: int, *, status: int = SERVER_STATUS_AUTOCOMMIT, warnings: int = 0, deprecated: bool = False
) -> bytes:
    """The end of rows, in either form."""
    if deprecated:
        return okay(sequence, status=status, warnings=warnings, first=EOF_PACKET)
    return packet(bytes([EOF_PACKET]) + warnings.to_bytes(2, "little") + status.to_bytes(2, "little"), sequence)


def failed(number: int = 1064, text: str = "no", sequence: int = 1) -> bytes:
    return packet(bytes([ERR_PACKET]) + number.to_bytes(2, "little") + b"#42000" + text.encode(), sequence)


def column(name: str = "a") -> bytes:
    """The definition of a column."""
    words = [b"def", b"shop", b"t", b"t", name.encode(), name.encode()]
    return b"".join(map(lenenc_bytes, words)) + b"\x0c\x2d\x00\x00\x01\x00\x00\xfd\x00\x00\x00\x00\x00"


def text_row(*values: bytes | None) -> bytes:
    return b"".join(b"\xfb" if value is None else lenenc_bytes(value) for value in values)


def table(
    columns: int,
    rows: Sequence[bytes],
    *,
    sequence: int = 1,
    status: int = SERVER_STATUS_AUTOCOMMIT,
    warnings: int = 0,
    deprecated: bool = False,
) -> bytes:
    """A result set; ``rows`` are payloads."""
    parts = [packet(lenenc(columns), sequence)]
    parts += [packet(column(f"c{i}"), sequence + 1 + i) for i in range(columns)]
    sequence += 1 + columns
    if not deprecated:
        parts.append(ended(sequence))
        sequence += 1
    for row in rows:
        parts.append(packet(row, sequence))
        sequence += 1 + len(row) // 0xFFFFFF
    parts.append(ended(sequence, status=status, warnings=warnings, deprecated=deprecated))
    return b"".join(parts)


def prepared(number: int, parameters: int = 0, columns: int = 0, *, deprecated: bool = False) -> bytes:
    """The reply to COM_STMT_PREPARE."""
    numbers = number.to_bytes(4, "little") + columns.to_bytes(2, "little") + parameters.to_bytes(2, "little")
    parts, sequence = [packet(b"\0" + numbers + b"\0\0\0", 1)], 2
    for count in (parameters, columns):
        parts += [packet(column(f"c{i}"), sequence + i) for i in range(count)]
        sequence += count
        if count and not deprecated:
            parts.append(ended(sequence))
            sequence += 1
    return b"".join(parts)


def said_error(data: bytes) -> str:
    """``1064 42000 no`` of an ERR packet."""
    number, state, text = read_error(data[4:])
    return f"{number} {state} {text}"


def split_at_every_offset(data: bytes) -> Iterable[tuple[bytes, bytes]]:
    return ((data[:at], data[at:]) for at in range(1, len(data)))


def described(call: Call, pin: str | None) -> str:
    """A call in words: its verb, and in brackets what it asks of the exchange."""
    asks = [word for word in ("local", "observed", "barrier", "mute", "closes", "unfinished") if getattr(call, word)]
    if call.also is not None:
        asks.append("also " + "+".join(verb.name for verb in call.also))
    if SHAPES[int(call.shape)]:
        asks.append(SHAPES[int(call.shape)])
    if pin is not None:
        asks.append(f"pin {pin}")
    return call.verb.name + (f" ({', '.join(asks)})" if asks else "")


def make_protocol(
    *,
    facts: ServerFacts = MARIADB,
    tracks: bool = True,
    mode: str = TRANSACTION_MODE,
    replay_user_variables: bool = False,
    statements: int = 4,
    request_buffer: int = BUFFER,
    max_long_data: int = 1 << 20,
) -> MysqlProtocol:
    """A service whose upstream is known already."""
    protocol = MysqlProtocol(
        "db",
        accounts=None,
        user="u",
        password=b"",
        tls=False,
        secure=False,
        options=Options(
            mode=mode,
            replay_user_variables=replay_user_variables,
            statements=statements,
            request_buffer=request_buffer,
            max_long_data=max_long_data,
        ),
    )
    protocol.shared.facts = facts
    protocol.shared.tracked = tracks
    return protocol


class Conversation:
    """A client's codec and the upstream connection behind it.

    Args:
        flags: capabilities that the client claims.
        schema: that it asks for at its login; known to be there.
        denied: verbs that a gate refuses.
        greets: it has logged in already.
    """

    def __init__(
        self,
        *,
        flags: int = 0,
        schema: str = "",
        denied: Iterable[str] = (),
        greets: bool = True,
        protocol: MysqlProtocol | None = None,
    ) -> None:
        self.protocol = protocol or make_protocol()
        self.now = 100.0
        number = 7 + len(self.protocol.shared.sessions)
        codec = self.protocol.server(number, "10.0.0.9:5000", "127.0.0.1:3306", False, self.now)
        assert isinstance(codec, MysqlServer)
        self.codec = codec
        self.denied: set[str] = set() if greets else set(denied)
        self.lines: list[str] = []  # the calls so far, in words
        self.calls: list[Call] = []  # the calls that went upstream, and what went ahead of them
        self.current: Call | None = None  # the client's own, under way
        self.in_flight: Call | None = None  # whose reply the upstream owes: that one, or what goes ahead of it
        self.forwarded: list[bytes] = []  # what the upstream was sent, call by call
        self.client_got = b""
        self.closed = False
        self.lent = False
        self.returned: list[list[bytes] | None] = []  # how each lease was to be cleaned
        self.tag_left: Tag | None = None  # of the last one

        self.upstream = self.another()
        self.tail = b""
        self.scanned = 0
        self.relaying = False
        codec.greet()
        self.greeting, codec.said = codec.said, b""
        if schema:
            self.protocol.shared.learn_schema(schema.encode(), self.now)
        if greets:
            assert self.sends(hello(flags, schema)) == ["LOGIN (local)"]
            self.client_got = b""
            self.lines.clear()
            self.upstream = self.another()
            self.denied.update(denied)

    def another(self) -> MysqlUpstream:
        """An upstream connection of the kind that the client needs."""
        upstream = self.protocol.upstream()
        assert isinstance(upstream, MysqlUpstream)
        upstream.deprecates_eof = self.codec.capabilities & CLIENT_DEPRECATE_EOF != 0
        upstream.tracked = True
        return upstream

    def moves_to(self, upstream: MysqlUpstream) -> None:
        """Its next lease will be this one."""
        assert not self.lent
        self.upstream = upstream

    # The client speaks

    def says(self, *texts: str) -> list[str]:
        """Queries in one write; returns the calls that they became."""
        return self.sends(b"".join(map(query, texts)))

    def sends(self, data: bytes) -> list[str]:
        """Just these bytes."""
        before = len(self.lines)
        self.codec.feed(data)
        self.pump()
        return self.lines[before:]

    def pump(self) -> None:
        """Take up what has arrived, as far as it may."""
        codec = self.codec
        try:
            while not self.closed and (self.current is None or codec.unfinished()):
                if codec.unfinished():
                    assert self.current is not None, "an unfinished request without a call: who would take the rest?"
                    if self.in_flight is not self.current:
                        break  # what goes ahead of it is not through
                    piece = codec.piece()
                    if not piece:
                        break
                    self.forwarded[-1] += piece
                    continue
                call = codec.next(self.now)
                self.client_got += codec.said
                said, codec.said = codec.said, b""
                if codec.starts_tls:
                    self.closed = True
                if call is not None:
                    self._submit(call)
                elif not said:
                    break
        except ProtocolError as error:
            self.lines.append(f"broken: {said_error(codec.broken(error))}")
            self.client_got += codec.broken(error)
            self.closed = True

    def _submit(self, call: Call) -> None:
        self.lines.append(described(call, self.codec.pin))
        if call.verb.name in self.denied:
            answer = self.codec.refuse(call, LIMIT)
            if self.codec.unfinished():
                self.codec.discard()
                call.unfinished = False
            self.lines[-1] += f": {said_error(answer)}"
            if call.barrier:
                self.codec.finished(call, self.now)
            self._complete(call, answer)
        elif call.local:
            self._complete(call, self.codec.answer(call, self.now))
        else:
            assert call.barrier, "calls of one client must not overtake each other"
            self.current = call
            if not self.lent:
                self.lent = True
                self.upstream.adopt(self.codec)
            self.lead()

    def lead(self) -> None:
        """The call goes upstream, or what has to go ahead of it."""
        call = self.current
        assert call is not None
        ahead = self.codec.preface(call, self.upstream, self.now)
        sent = self.in_flight = call if ahead is None else ahead
        sent.receiver = _SOMEBODY
        sent.sent = True
        self.calls.append(sent)
        self.forwarded.append(sent.request)

    def _complete(self, call: Call, answer: bytes) -> None:
        self.client_got += b"" if call.mute else answer
        self.closed = self.closed or call.closes
        if self.codec.pin is None and self.lent:
            self._give_back()

    def _give_back(self) -> None:
        self.lent = False
        self.returned.append(self.codec.cleanup())
        tag = self.codec.left_tag()
        assert isinstance(tag, Tag)
        self.tag_left = tag
        self.upstream.adopt(None)

    # The upstream speaks

    def hears(self, data: bytes) -> bytes:
        """Bytes from the upstream; returns those that the client gets. What waited for them goes on."""
        before = len(self.client_got)
        start = resume = 0
        if self.tail:
            data, resume, self.tail = self.tail + data, self.scanned, b""
        while start < len(data):
            call = self.in_flight
            found = self.upstream.scan(data, start, resume, call)
            end = int(self.upstream.end)
            upstream = self.upstream
            if call is not None and end > start:
                self.relaying = False
                if found == DONE:
                    self.in_flight = None
                self._replied(call, data[start:end])
            if self.upstream is not upstream:
                break  # it is gone, with whatever else it said
            start = resume = end
            if found == MORE:
                self._unfinished(data, start)
                break
        self.pump()
        return self.client_got[before:]

    def _unfinished(self, data: bytes, start: int) -> None:
        reached = int(self.upstream.reached)
        call = self.in_flight
        if reached > start and (self.relaying or len(data) - start > RELAY_FROM):
            assert call is not None
            self.relaying = call.partial = True
            self._replied(call, data[start:reached])
            start = reached
        self.tail, self.scanned = data[start:], reached - start

    def _replied(self, call: Call, data: bytes) -> None:
        current = self.current
        if call is not current:
            self._led(call, data)
            return
        if call.observed:
            data = self.codec.observe(call, data, self.now)
        if call.waiting > 0:
            self.client_got += data
            return
        self._over(call, data)

    def _led(self, ahead: Call, data: bytes) -> None:
        call = self.current
        assert call is not None
        if ahead.waiting > 0:
            return
        if ahead.errors + ahead.failures == 0:
            self.lead()
            return
        self._over(call, self.codec.preface_failed(call, data))

    def _over(self, call: Call, data: bytes) -> None:
        self.current = None
        if call.unfinished and self.codec.unfinished():  # the upstream replied to half a request: it has to go
            self.codec.discard()
            self.tail, self.lent = b"", False
            self.codec.finished(call, self.now)
            self._complete(call, data)
            self.closed = self.closed or not self.codec.lease_lost()
            self.upstream = self.another()
            return
        self.codec.finished(call, self.now)
        self._complete(call, data)

    def hears_cleanup(self, data: bytes) -> None:
        """The replies to a cleanup that the client waits for."""
        self.codec.cleaned(data)
        self.pump()

    def loses_its_connection(self) -> bool:
        """The upstream closes: the call under way fails. False: the session cannot go on."""
        call, self.current, self.in_flight, self.tail = self.current, None, None, b""
        if call is not None:
            answer = self.codec.refuse(call, GONE)
            if call.unfinished:
                self.codec.discard()
            self.codec.finished(call, self.now)
            self.client_got += b"" if call.mute else answer
        self.lent = False
        goes_on = self.codec.lease_lost()
        self.upstream = self.another()
        self.pump()
        return goes_on
