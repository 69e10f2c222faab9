"""Start processes and end them by their own pid, whatever happens in between."""

from __future__ import annotations

import random
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

LOOPBACK = "127.0.0.1"
PORTS = range(20_000, 30_000)  # below the kernel's ephemeral range, so no outgoing connection can take one
ROOT = Path(__file__).parents[1]  # where our own modules are found
FOLDERS = re.compile(r"(/[\w.+-]+)+/")
START_TIMEOUT = 20.0
END_TIMEOUT = 10.0


class BenchError(Exception):
    """The benchmark cannot go on, or a peer cannot take part; the text says why."""


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise BenchError(f"no free port between {PORTS.start} and {PORTS.stop}")


@contextmanager
def running(command: Sequence[str], log: Path, ready: Callable[[], bool]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process, wait until it is ready, and end it when the block is left."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT)
    try:
        _wait(process, command, log, ready)
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[Any]) -> None:
    """Ask the process to stop, then make it."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(END_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], command: Sequence[str], log: Path, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            state = "did not get ready" if process.poll() is None else f"ended with {process.returncode}"
            raise BenchError(f"{Path(command[0]).name} {state}: {last_words(log.read_text(errors='replace'))}")
        time.sleep(0.02)


def last_words(text: str) -> str:
    """The last line of a log, without the folders of this machine in it."""
    lines = text.strip().splitlines()
    return FOLDERS.sub("", lines[-1])[-300:] if lines else "it said nothing"


def end_on_sigterm() -> None:
    """Make SIGTERM unwind like Ctrl-C, so that every started process is ended."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


def shown(command: Sequence[str], directory: Path) -> str:
    """A command line for the record: names instead of local paths."""
    words = [Path(command[0]).name, *command[1:]]
    return shlex.join(word.replace(str(directory), "DIR") for word in words)
