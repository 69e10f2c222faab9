"""The effective configuration that ``check`` prints and ``/config_dump`` shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml

from gateway.config import Config, dump, dump_yaml, load

RICH = """\
admin: null
services:
  cache:
    protocol: redis
    listen: [127.0.0.1:6380, {address: unix:/run/cache.sock, mode: "0660"}]
    clients:
      - {user: app, password_file: password, allow: [read], deny: [FLUSHALL]}
      - {user: "on", password_file: password}
    upstream:
      endpoints: [{address: "[::1]:6379", version: "1.10"}]
      password_file: password
      tls: {cert: password, key: password, verify: false}
    pool: {wait_timeout: 1.5s, connect_rate: 90/m, lifetime_jitter: 12.5%}
    policies: [timeout: 250ms, rate_limit: 10/h, circuit_breaker: {window: 90s}, concurrency: {max: 5, verbs: read}]
    limits: {max_value: 1MB, output_buffer: 3000}
    commands: {allow: [MONITOR, CONFIG SET]}
"""


def test_what_is_dumped_can_be_loaded_again(accept: Callable[[str], Config], tmp_path: Path) -> None:
    tmp_path.joinpath("password").write_text("secret")
    config = accept(RICH)
    elsewhere = tmp_path / "elsewhere" / "poolgate.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(dump_yaml(config))
    assert load(elsewhere) == config


def test_values_are_written_as_humans_write_them(accept: Callable[[str], Config], tmp_path: Path) -> None:
    tmp_path.joinpath("password").write_text("secret")
    cache = dump(accept(RICH))["services"]["cache"]
    assert cache["listen"][1] == {"address": "unix:/run/cache.sock", "mode": "0660", "backlog": 1024, "tls": None}
    assert cache["pool"]["wait_timeout"] == "1500ms"
    assert cache["pool"]["connect_rate"] == "90/m"
    assert cache["pool"]["lifetime_jitter"] == "12.5%"
    assert cache["pool"]["max_lifetime"] == "30m"
    assert [list(entry) for entry in cache["policies"]] == [
        ["timeout"],
        ["rate_limit"],
        ["circuit_breaker"],
        ["concurrency"],
    ]
    assert cache["policies"][2]["circuit_breaker"]["error_ratio"] == "50%"
    assert (cache["limits"]["max_value"], cache["limits"]["output_buffer"]) == ("1000000B", "3000B")


def test_secrets_are_hidden(accept: Callable[[str], Config]) -> None:
    config = accept("""\
        services:
          cache:
            protocol: redis
            listen: 127.0.0.1:6380
            clients: [{password: hunter2}]
            upstream: {endpoints: [a:1], password: hunter2}
        """)
    text = dump_yaml(config)
    assert "hunter2" not in text + repr(config) + str(config)
    assert yaml.safe_load(text)["services"]["cache"]["upstream"]["password"] == "***"
    again = accept(text)
    assert dump(again) == dump(config)
