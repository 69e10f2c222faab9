"""A server that is 1 ms away, on one machine: a network namespace behind a wire that takes its time.

netem would do the same, where the kernel has it; this needs only a tun device. Two of them, one here and one in the
namespace; a process of our own (`python -m bench.far NAME`) carries packets from one to the other, each half a
millisecond after it came. TCP above it is the kernel's own, with its handshakes and acknowledgements.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import shutil
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.peer import debian
from bench.process import BenchError, end_on_sigterm, running

DELAY = 0.0005  # seconds each way
NEAR, FAR = "198.18.0.1", "198.18.0.2"  # RFC 2544: addresses for benchmarks, routed nowhere
TUN = Path("/dev/net/tun")
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
PR_SET_TIMERSLACK = 29
PACKET = 1 << 16


@dataclass(frozen=True)
class Network:
    """Where the far server is: its address, what puts a command there, and the process that carries the packets."""

    host: str
    inside: tuple[str, ...]
    pid: int


def lacking() -> str | None:
    """Why there can be no such network here."""
    if os.geteuid() != 0:
        return "a network namespace takes root"
    if not TUN.exists():
        return f"this kernel has no {TUN}"
    if shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        return "ip is not installed (apt-get install iproute2)"
    return None


@contextmanager
def network(directory: Path) -> Iterator[Network]:
    """Make the namespace, carry packets, and take all of it away again."""
    name = f"bench-{os.getpid()}"
    ip = debian("ip", "iproute2")
    ready = directory / "far.ready"
    command = [sys.executable, "-m", "bench.far", name, str(ready)]
    with running(command, directory / "far.log", ready.exists) as process:
        yield Network(FAR, (ip, "netns", "exec", name), process.pid)


def carry(near: int, far: int, delay: float) -> None:
    """Packets from each to the other, in order, each after its delay. It ends with its process."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)
    others = {near: far, far: near}
    late: deque[tuple[float, int, bytes]] = deque()
    while True:
        wait = max(0.0, late[0][0] - time.monotonic()) if late else None
        readable, _, _ = select.select([near, far], [], [], wait)
        for one in readable:
            packet = os.read(one, PACKET)
            late.append((time.monotonic() + delay, others[one], packet))
        while late and late[0][0] <= time.monotonic():
            _, to, packet = late.popleft()
            os.write(to, packet)


def _ip(*words: str) -> None:
    done = subprocess.run([debian("ip", "iproute2"), *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _tun(name: str) -> int:
    device = os.open(TUN, os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def main(name: str, ready: str) -> None:
    """Be the wire."""
    end_on_sigterm()
    here, there = "bench-near", "bench-far"
    _ip("netns", "add", name)
    try:
        near, far = _tun(here), _tun(there)
        _ip("link", "set", there, "netns", name)
        _ip("addr", "add", NEAR, "peer", FAR, "dev", here)
        _ip("link", "set", here, "up")
        _ip("-n", name, "addr", "add", FAR, "peer", NEAR, "dev", there)
        _ip("-n", name, "link", "set", there, "up")
        Path(ready).touch()
        carry(near, far, DELAY)
    except KeyboardInterrupt:
        pass  # told to end
    finally:
        _ip("netns", "del", name)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BenchError as problem:
        sys.exit(str(problem))
