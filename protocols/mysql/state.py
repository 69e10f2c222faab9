"""What a MySQL client believes its connection to be.

Whether a session may give its upstream connection back is decided here: from the server's own session trackers where it
has them, and from what protocols/mysql/statements.py says of a statement where it has none.
"""

from __future__ import annotations

from typing import Any, Final

from mypy_extensions import i64

from protocols.call import Call
from protocols.mysql.assignments import Assignment
from protocols.mysql.constants import (
    COM_QUERY,
    COM_RESET_CONNECTION,
    SERVER_STATUS_ANSI_QUOTES,
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_CURSOR_EXISTS,
    SERVER_STATUS_IN_TRANS,
    SERVER_STATUS_LAST_ROW_SENT,
    SERVER_STATUS_NO_BACKSLASH_ESCAPES,
)
from protocols.mysql.effects import OWN, is_all_reported, is_lasting, reported, said
from protocols.mysql.lexer import ANSI_QUOTES, NO_BACKSLASH_ESCAPES
from protocols.mysql.packets import command, first_value
from protocols.mysql.prepared import ClientStatement
from protocols.mysql.requests import Requests
from protocols.mysql.shared import SESSION_MODE, Shared
from protocols.mysql.statements import SET, SETS_INSERT_ID, USES_NEXTVAL, USES_WARNINGS, Statement
from protocols.mysql.tag import UNKNOWN_SCHEMA, Tag
from protocols.mysql.upstream import MysqlUpstream
from protocols.mysql.verbs import BY_NAME

SAVE_INSERT_ID: Final = command(COM_QUERY, b"SELECT LAST_INSERT_ID() + LAST_INSERT_ID(0)")  # 0 for whoever comes next
WARNINGS: Final = "warnings"  # why a connection is kept for one more statement
_MAX_SETTINGS: Final = 64  # of one session that are replayed; one with more keeps its connection
_TRANSACTION: Final = "transaction"
_ENDS_TRANSACTION: Final = ("COMMIT", "ROLLBACK")
# What no command takes back: a session that holds one of these takes its connection with it.
_LASTING: Final = ("SET ROLE", "XA", "SET rand_seed1", "SET rand_seed2", "LOCK INSTANCE", "BACKUP", "locking service")


class SessionState(Requests):
    """The state of one client's connection as MySQL would keep it."""

    def __init__(self, shared: Shared, session_id: int, now: float) -> None:
        super().__init__(shared.options.request_buffer)
        self.shared: Final = shared
        self.keeps_all: Final = shared.options.mode == SESSION_MODE
        self.id: Final = session_id
        self.capabilities: int = 0
        self.obscure: bool = False  # the gateway cannot read its statements
        self.sql_mode: i64 = shared.mode_of(shared.fresh)  # what of it the lexer has to know
        self.upstream: MysqlUpstream | None = None  # of the lease, or of the one before: see left_tag
        self.held: Final[dict[str, float]] = {}  # why it keeps its connection, and since when
        self.once: str = ""  # the same, until its next statement
        self.in_transaction: bool = False
        self.autocommit: bool = True
        self.next_transaction: str = ""  # a reason that lasts to the end of a transaction, be it one to come
        self.errand: str | None = None  # a lease for this one call
        self.mixed_up: bool = False  # the connection is in a state that nothing here describes
        self.lasting: bool = False  # ... and that no command takes back
        self.strayed: bool = False  # the schema of its connection may not be that of its tag
        self.renewing: bool = False  # in session mode, too, the session is to get another connection, or a clean one
        self.last_insert_id: int = 0
        self.saved_insert_id: int = 0  # as the server said it last
        self.insert_mark: int = 0  # which insert that was of; see MysqlUpstream
        self.save_insert_id: bool = False  # before the connection goes to somebody else
        self.cleaning: bool = False  # the value is on its way
        self.rows: i64 = 0  # of the last result set
        self.affected: int = 0  # by the last statement; -1 behind a result set
        self.statements: Final[dict[int, ClientStatement]] = {}
        self.cursors: i64 = 0
        self.long_size: i64 = 0  # bytes kept for executions to come

        # The statement under way.
        self.statement: Statement | None = None
        self.text: bytes = b""  # of a SET whose effect may be learned
        self.assignments: list[Assignment] | None = None
        self.pending_schema: bytes | None = None  # INIT_DB, USE
        self.pending_option: bool | None = None  # SET_OPTION: whether multi-statements are to be allowed
        self.executing: ClientStatement | None = None
        self.outcome: i64 = 0  # 0: nothing came yet; 1: it went well; 2: an error
        self.variables: dict[str, bytes] = {}  # that the server says have changed
        self.changed: bool = False  # something else has, it says
        self.tag = self._tag_left = shared.fresh

    def current_tag(self) -> Tag:
        """The tag, typed."""
        tag = self.tag
        assert isinstance(tag, Tag)
        return tag

    def retag(self, tag: Tag) -> None:
        """Another schema, or other settings."""
        tag = self.shared.one(tag)
        if tag is self.tag:
            return
        self.tag, self.kind = tag, tag.kind
        self.obscure, self.sql_mode = tag.is_obscure, self.shared.mode_of(tag)

    def status(self) -> int:
        """The flags that an answer of the gateway's own shows."""
        flags = SERVER_STATUS_IN_TRANS if self.in_transaction else 0
        if self.autocommit:
            flags |= SERVER_STATUS_AUTOCOMMIT
        if self.sql_mode & ANSI_QUOTES and self.shared.facts is not None and self.shared.facts.is_mariadb:
            flags |= SERVER_STATUS_ANSI_QUOTES
        if self.sql_mode & NO_BACKSLASH_ESCAPES:
            flags |= SERVER_STATUS_NO_BACKSLASH_ESCAPES  # clients escape their text by it
        return flags

    # What the upstream says

    def replied(self, status: i64, affected: int, insert_id: int, warnings: i64, rows: i64) -> None:
        """See Owner."""
        self.outcome = 1
        if self.in_transaction and not status & SERVER_STATUS_IN_TRANS:
            self.next_transaction = ""
        self.in_transaction = status & SERVER_STATUS_IN_TRANS != 0
        self.autocommit = status & SERVER_STATUS_AUTOCOMMIT != 0
        if self.autocommit and self.next_transaction == _TRANSACTION:
            self.next_transaction = ""
        self.affected = affected
        if self.after_rows:
            self.rows = rows if self.pending_option is None else self.rows  # EOF answers COM_SET_OPTION, too
            self.affected = -1
        statement = self.statement
        if insert_id:
            self.last_insert_id = insert_id
            self._made_insert_id()
        if warnings:
            self.once = WARNINGS
            if self.upstream is not None:
                self.upstream.warned = self.id
        elif statement is not None and statement.uses & USES_NEXTVAL:
            self.once = "NEXTVAL()"  # LASTVAL() may follow
        elif statement is None or not statement.uses & USES_WARNINGS:
            self.once = ""
        executing = self.executing
        if executing is not None and status & (SERVER_STATUS_CURSOR_EXISTS | SERVER_STATUS_LAST_ROW_SENT):
            self.set_cursor(executing, status & SERVER_STATUS_LAST_ROW_SENT == 0)

    def _made_insert_id(self) -> None:
        """LAST_INSERT_ID() on this connection is this session's, and is saved before somebody else gets it."""
        self.shared.inserts += 1
        self.insert_mark = self.shared.inserts
        self.save_insert_id = True
        if self.upstream is not None:
            self.upstream.insert_mark = self.insert_mark

    def set_cursor(self, statement: ClientStatement, is_open: bool) -> None:
        """A cursor opened or ended."""
        if statement.cursor != is_open:
            statement.cursor = is_open
            self.cursors += 1 if is_open else -1

    def drop_long_data(self, statement: ClientStatement) -> None:
        """An execution has had it, or none is to have it."""
        self.long_size -= statement.long_size
        statement.long_size = 0
        statement.long_data.clear()

    def errored(self, number: int) -> None:
        """See Owner."""
        self.outcome = 2
        self.affected = -1
        if not self.autocommit:
            self.next_transaction = self.next_transaction or _TRANSACTION  # rows may be locked, whatever flags will say
        if self.upstream is not None:
            self.upstream.warned = self.id  # SHOW ERRORS tells of it

    def variable(self, name: str, value: bytes) -> None:
        """See Owner."""
        self.variables[name] = value

    def schema_changed(self, schema: bytes) -> None:
        """See Owner."""
        self.retag(self.current_tag().with_schema(schema))

    def state_changed(self) -> None:
        """See Owner."""
        self.changed = True

    # What a statement leaves behind

    def begin(self, statement: Statement, errand: str, now: float) -> None:
        """A statement goes upstream: it needs a connection, for itself at least."""
        self.statement = statement
        self.outcome = 0
        self.errand = errand
        self.renewing = False
        self.settle(now)

    def finished(self, call: Call, now: float) -> None:
        """See ServerCodec."""
        statement, self.statement = self.statement, None
        self.errand = None
        if statement is not None and self.outcome:
            self._took_effect(statement, now)
        if call.sent and call.waiting > 0:
            self.mixed_up = self.strayed = True  # it was given up: nobody knows what it did, or still does
        if self.executing is not None and self.executing.long_data:
            self.drop_long_data(self.executing)  # it never went out: servers forget it, too
        self.changed = False
        if self.variables:
            self.variables = {}
        self.assignments = self.pending_schema = self.pending_option = self.executing = None
        self.text = b""
        self.settle(now)

    def _took_effect(self, statement: Statement, now: float) -> None:
        """Why the session keeps its connection from now on, and why it no longer does."""
        well = self.outcome == 1
        if well and not self.in_transaction and statement.verb.name in _ENDS_TRANSACTION:
            self.next_transaction = ""
        if statement.uses & SETS_INSERT_ID or statement.is_opaque:
            self._made_insert_id()  # perhaps: no reply tells
        if (
            well
            and statement.is_plain
            and not self.changed
            and not self.variables
            and self.pending_schema is None
            and self.pending_option is None
        ):
            return
        if statement.count > 1 and BY_NAME["USE"] in statement.verbs and not self.shared.tracked:
            self.strayed = True  # nobody tells which schema it is now
            self.hold("USE", now)
        if well:
            for reason in statement.unpins:
                self.held.pop(reason, None)
        reason = statement.pins or ("SET" if statement.special == SET else "session state" if self.changed else "")
        if not (well and self._explained(statement, now)) and reason and (well or statement.count > 1):
            self._pin(reason, now)
        if statement.is_opaque and not (well and self.shared.trusts_trackers()):
            # After an error nobody reports what had been changed before; and MariaDB's trackers do not see everything.
            self.hold(statement.verb.name if well else f"an error in {statement.verb.name}", now)

    def _explained(self, statement: Statement, now: float) -> bool:
        """What it changed can be brought to any other connection, and the tag says so now."""
        tag = self.current_tag()
        if self.pending_schema is not None:
            self.shared.learn_schema(self.pending_schema, now)
            if tag.schema != self.pending_schema:
                self.retag(tag.with_schema(self.pending_schema))
            return True
        if self.pending_option is not None:
            self.retag(tag.with_multi_statements(self.pending_option))
            return True
        if statement.special == SET:
            return self._learn_settings(statement)
        if self.variables and statement.digest[:13].upper() != b"SET STATEMENT":
            effect: dict[str, bytes] = {}
            stuck = reported(effect, self.variables, self.shared.facts)
            self.retag(tag.with_settings(effect))
            if stuck:
                self.hold(f"SET {stuck}", now)
            return False
        return statement.digest[:13].upper() == b"SET STATEMENT"  # what it reports was for itself only

    def _learn_settings(self, statement: Statement) -> bool:
        """Behind a SET: its text says what it did, as far as it is made of literals; else the server must have."""
        shared, assignments = self.shared, self.assignments
        if assignments is None:
            effect: dict[str, bytes] = {}
            if statement.pins != "SET" or not self.variables or not is_all_reported(self.text):
                return False
            if not OWN.isdisjoint(self.variables):
                return False  # SET last_insert_id: what is saved and set again is what an INSERT made
        else:
            known = said(assignments, shared.facts)
            if known is None:
                return False
            effect = known
        if reported(effect, self.variables, shared.facts):
            return False
        if not shared.options.replay_user_variables and any(name.startswith("@") for name in effect):
            return False
        tag = self.current_tag().with_settings(effect)
        if len(tag.settings) > _MAX_SETTINGS:
            return False
        self.retag(tag)
        if assignments is not None and is_lasting(assignments) and not self.once:
            shared.learn_effect(self.text, effect)
        return True

    def _pin(self, reason: str, now: float) -> None:
        if reason == "SET TRANSACTION":
            self.next_transaction = reason
        elif reason == "SQL_CALC_FOUND_ROWS":
            self.once = reason
        else:
            self.hold(reason, now)

    def hold(self, reason: str, now: float) -> None:
        """Keep the connection until whatever ends this reason."""
        self.held.setdefault(reason, now)

    # Pins

    def settle(self, now: float) -> None:
        """Bring the pin up to date."""
        pin = self._reason()
        if pin != self.pin:
            self.pin = pin
            self.pinned_at = now

    def _reason(self) -> str | None:
        if self.obscure:
            return "character set"
        if self.held:
            return next(iter(self.held))
        if self.keeps_all and not self.renewing:
            return "pool.mode session"
        if self.in_transaction:
            return _TRANSACTION
        return self.next_transaction or ("cursor" if self.cursors else self.once or self.errand)

    def lease_lost(self) -> bool:
        """See ServerCodec. What only that connection had is gone: a client that relies on it must not go on."""
        self.upstream = None
        self.save_insert_id = False
        return self.pin is None or self.pin == self.errand

    def cleanup(self) -> list[bytes] | None:
        """See ServerCodec."""
        upstream, tag = self.upstream, self.current_tag()
        cut_short = self.statement is not None or (upstream is not None and upstream.detour != b"")
        dirty = self.mixed_up or self.pin is not None or cut_short
        strayed = self.strayed or cut_short
        lasting = self.lasting or (bool(self.held) and any(reason in self.held for reason in _LASTING))
        self.mixed_up = self.strayed = self.lasting = False
        if upstream is None:
            return []
        if lasting:
            return None
        if dirty:
            # Whatever the settings were, they are the defaults behind it. The schema stays.
            schema = UNKNOWN_SCHEMA if strayed else tag.schema
            self._tag_left = Tag(tag.kind, tag.multi_statements, schema, self.shared.base_settings())
            upstream.statements.clear()
            upstream.insert_mark = 0
            upstream.detour = b""
            upstream.warned = -1
            return [command(COM_RESET_CONNECTION), *self.shared.setup()]
        self._tag_left = tag
        if self.save_insert_id:
            self.save_insert_id = False
            self.cleaning = True
            upstream.insert_mark = 0
            return [SAVE_INSERT_ID]
        return []

    def left_tag(self) -> object:
        """See ServerCodec."""
        return self._tag_left

    def cleaned(self, data: bytes) -> None:
        """See ServerCodec. An INSERT's OK tells an id that was given, too; LAST_INSERT_ID() only one that was made."""
        if self.cleaning:
            self.cleaning = False
            value = first_value(data)
            if value is not None and value.isdigit():
                self.saved_insert_id = int(value) or self.saved_insert_id  # 0: what was inserted had its id
                self.last_insert_id = self.saved_insert_id

    def forget(self, now: float) -> None:
        """As after COM_RESET_CONNECTION: settings and statements are gone, and whatever kept the connection."""
        self.mixed_up = self.mixed_up or self.pin is not None
        self.lasting = any(reason in self.held for reason in _LASTING)
        self.renewing = True
        if self.upstream is not None and self.upstream.warned == self.id:
            self.upstream.warned = -1
        self.held.clear()
        self.once = ""
        self.in_transaction, self.next_transaction = False, ""
        self.autocommit = True
        self.last_insert_id = self.saved_insert_id = self.insert_mark = self.affected = 0
        self.save_insert_id = False
        self.statements.clear()
        self.cursors = self.long_size = 0
        self.settle(now)

    def facts(self, now: float) -> dict[str, Any]:
        """For ``/sessions``."""
        tag = self.current_tag()
        settings = {name: value.decode("utf-8", "replace") for name, value in tag.settings.items()}
        reasons = [f"{reason} since {now - since:.1f} s" for reason, since in self.held.items()]
        return {
            "schema": tag.schema.decode("utf-8", "replace"),
            "settings": settings,
            "prepared_statements": len(self.statements),
            "in_transaction": self.in_transaction,
            "pins": reasons,
            "statement": self.statement.digest.decode("utf-8", "replace") if self.statement is not None else "",
        }
