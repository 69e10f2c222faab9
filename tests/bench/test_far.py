"""A wire that takes its time."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import far

ECHO = f"""
import socket
with socket.create_server(("{far.FAR}", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    client, _ = listener.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := client.recv(65536):
        client.sendall(data)
"""
TRIPS = 20

pytestmark = pytest.mark.skipif(bool(far.lacking()), reason=str(far.lacking()))


def test_a_round_trip_takes_both_delays_and_all_of_it_is_taken_away(tmp_path: Path) -> None:
    with far.network(tmp_path) as network:
        line = [*network.inside, sys.executable, "-c", ECHO]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as echo:
            assert echo.stdout is not None
            port = int(echo.stdout.readline())
            began = time.monotonic()
            with socket.create_connection((network.host, port), 5.0) as client:
                assert time.monotonic() - began >= 2 * far.DELAY  # the handshake is a round trip too
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                trips = [trip(client) for _ in range(TRIPS)]
                client.sendall(b"y" * 100_000)  # as many packets as there are, in order
                received = 0
                while received < 100_000:
                    received += len(client.recv(65536))
        assert min(trips) >= 2 * far.DELAY
        name = network.inside[-1]
    told = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert name not in told


def trip(client: socket.socket) -> float:
    began = time.monotonic()
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    return time.monotonic() - began
