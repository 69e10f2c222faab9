"""The near end of `bench.idle`: start it, tell it what to do, end it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.load import Target, where
from bench.process import ROOT, BenchError, end


class Crowd:
    """Many idle clients in one other process."""

    def __init__(self, process: subprocess.Popen[str], command: list[str]) -> None:
        """A crowd that listens on the standard input of its process."""
        self.command = command
        self._process = process

    def tell(self, word: str) -> None:
        """Let all of them do one thing and wait until they have."""
        if self._process.stdin is None or self._process.stdout is None:
            raise BenchError("the idle clients have no input")
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if answer != "done":
            raise BenchError(f"idle clients could not {word}: {answer or 'they ended'}")


@contextmanager
def idle_clients(target: Target, count: int) -> Iterator[Crowd]:
    """Start the process of the clients, and end it afterwards."""
    command = [sys.executable, "-m", "bench.idle", *where(target), "-c", str(count)]
    if target.password is not None:
        command += ["-a", target.password]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield Crowd(process, command)
        finally:
            end(process)
