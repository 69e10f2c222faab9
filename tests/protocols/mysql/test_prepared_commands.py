"""A client's prepared statements on whichever connection it gets: ids, texts, long data, cursors."""

from __future__ import annotations

import pytest

from mysql_playbook import (
    CURSOR_EXISTS,
    LAST_ROW,
    Conversation,
    ended,
    failed,
    make_protocol,
    okay,
    prepared,
    query,
    said_error,
    table,
)
from protocols.mysql import prepared_commands
from protocols.mysql.constants import (
    COM_INIT_DB,
    COM_RESET_CONNECTION,
    COM_STMT_CLOSE,
    COM_STMT_EXECUTE,
    COM_STMT_FETCH,
    COM_STMT_PREPARE,
    COM_STMT_RESET,
    COM_STMT_SEND_LONG_DATA,
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_IN_TRANS,
)
from protocols.mysql.packets import MAX_PAYLOAD, command, packet

ROW = b"\0\0\1"


def stmt_prepare(text: str) -> bytes:
    return command(COM_STMT_PREPARE, text.encode())


def stmt_execute(number: int, rest: bytes = b"", *, flags: int = 0) -> bytes:
    return command(COM_STMT_EXECUTE, number.to_bytes(4, "little") + bytes([flags]) + b"\1\0\0\0" + rest)


def stmt_long(number: int, data: bytes, parameter: int = 0) -> bytes:
    return command(COM_STMT_SEND_LONG_DATA, number.to_bytes(4, "little") + parameter.to_bytes(2, "little") + data)


def numbered(word: int, number: int, rest: bytes = b"") -> bytes:
    return command(word, number.to_bytes(4, "little") + rest)


def fetch(number: int) -> bytes:
    return numbered(COM_STMT_FETCH, number, b"\5\0\0\0")


def prepares(client: Conversation, text: str = "SELECT a FROM t", parameters: int = 0, upstream_id: int = 70) -> int:
    """Returns the client's id."""
    client.sends(stmt_prepare(text))
    got = client.hears(prepared(upstream_id, parameters, 1))
    return int.from_bytes(got[5:9], "little")


def opens_cursor(client: Conversation, number: int) -> None:
    client.sends(stmt_execute(number, flags=1))
    definitions = table(1, [])[: -len(ended(0))]
    client.hears(definitions[: -len(ended(0))] + ended(3, status=CURSOR_EXISTS))
    assert client.codec.pin == "cursor"


def test_a_statement_is_executed_under_the_verb_of_its_text() -> None:
    client = Conversation()
    assert prepares(client, "INSERT INTO t VALUES (?)", 1) == 1
    assert client.sends(stmt_execute(1, b"\0\1\x08\0v")) == ["INSERT (observed, barrier, pin INSERT)"]
    assert client.forwarded[-1] == stmt_execute(70, b"\0\1\x08\0v")
    assert client.hears(okay(affected=1)) == okay(affected=1)
    assert client.codec.pin is None


def test_ids_are_the_clients_own_and_stay() -> None:
    protocol = make_protocol()
    one, two = Conversation(protocol=protocol), Conversation(protocol=protocol)
    assert [prepares(one, "SELECT 1"), prepares(one, "SELECT 2", upstream_id=71), prepares(two, "SELECT 3")] == [
        1,
        2,
        1,
    ]


def test_on_another_connection_it_is_prepared_first() -> None:
    client = Conversation()
    prepares(client, upstream_id=70)
    first = client.upstream
    client.moves_to(client.another())
    client.sends(stmt_execute(1))
    assert client.forwarded[-1] == stmt_prepare("SELECT a FROM t")
    assert client.hears(prepared(5, 0, 1)) == b""
    assert client.forwarded[-1] == stmt_execute(5)
    assert client.hears(table(1, [ROW])) == table(1, [ROW])
    client.moves_to(first)
    client.sends(stmt_execute(1))
    assert client.forwarded[-1] == stmt_execute(70)


def test_equal_texts_of_two_clients_share_one() -> None:
    protocol = make_protocol()
    one, two = Conversation(protocol=protocol), Conversation(protocol=protocol)
    prepares(one)
    two.moves_to(one.upstream)
    prepares(two, upstream_id=71)  # its columns are the server's to tell, so it is asked; the older one goes
    assert len(one.upstream.statements) == 1
    two.sends(stmt_execute(1))
    assert two.forwarded[-1] == numbered(COM_STMT_CLOSE, 70) + stmt_execute(71)
    two.hears(okay())
    one.sends(stmt_execute(1))
    assert one.forwarded[-1] == stmt_execute(71)


def test_a_statement_keeps_to_the_schema_that_it_was_prepared_in() -> None:
    client = Conversation(schema="shop")
    prepares(client)
    client.protocol.shared.learn_schema(b"other", client.now)
    client.says("USE other")
    client.moves_to(client.another())
    before = len(client.forwarded)
    client.sends(stmt_execute(1))
    client.hears(okay())
    client.hears(prepared(7, 0, 1))
    client.hears(okay())
    assert client.forwarded[before:] == [
        command(COM_INIT_DB, b"shop"),
        stmt_prepare("SELECT a FROM t"),
        command(COM_INIT_DB, b"other"),
        stmt_execute(7),
    ]


def test_a_client_is_back_in_its_schema_where_that_statement_cannot_be_prepared() -> None:
    client = Conversation(schema="shop")
    prepares(client)
    client.protocol.shared.learn_schema(b"other", client.now)
    client.says("USE other")
    client.moves_to(client.another())
    client.says("BEGIN")
    client.hears(okay(status=SERVER_STATUS_IN_TRANS | SERVER_STATUS_AUTOCOMMIT))
    client.sends(stmt_execute(1))
    client.hears(okay())
    client.hears(failed(1146, "gone", 1))
    client.says("SELECT 1")
    assert client.forwarded[-1] == command(COM_INIT_DB, b"other")
    client.hears(okay())
    assert client.forwarded[-1] == query("SELECT 1")


def test_what_cannot_be_prepared_there_is_the_answer() -> None:
    client = Conversation()
    prepares(client)
    client.moves_to(client.another())
    client.sends(stmt_execute(1))
    assert client.hears(failed(1146, "gone", 1)) == failed(1146, "gone", 1)
    assert (client.codec.pin, client.current) == (None, None)
    assert client.returned[-1] == []


def test_beyond_the_limit_the_least_recently_used_are_closed() -> None:
    client = Conversation(protocol=make_protocol(statements=2))
    for i in range(3):
        prepares(client, f"SELECT {i}", upstream_id=70 + i)
    client.says("SELECT 1")
    assert client.forwarded[-1] == numbered(COM_STMT_CLOSE, 70) + query("SELECT 1")
    client.hears(okay())
    client.sends(stmt_execute(1))
    assert client.forwarded[-1] == stmt_prepare("SELECT 0")
    client.hears(prepared(80))
    assert client.forwarded[-1] == numbered(COM_STMT_CLOSE, 71) + stmt_execute(80)


def test_a_client_may_not_prepare_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared_commands, "MAX_STATEMENTS", 2)
    if prepared_commands.__file__.endswith(".so"):
        pytest.skip("a constant that is compiled in")
    client = Conversation()
    prepares(client)
    prepares(client)
    client.client_got = b""
    assert client.sends(stmt_prepare("SELECT 3")) == ["STMT PREPARE (local)"]
    assert said_error(client.client_got).startswith("1461 42000")


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (stmt_execute(9), "mysqld_stmt_execute"),
        (fetch(9), "mysqld_stmt_fetch"),
        (fetch(1), "mysqld_stmt_fetch"),  # no cursor is open
        (numbered(COM_STMT_RESET, 9), "mysqld_stmt_reset"),
        (numbered(COM_STMT_EXECUTE, 1), "mysqld_stmt_execute"),
    ],
)
def test_unknown_statements(request_: bytes, name: str) -> None:
    client = Conversation()
    prepares(client)
    client.client_got = b""
    assert client.sends(request_)[0].endswith("(local)")
    number = int.from_bytes(request_[5:9], "little")
    assert said_error(client.client_got) == f"1243 HY000 Unknown prepared statement handler ({number}) given to {name}"


@pytest.mark.parametrize("word", [COM_STMT_EXECUTE, COM_STMT_CLOSE, COM_STMT_RESET, COM_STMT_FETCH])
def test_without_an_id_it_is_no_command(word: int) -> None:
    assert Conversation().sends(command(word, b"\1\0\0")) == ["broken: 1835 HY000 Malformed packet"]


def test_close_is_not_answered_and_the_text_stays_prepared() -> None:
    client = Conversation()
    prepares(client)
    assert client.sends(numbered(COM_STMT_CLOSE, 1) + numbered(COM_STMT_CLOSE, 1)) == []
    assert (client.codec.statements, len(client.upstream.statements)) == ({}, 1)
    assert client.sends(stmt_execute(1)) == ["STMT EXECUTE (local)"]


def test_reset_without_a_cursor_is_answered_here() -> None:
    client = Conversation()
    prepares(client, parameters=1)
    client.client_got = b""
    client.sends(stmt_long(1, b"abc"))
    assert client.sends(numbered(COM_STMT_RESET, 1)) == ["STMT RESET (local)"]
    assert (client.client_got, client.codec.long_size) == (okay(), 0)
    client.sends(stmt_execute(1, b"\0\1\xfc\0"))
    assert client.forwarded[-1] == stmt_execute(70, b"\0\1\xfc\0")


# Long data


def test_long_data_goes_ahead_of_the_execution() -> None:
    client = Conversation()
    prepares(client, parameters=2)
    assert client.sends(stmt_long(1, b"abc") + stmt_long(1, b"", 1) + stmt_long(1, b"def")) == []
    client.sends(stmt_execute(1, b"\0\1\xfc\0\xfc\0"))
    ahead = stmt_long(70, b"abc") + stmt_long(70, b"", 1) + stmt_long(70, b"def")
    assert client.forwarded[-1] == ahead + stmt_execute(70, b"\0\1\xfc\0\xfc\0")
    client.hears(okay())
    assert client.codec.long_size == 0
    client.sends(stmt_execute(1, b"\0\0"))
    assert client.forwarded[-1] == stmt_execute(70, b"\0\0")


def test_long_data_goes_where_the_execution_goes() -> None:
    client = Conversation()
    prepares(client, parameters=1)
    client.sends(stmt_long(1, b"abc"))
    client.moves_to(client.another())
    client.sends(stmt_execute(1, b"\0\1\xfc\0"))
    assert client.forwarded[-1] == stmt_prepare("SELECT a FROM t")
    client.hears(prepared(5, 1, 1))
    assert client.forwarded[-1] == stmt_long(5, b"abc") + stmt_execute(5, b"\0\1\xfc\0")


@pytest.mark.parametrize("size", [1000, 300_000, MAX_PAYLOAD - 7, MAX_PAYLOAD, MAX_PAYLOAD + 99])
def test_long_data_may_be_longer_than_a_request_that_is_held(size: int) -> None:
    """Connector/J sends a megabyte at a time."""
    client = Conversation(protocol=make_protocol(max_long_data=1 << 26))
    prepares(client, parameters=1)
    data = stmt_long(1, b"z" * size)
    for at in range(0, len(data), 100_001):
        assert client.sends(data[at : at + 100_001]) == []
    assert client.sends(stmt_execute(1, b"\0\1\xfc\0")) == ["SELECT (observed, barrier, pin SELECT)"]
    assert client.forwarded[-1] == stmt_long(70, b"z" * size) + stmt_execute(70, b"\0\1\xfc\0")


def test_long_data_is_bounded_for_all_statements_together() -> None:
    client = Conversation(protocol=make_protocol(max_long_data=10_000))
    for i in range(3):
        prepares(client, f"SELECT {i}", 1)
    client.sends(stmt_long(1, b"z" * 4000) + stmt_long(2, b"z" * 4000))
    assert client.sends(stmt_long(3, b"z" * 4000)) == [f"broken: 1835 HY000 {prepared_commands._TOO_LONG}"]
    client = Conversation(protocol=make_protocol(max_long_data=10_000))
    prepares(client, parameters=1)
    lines = client.sends(stmt_long(1, b"") * 100)  # nothing is for nothing
    assert lines == [f"broken: 1835 HY000 {prepared_commands._TOO_LONG}"]
    client = Conversation(protocol=make_protocol(max_long_data=300_000))
    prepares(client, parameters=1)
    data = stmt_long(1, b"z" * 400_000)
    assert client.sends(data[:280_000]) == []
    assert client.sends(data[280_000:]) == [f"broken: 1835 HY000 {prepared_commands._TOO_LONG}"]


def test_long_data_without_a_statement_is_thrown_away() -> None:
    client = Conversation()
    assert client.sends(stmt_long(1, b"abc") + command(COM_STMT_SEND_LONG_DATA, b"\1\0\0\0")) == []
    long = stmt_long(1, b"z" * 400_000)
    assert client.sends(long[:300_000]) == []
    assert client.sends(long[300_000:] + query("SELECT 1")) == ["SELECT (observed, barrier, pin SELECT)"]
    assert client.codec.long_size == 0


@pytest.mark.parametrize("how", ["refused", "close", "reset connection", "refused by mode"])
def test_long_data_goes_with_what_it_was_for(how: str) -> None:
    mode = "statement" if how == "refused by mode" else "transaction"
    client = Conversation(denied=["BEGIN"], protocol=make_protocol(mode=mode))
    prepares(client, "BEGIN", 1)
    client.sends(stmt_long(1, b"abc"))
    assert client.codec.long_size > 0
    if how == "close":
        client.sends(numbered(COM_STMT_CLOSE, 1))
    elif how == "reset connection":
        client.sends(command(COM_RESET_CONNECTION))
    else:
        client.sends(stmt_execute(1, b"\0\1\xfc\0"))
        assert client.codec.statements[1].long_data == []
    assert client.codec.long_size == 0


# Cursors


def test_a_cursor_keeps_its_connection_to_the_last_row() -> None:
    client = Conversation()
    prepares(client)
    opens_cursor(client, 1)
    rows = packet(ROW, 1) + packet(ROW, 2)
    assert client.sends(fetch(1)) == ["STMT FETCH (observed, barrier, rows only, pin cursor)"]
    assert client.forwarded[-1] == fetch(70)
    client.hears(rows + ended(3, status=CURSOR_EXISTS))
    assert client.codec.pin == "cursor"
    client.sends(fetch(1))
    client.hears(rows + ended(3, status=LAST_ROW))
    assert client.codec.pin is None
    assert client.returned[-1] == []


def test_a_result_without_a_cursor_though_one_was_asked_for() -> None:
    client = Conversation()
    prepares(client)
    client.sends(stmt_execute(1, flags=1))
    client.hears(table(1, [ROW]))
    assert client.codec.pin is None


def test_close_ends_a_cursor_behind_the_clients_back() -> None:
    client = Conversation()
    prepares(client)
    opens_cursor(client, 1)
    assert client.sends(numbered(COM_STMT_CLOSE, 1)) == ["STMT RESET (observed, barrier, mute, pin STMT RESET)"]
    assert client.forwarded[-1] == numbered(COM_STMT_RESET, 70)
    assert client.hears(okay()) == b""
    assert client.codec.pin is None


def test_reset_ends_a_cursor() -> None:
    client = Conversation()
    prepares(client)
    opens_cursor(client, 1)
    client.sends(numbered(COM_STMT_RESET, 1))
    assert client.forwarded[-1] == numbered(COM_STMT_RESET, 70)
    assert client.hears(okay()) == okay()
    assert client.codec.pin is None


def test_to_execute_it_again_ends_a_cursor() -> None:
    client = Conversation()
    prepares(client)
    opens_cursor(client, 1)
    client.sends(stmt_execute(1))
    client.hears(table(1, [ROW]))
    assert client.codec.pin is None


def test_a_close_that_is_long_beyond_reason_closes_all_the_same() -> None:
    """What no call takes must not reach the upstream, and not be mistaken for a part of what follows."""
    close = numbered(COM_STMT_CLOSE, 1, b"\1\0\0\0\x01" * 80_000)
    for pinned in (False, True):
        client = Conversation()
        prepares(client)
        if pinned:
            opens_cursor(client, 1)
        else:
            client.says("BEGIN")
            client.hears(okay(status=3))
        sent = len(client.forwarded)
        client.sends(close[:300_000])
        client.sends(close[300_000:])
        assert client.forwarded[sent:] == ([numbered(COM_STMT_RESET, 70)] if pinned else [])
        if pinned:
            client.hears(okay())
        client.says("SELECT 1")
        assert client.forwarded[-1] == query("SELECT 1")


def test_a_cursor_outlives_another_statement_of_the_same_text() -> None:
    """Equal texts share a statement upstream, but not a cursor."""
    client = Conversation()
    prepares(client, upstream_id=70)
    opens_cursor(client, 1)
    assert prepares(client, upstream_id=71) == 2
    client.sends(stmt_execute(2))
    assert client.forwarded[-1] == stmt_execute(71)
    client.hears(table(1, [ROW]))
    client.sends(fetch(1))
    assert client.forwarded[-1] == fetch(70)
    client.hears(packet(ROW, 1) + ended(2, status=LAST_ROW))
    client.moves_to(client.another())
    client.sends(stmt_execute(2))
    assert client.forwarded[-1] == stmt_prepare("SELECT a FROM t")


def test_a_cursor_outlives_the_execution_of_one_prepared_before() -> None:
    client = Conversation()
    prepares(client, upstream_id=70)
    prepares(client, upstream_id=71)
    opens_cursor(client, 1)
    client.sends(stmt_execute(2, flags=1))
    assert client.forwarded[-1] == stmt_prepare("SELECT a FROM t")
    client.hears(prepared(72, 0, 1))
    assert client.forwarded[-1] == stmt_execute(72, flags=1)


# What is too long, or asks for what only the gateway knows


def test_a_long_execution_is_passed_on_as_it_comes() -> None:
    client = Conversation()
    prepares(client, "INSERT INTO t VALUES (?)", 1)
    data = stmt_execute(1, b"\0\1\xfc\0\xfd\x40\x0d\x03" + b"q" * 200_000 * 2)
    lines = client.sends(data[:300_000])
    assert lines == ["INSERT (observed, barrier, unfinished, pin INSERT)"]
    client.sends(data[300_000:])
    assert client.forwarded[-1] == data[:5] + (70).to_bytes(4, "little") + data[9:]
    client.hears(okay())


def test_a_long_execution_waits_for_its_statement() -> None:
    client = Conversation()
    prepares(client, "INSERT INTO t VALUES (?)", 1)
    client.moves_to(client.another())
    data = stmt_execute(1, b"\0\1\xfc\0\xfd\x40\x0d\x03" + b"q" * 400_000)
    client.sends(data[:300_000])
    client.sends(data[300_000:])
    assert client.forwarded[-1] == stmt_prepare("INSERT INTO t VALUES (?)")
    client.hears(prepared(5, 1))
    assert client.forwarded[-1] == data[:5] + (5).to_bytes(4, "little") + data[9:]


def test_an_execution_that_leaves_no_room_for_types_is_refused() -> None:
    client = Conversation()
    prepares(client, "INSERT INTO t VALUES (?)", 1)
    client.sends(stmt_execute(1, b"\0\1\xfc\0\0"))
    client.hears(okay())
    client.client_got = b""
    data = stmt_execute(1, b"\0\0" + b"q" * MAX_PAYLOAD)
    assert client.sends(data[:300_000]) == ["INSERT (local)"]
    assert said_error(client.client_got).startswith("1153 08S01 poolgate: an execution of 16 MiB")
    assert client.sends(data[300_000:] + query("SELECT 1")) == ["SELECT (observed, barrier, pin SELECT)"]


def test_a_statement_that_asks_for_the_connections_id() -> None:
    client = Conversation()
    client.sends(stmt_prepare("SELECT CONNECTION_ID(), ?"))
    assert client.forwarded[-1] == stmt_prepare(f"SELECT {client.codec.connection_id}, ?")
    client.hears(prepared(70, 1, 2))
    client.moves_to(client.another())
    client.sends(stmt_execute(1, b"\0\1\x08\0v"))
    assert client.forwarded[-1] == stmt_prepare(f"SELECT {client.codec.connection_id}, ?")
