"""The protocols that exist: a new one is a folder beside this file and one line in each table here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

PROTOCOLS: Final[dict[str, str]] = {
    "redis": "Redis and Valkey, RESP2 and RESP3",
    "mysql": "MySQL and MariaDB, protocol 4.1",
}


def _redis_commands() -> dict[str, bool]:
    from protocols.redis.commands import NEVER, VERBS

    return {verb.name: verb.handling != NEVER for verb in VERBS[1:]}


def _mysql_commands() -> dict[str, bool]:
    from protocols.mysql.verbs import NEVER, VERBS

    return {verb.name: verb.name not in NEVER for verb in VERBS[1:]}


# Imported when asked for: a gateway pays only for the protocols that it speaks.
_COMMANDS: Final[dict[str, Callable[[], dict[str, bool]]]] = {
    "redis": _redis_commands,
    "mysql": _mysql_commands,
}


def known_commands(protocol: str) -> dict[str, bool]:
    """Every command of the protocol's table, and whether a configuration can allow it at all."""
    return _COMMANDS[protocol]()
