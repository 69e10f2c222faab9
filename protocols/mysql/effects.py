"""What a SET statement, or whatever else changed a session variable, means for a session's settings.

The server's trackers say which variables changed, but MariaDB's miss some: ``SET @@name`` without a scope says nothing,
SET NAMES never tells of the collation. So what a statement of literals says itself comes first, and is corrected by
what the server reports.
"""

from __future__ import annotations

import re
from typing import Final

from protocols.mysql.assignments import Assignment
from protocols.mysql.collations import collation_by_name, default_collation
from protocols.mysql.login import ServerFacts
from protocols.mysql.tag import CHARSET_SETTINGS, sql_text

# Variables that mean nothing on another connection, or not for long: a session that sets one keeps its connection.
BOUND: Final = frozenset({
    "timestamp", "insert_id", "rand_seed1", "rand_seed2", "pseudo_thread_id", "pseudo_slave_mode", "gtid_next",
    "gtid_seq_no", "gtid_domain_id", "server_id", "sql_log_bin", "skip_replication", "debug_sync", "proxy_user",
    "character_set_database", "collation_database",
})  # fmt: skip
OWN: Final = frozenset({"last_insert_id", "identity", "warning_count", "error_count"})  # kept by other means

CONNECTION: Final = "character_set_connection"
COLLATION: Final = "collation_connection"
_ON: Final = frozenset({b"ON", b"1", b"TRUE"})
_UNREPORTED: Final = re.compile(rb"(?:\bSET\b|,)\s*@@(?!\s*(?:session|local|global|persist)\b)", re.IGNORECASE)


def said(assignments: list[Assignment], facts: ServerFacts | None) -> dict[str, bytes] | None:
    """What these literal assignments set, as SQL texts (b"": the default); None: not for any connection."""
    effect: dict[str, bytes] = {}
    for one in assignments:
        if one.is_user_variable:
            effect[one.name] = one.value
        elif (
            one.value.startswith(b"@@")
            or one.name in BOUND
            or one.name in OWN
            or not _add(effect, one.name, one.value, facts)
        ):
            return None
    return effect


def reported(effect: dict[str, bytes], variables: dict[str, bytes], facts: ServerFacts | None) -> str:
    """Add what the server says to what is known; returns the variable that cannot be set elsewhere, "" for none."""
    told = set(effect)
    for name, value in variables.items():
        if name in OWN:
            continue
        if name in BOUND or name.startswith("session_track"):
            return name
        if name in (CONNECTION, COLLATION) and told & {CONNECTION, COLLATION}:
            continue  # the server reports one of the two; the statement said what becomes of the other
        text = sql_text(value) if name not in CHARSET_SETTINGS else value or b"NULL"
        if text is None or not _add(effect, name, text, facts):
            return name
    return ""


def is_all_reported(sql: bytes) -> bool:
    """Whatever this SET changes, the server reports."""
    return _UNREPORTED.search(sql) is None


def is_lasting(assignments: list[Assignment]) -> bool:
    """What these set is the same whenever they are said: no defaults, which an operator may change."""
    return all(not one.is_user_variable and one.value.upper() != b"DEFAULT" for one in assignments)


def _add(effect: dict[str, bytes], name: str, value: bytes, facts: ServerFacts | None) -> bool:
    """Add one variable in the form in which it is always kept; False: what it means is not known."""
    word = value.strip(b"'\"")
    if value.upper() == b"DEFAULT":
        if name in CHARSET_SETTINGS:
            return False  # the base settings are not the server's defaults
        effect[name] = b""
    elif name == "autocommit":
        effect[name] = b"" if word.upper() in _ON else b"0"
    elif name in (CONNECTION, COLLATION):
        return _connection(effect, name, word.decode("latin-1"), facts)
    elif name in CHARSET_SETTINGS:
        effect[name] = word
    else:
        effect[name] = value
    return True


def _connection(effect: dict[str, bytes], name: str, word: str, facts: ServerFacts | None) -> bool:
    """Character set and collation of the connection go together: each sets the other."""
    mariadb = facts is not None and facts.is_mariadb
    if name == COLLATION:
        found = collation_by_name(word, mariadb)
    else:
        found = default_collation(word, mariadb, facts.release if facts is not None else (0, 0))
    if found is None:
        return False
    effect[CONNECTION] = found.charset.encode()
    effect[COLLATION] = found.name.encode()
    return True
