"""Where the time of one peer goes: perf on its process while a workload runs, told as text."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.generator import Load
from bench.limits import raise_open_files
from bench.peer import Peer, standing
from bench.process import BenchError
from bench.suite import S, Suite, W

RATE = "997"  # samples a second; prime, so that it does not keep step with any timer
TOP = 40


def run(suite: Suite[W, S], peer: Peer[S], workload: W, out: Path) -> str:
    """Profile the peer's process under each test of the workload; returns what was written."""
    if shutil.which("perf") is None:
        raise BenchError("perf is not installed (apt-get install linux-perf)")
    if workload.kind in suite.unloaded:
        raise BenchError(f"the workload {workload.name} has no time to profile")
    if reason := suite.lacking(workload):
        raise BenchError(reason)
    raise_open_files()
    out.mkdir(parents=True, exist_ok=True)
    parts = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as directory,
        suite.stage(workload, Path(directory)) as stage,
        standing(peer, stage) as ready,
    ):
        pid = stage.pid if ready.pid is None else ready.pid
        for test in workload.tests:
            with suite.load(ready.target, stage, test) as load:
                told = _record(pid, Path(directory, f"{test}.perf"), load, workload.requests)
            parts.append(f"# {peer.name}, {suite.name} {workload.name} {test}\n{told}")
    text = "\n".join(parts)
    out.joinpath(f"profile-{suite.name}-{peer.name}-{workload.name}.txt").write_text(text)
    return text


def _record(pid: int, data: Path, load: Load, requests: int) -> str:
    command = ["perf", "record", "-e", "cpu-clock", "-F", RATE, "-g", "-p", str(pid), "-o", str(data)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as perf:
        try:
            result = load.run(requests)
        finally:
            perf.send_signal(2)  # perf writes its file on SIGINT
            perf.wait(30)
    symbols = _report(data, "dso,symbol")
    parts = {
        "by object": _report(data, "dso"),
        "in user mode": [line for line in symbols if "[k]" not in line],
        "in the kernel": [line for line in symbols if "[k]" in line],
    }
    told = [f"{title}\n" + "\n".join(lines[:TOP]) for title, lines in parts.items()]
    return "\n\n".join([f"{result.rps:,.0f} requests/s under perf", *told]) + "\n"


def _report(data: Path, key: str) -> list[str]:
    command = ["perf", "report", "-i", str(data), "--stdio", "--no-children", "-g", "none", "-w", "8,40", "--sort", key]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [line.rstrip(" -") for line in done.stdout.splitlines() if line.strip() and not line.startswith("#")]
