"""The fuzz target on its corpus, and on a few mutations that are the same in every run."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from fuzz.redis_codec import CORPUS, TURN, Watched, in_turns, inputs, one_input

from redis_playbook import pack


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_the_corpus(path: Path) -> None:
    one_input(path.read_bytes())


@pytest.mark.parametrize("seed", range(4))
def test_mutations(seed: int) -> None:
    for data in itertools.islice(inputs(seed), 1500):
        one_input(data)


@pytest.mark.parametrize("how", range(0, 256, 16))
@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_the_corpus_torn_in_other_ways_and_in_other_modes(path: Path, how: int) -> None:
    data = path.read_bytes()
    for mode in range(0, 256, 15):
        one_input(bytes([mode + data[0] % 3 if mode < 240 else mode, how]) + data[2:])


def test_the_target_sees_what_it_is_to_see() -> None:
    """Bytes that a call leaves out are noticed."""
    client = Watched(0)
    client.says("GET a")
    client.covered -= 4
    with pytest.raises(AssertionError, match=r"bytes lost|several lines"):
        client.says("GET b")


def test_calls_without_end_would_be_noticed() -> None:
    in_turns(0, 0, pack(*["BLPOP a 0"] * 500) + TURN + b"+OK\r\n")
