"""One gateway in front of one or more MySQL servers, and what its tests ask of both.

with MysqlGateway([mariadb.address], upstream={"user": "app", "password": "s3cret"}) as gateway:
    with gateway.client() as client:
        client.cursor().execute("SELECT 1")
    gateway.wait_until_quiet()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pymysql
from pymysql.connections import Connection

from servers import LOOPBACK, PoolgateProcess, free_port, wait_until

SERVICE: Final = "orders-db"
PATIENCE: Final = 10.0  # seconds until something that has to happen is given up, on a busy machine


class MysqlGateway(PoolgateProcess):
    """poolgate with one service, ``orders-db``.

    Args:
        endpoints: addresses, or mappings as in the configuration.
        service: further keys of the service: ``upstream``, ``pool``, ``policies``, ``limits``, ``clients``, ...
        top: further keys of the configuration: ``drain_timeout``, further ``services``, ...
    """

    def __init__(
        self, endpoints: Sequence[str | Mapping[str, Any]], /, *, top: Mapping[str, Any] | None = None, **service: Any
    ) -> None:
        self.port: Final = free_port()
        service.setdefault("listen", [f"{LOOPBACK}:{self.port}"])
        service["upstream"] = {"endpoints": list(endpoints), **service.get("upstream", {})}
        top = dict(top or {})
        services = {SERVICE: {"protocol": "mysql", **service}, **top.pop("services", {})}
        super().__init__({**top, "services": services})

    def client(self, **options: Any) -> Connection[Any]:
        """A PyMySQL connection; in autocommit mode, unless told otherwise."""
        options = {"user": "app", "password": "", "autocommit": True, "read_timeout": PATIENCE, **options}
        options.setdefault("connect_timeout", PATIENCE)
        return pymysql.connect(host=LOOPBACK, port=self.port, **options)

    # What the admin says

    def stats(self) -> dict[str, Any]:
        """The service in ``/stats``."""
        stats: dict[str, Any] = self.admin("/stats")["services"][SERVICE]
        return stats

    def calls(self, verb: str) -> dict[str, int]:
        """How the calls of one verb ended, as ``/stats`` counts them; without those that never happened."""
        counts = self.stats()["calls"]["by_verb"].get(verb, {})
        return {word: n for word, n in counts.items() if word not in ("effect", "latency_ms") and n}

    def policy(self, name: str) -> dict[str, Any]:
        """A policy's live state."""
        return next(entry for entry in self.stats()["policies"] if entry["policy"] == name)

    def endpoints(self) -> list[dict[str, Any]]:
        """All of ``/clusters``."""
        endpoints: list[dict[str, Any]] = self.admin("/clusters")[SERVICE]["endpoints"]
        return endpoints

    def leases(self) -> dict[str, Any]:
        """The pool of leases of the first endpoint."""
        leases: dict[str, Any] = self.endpoints()[0]["leases"]
        return leases

    def sessions(self) -> list[dict[str, Any]]:
        """Who is connected."""
        sessions: list[dict[str, Any]] = self.admin("/sessions")["sessions"]
        return sessions

    def pin(self, client: Connection[Any]) -> str:
        """Why a client has a connection of its own, as ``/sessions`` says it; "" if it shares."""
        [session] = [one for one in self.sessions() if one["connection_id"] == client.thread_id()]
        holds: str = session["holds"]
        return holds.removeprefix("pinned because ").rpartition(" since ")[0]

    # What may take a moment

    def wait_until_free(self) -> None:
        """Until nobody holds a lease or waits for one."""
        wait_until(self._is_free, "everything given back")

    def _is_free(self) -> bool:
        pools = [endpoint["leases"] for endpoint in self.endpoints()]
        return not any(pool["leased"] or pool["cleaning"] or pool["waiting"] for pool in pools)

    def wait_until_quiet(self) -> None:
        """Until the last client is gone and everything balances."""
        wait_until(lambda: not self.sessions(), "no sessions")
        self.wait_until_free()

    def wait_until_up(self) -> None:
        """Until the upstream is connected."""
        wait_until(lambda: self.endpoints()[0]["state"] == "up", "upstream up")
