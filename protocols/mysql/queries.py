"""What an operator wants of a session's statements: where they go, which rule they follow, what is noted of them."""

from __future__ import annotations

from typing import Any, Final

from mypy_extensions import i64

from protocols.call import CONTROL, OUTCOMES, READ, Call
from protocols.mysql.lexer import digest
from protocols.mysql.rules import PRIMARY, REPLICA, Rule, Rules
from protocols.mysql.shared import Shared
from protocols.mysql.state import WARNINGS, SessionState
from protocols.mysql.statements import NONE, USES_WARNINGS, Statement
from protocols.mysql.upstream import ROWS_ONLY
from protocols.mysql.verbs import OTHER

# Where the lexer cannot read a text, its literals might show in the digest.
_UNREAD: Final = Statement(b"(a text in sjis, cp932, big5, gbk or gb18030)", [OTHER])


class Queries(SessionState):
    """The statements of one session, as an operator sees them."""

    def __init__(self, shared: Shared, session_id: int, now: float) -> None:
        super().__init__(shared, session_id, now)
        self.rules: Rules | None = shared.rules
        self.rule: Rule | None = None  # of the command under way
        self.opens_cursor: bool = False  # the execution that begins next leaves one open
        self.copy: bytes = b""  # of the statement under way, for another service
        self.on_replica: bool = False  # the connection that it has, or had last, was to be a replica's
        self.plain_read: bool = False  # ... for a statement that any replica may answer
        self.primary_until: float = 0.0  # its plain reads are to see its own writes
        self.sent_rows: i64 = 0  # by all results of the statement under way
        self.all_affected: int = 0
        self.error_number: int = 0  # that it ended with

    # Rules

    def without_rule(self) -> None:
        """A new command begins. It is a method since the compiler would take the rule for None from then on."""
        self.rule = None

    def ruled(self, request: bytes, statement: Statement) -> bytes:
        """Find the rule of a COM_QUERY or COM_STMT_PREPARE; the request as it is to go on."""
        rules = self.rules
        if rules is None:
            return request
        self.rule = rules.find(self.user, self.current_tag().schema, statement)
        # A long request is passed on as it is, whether all of it is here already or not.
        long = len(request) > self.shared.options.request_buffer or self.unfinished()
        return request if self.rule is None or long else self.rule.rewritten(request)

    def keep_copy(self, request: bytes, statement: Statement) -> None:
        """What the rule has copied: a statement in itself, that needs and leaves nothing but data."""
        loose = (self.pin is None or self.pin == WARNINGS) and self.autocommit and not self.obscure
        if loose and statement.special == NONE and not statement.pins and not statement.uses and not self.unfinished():
            self.copy = request

    # Where a statement goes

    def begin(self, statement: Statement, errand: str, now: float) -> None:
        """See SessionState. A session that keeps no connection chooses anew whose it gets.

        A replica's connection is kept for its warnings only, and for nothing else.
        """
        lingers = self.on_replica and self.pin == WARNINGS
        if self.pin is None or lingers:
            shows = lingers and statement.uses & USES_WARNINGS != 0
            self.role = REPLICA if shows else self._role(statement, now)
            self.moves = lingers and self.role != REPLICA
            self.on_replica = self.role == REPLICA
            self.plain_read = self.on_replica and statement.replica
        self.opens_cursor = False
        self.sent_rows = 0
        self.all_affected = self.error_number = 0
        super().begin(statement, errand, now)

    def _role(self, statement: Statement, now: float) -> str:
        if self.keeps_all or self.obscure or self.in_transaction or not self.autocommit:
            return PRIMARY  # more than this statement will go where it goes
        rule = self.rule
        routed = rule is not None and rule.route != ""
        wanted = rule.route if rule is not None and routed else self.shared.options.reads
        if wanted != REPLICA or (rule is not None and routed and rule.force):
            return wanted
        return REPLICA if statement.replica and not self.opens_cursor and now >= self.primary_until else PRIMARY

    def hold(self, reason: str, now: float) -> None:
        """See SessionState. What a plain read changed on a replica's connection goes with that."""
        if self.plain_read:
            self.mixed_up = True
        else:
            super().hold(reason, now)

    # What is noted

    def replied(self, status: i64, affected: int, insert_id: int, warnings: i64, rows: i64) -> None:
        """See Owner."""
        self.sent_rows += rows
        self.all_affected += affected
        super().replied(status, affected, insert_id, warnings, rows)

    def errored(self, number: int) -> None:
        """See Owner."""
        self.error_number = number
        super().errored(number)

    def finished(self, call: Call, now: float) -> None:
        """See ServerCodec."""
        statement, executing = self.statement, self.executing
        if self.obscure and statement is not None and statement.digest:
            statement = _UNREAD
        super().finished(call, now)
        copy, self.copy = self.copy, b""
        if statement is None or not call.sent:
            return
        shared = self.shared
        if statement.digest:
            failed = call.errors + call.failures > 0
            duration = now - call.started
            shared.digests.record(statement, failed, self.sent_rows, self.all_affected, duration, now)
            if 0.0 < shared.options.slow <= duration:
                shared.host.slow(self._slow(statement, call, duration))
        elif executing is not None and call.shape == ROWS_ONLY:
            shared.digests.fetched(executing.statement, self.sent_rows)
        if shared.options.read_after_write > 0.0 and _may_write(call):
            self.primary_until = now + shared.options.read_after_write
        if copy and self.rule is not None and self.autocommit and not self.in_transaction:
            shared.host.mirror(self.rule.mirror, self.tag, copy)

    def _slow(self, statement: Statement, call: Call, duration: float) -> dict[str, Any]:
        """What the log says of a slow statement."""
        error = str(self.error_number) if self.error_number else OUTCOMES[call.outcome]
        return {
            "user": self.user,
            "schema": self.current_tag().schema.decode("utf-8", "replace"),
            "digest": digest(statement.digest),
            "text": statement.digest.decode("utf-8", "replace"),
            "duration_ms": round(duration * 1000, 3),
            "rows": int(self.sent_rows),
            "affected": self.all_affected,
            "error": error if call.errors + call.failures else "",
        }


def _may_write(call: Call) -> bool:
    """The data may be different behind it: COMMIT counts, too."""
    return any(verb.effect not in (READ, CONTROL) for verb in call.also or [call.verb])
