"""The JSON Schema agrees with what the configuration accepts."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from gateway.config import dump, load
from gateway.config.schema import schema
from policies.registry import POLICIES
from servers import ROOT

SAMPLES = sorted((ROOT / "compose").glob("*.yaml"))


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    whole = schema()
    Draft202012Validator.check_schema(whole)
    return Draft202012Validator(whole)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_samples_are_valid(validator: Draft202012Validator, sample: Any) -> None:
    validator.validate(yaml.safe_load(sample.read_text()))


def test_the_effective_configuration_is_valid(validator: Draft202012Validator) -> None:
    validator.validate(dump(load(ROOT / "compose" / "poolgate.yaml")))


def service(**more: Any) -> dict[str, Any]:
    return {"services": {"a": {"protocol": "redis", "listen": "h:1", "upstream": {"endpoints": ["h:1"]}, **more}}}


@pytest.mark.parametrize(
    "more",
    [
        {"listen": ["h:1", {"address": "unix:/a", "mode": "0660"}]},
        {"pool": {"lanes": "${LANES}", "wait_timeout": 0, "connect_rate": None}},
        {"policies": [{"timeout": "1s"}, {"timeout": {"total": "1s"}}, {"concurrency": 5}]},
        {"upstream": {"endpoints": [{"address": "h:1"}], "tls": True}},
        {"limits": {"max_value": 1024, "output_buffer": "64 KiB"}},
    ],
)
def test_right(validator: Draft202012Validator, more: dict[str, Any]) -> None:
    validator.validate(service(**more))


@pytest.mark.parametrize(
    "more",
    [
        {"protocol": "reddis"},
        {"pool": {"max_conections": 8}},
        {"pool": {"lanes": 0}},
        {"pool": {"wait_timeout": 5}},
        {"pool": {"connect_rate": "5"}},
        {"policies": [{"timeout": "1s", "concurrency": 5}]},
        {"policies": [{}]},
        {"policies": [{"time_out": "1s"}]},
        {"upstream": {}},
        {"limits": {"max_value": "5 apples"}},
    ],
)
def test_wrong(validator: Draft202012Validator, more: dict[str, Any]) -> None:
    assert not validator.is_valid(service(**more))


def test_descriptions_are_the_comments_of_the_source() -> None:
    definitions = schema()["$defs"]
    assert definitions["Limits"]["properties"]["idle_timeout"]["description"] == "of client connections; 0: never"
    assert definitions["PoolSettings"]["properties"]["idle_timeout"]["description"] == "0: never"
    assert definitions["RateLimit"]["properties"]["burst"]["description"].startswith("null: one second's worth")


def test_defaults_are_written_as_humans_write_them() -> None:
    whole = schema()
    assert whole["properties"]["admin"]["default"] == "127.0.0.1:9901"
    assert whole["$defs"]["PoolSettings"]["properties"]["wait_timeout"]["default"] == "1s"


def test_every_policy_is_in_it() -> None:
    assert list(schema()["$defs"]["PolicyEntry"]["properties"]) == list(POLICIES)
