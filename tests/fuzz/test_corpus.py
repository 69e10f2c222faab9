"""The fuzz targets on their corpora, and on a few mutations that are the same in every run."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import ModuleType

import pytest
from fuzz import mysql_codec, redis_codec
from fuzz.mutations import TURN, inputs

from mysql_playbook import query
from redis_playbook import pack

TARGETS: list[ModuleType] = [redis_codec, mysql_codec]
SEEDS = [(target, path) for target in TARGETS for path in sorted(target.CORPUS.iterdir())]
NAMES = [f"{path.parent.name}-{path.name}" for _, path in SEEDS]


@pytest.mark.parametrize(("target", "path"), SEEDS, ids=NAMES)
def test_the_corpus(target: ModuleType, path: Path) -> None:
    target.one_input(path.read_bytes())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.CORPUS.name)
def test_mutations(target: ModuleType, seed: int) -> None:
    for data in itertools.islice(inputs(target.CORPUS, target.TOKENS, seed), 1500):
        target.one_input(data)


@pytest.mark.parametrize("how", range(0, 256, 16))
@pytest.mark.parametrize(("target", "path"), SEEDS, ids=NAMES)
def test_the_corpus_torn_in_other_ways_and_in_other_modes(target: ModuleType, path: Path, how: int) -> None:
    data = path.read_bytes()
    kinds = len(target.MODES)
    for mode in range(0, 256 - kinds, 15):
        target.one_input(bytes([mode - mode % kinds + data[0] % kinds, how]) + data[2:])


def test_the_target_sees_what_it_is_to_see() -> None:
    """Bytes that a call leaves out are noticed."""
    client = redis_codec.Watched(0)
    client.says("GET a")
    client.covered -= 4
    with pytest.raises(AssertionError, match=r"bytes lost|several lines"):
        client.says("GET b")


def test_what_is_slipped_in_would_be_noticed() -> None:
    client = mysql_codec.Watched(0)
    client.says("SELECT 1")
    client.forwarded[-1] += query("DROP TABLE t")[:-1]
    with pytest.raises(AssertionError, match="something else than packets"):
        client.hears(client.answers(0))


def test_calls_without_end_would_be_noticed() -> None:
    redis_codec.in_turns(0, 0, pack(*["BLPOP a 0"] * 500) + TURN + b"+OK\r\n")
    mysql_codec.in_turns(0, 0, query("SELECT 1") * 500 + TURN + query("SELECT 1"))
