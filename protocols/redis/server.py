"""The client side of Redis: bytes in, calls out.

The common case is a run: consecutive commands that need nothing but forwarding and share one plan become one
call. Everything else is a call of its own, made by the rules.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from protocols.call import Call
from protocols.errors import ProtocolError
from protocols.redis.commands import PASS, UNKNOWN, Command, find, find_sub
from protocols.redis.inline import split_inline
from protocols.redis.rules import RuledState
from protocols.redis.scan import (
    MAX_ARGS,
    MAX_ARGS_ANONYMOUS,
    MAX_BULK_ANONYMOUS,
    MAX_INLINE,
    MORE,
    RequestScanner,
    encode,
    line_end,
)
from protocols.redis.state import Shared
from protocols.redis.values import error

MAX_RUN: Final = 1024  # commands in one call
MAX_RUN_BYTES: Final = 1 << 16

_WHOLE: Final = 0  # requests arrive whole
_RELAYING: Final = 1  # the rest of a large request is relayed in pieces
_SWALLOWING: Final = 2  # the rest of a refused large request is dropped

_STAR: Final = 42
_ATTACKS: Final = (b"post", b"host:")  # of a browser that was talked into it: Redis closes the connection


@final
class RedisServer(RuledState):
    """One client connection."""

    def __init__(
        self, shared: Shared, session_id: int, peer: str, local: str, now: float, request_buffer: int, max_value: int
    ) -> None:
        super().__init__(shared, session_id, peer, local, now)
        self.request_buffer: Final[i64] = request_buffer
        self.max_value: Final[i64] = max_value
        self.scanner: Final = RequestScanner(max_value)
        self.data: bytes = b""
        self.start: i64 = 0  # of the command being read, in data
        self.resume: i64 = 0  # where scanning it goes on
        self.large: i64 = _WHOLE
        if self.anonymous():
            self._limit(True)

    def _limit(self, anonymous: bool) -> None:
        """Before AUTH a client may not make the gateway hold much, as Redis bounds it."""
        self.scanner.max_args = MAX_ARGS_ANONYMOUS if anonymous else MAX_ARGS
        self.scanner.max_bulk = MAX_BULK_ANONYMOUS if anonymous else self.max_value

    # Reading

    def feed(self, data: bytes) -> None:
        """Keep what is not read yet in front of the new bytes."""
        start = self.start
        if start < len(self.data):
            self.data = self.data[start:] + data
            self.scanner.name_at -= start
            self.scanner.name_end -= start
            self.resume -= start
        else:
            self.data = data
            self.resume = 0
        self.start = 0

    def buffered(self) -> i64:
        """Bytes not yet part of a call."""
        return len(self.data) - self.start

    def next(self, now: float) -> Call | None:
        """See ServerCodec.next."""
        while True:
            if self.large != _WHOLE:
                if self.large == _RELAYING or not self._swallow():
                    return None
            data = self.data
            start = self.start
            if start >= len(data):
                if start > 0:
                    self.data = b""
                    self.start = self.resume = 0
                return None
            self.used = now
            if data[start] != _STAR and not self.scanner.started:
                call = self._inline(now)
                if call is None and self.start == start:
                    return None
                if call is not None:
                    return call
                continue
            end = self.scanner.scan(data, self.resume)
            if end == MORE:
                self.resume = self.scanner.reached
                return self._large(now) if self._is_large() else None
            if self.scanner.argc == 0:
                self.start = self.resume = end
                continue
            command = self._first(data, self.scanner.name_at, self.scanner.name_end)
            if self.plain and command.handling == PASS:
                return self._run(command, end, now)
            self.start = self.resume = end
            return self.special(command, self.scanner.argc, data[start:end], now, True)

    def _first(self, data: bytes, at: i64, end: i64) -> Command:
        """The command that a call begins with."""
        command = self._command(data, at, end)
        if command is UNKNOWN and data[at:end].lower() in _ATTACKS:
            # Forwarded, it would close a lane under all its clients.
            raise ProtocolError(f"{data[at:end].decode()} is of HTTP")
        self.last = command
        return command

    def _command(self, data: bytes, at: i64, end: i64) -> Command:
        """The fact sheet of the command whose name stands at data[at:end]."""
        command = find(data[at:end])
        if command is None:
            return UNKNOWN
        if command.subcommands is not None and self.scanner.argc > 1:
            # The second argument follows the name: CRLF, "$<length>", CRLF, its bytes.
            line = line_end(data, end + 2, len(data))
            if line > 0:
                length = int(data[end + 3 : line - 1])
                if length <= 32:
                    command = find_sub(command, data[line + 1 : line + 1 + length]) or command
        return command

    def _run(self, command: Command, end: i64, now: float) -> Call:
        """The command that ends at ``end``, and those behind it that can share its call."""
        data, scanner, plans = self.data, self.scanner, self.plans
        start, n = self.start, len(data)
        plan = plans[command.index]
        verbs: list[Command] | None = None
        count: i64 = 1
        pos = end
        name_at, length = scanner.name_at, scanner.name_end - scanner.name_at
        # The name alone says which command it is: neither a container nor one of its subcommands.
        same = command is UNKNOWN or (command.subcommands is None and len(command.name) == length)
        while pos < n and count < MAX_RUN and pos - start < MAX_RUN_BYTES and data[pos] == _STAR:
            self.resume = pos
            try:
                end = scanner.scan(data, pos)
            except ProtocolError:
                scanner.restart()  # the commands before it come first; the next read raises it again
                break
            if end == MORE:
                self.resume = scanner.reached
                break
            if scanner.argc == 0:
                break
            if same and verbs is None and scanner.name_end - scanner.name_at == length:
                if _same(data, name_at, scanner.name_at, length):
                    count += 1  # the most usual case: the same command again
                    pos = end
                    continue
            other = self._command(data, scanner.name_at, scanner.name_end)
            if other.handling != PASS or other is UNKNOWN or plans[other.index] is not plan:
                break
            if verbs is not None:
                verbs.append(other)
            elif other is not command:
                verbs = [command] * count
                verbs.append(other)
            count += 1
            pos = end
        if not scanner.started:
            self.resume = pos
        self.start = pos
        call = Call(command, count, data if start == 0 and pos == n else data[start:pos], now)
        if verbs is not None:
            call.verbs = list(verbs)
        if self.in_multi:
            self.multi_calls += count
        return call

    def split(self, call: Call) -> list[Call]:
        """One call per command of a refused run."""
        scanner = RequestScanner(self.max_value)
        calls: list[Call] = []
        start: i64 = 0
        data = call.request
        while start < len(data):
            end = scanner.scan(data, start)
            verb = call.verbs[len(calls)] if call.verbs else call.verb
            calls.append(Call(verb, 1, data[start:end], call.started))
            start = end
        return calls

    def _inline(self, now: float) -> Call | None:
        """A command typed by hand: one line, split at blanks."""
        data, start = self.data, self.start
        end = line_end(data, start, len(data))
        if end < 0:
            if len(data) - start > MAX_INLINE:
                raise ProtocolError("too big inline request")
            return None
        line = data[start:end].rstrip(b"\r")
        if b"\0" in line:
            raise ProtocolError("zero byte in inline request")  # Redis would wait for an end that it never sees
        args = split_inline(line)
        self.start = self.resume = end + 1
        if not args:
            return None
        self.scanner.argc = len(args)
        request = encode(args)
        name_at = request.index(b"\n", request.index(b"\n") + 1) + 1
        command = self._first(request, name_at, name_at + len(args[0]))
        return self.special(command, len(args), request, now, True)

    def answer(self, call: Call, now: float) -> bytes:
        """A local command takes effect; AUTH and RESET move the bounds of what the client may send."""
        reply = super().answer(call, now)
        self._limit(self.anonymous())
        return reply

    # Large requests

    def _is_large(self) -> bool:
        scanner = self.scanner
        known = scanner.started and self.start < scanner.name_end
        return known and len(self.data) - self.start + scanner.skip > self.request_buffer

    def _large(self, now: float) -> Call | None:
        """A request larger than the buffer: relay it in pieces over a connection of its own."""
        start, end = self.start, self.resume
        command = UNKNOWN  # and so is the end of a name that is itself so large
        if self.scanner.name_end <= len(self.data):
            command = self._first(self.data, self.scanner.name_at, self.scanner.name_end)
        call = self.special(command, self.scanner.argc, self.data[start:end], now, False)
        self.start = end
        if call.done or call.local:
            self.large = _SWALLOWING
            call.done, call.local, call.barrier = True, False, False
            self.errand = None
            self.settle(now)
            call.answer = call.answer or error(f"ERR poolgate: {command.name} larger than request_buffer")
            return call
        self.large = _RELAYING
        call.unfinished = call.barrier = True
        self.errand = self.errand or "a large request"
        self.settle(now)
        return call

    def piece(self) -> bytes:
        """See ServerCodec.piece."""
        data, start = self.data, self.start
        end = self.scanner.scan(data, self.resume)
        if end == MORE:
            end = self.scanner.reached
        else:
            self.large = _WHOLE
        self.start = self.resume = end
        return data[start:end]

    def unfinished(self) -> bool:
        """See ServerCodec.unfinished."""
        return self.large == _RELAYING

    def discard(self) -> None:
        """See ServerCodec.discard."""
        if self.large == _RELAYING:
            self.large = _SWALLOWING

    def lease_lost(self) -> bool:
        """The rest of a large request has nowhere to go any more."""
        self.discard()
        return super().lease_lost()

    def _swallow(self) -> bool:
        """Drop more of a refused large request; True when it is over."""
        self.piece()
        return self.large == _WHOLE


def _same(data: bytes, name_at: i64, other_at: i64, length: i64) -> bool:
    """Whether two names of one length are the same; cheaper than looking it up."""
    k: i64 = 0
    while k < length:
        if data[name_at + k] != data[other_at + k]:
            return False
        k += 1
    return True
