"""What was promised of Redis."""

from __future__ import annotations

from bench.targets import Promise

ENVOYS = ("envoy", "envoy-batching")  # compared with whichever of them did better


def _pair(workload: str, figure: str, sign: str, bound: float, against: tuple[str, ...], text: str) -> list[Promise]:
    return [Promise(f"{text}, {test}", workload, test, figure, sign, bound, against) for test in ("GET", "SET")]


TARGETS = (
    *_pair("c50", "cpu_us", "<=", 0.85, ENVOYS, "CPU per request without pipeline, to Envoy"),
    *_pair("c50", "cpu_us", "<=", 1.05, ("nutcracker",), "CPU per request without pipeline, to nutcracker"),
    *_pair("p16", "cpu_us", "<=", 0.3, ENVOYS, "CPU per request at pipeline 16, to Envoy"),
    *_pair("p16", "rps", ">=", 2.5, ENVOYS, "requests/s at pipeline 16, to Envoy"),
    Promise("throughput with 1,000 clients, to direct", "c1000", "GET", "rps", ">=", 1.0, ("direct",)),
    *_pair("c50", "redis_cpu_us", "<", 1.0, ("direct",), "Redis's own CPU per request, to direct"),
    *_pair("p16", "redis_cpu_us", "<", 1.0, ("direct",), "Redis's own CPU per request at pipeline 16, to direct"),
    Promise("Redis's own CPU per request, 1,000 clients", "c1000", "GET", "redis_cpu_us", "<", 1.0, ("direct",)),
    Promise("connect-per-request, AUTH over TLS, to direct", "connect-tls", "GET", "rps", ">", 1.0, ("direct",)),
    Promise("idle memory", "idle", "idle", "rss_start_mb", "<=", 60.0, unit="MB"),
    Promise("added memory per idle client", "idle", "idle", "kb_per_client", "<=", 4.0, unit="KB"),
    Promise("the same after one request each", "idle", "idle", "kb_per_used_client", "<=", 4.0, unit="KB"),
)
