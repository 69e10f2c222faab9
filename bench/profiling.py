"""Where the time of one peer goes: perf on its process while a workload runs, told as text."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from bench import load
from bench.limits import raise_open_files
from bench.peers import Peer, standing
from bench.process import BenchError
from bench.stage import redis_server
from bench.workloads import Workload

RATE = "997"  # samples a second; prime, so that it does not keep step with any timer
TOP = 40


def run(peer: Peer, workload: Workload, out: Path) -> str:
    """Profile the peer's process under each test of the workload; returns what was written."""
    if shutil.which("perf") is None:
        raise BenchError("perf is not installed (apt-get install linux-perf)")
    if workload.kind == "idle":
        raise BenchError("the idle workload has no time to profile")
    raise_open_files()
    out.mkdir(parents=True, exist_ok=True)
    parts = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as directory,
        redis_server(workload, Path(directory)) as stage,
        standing(peer, stage) as ready,
    ):
        pid = stage.pid if ready.pid is None else ready.pid
        for test in workload.tests:
            line = load.command(workload, test, ready.target)
            told = _record(pid, Path(directory, f"{test}.perf"), workload, line)
            parts.append(f"# {peer.name}, {workload.name} {test}\n{told}")
    text = "\n".join(parts)
    out.joinpath(f"profile-{peer.name}-{workload.name}.txt").write_text(text)
    return text


def _record(pid: int, data: Path, workload: Workload, line: list[str]) -> str:
    command = ["perf", "record", "-e", "cpu-clock", "-F", RATE, "-g", "-p", str(pid), "-o", str(data)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as perf:
        try:
            result = load.run(workload, line)
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
