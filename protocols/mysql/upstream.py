"""Where the replies of a MySQL server end, and what they say about the state of the connection.

Packets are passed on as they came, but for two: an OK packet with session state in it, for a client that did not ask
for that, and the id of a prepared statement.
https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_command_phase.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from protocols.call import APP_ERROR, FATAL, RETRYABLE, Call
from protocols.codec import DONE, MORE, Login, ServerCodec, UpstreamCodec
from protocols.errors import ProtocolError
from protocols.mysql.constants import (
    CLIENT_DEPRECATE_EOF,
    EOF_PACKET,
    ERR_PACKET,
    LOCAL_INFILE,
    OK_PACKET,
    SERVER_MORE_RESULTS_EXISTS,
    SERVER_SESSION_STATE_CHANGED,
    SERVER_STATUS_CURSOR_EXISTS,
    SESSION_TRACK_SCHEMA,
    SESSION_TRACK_STATE_CHANGE,
    SESSION_TRACK_SYSTEM_VARIABLES,
)
from protocols.mysql.login import MysqlLogin, ServerFacts
from protocols.mysql.packets import HEADER, MAX_PAYLOAD, Reader, lenenc_bytes, packet, u16, u24, u32
from protocols.mysql.prepared import Key, PreparedStatements

# Shapes of replies (Call.shape).
ANY: Final = 0  # OK, ERR, result sets, a request for a local file: COM_QUERY and most others
PREPARE: Final = 1  # a header, then definitions of parameters and columns
ROWS_ONLY: Final = 2  # COM_STMT_FETCH, COM_FIELD_LIST
ONE_PACKET: Final = 3  # COM_STATISTICS

# What the next packet is. A reply begins with HEAD.
_HEAD: Final = 0
_DEFINITIONS: Final = 1  # ``left`` more of them
_DEFINITIONS_END: Final = 2  # an EOF, where it is not deprecated
_ROWS: Final = 3
_COUNTED: Final = 4  # ``left`` more packets of whatever content

_EOF_LENGTH: Final = 5  # of its payload in the older form; the newer one is an OK packet, which is longer
_PLAIN_OK: Final = 7  # an OK packet of small numbers and no message
MAX_CONTROL: Final = 1 << 20  # bytes of an OK or ERR packet, which is held whole

# Errors that are not the statement's own fault: the upstream could not serve it now (R), or failed (F).
_TROUBLE: Final = {
    number: RETRYABLE if kind == "R" else FATAL
    for kind, numbers in (
        ("R", "1040 1129 1203 1226 1290 1836 3100 3101 4031"),
        ("F", "1021 1030 1034 1037 1038 1041 1053 1077 1079 1080 1105 1194 1195 1927 3168 4133"),
    )
    for number in map(int, numbers.split())
}


@mypyc_attr(allow_interpreted_subclasses=True)
class Owner(ServerCodec):
    """What the upstream codec tells the session that has the connection."""

    half_closes: bool = False
    keeps_track: bool = False  # the client asked for session state itself (CLIENT_SESSION_TRACK)
    after_rows: bool = False  # what ended well was a result set, be it an empty one

    def replied(self, status: i64, affected: int, insert_id: int, warnings: i64, rows: i64) -> None:
        """A reply, or one result of several, ended well; ``status`` says whether more follow."""

    def errored(self, number: int) -> None:
        """The reply ended with an error."""

    def prepared(self, upstream_id: int, parameters: i64) -> int:
        """The client's own PREPARE succeeded; returns the id that the client gets."""
        return upstream_id

    def variable(self, name: str, value: bytes) -> None:
        """The server says: a session variable has a new value."""

    def schema_changed(self, schema: bytes) -> None:
        """The server says: this is the schema now."""

    def state_changed(self) -> None:
        """The server says: something has changed that only this connection has."""

    def file_wanted(self) -> None:
        """The server asks for a file of the client's (LOCAL INFILE)."""


@final
class MysqlUpstream(UpstreamCodec):
    """One upstream connection. The rows of a reply are looked at by their first byte only."""

    def __init__(self, statements: int, learned: Callable[[ServerFacts, bool], None]) -> None:
        super().__init__()
        self._learned: Final = learned
        self.thread_id: int = 0
        self.deprecates_eof: bool = False
        self.tracked: bool = False
        self.statements: Final = PreparedStatements(statements)
        self.preparing: Key | None = None  # what the PREPARE under way will have prepared
        self.last_prepared: int = 0
        self.insert_mark: int = 0  # which insert LAST_INSERT_ID() would tell of here; see SessionState
        self.detour: bytes = b""  # the schema that it is in for a moment, to prepare a statement there
        self.warned: int = 0  # the session that its warnings and errors, if there are any, are for; -1: nobody knows
        self.owner: Owner | None = None
        self.rewrites: list[tuple[int, int, bytes]] = []  # offset behind what was passed on, length, in its place
        self._packet: i64 = _HEAD
        self._left: i64 = 0
        self._skip: i64 = 0  # bytes of the current packet still to come
        self._continued: bool = False  # the next packet goes on with the last one
        self._rows: i64 = 0

    def opened(self, login: Login) -> None:
        """See UpstreamCodec."""
        assert isinstance(login, MysqlLogin) and login.facts is not None
        self._learned(login.facts, login.tracked)
        self.thread_id = login.facts.thread_id
        self.deprecates_eof = login.capabilities & CLIENT_DEPRECATE_EOF != 0
        self.tracked = login.tracked

    def adopt(self, session: ServerCodec | None) -> None:
        """See UpstreamCodec."""
        assert session is None or isinstance(session, Owner)
        self.owner = session
        self.rewrites.clear()

    def scan(self, data: bytes, start: i64, resume: i64, call: Call | None) -> i64:
        """See UpstreamCodec.scan."""
        if call is None:
            return self._unasked(data, start)
        pos = resume
        n: i64 = len(data)
        self.end = start
        while True:
            if self._skip > 0:
                step = min(self._skip, n - pos)
                self._skip -= step
                pos += step
                if self._skip > 0:
                    break
                if self._ends_counted():
                    self.end = pos
                    if self._reply_over(call):
                        return DONE
            if n - pos < HEADER:
                break
            length = u24(data, pos)
            after = pos + HEADER + length
            if self._packet == _HEAD and call.shape == ROWS_ONLY:
                self._packet = _ROWS
            if self._continued or self._is_passed_on(data, pos, length, n):
                self._continued = length == MAX_PAYLOAD
                self._skip = HEADER + length
                continue
            if after > n:
                if length > MAX_CONTROL and n - pos > HEADER:
                    raise ProtocolError("an OK or ERR packet is too long")
                break
            found = self._control(data, pos, length, pos - start, call)
            pos = after
            if found == _ENDED:
                self.end = pos
                if self._reply_over(call):
                    return DONE
            elif found == _FILE:
                self.end = pos
        self.reached = pos
        return MORE

    def _unasked(self, data: bytes, start: i64) -> i64:
        """A server says something unasked only when it is about to close."""
        if len(data) - start > HEADER and data[start + HEADER] == ERR_PACKET:
            raise ProtocolError(self.explain_error(data[start:]))
        raise ProtocolError("a reply that nobody asked for")

    @staticmethod
    def explain_error(data: bytes) -> str:
        """The text of an ERR packet."""
        number = int.from_bytes(data[5:7], "little")
        text = data[7:].split(b"\0")[0]
        text = text[6:] if text.startswith(b"#") else text
        return f"{text[:200].decode('utf-8', 'replace')} ({number})"

    def _reply_over(self, call: Call) -> bool:
        """One reply has ended; True: it was the call's last."""
        self._packet = _HEAD
        self._rows = 0
        call.waiting -= 1
        return call.waiting == 0

    def _ends_counted(self) -> bool:
        """A packet was passed on whole; True: it was the last of a counted reply."""
        if self._continued:
            return False
        if self._packet == _DEFINITIONS:
            self._left -= 1
            if self._left == 0:
                self._packet = _ROWS if self.deprecates_eof else _DEFINITIONS_END
        elif self._packet == _ROWS:
            self._rows += 1
        elif self._packet == _COUNTED:
            self._left -= 1
            return self._left == 0
        return False

    def _is_passed_on(self, data: bytes, pos: i64, length: i64, n: i64) -> bool:
        """The packet at ``pos`` says nothing that matters here: a row or a definition."""
        what = self._packet
        if what == _DEFINITIONS or what == _COUNTED:
            return True
        if what != _ROWS or length == 0:
            return what == _ROWS
        if n - pos == HEADER:
            return False  # its first byte decides
        first: i64 = data[pos + HEADER]
        if first == EOF_PACKET:  # or a row whose first value is longer than 16 MiB
            return length >= (MAX_PAYLOAD if self.deprecates_eof else 9)
        return first != ERR_PACKET

    def _control(self, data: bytes, pos: i64, length: i64, offset: i64, call: Call) -> i64:
        """A packet that decides what follows, whole at ``pos``."""
        if length == 0:
            raise ProtocolError("an empty packet")
        at = pos + HEADER
        first: i64 = data[at]
        if call.shape != ANY and self._packet == _HEAD and first != ERR_PACKET:
            return self._special(data, at, length, offset, call)
        if first == ERR_PACKET:
            return self._error(data, at, length, call)
        if self._packet == _DEFINITIONS_END:
            self._packet = _ROWS
            if length == _EOF_LENGTH and u16(data, at + 3) & SERVER_STATUS_CURSOR_EXISTS:
                return self._ok(data, at, length, offset, call)  # rows come by COM_STMT_FETCH
            return _GOES_ON
        if first == OK_PACKET or first == EOF_PACKET:
            return self._ok(data, at, length, offset, call)
        if first == LOCAL_INFILE:
            owner = self.owner
            if owner is None or call.receiver is None:
                raise ProtocolError("the upstream asks for a file of a client that is gone")
            owner.file_wanted()
            return _FILE
        self._left = first if first < 0xFB else Reader(data, at, at + length).lenenc()
        self._packet = _DEFINITIONS
        return _GOES_ON

    def _special(self, data: bytes, at: i64, length: i64, offset: i64, call: Call) -> i64:
        """The first packet of a reply of another shape."""
        if call.shape == PREPARE:
            return self._prepared(data, at, length, offset, call)
        return _ENDED  # ONE_PACKET

    def _prepared(self, data: bytes, at: i64, length: i64, offset: i64, call: Call) -> i64:
        if length < 12 or data[at] != OK_PACKET:
            raise ProtocolError("malformed reply to COM_STMT_PREPARE")
        number = u32(data, at + 1)
        columns = u16(data, at + 5)
        parameters = u16(data, at + 7)
        self.last_prepared = number
        if self.preparing is not None:
            self.statements.add(self.preparing, number)
            self.preparing = None
        if self.owner is not None and call.observed and call.receiver is not None:
            theirs = self.owner.prepared(number, parameters)
            self.rewrites.append((offset + HEADER + 1, 4, theirs.to_bytes(4, "little")))
        ends: i64 = 0 if self.deprecates_eof else 1
        self._left = (columns + ends if columns else 0) + (parameters + ends if parameters else 0)
        if self._left == 0:
            return _ENDED
        self._packet = _COUNTED
        return _GOES_ON

    def _error(self, data: bytes, at: i64, length: i64, call: Call) -> i64:
        number = u16(data, at + 1) if length >= 3 else 0
        self.preparing = None
        call.blame(_TROUBLE.get(number, APP_ERROR), 1)
        if self.owner is not None and call.receiver is not None:
            self.owner.errored(number)
        return _ENDED

    def _ok(self, data: bytes, at: i64, length: i64, offset: i64, call: Call) -> i64:
        """OK, or EOF in either form: the end of a result."""
        warnings: i64
        status: i64
        affected = insert_id = 0
        changed = b""
        if data[at] == EOF_PACKET and length == _EOF_LENGTH:
            warnings = u16(data, at + 1)
            status = u16(data, at + 3)
        elif length == _PLAIN_OK and data[at + 1] < 0xFB and data[at + 2] < 0xFB:
            affected, insert_id = data[at + 1], data[at + 2]
            status = u16(data, at + 3)
            warnings = u16(data, at + 5)
        else:
            reader = Reader(data, at + 1, at + length)
            affected, insert_id = reader.lenenc(), reader.lenenc()
            status = reader.integer(2)
            warnings = reader.integer(2)
            if status & SERVER_SESSION_STATE_CHANGED and reader.left() > 0:  # else a message is all that there is
                info = reader.lenenc_bytes()
                changed = reader.lenenc_bytes()
                self._without_state(data, at, length, offset, info, call)
        owner = self.owner if call.receiver is not None and call.barrier else None  # not behind a preface
        if owner is not None:
            if changed:
                _tell(owner, changed)
            elif status & SERVER_SESSION_STATE_CHANGED:
                owner.state_changed()  # an EOF of the older form says no more than that
            owner.after_rows = data[at] == EOF_PACKET
            owner.replied(status, affected, insert_id, warnings, self._rows)
        self._rows = 0
        if status & SERVER_MORE_RESULTS_EXISTS:
            self._packet = _HEAD
            return _GOES_ON
        return _ENDED

    def _without_state(self, data: bytes, at: i64, length: i64, offset: i64, info: bytes, call: Call) -> None:
        """What a client gets that does not track session state."""
        owner = self.owner
        if owner is None or not call.observed or call.receiver is None:
            return
        reader = Reader(data, at + 1, at + length)
        reader.lenenc()
        reader.lenenc()
        numbers = data[at : reader.at]
        status = reader.integer(2) & ~SERVER_SESSION_STATE_CHANGED
        payload = numbers + status.to_bytes(2, "little") + reader.take(2) + (lenenc_bytes(info) if info else b"")
        self.rewrites.append((offset, HEADER + length, packet(payload, data[at - 1])))


_GOES_ON: Final = 0
_ENDED: Final = 1
_FILE: Final = 2


def _tell(owner: Owner, changed: bytes) -> None:
    """Session state: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_ok_packet.html."""
    reader = Reader(changed)
    while reader.left() > 0:
        kind = reader.integer(1)
        entry = Reader(reader.lenenc_bytes())
        if kind == SESSION_TRACK_SYSTEM_VARIABLES:
            while entry.left() > 0:  # MariaDB puts several into one entry
                name = entry.lenenc_bytes().decode("latin-1").lower()
                owner.variable(name, entry.lenenc_bytes())
        elif kind == SESSION_TRACK_SCHEMA:
            owner.schema_changed(entry.lenenc_bytes())
        elif kind == SESSION_TRACK_STATE_CHANGE:
            owner.state_changed()
