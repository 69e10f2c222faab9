"""What each kind of command does to a client's state: the table of hazards in docs/architecture.md as code."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from protocols.call import APP_ERROR, Call
from protocols.fault import Fault
from protocols.redis.answers import ANSWERS
from protocols.redis.commands import (
    ALONE,
    ANSWER,
    BLOCK,
    MAYBE_BLOCK,
    PASS,
    STREAM,
    SUBSCRIPTION,
    TRACKING,
    TRANSACTION,
    Command,
    block_seconds,
)
from protocols.redis.login import Tag
from protocols.redis.scan import MORE, ReplyScanner, arguments, encode, number
from protocols.redis.state import REPLY_OFF, REPLY_ON, REPLY_SKIP_NEXT, ClientState
from protocols.redis.upstream import CONFIRMATIONS, first_word
from protocols.redis.values import OK, decode_all, error, null_array

NOAUTH: Final = error("NOAUTH Authentication required.")
EXECABORT: Final = error("EXECABORT Transaction discarded because of previous errors.")
LOST: Final = "a lost transaction"

# What an unauthenticated client may say, and what a RESP2 client may say while it is subscribed.
_BEFORE_AUTH: Final = frozenset(("AUTH", "HELLO", "QUIT", "RESET"))
_WHILE_SUBSCRIBED: Final = frozenset(
    ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "PING", "QUIT", "RESET")
)
_WHILE_MONITORING: Final = frozenset(("QUIT", "RESET"))
_NOT_IN_MULTI: Final = (ANSWER, SUBSCRIPTION, TRACKING, STREAM)
_WAITS: Final = ("WAIT", "WAITAOF")
_PIECES_FROM: Final = 1 << 10  # a push shorter than this always comes whole


class RuledState(ClientState):
    """A client's state, and what commands and replies make of it."""

    def special(self, command: Command, argc: i64, request: bytes, now: float, whole: bool) -> Call:
        """The call of a command that needs more than forwarding, or comes in a state that does."""
        call = Call(command, 1, request, now)
        mode = self.reply_mode
        if mode == REPLY_SKIP_NEXT:
            self.reply_mode = REPLY_ON
            self.settle(now)
        call.mute = mode != REPLY_ON and not _ends_silence(command, request, mode)
        refusal = self._refusal(command)
        if refusal:
            return self._answered(call, refusal)
        aborts = self.in_multi and command.name == "EXEC"  # malformed, it ends the transaction: the upstream says so
        if command.handling != PASS and not aborts and not _fits(argc, command.arity):
            name = command.name.lower().replace(" ", "|")
            return self._answered(call, error(f"ERR wrong number of arguments for '{name}' command"))
        if self.in_multi:
            return self._queued(call, command)
        handling = command.handling
        if handling == ANSWER:
            self._local(call, command)
        elif handling == TRANSACTION:
            self._transaction(call, command)
        elif handling == BLOCK or handling == MAYBE_BLOCK:
            self._blocking(call, command, whole)
        elif handling == SUBSCRIPTION:
            self._subscription(call, command, argc)
        elif handling == TRACKING:
            self._tracking(call, command, whole)
        elif handling == STREAM:
            self.monitoring = True
            call.observed = True
        elif handling == ALONE:
            self._alone(call, command.name)
        self.settle(now)
        return call

    def _refusal(self, command: Command) -> bytes:
        """Why the state of the connection does not allow the command; b"" when it does."""
        name = command.name
        if self.anonymous() and name not in _BEFORE_AUTH:
            return NOAUTH
        if self.monitoring and name not in _WHILE_MONITORING:
            return error(f"ERR poolgate: {self.shared.service}: only QUIT and RESET are possible during MONITOR")
        if self.channels is not None and self.resp == 2 and name not in _WHILE_SUBSCRIBED:
            return error(
                f"ERR Can't execute '{name.lower().replace(' ', '|')}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING "
                "/ QUIT / RESET are allowed in this context"
            )
        return b""

    def _answered(self, call: Call, answer: bytes) -> Call:
        """The codec has answered already; nothing is left to govern."""
        call.done = True
        call.answer = answer
        _count_error(call, answer)
        if self.in_multi:
            self.multi_broken = True
        self.settle(self.used)
        return call

    def _alone(self, call: Call, reason: str) -> None:
        """The call needs a connection of its own until its reply."""
        call.barrier = True
        self.errand = reason

    def _blocking(self, call: Call, command: Command, whole: bool) -> None:
        if whole:
            call.blocking = block_seconds(command, arguments(call.request))
        if call.blocking >= 0:
            self._alone(call, command.name)
        if command.name in _WAITS:
            # It asks about what its own connection wrote. A PING ahead moves that mark to the present.
            call.request = encode([b"PING"]) + call.request
            call.waiting = 2
            call.observed = True

    def _tracking(self, call: Call, command: Command, whole: bool) -> None:
        """REDIRECT would send invalidations to whichever client's connection has that id upstream."""
        if not whole or any(arg.upper() == b"REDIRECT" for arg in arguments(call.request)[3:]):
            detail = "CLIENT TRACKING with REDIRECT is not possible: the ids of clients are the gateway's"
            self._answered(call, error(f"ERR poolgate: {self.shared.service}: {detail}"))
            return
        self._alone(call, command.name)
        call.observed = True

    def _local(self, call: Call, command: Command) -> None:
        call.local = command.name in ANSWERS
        call.closes = command.name == "QUIT"
        call.in_turn = command.name == "RESET"  # replies on their way would change what it has reset
        if command.name == "SELECT":
            self._select(call)
        elif command.name == "HELLO" and not self.shared.greeted:
            self._alone(call, "HELLO")  # whatever connection it gets: the gateway learns whom it speaks for
        elif command.name in ("CLIENT GETREDIR", "CLIENT TRACKINGINFO") and self.tracking:
            call.local = False
        elif not call.local:
            words = " ".join(arg.decode("utf-8", "replace") for arg in arguments(call.request)[1:2])
            self._answered(call, error(f"ERR unknown subcommand '{words}'. Try CLIENT HELP."))

    def _select(self, call: Call) -> None:
        """A database that the upstream is known to have is a note in the session; another one is asked for."""
        if self.pin is None and _database(call.request) in self.shared.valid_dbs:
            return
        call.local = False
        call.observed = True
        self._alone(call, "SELECT")

    def _transaction(self, call: Call, command: Command) -> None:
        name = command.name
        if name == "MULTI":
            self.in_multi = True
            self.multi_calls = 0
            self.opener = call
        elif name == "WATCH":
            self.watching = True
            call.observed = True
        elif name == "UNWATCH":
            call.local = not self.watching
            call.observed = call.barrier = self.watching
        else:
            self._answered(call, error(f"ERR {name} without MULTI"))

    def _queued(self, call: Call, command: Command) -> Call:
        """Between MULTI and EXEC. What the upstream cannot be trusted with there breaks the transaction."""
        name, handling = command.name, command.handling
        if name in ("RESET", "QUIT"):
            self._local(call, command)
            return call
        if name in ("EXEC", "DISCARD"):
            call.observed = call.barrier = True
            if self.stuck == LOST:
                self._end_multi()
                return self._answered(call, EXECABORT if name == "EXEC" else OK)
            if name == "EXEC" and (self.multi_broken or self.watch_lost):
                call.request = encode([b"DISCARD"])
            return call
        if self.stuck == LOST:
            return self._answered(call, error(f"ERR poolgate: {self.shared.service}: the transaction was lost before"))
        if handling in (ANSWER, SUBSCRIPTION, TRACKING, STREAM) and name != "SELECT":
            return self._answered(
                call, error(f"ERR poolgate: {self.shared.service}: {name} is not possible inside MULTI")
            )
        if name == "SELECT":
            self.stuck = "SELECT inside MULTI"
        self.multi_calls += 1
        return call

    def _end_multi(self) -> None:
        self.in_multi = self.multi_broken = self.watching = self.watch_confirmed = self.watch_lost = False
        self.opener = None
        if self.stuck == LOST:
            self.stuck = None

    def _subscription(self, call: Call, command: Command, argc: i64) -> None:
        """Each channel is confirmed by a message of its own; without channels, UNSUBSCRIBE ends all of a kind.

        A barrier, since what is subscribed decides what the next command may be and how often it is confirmed.
        """
        call.barrier = True
        kind = command.name.lower().replace("un", "", 1)
        call.waiting = argc - 1 if argc > 1 else max(1, self.subscribed_to(kind))
        call.observed = True
        if self.channels is None:
            self.channels = {}
        self.subscription_calls += 1

    # Replies

    def answer(self, call: Call, now: float) -> bytes:
        """A local command takes effect."""
        reply = ANSWERS[call.verb.name](self, arguments(call.request), now)
        _count_error(call, reply)
        self.settle(now)
        return reply

    def observe(self, call: Call, data: bytes, now: float) -> bytes:
        """Replies that change what the session is."""
        name = call.verb.name
        verb = call.verb
        if isinstance(verb, Command) and verb.handling == SUBSCRIPTION:
            if call.partial:
                self.stuck = "SUBSCRIBE to a very long name"  # that it is over can never be known
            else:
                self._confirmations(data)
            if call.waiting == 0:
                self.subscription_calls -= 1
                self._unsubscribed()
        elif name in _WAITS:
            if call.waiting > 0:
                return b""  # the reply to the PING; it may also come together with the other one
            end = ReplyScanner().scan(data, 0)
            return data[end:] if end < len(data) else data
        elif call.waiting > 0:
            return data
        elif name in ("EXEC", "DISCARD"):
            if name == "EXEC" and self.multi_broken:
                data = EXECABORT
                call.blame(APP_ERROR, 1)
            elif name == "EXEC" and self.watch_lost:
                data = null_array(self.resp)
            self._end_multi()
        elif name == "UNWATCH":
            self.watching = self.watch_confirmed = False
        elif name == "WATCH":
            self._watched(call)
        elif name == "MONITOR":
            self.monitoring = call.errors == 0 and call.failures == 0
        elif name == "SELECT" and data == OK:  # inside MULTI it is only queued
            db = _database(call.request)
            if db >= 0:
                self.shared.valid_dbs.add(db)
                self.tag = Tag(db, self.resp)
        elif name == "CLIENT TRACKING" and not call.errors and not call.failures:
            self.tracking = arguments(call.request)[2].upper() == b"ON"
        self.settle(now)
        return data

    def observe_push(self, data: bytes, now: float) -> None:
        """Confirmations that came without a call: the upstream ended a subscription by itself."""
        if self.monitoring:
            return
        part = self.push_part
        if part is not None:  # a piece of a long message: whatever is in it, it is no confirmation
            if part.scan(data, 0) != MORE:
                self.push_part = None
            return
        if len(data) >= _PIECES_FROM:
            begun = ReplyScanner()
            if begun.scan(data, 0) == MORE:
                self.push_part = begun
                return
        if self.channels is not None and first_word(data, 0) in CONFIRMATIONS:
            self._confirmations(data)
            self._unsubscribed()
            self.settle(now)

    def _confirmations(self, data: bytes) -> None:
        for value in decode_all(data):
            if isinstance(value, list) and len(value) == 3 and isinstance(value[0], bytes):
                word, channel = value[0].decode("utf-8", "replace"), value[1]
                if word.endswith("subscribe"):
                    self.confirmed(word, channel if isinstance(channel, bytes) else b"")

    def _unsubscribed(self) -> None:
        if self.subscription_calls == 0 and self.subscriptions() == 0:
            self.channels = None

    def _watched(self, call: Call) -> None:
        if call.errors == 0 and call.failures == 0:
            self.watching = self.watch_confirmed = True
        elif not self.watch_confirmed:
            self.watching = False

    def refuse(self, call: Call, fault: Fault) -> bytes:
        """The fault as an error reply; inside MULTI it also breaks the transaction, as Redis' own errors do."""
        name = call.verb.name
        verb = call.verb
        if call is self.opener and self.buffered() > 0:
            self.stuck = LOST  # what the client sent behind its MULTI must not be executed outside of a transaction
            self.multi_broken = True
        elif call is self.opener:
            self._end_multi()
        elif self.in_multi and name in ("EXEC", "DISCARD"):
            self._end_multi()
            self.dirty = True  # the upstream may still be in the transaction
        elif self.in_multi:
            self.multi_broken = True
        elif name == "WATCH" and not self.watch_confirmed:
            self.watching = False
        elif name == "MONITOR":
            self.monitoring = False
        elif isinstance(verb, Command) and verb.handling == SUBSCRIPTION:
            self.subscription_calls -= 1
            self._unsubscribed()
        self.settle(self.used)
        return error(f"ERR {fault}") * (1 if call.observed else call.waiting)

    def broken(self, cause: Exception) -> bytes:
        """Redis' words."""
        return error(f"ERR Protocol error: {cause}")

    def finished(self, call: Call, now: float) -> None:
        """A barrier fell."""
        self.errand = None
        self.settle(now)

    def lease_lost(self) -> bool:
        """Subscribers have to connect anew, since they missed messages; a transaction can end in order."""
        listening = self.channels is not None or self.monitoring or self.tracking
        if listening or (self.stuck is not None and self.stuck != LOST):
            return False
        self.errand = None
        self.dirty = False
        if self.in_multi:
            self.stuck = LOST
            self.multi_broken = True
        elif self.watching:
            self.watching = False
            self.watch_lost = True
        self.settle(self.used)
        return True

    def farewell(self, fault: Fault) -> bytes:
        """An error, which a client that waits for messages sees before the end."""
        return error(f"ERR {fault}")

    def unblocked(self, call: Call, error_: bool) -> bytes:
        """What CLIENT UNBLOCK makes the blocked client read."""
        if error_:
            return error("UNBLOCKED client unblocked via CLIENT UNBLOCK")
        if call.verb.name in _WAITS:
            return b":0\r\n" if call.verb.name == "WAIT" else b"*2\r\n:0\r\n:0\r\n"
        return null_array(self.resp)

    def cleanup(self) -> list[bytes] | None:
        """What DISCARD and UNWATCH undo can be undone."""
        dirty, self.dirty = self.dirty, False
        listening = self.monitoring or self.tracking or self.channels is not None
        if dirty or listening or self.stuck is not None or self.errand is not None:
            return None
        if self.in_multi:
            return [encode([b"DISCARD"])]
        return [encode([b"UNWATCH"])] if self.watching else []


def _database(request: bytes) -> i64:
    """The number that SELECT names; below 0: none."""
    text = b"".join(arguments(request)[1:2])
    return number(text, 0, len(text))


def _ends_silence(command: Command, request: bytes, mode: i64) -> bool:
    """Whether it is CLIENT REPLY ON, which is always answered, or RESET, which CLIENT REPLY SKIP silences."""
    if command.name == "CLIENT REPLY":
        return [arg.upper() for arg in arguments(request)[2:3]] == [b"ON"]
    return command.name == "RESET" and mode == REPLY_OFF


def _count_error(call: Call, answer: bytes) -> None:
    if answer.startswith(b"-"):
        call.blame(APP_ERROR, 1)


def _fits(argc: i64, arity: i64) -> bool:
    """Arity as Redis counts: exact, or negative for at least so many."""
    return argc == arity if arity > 0 else argc >= -arity
