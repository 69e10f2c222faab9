"""The fuzz target of HTTP/2 on its corpus, and on a few mutations that are the same in every run."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from fuzz.http2_codec import CORPUS, Side, inputs, one_input

from http2_playbook import POST, frame, headers, hello
from protocols.http import frames as f


@pytest.mark.parametrize("how", range(0, 256, 32))
@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_the_corpus_torn_in_many_ways_and_in_other_modes(path: Path, how: int) -> None:
    data = path.read_bytes()
    one_input(data)
    for mode in range(0, 240, 15):
        one_input(bytes([mode + data[0] % 3, how]) + data[2:])


@pytest.mark.parametrize("seed", range(4))
def test_mutations(seed: int) -> None:
    for data in itertools.islice(inputs(seed), 1500):
        one_input(data)


def test_the_target_sees_what_it_is_to_see() -> None:
    """A window that leaks or grows is noticed."""
    side = Side(0, True)
    side.hears(hello() + headers(1, POST, end=False))
    side.connection.receive_window -= 1
    with pytest.raises(AssertionError, match="a window leaks"):
        side.hears(frame(f.DATA, 0, 1, b"x"))
    side.connection.receive_window += 2
    with pytest.raises(AssertionError, match="a window grows"):
        side.hears(frame(f.DATA, 0, 1, b"x"))
