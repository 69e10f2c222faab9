"""What the figures were taken on and with: kernel, CPU and versions; never the name of a machine or a path."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.process import BenchError

VERSION = re.compile(r"\d+\.\d+(\.\d+)*")


def facts(versions: dict[str, str]) -> dict[str, str]:
    """Kernel, CPU, and the version of everything that takes part."""
    return {
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        **versions,
        "poolgate": f"{_package('poolgate')} ({poolgate_form()})",
        "uvloop": _package("uvloop"),
        "openssl": version_of("openssl", "version"),
    }


def poolgate_form() -> str:
    """Whether the poolgate that `bench.poolgate` starts is compiled; `-I` hides the checkout that we stand in."""
    if not Path(sys.executable).with_name("poolgate").exists():
        return "interpreted, from the checkout"
    line = [sys.executable, "-I", "-c", "import protocols.redis.scan as scan; print(scan.__file__)"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    return "compiled" if done.stdout.strip().endswith(".so") else "interpreted"


def _cpu_model() -> str:
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return model[1] if model else platform.machine()


def _package(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def version_of(program: str | Callable[[], str], *words: str) -> str:
    """The version that a program tells; it may have to be found first."""
    try:
        command = [program if isinstance(program, str) else program(), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (BenchError, OSError):
        return "not installed"
    found = VERSION.search((done.stdout + done.stderr).replace(command[0], ""))
    return found[0] if found else "unknown"


def load_average() -> float:
    """Of the last minute; above the number of cores, somebody else was working too."""
    return os.getloadavg()[0]
