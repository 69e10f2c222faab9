"""The words of a call's life: Verb, Affinity, Receiver, Call, Outcome.

No I/O and no clock here: whoever needs the time passes ``now`` (seconds, monotonic) as an argument.
Times are float seconds, sizes are bytes.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from protocols.fault import Fault

# What a verb does to the data: policies are bound by these words ("allow: [read]").
READ: Final = "read"
WRITE: Final = "write"
DDL: Final = "ddl"  # what the data looks like: CREATE TABLE
ADMIN: Final = "admin"
TRANSACTION: Final = "transaction"  # where a transaction begins and ends: BEGIN, COMMIT
CONTROL: Final = "control"  # the state of the connection only: SELECT, AUTH, MULTI, PING
EFFECTS: Final = (READ, WRITE, DDL, ADMIN, TRANSACTION, CONTROL)
GOVERNED: Final = (READ, WRITE, DDL, ADMIN)  # what limits are for: refusing the end of a transaction helps nobody

# Affinity: which upstream connection a call may use.
CALL: Final = 0  # any shared lane
TXN: Final = 1  # a lease until the transaction ends
SESSION: Final = 2  # a lease until the session gives the state up

# Outcomes of a settled call. A run of several commands has the worst of theirs; see Call.errors and Call.failures.
OK: Final = 0
APP_ERROR: Final = 1  # the command's own fault (wrong type, syntax): never trips a breaker
RETRYABLE: Final = 2  # the upstream could not serve it now, and surely did not execute it
FATAL: Final = 3  # the upstream failed; it may or may not have executed it
REFUSED: Final = 4  # a gate further in said no: it never left the gateway
CANCELLED: Final = 5  # the client left first: says nothing about the upstream
OUTCOMES: Final = ("ok", "app_error", "retryable", "fatal", "refused", "cancelled")


@mypyc_attr(allow_interpreted_subclasses=True)
class Verb:
    """What a command *is*: one frozen fact sheet per command.

    ``index`` is dense within a protocol, so that "what is known for this verb" is a list lookup.
    """

    def __init__(
        self, name: str, index: int, effect: str, *, idempotent: bool, one_way: bool, blocking: bool, affinity: int
    ) -> None:
        self.name: Final = name
        self.index: Final[i64] = index
        self.effect: Final = effect
        self.idempotent: Final = idempotent
        self.one_way: Final = one_way
        self.blocking: Final = blocking
        self.affinity: Final[i64] = affinity


class Receiver:
    """Who waits for the replies of a call: a client's session, or the gateway itself."""

    def replied(self, call: Call, data: bytes, now: float) -> None:
        """Some of the call's reply arrived, in order; ``call.waiting`` == 0: that was all of it."""

    def failed(self, call: Call, fault: Fault, now: float) -> None:
        """The rest of the call's replies will never come."""

    def pushed(self, data: bytes, now: float) -> None:
        """A message that nobody asked for arrived on the connection that this receiver owns."""


@final
class Call:
    """The unit of governance: one command, or a *run* of consecutive commands that share one plan.

    A run is admitted and settled as a whole with ``count`` = n. ``verb`` is the verb of the first command;
    ``verbs`` lists all of them only when a run mixes several.
    """

    __slots__ = (
        "also", "answer", "barrier", "behind", "blamed", "blocking", "closes", "count", "deadline", "done", "errors",
        "failures", "gates", "in_turn", "local", "mute", "next", "observed", "outcome", "partial", "plan", "receiver",
        "request", "retried", "sent", "shape", "size", "started", "unfinished", "verb", "verbs", "waiting",
    )  # fmt: skip

    def __init__(self, verb: Verb, count: i64, request: bytes, started: float) -> None:
        self.verb: Verb = verb
        self.verbs: list[Verb] | None = None
        self.also: list[Verb] | None = None  # what else this one command does: the client needs the right to that, too
        self.count: i64 = count
        self.request: bytes = request  # the client's own bytes, forwarded as they are; dropped once written
        self.size: i64 = len(request)
        self.started: float = started
        self.deadline: float = 0.0  # 0: none

        # What the codec asks of the exchange.
        self.local: bool = False  # the codec answers it, once admitted
        self.in_turn: bool = False  # ... and only when all before it are replied
        self.barrier: bool = False  # nothing of this session goes on before its reply
        self.observed: bool = False  # the codec sees the reply before the client does
        self.mute: bool = False  # the client does not want the reply
        self.closes: bool = False  # the session ends behind its reply
        self.unfinished: bool = False  # more of the request follows, in pieces
        self.gates: str = ""  # the rule whose gates it has to pass as well; see Governance.ruled
        self.shape: i64 = 0  # what kind of reply the upstream codec has to expect, in the protocol's own numbers
        self.blocking: float = -1.0  # seconds that it asks the upstream to wait (0: for ever); -1: it does not block

        # How it went.
        self.outcome: i64 = OK
        self.errors: i64 = 0  # replies that are the command's own fault
        self.failures: i64 = 0  # replies, or missing replies, that are the upstream's fault
        self.waiting: i64 = count  # replies still to come
        self.blamed: dict[int, int] | None = None  # outcomes other than OK by position, of a run that mixes verbs
        self.sent: bool = False
        self.partial: bool = False  # a part of an unfinished reply went on to the receiver
        self.retried: bool = False
        self.done: bool = False  # the client's part is over: replied, failed or given up

        # Where it stands: in its session's line (next) and in its connection's (behind).
        self.plan: object = None  # the gates that admitted it and have to settle it
        self.receiver: Receiver | None = None  # None: nobody waits any more, replies are discarded
        self.answer: bytes = b""  # held back until the session's earlier calls are answered
        self.next: Call | None = None
        self.behind: Call | None = None

    def blame(self, outcome: i64, replies: i64) -> None:
        """The next ``replies`` replies are, or stand for, an outcome other than OK.

        One command may have several replies (SUBSCRIBE): it is counted once.
        """
        replies = min(replies, self.count - self.errors - self.failures)
        if outcome == APP_ERROR:
            self.errors += replies
        else:
            self.failures += replies
        if self.outcome < outcome:
            self.outcome = outcome
        if self.verbs is not None:
            if self.blamed is None:
                self.blamed = {}
            at: i64 = self.count - self.waiting
            for i in range(replies):
                self.blamed[at + i] = outcome
