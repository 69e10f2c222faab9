"""What a service's protocol makes of the settings that all protocols share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from gateway.config.problems import Path
from gateway.config.rules import Queries

Wrong = Iterator[tuple[Path, str]]


def _redis(service: Any) -> Wrong:
    endpoints = service.upstream.endpoints
    if len(endpoints) != 1:
        place = ("upstream", "endpoints", 1)
        yield place, f"mode standalone takes exactly one endpoint, here are {len(endpoints)}"
    if service.rules:
        yield ("rules",), "rules are for MySQL: Redis has none"
    if service.reads != "primary":
        yield ("reads",), "Redis has no endpoints to choose from"
    if service.queries != Queries():
        yield ("queries",), "queries are noted for MySQL only"
    if service.pool.mode != "transaction":
        yield ("pool", "mode"), "Redis knows mode transaction only"
    for index, client in enumerate(service.clients or ()):
        if client.password_hash is not None:
            yield ("clients", index, "password_hash"), "only MySQL clients can be checked by a hash: give a `password`"


def _mysql(service: Any) -> Wrong:
    primaries = [endpoint for endpoint in service.upstream.endpoints if endpoint.role == "primary"]
    if not primaries:
        yield ("upstream", "endpoints"), "no endpoint has the role primary"
    if service.upstream.user is None:
        yield ("upstream",), "MySQL needs a `user`"
    if service.upstream.db:
        yield ("upstream", "db"), "a database number means nothing to MySQL: clients choose their schema"
    routed = [(("rules", at, "route"), rule.route) for at, rule in enumerate(service.rules)]
    for place, role in [(("reads",), service.reads), *routed]:
        if role == "replica" and len(primaries) == len(service.upstream.endpoints):
            yield place, "no endpoint has the role replica"
        if role == "replica" and service.pool.mode == "session":
            yield place, "in pool.mode session a client keeps the primary's connection that it has"


_RULES: Final[dict[str, Callable[[Any], Wrong]]] = {"redis": _redis, "mysql": _mysql}


def unsuited(protocol: str, service: Any) -> Wrong:
    """Settings that this protocol cannot honour, and why."""
    return _RULES[protocol](service)
