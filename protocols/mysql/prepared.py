"""Prepared statements: what a client believes to have prepared, and what an upstream connection has.

A client's statement is known by an id of the gateway's. On whichever connection it is executed, it is prepared there
first, unless some client has prepared the same text there before.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, final

from mypy_extensions import i64

from protocols.mysql.constants import COM_STMT_CLOSE
from protocols.mysql.packets import MAX_PAYLOAD, command, u24
from protocols.mysql.rules import Rule
from protocols.mysql.statements import Statement

# A text means the same wherever these are the same: schema, sql_mode and character sets.
Key = tuple[bytes, bytes, bytes, bytes, bytes]

CURSOR_READ_ONLY: Final = 1
_TYPES: Final = 2  # bytes for each parameter's type


@final
class ClientStatement:
    """A statement as one client has it."""

    __slots__ = (
        "alone", "cursor", "id", "key", "long_data", "long_size", "parameters", "rule", "schema", "statement", "text",
        "types",
    )  # fmt: skip

    def __init__(self, number: int, text: bytes, statement: Statement) -> None:
        self.id: Final = number
        self.text: Final = text
        self.statement: Final = statement
        self.rule: Rule | None = None  # of the text as the client sent it
        self.parameters: i64 = 0
        self.schema: bytes = b""  # that was the default when it was prepared, and is the default of its names for ever
        self.key: Key | None = None  # of its last execution
        self.types: bytes = b""  # of the parameters, as last sent
        self.long_data: list[bytes | None] = []  # to go ahead of the next execution; None: here the id has its place
        self.long_size: i64 = 0
        self.cursor: bool = False  # rows are being fetched
        self.alone: bool = False  # it shares its text with one whose rows are being fetched: it is prepared for itself


@final
class Prepared:
    """A statement as one upstream connection has it."""

    __slots__ = ("id", "types")

    def __init__(self, number: int) -> None:
        self.id: Final = number  # the upstream's
        self.types: bytes = b""  # of the parameters, as last sent there


@final
class PreparedStatements:
    """What one upstream connection has prepared; beyond ``limit`` the least recently used are closed."""

    def __init__(self, limit: int) -> None:
        self._limit: Final = limit
        self._by_key: Final[OrderedDict[Key, Prepared]] = OrderedDict()
        self.closing: bytes = b""  # COM_STMT_CLOSE commands, which nobody answers: they go ahead of the next one

    def get(self, key: Key) -> Prepared | None:
        """The statement, if it is there; it is used now."""
        found = self._by_key.get(key)
        if found is not None:
            self._by_key.move_to_end(key)
        return found

    def add(self, key: Key, number: int) -> Prepared:
        """It was prepared; an older one of the same text, and the least recently used, are closed."""
        older = self._by_key.pop(key, None)
        if older is not None:
            self._close(older)
        while len(self._by_key) >= self._limit:
            self._close(self._by_key.popitem(last=False)[1])
        added = self._by_key[key] = Prepared(number)
        return added

    def _close(self, prepared: Prepared) -> None:
        self.closing += command(COM_STMT_CLOSE, prepared.id.to_bytes(4, "little"))

    def clear(self) -> None:
        """The connection was reset: nothing is prepared any more."""
        self._by_key.clear()
        self.closing = b""

    def __len__(self) -> int:
        return len(self._by_key)


def has_room(request: bytes, client: ClientStatement) -> bool:
    """The types of parameters fit into the packet, should they have to be put there: see ``execution``."""
    at = 14 + (client.parameters + 7) // 8
    if u24(request, 0) + len(client.types) <= MAX_PAYLOAD:
        return True
    return at < len(request) and request[at] == 1


def execution(request: bytes, client: ClientStatement, prepared: Prepared) -> bytes:
    """COM_STMT_EXECUTE as the client sent it (a packet, or the start of a long one), for this upstream statement.

    The server keeps the types of parameters from one execution to the next; here others may have executed it between.
    https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_execute.html
    """
    number = prepared.id.to_bytes(4, "little")
    request = request[:5] + number + request[9:]
    count = client.parameters
    if count == 0:
        return request
    at = 14 + (count + 7) // 8  # header 4, command 1, id 4, flags 1, iterations 4, then the bitmap of NULLs
    if at >= len(request):
        return request  # cut short: the server says so
    if request[at] == 1:
        client.types = prepared.types = request[at + 1 : at + 1 + _TYPES * count]
    elif prepared.types != client.types:
        prepared.types = client.types
        size = int.from_bytes(request[:3], "little") + len(client.types)
        return size.to_bytes(3, "little") + request[3:at] + b"\x01" + client.types + request[at + 1 :]
    return request
