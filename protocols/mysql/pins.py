"""Why a session needs an upstream connection of its own, and how that shows in a text.

The patterns read one statement in the shape that ``statements.py`` gives it: a digest text in capitals, in which a
quoted name is a lone backquote.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

VARIABLE: Final = rb"(?<![\w@`?$.\x80-\xff])@(?:[\w$.\x80-\xff]+|[`?])"  # a user variable; root@localhost is none


def finder(pattern: bytes) -> Callable[[bytes], re.Match[bytes] | None]:
    r"""Looks for a pattern; one that begins with \A only there: a search would try everywhere, and take its time."""
    compiled = re.compile(pattern)
    return compiled.match if pattern.startswith(rb"\A") else compiled.search


# Why a session is pinned from now on. First those reasons that never end.
PINS: Final = tuple(
    (reason, finder(pattern))
    for reason, pattern in (
        ("temporary table", rb"\ACREATE (?:OR REPLACE )?TEMPORARY "),
        ("PREPARE", rb"\APREPARE "),
        ("EXECUTE IMMEDIATE", rb"\AEXECUTE IMMEDIATE "),
        ("HANDLER", rb"\AHANDLER .* OPEN\b"),
        ("BINLOG", rb"\ABINLOG "),
        ("SET ROLE", rb"\ASET ROLE "),
        ("SET RESOURCE GROUP", rb"\ASET RESOURCE GROUP "),
        ("SET SESSION AUTHORIZATION", rb"\ASET SESSION AUTHORIZATION "),
        ("SET TRANSACTION", rb"\ASET TRANSACTION |\ASET .*@@(?:TX|TRANSACTION)_(?:ISOLATION|READ_ONLY) ?:?="),
        ("user variable", rb"\ASET .*?" + VARIABLE + rb" ?:?="),
        ("user variable", VARIABLE + rb" ?:=|\bINTO ?@(?!@)"),
        ("user variable", rb"\A(?:CALL|LOAD|GET) .*?" + VARIABLE),  # a parameter, a column, a diagnostic
        ("SQL_CALC_FOUND_ROWS", rb"\bSQL_CALC_FOUND_ROWS\b"),
        ("LASTVAL()", rb"\bLASTVAL ?\(|\bPREVIOUS VALUE FOR\b|\.CURRVAL\b"),
        ("locking service", rb"\b(?:SERVICE_GET_(?:READ|WRITE)_LOCKS|VERSION_TOKENS_LOCK_(?:SHARED|EXCLUSIVE)) ?\("),
        ("LOCK INSTANCE", rb"\ALOCK (?:INSTANCE |BINLOG |TABLES FOR BACKUP\b)"),
        ("BACKUP", rb"\ABACKUP (?:STAGE (?!END\b)|LOCK )"),
        ("XA", rb"\AXA (?:START|BEGIN) "),
        ("GET_LOCK()", rb"\bGET_LOCK ?\("),
        ("LOCK TABLES", rb"\ALOCK TABLES? "),
        ("FLUSH TABLES WITH READ LOCK", rb"\AFLUSH .*\b(?:WITH READ LOCK|FOR EXPORT)\b"),
    )
)
# What ends a reason, once the server has said OK.
UNPINS: Final = tuple(
    (reasons, finder(pattern))
    for reasons, pattern in (
        (("LOCK TABLES", "FLUSH TABLES WITH READ LOCK"), rb"\AUNLOCK TABLES?\b"),
        (("LOCK TABLES",), rb"\A(?:BEGIN(?: WORK)?\Z|START TRANSACTION\b)"),
        (("LOCK INSTANCE",), rb"\AUNLOCK (?:INSTANCE|TABLES|BINLOG)\b"),
        (("BACKUP",), rb"\ABACKUP (?:STAGE END|UNLOCK)\b"),
        # XA PREPARE ends it in MySQL 8.0.29 and newer only. Elsewhere the connection is bound to its transaction.
        (("XA",), rb"\AXA (?:COMMIT|ROLLBACK) "),
        (("GET_LOCK()",), rb"\bRELEASE_ALL_LOCKS ?\("),
    )
)
