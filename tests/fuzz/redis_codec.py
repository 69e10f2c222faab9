"""Fuzzes the Redis codec: no input may do more than raise ProtocolError, be lost on the way, or fill the memory.

    PYTHONPATH=.:tests python -m fuzz.redis_codec --seconds 60     # with atheris, where that is installed
    PYTHONPATH=.:tests python -m fuzz.redis_codec --count 100000 --seed 7 --plain

An input is a mode byte, a byte that says how the rest is torn, and the rest: what a client sends; what a client and
an upstream say in turns (parted by ``TURN``); or what is read at one go. What fails is written to ``crash-*``: fix it,
and move it to corpus/redis.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

from fuzz.mutations import TURN, chunks, run

from protocols.call import Call
from protocols.errors import PeerError, ProtocolError
from protocols.redis.inline import split_inline
from protocols.redis.login import RedisLogin, Tag
from protocols.redis.scan import MAX_INLINE, MAX_LINE, MORE, ReplyScanner, RequestScanner, arguments
from protocols.redis.values import decode, decode_all
from redis_playbook import RELAY_FROM, Conversation, pack

CORPUS = Path(__file__).parent / "corpus" / "redis"
BUFFER = 512  # request_buffer: small, so that much is large
USERS = {"default": "pw", "app": "apple"}

# Between two calls only this is passed over: empty commands and empty lines.
_EMPTY = re.compile(rb"(?:\*(?:0|-[1-9][0-9]*)\r\n|[ \t\v\f\r]*\n)*")
_REWRITTEN = ("WAIT", "WAITAOF", "EXEC")


class Watched(Conversation):
    """A conversation that checks that its calls cover what the client said."""

    def __init__(self, mode: int) -> None:
        denied = ["GET", "MULTI", "EXEC", "SUBSCRIBE"] if mode & 16 else []
        super().__init__(
            users=USERS if mode & 32 else None,
            denied=denied,
            apart=denied,
            greeted=not mode & 64,
            request_buffer=BUFFER,
            max_value=1 << 16,
        )
        self.said = b""
        self.covered = 0
        self.large = False

    def sends(self, data: bytes) -> list[str]:
        self.said += data
        lines = super().sends(data)
        if not self.closed and self.barrier is None and self.parked is None:
            assert self.codec.buffered() <= BUFFER + MAX_INLINE + 64, "held too much"
        return lines

    def _submit(self, call: Call, at: int) -> None:
        end = len(self.said) - self.codec.buffered()
        if end > self.covered:  # not one that was parked, or a part of a refused run
            segment = self.said[self.covered : end]
            if not self.large:
                segment = segment[_match_end(segment) :]
                if segment.startswith(b"*") and call.verb.name not in _REWRITTEN:
                    assert segment == call.request, "bytes lost between calls"
                elif not segment.startswith(b"*"):
                    assert segment.count(b"\n") == 1, "an inline command of several lines"
            self.covered = end
            self.large = self.codec.large != 0
        assert call.count >= 1 and call.waiting >= 1
        assert call.verbs is None or len(call.verbs) == call.count
        super()._submit(call, at)

    def _pushed(self, data: bytes) -> None:
        if self.leased:
            super()._pushed(data)

    def hears(self, data: bytes) -> bytes:
        got = super().hears(data)
        assert len(self.tail) <= RELAY_FROM + MAX_LINE + len(data), "held too much of a reply"
        return got


def _match_end(segment: bytes) -> int:
    found = _EMPTY.match(segment)
    return found.end() if found else 0


def client_alone(mode: int, how: int, data: bytes) -> None:
    """A client says it; the upstream answers OK to everything."""
    client = Watched(mode)
    for chunk in chunks(data, how):
        client.sends(chunk)
        for _ in range(10_000):
            if not client.in_flight:
                break
            client.hears(b"+OK\r\n" * client.in_flight[0].waiting)
        if client.closed:
            break
    client.codec.facts(client.now)
    client.codec.lease_lost()
    client.codec.cleanup()


def in_turns(mode: int, how: int, data: bytes) -> None:
    """Client and upstream speak in turns, and the connection is lost in the end."""
    client = Watched(mode)
    for turn, part in enumerate(data.split(TURN)):
        for chunk in chunks(part, how):
            if client.closed:
                return
            if turn % 2 == 0:
                client.sends(chunk)
            else:
                try:
                    client.hears(chunk)
                except ProtocolError:
                    client.loses_its_connection()
                    return
    for _ in range(1000):
        client.loses_its_connection()  # what waited behind a barrier is sent anew, and lost again
        if not client.in_flight:
            return
    raise AssertionError("calls without end")


def at_one_go(mode: int, how: int, data: bytes) -> None:
    """Whatever reads bytes by itself; and scanners find the same ends whole and torn."""
    for read in (decode, decode_all, split_inline, _log_in):
        _attempt(read, data)
    parts = list(chunks(data, how))
    assert _ends(ReplyScanner(), [data]) == _ends(ReplyScanner(), parts), "ends depend on how it was torn"
    whole = _ends(RequestScanner(1 << 16), [data])
    assert whole == _ends(RequestScanner(1 << 16), parts), "ends depend on how it was torn"
    for start, end in zip([0, *whole], whole, strict=False):
        arguments(data[start:end])
        arguments(data[start : (start + end) // 2])


def _attempt(read: Callable[[bytes], object], data: bytes) -> None:
    with contextlib.suppress(PeerError):
        read(data)


def _log_in(data: bytes) -> None:
    login = RedisLogin(Tag(1, 2), "app", "apple", lambda facts: None)
    for chunk in chunks(data, 200):
        if login.feed(chunk) is None:
            return


def _ends(scanner: ReplyScanner | RequestScanner, parts: list[bytes]) -> list[int]:
    """Where messages end, until they are broken."""
    ends, held, before = [], b"", 0  # what is held, and what came before it
    resume = 0
    try:
        for part in parts:
            held += part
            while (end := scanner.scan(held, resume)) != MORE:
                ends.append(before + end)
                resume = end
            before, held, resume = before + scanner.reached, held[scanner.reached :], 0
    except ProtocolError:
        pass
    return ends


MODES = (client_alone, in_turns, at_one_go)


def one_input(data: bytes) -> None:
    """The fuzz target."""
    if len(data) > 2:
        MODES[data[0] % 3](data[0], data[1], data[2:])


# What mutations put in

TOKENS = [
    *(bytes([byte]) for byte in b"\r\n*$+-:>%~|_#!=(,012\0\"'"),
    *(b"\r\n", b"-1", b"2147483648", b"999999999999999999", b"*1\r\n", b"$3\r\n", b"*0\r\n", b"\\x4", TURN),
    *(b"$700\r\n" + b"x" * 700, b"$" + b"0" * 700, b"*" + b"1" * 700),
    *(pack(line) for line in ("PING", "MULTI", "EXEC", "WATCH a", "SUBSCRIBE a", "UNSUBSCRIBE", "RESET", "AUTH pw")),
    *(pack(line) for line in ("HELLO 3", "CLIENT REPLY SKIP", "WAIT 1 0", "BLPOP a 0", "SELECT 1", "GET a", "MONITOR")),
    b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
    b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n",
    *(b"+OK\r\n", b"-ERR no\r\n", b"-LOADING\r\n", b"$-1\r\n", b"|1\r\n"),
]


if __name__ == "__main__":
    run(one_input, CORPUS, TOKENS, __doc__)
