"""Streams of an HTTP/2 connection, and the table of their states (RFC 9113, section 5.1).

Push is not offered and not used, so nothing is ever reserved.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from protocols.http.fields import Field
from protocols.http.heads import NO_LENGTH

IDLE: Final = 0
OPEN: Final = 1
HALF_CLOSED_LOCAL: Final = 2
HALF_CLOSED_REMOTE: Final = 3
CLOSED: Final = 4
STATES: Final = ("idle", "open", "half_closed_local", "half_closed_remote", "closed")

SEND_HEADERS: Final = 0
SEND_END: Final = 1
SEND_RESET: Final = 2
RECV_HEADERS: Final = 3
RECV_DATA: Final = 4
RECV_END: Final = 5
RECV_RESET: Final = 6
INPUTS: Final = ("send_headers", "send_end", "send_reset", "recv_headers", "recv_data", "recv_end", "recv_reset")

# Instead of a next state: what else comes of an input.
MISUSE: Final = 16  # this side must not do that
IGNORED: Final = 17  # it crossed with a reset
STREAM_ERROR: Final = 18  # STREAM_CLOSED, for this stream
BROKEN: Final = 19  # PROTOCOL_ERROR, for the connection

_TABLE: Final = """\
                     send_headers        send_end           send_reset  recv_headers       recv_data          recv_end            recv_reset
idle                 open                MISUSE             MISUSE      open               BROKEN             BROKEN              BROKEN
open                 open                half_closed_local  closed      open               open               half_closed_remote  closed
half_closed_local    MISUSE              MISUSE             closed      half_closed_local  half_closed_local  closed              closed
half_closed_remote   half_closed_remote  closed             closed      STREAM_ERROR       STREAM_ERROR       STREAM_ERROR        closed
closed               IGNORED             IGNORED            IGNORED     IGNORED            IGNORED            IGNORED             IGNORED
"""  # noqa: E501


def _parse() -> bytes:
    words = {word: at for at, word in enumerate(STATES)}
    words |= {"MISUSE": MISUSE, "IGNORED": IGNORED, "STREAM_ERROR": STREAM_ERROR, "BROKEN": BROKEN}
    table = bytearray(8 * len(STATES))
    lines = _TABLE.splitlines()
    inputs = lines[0].split()
    for line in lines[1:]:
        row = line.split()
        for said, word in zip(inputs, row[1:], strict=True):
            table[8 * words[row[0]] + INPUTS.index(said)] = words[word]
    return bytes(table)


_NEXT: Final = _parse()


def next_state(state: i64, said: i64) -> i64:
    """The state that follows, or what else comes of it."""
    found: i64 = _NEXT[(state << 3) + said]
    return found


@final
class Stream:
    """One stream. ``user`` is whoever is on the other side of the codec: it finds its own things without a lookup.

    A stream that was reset stays in the table for a while: whoever set ``user`` takes it away when done.
    """

    __slots__ = (
        "bodiless", "body_left", "consumed", "end_queued", "head_seen", "held", "id", "next", "offset", "parts",
        "queued", "receive_window", "reset_by_peer", "send_window", "state", "trailers", "tunnel", "user", "waiting",
    )  # fmt: skip

    def __init__(self, stream_id: i64, send_window: i64, receive_window: i64) -> None:
        self.id: Final[i64] = stream_id
        self.state: i64 = IDLE
        self.user: object = None
        # What arrives
        self.head_seen: bool = False  # the final head of the message; what follows is its body and trailers
        self.bodiless: bool = False  # the answer to HEAD has no body, whatever its content-length
        self.tunnel: bool = False  # CONNECT: content-length says nothing
        self.body_left: i64 = NO_LENGTH  # of what content-length promised
        self.receive_window: i64 = receive_window
        self.held: i64 = 0  # bytes that arrived, and were not consumed yet
        self.consumed: i64 = 0  # bytes that were, and that the peer was not told of
        # What leaves
        self.send_window: i64 = send_window
        self.parts: list[bytes] | None = None  # what waits for a window
        self.offset: i64 = 0  # of the first of them: what is sent already
        self.queued: i64 = 0  # bytes in there
        self.end_queued: bool = False
        self.trailers: list[Field] | None = None  # behind them
        self.waiting: bool = False  # in the list of streams that wait for the connection's window
        self.reset_by_peer: bool = False
        self.next: Stream | None = None  # in its slot of the table

    def __repr__(self) -> str:
        """For people."""
        return f"<stream {self.id} {STATES[self.state]}>"


_SLOTS: Final = 64  # a power of two


@final
class StreamTable:
    """Streams by their ids. Ids are native integers here: a dict would make an object of each, for every frame."""

    __slots__ = ("_slots", "count")

    def __init__(self) -> None:
        self.count: i64 = 0
        self._slots: Final[list[Stream | None]] = [None] * _SLOTS

    def find(self, stream_id: i64) -> Stream | None:
        """The stream with this id, if it is in the table."""
        stream = self._slots[(stream_id >> 1) & (_SLOTS - 1)]
        while stream is not None and stream.id != stream_id:
            stream = stream.next
        return stream

    def add(self, stream: Stream) -> None:
        """A new one."""
        slot: i64 = (stream.id >> 1) & (_SLOTS - 1)
        stream.next = self._slots[slot]
        self._slots[slot] = stream
        self.count += 1

    def remove(self, stream: Stream) -> None:
        """One that is in the table."""
        slot: i64 = (stream.id >> 1) & (_SLOTS - 1)
        other = self._slots[slot]
        if other is stream:
            self._slots[slot] = stream.next
        else:
            while other is not None and other.next is not stream:
                other = other.next
            if other is None:
                return
            other.next = stream.next
        stream.next = None
        self.count -= 1

    def all(self) -> list[Stream]:
        """All of them, the eldest first."""
        found: list[Stream] = []
        for first in self._slots:
            stream = first
            while stream is not None:
                found.append(stream)
                stream = stream.next
        found.sort(key=_by_id)
        return found


def _by_id(stream: Stream) -> int:
    return int(stream.id)
