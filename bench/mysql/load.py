"""The load generators of MySQL: sysbench, and three of our own for what it cannot do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from bench.crowd import crowd
from bench.generator import Load, Result, once, own, parse
from bench.mysql.wire import DATABASE
from bench.mysql.workloads import ACTIVE, ROWS, MysqlWorkload
from bench.peer import Target
from bench.process import BenchError

RATE = re.compile(r"transactions:\s+\d+\s+\(([\d.]+) per sec")
BUCKET = re.compile(r"^\s*([\d.]+) \|\**\s+(\d+)$", re.MULTILINE)
RECONNECTS = re.compile(r"reconnects:\s+(\d+)")
PS_MODES = {"prepared": "auto", "text": "disable"}


@contextmanager
def ready(workload: MysqlWorkload, test: str, target: Target) -> Iterator[Load]:
    """The generator of a workload; a crowd is connected before anything is measured."""
    if workload.kind == "sysbench":
        yield once(lambda count: sysbench(workload, test, target, count), parse_sysbench, workload.requests)
        return
    if workload.kind != "crowd":
        module = f"bench.mysql.{workload.kind}"
        yield once(lambda count: own(module, target, "-c", workload.clients, "-n", count), parse, workload.requests)
        return
    with crowd(own("bench.mysql.clients", target, "-c", workload.clients)) as clients:
        clients.tell("open")
        active = str(min(ACTIVE[test], workload.clients))
        yield Load(lambda count: parse(clients.tell("run", str(count), active), 0.0), tuple(clients.command))


def sysbench(workload: MysqlWorkload, test: str, target: Target, count: int) -> list[str]:
    """The command line of sysbench."""
    line = ["sysbench", workload.script, *reach(target), f"--table-size={ROWS}", f"--threads={workload.clients}"]
    line += [f"--events={count}", "--time=0", f"--db-ps-mode={PS_MODES[test]}", "--rand-type=uniform"]
    return [*line, "--histogram=on", "run"]


def reach(target: Target) -> list[str]:
    """The address and the user in sysbench's words."""
    if isinstance(target.address, str):
        where = [f"--mysql-socket={target.address}"]
    else:
        where = [f"--mysql-host={target.address[0]}", f"--mysql-port={target.address[1]}"]
    return [*where, f"--mysql-user={target.user}", f"--mysql-password={target.password}", f"--mysql-db={DATABASE}"]


def parse_sysbench(text: str, busy: float) -> Result:
    """What sysbench printed; its one percentile is not enough, so both are read from the histogram."""
    rate = RATE.search(text)
    buckets = [(float(value), int(count)) for value, count in BUCKET.findall(text)]
    if rate is None or not buckets:
        raise BenchError(f"sysbench gave no result: {text[-300:]}")
    reconnects = RECONNECTS.search(text)
    errors = (f"{reconnects[1]} reconnects",) if reconnects and int(reconnects[1]) else ()
    return Result(float(rate[1]), percentile(buckets, 0.5), percentile(buckets, 0.99), busy, errors)


def percentile(buckets: list[tuple[float, int]], share: float) -> float:
    """The value below which so large a share of all counts is."""
    wanted = share * sum(count for _, count in buckets)
    seen = 0
    for value, count in buckets:
        seen += count
        if seen >= wanted:
            return value
    return buckets[-1][0]
