"""What the admin address shows and does: every path, and what stands behind it. The table is at the end."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import Any, Final, Protocol, TypeAlias, final

import gateway.service
from gateway import logs
from gateway.config import Config, dump
from gateway.endpoint import Endpoint
from gateway.metrics import Exposition, quantile
from gateway.metrics_table import Scrape, build, governors, pins
from gateway.service import Service
from protocols.call import OUTCOMES
from protocols.codec import QUERY_ORDERS
from protocols.histogram import Histogram

PLAIN: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
READY: Final = "ready"  # the state in which a worker serves everyone
MAX_SESSIONS: Final = 1000  # that /sessions lists unless asked for another number
TOP_QUERIES: Final = 20  # the same of /stats/queries, for each service
MAX_QUERIES: Final = 1000


class Runtime(Protocol):
    """What the admin has to know of the worker."""

    @property
    def config(self) -> Config:
        """What is running."""

    @property
    def config_path(self) -> str:
        """The file it came from."""

    @property
    def services(self) -> Mapping[str, Service]:
        """By the name of their service."""

    @property
    def state(self) -> str:
        """starting, ready or draining."""

    @property
    def started(self) -> float:
        """When, on the monotonic clock."""

    @property
    def listening(self) -> Sequence[tuple[str, str]]:
        """Service and address."""

    def drain(self) -> None:
        """Stop accepting, finish what is under way, exit."""

    def quit(self) -> None:
        """Exit now."""


@final
@dataclass(frozen=True, slots=True)
class Request:
    """One request, as far as a view may care."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case


@final
@dataclass(frozen=True, slots=True)
class Response:
    """One answer. ``afterwards`` happens when the client has it; the connection closes then."""

    status: int
    body: bytes
    content_type: str = PLAIN
    headers: tuple[tuple[str, str], ...] = ()
    afterwards: Callable[[], None] | None = None


def plain(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """Text for a person."""
    return Response(status, f"{text}\n".encode(), headers=headers)


def _json(value: object) -> Response:
    return Response(200, json.dumps(value, indent=2, default=str).encode() + b"\n", JSON)


@final
class Views:
    """The views of one worker."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime: Final = runtime
        self.address: str = ""  # of the admin itself
        self.exposition: Final = Exposition(self._scrape)

    def _scrape(self) -> Scrape:
        runtime = self.runtime
        services = [(service, self.system(name)) for name, service in runtime.services.items()]
        return Scrape(services, runtime.state == READY, monotonic())

    def system(self, name: str) -> str:
        """The protocol of a service; "" for one that left the configuration and still drains."""
        service = self.runtime.config.services.get(name)
        return service.protocol if service is not None else ""

    # What is asked by machines

    async def index(self, request: Request) -> Response:
        """All paths."""
        return plain(200, listing())

    async def ready(self, request: Request) -> Response:
        """Whether to send clients here."""
        runtime = self.runtime
        if runtime.state == READY:
            return plain(200, "ready")
        untried = [name for name, service in runtime.services.items() if not service.is_tried()]
        if runtime.state != "starting" or not untried:
            return plain(503, runtime.state)
        return plain(503, f"{runtime.state}: the first connect is still under way of {', '.join(untried)}")

    async def healthz(self, request: Request) -> Response:
        """That there is an answer is the answer."""
        return plain(200, "ok")

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        text, content_type = await self.exposition.text(request.headers.get("accept", ""))
        return Response(200, text, content_type)

    # What is asked by people

    async def stats(self, request: Request) -> Response:
        """Calls, bytes, sessions and policies of every service."""
        now = monotonic()
        services = {name: self._stats(name, service, now) for name, service in self.runtime.services.items()}
        return _json({"state": self.runtime.state, "uptime": self._uptime(now), "services": services})

    def _stats(self, name: str, service: Service, now: float) -> dict[str, Any]:
        meter = service.meter
        policies = [{"policy": policy, **governor.stats(now)} for policy, governor in governors(service)]
        refused: Counter[str] = Counter()
        for endpoint in service.balance.endpoints:
            refused.update(endpoint.leases.totals.refused)
        return {
            "protocol": self.system(name),
            "sessions": {
                "open": len(service.sessions),
                "max": service.max_clients,
                "accepted": service.accepted,
                "turned_away": service.turned_away,
                "pinned": dict(pins(service)),
            },
            "bytes": {"received": meter.received, "sent": meter.sent},
            "calls": _calls(service),
            "refusals": {
                "by_policy": {entry["policy"]: entry["refused"] for entry in policies if entry["refused"]},
                "by_pool": {reason: count for reason, count in refused.items() if count},
            },
            "policies": policies,
            "rules": _rules(service, now),
            "mirrors": {target: mirror.stats() for target, mirror in service.mirrors.items()},
            **service.protocol.stats(now),
        }

    async def queries(self, request: Request) -> Response:
        """What was executed, by digest: the top of each service."""
        chosen = self._chosen(request)
        if isinstance(chosen, Response):
            return chosen
        top = request.query.get("top", str(TOP_QUERIES))
        if not top.isascii() or not top.isdigit() or len(top) > 9:
            return plain(400, "top has to be a whole number")
        by = request.query.get("by", QUERY_ORDERS[0])
        if by not in QUERY_ORDERS:
            return plain(400, f"say by= one of {', '.join(QUERY_ORDERS)}")
        limit, now = min(int(top), MAX_QUERIES), monotonic()
        return _json({one.name: [_query(facts) for facts in one.protocol.queries(by, limit, now)] for one in chosen})

    async def clusters(self, request: Request) -> Response:
        """Endpoints, their lanes and leases."""
        now = monotonic()
        return _json(
            {
                name: {
                    "protocol": self.system(name),
                    "endpoints": [_endpoint(one, now) for one in service.balance.endpoints],
                }
                for name, service in self.runtime.services.items()
            }
        )

    async def sessions(self, request: Request) -> Response:
        """Who is connected, what each holds and why."""
        chosen = self._chosen(request)
        if isinstance(chosen, Response):
            return chosen
        limit = request.query.get("limit", str(MAX_SESSIONS))
        if not limit.isascii() or not limit.isdigit() or len(limit) > 9:
            return plain(400, "limit has to be a whole number")
        total = sum(len(service.sessions) for service in chosen)
        shown = list(islice(_sessions(chosen, monotonic()), int(limit)))
        return _json({"total": total, "shown": len(shown), "sessions": shown})

    def _chosen(self, request: Request) -> list[Service] | Response:
        """The service that is asked for, or all of them."""
        services = self.runtime.services
        wanted = request.query.get("service")
        if wanted is not None and wanted not in services:
            return plain(404, f"there is no such service; there are: {', '.join(services)}")
        return [services[wanted]] if wanted is not None else list(services.values())

    async def config_dump(self, request: Request) -> Response:
        """The configuration in effect, without secrets."""
        return _json(dump(self.runtime.config))

    async def server_info(self, request: Request) -> Response:
        """What is running here."""
        runtime = self.runtime
        version, form = build()
        return _json(
            {
                "version": version,
                "form": form,
                "service": gateway.service.__file__,
                "python": platform.python_version(),
                "pid": os.getpid(),
                "state": runtime.state,
                "uptime": self._uptime(monotonic()),
                "config": runtime.config_path,
                "admin": self.address,
                "listeners": [{"service": service, "address": address} for service, address in runtime.listening],
            }
        )

    def _uptime(self, now: float) -> float:
        return round(now - self.runtime.started, 3)

    # What changes something

    async def reset_queries(self, request: Request) -> Response:
        """Begin anew with /stats/queries."""
        chosen = self._chosen(request)
        if isinstance(chosen, Response):
            return chosen
        for service in chosen:
            service.protocol.forget_queries()
        return plain(200, "reset")

    async def drain(self, request: Request) -> Response:
        """As SIGTERM."""
        self.runtime.drain()
        return plain(200, "draining")

    async def quit(self, request: Request) -> Response:
        """Stop without waiting, but for this answer."""
        return Response(200, b"quitting\n", afterwards=self.runtime.quit)

    async def logging(self, request: Request) -> Response:
        """Change the log's level until the next start or reload."""
        level = request.query.get("level", "")
        if level not in logs.LEVELS:
            return plain(400, f"say /logging?level= one of {', '.join(logs.LEVELS)}")
        logs.set_level(level)
        return plain(200, f"level {level}")


def _calls(service: Service) -> dict[str, Any]:
    """By verb, the most used first, and all together; latencies are of those that got a reply."""
    total = dict.fromkeys(OUTCOMES, 0)
    duration = Histogram()
    verbs: dict[str, dict[str, Any]] = {}
    for meter in sorted(service.meter.used(), key=lambda meter: -sum(meter.outcomes().values())):
        outcomes = meter.outcomes()
        for outcome, count in outcomes.items():
            total[outcome] += count
        for bucket, count in enumerate(meter.duration.counts):
            duration.counts[bucket] += count
        duration.total += meter.duration.total
        verbs[meter.verb.name] = {"effect": meter.verb.effect, **outcomes, "latency_ms": _latency(meter.duration)}
    return {**total, "latency_ms": _latency(duration), "by_verb": verbs}


def _rules(service: Service, now: float) -> list[dict[str, Any]]:
    """How often each rule was followed, what it refused, and the live state of its policies."""
    found = []
    for name, hits in service.protocol.rule_hits():
        policies = [{"policy": governor.name, **governor.stats(now)} for governor in service.governance.rules[name]]
        refused = sum(policy["refused"] for policy in policies)
        found.append({"name": name, "hits": hits, "refused": refused, "policies": policies})
    return found


def _query(facts: dict[str, Any]) -> dict[str, Any]:
    latency = facts.pop("latency")
    return {**facts, "latency_ms": _latency(latency)}


def _latency(duration: Histogram) -> dict[str, float | None]:
    shares = {name: quantile(duration, share) for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))}
    count = duration.count()
    shares["mean"] = duration.total / count if count else None
    return {name: None if seconds is None else round(seconds * 1000, 3) for name, seconds in shares.items()}


def _endpoint(endpoint: Endpoint, now: float) -> dict[str, Any]:
    works = "up" if endpoint.tried.is_set() else "connecting"
    return {"state": "down" if endpoint.throttle.failures else works, **endpoint.stats(now)}


def _sessions(services: Sequence[Service], now: float) -> Iterator[dict[str, Any]]:
    for service in services:
        for facts in service.facts(now):
            yield {"service": service.name, **facts}


# The table of paths.

View: TypeAlias = Callable[[Views, Request], Awaitable[Response]]
READS: Final = ("GET", "HEAD")
CHANGES: Final = ("POST",)


@final
@dataclass(frozen=True, slots=True)
class Route:
    """One path: how it may be asked for, what answers, and a line about it."""

    methods: tuple[str, ...]
    view: View
    meaning: str


ROUTES: Final[dict[str, Route]] = {
    "/": Route(READS, Views.index, "this list"),
    "/ready": Route(READS, Views.ready, "200 when clients are welcome, else 503 and why not"),
    "/healthz": Route(READS, Views.healthz, "200 while the process is alive"),
    "/metrics": Route(READS, Views.metrics, "for Prometheus"),
    "/stats": Route(READS, Views.stats, "calls, latencies, bytes, sessions and policies by service"),
    "/stats/queries": Route(
        READS, Views.queries, f"what was executed, by digest; ?service=, ?top=, ?by={'|'.join(QUERY_ORDERS)}"
    ),
    "/clusters": Route(READS, Views.clusters, "upstream endpoints, their lanes and leases"),
    "/sessions": Route(READS, Views.sessions, "who is connected and what each holds; ?service=, ?limit="),
    "/config_dump": Route(READS, Views.config_dump, "the configuration in effect, secrets hidden"),
    "/server_info": Route(READS, Views.server_info, "version, form, pid, uptime, listeners"),
    "/stats/queries/reset": Route(CHANGES, Views.reset_queries, "forget what was executed; ?service="),
    "/drain": Route(CHANGES, Views.drain, "stop accepting, finish what is under way, exit"),
    "/quitquitquit": Route(CHANGES, Views.quit, "exit now"),
    "/logging": Route(CHANGES, Views.logging, "change the log level; ?level=debug"),
}


def listing() -> str:
    """The paths, for people who are looking for one."""
    return "\n".join(f"{route.methods[0]:4} {path:20} {route.meaning}" for path, route in ROUTES.items())
