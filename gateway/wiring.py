"""From the configuration to what runs. Here the order of governance is read.

1. ``commands``: verbs that nobody may use here
2. ``clients``: what this user may do
3. ``policies``: as the operator ordered them, outermost first
4. ``rules``: the refusal or the policies of the rule that a call follows
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Coroutine
from typing import Any, Final

from gateway.balance import Balance
from gateway.config import model
from gateway.config.rules import QueryRule
from gateway.endpoint import Endpoint
from gateway.governance import Governance
from gateway.mirror import Mirror
from gateway.service import Service
from gateway.target import Target
from gateway.tls import listener_context, load_pair
from policies.access import AccessGovernor, Rights
from policies.forbidden import ForbiddenGovernor
from policies.gate import Governor, matches
from policies.refusal import RefusalGovernor
from protocols.codec import IMPOSSIBLE, RESTRICTED, Protocol
from protocols.fault import DENIED, Fault

Spawn = Callable[[Coroutine[Any, Any, None]], Any]


def build(config: model.Config, spawn: Spawn) -> dict[str, Service]:
    """Everything that serves calls, by the name of the service; nothing is connected yet.

    Raises:
        OSError: a certificate cannot be read.
    """
    services = {name: _service(name, settings, spawn) for name, settings in config.services.items()}
    for name, settings in config.services.items():
        mirrors = services[name].mirrors
        for target in {rule.mirror for rule in settings.rules if rule.mirror}:
            mirrors[target] = Mirror(services[target].protocol, services[target].balance)
    return services


def _service(name: str, settings: model.Service, spawn: Spawn) -> Service:
    protocol = PROTOCOLS[settings.protocol](name, settings)
    targets = _targets(settings.upstream)
    endpoints = [Endpoint(target, protocol, settings.pool, spawn) for target in targets]
    limits = settings.limits
    return Service(
        protocol,
        Balance(endpoints),
        Governance(
            protocol,
            _access(protocol, settings),
            [policy.governor(name) for policy in settings.policies],
            {str(rule.name): _gates(name, rule) for rule in settings.rules},
        ),
        max_clients=limits.max_clients,
        output_buffer=limits.output_buffer,
        slow_client_timeout=limits.slow_client_timeout,
        request_buffer=limits.request_buffer,
        idle_timeout=limits.idle_timeout,
        login_timeout=limits.login_timeout,
    )


# Protocols are imported when asked for: a gateway pays only for those that it speaks.


def _redis(name: str, settings: model.Service) -> Protocol:
    from protocols.redis.protocol import RedisProtocol

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


def _mysql(name: str, settings: model.Service) -> Protocol:
    from protocols.mysql.auth import Account
    from protocols.mysql.protocol import MysqlProtocol
    from protocols.mysql.rules import Match, Rule, Rules
    from protocols.mysql.shared import MAX_LONG_DATA, Options
    from protocols.mysql.verbs import VERBS

    def account(client: model.Client) -> Account:
        if client.password_hash is not None:
            return Account.of_hash(client.user, client.password_hash.reveal())
        assert client.secret is not None
        return Account.of_password(client.user, client.secret.reveal())

    def rule(one: QueryRule) -> Rule:
        chosen, rewrite = one.match, one.rewrite
        match = Match(
            users=chosen.user,
            schemas=chosen.schema,
            digests=chosen.digest,
            pattern=chosen.pattern or "",
            verbs=[verb.name for verb in VERBS if matches(chosen.verbs, verb)] if chosen.verbs else None,
        )
        return Rule(
            str(one.name),
            match,
            route=one.route or "",
            force=one.force,
            pattern=rewrite.pattern if rewrite else "",
            replacement=rewrite.replacement if rewrite else "",
            gated=bool(one.refuse or one.policies),
            mirror=one.mirror or "",
        )

    upstream, pool, limits = settings.upstream, settings.pool, settings.limits
    return MysqlProtocol(
        name,
        accounts=None if settings.clients is None else {c.user: account(c) for c in settings.clients},
        user=upstream.user or "",
        password=upstream.secret.reveal().encode() if upstream.secret else b"",
        tls=upstream.tls is not None,
        secure=all(endpoint.address.path for endpoint in upstream.endpoints),
        options=Options(
            mode=pool.mode,
            replay_user_variables=pool.user_variables == "replay",
            statements=pool.statements,
            request_buffer=limits.request_buffer,
            max_long_data=min(limits.max_value, MAX_LONG_DATA),
            digests=settings.queries.digests,
            slow=settings.queries.slow,
            reads=settings.reads,
            read_after_write=settings.read_after_write,
        ),
        rules=Rules([rule(one) for one in settings.rules]) if settings.rules else None,
    )


# How the protocols of protocols/registry.py are made from a service's settings.
PROTOCOLS: Final[dict[str, Callable[[str, model.Service], Protocol]]] = {"redis": _redis, "mysql": _mysql}


def _gates(service: str, rule: QueryRule) -> list[Governor]:
    """What stands behind the service's own policies for statements that follow the rule."""
    if rule.refuse:
        return [RefusalGovernor(Fault(DENIED, service, f"{rule.refuse} (rule {rule.name})"))]
    return [policy.governor(service) for policy in rule.policies]


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


def _targets(upstream: model.Upstream) -> list[Target]:
    tls = upstream.tls
    context = _tls_context(tls) if tls is not None else None
    targets = []
    for endpoint in upstream.endpoints:
        address = endpoint.address
        name = (tls.server_name if tls is not None else None) or address.host or "localhost"
        targets.append(
            Target(address.host, address.port, address.path, context, name, endpoint.role, endpoint.priority)
        )
    return targets


def _tls_context(tls: model.Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
    context.options |= ssl.OP_NO_RENEGOTIATION
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert and tls.key:
        load_pair(context, tls.cert, tls.key)
    return context


def listener_tls(listener: model.Listener) -> ssl.SSLContext | None:
    """The certificates of a listener; None: it speaks plain text.

    Raises:
        OSError: one cannot be read any more.
    """
    tls = listener.tls
    return listener_context(tls.cert, tls.key, tls.ca) if tls is not None else None
