"""Statements as connections have them: which are closed when, and executions in the upstream's own numbers."""

from __future__ import annotations

import pytest

from protocols.mysql.constants import COM_STMT_CLOSE, COM_STMT_EXECUTE
from protocols.mysql.packets import MAX_PAYLOAD, command, packet
from protocols.mysql.prepared import ClientStatement, Key, Prepared, PreparedStatements, execution, has_room
from protocols.mysql.statements import Statement
from protocols.mysql.verbs import BY_NAME

INT, TEXT = b"\x08\x00", b"\xfd\x00"


def key(text: str) -> Key:
    return (b"shop", b"", b"utf8mb4", b"utf8mb4_general_ci", text.encode())


def closes(*numbers: int) -> bytes:
    return b"".join(command(COM_STMT_CLOSE, number.to_bytes(4, "little")) for number in numbers)


def client_statement(parameters: int) -> ClientStatement:
    made = ClientStatement(1, b"SELECT ?", Statement(b"SELECT ?", [BY_NAME["SELECT"]]))
    made.parameters = parameters
    return made


def execute(number: int, nulls: bytes = b"", types: bytes | None = b"", values: bytes = b"") -> bytes:
    """COM_STMT_EXECUTE; ``types`` None: as last time."""
    body = number.to_bytes(4, "little") + b"\0\1\0\0\0" + nulls
    if nulls:
        body += b"\0" if types is None else b"\1" + types
    return command(COM_STMT_EXECUTE, body + values)


def test_the_least_recently_used_are_closed() -> None:
    held = PreparedStatements(2)
    held.add(key("a"), 1)
    held.add(key("b"), 2)
    assert held.get(key("a")) is not None
    held.add(key("c"), 3)
    assert (held.closing, len(held)) == (closes(2), 2)
    assert [held.get(key(text)) is not None for text in "abc"] == [True, False, True]
    held.add(key("d"), 4)
    assert held.closing == closes(2, 1)


def test_an_older_one_of_the_same_text_is_closed() -> None:
    held = PreparedStatements(2)
    held.add(key("a"), 1)
    held.add(key("b"), 2)
    held.add(key("a"), 3)
    assert (held.closing, len(held)) == (closes(1), 2)
    found = held.get(key("a"))
    assert found is not None
    assert found.id == 3


def test_a_reset_connection_has_none() -> None:
    held = PreparedStatements(1)
    held.add(key("a"), 1)
    held.add(key("b"), 2)
    held.clear()
    assert (held.closing, len(held), held.get(key("b"))) == (b"", 0, None)


# Executions


def test_without_parameters_only_the_id_changes() -> None:
    assert execution(execute(1), client_statement(0), Prepared(9)) == execute(9)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 200])
def test_types_that_the_client_sends_are_remembered(count: int) -> None:
    client, upstream = client_statement(count), Prepared(9)
    nulls, types, values = bytes((count + 7) // 8), INT * count, b"v" * count
    assert execution(execute(1, nulls, types, values), client, upstream) == execute(9, nulls, types, values)
    assert client.types == upstream.types == types
    assert execution(execute(1, nulls, None, values), client, upstream) == execute(9, nulls, None, values)


def test_types_are_told_to_a_connection_that_has_others() -> None:
    client, here, there = client_statement(1), Prepared(9), Prepared(5)
    execution(execute(1, b"\0", INT, b"v"), client, here)
    there.types = TEXT  # somebody else's
    assert execution(execute(1, b"\0", None, b"v"), client, there) == execute(5, b"\0", INT, b"v")
    assert there.types == INT
    assert execution(execute(1, b"\0", None, b"v"), client, there) == execute(5, b"\0", None, b"v")


def test_an_execution_cut_short_is_left_to_the_server() -> None:
    cut = execute(1)
    assert execution(cut, client_statement(3), Prepared(9)) == execute(9)


def test_types_have_to_fit_into_the_first_packet() -> None:
    client = client_statement(1)
    client.types = INT
    body = b"\x17\1\0\0\0\0\1\0\0\0\0"
    for size, told, fits in (
        (MAX_PAYLOAD - 2, b"\0", True),
        (MAX_PAYLOAD - 1, b"\0", False),
        (MAX_PAYLOAD, b"\0", False),
        (MAX_PAYLOAD, b"\1", True),
        (MAX_PAYLOAD, b"", False),
    ):
        start = size.to_bytes(3, "little") + b"\0" + body + told
        assert has_room(start, client) == fits
    assert has_room(packet(body + b"\0", 0), client)
    client.types = b""  # never told: the server says so
    assert has_room(b"\xff\xff\xff\0" + body + b"\0", client)
