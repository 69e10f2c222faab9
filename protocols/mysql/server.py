"""The gateway's side of a MySQL client's connection: its commands become calls.

What a command needs of the connection is in protocols/mysql/state.py, what the gateway answers itself in py.
https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_command_phase.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from protocols.call import Call, Verb
from protocols.codec import UpstreamCodec
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
from protocols.mysql.answers import NO_STATEMENT, OWN_NUMBERS, LoginRefused
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
    ER_USER_LIMIT_REACHED,
)
from protocols.mysql.packets import HEADER, command, error, u32
from protocols.mysql.prepared_commands import PreparedCommands
from protocols.mysql.requests import OrderError
from protocols.mysql.shared import STATEMENT_MODE, Shared
from protocols.mysql.statements import (
    KILL,
    NONE,
    SET,
    SETS_INSERT_ID,
    USE,
    USES_LAST_INSERT_ID,
    USES_WARNINGS,
    Statement,
    read_use,
)
from protocols.mysql.upstream import ANY, ONE_PACKET, PREPARE, ROWS_ONLY, MysqlUpstream
from protocols.mysql.verbs import BY_NAME

_INSERT_ID: Final = USES_LAST_INSERT_ID | SETS_INSERT_ID
_PLAIN_USES: Final = _INSERT_ID | USES_WARNINGS  # dealt with ahead of the statement, see preface
_FORGET_WARNINGS: Final = b"SELECT 1 FROM (SELECT 1) AS t"  # MariaDB keeps them until a statement uses a table
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


@final
class MysqlServer(PreparedCommands):
    """One client. ``secure``: nobody else can read its line (a unix socket); ``tls``: TLS can be started on it."""

    def __init__(self, shared: Shared, session_id: int, host: str, secure: bool, tls: bool, now: float) -> None:
        super().__init__(shared, session_id, host, secure, tls, now)

    def next(self, now: float) -> Call | None:
        """See ServerCodec."""
        if not self.logged_in and self.login is None:
            return None  # not greeted yet: whatever it says, nobody knows who says it
        while self.login is not None:
            said = self.take()
            call = self.log_in(said, now) if said is not None else None
            if call is not None or said is None or self.starts_tls:
                return call
        while True:
            request = self.request()
            if request is None:
                return None
            if self.cleaning and self._asks_for_insert_id(request):
                self.put_back(request)  # its value is on the way
                return None
            call = self._call(request, now)
            if call is not None:
                call.unfinished = self.unfinished()
                return call
            if self.unfinished():
                self.discard()  # no call will take the rest of it: it must not reach anybody as something else

    def _asks_for_insert_id(self, request: bytes) -> bool:
        if request[HEADER] == COM_QUERY:
            statement = self.shared.statements.find(request[HEADER + 1 :], self.sql_mode)
        elif request[HEADER] == COM_STMT_EXECUTE and len(request) >= HEADER + 5:
            known = self.statements.get(u32(request, HEADER + 1))
            statement = known.statement if known is not None else NO_STATEMENT
        else:
            return False
        return statement.uses & _INSERT_ID != 0 or statement.is_opaque

    def _call(self, request: bytes, now: float) -> Call | None:
        """The call that a command's packet (of a long one, its start) stands for; None: it asks for no answer."""
        word = request[HEADER]
        reader = _COMMANDS.get(word)
        self.without_rule()
        if reader is not None:
            call = reader(self, request, now)
            if self.rule is not None and call is not None:
                call.gates = self.rule.gates
            return call
        name = _OTHER_COMMANDS.get(word)
        if name is None:
            return self.said_now(BY_NAME["OTHER"], error(1, ER_UNKNOWN_COM, "Unknown command"), now)
        return self.forward(request, BY_NAME[name], ANY, now)

    def file_wanted(self) -> None:
        """See Owner."""
        self.expect_file()
        if self.current is not None:
            self.current.unfinished = True

    # Commands

    def _query(self, request: bytes, now: float) -> Call:
        sql = request[HEADER + 1 :]
        statement = self.shared.statements.find(sql, self.sql_mode)
        if self.rules is not None:
            ruled = self.ruled(request, statement)
            if ruled is not request:
                request, sql = ruled, ruled[HEADER + 1 :]
                statement = self.shared.statements.find(sql, self.sql_mode)
        if statement.special != NONE or statement.uses & ~_PLAIN_USES or self.shared.options.mode == STATEMENT_MODE:
            answered = self._special(sql, statement, now)
            if answered is not None:
                return answered
            if statement.uses & OWN_NUMBERS and not self.unfinished():
                request = command(COM_QUERY, self.with_own_numbers(sql, statement, now))
        if self.rule is not None and self.rule.mirror:
            self.keep_copy(request, statement)
        call = self.forward(request, statement.verb, ANY, now, statement)
        if statement.special == SET:
            self.read_set(sql)
        elif statement.special == USE:
            self.pending_schema = read_use(sql)
        return call

    def _special(self, sql: bytes, statement: Statement, now: float) -> Call | None:
        """What may be answered here; None: nothing, it goes upstream as any other statement."""
        refused = self.refused_here(statement, sql)
        if refused is not None:
            return self.said_now(statement.verb, refused, now)
        if statement.special == KILL:
            return self.kill(sql, statement, now)
        if statement.special == SET and self._may_remember() and sql in self.shared.effects:
            return self._settings_known(self.shared.effects[sql], statement, now)
        if statement.special == USE and self._may_remember():
            schema = read_use(sql)
            if schema is not None and self.shared.knows_schema(schema, now):
                return self._schema_known(schema, statement.verb, now)
        if statement.uses & OWN_NUMBERS:
            return self.lone_function(sql, statement, now)
        return None

    def _may_remember(self) -> bool:
        """What only sets something need not go upstream, but for a client that wants to hear of it from there."""
        return self.pin is None and not self.keeps_track

    def _settings_known(self, effect: dict[str, bytes], statement: Statement, now: float) -> Call:
        """A SET that the server took before: whichever connection comes next will be set to that."""

        def take() -> bytes:
            self.retag(self.current_tag().with_settings(effect))
            if "autocommit" in effect:
                self.autocommit = not effect["autocommit"]
            self.settle(now)  # its character set may be one that pins
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
        if self._may_remember() and self.shared.knows_schema(schema, now):
            return self._schema_known(schema, BY_NAME["INIT DB"], now)
        call = self.forward(request, BY_NAME["INIT DB"], ANY, now)
        self.pending_schema = schema
        return call

    def _ping(self, request: bytes, now: float) -> Call:
        if self.pin is None:
            return self.said_now(BY_NAME["PING"], self.ok(), now)
        return self.forward(request, BY_NAME["PING"], ANY, now)  # is what the session relies on still there?

    def _field_list(self, request: bytes, now: float) -> Call:
        return self.forward(request, BY_NAME["FIELD LIST"], ROWS_ONLY, now)

    def _statistics(self, request: bytes, now: float) -> Call:
        return self.forward(request, BY_NAME["STATISTICS"], ONE_PACKET, now)

    def preface(self, call: Call, upstream: UpstreamCodec, now: float) -> Call | None:
        """See ServerCodec: LAST_INSERT_ID() as the session left it, and the statement prepared here."""
        assert isinstance(upstream, MysqlUpstream)
        self.upstream = upstream
        statement = self.statement
        if statement is not None and (statement.uses & _PLAIN_USES or statement.is_opaque):
            tells = statement.uses & _INSERT_ID or statement.is_opaque
            if tells and upstream.insert_mark != self.insert_mark:
                upstream.insert_mark = self.insert_mark
                self.save_insert_id = True
                return self._ahead(b"SELECT LAST_INSERT_ID(%d)" % self.last_insert_id, now)
            if statement.uses & USES_WARNINGS and upstream.warned not in (0, self.id):
                upstream.warned = 0
                return self._ahead(_FORGET_WARNINGS, now)  # nobody sees what somebody else was warned of
        executing = self.executing
        if executing is not None:
            return self.execute_here(call, executing, upstream, now)
        if upstream.detour:
            return self.come_back(upstream, now)
        if call.shape == PREPARE:
            text = self.preparing[0]
            alone = self.last_statement_id + 1 if self.is_being_fetched(text, None) else 0
            upstream.preparing = self.key(text, self.current_tag().schema, alone)
        if upstream.statements.closing:
            call.request = upstream.statements.closing + call.request
            upstream.statements.closing = b""
        return None

    def _ahead(self, sql: bytes, now: float) -> Call:
        return Call(BY_NAME["OTHER"], 1, command(COM_QUERY, sql), now)

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
        return self.login_sequence if call is self.login_call else self.sequence + 1

    def broken(self, problem: Exception) -> bytes:
        """See ServerCodec."""
        if isinstance(problem, LoginRefused):
            return problem.packet
        kind = ER_NET_PACKETS_OUT_OF_ORDER if isinstance(problem, OrderError) else ER_MALFORMED_PACKET
        return error(self.sequence + 1, kind, str(problem))

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
    COM_STMT_PREPARE: MysqlServer.stmt_prepare,
    COM_STMT_EXECUTE: MysqlServer.stmt_execute,
    COM_STMT_SEND_LONG_DATA: MysqlServer.stmt_long_data,
    COM_STMT_CLOSE: MysqlServer.stmt_close,
    COM_STMT_RESET: MysqlServer.stmt_reset,
    COM_SET_OPTION: MysqlServer.set_option,
    COM_STMT_FETCH: MysqlServer.stmt_fetch,
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
