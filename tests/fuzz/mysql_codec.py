"""Fuzzes the MySQL codec: no input may do more than raise ProtocolError, fill the memory, or slip in a command.

    PYTHONPATH=.:tests python -m fuzz.mysql_codec --seconds 60     # with atheris, where that is installed
    PYTHONPATH=.:tests python -m fuzz.mysql_codec --count 100000 --seed 7 --plain

An input is a mode byte, a byte that says how the rest is torn, and the rest: what a client sends; what a client and
an upstream say in turns (parted by ``TURN``); what an upstream replies; or what one says to a login. With bit 128 of
the mode each turn is a list of payloads (parted by ``PART``) that are put into packets: so changed bytes get further.
What fails is written to ``crash-*``: fix it, and move it to corpus/mysql.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from fuzz.mutations import TURN, chunks, run

from mysql_playbook import (
    RELAY_FROM,
    Conversation,
    ended,
    failed,
    hello,
    make_protocol,
    okay,
    prepared,
    query,
    table,
    text_row,
    tracked,
)
from protocols.call import Call, Receiver
from protocols.codec import DONE
from protocols.errors import PeerError, ProtocolError
from protocols.mysql.constants import (
    CLIENT_COMPRESS,
    CLIENT_DEPRECATE_EOF,
    CLIENT_MULTI_STATEMENTS,
    CLIENT_SESSION_TRACK,
)
from protocols.mysql.packets import HEADER, command, packet, u24
from protocols.mysql.requests import MAX_LOGIN
from protocols.mysql.upstream import MAX_CONTROL, ONE_PACKET, PREPARE, ROWS_ONLY, MysqlUpstream, Owner
from protocols.mysql.verbs import VERBS

CORPUS = Path(__file__).parent / "corpus" / "mysql"
PART = b"\xfe\xfd"
BUFFER = 512  # request_buffer: small, so that much is large
LONG_DATA = 4096
DENIED = ["SELECT", "INSERT", "BEGIN", "STMT PREPARE", "LOGIN"]


def said(mode: int, data: bytes, sequence: int) -> bytes:
    """The bytes of one turn."""
    if not mode & 128:
        return data
    return b"".join(packet(payload, sequence + i) for i, payload in enumerate(data.split(PART)))


def is_packets(data: bytes) -> bool:
    """Whole packets, and nothing else."""
    at = 0
    while at + HEADER <= len(data):
        at += HEADER + int(u24(data, at))
    return at == len(data)


class Watched(Conversation):
    """A conversation that checks that the upstream gets commands one by one, and that little is held."""

    def __init__(self, mode: int) -> None:
        flags = CLIENT_DEPRECATE_EOF if mode & 4 else 0
        flags |= CLIENT_SESSION_TRACK if mode & 8 else 0
        super().__init__(
            flags=flags | CLIENT_MULTI_STATEMENTS,
            schema="shop" if mode & 64 else "",
            denied=DENIED if mode & 16 else [],
            greets=not mode & 32,
            protocol=make_protocol(request_buffer=BUFFER, max_long_data=LONG_DATA, statements=2),
        )

    def sends(self, data: bytes) -> list[str]:
        lines = super().sends(data)
        codec = self.codec
        if not self.closed and self.current is None and not codec.cleaning:
            assert codec.buffered() <= (BUFFER if codec.login is None else MAX_LOGIN + HEADER), "held too much"
        assert codec.long_size <= LONG_DATA or self.closed
        return lines

    def lead(self) -> None:
        super().lead()
        assert len(self.calls) < 100_000, "calls without end"

    def _over(self, call: Call, data: bytes) -> None:
        if not self.codec.unfinished():
            assert is_packets(self.forwarded[-1]), "something else than packets"
        super()._over(call, data)

    def hears(self, data: bytes) -> bytes:
        got = super().hears(data)
        assert len(self.tail) <= RELAY_FROM + MAX_CONTROL + len(data), "held too much of a reply"
        return got

    def answers(self, turn: int) -> bytes:
        """What an upstream might say to what it was sent last."""
        call = self.in_flight
        assert call is not None
        deprecated = self.upstream.deprecates_eof
        if call.shape == PREPARE:
            return prepared(turn + 70, 1, 1, deprecated=deprecated)
        if call.shape == ROWS_ONLY:
            return packet(b"\0\0\1", 1) + ended(2, deprecated=deprecated)
        if call.shape == ONE_PACKET:
            return packet(b"Uptime: 1", 1)
        kind = turn % 6
        if kind == 1:
            return table(1, [text_row(b"1")], deprecated=deprecated, warnings=turn % 2)
        if kind == 2:
            return okay(insert_id=turn, affected=1)
        if kind == 3:
            return okay(status=3, state=tracked(("sql_mode", "ANSI")))
        return failed() if kind == 4 else okay()


def finish(client: Watched) -> None:
    """The client leaves, whatever is under way."""
    client.codec.facts(client.now)
    client.codec.cleanup()
    client.codec.lease_lost()


def client_alone(mode: int, how: int, data: bytes) -> None:
    """A client says it; the upstream answers this and that."""
    client, turn = Watched(mode), how
    for part in data.split(TURN):
        for chunk in chunks(said(mode, part, 0), how):
            client.sends(chunk)
            while client.in_flight is not None and not client.closed:
                if client.codec.unfinished() and client.in_flight is client.current:
                    break  # the rest of it comes first
                turn += 1
                client.hears(client.answers(turn))
            if client.codec.cleaning:
                client.hears_cleanup(table(1, [text_row(b"5")]))
            if client.closed:
                return
    finish(client)


def in_turns(mode: int, how: int, data: bytes) -> None:
    """Client and upstream speak in turns, and the connection is lost in the end."""
    client = Watched(mode)
    for turn, part in enumerate(data.split(TURN)):
        for chunk in chunks(said(mode, part, turn % 2), how):
            if client.closed:
                return
            if turn % 2 == 0:
                client.sends(chunk)
                continue
            try:
                if client.codec.cleaning:
                    client.hears_cleanup(chunk)
                else:
                    client.hears(chunk)
            except ProtocolError:
                if not client.loses_its_connection():
                    return
    for _ in range(1000):
        if client.in_flight is None:
            finish(client)
            return
        if not client.loses_its_connection():
            return
    raise AssertionError("calls without end")


class Listener(Owner):
    """Writes down what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[object] = []

    def replied(self, status: int, affected: int, insert_id: int, warnings: int, rows: int) -> None:
        self.heard.append((status, affected, insert_id, warnings, rows))

    def errored(self, number: int) -> None:
        self.heard.append(number)

    def prepared(self, upstream_id: int, parameters: int) -> int:
        self.heard.append((upstream_id, parameters))
        return 1

    def variable(self, name: str, value: bytes) -> None:
        self.heard.append((name, value))

    def schema_changed(self, schema: bytes) -> None:
        self.heard.append(schema)


def upstream_alone(mode: int, how: int, data: bytes) -> None:
    """Replies end at the same places whole and torn, and say the same."""
    data = said(mode, data, 1)
    whole = _replies(mode, [data])
    assert whole == _replies(mode, list(chunks(data, how))), "replies depend on how they were torn"
    assert whole == _replies(mode, list(chunks(data, 64))), "replies depend on how they were torn"


def _replies(mode: int, parts: list[bytes]) -> tuple[list[object], list[int], bool]:
    upstream, owner = MysqlUpstream(2, lambda facts, tracked: None), Listener()
    upstream.deprecates_eof = mode & 4 != 0
    upstream.adopt(owner)
    ends: list[int] = []
    call = _call(mode)
    tail, resume, before = b"", 0, 0
    try:
        for part in parts:
            tail += part
            start = 0
            while True:
                found = upstream.scan(tail, start, resume, call)
                assert start <= upstream.end <= upstream.reached <= len(tail) or found == DONE
                if found != DONE:
                    break
                start = resume = int(upstream.end)
                ends.append(before + start)
                call = _call(mode)
            reached = int(upstream.reached)
            assert len(tail) - reached <= HEADER + MAX_CONTROL, "held too much"
            before, tail, resume = before + reached, tail[reached:], 0
    except ProtocolError:
        return owner.heard, ends, True
    return owner.heard, ends, False


def _call(mode: int) -> Call:
    call = Call(VERBS[0], 1, b"", 0.0)
    call.shape = mode >> 3 & 3
    call.barrier = call.observed = True
    call.receiver = Receiver()
    return call


def log_in(mode: int, how: int, data: bytes) -> None:
    """An upstream that says this to our login, and a client that says it to our greeting."""
    protocol = make_protocol()
    login = protocol.login(protocol.shared.fresh)
    with contextlib.suppress(PeerError):
        for chunk in chunks(said(mode, data, 0), how):
            if login.feed(chunk) is None:
                break
    client = Conversation(greets=False)
    for chunk in chunks(said(mode, data, 1), how):
        client.sends(chunk)
        assert client.codec.logged_in or not client.calls, "a command before the login"


MODES: tuple[Callable[[int, int, bytes], None], ...] = (client_alone, in_turns, upstream_alone, log_in)


def one_input(data: bytes) -> None:
    """The fuzz target."""
    if len(data) > 2:
        MODES[data[0] % 4](data[0], data[1], data[2:])


# What mutations put in

TOKENS = [
    *(bytes([byte]) for byte in b"\0\1\2\3\x0e\x16\x17\x18\x19\x1a\x1b\x1c\x1f\xfb\xfc\xfd\xfe\xff';\"`\\"),
    *(TURN, PART, b"\xff\xff\xff\0", b"\0\0\0\0", b"\0\0\0\1", b"\1\0\0\0", b"\0\2\0\0\0"),
    *(
        query("SELECT 1"),
        query("BEGIN"),
        query("SELECT LAST_INSERT_ID()"),
        query("SET sql_mode='ANSI'"),
        query("USE a"),
    ),
    *(query("SELECT CONNECTION_ID()"), query("SHOW WARNINGS"), query("SELECT 1;SELECT 2"), query("x" * 700)),
    *(query("LOAD DATA LOCAL INFILE 'a' INTO TABLE t"), packet(b"\xfba", 1), packet(b"", 2), packet(b"1,2\n", 2)),
    *(command(word, b"\1\0\0\0") for word in (0x19, 0x1A, 0x0C)),
    *(command(0x16, b"SELECT ?"), command(0x17, b"\1\0\0\0\0\1\0\0\0\0\1\x08\0v"), command(0x1C, b"\1\0\0\0\5\0\0\0")),
    *(command(0x17, b"\1\0\0\0\1\1\0\0\0\0\0v"), command(0x18, b"\1\0\0\0\0\0" + b"z" * 700), command(0x1F)),
    *(command(0x11, b"bob\0\0\0\x21\0"), command(0x0E), command(0x1B, b"\0\0"), command(0x01), command(0x09)),
    *(hello(), hello(CLIENT_DEPRECATE_EOF, "shop"), hello(CLIENT_COMPRESS)),
    *(okay(), okay(status=3), okay(status=10), okay(insert_id=300, affected=1), okay(warnings=1), failed()),
    *(
        okay(state=tracked(("autocommit", "OFF"))),
        okay(state=b"\2\2\1\x31"),
        okay(state=b"\1\5\4shop"),
        prepared(9, 1, 1),
    ),
    *(ended(3), ended(3, status=0x42), ended(3, status=0x82), ended(3, deprecated=True)),
    *(table(1, [text_row(b"a", None)]), table(2, [], deprecated=True), (1 << 20).to_bytes(3, "little") + b"\1\0"),
]


if __name__ == "__main__":
    run(one_input, CORPUS, TOKENS, __doc__)
