"""What a right configuration becomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config import Config, ConfigError, Service, load
from gateway.config.address import Address
from policies.rate_limit import RateLimit
from policies.timeout import Timeout
from pools.settings import PoolSettings

Accept = Callable[[str], Config]
AcceptService = Callable[[str], Service]


def test_the_least_that_can_be_written(accept: Accept) -> None:
    config = accept("""\
        services:
          cache:
            protocol: redis
            listen: 127.0.0.1:6380
            upstream: {endpoints: [10.0.0.5:6379]}
        """)
    assert config.admin == Address("127.0.0.1", 9901)
    assert (config.log.format, config.log.level, config.drain_timeout) == ("json", "info", 10.0)
    cache = config.services["cache"]
    assert [listener.address for listener in cache.listen] == [Address("127.0.0.1", 6380)]
    assert cache.upstream.endpoints[0].address == Address("10.0.0.5", 6379)
    assert cache.clients is None
    assert cache.upstream.secret is None
    assert cache.pool == PoolSettings()
    assert cache.policies == ()
    assert (cache.limits.output_buffer, cache.limits.request_buffer, cache.limits.max_value) == (2**20, 2**18, 2**29)
    assert (cache.commands.allow, cache.commands.unknown) == ((), "pass")


def test_everything_at_once(accept: Accept) -> None:
    cache = accept("""\
        admin: null
        log: {format: console, level: debug}
        drain_timeout: 1m
        services:
          cache:
            protocol: redis
            listen:
              - 127.0.0.1:6380
              - "[::1]:6380"
              - {address: unix:/run/cache.sock, mode: 0660, backlog: 16}
            clients:
              - {user: app, password: "${PASSWORD}", allow: [read, Write, config|get], deny: [flushall]}
            upstream:
              endpoints: [{address: redis.internal:6379, role: primary, priority: 1, zone: a, weight: 2, version: 1.10}]
              user: gateway
              password: secret
              db: 2
              tls: true
            pool: {lanes: 4, max_connections: 8, wait_timeout: 250ms, connect_rate: 10/s, lifetime_jitter: 20%}
            policies:
              - rate_limit: {rate: 20000/s, burst: 2000, per: client}
              - timeout: 250ms
            limits: {output_buffer: 64KiB, idle_timeout: 1h}
            commands: {allow: [monitor], refuse: [keys], unknown: refuse}
        """).services["cache"]
    assert [str(listener.address) for listener in cache.listen] == [
        "127.0.0.1:6380",
        "[::1]:6380",
        "unix:/run/cache.sock",
    ]
    assert (cache.listen[2].mode, cache.listen[2].backlog) == (0o660, 16)
    assert cache.clients is not None
    assert (cache.clients[0].allow, cache.clients[0].deny) == (("read", "write", "CONFIG GET"), ("FLUSHALL",))
    endpoint = cache.upstream.endpoints[0]
    assert (endpoint.zone, endpoint.weight, endpoint.version) == ("a", 2, "1.10")
    assert cache.upstream.tls is not None
    assert cache.upstream.tls.verify
    assert cache.pool == PoolSettings(
        lanes=4, max_connections=8, wait_timeout=0.25, connect_rate=10.0, lifetime_jitter=0.2
    )
    assert cache.policies == (RateLimit(rate=20000.0, burst=2000, per="client"), Timeout(total=0.25))
    assert (cache.limits.output_buffer, cache.limits.idle_timeout) == (65536, 3600.0)
    assert (cache.commands.allow, cache.commands.refuse, cache.commands.unknown) == (("MONITOR",), ("KEYS",), "refuse")


@pytest.mark.parametrize("written", ["no", "on", "123e4", "0123", "1_000", "2024-01-01", "1:30"])
def test_a_word_is_the_text_that_was_written(accept_service: AcceptService, written: str) -> None:
    service = accept_service(f"clients: [{{user: {written}, password: {written}}}]")
    assert service.clients is not None
    assert service.clients[0].user == written
    assert service.clients[0].secret is not None
    assert service.clients[0].secret.reveal() == written


@pytest.mark.parametrize(
    ("written", "password"),
    [
        ("${PASSWORD}", "123e4"),
        ("'${PASSWORD}'", "123e4"),
        ("a-${PASSWORD}-b", "a-123e4-b"),
        ("${UNSET:-other}", "other"),
        ("${EMPTY:-other}", "other"),
        ('"$${PASSWORD}"', "${PASSWORD}"),
        ("pa$$word$1", "pa$$word$1"),
    ],
)
def test_variables_of_the_environment(accept_service: AcceptService, written: str, password: str) -> None:
    service = accept_service(f"""
        clients:
          - user: app
            password: {written}
        """)
    assert service.clients is not None
    assert service.clients[0].secret is not None
    assert service.clients[0].secret.reveal() == password


def test_a_variable_may_stand_for_a_number(accept_service: AcceptService) -> None:
    assert accept_service("pool: {lanes: '${LANES}'}").pool.lanes == 3


def test_anchors_aliases_and_merges(accept: Accept) -> None:
    services = accept("""\
        services:
          one: &one
            protocol: redis
            listen: 127.0.0.1:1001
            upstream: {endpoints: [h:1]}
            pool: &pool {lanes: 3}
          two:
            <<: *one
            listen: 127.0.0.1:1002
          three: {<<: *one, listen: 127.0.0.1:1003, pool: {<<: *pool, min_idle: 2}}
        """).services
    assert [service.pool.lanes for service in services.values()] == [3, 3, 3]
    assert [service.listen[0].address.port for service in services.values()] == [1001, 1002, 1003]
    assert services["three"].pool.min_idle == 2


def test_files_are_found_beside_the_configuration(accept_service: AcceptService, tmp_path: Path) -> None:
    tmp_path.joinpath("password").write_text("from a file\n")
    tmp_path.joinpath("ca.pem").touch()
    service = accept_service("""\
        clients: [{password_file: password}]
        """)
    assert service.clients is not None
    assert service.clients[0].user == "default"
    assert service.clients[0].secret is not None
    assert service.clients[0].secret.reveal() == "from a file"


def test_a_file_is_loaded_with_the_process_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTREAM", "10.0.0.5:6379")
    file = tmp_path / "poolgate.yaml"
    file.write_text("""\
services:
  cache:
    protocol: redis
    listen: 127.0.0.1:6380
    upstream: {endpoints: ["${UPSTREAM}"], tls: {ca: ca.pem}}
""")
    tmp_path.joinpath("ca.pem").touch()
    upstream = load(file).services["cache"].upstream
    assert str(upstream.endpoints[0].address) == "10.0.0.5:6379"
    assert upstream.tls is not None
    assert upstream.tls.ca == tmp_path / "ca.pem"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "poolgate.yaml: cannot be read: No such file or directory"),
        (b"", "poolgate.yaml:1: a mapping is expected here, not nothing"),
        (b"- a", "poolgate.yaml:1: a mapping is expected here, not a list"),
        (b"#" * (2**20 + 1), "poolgate.yaml: the file is larger than 1 MiB"),
        (b"a: b\nc: \xff", "poolgate.yaml:2: this is not UTF-8 text"),
        (b"a: b\nc: \x00", "poolgate.yaml:2: special characters are not allowed: '\\x00'"),
    ],
)
def test_a_file_that_is_no_configuration(
    content: bytes | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("poolgate.yaml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load("poolgate.yaml")
    assert str(caught.value) == message
