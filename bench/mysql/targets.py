"""What was promised of MySQL."""

from __future__ import annotations

from bench.targets import Promise

DIRECT, RELAY = ("direct",), ("haproxy",)
TARGETS = (
    Promise("CPU per point select, prepared, to a TCP relay", "point", "prepared", "cpu_us", "<=", 1.25, RELAY),
    Promise("CPU per point select, text, to a TCP relay", "point", "text", "cpu_us", "<=", 1.25, RELAY),
    Promise("connect-per-request over plain TCP, to direct", "connect", "visit", "rps", ">=", 1.0, DIRECT),
    Promise("connect-per-request, upstream wants TLS, to direct", "connect-tls", "visit", "rps", ">=", 5.0, DIRECT),
    Promise("connect-per-request, upstream 1 ms away, to direct", "connect-far", "visit", "rps", ">=", 5.0, DIRECT),
    Promise("1,000 clients, 16 of them active, to direct", "c1000", "16-active", "rps", ">=", 1.0, DIRECT),
    Promise("1,000 clients, all of them active, to direct", "c1000", "all-active", "rps", ">=", 1.0, DIRECT),
    Promise("upstream connections of 1,000 clients", "c1000", "all-active", "upstream_connections", "<=", 20, unit=""),
    Promise("a result of 100 MB, to direct", "bulk", "100MB", "rps", ">=", 0.7, DIRECT),
    Promise("memory that a result of 100 MB adds", "bulk", "100MB", "rss_growth_mb", "<=", 16, unit="MB"),
)
