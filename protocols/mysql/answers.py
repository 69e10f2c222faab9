"""What the gateway answers a MySQL client itself: its login, and commands that concern its own connection only."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

from protocols.call import DDL, TRANSACTION, Call, Verb
from protocols.errors import ProtocolError
from protocols.mysql.assignments import parse
from protocols.mysql.auth import NATIVE, SHA2
from protocols.mysql.client_login import DONE, REFUSED, TLS, ClientLogin
from protocols.mysql.compress import CompressLayer
from protocols.mysql.constants import (
    CLIENT_COMPRESS,
    CLIENT_DEPRECATE_EOF,
    CLIENT_FOUND_ROWS,
    CLIENT_IGNORE_SPACE,
    CLIENT_INTERACTIVE,
    CLIENT_LOCAL_FILES,
    CLIENT_LONG_FLAG,
    CLIENT_MULTI_RESULTS,
    CLIENT_MULTI_STATEMENTS,
    CLIENT_ODBC,
    CLIENT_PS_MULTI_RESULTS,
    CLIENT_SESSION_TRACK,
    CLIENT_TRANSACTIONS,
    COM_INIT_DB,
    EOF_PACKET,
    ER_KILL_DENIED,
    ER_NOT_SUPPORTED_YET,
    ERR_PACKET,
    MARIADB_EXTENDED_METADATA,
)
from protocols.mysql.packets import HEADER, command, error, ok, one_number, packet, u32
from protocols.mysql.queries import Queries
from protocols.mysql.shared import STATEMENT_MODE, Shared
from protocols.mysql.statements import (
    SET,
    USES_CONNECTION_ID,
    USES_FOUND_ROWS,
    USES_ROW_COUNT,
    Statement,
    lone_function,
    read_kill,
    replace_functions,
)
from protocols.mysql.tag import Tag
from protocols.mysql.verbs import BY_NAME

FIRST_ID: Final = 1 << 30  # clients' connection ids start here: so high that no thread of a server has the same
_OFFERED: Final = (
    CLIENT_FOUND_ROWS
    | CLIENT_LONG_FLAG
    | CLIENT_ODBC
    | CLIENT_LOCAL_FILES
    | CLIENT_IGNORE_SPACE
    | CLIENT_INTERACTIVE
    | CLIENT_TRANSACTIONS
    | CLIENT_MULTI_STATEMENTS
    | CLIENT_MULTI_RESULTS
    | CLIENT_PS_MULTI_RESULTS
    | CLIENT_SESSION_TRACK
    | CLIENT_DEPRECATE_EOF
    | MARIADB_EXTENDED_METADATA
)
NO_STATEMENT: Final = Statement(b"", [BY_NAME["PING"]])  # of commands that are no statement
OWN_NUMBERS: Final = USES_CONNECTION_ID | USES_FOUND_ROWS | USES_ROW_COUNT
_NONCE: Final = 20  # bytes; printable ones, since a NUL would end it
_PRINTABLE: Final = bytes(33 + byte % 90 for byte in range(256))


class LoginRefused(ProtocolError):
    """The client is not let in; ``packet`` is what it is told."""

    def __init__(self, said: bytes) -> None:
        super().__init__("login refused")
        self.packet: Final = said


def _nonce() -> bytes:
    return secrets.token_bytes(_NONCE).translate(_PRINTABLE)


class Answers(Queries):
    """A client's login, and what it asks of the gateway alone."""

    def __init__(self, shared: Shared, session_id: int, host: str, secure: bool, tls: bool, now: float) -> None:
        super().__init__(shared, session_id, now)
        self.logged_in = False
        self.connection_id: Final = FIRST_ID + session_id
        self.login: ClientLogin | None = None  # under way
        self.login_call: Call | None = None  # its last step, while the upstream looks for the schema
        self.login_sequence: int = 0
        self.current: Call | None = None
        self.compressing: bool = False
        self._host: Final = host
        self._secure: Final = secure
        self._tls: Final = tls
        self._login: ClientLogin | None = None  # kept for COM_CHANGE_USER
        self._action: Callable[[], bytes] = _nothing

    def facts(self, now: float) -> dict[str, Any]:
        """See ServerCodec."""
        attributes = self._login.attributes if self._login is not None else {}
        return {"connection_id": self.connection_id, "attributes": attributes, **super().facts(now)}

    # The login

    def greet(self) -> None:
        """See ServerCodec."""
        facts = self.shared.facts
        assert facts is not None
        self.login = self._login = ClientLogin(
            facts,
            self.shared.accounts,
            self.connection_id,
            _nonce(),
            self._host,
            capabilities=facts.capabilities & _OFFERED | CLIENT_COMPRESS,
            tls=self._tls,
            secure=self._secure,
            rsa=self.shared.rsa,
            plugin=NATIVE if facts.is_mariadb else SHA2,
        )
        self.said = self.login.greeting()

    def log_in(self, payload: bytes, now: float) -> Call | None:
        """The client's next packet of the login; the call that ends it, if this was the last."""
        login = self.login
        assert login is not None
        return self._logged_in(login, login.feed(payload, self.sequence), now)

    def _logged_in(self, login: ClientLogin, said: bytes, now: float) -> Call | None:
        if login.state == REFUSED:
            raise LoginRefused(said)
        self.said += said
        if login.state == TLS:
            self.starts_tls = True
            login.started_tls()
        if login.state != DONE:
            return None
        self.login = None
        self.logged_in = True
        self.login_sequence = login.sequence
        self.user = login.user
        self.capabilities = login.capabilities
        self.keeps_track = login.capabilities & CLIENT_SESSION_TRACK != 0
        schema = login.database.encode()
        if schema and not self.shared.knows_schema(schema, now):
            self.retag(self.shared.login_tag(login.capabilities, b"", login.collation))
            call = Call(BY_NAME["LOGIN"], 1, command(COM_INIT_DB, schema), now)
            call.barrier = call.observed = True
            self.login_call = self.current = call
            self.pending_schema = schema
            self.begin(NO_STATEMENT, "login", now)
            self.moves = self.strayed  # COM_CHANGE_USER: not over the connection that it has
            return call
        self.retag(self.shared.login_tag(login.capabilities, schema, login.collation))
        return self.answered(BY_NAME["LOGIN"], self._welcome, now)

    def _welcome(self) -> bytes:
        self._start_compression()
        return ok(self.login_sequence, self.status())

    def _start_compression(self) -> None:
        if self.capabilities & CLIENT_COMPRESS and not self.compressing:
            self.compressing = True
            self.starts_layer = CompressLayer()

    def logged_in_reply(self, call: Call, data: bytes) -> bytes:
        """What the upstream said of the schema, as the last word of the login."""
        if data[HEADER] == ERR_PACKET:
            call.closes = True
            return data[:3] + bytes([self.login_sequence & 255]) + data[4:]
        return ok(self.login_sequence, self.status())

    def finished(self, call: Call, now: float) -> None:
        """See ServerCodec."""
        super().finished(call, now)
        self.current = None
        if call is self.login_call:
            self.login_call = None
            if self.outcome != 1:
                call.closes = True
            else:
                self._start_compression()

    def change_user(self, request: bytes, now: float) -> Call | None:
        """COM_CHANGE_USER: a login on the same connection. Whoever fails it has to leave."""
        login = self._login
        assert login is not None
        if self.unfinished():
            raise ProtocolError("the login packet is too long")
        self.strayed = self.strayed or self.pin is not None
        self.forget(now)
        self.user = ""
        self.logged_in = False
        self.login = login
        login.capabilities &= ~CLIENT_IGNORE_SPACE  # servers forget it there
        return self._logged_in(login, login.change_user(request[HEADER:], _nonce()), now)

    # Answers

    def answered(self, verb: Verb, action: Callable[[], bytes], now: float) -> Call:
        """A call that the gateway answers, once it is admitted, by doing this."""
        if self.unfinished():
            self.discard()
        call = Call(verb, 1, b"", now)
        call.local = True
        self._action = action
        return call

    def said_now(self, verb: Verb, data: bytes, now: float) -> Call:
        """The same, where nothing is to be done."""
        return self.answered(verb, lambda: data, now)

    def answer(self, call: Call, now: float) -> bytes:
        """See ServerCodec."""
        action, self._action = self._action, _nothing
        return action()

    def ok(self) -> bytes:
        """An OK packet as the reply to a command."""
        self.affected = 0
        return ok(1, self.status())

    def quit(self, request: bytes, now: float) -> Call:
        """COM_QUIT has no reply."""
        call = self.said_now(BY_NAME["QUIT"], b"", now)
        call.closes = True
        return call

    def set_option(self, request: bytes, now: float) -> Call:
        """COM_SET_OPTION: multi-statements on (0) or off (1); an EOF packet answers."""
        allowed = request[HEADER + 1 : HEADER + 3] == b"\0\0"
        if self.pin is not None:  # the connection at hand is to be switched, not the next one
            call = self.forward_plain(request, BY_NAME["SET OPTION"], now)
            self.pending_option = allowed
            return call
        tail = self.status().to_bytes(2, "little")
        tail += b"\0\0" if self.capabilities & CLIENT_DEPRECATE_EOF else b""

        def switch() -> bytes:
            self.retag(self.current_tag().with_multi_statements(allowed))
            self.affected = -1
            return packet(bytes([EOF_PACKET, 0, 0]) + tail, 1)

        return self.answered(BY_NAME["SET OPTION"], switch, now)

    def reset_connection(self, request: bytes, now: float) -> Call:
        """COM_RESET_CONNECTION: as after the login, but for the schema."""

        def reset() -> bytes:
            tag, login = self.current_tag(), self._login
            self.forget(now)
            settings = self.shared.charset(login.collation if login is not None else 0)
            self.retag(Tag(tag.kind, tag.multi_statements, tag.schema, settings))
            self.settle(now)
            return self.ok()

        return self.answered(BY_NAME["RESET CONNECTION"], reset, now)

    def with_own_numbers(self, sql: bytes, statement: Statement, now: float) -> bytes:
        """A text with the session's own numbers in the place of CONNECTION_ID() and kin; not in definitions: they last.

        FOUND_ROWS() among several statements may be about one of these: then the connection is kept from now on.
        """
        if any(verb.effect == DDL for verb in statement.verbs):
            return sql
        numbers = {b"CONNECTION_ID": self.connection_id}
        if self.pin is None and statement.uses & (USES_FOUND_ROWS | USES_ROW_COUNT):
            if statement.count == 1:
                numbers |= {b"FOUND_ROWS": int(self.rows), b"ROW_COUNT": self.affected}
            else:
                self.hold("FOUND_ROWS()" if statement.uses & USES_FOUND_ROWS else "ROW_COUNT()", now)
        return replace_functions(sql, numbers)

    def lone_function(self, sql: bytes, statement: Statement, now: float, *, binary: bool = False) -> Call | None:
        """``SELECT CONNECTION_ID()`` and kin, whose answer only this session knows. None: the server is asked."""
        found = lone_function(sql)
        if found is None:
            return None
        function, column = found
        if statement.uses & USES_CONNECTION_ID:
            value = self.connection_id
        elif self.pin is not None:
            return None
        else:
            value = int(self.rows) if function == "FOUND_ROWS" else self.affected

        def tell() -> bytes:
            self.rows, self.affected = 1, -1
            return one_number(column, value, self.capabilities, self.status(), binary=binary)

        return self.answered(statement.verb, tell, now)

    def refused_here(self, statement: Statement, sql: bytes) -> bytes | None:
        """In statement mode nothing may outlive its statement; None: it does not."""
        if self.shared.options.mode != STATEMENT_MODE:
            return None
        kept = statement.pins
        lasting = [verb.name for verb in statement.verbs if verb.effect == TRANSACTION]
        if lasting:
            kept = lasting[0]
        elif statement.special == SET and any(one.name == "autocommit" for one in parse(sql, mode=self.sql_mode) or ()):
            kept = "SET autocommit"
        if not kept:
            return None
        text = f"poolgate: {self.shared.service}: {kept} is refused in pool.mode statement"
        return error(1, ER_NOT_SUPPORTED_YET, text)

    # KILL

    def kill(self, sql: bytes, statement: Statement, now: float) -> Call | None:
        """KILL of a session of this service; None: it is meant for the server itself."""
        found = read_kill(sql)
        if found is None or found[1] - FIRST_ID not in self.shared.sessions:
            return None
        return self._kill(found[1] - FIRST_ID, found[0], statement.verb, now)

    def process_kill(self, request: bytes, now: float) -> Call | None:
        """COM_PROCESS_KILL, the same for the id in the packet."""
        verb = BY_NAME["KILL"]
        number = u32(request, HEADER + 1) - FIRST_ID if len(request) >= HEADER + 5 else -1
        if number in self.shared.sessions:
            return self._kill(number, False, verb, now)
        return self.forward_plain(request, verb, now)

    def forward_plain(self, request: bytes, verb: Verb, now: float) -> Call:
        """A command for the server; MysqlServer knows how."""
        raise NotImplementedError

    def _kill(self, number: int, query_only: bool, verb: Verb, now: float) -> Call:
        victim = self.shared.sessions[number]
        if victim.user != self.user:
            text = f"You are not owner of thread {FIRST_ID + number}"
            return self.said_now(verb, error(1, ER_KILL_DENIED, text), now)

        def end() -> bytes:
            host = self.shared.host
            host.interrupt(number)
            if not query_only:
                host.disconnect(number)
            return self.ok()

        return self.answered(verb, end, now)


def _nothing() -> bytes:
    return b""
