"""Load generator: one client that asks for a large result again and again and throws it away as it comes.

Run as `python -m bench.mysql.bulk`; the result is one line of JSON. It reads bytes, not rows: a client that took them
apart would be the slowest of all.
"""

from __future__ import annotations

import json
import socket
import time

from bench import generator
from bench.mysql.wire import EOF, EOF_LENGTH, HEADER, check, dial, query
from bench.mysql.workloads import BULK_ROWS, BULK_WIDTH

SELECT = f"SELECT REPEAT('x', {BULK_WIDTH}) FROM seq_1_to_{BULK_ROWS}"
LEAST = BULK_ROWS * (BULK_WIDTH + HEADER)
END = HEADER + EOF_LENGTH
BUFFER = 1 << 18


def fetch(opened: socket.socket, buffer: memoryview) -> int:
    """Ask once; returns how many bytes came. The end is an EOF packet after all rows."""
    opened.sendall(query(SELECT))
    received, end = 0, b""
    while received < LEAST or not ended(end):
        count = opened.recv_into(buffer)
        if not count:
            raise OSError(f"closed by the peer after {received} bytes")
        if not received:
            check(bytes(buffer[:count]))
        received += count
        end = (end + bytes(buffer[max(0, count - END) : count]))[-END:]
    return received


def ended(last: bytes) -> bool:
    """Whether the last bytes are an EOF packet, which no row looks like: rows are of one letter."""
    return len(last) == END and last[:3] == bytes([EOF_LENGTH, 0, 0]) and last[HEADER] == EOF


def main() -> None:
    """Fetch as often as the command line says and print the result."""
    words = generator.options("bench.mysql.bulk").parse_args()
    opened = dial(generator.target(words))
    buffer = memoryview(bytearray(BUFFER))
    latencies = []
    began = time.perf_counter()
    for _ in range(words.requests):
        since = time.perf_counter()
        fetch(opened, buffer)
        latencies.append(time.perf_counter() - since)
    print(json.dumps(generator.told(latencies, time.perf_counter() - began, {})))


if __name__ == "__main__":
    main()
