"""A client's prepared statements: its COM_STMT_... commands, on whichever connection they come to be executed.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_command_phase_ps.html
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from protocols.call import DDL, Call, Verb
from protocols.errors import ProtocolError
from protocols.mysql.answers import NO_STATEMENT, OWN_NUMBERS, Answers
from protocols.mysql.assignments import parse
from protocols.mysql.constants import (
    COM_INIT_DB,
    COM_STMT_EXECUTE,
    COM_STMT_PREPARE,
    COM_STMT_RESET,
    ER_MAX_PREPARED_STMT_COUNT_REACHED,
    ER_NET_PACKET_TOO_LARGE,
    ER_UNKNOWN_STMT,
)
from protocols.mysql.packets import HEADER, command, error, u32
from protocols.mysql.prepared import CURSOR_READ_ONLY, ClientStatement, Key, execution, has_room
from protocols.mysql.shared import Shared
from protocols.mysql.statements import SET, USES_CONNECTION_ID, Statement, replace_connection_id
from protocols.mysql.upstream import ANY, PREPARE, ROWS_ONLY, MysqlUpstream
from protocols.mysql.verbs import BY_NAME

MAX_STATEMENTS: Final = 16382  # prepared by one client, as max_prepared_stmt_count for a whole server
TOO_MANY_STATEMENTS: Final = error(
    1, ER_MAX_PREPARED_STMT_COUNT_REACHED, f"Can't create more than {MAX_STATEMENTS} statements on one connection"
)
_NO_ROOM: Final = error(
    1, ER_NET_PACKET_TOO_LARGE, "poolgate: an execution of 16 MiB has to tell the types of its parameters"
)
_LONG_DATA_COST: Final = 128  # bytes that a piece of it takes besides its own
_TOO_LONG: Final = "Parameter of prepared statement which is set through mysql_send_long_data() is too long"


class PreparedCommands(Answers):
    """The statements of one client."""

    def __init__(self, shared: Shared, session_id: int, host: str, secure: bool, tls: bool, now: float) -> None:
        super().__init__(shared, session_id, host, secure, tls, now)
        self.preparing: tuple[bytes, Statement] = (b"", NO_STATEMENT)
        self.last_statement_id: int = 0

    def forward(self, request: bytes, verb: Verb, shape: i64, now: float, statement: Statement = NO_STATEMENT) -> Call:
        """A call that goes upstream, which expects a reply of this shape."""
        call = Call(verb, 1, request, now)
        call.barrier = True
        call.observed = not self.keeps_track
        call.shape = shape
        if len(statement.verbs) > 1:
            call.also = statement.verbs
        self.current = call
        self.begin(statement, verb.name, now)
        return call

    def forward_plain(self, request: bytes, verb: Verb, now: float) -> Call:
        """See Answers."""
        return self.forward(request, verb, ANY, now)

    def read_set(self, sql: bytes) -> None:
        """A SET is on its way: what it does, as far as its text tells."""
        facts = self.shared.facts
        self.assignments = parse(sql, mariadb=facts is not None and facts.is_mariadb, mode=self.sql_mode)
        self.text = sql

    def key(self, text: bytes, schema: bytes, alone: int = 0) -> Key:
        """A text means the same on connections with the same key; ``alone``: of this one statement only."""
        if alone:
            text = b"%b\0%d %d" % (text, self.id, alone)
        tag = self.current_tag()
        get = tag.settings.get
        charset, collation = get("character_set_client", b""), get("collation_connection", b"")
        return (schema, get("sql_mode", b""), charset, collation, text)

    def stmt_prepare(self, request: bytes, now: float) -> Call:
        """COM_STMT_PREPARE goes to the server; the id in the reply becomes the gateway's."""
        text = request[HEADER + 1 :]
        statement = self.shared.statements.find(text, self.sql_mode)
        if self.rules is not None:
            ruled = self.ruled(request, statement)
            if ruled is not request:
                request, text = ruled, ruled[HEADER + 1 :]
                statement = self.shared.statements.find(text, self.sql_mode)
        if len(self.statements) >= MAX_STATEMENTS:
            return self.said_now(BY_NAME["STMT PREPARE"], TOO_MANY_STATEMENTS, now)
        if statement.uses & USES_CONNECTION_ID and not self.unfinished() and statement.verb.effect != DDL:
            text = replace_connection_id(text, self.connection_id)
            request = command(COM_STMT_PREPARE, text)
        call = self.forward(request, BY_NAME["STMT PREPARE"], PREPARE, now)
        call.observed = True
        self.preparing = (text, statement)
        return call

    def prepared(self, upstream_id: int, parameters: i64) -> int:
        """See Owner."""
        text, statement = self.preparing
        self.last_statement_id += 1
        made = ClientStatement(self.last_statement_id, text, statement)
        made.parameters = parameters
        made.schema = self.current_tag().schema
        made.rule = self.rule
        made.alone = self.is_being_fetched(text, made)
        self.statements[made.id] = made
        return made.id

    def is_being_fetched(self, text: bytes, but: ClientStatement | None) -> bool:
        """Another statement of this text has a cursor, which must neither be closed nor opened anew."""
        return self.cursors > 0 and any(
            one.cursor and one is not but and one.text == text for one in self.statements.values()
        )

    def _known(self, request: bytes) -> ClientStatement | None:
        if len(request) < HEADER + 5:
            raise ProtocolError("Malformed packet")
        return self.statements.get(u32(request, HEADER + 1))

    def _unknown_statement(self, request: bytes, name: str, now: float) -> Call:
        number = u32(request, HEADER + 1)
        text = f"Unknown prepared statement handler ({number}) given to {name}"
        return self.said_now(BY_NAME["STMT EXECUTE"], error(1, ER_UNKNOWN_STMT, text), now)

    def stmt_execute(self, request: bytes, now: float) -> Call:
        """COM_STMT_EXECUTE counts under the verb of the statement's text."""
        known = self._known(request)
        if known is None or len(request) < HEADER + 10:
            return self._unknown_statement(request, "mysqld_stmt_execute", now)
        statement = known.statement
        refused = self.refused_here(statement, known.text)
        if refused is not None:
            self.drop_long_data(known)
            return self.said_now(statement.verb, refused, now)
        if statement.uses & OWN_NUMBERS:
            answered = self.lone_function(known.text, statement, now, binary=True)
            if answered is not None:
                return answered
        if not has_room(request, known):
            return self.said_now(statement.verb, _NO_ROOM, now)
        self.set_cursor(known, False)
        self.rule = known.rule
        if known.rule is not None:
            known.rule.hits += 1
        self.opens_cursor = request[HEADER + 5] & CURSOR_READ_ONLY != 0
        call = self.forward(request, statement.verb, ANY, now, statement)
        self.executing = known
        if statement.special == SET:
            self.read_set(known.text)
        if request[HEADER + 5] & CURSOR_READ_ONLY:
            self.errand = "cursor"
        return call

    def stmt_fetch(self, request: bytes, now: float) -> Call:
        """COM_STMT_FETCH: more rows of an open cursor."""
        known = self._known(request)
        if known is None or not known.cursor:
            return self._unknown_statement(request, "mysqld_stmt_fetch", now)
        call = self.forward(request, BY_NAME["STMT FETCH"], ROWS_ONLY, now)
        self.executing = known
        return call

    def stmt_reset(self, request: bytes, now: float) -> Call:
        """COM_STMT_RESET: what only the gateway holds is dropped here, a cursor upstream."""
        known = self._known(request)
        if known is None:
            return self._unknown_statement(request, "mysqld_stmt_reset", now)
        self.drop_long_data(known)
        if not known.cursor:
            return self.said_now(BY_NAME["STMT RESET"], self.ok(), now)
        self.set_cursor(known, False)
        call = self.forward(request, BY_NAME["STMT RESET"], ANY, now)
        self.executing = known
        return call

    def stmt_close(self, request: bytes, now: float) -> Call | None:
        """COM_STMT_CLOSE has no reply. The statement stays upstream, for whoever prepares the same text."""
        known = self._known(request)
        if known is None:
            return None
        del self.statements[known.id]
        self.drop_long_data(known)
        if not known.cursor:
            return None
        if self.unfinished():
            self.discard()
        self.set_cursor(known, False)  # the server's cursor goes as if it were reset; nobody is told
        call = self.forward(command(COM_STMT_RESET, request[HEADER + 1 : HEADER + 5]), BY_NAME["STMT RESET"], ANY, now)
        call.mute = True
        self.executing = known
        return call

    def stmt_long_data(self, request: bytes, now: float) -> None:
        """COM_STMT_SEND_LONG_DATA has no reply: it is kept, and goes ahead of the execution."""
        known = self._known(request)
        if known is None or len(request) < HEADER + 7:
            return None
        known.long_data += [request[: HEADER + 1], None]
        self._keep(known, request[HEADER + 5 :])
        if self.unfinished():
            self.keep(lambda piece: self._keep(known, piece))
        return None

    def _keep(self, known: ClientStatement, data: bytes) -> None:
        known.long_data.append(data)
        known.long_size += len(data) + _LONG_DATA_COST
        self.long_size += len(data) + _LONG_DATA_COST
        if self.long_size > self.shared.options.max_long_data:
            raise ProtocolError(_TOO_LONG)

    def execute_here(self, call: Call, executing: ClientStatement, upstream: MysqlUpstream, now: float) -> Call | None:
        """The call in the upstream's own numbers; before that, what prepares its statement there."""
        executing.alone = executing.alone or self.is_being_fetched(executing.text, executing)
        key = executing.key
        if key is None or call.request[HEADER] == COM_STMT_EXECUTE:  # what follows has to find the same
            key = executing.key = self.key(executing.text, executing.schema, executing.id if executing.alone else 0)
        prepared = upstream.statements.get(key)
        if prepared is None and executing.schema and executing.schema != (upstream.detour or self.current_tag().schema):
            upstream.detour = executing.schema  # names in it are found there, wherever the session is now
            return Call(BY_NAME["INIT DB"], 1, command(COM_INIT_DB, executing.schema), now)
        if prepared is not None and upstream.detour:
            return self.come_back(upstream, now)
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
            long_data = [number if data is None else data for data in executing.long_data]
            self.drop_long_data(executing)
            call.request = closing + b"".join(long_data) + request
        else:
            call.request = closing + request[: HEADER + 1] + number + request[HEADER + 5 :]
        return None

    def come_back(self, upstream: MysqlUpstream, now: float) -> Call:
        """To the schema that the session is in."""
        upstream.detour = b""
        return Call(BY_NAME["INIT DB"], 1, command(COM_INIT_DB, self.current_tag().schema), now)
