"""The benchmark before a MariaDB."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace

import pymysql

from bench import far, meter, procfs
from bench.generator import Load
from bench.machine import version_of
from bench.mysql.load import ready
from bench.mysql.peers import PEERS, haproxy_binary
from bench.mysql.stage import MysqlStage, mariadb_server
from bench.mysql.targets import TARGETS
from bench.mysql.workloads import BULK_ROWS, BULK_WIDTH, WORKLOADS, MysqlWorkload
from bench.peer import Standing, Target, debian
from bench.reading import Reading
from bench.suite import Column, Panel, Suite

SPARE = 100  # statements that a peer may put for itself, such as those that prepare its connections
BULK = (
    Column("mb_s", "MB/s", 0, spread=True),
    Column("p50_ms", "p50 ms", 1),
    Column("cpu_us", "proxy CPU us/result", 0, spread=True),
    Column("cpu_user_us", "user", 0),
    Column("cpu_system_us", "system", 0),
    Column("mariadb_cpu_us", "MariaDB CPU us/result", 0, spread=True),
    Column("rss_before_mb", "RSS before MB", 1),
    Column("rss_peak_mb", "peak MB", 1),
    Column("rss_growth_mb", "growth MB", 1, spread=True),
    Column("generator_busy", "generator busy", 2),
    Column("others_busy", "others busy", 2),
)


def measure(standing: Standing, stage: MysqlStage, test: str) -> Reading:
    """One test of a peer."""
    workload = stage.workload
    if workload.kind == "bulk":
        return _bulk(standing, stage, test)
    # Transactions that meet may deadlock, with or without a peer in between; sysbench begins them again.
    tolerated = "app_error" if workload.script == "oltp_read_write" else ""
    warm = workload.scaled(meter.WARM_UP).requests
    plan = meter.Plan(test, workload.requests, warm, "MariaDB", SPARE, tolerated)
    with ready(workload, test, standing.target) as load:
        return meter.measure(standing, stage, load, plan)


def _bulk(standing: Standing, stage: MysqlStage, test: str) -> Reading:
    """Unwarmed: what the first large result does to the memory is the question."""
    before = 0
    if standing.pid is not None:
        procfs.forget_peak(standing.pid)
        before = procfs.memory(standing.pid).resident
    plan = meter.Plan(test, stage.workload.requests, 0, "MariaDB", SPARE)
    with ready(stage.workload, test, standing.target) as load:
        reading = meter.measure(standing, stage, load, plan)
    figures = dict(reading.figures)
    figures["mb_s"] = figures["rps"] * BULK_ROWS * BULK_WIDTH / 1e6
    if standing.pid is not None:
        figures["rss_before_mb"] = before / 1024
        figures["rss_growth_mb"] = figures["rss_peak_mb"] - before / 1024
    return replace(reading, figures=figures)


def load(target: Target, stage: MysqlStage, test: str) -> AbstractContextManager[Load]:
    """What a profile is taken under."""
    return ready(stage.workload, test, target)


def versions() -> dict[str, str]:
    """Of everything that takes part, beside poolgate."""
    return {
        "mariadb": version_of(lambda: debian("mariadbd"), "--version"),
        "haproxy": version_of(haproxy_binary, "-v"),
        "sysbench": version_of("sysbench", "--version"),
        "php": version_of("php", "--version"),
    }


def lacking(workload: MysqlWorkload) -> str | None:
    """Why a workload cannot be had on this machine."""
    return far.lacking() if workload.upstream == "far" else None


MYSQL = Suite(
    name="mysql",
    help="poolgate and HAProxy before a MariaDB",
    server="MariaDB",
    workloads=WORKLOADS,
    peers=PEERS,
    targets=TARGETS,
    stage=mariadb_server,
    load=load,
    measure=measure,
    versions=versions,
    bases=("direct", "haproxy"),
    panels=(
        Panel("rps", "requests/s, direct = 1", "direct"),
        Panel("cpu_us", "CPU of the proxy per request, HAProxy = 1", "haproxy"),
        Panel("p50_ms", "p50 latency, direct = 1", "direct"),
        Panel("mariadb_cpu_us", "CPU of MariaDB per request, direct = 1", "direct"),
    ),
    profiled="point",
    columns={"bulk": BULK},
    problems=(pymysql.MySQLError,),
    lacking=lacking,
)
