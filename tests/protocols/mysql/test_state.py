"""What keeps a session's connection, what ends that, and in which state a connection goes back."""

from __future__ import annotations

import pytest

from mysql_playbook import (
    MYSQL,
    Conversation,
    failed,
    make_protocol,
    okay,
    prepared,
    query,
    table,
    text_row,
    tracked,
)
from protocols.mysql.constants import (
    COM_INIT_DB,
    COM_RESET_CONNECTION,
    COM_SET_OPTION,
    COM_STATISTICS,
    COM_STMT_PREPARE,
    SERVER_MORE_RESULTS_EXISTS,
    SESSION_TRACK_SCHEMA,
    SESSION_TRACK_STATE_CHANGE,
)
from protocols.mysql.packets import command, lenenc_bytes
from protocols.mysql.state import SAVE_INSERT_ID

IN_TRANSACTION = 3
NO_AUTOCOMMIT = 0
CHANGED = bytes([SESSION_TRACK_STATE_CHANGE]) + lenenc_bytes(lenenc_bytes(b"1"))


def schema(name: bytes) -> bytes:
    return bytes([SESSION_TRACK_SCHEMA]) + lenenc_bytes(lenenc_bytes(name))


def runs(client: Conversation, sql: str, reply: bytes | None = None) -> str | None:
    """The pin behind a statement."""
    client.says(sql)
    if client.in_flight is not None:
        client.hears(okay() if reply is None else reply)
    assert client.current is None, "it is still under way"
    return client.codec.pin


def reset(client: Conversation) -> list[bytes]:
    return [command(COM_RESET_CONNECTION), *client.protocol.shared.setup()]


# Pins


@pytest.mark.parametrize(
    ("sql", "pin", "ends"),
    [
        ("CREATE TEMPORARY TABLE t (a INT)", "temporary table", None),
        ("PREPARE s FROM 'SELECT 1'", "PREPARE", None),
        ("HANDLER t OPEN", "HANDLER", None),
        ("LOCK TABLES t READ", "LOCK TABLES", "UNLOCK TABLES"),
        ("FLUSH TABLES WITH READ LOCK", "FLUSH TABLES WITH READ LOCK", "UNLOCK TABLES"),
        ("SELECT GET_LOCK('a', 1)", "GET_LOCK()", "SELECT RELEASE_ALL_LOCKS()"),
        ("XA START 'a'", "XA", "XA COMMIT 'a'"),
        ("SET @a = 1", "user variable", None),
        ("SELECT @a := 1", "user variable", None),
        ("SELECT SQL_CALC_FOUND_ROWS a FROM t", "SQL_CALC_FOUND_ROWS", "SELECT 1"),
        ("CALL p()", "CALL", None),
        ("SET ROLE boss", "SET ROLE", None),
        ("SET timestamp = 5", "SET", None),
    ],
)
def test_pins_and_their_ends(sql: str, pin: str, ends: str | None) -> None:
    client = Conversation()
    assert runs(client, sql, failed()) in (None, f"an error in {pin}")
    client = Conversation()
    assert runs(client, sql) == pin
    assert client.codec.facts(client.now)["pins"] == ([] if pin == "SQL_CALC_FOUND_ROWS" else [f"{pin} since 0.0 s"])
    if ends is not None:
        assert runs(client, ends) is None
        assert client.returned[-1] == []


def test_a_transaction_is_what_the_server_says() -> None:
    client = Conversation()
    assert runs(client, "BEGIN", okay(status=IN_TRANSACTION)) == "transaction"
    assert runs(client, "SELECT 1", failed()) == "transaction"
    assert runs(client, "INSERT INTO t VALUES (1)", okay(status=IN_TRANSACTION)) == "transaction"
    assert runs(client, "COMMIT") is None
    assert client.returned == [[]]


def test_autocommit_off_alone_keeps_no_connection() -> None:
    client = Conversation()
    assert runs(client, "SET autocommit=0", okay(status=NO_AUTOCOMMIT, state=tracked(("autocommit", "OFF")))) is None
    assert client.tag_left is not None
    assert client.tag_left.settings["autocommit"] == b"0"
    assert runs(client, "SELECT a FROM t", table(1, [], status=1)) == "transaction"
    assert client.codec.status() == 1


def test_set_transaction_keeps_it_to_the_end_of_the_next_transaction() -> None:
    client = Conversation()
    assert runs(client, "SET TRANSACTION READ ONLY") == "SET TRANSACTION"
    assert runs(client, "BEGIN", okay(status=IN_TRANSACTION)) == "transaction"
    assert runs(client, "COMMIT") is None


def test_warnings_keep_it_for_one_more_statement() -> None:
    client = Conversation()
    assert runs(client, "SELECT 1/0", okay(warnings=1)) == "warnings"
    assert runs(client, "SHOW WARNINGS", table(3, [])) == "warnings"
    assert runs(client, "SELECT 1", table(1, [])) is None


def test_what_the_server_says_has_changed() -> None:
    client = Conversation()
    assert runs(client, "SELECT f()", okay(state=CHANGED)) == "session state"
    client = Conversation()
    assert runs(client, "SELECT f()", okay(state=tracked(("sql_mode", "ANSI")))) is None
    assert client.codec.current_tag().settings["sql_mode"] == b"'ANSI'"
    client = Conversation()
    assert runs(client, "SELECT f()", okay(state=tracked(("timestamp", "5")))) == "SET timestamp"


def test_several_statements_of_which_the_last_one_fails() -> None:
    more = 2 | SERVER_MORE_RESULTS_EXISTS
    client = Conversation()
    data = okay(status=more) + failed(sequence=2)
    assert runs(client, "CREATE TEMPORARY TABLE t (a INT); NONSENSE", data) is not None


def test_session_mode_keeps_it_from_the_first_statement_on() -> None:
    client = Conversation(protocol=make_protocol(mode="session"))
    assert runs(client, "SELECT 1", table(1, [])) == "pool.mode session"


def test_text_that_cannot_be_read() -> None:
    client = Conversation()
    assert runs(client, "SET NAMES gbk") == "character set"
    assert runs(client, "SET NAMES utf8mb4") is None


# Settings


def test_a_set_of_literals_asks_the_server_once() -> None:
    client = Conversation()
    assert runs(client, "SET sql_mode='ANSI', time_zone='+00:00'") is None
    first = client.codec.tag
    other = Conversation(protocol=client.protocol)
    assert other.says("SET sql_mode='ANSI', time_zone='+00:00'") == ["SET (local)"]
    assert other.codec.tag is first
    assert not other.lent


def test_a_set_that_failed_changes_nothing() -> None:
    client = Conversation()
    before = client.codec.tag
    assert runs(client, "SET sql_mode='NOPE'", failed(1231)) is None
    assert client.codec.tag is before
    assert client.says("SET sql_mode='NOPE'") == ["SET (observed, barrier, pin SET)"]


def test_a_set_while_pinned_goes_to_the_connection_at_hand() -> None:
    client = Conversation()
    runs(client, "SET sql_mode='ANSI'")
    runs(client, "SET sql_mode=''")
    runs(client, "BEGIN", okay(status=IN_TRANSACTION))
    assert client.says("SET sql_mode='ANSI'") == ["SET (observed, barrier, pin transaction)"]
    client.hears(okay(status=IN_TRANSACTION))
    assert client.codec.current_tag().settings["sql_mode"] == b"'ANSI'"


def test_autocommit_set_here_shows_in_answers() -> None:
    client = Conversation()
    runs(client, "SET autocommit=0", okay(status=NO_AUTOCOMMIT))
    runs(client, "SET autocommit=1", okay())
    client.client_got = b""
    assert client.says("SET autocommit=0") == ["SET (local)"]
    assert client.client_got == okay(status=NO_AUTOCOMMIT)


def test_user_variables_may_be_replayed() -> None:
    client = Conversation(protocol=make_protocol(replay_user_variables=True))
    assert runs(client, "SET @a = 5") is None
    assert client.codec.current_tag().settings["@a"] == b"5"
    assert client.says("SET @a = 5")[0] == "SET (observed, barrier, pin SET)"  # not learned: it is the client's own


def test_too_many_settings_keep_the_connection() -> None:
    client = Conversation(protocol=make_protocol(replay_user_variables=True))
    pins = [runs(client, f"SET @a{i} = 5") for i in range(70)]
    assert pins[0] is None
    assert pins[-1] is not None
    assert len(client.codec.current_tag().settings) <= 64


def test_use_is_answered_here_while_the_schema_is_known_to_be_there() -> None:
    client = Conversation(schema="shop")
    assert runs(client, "USE other", okay(state=schema(b"other"))) is None
    assert client.codec.current_tag().schema == b"other"
    assert client.says("USE shop") == ["USE (local)"]
    client.now += 60
    assert client.says("USE other") == ["USE (observed, barrier, pin USE)"]
    client.hears(failed(1049))
    assert client.codec.current_tag().schema == b"shop"


def test_init_db_is_the_same() -> None:
    client = Conversation(schema="shop")
    assert client.sends(command(COM_INIT_DB, b"other")) == ["INIT DB (observed, barrier, pin INIT DB)"]
    client.hears(okay())
    assert client.codec.current_tag().schema == b"other"
    assert client.sends(command(COM_INIT_DB, b"shop")) == ["INIT DB (local)"]


def test_a_schema_that_the_session_lost() -> None:
    client = Conversation(schema="shop")
    runs(client, "DROP DATABASE shop", okay(state=schema(b"")))
    assert client.codec.current_tag().schema == b""


def test_set_option_of_a_pinned_session_goes_to_its_connection() -> None:
    client = Conversation()
    runs(client, "BEGIN", okay(status=IN_TRANSACTION))
    assert client.sends(command(COM_SET_OPTION, b"\0\0")) == ["SET OPTION (observed, barrier, pin transaction)"]
    client.hears(okay(status=IN_TRANSACTION, first=0xFE))
    assert client.codec.current_tag().multi_statements


# In which state a connection goes back


def test_a_clean_one_goes_back_as_it_is() -> None:
    client = Conversation(schema="shop")
    runs(client, "SELECT 1", table(1, []))
    assert (client.returned, client.tag_left) == ([[]], client.codec.tag)


def test_a_client_that_leaves_in_a_transaction() -> None:
    client = Conversation(schema="shop")
    runs(client, "BEGIN", okay(status=IN_TRANSACTION))
    client.sends(command(COM_STMT_PREPARE, b"SELECT 1"))
    client.hears(prepared(70))
    assert client.codec.cleanup() == reset(client)
    left = client.codec.left_tag()
    assert left == client.protocol.shared.one(client.codec.current_tag())
    assert len(client.upstream.statements) == 0


def test_a_client_that_leaves_in_a_statement() -> None:
    client = Conversation()
    client.says("SELECT 1")
    assert client.codec.cleanup() == reset(client)


def test_behind_a_reset_settings_are_the_base() -> None:
    client = Conversation(schema="shop")
    runs(client, "SET sql_mode='ANSI'")
    runs(client, "BEGIN", okay(status=IN_TRANSACTION))
    assert client.codec.cleanup() == reset(client)
    left = client.codec.left_tag()
    assert left == client.protocol.shared.login_tag(0, b"shop", 45)


@pytest.mark.parametrize("sql", ["SET ROLE boss", "XA START 'a'"])
def test_what_no_reset_takes_back(sql: str) -> None:
    client = Conversation()
    runs(client, sql)
    assert client.codec.cleanup() is None


def test_a_statement_that_was_given_up_may_have_done_anything() -> None:
    """After a timeout its reply is discarded: what the server said of transactions and settings, nobody heard."""
    client = Conversation()
    client.says("BEGIN")
    call = client.current
    assert call is not None
    client.current = client.in_flight = None
    client.codec.finished(call, client.now)
    assert client.codec.pin is None
    assert client.codec.cleanup() == reset(client)
    assert client.codec.cleanup() == []


def test_a_statement_that_was_not_sent_has_done_nothing() -> None:
    client = Conversation(denied=["BEGIN"])
    client.says("BEGIN")
    runs(client, "SELECT 1", table(1, []))
    assert client.returned == [[]]


@pytest.mark.parametrize("word", [COM_STMT_PREPARE, COM_STATISTICS])
def test_replies_that_say_nothing_of_the_state_leave_it_clean(word: int) -> None:
    client = Conversation()
    client.sends(command(word, b"SELECT 1"))
    client.hears(prepared(70))
    assert client.returned == [[]]


def test_an_insert_id_is_saved_before_somebody_else_inserts() -> None:
    client = Conversation()
    runs(client, "INSERT INTO t VALUES (NULL)", okay(affected=1, insert_id=41))
    assert client.returned == [[SAVE_INSERT_ID]]
    client.hears_cleanup(table(1, [text_row(b"40")]))
    assert client.codec.last_insert_id == 40
    runs(client, "SELECT 1", table(1, []))
    assert client.returned[-1] == []
    odd_ones = [table(1, [text_row(None)]), table(1, [text_row(b"x")]), table(2, [text_row(b"1", b"2")])]
    for odd in (b"", failed(), *odd_ones):
        client.codec.cleaning = True
        client.hears_cleanup(odd)
        assert client.codec.last_insert_id == 40


def test_a_lost_connection_leaves_nothing_to_be_saved() -> None:
    client = Conversation()
    runs(client, "BEGIN", okay(status=IN_TRANSACTION))
    runs(client, "INSERT INTO t VALUES (NULL)", okay(affected=1, insert_id=41, status=IN_TRANSACTION))
    assert not client.codec.lease_lost()
    assert client.codec.cleanup() == []


def test_mysql_is_trusted_to_tell_what_a_routine_did() -> None:
    client = Conversation(protocol=make_protocol(facts=MYSQL))
    assert runs(client, "CALL p()") is None
    client = Conversation(protocol=make_protocol(facts=MYSQL))
    assert runs(client, "CALL p()", okay(state=CHANGED)) == "session state"
    client = Conversation(protocol=make_protocol(facts=MYSQL))
    assert runs(client, "CALL p()", failed()) == "an error in CALL"


def test_facts_tell_an_operator() -> None:
    client = Conversation(schema="shop")
    client.says("SELECT 1")
    facts = client.codec.facts(client.now)
    assert (facts["schema"], facts["statement"], facts["in_transaction"]) == ("shop", "SELECT ?", False)
    assert query("SELECT 1") == client.forwarded[-1]
