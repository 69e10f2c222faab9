"""Fuzzes the HTTP/2 codec: no input may raise, read otherwise when it is torn, or fill the memory.

    PYTHONPATH=.:tests python -m fuzz.http2_codec --seconds 60     # with atheris, where that is installed
    PYTHONPATH=.:tests python -m fuzz.http2_codec --count 100000 --seed 7 --plain

An input is a mode byte, a byte that says how the rest is torn, and the rest: what a client says behind its preface,
what a server says to a client that has asked for something, or header blocks, each behind its length. What fails is
written to ``crash-*``: fix it, and move it to corpus/http2.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import hpack
from librt.strings import BytesWriter

from http2_playbook import GET, OK, POST, block, frame, frames, headers, hello, pairs, told, written
from protocols.http import frames as f
from protocols.http.errors import HpackError
from protocols.http.events import DataReceived, Event, HeadersReceived, RequestTooLarge, TrailersReceived
from protocols.http.fields import fields
from protocols.http.hpack import Decoder, Encoder
from protocols.http.http2 import Connection
from protocols.http.limits import Limits

CORPUS = Path(__file__).parent / "corpus" / "http2"
SMALL = Limits(
    max_streams=3, stream_window=65535, connection_window=65535, max_fields=12, max_header_bytes=1000,
    max_continuations=3, resets=5, noise=60,
)  # fmt: skip
LOOSE = Limits(resets=1000000, noise=1000000, extended_connect=True)


def chunks(data: bytes, how: int) -> Iterator[bytes]:
    """Torn by the second byte of the input: byte by byte, or at odd places."""
    sizes = random.Random(how)
    at = 0
    while at < len(data):
        size = 1 if how < 64 else sizes.choice((1, 2, 5, 9, 10, 40, 600))
        yield data[at : at + size]
        at += size


class Side:
    """One side that hears the input, answers what it hears by a rule, and checks itself."""

    def __init__(self, mode: int, server: bool) -> None:
        self.limits = SMALL if mode & 8 else LOOSE
        self.lazy = bool(mode & 16)  # it neither consumes nor answers
        self.connection = Connection(server, self.limits)
        self.heard: list[Event] = []
        self.out = b""
        if not server:
            for method in (b"GET", b"HEAD", b"POST", b"CONNECT"):
                if self.connection.can_open():
                    end = method != b"POST" and method != b"CONNECT"
                    self.connection.open(fields((b":method", method), *GET[1:]), end, method)

    def hears(self, data: bytes) -> None:
        connection = self.connection
        for event in connection.receive(data, 0.0):
            self.heard.append(event)
            if not self.lazy:
                self.answers(event)
        self.out += connection.take()
        assert len(connection._rest) < f.HEADER + f.MAX_LENGTH, "held too much"
        assert connection.streams.count <= connection.active + 64, "streams without end"
        assert connection.active >= 0, "streams closed twice"
        if connection.server:
            assert connection.active <= self.limits.max_streams, "too many streams"
        held = sum(stream.held for stream in connection.streams.all())
        if not connection.failed:
            known = held + connection.consumed + connection.receive_window
            assert known <= self.limits.connection_window, "a window grows"
            assert self.lazy or known == self.limits.connection_window, "a window leaks"

    def answers(self, event: Event) -> None:
        connection = self.connection
        if isinstance(event, DataReceived):
            connection.consume(event.stream, len(event.data))
        if connection.server and isinstance(event, HeadersReceived | RequestTooLarge):
            connection.send_headers(event.stream, fields(*OK), False)
            connection.send_data(event.stream, b"x" * 20000, False)
        if connection.server and (
            isinstance(event, TrailersReceived) or (isinstance(event, HeadersReceived | DataReceived) and event.end)
        ):
            connection.send_headers(event.stream, fields((b"grpc-status", b"0")), True)


def one_side(mode: int, how: int, data: bytes, server: bool) -> None:
    """Heard at once and torn, it says the same and leads to the same answers; ours, between two pieces, change it."""
    if mode & 32:
        data = (hello() if server else written(f.write_settings, [])) + data
    whole, torn = Side(mode, server), Side(mode, server)
    whole.hears(data)
    for chunk in chunks(data, how):
        torn.hears(chunk)
    if whole.lazy:
        assert told(whole.heard) == told(torn.heard), "what is heard depends on how it was torn"
        assert whole.out == torn.out, "what is answered depends on how it was torn"
    list(frames(whole.out))
    list(frames(torn.out))


def blocks(mode: int, how: int, data: bytes) -> None:
    """Header blocks: read as the package reads them, written again so that the package reads the same."""
    decoder, package = Decoder(10000, 1 << 30), hpack.Decoder(1 << 30)
    encoder, mirror = Encoder(4096 if how & 1 else 100, bool(how & 2)), hpack.Decoder(1 << 30)
    at = 0
    while at < len(data):
        said = data[at + 1 : at + 1 + data[at]]
        at += 1 + len(said)
        try:
            found = decoder.decode(said)
        except HpackError:
            return
        try:
            expected = [(bytes(name), bytes(value)) for name, value in package.decode(said, raw=True)]
        except Exception as error:  # whatever the package raises for what it refuses
            raise AssertionError(f"the package refuses this: {error!r}") from error
        assert pairs(found) == expected
        out = BytesWriter()
        encoder.encode(found, out)
        assert [(bytes(name), bytes(value)) for name, value in mirror.decode(out.getvalue(), raw=True)] == expected


def one_input(data: bytes) -> None:
    """The fuzz target."""
    if len(data) > 2:
        mode, how, rest = data[0], data[1], data[2:]
        if mode % 3 == 2:
            blocks(mode, how, rest)
        else:
            one_side(mode, how, rest, mode % 3 == 0)


# Without atheris: mutations of the corpus, always the same for a seed

TOKENS = [
    *(bytes([byte]) for byte in (0, 1, 2, 4, 5, 8, 9, 0x20, 0x25, 0x3F, 0x40, 0x7F, 0x80, 0x82, 0xBE, 0xFF)),
    *(headers(stream, GET) for stream in (1, 3, 5, 7, 9, 2, 0)),
    *(headers(stream, POST, end=False) for stream in (1, 3, 11)),
    *(headers(stream, OK, end=False) for stream in (1, 3, 5, 7)),
    *(headers(stream, [(b"grpc-status", b"0")]) for stream in (1, 3, 5)),
    headers(1, [(b":status", b"100")], end=False),
    headers(1, [*POST, (b"content-length", b"3")], end=False),
    *(frame(f.DATA, flags, stream, b"abc") for flags in (0, 1) for stream in (1, 3, 5)),
    frame(f.DATA, f.PADDED, 1, b"\x02abc\0\0"),
    frame(f.DATA, 0, 1, b"x" * 16384),
    *(frame(f.RST_STREAM, 0, stream, b"\0\0\0\x08") for stream in (1, 3)),
    *(frame(f.WINDOW_UPDATE, 0, stream, b"\0\0\x10\0") for stream in (0, 1, 3)),
    frame(f.WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff"),
    frame(f.SETTINGS, 0, 0, b"\0\x04\0\0\0\x02"),
    frame(f.SETTINGS, 0, 0, b"\0\x01\0\0\0\0\0\x03\0\0\0\x01"),
    frame(f.SETTINGS, 1, 0),
    frame(f.PING, 0, 0, b"12345678"),
    frame(f.PING, 1, 0, b"poolgate"),
    frame(f.GOAWAY, 0, 0, b"\0\0\0\x03\0\0\0\0"),
    frame(f.PRIORITY, 0, 3, b"\0\0\0\x01\x05"),
    frame(f.HEADERS, 0, 1, block(GET)[:2]),
    frame(f.CONTINUATION, 4, 1, block(GET)[2:]),
    frame(f.HEADERS, 0x2D, 13, b"\x01\0\0\0\0\0" + block(GET) + b"\0"),
    b"\x40\x01a\x01b",
    b"\x10\x01a\x83\x1c\x64\x5f",
]


def mutate(data: bytes, seeds: list[bytes], dice: random.Random) -> bytes:
    """A few changes: tokens put in, bytes exchanged, parts cut out, doubled or taken from another seed."""
    for _ in range(dice.randint(1, 6)):
        at = dice.randint(0, len(data))
        until = min(len(data), at + dice.choice((0, 1, 2, 9, 30)))
        other = dice.choice(seeds)
        begin = dice.randint(0, len(other))
        data = data[:at] + dice.choice((
            dice.choice(TOKENS),
            bytes([dice.randrange(256)]),
            b"",
            data[at:until] * 2,
            other[begin : begin + dice.randint(1, 60)],
        )) + data[until:]  # fmt: skip
    return data


def said(dice: random.Random) -> bytes:
    """Tokens in any order: frames that are whole get further than mutated ones."""
    return b"".join(dice.choice(TOKENS[16:]) for _ in range(dice.randint(1, 25)))


def corpus() -> list[bytes]:
    return [path.read_bytes() for path in sorted(CORPUS.iterdir())]


def inputs(seed: int) -> Iterator[bytes]:
    """Mutated inputs without end."""
    seeds, dice = corpus(), random.Random(seed)
    while True:
        data = dice.choice(seeds) if dice.random() < 0.6 else b"  " + said(dice)
        if dice.random() < 0.8:
            data = mutate(data, seeds, dice)
        yield bytes([dice.randrange(256), dice.randrange(256)]) + data[2:] if dice.random() < 0.6 else data


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--count", type=int, default=sys.maxsize)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--plain", action="store_true", help="without atheris, also where it is installed")
    chosen = options.parse_args()
    if not chosen.plain:
        try:
            atheris = importlib.import_module("atheris")
        except ImportError:
            print("atheris is not installed: plain mutations")
        else:
            atheris.Setup([sys.argv[0], f"-max_total_time={chosen.seconds:g}", str(CORPUS)], one_input)
            atheris.Fuzz()
            return
    end, done = time.monotonic() + chosen.seconds, 0
    for data in inputs(chosen.seed):
        if done >= chosen.count or time.monotonic() > end:
            break
        try:
            one_input(data)
        except BaseException:
            crash = Path(f"crash-{hashlib.sha256(data).hexdigest()[:12]}")
            crash.write_bytes(data)
            print(f"{crash}: {data!r}")
            raise
        done += 1
    print(f"{done} inputs, all is well")


if __name__ == "__main__":
    main()
