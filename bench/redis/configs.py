"""The configuration that each proxy is given. Read the README for why each line that is not a default is there."""

from __future__ import annotations

from typing import Any

from bench.peer import Address
from bench.poolgate import BACKLOG, config
from bench.process import LOOPBACK
from bench.redis.stage import CLIENT_PASSWORD
from bench.redis.stage import RedisStage as Stage

BATCH_DELAY = "0.001s"
# Envoy's own batching, where something can be in flight to be batched: the size that did best here of 64 to 16,384.
ENVOY_BATCH = {"c50": 64, "unix": 64, "v10k": 64, "p16": 4096, "c1000": 4096}
Config = dict[str, Any]


def nutcracker(stage: Stage, listen: Address) -> Config:
    """One pool, one connection to one server, made at the start."""
    pool: Config = {
        "listen": f"{listen} 0666" if isinstance(listen, str) else f"{listen[0]}:{listen[1]}",
        "redis": True,
        "hash": "fnv1a_64",
        "distribution": "ketama",
        "preconnect": True,
        "server_connections": 1,
        "backlog": BACKLOG,
        "servers": [f"{LOOPBACK}:{stage.upstream_port}:1 redis"],
    }
    if stage.password is not None:
        pool["redis_auth"] = stage.password  # it asks its clients for the same password
    return {"bench": pool}


def poolgate(stage: Stage, listen: Address, admin: int, *, governed: bool) -> Config:
    """One service; governed, it has client authentication and every policy as well."""
    upstream: Config = {"endpoints": [f"{LOOPBACK}:{stage.upstream_port}"]}
    if stage.password is not None:
        upstream["password"] = stage.password
    if stage.workload.upstream == "tls":
        upstream["tls"] = {"ca": str(stage.ca)}
    service: Config = {"protocol": "redis", "upstream": upstream, "pool": {"lanes": 2}}
    if governed or stage.password is not None:
        service["clients"] = [{"user": "default", "password": CLIENT_PASSWORD}]
    return config("cache", service, listen, admin, governed=governed)


def envoy(stage: Stage, listen: Address, admin: int, *, batching: bool) -> Config:
    """The redis_proxy filter before a static cluster of one."""
    return {
        "admin": {"address": _socket((LOOPBACK, admin))},
        "static_resources": {
            "listeners": [_envoy_listener(stage, listen, batching=batching)],
            "clusters": [_envoy_cluster(stage)],
        },
    }


def _envoy_listener(stage: Stage, listen: Address, *, batching: bool) -> Config:
    settings: Config = {"op_timeout": "5s", "max_buffer_size_before_flush": 0}
    if batching:
        settings |= {
            "max_buffer_size_before_flush": ENVOY_BATCH[stage.workload.name],
            "buffer_flush_timeout": BATCH_DELAY,
        }
    proxy: Config = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy",
        "stat_prefix": "bench",
        "settings": settings,
        "prefix_routes": {"catch_all_route": {"cluster": "redis"}},
    }
    if stage.password is not None:
        proxy["downstream_auth_passwords"] = [{"inline_string": CLIENT_PASSWORD}]
    return {
        "name": "redis",
        "address": _socket(listen),
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.redis_proxy", "typed_config": proxy}]}],
    }


def _envoy_cluster(stage: Stage) -> Config:
    address = {"endpoint": {"address": _socket((LOOPBACK, stage.upstream_port))}}
    cluster: Config = {
        "name": "redis",
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "MAGLEV",
        "load_assignment": {"cluster_name": "redis", "endpoints": [{"lb_endpoints": [address]}]},
    }
    if stage.password is not None:
        options = "type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProtocolOptions"
        cluster["typed_extension_protocol_options"] = {
            "envoy.filters.network.redis_proxy": {
                "@type": options,
                "auth_password": {"inline_string": stage.password},
            }
        }
    if stage.workload.upstream == "tls":
        context = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
        trusted = {"validation_context": {"trusted_ca": {"filename": str(stage.ca)}}}
        cluster["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {"@type": context, "common_tls_context": trusted},
        }
    return cluster


def _socket(address: Address) -> Config:
    if isinstance(address, str):
        return {"pipe": {"path": address}}
    return {"socket_address": {"address": address[0], "port_value": address[1]}}
