"""What every policy keeps to."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from calls import new_scope, new_verb
from policies.registry import POLICIES
from protocols.call import CONTROL
from protocols.settings import Kind

REQUIRED: dict[str, dict[str, Any]] = {
    "rate_limit": {"rate": 100.0},
    "concurrency": {"max": 10},
    "timeout": {"total": 0.25},
    "circuit_breaker": {},
}


@pytest.mark.parametrize("word", POLICIES)
def test_every_setting_has_a_kind_that_reads_what_it_writes(word: str) -> None:
    policy = POLICIES[word](**REQUIRED[word])
    for setting in dataclasses.fields(policy):
        kind = setting.metadata["kind"]
        assert isinstance(kind, Kind)
        value = getattr(policy, setting.name)
        assert kind.parse(kind.render(value)) == value


@pytest.mark.parametrize("word", POLICIES)
def test_the_shorthand_is_a_setting(word: str) -> None:
    policy = POLICIES[word]
    assert policy.SHORTHAND in {"", *(setting.name for setting in dataclasses.fields(policy))}
    assert "SHORTHAND" not in {setting.name for setting in dataclasses.fields(policy)}


@pytest.mark.parametrize("word", POLICIES)
def test_governors_go_by_the_word_of_their_policy(word: str) -> None:
    governor = POLICIES[word](**REQUIRED[word]).governor("cache")
    assert governor.name == word
    assert governor.bind(new_scope()) is not None
    assert governor.stats(1.0)["refused"] == governor.refused == 0


@pytest.mark.parametrize("word", POLICIES)
def test_control_verbs_are_governed_when_chosen(word: str) -> None:
    policy = POLICIES[word]
    execute = new_scope(new_verb("EXEC", CONTROL))
    governor = policy(**REQUIRED[word], verbs=("exec",)).governor("cache")
    assert governor.bind(execute) is not None
    # Unasked, only a timeout governs them: it refuses nothing, and a hung EXEC must end.
    assert (policy(**REQUIRED[word]).governor("cache").bind(execute) is not None) == (word == "timeout")
