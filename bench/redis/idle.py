"""Hold many idle connections open, so that the peer can be weighed meanwhile.

Run as `python -m bench.redis.idle`, the far end of a `bench.crowd`: `open` connects everyone, `use` lets each client
AUTH (where there is a password) and GET once, one after another, `burst` lets all of them GET at once.
"""

from __future__ import annotations

import socket

from bench import generator
from bench.crowd import obey
from bench.limits import raise_open_files
from bench.peer import Address
from bench.redis.resp import KEY, SOURCES, ask, command, dial


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
    words = generator.options("bench.redis.idle").parse_args()
    raise_open_files()
    target = generator.target(words)
    clients: list[socket.socket] = []

    obey(
        {
            "open": lambda: clients.extend(open_all(target.address, words.clients)),
            "use": lambda: use_all(clients, target.password),
            "burst": lambda: burst(clients),
        }
    )
    for client in clients:
        client.close()


if __name__ == "__main__":
    main()
