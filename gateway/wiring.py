"""From the configuration to what runs. Here the order of governance is read.

1. ``commands``: verbs that nobody may use here
2. ``clients``: what this user may do
3. ``policies``: as the operator ordered them, outermost first
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Coroutine
from typing import Any, Final

from gateway.config import model
from gateway.endpoint import Endpoint
from gateway.governance import Governance
from gateway.service import Service
from gateway.target import Target
from policies.access import AccessGovernor, Rights
from policies.forbidden import ForbiddenGovernor
from policies.gate import Governor
from protocols.codec import IMPOSSIBLE, RESTRICTED, Protocol
from protocols.redis.protocol import RedisProtocol

Spawn = Callable[[Coroutine[Any, Any, None]], Any]


def build(config: model.Config, spawn: Spawn) -> dict[str, Service]:
    """Everything that serves calls, by the name of the service; nothing is connected yet.

    Raises:
        OSError: a certificate cannot be read.
    """
    return {name: _service(name, settings, spawn) for name, settings in config.services.items()}


def _service(name: str, settings: model.Service, spawn: Spawn) -> Service:
    protocol = PROTOCOLS[settings.protocol](name, settings)
    endpoint = Endpoint(_target(settings.upstream), protocol, settings.pool, spawn)
    limits = settings.limits
    service = Service(
        protocol,
        endpoint,
        Governance(protocol, _access(protocol, settings), [policy.governor(name) for policy in settings.policies]),
        max_clients=limits.max_clients,
        output_buffer=limits.output_buffer,
        slow_client_timeout=limits.slow_client_timeout,
        request_buffer=limits.request_buffer,
        idle_timeout=limits.idle_timeout,
    )
    protocol.attach(service.disconnect, service.unblock)
    return service


def _redis(name: str, settings: model.Service) -> Protocol:
    upstream, limits = settings.upstream, settings.limits
    clients = settings.clients
    return RedisProtocol(
        name,
        users=None if clients is None else {c.user: c.secret.reveal() for c in clients if c.secret},
        user=upstream.user or "",
        password=upstream.secret.reveal() if upstream.secret else "",
        db=upstream.db,
        request_buffer=limits.request_buffer,
        max_value=limits.max_value,
    )


# How the protocols of protocols/registry.py are made from a service's settings.
PROTOCOLS: Final[dict[str, Callable[[str, model.Service], Protocol]]] = {"redis": _redis}


def _access(protocol: Protocol, settings: model.Service) -> list[Governor]:
    governors: list[Governor] = [ForbiddenGovernor(protocol.service, _forbidden(protocol, settings))]
    if settings.clients is not None:
        rights = {client.user: Rights(client.allow, client.deny) for client in settings.clients}
        governors.append(AccessGovernor(protocol.service, rights))
    return governors


def _forbidden(protocol: Protocol, settings: model.Service) -> dict[str, str]:
    """What a client is told of each verb that is refused here, by the verb's name."""
    commands = settings.commands
    allowed = {word.upper() for word in commands.allow}
    refused = {word.upper() for word in commands.refuse}
    details: dict[str, str] = {}
    for verb in protocol.verbs:
        container = verb.name.partition(" ")[0]
        standing = protocol.standing(verb)
        if standing == IMPOSSIBLE:
            details[verb.name] = f"{verb.name} is not possible through the gateway"
        elif verb.name in refused or container in refused:
            details[verb.name] = f"{verb.name} is refused here (commands.refuse)"
        elif standing == RESTRICTED and verb.name not in allowed and container not in allowed:
            details[verb.name] = f"{verb.name} is refused unless commands.allow lists it"
    if commands.unknown == "refuse":
        details[protocol.verbs[0].name] = "commands that the gateway does not know are refused here (commands.unknown)"
    return details


def _target(upstream: model.Upstream) -> Target:
    address = upstream.endpoints[0].address
    tls = upstream.tls
    context = _tls_context(tls) if tls is not None else None
    server_name = (tls.server_name if tls is not None else None) or address.host or "localhost"
    return Target(address.host, address.port, address.path, context, server_name)


def _tls_context(tls: model.Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert and tls.key:
        context.load_cert_chain(str(tls.cert), str(tls.key))
    return context
