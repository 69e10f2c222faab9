"""What is said about a wrong configuration: the YAML as given, then line, path and message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import ConfigError, parse

Refuse = Callable[[str], list[str]]


def test_all_problems_at_once_sorted_by_line(refuse: Refuse) -> None:
    assert refuse("""\
        log: {level: warn}
        services:
          cache:
            protocol: reddis
            listen: :6379
            upstream: {endpoints: [10.0.0.5]}
            pool:
              max_conections: 8
              wait_timeout: 5
            policies:
              - ratelimit: {rate: 5/s}
          Orders: {}
        servces: {}
        """) == [
        "1: log.level: 'warn' is not known here, did you mean `warning`?",
        "4: services.cache.protocol: 'reddis' is not known here, did you mean `redis`?",
        "5: services.cache.listen: ':6379' does not say where: "
        "write 127.0.0.1:6379 (this machine only) or 0.0.0.0:6379 (all)",
        "6: services.cache.upstream.endpoints[0]: '10.0.0.5' is not an address: "
        "write host:port (port up to 65535) or unix:/path",
        "8: services.cache.pool.max_conections: unknown key `max_conections`, did you mean `max_connections`?",
        "9: services.cache.pool.wait_timeout: '5' is not a duration: write 250ms, 5s, 10m or 1h",
        "11: services.cache.policies[0].ratelimit: unknown policy `ratelimit`, did you mean `rate_limit`?",
        "12: services.Orders: 'Orders' is not a service name: "
        "write a-z, 0-9 and -, a letter first, up to 63 characters",
        "12: services.Orders: `listen` is missing",
        "12: services.Orders: `protocol` is missing",
        "12: services.Orders: `upstream` is missing",
        "13: servces: unknown key `servces`, did you mean `services`?",
    ]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        # Keys and shapes
        ("limit: {}", "6: limit: unknown key `limit`, did you mean `limits`?"),
        (
            "commands: {x: 1}",
            "6: commands.x: unknown key `x`: choose from allow, refuse, unknown",
        ),
        ("limits:", "6: limits: a mapping is expected here, not nothing"),
        ("limits: [1]", "6: limits: a mapping is expected here, not a list"),
        ("policies: {timeout: 1s}", "6: policies: a list is expected here, not a mapping"),
        ("limits: {max_clients: 1}\nlimits: {}", "7: limits: key `limits` is given twice, first on line 6"),
        ("limits: !limits {}", "6: limits: the tag !limits is not known here"),
        ("limits: {[a]: 1}", "6: limits: a key has to be plain text"),
        ("limits: {<<: 1}", "6: limits: `<<` merges mappings only"),
        # Values
        ("pool: {lanes: 0}", "6: pool.lanes: '0' is not a whole number of one or more"),
        ("pool: {min_idle: -1}", "6: pool.min_idle: '-1' is not a whole number of zero or more"),
        ("pool: {lifetime_jitter: 0.1}", "6: pool.lifetime_jitter: '0.1' is not a percentage: write 0% to 100%"),
        (
            "pool: {connect_rate: 0/s}",
            "6: pool.connect_rate: '0/s' is not a rate above zero: write 500/s, 100/m or 10/h",
        ),
        (
            "limits: {max_value: 1 TiB}",
            "6: limits.max_value: '1 TiB' is not a size: write 512, 64KiB, 1MB or 2GiB",
        ),
        ("limits: {max_value: 2000GiB}", "6: limits.max_value: '2000GiB' is more than 1024GiB"),
        ("limits: {idle_timeout: 366d}", "6: limits.idle_timeout: '366d' is more than 365d"),
        ("pool: {max_connections: 2, min_idle: 3}", "6: pool.min_idle: 3 is more than max_connections, 2"),
        (
            "pool: {lanes: ${UNSET}}",
            "6: while parsing a flow mapping expected ',' or '}', but got '{'; "
            'inside { } and [ ] a variable needs quotes: "${NAME}"',
        ),
        (
            "pool: {lanes: '${UNSET}'}",
            "6: pool.lanes: the environment has no ${UNSET}: set it, or write ${UNSET:-default}",
        ),
        (
            "pool: {lanes: '${1}'}",
            "6: pool.lanes: `${` does not begin a variable: write ${NAME}, ${NAME:-default} or $${",
        ),
        # Policies
        ("policies: [timeout: 250]", "6: policies[0].timeout: '250' is not a duration: write 250ms, 5s, 10m or 1h"),
        ("policies: [timeout: 0s]", "6: policies[0].timeout: a timeout must be longer than 0"),
        ("policies: [timeout]", "6: policies[0]: a mapping is expected here, not 'timeout'"),
        ("policies: [rate_limit: {}]", "6: policies[0].rate_limit: `rate` is missing"),
        (
            "policies: [{}]",
            "6: policies[0]: the entry names no policy: choose from rate_limit, concurrency, timeout, circuit_breaker",
        ),
        (
            "policies:\n  - timeout: 1s\n    concurrency: 5",
            "7: policies[0]: concurrency and timeout stand in one list item: begin each policy with `- `",
        ),
        (
            "policies: [rate_limit: {rate: 1/s, verbs: [reed]}]",
            "6: policies[0].rate_limit.verbs[0]: unknown command `reed`, did you mean `read`?",
        ),
        # Clients
        ("clients: []", "6: clients: the list is empty: leave the key out to let everyone in, or name a client"),
        ("clients: [{user: a}]", "6: clients[0]: the client has no `password` and no `password_file`"),
        (
            "clients: [{password: x, keys: ['a*']}]",
            "6: clients[0].keys: unknown key `keys`: "
            "choose from user, password, password_file, password_hash, allow, deny",
        ),
        ("clients: [{password: x}, {password: y}]", "6: clients[1]: the user `default` is given twice"),
        ("clients: [{password: ''}]", "6: clients[0].password: the secret is empty: leave the key out where none"),
        ("clients: [{password: [hidden]}]", "6: clients[0].password: a secret has to be text"),
        (
            "clients: [{password: x, deny: [FLUSHAL]}]",
            "6: clients[0].deny[0]: unknown command `FLUSHAL`, did you mean `FLUSHALL`?",
        ),
        # Commands
        (
            "commands: {allow: [MONITR]}",
            "6: commands.allow[0]: unknown command `MONITR`, did you mean `MONITOR`?",
        ),
        ("commands: {unknown: ask}", "6: commands.unknown: 'ask' is not known here: choose from pass, refuse"),
    ],
)
def test_one_problem_of_a_service(refuse_service: Refuse, more: str, problem: str) -> None:
    [line] = refuse_service(more)
    assert line.startswith(problem)


@pytest.mark.parametrize(
    ("upstream", "problem"),
    [
        ("{}", "`endpoints` is missing"),
        ("{endpoints: []}", "at least one endpoint is needed"),
        ("{endpoints: [a:1, b:1]}", "mode standalone takes exactly one endpoint, here are 2"),
        ("{endpoints: [a:0]}", "'a:0': port 0 is nowhere to connect to"),
        ("{endpoints: [a:1], mode: cluster}", "'cluster' is not known here: choose from standalone"),
        ("{endpoints: [{address: a:1, role: replika}]}", "'replika' is not known here, did you mean `replica`?"),
        ("{endpoints: [a:1], tls: yes}", "'yes' is not a yes-or-no value: write true or false"),
        ("{endpoints: [a:1], tls: {verify: no}}", "'no' is not a yes-or-no value: write true or false"),
        ("{endpoints: [a:1], tls: {cert: there}}", "`cert` needs `key` beside it"),
        ("{endpoints: [a:1], tls: {key: there}}", "`key` needs `cert` beside it"),
        ("{endpoints: [a:1], tls: {ca: gone.pem}}", "there is no file {folder}/gone.pem"),
        ("{endpoints: [a:1], password_file: gone}", "there is no file {folder}/gone"),
        ("{endpoints: [a:1], password_file: empty}", "{folder}/empty is empty"),
        ("{endpoints: [a:1], password_file: binary}", "{folder}/binary cannot be read: it is not text"),
        ("{endpoints: [a:1], password: a, password_file: there}", "`password` is given too: keep one of them"),
    ],
)
def test_one_problem_of_an_upstream(refuse: Refuse, tmp_path: Path, upstream: str, problem: str) -> None:
    tmp_path.joinpath("there").write_text("x")
    tmp_path.joinpath("empty").write_text("\n")
    tmp_path.joinpath("binary").write_bytes(b"\xff")
    [line] = refuse(f"""\
        services:
          cache:
            protocol: redis
            listen: 127.0.0.1:6380
            upstream: {upstream}
        """)
    assert line.startswith("5: services.cache.upstream")
    assert line.endswith(problem.replace("{folder}", str(tmp_path)))


@pytest.mark.parametrize(
    ("listen", "problem"),
    [
        ("6379", "'6379' is not an address: write host:port (port up to 65535) or unix:/path"),
        ("127.0.0.1:70000", "'127.0.0.1:70000' is not an address: write host:port (port up to 65535) or unix:/path"),
        ("::1:6379", "'::1:6379' is ambiguous: write an IPv6 address as [::1]:6379"),
        ("999.0.0.1:6379", "'999.0.0.1' is not an IP address"),
        ("'[::g]:6379'", "'::g' is not an IP address"),
        ("'ho st:6379'", "'ho st:6379' has no proper host name"),
        ("unix:cache.sock", "'unix:cache.sock' needs an absolute path: unix:/run/poolgate/cache.sock"),
        (f"unix:/{'x' * 107}", "is longer than the 107 bytes that the system takes"),
        ("{address: '127.0.0.1:1', mode: '0660'}", "only a unix socket has a file mode"),
        ("{address: 'unix:/a', mode: rw}", "'rw' is not a file mode: write \"0660\""),
        ("{mode: '0660'}", "`address` is missing"),
        ("[]", "at least one address is needed"),
        ("[127.0.0.1:1, 127.0.0.1:1]", "127.0.0.1:1 is taken: service `cache` listens on 127.0.0.1:1"),
        ("0.0.0.0:9901", "0.0.0.0:9901 is taken: admin listens on 127.0.0.1:9901"),
        ("[unix:/a, {address: unix:/a}]", "unix:/a is taken: service `cache` listens on unix:/a"),
    ],
)
def test_one_problem_of_a_listener(refuse: Refuse, listen: str, problem: str) -> None:
    [line] = refuse(f"""\
        services:
          cache:
            protocol: redis
            listen: {listen}
            upstream: {{endpoints: [a:1]}}
        """)
    assert line.startswith("4: services.cache.listen")
    assert line.endswith(problem)


def test_an_address_may_be_taken_by_another_service(refuse: Refuse) -> None:
    assert refuse("""\
        services:
          one: {protocol: redis, listen: "0.0.0.0:1", upstream: {endpoints: [a:1]}}
          two: {protocol: redis, listen: "127.0.0.1:1", upstream: {endpoints: [a:1]}}
        """) == ["3: services.two.listen: 127.0.0.1:1 is taken: service `one` listens on 0.0.0.0:1"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("services: {}", "1: services: at least one service is needed"),
        ("a: [1,\nb: 2", "2: while parsing a flow sequence expected ',' or ']', but got '<stream end>'"),
        ("a:\n\tb: 1", "2: while scanning for the next token found character '\\t' that cannot start any token"),
        ("a: *b", "1: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2", "2: expected a single document in the stream but found another document"),
        ("a: &a [*a]", "1: alias *a stands inside itself"),
        ("a: " + "[" * 40, "1: nested more than 32 deep"),
        ("[" + "1," * 60000 + "]", "1: more than 20000 values, aliases included"),
    ],
)
def test_broken_yaml(refuse: Refuse, text: str, problem: str) -> None:
    assert refuse(text)[0].startswith(problem)


def test_aliases_of_aliases_are_counted(refuse: Refuse) -> None:
    laughs = "a0: &a0 [lol]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    assert refuse(laughs) == ["5: more than 20000 values, aliases included"]


def test_a_problem_inside_an_alias_is_shown_where_it_is_written(refuse: Refuse) -> None:
    assert refuse("""\
        services:
          one: {protocol: redis, listen: "127.0.0.1:1", upstream: {endpoints: [a:1]}, pool: &pool {lanes: none}}
          two: {protocol: redis, listen: "127.0.0.1:2", upstream: {endpoints: [a:1]}, pool: *pool}
        """) == [
        "2: services.one.pool.lanes: 'none' is not a whole number of one or more",
        "2: services.two.pool.lanes: 'none' is not a whole number of one or more",
    ]


def test_no_message_shows_a_secret(refuse_service: Refuse) -> None:
    lines = refuse_service("""\
        pool: {wait_timeout: {password: hunter2}, password: hunter2}
        clients: [{password: {a: hunter2}}, {user: a, password: hunter2, password_file: gone}]
        """)
    assert len(lines) == 4
    assert "hunter2" not in "".join(lines)


YAML_PIECES = st.sampled_from(
    [*"[]{},:&*!|>'\"%@`#-? \n\t", "services", "cache", "&a ", "*a", "<<: ", "${X}", "${", "null", "\n  ", "- ", "1s"]
)


@given(st.lists(YAML_PIECES, max_size=40).map("".join))
def test_any_text_is_accepted_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "poolgate.yaml", tmp_path_factory.getbasetemp(), {})
    assert caught.value.problems
