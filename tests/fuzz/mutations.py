"""What fuzz targets share: how inputs are torn, how they are changed without atheris, and the command line."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

TURN = b"\xff\xfe"  # parts what one side says from what the other answers


def chunks(data: bytes, how: int) -> Iterator[bytes]:
    """Torn by the second byte of the input: not at all, byte by byte, or at odd places."""
    if how < 64:
        yield data
        return
    sizes = random.Random(how)
    at = 0
    while at < len(data):
        size = 1 if how < 96 else sizes.choice((1, 2, 3, 7, 40, 600))
        yield data[at : at + size]
        at += size


def mutate(data: bytes, seeds: list[bytes], tokens: list[bytes], dice: random.Random) -> bytes:
    """A few changes: tokens put in, bytes exchanged, parts cut out, doubled or taken from another seed."""
    for _ in range(dice.randint(1, 6)):
        at = dice.randint(0, len(data))
        until = min(len(data), at + dice.choice((0, 1, 2, 8, 30)))
        other = dice.choice(seeds)
        begin = dice.randint(0, len(other))
        data = data[:at] + dice.choice((
            dice.choice(tokens),
            bytes([dice.randrange(256)]),
            b"",
            data[at:until] * 2,
            other[begin : begin + dice.randint(1, 60)],
        )) + data[until:]  # fmt: skip
    return data


def corpus(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def inputs(folder: Path, tokens: list[bytes], seed: int) -> Iterator[bytes]:
    """Mutated inputs without end, always the same for a seed."""
    seeds, dice = corpus(folder), random.Random(seed)
    while True:
        data = mutate(dice.choice(seeds), seeds, tokens, dice)
        yield bytes([dice.randrange(256), dice.randrange(256)]) + data[2:] if dice.random() < 0.5 else data


def run(one_input: Callable[[bytes], None], folder: Path, tokens: list[bytes], about: str | None) -> None:
    """The command line of a target."""
    options = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
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
            atheris.Setup([sys.argv[0], f"-max_total_time={chosen.seconds:g}", str(folder)], one_input)
            atheris.Fuzz()
            return
    end, done = time.monotonic() + chosen.seconds, 0
    for data in inputs(folder, tokens, chosen.seed):
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
