"""Metrics: what was recorded is what Prometheus reads, under the names of the table."""

from __future__ import annotations

import asyncio
import re
from time import monotonic
from typing import Final

import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import CollectorRegistry

from gateway.metrics import OPENMETRICS, PIECE, TEXT, Exposition, quantile
from gateway.metrics_table import COUNTER, FAMILIES, Scrape, governors, lane_states, lease_states, pins
from policies.circuit_breaker import CircuitBreakerGovernor
from protocols.call import APP_ERROR, CANCELLED, FATAL, OUTCOMES, REFUSED, RETRYABLE
from protocols.histogram import EDGES, Histogram
from runtimes import CONFIG, FakeRuntime, run
from servers import ROOT

RULED: Final = """\
  orders-db:
    protocol: mysql
    listen: 127.0.0.1:3306
    upstream: {endpoints: [127.0.0.1:3307], user: app}
    rules: [{name: slow, match: {verbs: SELECT}, mirror: shadow, policies: [timeout: 1s]}]
  shadow:
    protocol: mysql
    listen: 127.0.0.1:3316
    upstream: {endpoints: [127.0.0.1:3317], user: app}
"""


def scrape_of(runtime: FakeRuntime) -> Scrape:
    return Scrape([(service, "redis") for service in runtime.services.values()], True, monotonic())


async def scraped(runtime: FakeRuntime, accept: str = "") -> dict[str, Metric]:
    text, content_type = await Exposition(lambda: scrape_of(runtime)).text(accept)
    assert content_type == (OPENMETRICS if accept else TEXT)
    families = list((parse_openmetrics if accept else parse_text)(text.decode()))
    assert len({family.name for family in families}) == len(families)
    return {family.name: family for family in families}


def value(families: dict[str, Metric], sample: str, **labels: str) -> float:
    found = [s.value for family in families.values() for s in family.samples if (s.name, s.labels) == (sample, labels)]
    assert len(found) == 1, (sample, labels, found)
    return float(found[0])


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2"])
def test_calls_by_verb_and_outcome(accept: str) -> None:
    async def scenario() -> None:
        runtime = FakeRuntime()
        runtime.record("GET", 0.0002, count=7)
        runtime.record("GET", 0.03, count=2, outcome=APP_ERROR)
        runtime.record("GET", 1.5, outcome=FATAL)
        runtime.record("GET", 20.0, outcome=RETRYABLE)
        runtime.record("GET", 0.0, count=5, outcome=REFUSED)
        runtime.record("GET", 0.5, count=3, outcome=CANCELLED)
        runtime.record("CONFIG GET", 0.001)
        families = await scraped(runtime, accept)
        counts = dict(zip(OUTCOMES, (7, 2, 1, 1, 5, 3), strict=True))
        for outcome, count in counts.items():
            labels = {"service": "cache", "verb": "GET", "effect": "read", "outcome": outcome}
            assert value(families, "poolgate_calls_total", **labels) == count
        duration = "db_client_operation_duration_seconds"
        labels = {"service": "cache", "db_system_name": "redis", "db_operation_name": "GET"}
        assert value(families, f"{duration}_count", **labels) == 11
        assert value(families, f"{duration}_sum", **labels) == pytest.approx(7 * 0.0002 + 2 * 0.03 + 1.5 + 20)
        for edge, count in (("0.0001", 0), ("0.00025", 7), ("0.025", 7), ("0.05", 9), ("2.5", 10), ("+Inf", 11)):
            assert value(families, f"{duration}_bucket", **labels, le=edge) == count
        assert value(families, f"{duration}_count", **labels | {"db_operation_name": "CONFIG GET"}) == 1

    run(scenario())


def test_every_line_belongs_to_the_table_and_has_its_labels() -> None:
    async def scenario() -> None:
        runtime = FakeRuntime(CONFIG + RULED)
        runtime.record("GET", 0.001)
        runtime.connect("open", b"*2\r\n$5\r\nWATCH\r\n$1\r\nk\r\n")
        families = await scraped(runtime)
        for family in FAMILIES:
            found = families.pop(family.name.removesuffix("_total") if family.kind == COUNTER else family.name)
            assert (found.type, found.documentation) == (family.kind, family.meaning)
            assert found.samples
            for sample in found.samples:
                assert set(sample.labels) - {"le"} == set(family.labels)
        assert {name for name in families if not name.startswith("process_")} == set()
        assert families["process_resident_memory_bytes"].samples[0].value > 0
        assert {"process_cpu_seconds", "process_start_time_seconds", "process_open_fds"} <= set(families)

    run(scenario())


def test_text_made_in_pieces_is_the_text_of_whole_families() -> None:
    async def scenario() -> None:
        runtime = FakeRuntime()
        for verb in runtime.services["cache"].protocol.verbs[: 3 * PIECE]:
            runtime.record(verb.name, 0.001)
        exposition = Exposition(lambda: scrape_of(runtime))
        text, _ = await exposition.text("")
        families = {family.name: family for family in parse_text(text.decode())}
        registry = CollectorRegistry()
        registry.register(exposition)
        for whole in registry.collect():
            if not whole.name.startswith("process_") and whole.samples:
                assert families.pop(whole.name) == whole
        assert text.count(b"# TYPE db_client_operation_duration_seconds ") == 1

    run(scenario())


def test_other_work_goes_on_during_a_scrape() -> None:
    async def scenario() -> int:
        runtime = FakeRuntime()
        for verb in runtime.services["cache"].protocol.verbs:
            runtime.record(verb.name, 0.001)
        scraping = asyncio.get_running_loop().create_task(Exposition(lambda: scrape_of(runtime)).text(""))
        turns = 0
        while not scraping.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert run(scenario()) > 50


def test_sessions_and_pins() -> None:
    async def scenario() -> None:
        runtime = FakeRuntime()
        for _ in range(3):
            runtime.connect("open")
        watcher = runtime.connect("open", b"*2\r\n$5\r\nWATCH\r\n$6\r\nsecret\r\n")
        assert pins(runtime.services["open"]) == {"WATCH": 1}
        families = await scraped(runtime)
        assert value(families, "poolgate_sessions", service="open") == 4
        assert value(families, "poolgate_sessions", service="cache") == 0
        assert value(families, "poolgate_sessions_accepted_total", service="open") == 4
        assert value(families, "poolgate_pinned_sessions", service="open", reason="WATCH") == 1
        received = len(b"*2\r\n$5\r\nWATCH\r\n$6\r\nsecret\r\n")
        assert value(families, "poolgate_received_bytes_total", service="open") == received
        watcher.connection_lost(None)
        runtime.services["open"].draining = True
        runtime.connect("open")
        families = await scraped(runtime)
        assert value(families, "poolgate_sessions_turned_away_total", service="open") == 1
        assert "poolgate_pinned_sessions" not in families

    run(scenario())


def test_nothing_that_a_client_says_becomes_a_label() -> None:
    async def scenario() -> str:
        runtime = FakeRuntime()
        secrets = (b"AUTH app s3cret-of-client\r\n", b"CLIENT SETNAME my-name\r\n", b"NONSENSE my-key\r\n")
        runtime.connect("cache", *secrets)
        text, _ = await Exposition(lambda: scrape_of(runtime)).text("")
        return text.decode()

    text = run(scenario())
    assert 'verb="AUTH"' in text
    for word in ('"app"', "s3cret", "my-name", "nonsense", "my-key", "50000"):
        assert word not in text.lower()


def test_connections() -> None:
    async def scenario() -> None:
        runtime = FakeRuntime()
        endpoint = runtime.services["cache"].endpoint
        endpoint.lane(runtime.services["cache"].protocol.base_tag, 0, monotonic())
        runtime.connect("open", b"*2\r\n$5\r\nWATCH\r\n$1\r\nk\r\n")
        assert lane_states(endpoint) == {"connecting": 1, "idle": 0, "used": 0, "retiring": 0}
        assert lease_states(runtime.services["open"].endpoint)["connecting"] == 1
        endpoint.leases.totals.wait_time.record(0.2, 1)
        endpoint.leases.totals.wait_timeouts = 3
        endpoint.lane_create_time.record(0.004, 1)
        endpoint.throttle.failed(0.0, "refused", monotonic())
        families = await scraped(runtime)
        here = {"service": "cache", "endpoint": "127.0.0.1:6390"}
        lane, lease = {**here, "pool": "lane"}, {**here, "pool": "lease"}
        assert value(families, "db_client_connection_count", **lane, state="connecting") == 1
        assert value(families, "db_client_connection_count", **lease, state="used") == 0
        assert value(families, "db_client_connection_max", **lane) == 2
        assert value(families, "db_client_connection_max", **lease) == 8
        assert value(families, "db_client_connection_idle_min", **lease) == 0
        assert value(families, "db_client_connection_timeouts_total", **lease) == 3
        assert value(families, "db_client_connection_wait_time_seconds_sum", **lease) == pytest.approx(0.2)
        assert value(families, "db_client_connection_create_time_seconds_count", **lane) == 1
        assert value(families, "poolgate_connect_failures", **here) == 1
        there = {"service": "open", "endpoint": "unix:/nowhere/redis.sock", "pool": "lease"}
        assert value(families, "db_client_connection_pending_requests", **there) == 1

    run(scenario())


def test_policies() -> None:
    async def scenario() -> None:
        runtime = FakeRuntime()
        named = governors(runtime.services["cache"])
        names = [name for name, _ in named]
        assert names == ["commands", "clients", "rate_limit", "rate_limit_2", "concurrency", "circuit_breaker"]
        by_name = dict(named)
        by_name["rate_limit_2"].refused = 4
        by_name["rate_limit"].shadowed = 2
        families = await scraped(runtime)
        here = {"service": "cache"}
        assert value(families, "poolgate_policy_refused_total", **here, policy="rate_limit_2") == 4
        assert value(families, "poolgate_policy_refused_total", **here, policy="rate_limit") == 0
        assert value(families, "poolgate_policy_shadowed_total", **here, policy="rate_limit") == 2
        assert value(families, "poolgate_policy_value", **here, policy="concurrency", name="max") == 512
        circuit = {**here, "policy": "circuit_breaker"}
        assert isinstance(by_name["circuit_breaker"], CircuitBreakerGovernor)
        states = {s: value(families, "poolgate_circuit_breaker_state", **circuit, state=s) for s in ("closed", "open")}
        assert states == {"closed": 1, "open": 0}
        assert value(families, "poolgate_ready") == 1

    run(scenario())


def test_the_documentation_has_the_same_table() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \| (\w+) \|([^|]*)\| (.*) \|$", text, re.MULTILINE)
    documented = {name: (kind, tuple(re.findall(r"`([a-z_]+)`", labels))) for name, kind, labels, _ in rows}
    assert documented == {family.name: (family.kind, family.labels) for family in FAMILIES}


def recorded(*values: float) -> Histogram:
    histogram = Histogram()
    for each in values:
        histogram.record(each, 1)
    return histogram


def test_quantiles() -> None:
    assert quantile(Histogram(), 0.5) is None
    assert quantile(recorded(0.00002), 1.0) == EDGES[0]
    assert quantile(recorded(0.00002), 0.5) == pytest.approx(EDGES[0] / 2)
    two = recorded(0.0002, 0.0002, 0.03, 0.03)
    assert quantile(two, 0.5) == pytest.approx(0.00025)
    assert quantile(two, 0.75) == pytest.approx(0.0375)
    assert quantile(two, 0.99) == pytest.approx(0.0495)
    assert quantile(recorded(11.0, 12.0), 0.5) == EDGES[-1]
    assert quantile(recorded(0.0001, 99.0), 0.99) == EDGES[-1]


def test_quantiles_are_within_a_bucket_of_the_truth() -> None:
    values = sorted(0.0001 * 1.07**i for i in range(150))
    histogram = recorded(*values)
    for share in (0.1, 0.5, 0.9, 0.99):
        truth = values[int(share * len(values)) - 1]
        found = quantile(histogram, share)
        assert found is not None
        assert truth / 2.6 <= found <= truth * 2.6
