"""What the gateway answers a client itself: its login, its own connection's affairs, and KILL."""

from __future__ import annotations

import pytest

from mysql_playbook import (
    MARIADB,
    MYSQL,
    Conversation,
    failed,
    hello,
    make_protocol,
    okay,
    prepared,
    query,
    said_error,
    table,
    text_row,
)
from protocols.codec import Host
from protocols.mysql.answers import FIRST_ID
from protocols.mysql.constants import (
    CLIENT_COMPRESS,
    CLIENT_DEPRECATE_EOF,
    CLIENT_MULTI_STATEMENTS,
    COM_CHANGE_USER,
    COM_INIT_DB,
    COM_PROCESS_KILL,
    COM_QUIT,
    COM_RESET_CONNECTION,
    COM_SET_OPTION,
    COM_STMT_PREPARE,
)
from protocols.mysql.login import ServerFacts
from protocols.mysql.packets import command, first_value, packet
from protocols.mysql.tag import Tag

IN_TRANSACTION = 3


def change_user(user: str, schema: str = "", filler: bytes = b"") -> bytes:
    return command(
        COM_CHANGE_USER, user.encode() + b"\0\0" + schema.encode() + b"\0\x21\0mysql_native_password\0" + filler
    )


# The login


@pytest.mark.parametrize(("facts", "plugin"), [(MARIADB, b"mysql_native_password"), (MYSQL, b"caching_sha2_password")])
def test_the_greeting_is_the_upstreams_as_far_as_we_keep_it(facts: ServerFacts, plugin: bytes) -> None:
    client = Conversation(protocol=make_protocol(facts=facts), greets=False)
    greeting = client.greeting
    assert greeting[5:].startswith(facts.version.encode() + b"\0" + client.codec.connection_id.to_bytes(4, "little"))
    assert greeting.endswith(plugin + b"\0")
    assert client.codec.connection_id >= FIRST_ID
    assert (client.codec.logged_in, client.codec.facts(100.0)["connection_id"]) == (False, client.codec.connection_id)


def test_nonces_differ() -> None:
    assert Conversation(greets=False).greeting != Conversation(greets=False).greeting


def test_a_login_without_a_schema_asks_nobody() -> None:
    client = Conversation(greets=False)
    assert client.sends(hello(collation=8)) == ["LOGIN (local)"]
    assert client.client_got == okay(2)
    assert (client.codec.user, client.codec.logged_in, client.lent) == ("app", True, False)
    assert client.codec.current_tag().settings["character_set_client"] == b"latin1"


def test_before_the_greeting_nothing_is_heard() -> None:
    """An upstream that was never seen has to be found first; whoever speaks meanwhile is nobody yet."""
    protocol = make_protocol()
    codec = protocol.server(7, "10.0.0.9:5000", "127.0.0.1:3306", False, 100.0)
    for said in (
        query("SET @a=1"),
        query("BEGIN"),
        command(COM_CHANGE_USER, b"bob\0\0\0"),
        command(COM_RESET_CONNECTION),
    ):
        codec.feed(said)
        assert codec.next(100.0) is None
    codec.leftover()
    codec.feed(hello())
    assert codec.next(100.0) is None
    codec.greet()
    call = codec.next(100.0)
    assert call is not None
    assert (call.verb.name, codec.logged_in) == ("LOGIN", True)


def test_commands_may_follow_the_login_without_a_pause() -> None:
    client = Conversation(greets=False)
    assert client.sends(hello() + query("SELECT 1")) == ["LOGIN (local)", "SELECT (observed, barrier, pin SELECT)"]


def test_whether_a_schema_is_there_the_upstream_says() -> None:
    client = Conversation(greets=False)
    assert client.sends(hello(schema="shop") + query("SELECT 1")) == ["LOGIN (observed, barrier, pin login)"]
    assert client.forwarded == [command(COM_INIT_DB, b"shop")]
    assert client.hears(okay()) == okay(2)
    assert client.codec.current_tag().schema == b"shop"
    assert client.lines[1:] == ["SELECT (observed, barrier, pin SELECT)"]
    second = Conversation(protocol=client.protocol, greets=False)
    assert second.sends(hello(schema="shop")) == ["LOGIN (local)"]  # it was there a moment ago


def test_a_schema_that_is_not_there_ends_the_login() -> None:
    client = Conversation(greets=False)
    client.sends(hello(schema="nope") + query("DROP TABLE t"))
    assert client.hears(failed(1049, "Unknown database 'nope'")) == failed(1049, "Unknown database 'nope'", 2)
    assert client.closed
    assert client.forwarded == [command(COM_INIT_DB, b"nope")]


def test_a_login_whose_schema_nobody_can_tell_of_fails() -> None:
    client = Conversation(greets=False)
    client.sends(hello(schema="shop"))
    client.loses_its_connection()
    assert said_error(client.client_got).startswith("2013")
    assert client.client_got[3] == 2


def test_compression_starts_behind_the_login() -> None:
    client = Conversation(greets=False)
    client.sends(hello(CLIENT_COMPRESS))
    assert client.codec.starts_layer is not None
    client = Conversation(greets=False)
    client.sends(hello(CLIENT_COMPRESS, "shop"))
    assert client.codec.starts_layer is None
    client.hears(okay())
    assert client.codec.starts_layer is not None


def test_a_client_may_ask_for_tls_only_where_it_is_offered() -> None:
    client = Conversation(greets=False)
    assert client.sends(b"\x21\0\0\1" + hello()[4:])[0].startswith("broken: 1835")


# COM_CHANGE_USER


def changes_user(client: Conversation, user: str, schema: str = "") -> list[str]:
    client.client_got = b""
    assert client.sends(change_user(user, schema)) == []
    assert client.client_got[4:].startswith(b"\xfemysql_native_password\0")
    client.client_got = b""
    return client.sends(packet(b"", 2))


def test_change_user_is_a_login_on_the_same_connection() -> None:
    client = Conversation(schema="shop")
    client.says("SET sql_mode='ANSI'")
    client.hears(okay())
    assert changes_user(client, "bob") == ["LOGIN (local)"]
    assert (client.client_got, client.codec.user) == (okay(3), "bob")
    tag = client.codec.current_tag()
    assert (tag.schema, "sql_mode" in tag.settings) == (b"", False)
    assert client.says("SELECT 1") == ["SELECT (observed, barrier, pin SELECT)"]


def test_change_user_gives_up_all_that_the_session_had() -> None:
    client = Conversation()
    client.says("CREATE TEMPORARY TABLE t (a INT)")
    client.hears(okay())
    client.sends(command(COM_STMT_PREPARE, b"SELECT 1"))
    client.hears(prepared(70))
    assert changes_user(client, "bob") == ["LOGIN (local)"]
    assert (client.codec.pin, client.lent, client.codec.statements) == (None, False, {})
    assert client.returned == [[command(COM_RESET_CONNECTION), *client.protocol.shared.setup()]]


def test_change_user_to_a_schema() -> None:
    client = Conversation()
    assert changes_user(client, "bob", "shop") == ["LOGIN (observed, barrier, pin login)"]
    assert client.hears(okay()) == okay(3)
    assert client.codec.current_tag().schema == b"shop"


def test_change_user_is_bounded() -> None:
    client = Conversation()
    data = change_user("bob", filler=b"x" * 400_000)
    assert client.sends(data[:300_000]) == ["broken: 1835 HY000 the login packet is too long"]


# COM_RESET_CONNECTION


def test_reset_keeps_the_schema_and_nothing_else() -> None:
    client = Conversation(schema="shop", flags=CLIENT_MULTI_STATEMENTS)
    client.says("SET sql_mode='ANSI'")
    client.hears(okay())
    fresh = Conversation(schema="shop", flags=CLIENT_MULTI_STATEMENTS, protocol=client.protocol).codec.tag
    assert client.codec.tag != fresh
    client.client_got = b""
    assert client.sends(command(COM_RESET_CONNECTION)) == ["RESET CONNECTION (local)"]
    assert (client.client_got, client.codec.tag) == (okay(), fresh)


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_reset_ends_a_transaction_and_cleans_its_connection(mode: str) -> None:
    client = Conversation(protocol=make_protocol(mode=mode))
    client.says("BEGIN")
    client.hears(okay(status=IN_TRANSACTION))
    client.client_got = b""
    client.sends(command(COM_RESET_CONNECTION))
    assert (client.client_got, client.lent) == (okay(), False)
    assert client.returned == [[command(COM_RESET_CONNECTION), *client.protocol.shared.setup()]]
    client.says("SELECT 1")
    client.hears(table(1, []))
    assert client.codec.pin == ("pool.mode session" if mode == "session" else None)


def test_reset_of_a_session_whose_text_could_not_be_read() -> None:
    """It shares from now on, and what it had is cleaned."""
    client = Conversation()
    client.says("SET NAMES gbk")
    client.hears(okay())
    client.says("SELECT 1")
    client.hears(table(1, []))
    assert client.codec.pin == "character set"
    client.sends(command(COM_RESET_CONNECTION))
    assert client.codec.pin is None
    assert client.returned[-1] == [command(COM_RESET_CONNECTION), *client.protocol.shared.setup()]


@pytest.mark.parametrize("how", ["reset", "change user"])
def test_what_no_reset_takes_back_ends_with_its_connection(how: str) -> None:
    client = Conversation()
    client.says("SET ROLE boss")
    client.hears(okay())
    assert client.codec.pin == "SET ROLE"
    if how == "reset":
        client.sends(command(COM_RESET_CONNECTION))
    else:
        changes_user(client, "bob")
    assert client.returned == [None]
    assert client.codec.pin is None
    client.says("SELECT 1")
    client.hears(table(1, []))
    assert client.returned[-1] == []


# Small answers


def test_quit_says_nothing() -> None:
    client = Conversation()
    client.client_got = b""
    assert client.sends(command(COM_QUIT) + query("SELECT 1")) == ["QUIT (local, closes)"]
    assert client.client_got == b""


@pytest.mark.parametrize("flags", [0, CLIENT_DEPRECATE_EOF])
def test_set_option_is_remembered(flags: int) -> None:
    client = Conversation(flags=flags)
    client.client_got = b""
    client.sends(command(COM_SET_OPTION, b"\0\0"))
    assert client.codec.current_tag().multi_statements
    assert client.client_got[4] == 0xFE
    assert len(client.client_got) == (11 if flags else 9)
    client.sends(command(COM_SET_OPTION, b"\1\0"))
    assert not client.codec.current_tag().multi_statements


@pytest.mark.parametrize("flags", [0, CLIENT_DEPRECATE_EOF])
def test_select_connection_id(flags: int) -> None:
    client = Conversation(flags=flags)
    client.client_got = b""
    assert client.says("SELECT CONNECTION_ID() AS me") == ["SELECT (local)"]
    assert first_value(client.client_got) == b"%d" % client.codec.connection_id
    assert b"\x02me" in client.client_got


def test_found_rows_and_row_count_are_known_here() -> None:
    client = Conversation()

    def asks(sql: str) -> bytes | None:
        client.client_got = b""
        assert client.says(sql)[0].endswith("(local)")
        return first_value(client.client_got)

    client.says("SELECT a FROM t")
    client.hears(table(1, [text_row(b"1")] * 3))
    assert asks("SELECT FOUND_ROWS()") == b"3"
    assert asks("SELECT FOUND_ROWS()") == b"1"  # of that SELECT itself
    assert asks("SELECT ROW_COUNT()") == b"-1"
    client.says("UPDATE t SET a=1")
    client.hears(okay(affected=4))
    assert asks("SELECT ROW_COUNT()") == b"4"


@pytest.mark.parametrize(
    "sql", ["BEGIN", "SET autocommit=0", "CREATE TEMPORARY TABLE t (a INT)", "SELECT GET_LOCK('a', 1)"]
)
def test_in_statement_mode_nothing_may_last(sql: str) -> None:
    client = Conversation(protocol=make_protocol(mode="statement"))
    client.client_got = b""
    [line] = client.says(sql)
    assert line.endswith("(local)")
    assert said_error(client.client_got).startswith("1235 42000 poolgate: db: ")
    assert client.client_got.endswith(b"is refused in pool.mode statement")
    assert client.says("SET sql_mode='ANSI'") == ["SET (observed, barrier, pin SET)"]


# KILL


class Watcher(Host):
    def __init__(self) -> None:
        self.done: list[str] = []

    def disconnect(self, session_id: int) -> None:
        self.done.append(f"disconnect {session_id}")

    def interrupt(self, session_id: int) -> bool:
        self.done.append(f"interrupt {session_id}")
        return True


def test_kill_of_a_session_of_ours() -> None:
    protocol, host = make_protocol(), Watcher()
    protocol.attach(host)
    client, victim = Conversation(protocol=protocol), Conversation(protocol=protocol)
    number, own = victim.codec.connection_id, victim.codec.id
    for said, done in (
        (query(f"KILL QUERY {number}"), [f"interrupt {own}"]),
        (query(f"KILL {number}"), [f"interrupt {own}", f"disconnect {own}"]),
        (query(f"KILL CONNECTION {number}"), [f"interrupt {own}", f"disconnect {own}"]),
        (command(COM_PROCESS_KILL, number.to_bytes(4, "little")), [f"interrupt {own}", f"disconnect {own}"]),
    ):
        client.client_got, host.done = b"", []
        assert client.sends(said) == ["KILL (local)"]
        assert (client.client_got, host.done) == (okay(), done)


def test_nobody_kills_the_sessions_of_another_user() -> None:
    protocol, host = make_protocol(), Watcher()
    protocol.attach(host)
    client, victim = Conversation(protocol=protocol), Conversation(protocol=protocol, greets=False)
    victim.sends(hello(user="bob"))
    client.client_got = b""
    client.says(f"KILL {victim.codec.connection_id}")
    assert said_error(client.client_got) == f"1095 HY000 You are not owner of thread {victim.codec.connection_id}"
    assert host.done == []


@pytest.mark.parametrize(
    "request_",
    [query("KILL 5"), query("KILL QUERY 5"), query(f"KILL {FIRST_ID + 999}"), command(COM_PROCESS_KILL, b"\5\0\0\0")],
)
def test_kill_of_a_thread_of_the_servers(request_: bytes) -> None:
    client = Conversation()
    assert client.sends(request_) == ["KILL (observed, barrier, pin KILL)"]
    assert client.forwarded == [request_]


def test_who_has_left_cannot_be_killed() -> None:
    client, victim = Conversation(), Conversation()
    client.protocol.left(victim.codec.id)
    assert client.says(f"KILL {victim.codec.connection_id}") == ["KILL (observed, barrier, pin KILL)"]


def test_a_short_process_kill_is_the_servers_to_judge() -> None:
    assert Conversation().sends(command(COM_PROCESS_KILL, b"\5")) == ["KILL (observed, barrier, pin KILL)"]


def test_tags_of_equal_logins_are_one_object() -> None:
    protocol = make_protocol()
    tags = [Conversation(protocol=protocol, schema="shop").codec.tag for _ in range(2)]
    assert tags[0] is tags[1]
    assert isinstance(tags[0], Tag)
