"""The upstream side of Redis: which bytes are the replies of which call, and what they say of the upstream."""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from protocols.call import APP_ERROR, FATAL, RETRYABLE, Call
from protocols.codec import DONE, MORE, PUSH, ServerCodec, UpstreamCodec
from protocols.redis.commands import SUBSCRIPTION, Command
from protocols.redis.scan import MORE as UNFINISHED
from protocols.redis.scan import ReplyScanner, line_end, number

# Errors that speak of the upstream's state rather than of the command. All else is the command's own fault.
UPSTREAM_ERRORS: Final[dict[bytes, int]] = {
    b"LOADING": RETRYABLE,
    b"MASTERDOWN": RETRYABLE,
    b"CLUSTERDOWN": RETRYABLE,
    b"TRYAGAIN": RETRYABLE,
    b"READONLY": RETRYABLE,
    b"BUSY": RETRYABLE,
    b"OOM": FATAL,
    b"MISCONF": FATAL,
    b"NOAUTH": FATAL,
}

CONFIRMATIONS: Final = frozenset(
    (b"subscribe", b"unsubscribe", b"psubscribe", b"punsubscribe", b"ssubscribe", b"sunsubscribe")
)
MESSAGES: Final = frozenset((b"message", b"pmessage", b"smessage"))

_ERROR: Final = 45  # -
_BLOB_ERROR: Final = 33  # !
_PUSH: Final = 62  # >
_ARRAY: Final = 42  # *


def first_word(data: bytes, i: i64) -> bytes:
    """The first element of the array or push at data[i], where it is a bulk string that has arrived; else b""."""
    n = len(data)
    end = line_end(data, i, n)
    if end < 0 or end + 1 >= n or data[end + 1] != 36:
        return b""
    start = end + 1
    end = line_end(data, start, n)
    length = number(data, start + 1, end - 1) if end > 0 else -1
    return data[end + 1 : end + 1 + length] if length > 0 else b""


@final
class RedisUpstream(UpstreamCodec):
    """Matches replies with calls by their order; pushes stand outside it."""

    def __init__(self) -> None:
        super().__init__()
        self.scanner: ReplyScanner = ReplyScanner()
        self.owner: ServerCodec | None = None
        self.relaying: i64 = UNFINISHED  # of the message that is relayed in pieces: 1 a push, 0 a reply

    def adopt(self, session: ServerCodec | None) -> None:
        """A lease may carry the pushes of its session's subscriptions."""
        self.owner = session

    def hand_over(self, data: bytes, start: i64, call: Call | None) -> bool:
        """Decide now, while the head of the message is at hand."""
        push = call is None or self._is_push(data, start + self.scanner.at, call)
        self.relaying = 1 if push else 0
        return push

    def scan(self, data: bytes, start: i64, resume: i64, call: Call | None) -> i64:
        """See UpstreamCodec.scan."""
        scanner = self.scanner
        self.end = start
        pos = resume
        while True:
            pos = scanner.scan(data, pos)
            if pos == UNFINISHED:
                self.reached = scanner.reached
                scanner.at -= self.end  # the caller keeps what follows end, and comes back with that in front
                return MORE
            kind = scanner.kind
            if call is None or self.relaying != UNFINISHED or kind == _PUSH or self.owner is not None:
                push = self.relaying == 1 if self.relaying != UNFINISHED else self._is_push(data, scanner.at, call)
                self.relaying = UNFINISHED
                if push or call is None:
                    self.push_end = pos
                    return PUSH
            self.end = pos
            if kind == _ERROR or kind == _BLOB_ERROR:
                self._judge(data, call)
            call.waiting -= 1
            if call.waiting == 0:
                return DONE

    def _is_push(self, data: bytes, at: i64, call: Call | None) -> bool:
        """Out of order: messages of subscriptions, and confirmations that no waiting call asked for."""
        kind = self.scanner.kind
        if call is None:
            return True
        verb = call.verb
        asked = isinstance(verb, Command) and verb.handling == SUBSCRIPTION
        if kind != _PUSH:
            # In RESP2 messages look like any array. Between them only these commands are possible: every other array
            # is a reply, whatever its first element says.
            owner = self.owner
            if kind != _ARRAY or owner is None or not owner.pushes or not (asked or verb.name == "PING"):
                return False
        word = first_word(data, at)
        if word in CONFIRMATIONS:
            return not asked
        return kind == _PUSH or word in MESSAGES

    def _judge(self, data: bytes, call: Call) -> None:
        """Count an error reply as the command's fault or the upstream's."""
        outcome: i64 = APP_ERROR
        if self.scanner.kind == _ERROR:
            at = self.scanner.at + 1
            word = data[at : at + 16].split(b" ", 1)[0].rstrip()
            outcome = UPSTREAM_ERRORS.get(word, APP_ERROR)
        call.blame(outcome, 1)
        verb = call.verb
        if isinstance(verb, Command) and verb.handling == SUBSCRIPTION:
            call.waiting = 1  # one error answers for all the channels
