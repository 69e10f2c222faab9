"""Golden captures: what real clients and a real server said to each other, replayed through both codecs.

Each connection's bytes must be covered exactly: the client's by the calls that the codec makes of them, the server's by
the replies and pushes that the upstream codec finds. However they are torn. ``record.py`` tells how they were made.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocols.call import Call
from redis_playbook import Conversation, described

CAPTURES = sorted((Path(__file__).parent / "captures").glob("*.jsonl"))
Chunk = tuple[str, bytes]  # who said it, and what
Connection = list[Chunk]


class Replay(Conversation):
    """A client as recorded. All that it says goes upstream here, as it did there; the codec only follows."""

    def __init__(self) -> None:
        super().__init__(users={"default": "s3cret"})
        self.covered = b""
        self.refusals: dict[Call, bytes] = {}

    def _submit(self, call: Call, at: int) -> None:
        self.lines[at] = described(call, self.codec.pin)
        if call.done:  # refused here: the server said the same
            self.refusals[call] = call.answer
            call.done = False
        self.covered += call.request
        if call.local:
            self.codec.answer(call, self.now)
        if call.barrier:
            self.barrier = call
        self.upstream.adopt(self.codec if self.codec.pin is not None else None)
        for place in (self.calls, self.line, self.in_flight):
            place.append(call)

    def _replied(self, call: Call, data: bytes) -> None:
        assert data == self.refusals.get(call, data)
        super()._replied(call, data)
        self.pump()  # what follows was sent, and answered, before this reply was read

    def hears_all(self, chunks: Iterator[Chunk]) -> None:
        """A conversation, as it was or torn; everything must be understood."""
        said: dict[str, list[bytes]] = {"client": [], "server": []}
        for speaker, data in chunks:
            said[speaker].append(data)
            if speaker == "client":
                self.sends(data)
            else:
                self.hears(data)
        assert b"".join(said["client"]) == self.covered + self.codec.data[self.codec.start :]
        assert b"".join(said["server"]) == self.client_got
        assert (self.in_flight, self.tail, self.codec.buffered()) == ([], b"", 0)


@functools.cache
def connections(path: Path) -> list[Connection]:
    found: dict[int, Connection] = {}
    for line in path.read_text().splitlines():
        chunk = json.loads(line)
        found.setdefault(chunk["connection"], []).append((chunk["from"], chunk["data"].encode("latin-1")))
    return list(found.values())


@pytest.fixture(params=CAPTURES, ids=lambda path: path.stem)
def capture(request: pytest.FixtureRequest) -> list[Connection]:
    return connections(request.param)


def test_there_is_a_capture_of_each_client() -> None:
    assert {path.stem.rstrip("-23") for path in CAPTURES} == {
        "ioredis",
        "node-redis",
        "phpredis",
        "redis-cli",
        "redis-py",
    }


def test_as_it_was(capture: list[Connection]) -> None:
    names: set[str] = set()
    for connection in capture:
        replay = Replay()
        replay.hears_all(iter(connection))
        names |= {call.verb.name for call in replay.calls}
    assert names >= {"SET", "GET", "MULTI", "EXEC", "WATCH", "BLPOP", "SUBSCRIBE", "SCAN"}


def test_in_bytes(capture: list[Connection]) -> None:
    for connection in capture:
        Replay().hears_all(piece for chunk in connection for piece in _bytes_of_the_beginning(chunk))


def _bytes_of_the_beginning(chunk: Chunk) -> Iterator[Chunk]:
    """A long chunk byte by byte only at first."""
    speaker, data = chunk
    yield from ((speaker, data[at : at + 1]) for at in range(min(len(data), 2000)))
    if len(data) > 2000:
        yield speaker, data[2000:]


def test_torn_at_every_offset(capture: list[Connection]) -> None:
    """Every chunk in two, all at the same distance from their beginning."""
    for connection in capture:
        for at in range(1, min(max(len(data) for _, data in connection), 130)):
            Replay().hears_all(
                (speaker, part) for speaker, data in connection for part in (data[:at], data[at:]) if part
            )


def test_the_calls_are_the_same_however_it_is_torn(capture: list[Connection]) -> None:
    def verbs(chunks: Iterator[Chunk]) -> list[str]:
        replay = Replay()
        replay.hears_all(chunks)
        return [verb.name for call in replay.calls for verb in call.verbs or [call.verb] * call.count]

    for connection in capture:
        whole = verbs(iter(connection))
        for size in (7, 61):
            assert (
                verbs(
                    (speaker, data[at : at + size]) for speaker, data in connection for at in range(0, len(data), size)
                )
                == whole
            )
