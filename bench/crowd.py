"""Many clients in one other process that does as it is told, a word at a time: both ends of that conversation.

The far end answers each line of its input with "done" and what it has to say, or with "failed" and why. It leaves when
its input ends.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from bench.process import ROOT, BenchError, end


class Crowd:
    """The near end."""

    def __init__(self, process: subprocess.Popen[str], command: list[str]) -> None:
        """A crowd that listens on the standard input of its process."""
        self.command = command
        self._process = process

    def tell(self, *words: str) -> str:
        """Let all of them do one thing, wait until they have, and return what they say of it."""
        if self._process.stdin is None or self._process.stdout is None:
            raise BenchError("the clients have no input")
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()
        state, _, said = self._process.stdout.readline().strip().partition(" ")
        if state != "done":
            raise BenchError(f"the clients could not {words[0]}: {said or 'they ended'}")
        return said


@contextmanager
def crowd(command: list[str]) -> Iterator[Crowd]:
    """Start the process of the clients, and end it afterwards."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield Crowd(process, command)
        finally:
            end(process)


def obey(actions: Mapping[str, Callable[..., str | None]]) -> None:
    """The far end: do what the standard input says until it ends; an OSError is told, not raised."""
    for line in sys.stdin:
        name, *words = line.split()
        try:
            said = actions[name](*words) or ""
        except OSError as problem:
            print(f"failed {problem}", flush=True)
        else:
            print(f"done {said}", flush=True)
