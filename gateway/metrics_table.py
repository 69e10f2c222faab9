"""The table of metrics, FAMILIES: their names, what they mean, and which plain integers they are.

Names are OpenTelemetry's where it has one, dots as underscores. Labels come from the configuration and from
protocol tables, never from clients: keys, client names and unknown commands make no series.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final, TypeAlias, final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

import gateway.service
from gateway.endpoint import Endpoint
from gateway.service import Service
from gateway.upstream import CLOSED, OPEN, OPENING
from policies.circuit_breaker import STATES, CircuitBreakerGovernor
from policies.gate import Governor
from protocols.histogram import Histogram

LANE: Final = "lane"
LEASE: Final = "lease"


@final
@dataclass(frozen=True, slots=True)
class Scrape:
    """What there is to tell: services with the word of their protocol, and whether the worker is ready."""

    services: Sequence[tuple[Service, str]]
    ready: bool
    now: float  # monotonic


Row: TypeAlias = tuple[tuple[str, ...], float | Histogram]
AnyFamily: TypeAlias = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
# Rows are produced between other work: they walk over nothing that changes while they wait.
Rows: TypeAlias = Callable[[Scrape], Iterable[Row]]


@cache
def build() -> tuple[str, str]:
    """Version and form: compiled or interpreted."""
    form = "interpreted" if gateway.service.__file__.endswith(".py") else "compiled"
    try:
        return version("poolgate"), form
    except PackageNotFoundError:  # run from a checkout
        return "unknown", form


def governors(service: Service) -> list[tuple[str, Governor]]:
    """Governors by name, outermost first; the second of a name has its number behind it."""
    named: Counter[str] = Counter()
    found = []
    for governor in [*service.governance.access, *service.governance.policies]:
        named[governor.name] += 1
        count = named[governor.name]
        found.append((governor.name if count == 1 else f"{governor.name}_{count}", governor))
    return found


def lane_states(endpoint: Endpoint) -> dict[str, int]:
    """Lanes by state, in OpenTelemetry's words where it has one."""
    lanes = [lane for group in endpoint.lanes.values() for lane in group if lane is not None and lane.state <= OPEN]
    connecting = sum(lane.state == OPENING for lane in lanes)
    used = sum(lane.state == OPEN and lane.in_flight > 0 for lane in lanes)
    retiring = sum(lane.state != CLOSED for lane in endpoint.retiring)
    return {"connecting": connecting, "idle": len(lanes) - connecting - used, "used": used, "retiring": retiring}


def lease_states(endpoint: Endpoint) -> dict[str, int]:
    """Leases by state, in the same words."""
    counts = endpoint.leases.slots.counts()
    return {
        "connecting": counts["connecting"],
        "idle": counts["idle"],
        "used": counts["leased"],
        "cleaning": counts["cleaning"],
    }


def pins(service: Service) -> Counter[str]:
    """Sessions that hold, or wait for, a connection of their own, by the reason."""
    return Counter(session.codec.pin for session in service.sessions.values() if session.codec.pin is not None)


# The rows of each family.


def _by_service(read: Callable[[Service], float]) -> Rows:
    def rows(scrape: Scrape) -> Iterator[Row]:
        for service, _ in scrape.services:
            yield (service.name,), read(service)

    return rows


def _durations(scrape: Scrape) -> Iterator[Row]:
    for service, system in scrape.services:
        for meter in service.meter.used():
            yield (service.name, system, meter.verb.name), meter.duration


def _calls(scrape: Scrape) -> Iterator[Row]:
    for service, _ in scrape.services:
        for meter in service.meter.used():
            for outcome, count in meter.outcomes().items():
                yield (service.name, meter.verb.name, meter.verb.effect, outcome), count


def _pinned(scrape: Scrape) -> Iterator[Row]:
    for service, _ in scrape.services:
        for reason, count in pins(service).items():
            yield (service.name, reason), count


def _states(scrape: Scrape) -> Iterator[Row]:
    for service, _ in scrape.services:
        for endpoint in service.balance.endpoints:
            for pool, states in ((LANE, lane_states(endpoint)), (LEASE, lease_states(endpoint))):
                for state, count in states.items():
                    yield (service.name, endpoint.name, pool, state), count


def _by_pool(
    lane: Callable[[Service, Endpoint], float | Histogram] | None = None,
    lease: Callable[[Service, Endpoint], float | Histogram] | None = None,
) -> Rows:
    def rows(scrape: Scrape) -> Iterator[Row]:
        for service, _ in scrape.services:
            for endpoint in service.balance.endpoints:
                for pool, read in ((LANE, lane), (LEASE, lease)):
                    if read is not None:
                        yield (service.name, endpoint.name, pool), read(service, endpoint)

    return rows


def _failures(scrape: Scrape) -> Iterator[Row]:
    for service, _ in scrape.services:
        for endpoint in service.balance.endpoints:
            yield (service.name, endpoint.name), endpoint.throttle.failures


def _by_policy(read: Callable[[Governor], float]) -> Rows:
    def rows(scrape: Scrape) -> Iterator[Row]:
        for service, _ in scrape.services:
            for name, governor in governors(service):
                yield (service.name, name), read(governor)

    return rows


def _policy_values(scrape: Scrape) -> Iterator[Row]:
    """The plain numbers only: nested values are by client, and belong to /stats."""
    for service, _ in scrape.services:
        for name, governor in governors(service):
            for key, value in governor.stats(scrape.now).items():
                if isinstance(value, int | float) and key not in ("refused", "shadowed"):
                    yield (service.name, name, key), value


def _circuits(scrape: Scrape) -> Iterator[Row]:
    for service, _ in scrape.services:
        for name, governor in governors(service):
            if isinstance(governor, CircuitBreakerGovernor):
                now_in = governor.stats(scrape.now)["state"]
                for state in STATES:
                    yield (service.name, name, state), state == now_in


def _rule_hits(scrape: Scrape) -> Iterator[Row]:
    for service, _ in scrape.services:
        for rule, hits in service.protocol.rule_hits():
            yield (service.name, rule), hits


def _rule_refused(scrape: Scrape) -> Iterator[Row]:
    for service, _ in scrape.services:
        for rule, governed in service.governance.rules.items():
            yield (service.name, rule), sum(int(governor.refused) for governor in governed)


def _mirrored(scrape: Scrape) -> Iterator[Row]:
    for service, _ in scrape.services:
        for target, mirror in service.mirrors.items():
            for outcome, count in mirror.stats().items():
                yield (service.name, target, outcome), count


def _ready(scrape: Scrape) -> Iterator[Row]:
    yield (), scrape.ready


def _build_info(scrape: Scrape) -> Iterator[Row]:
    yield build(), 1


def _waiting_for_lanes(service: Service, endpoint: Endpoint) -> int:
    lanes = [session.parked_for for session in service.sessions.values()]
    return sum(lane is not None and lane.keeper is endpoint for lane in lanes)


def _lanes_wanted(service: Service, endpoint: Endpoint) -> int:
    return endpoint.settings.lanes * max(1, len(endpoint.lanes)) if service.protocol.has_lanes else len(endpoint.lanes)


# The table of names.


@final
@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name, what it is, and where its rows come from."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    rows: Rows

    def metric(self) -> AnyFamily:
        """The family, still without samples."""
        return _KINDS[self.kind](self.name, self.meaning, labels=self.labels)


COUNTER: Final = "counter"
GAUGE: Final = "gauge"
HISTOGRAM: Final = "histogram"
_KINDS: Final[dict[str, type[AnyFamily]]] = {
    COUNTER: CounterMetricFamily,
    GAUGE: GaugeMetricFamily,
    HISTOGRAM: HistogramMetricFamily,
}

_SERVICE: Final = ("service",)
_ENDPOINT: Final = ("service", "endpoint")
_POOL: Final = ("service", "endpoint", "pool")
_POLICY: Final = ("service", "policy")
_RULE: Final = ("service", "rule")

FAMILIES: Final[tuple[Family, ...]] = (
    Family(
        "db_client_operation_duration_seconds", HISTOGRAM, ("service", "db_system_name", "db_operation_name"),
        "From taking up a command to the end of its reply; refused and cancelled commands are not in it", _durations,
    ),
    Family(
        "poolgate_calls_total", COUNTER, ("service", "verb", "effect", "outcome"),
        "Commands by how they ended", _calls,
    ),
    Family(
        "poolgate_received_bytes_total", COUNTER, _SERVICE,
        "Bytes from clients", _by_service(lambda e: int(e.meter.received)),
    ),
    Family(
        "poolgate_sent_bytes_total", COUNTER, _SERVICE,
        "Bytes to clients", _by_service(lambda e: int(e.meter.sent)),
    ),
    Family(
        "poolgate_sessions", GAUGE, _SERVICE,
        "Clients connected", _by_service(lambda e: len(e.sessions)),
    ),
    Family(
        "poolgate_sessions_max", GAUGE, _SERVICE,
        "Clients that may be connected (limits.max_clients)", _by_service(lambda e: e.max_clients),
    ),
    Family(
        "poolgate_sessions_accepted_total", COUNTER, _SERVICE,
        "Clients that were let in", _by_service(lambda e: e.accepted),
    ),
    Family(
        "poolgate_sessions_turned_away_total", COUNTER, _SERVICE,
        "Clients that were one too many, or came while draining", _by_service(lambda e: e.turned_away),
    ),
    Family(
        "poolgate_pinned_sessions", GAUGE, ("service", "reason"),
        "Clients that need a connection of their own, by the reason", _pinned,
    ),
    Family(
        "db_client_connection_count", GAUGE, (*_POOL, "state"),
        "Upstream connections by state", _states,
    ),
    Family(
        "db_client_connection_max", GAUGE, _POOL,
        "Upstream connections that may be open (a lane: for the connection states now in use)",
        _by_pool(_lanes_wanted, lambda _, e: e.settings.max_connections),
    ),
    Family(
        "db_client_connection_idle_min", GAUGE, _POOL,
        "Leases that are kept open while nobody needs them",
        _by_pool(lease=lambda _, e: e.settings.min_idle),
    ),
    Family(
        "db_client_connection_pending_requests", GAUGE, _POOL,
        "Clients that wait for a lease, or for room on a lane",
        _by_pool(_waiting_for_lanes, lambda _, e: e.leases.waiting()),
    ),
    Family(
        "db_client_connection_timeouts_total", COUNTER, _POOL,
        "Clients that waited longer than wait_timeout",
        _by_pool(lease=lambda _, e: e.leases.totals.wait_timeouts),
    ),
    Family(
        "db_client_connection_create_time_seconds", HISTOGRAM, _POOL,
        "Connecting and logging in",
        _by_pool(lambda _, e: e.lane_create_time, lambda _, e: e.leases.totals.create_time),
    ),
    Family(
        "db_client_connection_wait_time_seconds", HISTOGRAM, _POOL,
        "Waiting for a lease that was granted in the end",
        _by_pool(lease=lambda _, e: e.leases.totals.wait_time),
    ),
    Family(
        "db_client_connection_use_time_seconds", HISTOGRAM, _POOL,
        "Holding a lease", _by_pool(lease=lambda _, e: e.leases.totals.use_time),
    ),
    Family(
        "poolgate_connections_opened_total", COUNTER, _POOL,
        "Upstream connections that were opened",
        _by_pool(lambda _, e: e.lanes_opened, lambda _, e: e.leases.totals.opened),
    ),
    Family(
        "poolgate_connections_failed_total", COUNTER, _POOL,
        "Upstream connections that could not be opened",
        _by_pool(lambda _, e: e.lanes_failed, lambda _, e: e.leases.totals.failed),
    ),
    Family(
        "poolgate_connections_lost_total", COUNTER, _POOL,
        "Open upstream connections that ended although the pool had not meant them to",
        _by_pool(lambda _, e: e.lanes_lost, lambda _, e: e.leases.totals.lost),
    ),
    Family(
        "poolgate_connect_failures", GAUGE, _ENDPOINT,
        "Connects that failed in a row; 0: the last one succeeded", _failures,
    ),
    Family(
        "poolgate_policy_refused_total", COUNTER, _POLICY,
        "Commands that a policy refused", _by_policy(lambda g: int(g.refused)),
    ),
    Family(
        "poolgate_policy_shadowed_total", COUNTER, _POLICY,
        "Commands that a policy would have refused, were it enforced", _by_policy(lambda g: int(g.shadowed)),
    ),
    Family(
        "poolgate_policy_value", GAUGE, (*_POLICY, "name"),
        "Any other number in a policy's live state, named as in /stats", _policy_values,
    ),
    Family(
        "poolgate_circuit_breaker_state", GAUGE, (*_POLICY, "state"),
        "1 for the state that the circuit is in, 0 for the others", _circuits,
    ),
    Family(
        "poolgate_rule_hits_total", COUNTER, _RULE,
        "Commands that followed a query rule", _rule_hits,
    ),
    Family(
        "poolgate_rule_refused_total", COUNTER, _RULE,
        "Commands that a query rule, or a policy of it, refused", _rule_refused,
    ),
    Family(
        "poolgate_mirrored_total", COUNTER, ("service", "target", "outcome"),
        "Copies of commands for another service: mirrored, failed (an error, or no reply), dropped (too many)",
        _mirrored,
    ),
    Family(
        "poolgate_ready", GAUGE, (),
        "1 while /ready answers 200", _ready,
    ),
    Family(
        "poolgate_build_info", GAUGE, ("version", "form"),
        "Always 1; form is compiled or interpreted", _build_info,
    ),
)  # fmt: skip
