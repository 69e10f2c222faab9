"""Hold many idle connections open, for `bench.turn` to weigh the peer meanwhile.

Run as `python -m bench.idle`. It obeys one word per line on its input and answers "done" or "failed: ...":
`open` connects everyone, `use` lets each client AUTH (where there is a password) and GET once, one after another,
`burst` lets all of them GET at once. It leaves when its input ends.
"""

from __future__ import annotations

import argparse
import socket
import sys

from bench.limits import raise_open_files
from bench.resp import KEY, SOURCES, Address, ask, command, dial


def open_all(address: Address, count: int) -> list[socket.socket]:
    """All connections, spread over several source addresses so that ports do not run short."""
    return [dial(address, SOURCES[number % len(SOURCES)]) for number in range(count)]


def use_all(clients: list[socket.socket], password: str | None) -> None:
    """One request on each connection, one after another."""
    for client in clients:
        if password is not None and not ask(client, "AUTH", password).startswith(b"+"):
            raise OSError("AUTH was refused")
        reply = ask(client, "GET", KEY)
        if not reply.startswith(b"$"):
            raise OSError(f"GET was answered {reply!r}")


def burst(clients: list[socket.socket]) -> None:
    """One request on every connection before the first answer is read."""
    for client in clients:
        client.sendall(command("GET", KEY))
    for client in clients:
        if not client.recv(4096).startswith(b"$"):
            raise OSError("GET was refused in the burst")


def main() -> None:
    """Obey the words on the standard input."""
    parser = argparse.ArgumentParser(prog="python -m bench.idle", add_help=False)
    parser.add_argument("-h", dest="host", default="127.0.0.1")
    parser.add_argument("-p", dest="port", type=int, default=6379)
    parser.add_argument("-s", dest="unix")
    parser.add_argument("-a", dest="password")
    parser.add_argument("-c", dest="clients", type=int, default=1000)
    words = parser.parse_args()
    raise_open_files()
    clients: list[socket.socket] = []
    for line in sys.stdin:
        try:
            if line.strip() == "open":
                clients = open_all(words.unix or (words.host, words.port), words.clients)
            elif line.strip() == "use":
                use_all(clients, words.password)
            elif line.strip() == "burst":
                burst(clients)
        except OSError as problem:
            print(f"failed: {problem}", flush=True)
        else:
            print("done", flush=True)
    for client in clients:
        client.close()


if __name__ == "__main__":
    main()
