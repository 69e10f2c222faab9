"""The gateway's side of a MySQL client's connection: its commands become calls.

What a command needs of the connection is in protocols/mysql/state.py, what the gateway answers itself in py.
https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_command_phase.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from mypy_extensions import i64

from protocols.call import Call, Verb
from protocols.codec import UpstreamCodec
from protocols.errors import ProtocolError
from protocols.fault import (
    BUSY,
    DENIED,
    DRAINING,
    LIMITED,
    LOST,
    NO_ENDPOINT,
    POOL_EXHAUSTED,
    TIMEOUT,
    UNSUPPORTED,
    Fault,
)
from protocols.mysql.answers import MAX_STATEMENTS, NO_STATEMENT, TOO_MANY_STATEMENTS, Answers, LoginRefused
from protocols.mysql.assignments import parse
from protocols.mysql.constants import (
    COM_BINLOG_DUMP,
    COM_BINLOG_DUMP_GTID,
    COM_CHANGE_USER,
    COM_CREATE_DB,
    COM_DEBUG,
    COM_DROP_DB,
    COM_FIELD_LIST,
    COM_INIT_DB,
    COM_PING,
    COM_PROCESS_INFO,
    COM_PROCESS_KILL,
    COM_QUERY,
    COM_QUIT,
    COM_REFRESH,
    COM_REGISTER_SLAVE,
    COM_RESET_CONNECTION,
    COM_SET_OPTION,
    COM_SHUTDOWN,
    COM_STATISTICS,
    COM_STMT_CLOSE,
    COM_STMT_EXECUTE,
    COM_STMT_FETCH,
    COM_STMT_PREPARE,
    COM_STMT_RESET,
    COM_STMT_SEND_LONG_DATA,
    COM_TABLE_DUMP,
    CR_CONNECTION,
    CR_SERVER_LOST,
    ER_CON_COUNT,
    ER_MALFORMED_PACKET,
    ER_NET_PACKETS_OUT_OF_ORDER,
    ER_NOT_SUPPORTED_YET,
    ER_QUERY_TIMEOUT,
    ER_SERVER_SHUTDOWN,
    ER_SPECIFIC_ACCESS_DENIED,
    ER_UNKNOWN,
    ER_UNKNOWN_COM,
    ER_UNKNOWN_STMT,
    ER_USER_LIMIT_REACHED,
)
from protocols.mysql.packets import HEADER, MAX_PAYLOAD, command, error, u24, u32
from protocols.mysql.prepared import CURSOR_READ_ONLY, ClientStatement, Key, execution
from protocols.mysql.state import STATEMENT_MODE, Shared
from protocols.mysql.statements import (
    KILL,
    NONE,
    SET,
    USE,
    USES_CONNECTION_ID,
    USES_FOUND_ROWS,
    USES_LAST_INSERT_ID,
    USES_ROW_COUNT,
    USES_WARNINGS,
    Statement,
    read_use,
    replace_connection_id,
)
from protocols.mysql.upstream import ANY, ONE_PACKET, PREPARE, ROWS_ONLY, MysqlUpstream
from protocols.mysql.verbs import BY_NAME

_PLAIN_USES: Final = USES_LAST_INSERT_ID | USES_WARNINGS  # dealt with ahead of the statement, see preface
_ERRORS: Final = {
    LIMITED: ER_USER_LIMIT_REACHED,
    BUSY: ER_CON_COUNT,
    POOL_EXHAUSTED: ER_CON_COUNT,
    TIMEOUT: ER_QUERY_TIMEOUT,
    DENIED: ER_SPECIFIC_ACCESS_DENIED,
    NO_ENDPOINT: CR_CONNECTION,
    LOST: CR_SERVER_LOST,
    DRAINING: ER_SERVER_SHUTDOWN,
    UNSUPPORTED: ER_NOT_SUPPORTED_YET,
}


class OrderError(ProtocolError):
    """A packet whose sequence number is not the next one."""


@final
class MysqlServer(Answers):
    """One client. ``secure``: nobody else can read its line (a unix socket); ``tls``: TLS can be started on it."""

    def __init__(self, shared: Shared, session_id: int, host: str, secure: bool, tls: bool, now: float) -> None:
        super().__init__(shared, session_id, host, secure, tls, now)
        self._data: bytes = b""
        self._at: i64 = 0  # up to here it became calls
        self._left: i64 = 0  # bytes of the current packet that are still to be passed on, of an unfinished request
        self._continues: bool = False  # another packet of it follows
        self._file: bool = False  # it is a file that the server asked for; an empty packet ends it
        self._swallowing: bool = False  # it was refused: what still comes of it is thrown away
        self._sequence: int = 0  # of the packet that came last

    # Bytes

    def feed(self, data: bytes) -> None:
        """See ServerCodec."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def buffered(self) -> i64:
        """See ServerCodec."""
        return len(self._data) - self._at

    def leftover(self) -> bytes:
        """See ServerCodec."""
        data, self._data = self._data[self._at :], b""
        self._at = 0
        return data

    def next(self, now: float) -> Call | None:
        """See ServerCodec."""
        while True:
            if self._swallowing:
                self.piece()
                self._swallowing = self._is_incomplete()
            at = self._at
            data = self._data
            n: i64 = len(data)
            if self._swallowing or n - at < HEADER:
                return None
            length = u24(data, at)
            self._sequence = data[at + 3]
            if self.login is not None:
                if n - at < HEADER + length:
                    return None
                self._at = at + HEADER + length
                call = self.log_in(data[at + HEADER : self._at], self._sequence, now)
                if call is None and not self.starts_tls:
                    continue
                return call
            if self._sequence != 0:
                raise OrderError("Got packets out of order")
            if length == 0:
                raise ProtocolError("Malformed packet")
            whole = length < MAX_PAYLOAD and n - at >= HEADER + length
            if not whole and n - at < self.shared.options.request_buffer:
                return None
            if self.cleaning:
                return None  # LAST_INSERT_ID() is on its way
            end = min(at + HEADER + length, n)
            self._at = end
            self._left = at + HEADER + length - end
            self._continues = length == MAX_PAYLOAD
            call = self._call(data[at:end], now)
            if call is not None:
                call.unfinished = not whole
                return call

    def _call(self, request: bytes, now: float) -> Call | None:
        """The call that a command's packet (of a long one, its start) stands for; None: it asks for no answer."""
        word = request[HEADER]
        reader = _COMMANDS.get(word)
        if reader is not None:
            return reader(self, request, now)
        name = _OTHER_COMMANDS.get(word)
        if name is None:
            return self.said_now(BY_NAME["OTHER"], error(1, ER_UNKNOWN_COM, "Unknown command"), now)
        return self._forward(request, BY_NAME[name], ANY, now)

    def unfinished(self) -> bool:
        """See ServerCodec."""
        return not self._swallowing and self._is_incomplete()

    def _is_incomplete(self) -> bool:
        return self._left > 0 or self._continues

    def piece(self) -> bytes:
        """See ServerCodec."""
        data = self._data
        start = at = self._at
        n: i64 = len(data)
        while at < n and self._is_incomplete():
            if self._left == 0:
                if n - at < HEADER:
                    break
                length = u24(data, at)
                self._sequence = data[at + 3]
                self._left = HEADER + length
                self._continues = length > 0 if self._file else length == MAX_PAYLOAD
            step = min(self._left, n - at)
            at += step
            self._left -= step
        self._at = at
        if not self._is_incomplete():
            self._file = False
        return data[start:at]

    def discard(self) -> None:
        """See ServerCodec."""
        self._swallowing = True

    def file_wanted(self) -> None:
        """See Owner."""
        self._file = self._continues = True
        if self.current is not None:
            self.current.unfinished = True

    # Commands

    def _forward(self, request: bytes, verb: Verb, shape: i64, now: float, statement: Statement = NO_STATEMENT) -> Call:
        """A call that goes upstream."""
        call = Call(verb, 1, request, now)
        call.barrier = True
        call.observed = not self.keeps_track
        call.shape = shape
        self.current = call
        self.begin(statement, verb.name, now)
        return call

    def forward(self, request: bytes, verb: Verb, now: float) -> Call:
        """See Answers."""
        return self._forward(request, verb, ANY, now)

    def _query(self, request: bytes, now: float) -> Call:
        sql = request[HEADER + 1 :]
        statement = self.shared.statements.find(sql, self.sql_mode)
        if statement.special != NONE or statement.uses & ~_PLAIN_USES or self.shared.options.mode == STATEMENT_MODE:
            answered = self._special(sql, statement, now)
            if answered is not None:
                return answered
            if statement.uses & USES_CONNECTION_ID and not self.unfinished():
                request = command(COM_QUERY, replace_connection_id(sql, self.connection_id))
        call = self._forward(request, statement.verb, ANY, now, statement)
        if statement.special == SET:
            self._read_set(sql)
        elif statement.special == USE:
            self.pending_schema = read_use(sql)
        return call

    def _read_set(self, sql: bytes) -> None:
        facts = self.shared.facts
        self.assignments = parse(sql, mariadb=facts is not None and facts.is_mariadb, mode=self.sql_mode)
        self.text = sql

    def _special(self, sql: bytes, statement: Statement, now: float) -> Call | None:
        """What may be answered here; None: nothing, it goes upstream as any other statement."""
        refused = self.refused_here(statement, sql)
        if refused is not None:
            return self.said_now(statement.verb, refused, now)
        if statement.special == KILL:
            return self.kill(sql, statement, now)
        if self.pin is None and statement.special == SET and sql in self.shared.effects:
            return self._settings_known(self.shared.effects[sql], statement, now)
        if self.pin is None and statement.special == USE:
            schema = read_use(sql)
            if schema is not None and self.shared.knows_schema(schema, now):
                return self._schema_known(schema, statement.verb, now)
        if statement.uses & (USES_CONNECTION_ID | USES_FOUND_ROWS | USES_ROW_COUNT):
            return self.lone_function(sql, statement, now)
        return None

    def _settings_known(self, effect: dict[str, bytes], statement: Statement, now: float) -> Call:
        """A SET that the server took before: whichever connection comes next will be set to that."""

        def take() -> bytes:
            self.retag(self.current_tag().with_settings(effect))
            if "autocommit" in effect:
                self.autocommit = not effect["autocommit"]
            return self.ok()

        return self.answered(statement.verb, take, now)

    def _schema_known(self, schema: bytes, verb: Verb, now: float) -> Call:
        """A schema that was there a moment ago: the same."""

        def take() -> bytes:
            self.retag(self.current_tag().with_schema(schema))
            return self.ok()

        return self.answered(verb, take, now)

    def _init_db(self, request: bytes, now: float) -> Call:
        schema = request[HEADER + 1 :]
        if self.pin is None and self.shared.knows_schema(schema, now):
            return self._schema_known(schema, BY_NAME["INIT DB"], now)
        call = self._forward(request, BY_NAME["INIT DB"], ANY, now)
        self.pending_schema = schema
        return call

    def _ping(self, request: bytes, now: float) -> Call:
        if self.pin is None:
            return self.said_now(BY_NAME["PING"], self.ok(), now)
        return self._forward(request, BY_NAME["PING"], ANY, now)  # is what the session relies on still there?

    def _field_list(self, request: bytes, now: float) -> Call:
        return self._forward(request, BY_NAME["FIELD LIST"], ROWS_ONLY, now)

    def _statistics(self, request: bytes, now: float) -> Call:
        return self._forward(request, BY_NAME["STATISTICS"], ONE_PACKET, now)

    # Prepared statements

    def key(self, text: bytes) -> Key:
        """A text means the same on connections with the same key."""
        tag = self.current_tag()
        get = tag.settings.get
        charset, collation = get("character_set_client", b""), get("collation_connection", b"")
        return (tag.schema, get("sql_mode", b""), charset, collation, text)

    def _stmt_prepare(self, request: bytes, now: float) -> Call:
        text = request[HEADER + 1 :]
        statement = self.shared.statements.find(text, self.sql_mode)
        if len(self.statements) >= MAX_STATEMENTS:
            return self.said_now(BY_NAME["STMT PREPARE"], TOO_MANY_STATEMENTS, now)
        if statement.uses & USES_CONNECTION_ID and not self.unfinished():
            text = replace_connection_id(text, self.connection_id)
            request = command(COM_STMT_PREPARE, text)
        call = self._forward(request, BY_NAME["STMT PREPARE"], PREPARE, now)
        call.observed = True
        self.preparing = (text, statement)
        return call

    def prepared(self, upstream_id: int, parameters: i64) -> int:
        """See Owner."""
        text, statement = self.preparing
        self.last_statement_id += 1
        made = ClientStatement(self.last_statement_id, text, statement)
        made.parameters = parameters
        self.statements[made.id] = made
        return made.id

    def _known(self, request: bytes) -> ClientStatement | None:
        if len(request) < HEADER + 5:
            raise ProtocolError("Malformed packet")
        return self.statements.get(u32(request, HEADER + 1))

    def _unknown_statement(self, request: bytes, name: str, now: float) -> Call:
        number = u32(request, HEADER + 1)
        text = f"Unknown prepared statement handler ({number}) given to {name}"
        return self.said_now(BY_NAME["STMT EXECUTE"], error(1, ER_UNKNOWN_STMT, text), now)

    def _stmt_execute(self, request: bytes, now: float) -> Call:
        known = self._known(request)
        if known is None or len(request) < HEADER + 10:
            return self._unknown_statement(request, "mysqld_stmt_execute", now)
        statement = known.statement
        refused = self.refused_here(statement, known.text)
        if refused is not None:
            return self.said_now(statement.verb, refused, now)
        self.set_cursor(known, False)
        call = self._forward(request, statement.verb, ANY, now, statement)
        self.executing = known
        if statement.special == SET:
            self._read_set(known.text)
        if request[HEADER + 5] & CURSOR_READ_ONLY:
            self.errand = "cursor"
        return call

    def _stmt_fetch(self, request: bytes, now: float) -> Call:
        known = self._known(request)
        if known is None or not known.cursor:
            return self._unknown_statement(request, "mysqld_stmt_fetch", now)
        call = self._forward(request, BY_NAME["STMT FETCH"], ROWS_ONLY, now)
        self.executing = known
        return call

    def _stmt_reset(self, request: bytes, now: float) -> Call:
        known = self._known(request)
        if known is None:
            return self._unknown_statement(request, "mysqld_stmt_reset", now)
        known.long_data.clear()
        if not known.cursor:
            return self.said_now(BY_NAME["STMT RESET"], self.ok(), now)
        self.set_cursor(known, False)
        call = self._forward(request, BY_NAME["STMT RESET"], ANY, now)
        self.executing = known
        return call

    def _stmt_close(self, request: bytes, now: float) -> Call | None:
        known = self._known(request)
        if known is None:
            return None
        del self.statements[known.id]
        if not known.cursor:
            return None
        self.set_cursor(known, False)  # the server's cursor goes as if it were reset; nobody is told
        call = self._forward(command(COM_STMT_RESET, request[HEADER + 1 :]), BY_NAME["STMT RESET"], ANY, now)
        call.mute = True
        self.executing = known
        return call

    def _stmt_long_data(self, request: bytes, now: float) -> None:
        known = self._known(request)
        if known is None or len(request) < HEADER + 7:
            return None
        if self.unfinished() or sum(map(len, known.long_data)) + len(request) > self.shared.options.max_long_data:
            raise ProtocolError(
                "Parameter of prepared statement which is set through mysql_send_long_data() is too long"
            )
        known.long_data.append(request)
        return None

    def preface(self, call: Call, upstream: UpstreamCodec, now: float) -> Call | None:
        """See ServerCodec: LAST_INSERT_ID() as the session left it, and the statement prepared here."""
        assert isinstance(upstream, MysqlUpstream)
        self.upstream = upstream
        statement = self.statement
        if statement is not None and statement.uses & _PLAIN_USES:
            if statement.uses & USES_LAST_INSERT_ID and upstream.insert_mark != self.insert_mark:
                upstream.insert_mark = self.insert_mark
                return self._ahead(b"SET last_insert_id=%d" % self.last_insert_id, now)
            if statement.uses & USES_WARNINGS and self.warnings_of is not upstream:
                self.warnings_of = upstream
                return self._ahead(b"DO 0", now)  # nobody sees what somebody else was warned of
        executing = self.executing
        if executing is not None:
            return self._execute_here(call, executing, upstream, now)
        if call.shape == PREPARE:
            upstream.preparing = self.key(self.preparing[0])
        if upstream.statements.closing:
            call.request = upstream.statements.closing + call.request
            upstream.statements.closing = b""
        return None

    def _ahead(self, sql: bytes, now: float) -> Call:
        return Call(BY_NAME["OTHER"], 1, command(COM_QUERY, sql), now)

    def _execute_here(self, call: Call, executing: ClientStatement, upstream: MysqlUpstream, now: float) -> Call | None:
        key = self.key(executing.text)
        prepared = upstream.statements.get(key)
        closing, upstream.statements.closing = upstream.statements.closing, b""
        if prepared is None:
            ahead = Call(BY_NAME["STMT PREPARE"], 1, closing + command(COM_STMT_PREPARE, executing.text), now)
            ahead.shape = PREPARE
            upstream.preparing = key
            return ahead
        number = prepared.id.to_bytes(4, "little")
        request = call.request
        if request[HEADER] == COM_STMT_EXECUTE:
            request = execution(request, executing, prepared)
            long_data = [data[: HEADER + 1] + number + data[HEADER + 5 :] for data in executing.long_data]
            executing.long_data.clear()
            call.request = closing + b"".join(long_data) + request
        else:
            call.request = closing + request[: HEADER + 1] + number + request[HEADER + 5 :]
        return None

    # Replies

    def observe(self, call: Call, data: bytes, now: float) -> bytes:
        """See ServerCodec: what the upstream codec found to be changed on the way."""
        upstream = self.upstream
        if upstream is not None and upstream.rewrites:
            parts: list[bytes] = []
            at = 0
            later: list[tuple[int, int, bytes]] = []
            for offset, length, text in upstream.rewrites:
                if offset < len(data):
                    parts += [data[at:offset], text]
                    at = offset + length
                else:
                    later.append((offset - len(data), length, text))
            upstream.rewrites = later
            data = b"".join([*parts, data[at:]])
        return self.logged_in_reply(call, data) if call is self.login_call else data

    def refuse(self, call: Call, fault: Fault) -> bytes:
        """See ServerCodec."""
        kind = _ERRORS.get(fault.reason, ER_UNKNOWN)
        return error(self.reply_sequence(call), kind, str(fault))

    def preface_failed(self, call: Call, data: bytes) -> bytes:
        """See ServerCodec: the server's own error, at the place of the call's reply."""
        return data[:3] + bytes([self.reply_sequence(call) & 255]) + data[4:]

    def reply_sequence(self, call: Call) -> int:
        """Of the first packet of a reply."""
        return self.login_sequence if call is self.login_call else self._sequence + 1

    def broken(self, problem: Exception) -> bytes:
        """See ServerCodec."""
        if isinstance(problem, LoginRefused):
            return problem.packet
        kind = ER_NET_PACKETS_OUT_OF_ORDER if isinstance(problem, OrderError) else ER_MALFORMED_PACKET
        return error(self._sequence + 1, kind, str(problem))

    def farewell(self, fault: Fault) -> bytes:
        """See ServerCodec. With the number of a reply's first packet, so that it answers the next command."""
        return error(1, CR_SERVER_LOST, str(fault))


_COMMANDS: Final[dict[int, Callable[[MysqlServer, bytes, float], Call | None]]] = {
    COM_QUIT: MysqlServer.quit,
    COM_INIT_DB: MysqlServer._init_db,
    COM_QUERY: MysqlServer._query,
    COM_FIELD_LIST: MysqlServer._field_list,
    COM_STATISTICS: MysqlServer._statistics,
    COM_PROCESS_KILL: MysqlServer.process_kill,
    COM_PING: MysqlServer._ping,
    COM_CHANGE_USER: MysqlServer.change_user,
    COM_STMT_PREPARE: MysqlServer._stmt_prepare,
    COM_STMT_EXECUTE: MysqlServer._stmt_execute,
    COM_STMT_SEND_LONG_DATA: MysqlServer._stmt_long_data,
    COM_STMT_CLOSE: MysqlServer._stmt_close,
    COM_STMT_RESET: MysqlServer._stmt_reset,
    COM_SET_OPTION: MysqlServer.set_option,
    COM_STMT_FETCH: MysqlServer._stmt_fetch,
    COM_RESET_CONNECTION: MysqlServer.reset_connection,
}
# Commands that go to the server as they are, if at all: the verb says who may.
_OTHER_COMMANDS: Final = {
    COM_CREATE_DB: "CREATE DATABASE",
    COM_DROP_DB: "DROP DATABASE",
    COM_REFRESH: "FLUSH",
    COM_SHUTDOWN: "COM_SHUTDOWN",
    COM_PROCESS_INFO: "SHOW",
    COM_DEBUG: "DEBUG",
    COM_BINLOG_DUMP: "BINLOG DUMP",
    COM_BINLOG_DUMP_GTID: "BINLOG DUMP",
    COM_TABLE_DUMP: "TABLE DUMP",
    COM_REGISTER_SLAVE: "REGISTER SLAVE",
}
