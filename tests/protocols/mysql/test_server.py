"""How a client's commands become calls: what goes upstream and how, what is refused, what is too long or broken."""

from __future__ import annotations

import pytest

from mysql_playbook import (
    BUFFER,
    GONE,
    LIMIT,
    Conversation,
    failed,
    make_protocol,
    okay,
    query,
    said_error,
    split_at_every_offset,
    table,
    text_row,
)
from protocols.call import Call
from protocols.fault import (
    BUSY,
    DENIED,
    DRAINING,
    LOST,
    NO_ENDPOINT,
    OPEN,
    POOL_EXHAUSTED,
    TIMEOUT,
    UNSUPPORTED,
    Fault,
)
from protocols.mysql.constants import (
    CLIENT_SESSION_TRACK,
    COM_BINLOG_DUMP,
    COM_CREATE_DB,
    COM_DAEMON,
    COM_DEBUG,
    COM_FIELD_LIST,
    COM_INIT_DB,
    COM_PING,
    COM_PROCESS_INFO,
    COM_REFRESH,
    COM_SHUTDOWN,
    COM_SLEEP,
    COM_STATISTICS,
    COM_STMT_PREPARE,
)
from protocols.mysql.packets import MAX_PAYLOAD, command, packet
from protocols.mysql.state import SAVE_INSERT_ID
from protocols.mysql.verbs import BY_NAME

IN_TRANSACTION = 3


# Commands


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        (query("SELECT 1"), "SELECT (observed, barrier, pin SELECT)"),
        (query("  /* hi */ update t set a=1"), "UPDATE (observed, barrier, pin UPDATE)"),
        (query("SELECT 1; DROP TABLE t"), "DROP TABLE (observed, barrier, also SELECT+DROP TABLE, pin DROP TABLE)"),
        (query(""), "OTHER (observed, barrier, pin OTHER)"),
        (query("NONSENSE"), "OTHER (observed, barrier, pin OTHER)"),
        (command(COM_FIELD_LIST, b"t\0"), "FIELD LIST (observed, barrier, rows only, pin FIELD LIST)"),
        (command(COM_STATISTICS), "STATISTICS (observed, barrier, one packet, pin STATISTICS)"),
        (command(COM_INIT_DB, b"shop"), "INIT DB (observed, barrier, pin INIT DB)"),
        (command(COM_STMT_PREPARE, b"x"), "STMT PREPARE (observed, barrier, prepares, pin STMT PREPARE)"),
        (command(COM_CREATE_DB, b"x"), "CREATE DATABASE (observed, barrier, pin CREATE DATABASE)"),
        (command(COM_REFRESH, b"\1"), "FLUSH (observed, barrier, pin FLUSH)"),
        (command(COM_PROCESS_INFO), "SHOW (observed, barrier, pin SHOW)"),
        (command(COM_DEBUG), "DEBUG (observed, barrier, pin DEBUG)"),
        (command(COM_SHUTDOWN, b"\0"), "COM_SHUTDOWN (observed, barrier, pin COM_SHUTDOWN)"),
        (command(COM_BINLOG_DUMP, bytes(10)), "BINLOG DUMP (observed, barrier, pin BINLOG DUMP)"),
    ],
)
def test_what_goes_upstream_is_the_clients_own_bytes(request_: bytes, line: str) -> None:
    for one, two in [(request_, b""), *split_at_every_offset(request_)]:
        client = Conversation()
        assert client.sends(one) + client.sends(two) == [line]
        assert client.forwarded == [request_]


@pytest.mark.parametrize("word", [COM_SLEEP, COM_DAEMON, 0x50, 0xFF])
def test_unknown_commands(word: int) -> None:
    client = Conversation()
    assert client.sends(command(word, b"abc") + query("SELECT 1")) == [
        "OTHER (local)",
        "SELECT (observed, barrier, pin SELECT)",
    ]
    assert said_error(client.client_got) == "1047 08S01 Unknown command"


def test_one_command_at_a_time() -> None:
    """Replies keep the order of the commands, whoever answers them."""
    client = Conversation()
    assert client.sends(query("SELECT 1") + command(COM_PING) + query("SELECT 2")) == [
        "SELECT (observed, barrier, pin SELECT)"
    ]
    assert client.hears(table(1, [text_row(b"1")])) == table(1, [text_row(b"1")]) + okay()
    assert client.lines[1:] == ["PING (local)", "SELECT (observed, barrier, pin SELECT)"]


def test_a_client_that_tracks_gets_replies_as_they_are() -> None:
    client = Conversation(flags=CLIENT_SESSION_TRACK)
    assert client.says("SELECT 1") == ["SELECT (barrier, pin SELECT)"]


def test_ping_is_answered_here_while_the_session_shares() -> None:
    client = Conversation()
    assert client.sends(command(COM_PING)) == ["PING (local)"]
    assert client.client_got == okay()
    client.says("BEGIN")
    client.hears(okay(status=IN_TRANSACTION))
    assert client.sends(command(COM_PING)) == ["PING (observed, barrier, pin transaction)"]


# Long requests


def test_a_long_query_is_passed_on_as_it_comes() -> None:
    data = query("INSERT INTO t VALUES ('" + "x" * BUFFER * 2 + "')")
    client = Conversation()
    assert client.sends(data[: BUFFER - 1]) == []
    assert client.sends(data[BUFFER - 1 : BUFFER]) == ["INSERT (observed, barrier, unfinished, pin INSERT)"]
    for at in range(BUFFER, len(data), 70_000):
        client.sends(data[at : at + 70_000])
    assert client.forwarded == [data]
    assert client.hears(okay(affected=1)) == okay(affected=1)
    assert client.says("SELECT 1") == ["SELECT (observed, barrier, pin SELECT)"]


def test_a_query_of_several_packets() -> None:
    data = packet(b"\x03INSERT INTO t VALUES ('" + b"x" * MAX_PAYLOAD + b"')", 0)
    client = Conversation()
    for at in range(0, len(data), 1 << 20):
        client.sends(data[at : at + (1 << 20)])
    assert client.forwarded == [data]
    client.hears(okay())
    assert client.says("SELECT 1") == ["SELECT (observed, barrier, pin SELECT)"]


def test_the_rest_of_a_refused_query_is_thrown_away() -> None:
    data = query("INSERT INTO t VALUES ('" + "x" * BUFFER * 2 + "')")
    client = Conversation(denied=["INSERT"])
    lines = client.sends(data[:BUFFER])
    assert lines == [
        "INSERT (observed, barrier, unfinished, pin INSERT)"
        ": 1226 42000 poolgate: db: rate limit 5/s exceeded (policy rate_limit)"
    ]
    assert client.sends(data[BUFFER:] + query("SELECT 1")) == ["SELECT (observed, barrier, pin SELECT)"]
    assert client.forwarded == [query("SELECT 1")]


@pytest.mark.parametrize("word", [0x01, 0x0C, 0x0E, 0x11, 0x18, 0x19, 0x1A, 0x1F, 0x50])
@pytest.mark.parametrize("pinned", [False, True])
def test_no_part_of_a_command_that_is_too_long_becomes_another(word: int, pinned: bool) -> None:
    """Whatever a client hides in the rest of it."""
    hidden = query("DROP TABLE t")
    data = command(word, b"\1\0\0\0" + hidden * 20_000)
    client = Conversation(denied=["DROP TABLE"])
    if pinned:
        client.says("BEGIN")
        client.hears(okay(status=IN_TRANSACTION))
    before = len(client.forwarded)
    for at in range(0, len(data), 100_000):
        client.sends(data[at : at + 100_000])
    if client.in_flight:
        client.hears(okay(status=IN_TRANSACTION))
    said = b"".join(client.forwarded[before:])
    assert said in (b"", data)  # a PING of a pinned session goes upstream whole, for the server to refuse
    if not client.closed:
        client.says("SELECT 1")
        assert client.forwarded[-1] == query("SELECT 1")


# Faults


@pytest.mark.parametrize(
    ("reason", "number", "state"),
    [
        (BUSY, 1040, "08004"),
        (POOL_EXHAUSTED, 1040, "08004"),
        (TIMEOUT, 3024, "HY000"),
        (DENIED, 1227, "42000"),
        (NO_ENDPOINT, 2003, "08001"),
        (LOST, 2013, "08S01"),
        (DRAINING, 1053, "08S01"),
        (UNSUPPORTED, 1235, "42000"),
        (OPEN, 1105, "HY000"),
    ],
)
def test_a_fault_is_an_error_packet(reason: str, number: int, state: str) -> None:
    client = Conversation()
    client.says("SELECT 1")
    assert client.current is not None
    fault = Fault(reason, "db", "why", "a_policy", "10.0.0.7:3306")
    said = client.codec.refuse(client.current, fault)
    assert said_error(said) == f"{number} {state} poolgate: db: why [10.0.0.7:3306] (policy a_policy)"
    assert said[3] == 1


def test_a_long_reason_is_cut() -> None:
    client = Conversation()
    said = client.codec.refuse(Call(BY_NAME["SELECT"], 1, b"", 0.0), Fault(LOST, "db", "x" * 2000))
    assert len(said) < 600


def test_a_refused_statement_leaves_no_trace() -> None:
    client = Conversation(denied=["CREATE TEMPORARY TABLE"])
    [line] = client.says("CREATE TEMPORARY TABLE t (a INT)")
    assert line.endswith(str(LIMIT))
    assert (client.codec.pin, client.codec.statement) == (None, None)
    client.says("BEGIN")
    client.hears(okay(status=IN_TRANSACTION))
    client.says("CREATE TEMPORARY TABLE t (a INT)")
    assert client.codec.pin == "transaction"
    assert client.codec.status() == IN_TRANSACTION


def test_the_connection_is_lost_while_a_session_shares() -> None:
    client = Conversation()
    client.says("SELECT 1")
    assert client.loses_its_connection()
    assert said_error(client.client_got) == f"2013 08S01 {GONE}"
    assert client.says("SELECT 2") == ["SELECT (observed, barrier, pin SELECT)"]


def test_the_connection_of_a_transaction_is_lost() -> None:
    client = Conversation()
    client.says("BEGIN")
    client.hears(okay(status=IN_TRANSACTION))
    client.says("SELECT 1")
    assert not client.loses_its_connection()
    farewell = client.codec.farewell(GONE)
    assert (said_error(farewell), farewell[3]) == (f"2013 08S01 {GONE}", 1)


# Broken clients


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (packet(b"\x03SELECT 1", 1), "broken: 1156 08S01 Got packets out of order"),
        (packet(b"", 0), "broken: 1835 HY000 Malformed packet"),
    ],
)
def test_a_client_that_breaks_the_protocol_is_told(data: bytes, line: str) -> None:
    client = Conversation()
    assert client.sends(data + query("SELECT 1")) == [line]
    assert client.client_got[3] == data[3] + 1


# LOCAL INFILE


def test_a_file_goes_from_the_client_to_the_server() -> None:
    asked, file = packet(b"\xfbdata.csv", 1), packet(b"1,2\n", 2) + packet(b"", 3)
    for one, two in split_at_every_offset(file):
        client = Conversation()
        client.says("LOAD DATA LOCAL INFILE 'data.csv' INTO TABLE t")
        assert client.hears(asked) == asked
        client.sends(one)
        client.sends(two)
        assert client.forwarded[0].endswith(b"INTO TABLE t" + file)
        assert client.hears(okay(4, affected=1)) == okay(4, affected=1)
        assert client.says("SELECT 1") == ["SELECT (observed, barrier, pin SELECT)"]


def test_what_the_server_thinks_of_a_file() -> None:
    client = Conversation()
    client.says("LOAD DATA LOCAL INFILE 'data.csv' INTO TABLE t")
    client.hears(packet(b"\xfbdata.csv", 1))
    client.sends(packet(b"", 2))
    assert client.hears(failed(1366, "Incorrect value", 3)) == failed(1366, "Incorrect value", 3)
    assert client.codec.pin is None


# Questions about the connection itself


def test_connection_ids_are_the_gateways() -> None:
    client = Conversation()
    own = client.codec.connection_id
    client.says("SELECT CONNECTION_ID(), a FROM t WHERE id = connection_id ( )")
    assert client.forwarded == [query(f"SELECT {own}, a FROM t WHERE id = {own}")]


def test_somebody_elses_warnings_are_not_shown() -> None:
    protocol = make_protocol()
    client, other = Conversation(protocol=protocol), Conversation(protocol=protocol)
    other.says("SELECT 1/0 FROM t")
    other.hears(table(1, [text_row(None)], warnings=1))
    other.says("SHOW WARNINGS")
    assert other.forwarded[-1] == query("SHOW WARNINGS")  # its own it sees at once
    other.hears(table(3, [text_row(b"Warning", b"1365", b"Division by 0")]))
    other.says("SHOW COUNT(*) WARNINGS")
    assert other.forwarded[-1] == query("SHOW COUNT(*) WARNINGS")
    other.hears(table(1, [text_row(b"1")]))
    other.says("SELECT 1")
    other.hears(table(1, [text_row(b"1")]))
    client.moves_to(other.upstream)
    client.says("SHOW WARNINGS")
    assert client.forwarded[-1] == query("SELECT 1 FROM (SELECT 1) AS t")
    assert client.hears(table(1, [text_row(b"1")])) == b""
    assert client.forwarded[-1] == query("SHOW WARNINGS")
    assert client.hears(table(3, [])) == table(3, [])
    client.says("SHOW WARNINGS")
    assert client.forwarded[-1] == query("SHOW WARNINGS")  # there are none any more


def test_last_insert_id_follows_the_session() -> None:
    client = Conversation()
    client.says("INSERT INTO t VALUES (NULL)")
    client.hears(okay(affected=1, insert_id=41))
    assert client.returned == [[SAVE_INSERT_ID]]
    assert client.says("SELECT LAST_INSERT_ID()") == []  # its value is on the way
    client.hears_cleanup(table(1, [text_row(b"40")]))
    assert client.lines[-1] == "SELECT (observed, barrier, pin SELECT)"
    assert client.forwarded[-1] == query("SELECT LAST_INSERT_ID(40)")
    client.hears(okay())
    assert client.forwarded[-1] == query("SELECT LAST_INSERT_ID()")


def test_a_long_query_comes_back_when_the_id_is_there() -> None:
    client = Conversation()
    client.says("INSERT INTO t VALUES (NULL)")
    client.hears(okay(affected=1, insert_id=41))
    data = query("SELECT LAST_INSERT_ID(), '" + "x" * BUFFER * 2 + "'")
    assert client.sends(data[: BUFFER + 9]) == []
    client.hears_cleanup(b"")  # it could not be asked: the OK packet's has to do
    assert client.lines[-1] == "SELECT (observed, barrier, unfinished, pin SELECT)"
    client.sends(data[BUFFER + 9 :])
    assert client.forwarded[-1] == query("SELECT LAST_INSERT_ID(41)")
    client.hears(okay())
    assert client.forwarded[-1] == data
