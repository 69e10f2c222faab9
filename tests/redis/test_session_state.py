"""What a client sets on its connection is its own: database, user, protocol version, name, reply mode."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import hiredis
import pytest
import redis

from fake_upstream import FakeUpstream, greet
from gateways import Gateway, Wire, upstream_connections
from servers import LOOPBACK, RedisServer

Keys = Callable[[str], str]
NO_SUCH_DB = 999


@pytest.fixture(scope="module")
def gateway(redis_server: RedisServer) -> Iterator[Gateway]:
    with Gateway(redis_server) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def guarded(redis_server: RedisServer) -> Iterator[Gateway]:
    """It knows two users, and the default user by its password."""
    clients = [
        {"user": "app", "password": "apple"},
        {"user": "report", "password": "pear", "allow": ["read"]},
        {"password": "plum"},
    ]
    with Gateway(redis_server, clients=clients) as gateway:
        yield gateway


@pytest.fixture
def wire(gateway: Gateway) -> Iterator[Wire]:
    with gateway.wire() as wire:
        yield wire


def fails(reply: object, start: str) -> bool:
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(start)


# SELECT


def test_each_client_has_its_own_database(gateway: Gateway, key: Keys) -> None:
    with gateway.wires(8) as wires:
        for number, wire in enumerate(wires):
            assert wire.calls(f"SELECT {number}", f"SET {key('db')} {number}") == ["OK", "OK"]
        for _ in range(3):
            assert [wire.call("GET", key("db")) for wire in wires] == [str(number) for number in range(8)]


def test_commands_of_one_pipeline_go_to_the_database_selected_before_them(wire: Wire, key: Keys) -> None:
    name = key("a")
    commands = f"SELECT 1|SET {name} one|SELECT 2|SET {name} two|SELECT 1|GET {name}|SELECT 2|GET {name}|SELECT 0"
    replies = wire.calls(*commands.split("|"), f"GET {name}")
    assert replies == ["OK", "OK", "OK", "OK", "OK", "one", "OK", "two", "OK", None]


def test_commands_are_executed_in_order_though_they_take_several_connections() -> None:
    """The reply in database 0 takes its time; what comes behind it for database 1 is not sent before."""
    seen: list[str] = []

    def behave(connection: socket.socket) -> None:
        greet(connection)
        while data := connection.recv(4096):
            if b"first" in data:
                seen.append("first arrives")
                time.sleep(0.2)
                seen.append("first is done")
            if b"second" in data:
                seen.append("second arrives")
            connection.sendall(b"+OK\r\n" * data.count(b"*"))

    with FakeUpstream(behave) as upstream, Gateway(upstream.address) as gateway, gateway.wire() as wire:
        assert wire.calls("SELECT 1", "GET x", "SELECT 0") == ["OK", "OK", "OK"]
        assert wire.calls("SET first 1", "SELECT 1", "SET second 1") == ["OK", "OK", "OK"]
    assert seen == ["first arrives", "first is done", "second arrives"]


@pytest.mark.parametrize("index", [str(NO_SUCH_DB), "-1", "x", "1.5", ""])
def test_a_wrong_database_is_refused_in_redis_own_words(
    wire: Wire, redis_server: RedisServer, key: Keys, index: str
) -> None:
    wire.call("SELECT", 3)
    with redis_server.client() as direct, pytest.raises(redis.ResponseError) as said:
        direct.execute_command("SELECT", index)
    reply = wire.call("SELECT", index)
    assert isinstance(reply, hiredis.ReplyError)
    assert str(reply).removeprefix("ERR ") == str(said.value)
    wire.call("SET", key("a"), index)
    assert f"db={3} " in wire.call("CLIENT", "INFO")
    with redis_server.client(db=3, decode_responses=True) as direct:
        assert direct.get(key("a")) == index


def test_select_needs_its_argument(wire: Wire) -> None:
    assert fails(wire.call("SELECT"), "ERR wrong number of arguments for 'select' command")
    assert fails(wire.call("SELECT", "1", "2"), "ERR wrong number of arguments for 'select' command")


def test_a_database_of_the_upstream_is_where_fresh_clients_start(redis_server: RedisServer, key: Keys) -> None:
    with Gateway(redis_server, upstream={"db": 5}) as gateway, gateway.wire() as wire:
        assert wire.calls(f"SET {key('a')} five", "SELECT 6", f"GET {key('a')}", "RESET") == ["OK", "OK", None, "RESET"]
        assert wire.call("GET", key("a")) == "five"
    with redis_server.client(db=5) as direct:
        assert direct.get(key("a")) == b"five"


# AUTH and HELLO


def test_without_a_password_nothing_is_executed(guarded: Gateway, redis_server: RedisServer, key: Keys) -> None:
    with guarded.wire() as wire:
        replies = wire.calls(f"SET {key('a')} 1", "PING", "MULTI", f"SET {key('a')} 2", "EXEC", "SUBSCRIBE x", "GET")
        assert all(fails(reply, "NOAUTH Authentication required") for reply in replies)
    with redis_server.client() as direct:
        assert not direct.exists(key("a"))


def test_what_follows_a_wrong_password_is_not_executed(guarded: Gateway, redis_server: RedisServer, key: Keys) -> None:
    with guarded.wire() as wire:
        wrong, first, second, unknown = wire.calls(
            "AUTH app orange", f"SET {key('a')} 1", f"SET {key('a')} 2", "AUTH nobody apple"
        )
        assert fails(wrong, "WRONGPASS invalid username-password pair") and fails(unknown, "WRONGPASS")
        assert fails(first, "NOAUTH") and fails(second, "NOAUTH")
        assert wire.calls("AUTH app apple", f"SET {key('b')} 1") == ["OK", "OK"]
    with redis_server.client() as direct:
        assert direct.exists(key("a"), key("b")) == 1


def test_a_failed_login_leaves_the_earlier_one_in_force(guarded: Gateway) -> None:
    with guarded.wire() as wire:
        assert wire.calls("AUTH app apple", "ACL WHOAMI") == ["OK", "app"]
        assert fails(wire.call("AUTH", "report", "apple"), "WRONGPASS")
        assert wire.calls("ACL WHOAMI", "PING") == ["app", "PONG"]


def test_auth_with_a_password_alone_is_the_default_user(guarded: Gateway) -> None:
    with guarded.wire() as wire:
        assert fails(wire.call("AUTH", "apple"), "WRONGPASS")
        assert wire.calls("AUTH plum", "ACL WHOAMI") == ["OK", "default"]


def test_hello_logs_in_and_names_the_client(guarded: Gateway) -> None:
    with guarded.wire() as wire:
        assert fails(wire.call("HELLO", 3), "NOAUTH HELLO must be called with the client already authenticated")
        assert fails(wire.call("HELLO", 3, "AUTH", "app", "orange"), "WRONGPASS")
        assert fails(wire.call("GET", "x"), "NOAUTH")
        greeting = wire.call("HELLO", 3, "AUTH", "app", "apple", "SETNAME", "worker")
        assert (greeting["proto"], greeting["server"], greeting["mode"]) == (3, "redis", "standalone")
        assert greeting["id"] == wire.call("CLIENT", "ID")
        assert wire.calls("CLIENT GETNAME", "ACL WHOAMI") == ["worker", "app"]


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py_logs_in_as_a_user(guarded: Gateway, key: Keys, protocol: int) -> None:
    with guarded.client(username="app", password="apple", protocol=protocol, client_name="py", db=4) as client:
        assert client.set(key("a"), "1") and client.get(key("a")) == "1"
        assert client.client_getname() == "py"
    with (
        guarded.client(username="app", password="orange", protocol=protocol) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_users_keep_their_rights_side_by_side(guarded: Gateway, key: Keys) -> None:
    with guarded.wire() as app, guarded.wire() as report:
        app.call("AUTH", "app", "apple")
        report.call("AUTH", "report", "pear")
        for number in range(10):
            assert app.call("SET", key("a"), number) == "OK"
            assert report.call("GET", key("a")) == str(number)
            assert fails(
                report.call("SET", key("a"), "x"), "ERR poolgate: cache: user report may not run SET (policy clients)"
            )
        report.call("AUTH", "app", "apple")
        assert report.call("SET", key("a"), "x") == "OK"
        report.call("RESET")
        assert fails(report.call("GET", key("a")), "NOAUTH")


def test_auth_where_no_password_is_asked_for(wire: Wire) -> None:
    assert fails(wire.call("AUTH", "x"), "ERR AUTH <password> called without any password configured")
    assert wire.call("PING") == "PONG"


def test_the_gateways_own_login_is_its_own(key: Keys) -> None:
    with (
        RedisServer(password="up", users={"gate": "on >stream ~* &* +@all"}) as server,
        Gateway(server, upstream={"user": "gate", "password": "stream"}) as gateway,
        gateway.wire() as wire,
    ):
        assert wire.calls("PING", f"SET {key('a')} 1", "ACL WHOAMI") == ["PONG", "OK", "default"]
        assert {client["user"] for client in upstream_connections(server)} == {"gate"}


# RESP2 and RESP3


def test_both_protocol_versions_side_by_side(gateway: Gateway, key: Keys) -> None:
    with gateway.wire() as two, gateway.wire() as three:
        assert isinstance(two.call("HELLO", 2), list)
        assert isinstance(three.call("HELLO", 3), dict)
        two.calls(f"HSET {key('h')} a 1", f"ZADD {key('z')} 1.5 m")
        for _ in range(5):
            assert two.calls(f"HGETALL {key('h')}", f"ZSCORE {key('z')} m", "GET none") == [["a", "1"], "1.5", None]
            assert three.calls(f"HGETALL {key('h')}", f"ZSCORE {key('z')} m", "GET none") == [{"a": "1"}, 1.5, None]


def test_one_client_changes_the_version_within_a_pipeline(wire: Wire, key: Keys) -> None:
    name = key("h")
    replies = wire.calls(
        f"HSET {name} a 1", f"HGETALL {name}", "HELLO 3", f"HGETALL {name}", "HELLO 2", f"HGETALL {name}"
    )
    assert (replies[1], replies[3], replies[5]) == (["a", "1"], {"a": "1"}, ["a", "1"])


@pytest.mark.parametrize("version", ["1", "4", "x"])
def test_a_version_that_does_not_exist(wire: Wire, redis_server: RedisServer, version: str) -> None:
    with Wire((LOOPBACK, redis_server.port)) as direct:
        assert str(wire.call("HELLO", version)) == str(direct.call("HELLO", version))
    assert wire.call("PING") == "PONG"


# CLIENT, RESET, QUIT


def test_names_and_libraries_stay_in_the_gateway(gateway: Gateway, redis_server: RedisServer) -> None:
    with gateway.wire() as one, gateway.wire() as other:
        assert one.calls("CLIENT SETNAME alpha", "CLIENT SETINFO LIB-NAME lib", "CLIENT GETNAME") == [
            "OK",
            "OK",
            "alpha",
        ]
        assert other.call("CLIENT", "GETNAME") is None
        numbers = [one.call("CLIENT", "ID"), other.call("CLIENT", "ID")]
        assert numbers[0] != numbers[1] == other.call("CLIENT", "ID")
        listed = one.call("CLIENT", "LIST")
        assert "name=alpha" in listed and "lib-name=lib" in listed and f"id={numbers[1]} " in listed
        assert one.call("CLIENT", "LIST", "ID", numbers[1]).count("\n") == 1
        assert not {client["name"] for client in upstream_connections(redis_server)} & {"alpha"}


@pytest.mark.parametrize("name", ["a b", "a\nb", "ä"])
def test_a_name_that_redis_would_refuse(wire: Wire, name: str) -> None:
    assert fails(wire.call("CLIENT", "SETNAME", name), "ERR Client names cannot contain spaces")


def test_client_kill_ends_a_client_of_the_gateway_only(gateway: Gateway, redis_server: RedisServer) -> None:
    before = {client["id"] for client in upstream_connections(redis_server)}
    with gateway.wire() as killer, gateway.wire() as victim, gateway.wire() as bystander:
        number = victim.call("CLIENT", "ID")
        assert killer.call("CLIENT", "KILL", "ID", number) == 1
        assert victim.is_closed()
        assert killer.call("CLIENT", "KILL", "ID", number) == 0
        assert fails(killer.call("CLIENT", "KILL", "1.2.3.4:5"), "ERR No such client")
        assert bystander.call("PING") == killer.call("PING") == "PONG"
    assert before <= {client["id"] for client in upstream_connections(redis_server)}


def test_a_client_may_end_itself(wire: Wire) -> None:
    number = wire.call("CLIENT", "ID")
    assert wire.call("CLIENT", "KILL", "ID", number, "SKIPME", "no") == 1
    assert wire.is_closed()


def test_no_evict_and_no_touch_bind_nobody(wire: Wire) -> None:
    assert wire.calls("CLIENT NO-EVICT on", "CLIENT NO-TOUCH on", "CLIENT NO-EVICT off") == ["OK"] * 3
    assert fails(wire.call("CLIENT", "NO-EVICT", "maybe"), "ERR syntax error")


def test_reset_starts_the_session_anew(gateway: Gateway, wire: Wire, key: Keys) -> None:
    number = wire.call("CLIENT", "ID")
    wire.calls("HELLO 3", "SELECT 7", "CLIENT SETNAME x", f"WATCH {key('w')}", "MULTI", f"SET {key('a')} 1")
    assert wire.call("RESET") == "RESET"
    assert wire.calls("CLIENT GETNAME", "CLIENT ID", f"GET {key('a')}") == [None, number, None]
    assert "db=0 " in wire.call("CLIENT", "INFO") and "resp=2" in wire.call("CLIENT", "INFO")
    assert fails(wire.call("EXEC"), "ERR EXEC without MULTI")
    gateway.wait_until_holds(number, "")


def test_quit_is_the_last_command(gateway: Gateway, redis_server: RedisServer, key: Keys) -> None:
    with gateway.wire() as wire:
        wire.pipeline(f"SET {key('a')} 1", "QUIT", f"SET {key('b')} 1")
        assert wire.replies(2) == ["OK", "OK"]
        assert wire.is_closed()
    with redis_server.client() as direct:
        assert direct.exists(key("a"), key("b")) == 1


# CLIENT REPLY


def test_client_reply_off_and_on(wire: Wire, key: Keys) -> None:
    wire.pipeline("CLIENT REPLY OFF", f"SET {key('a')} 1", f"INCR {key('a')}", "NONSENSE", "CLIENT REPLY ON", "PING")
    assert wire.replies(2) == ["OK", "PONG"]
    assert wire.call("GET", key("a")) == "2"


def test_client_reply_skip_is_for_one_command(wire: Wire, key: Keys) -> None:
    wire.pipeline("CLIENT REPLY SKIP", f"SET {key('a')} 1", f"GET {key('a')}", "CLIENT REPLY SKIP", "NONSENSE", "PING")
    assert wire.replies(2) == ["1", "PONG"]


def test_a_client_without_replies_silences_no_other(gateway: Gateway, key: Keys) -> None:
    with gateway.wire() as silent, gateway.wire() as other:
        silent.pipeline("CLIENT REPLY OFF", *[f"INCR {key('n')}"] * 500)
        assert [other.call("PING") for _ in range(50)] == ["PONG"] * 50
        assert silent.call("CLIENT", "REPLY", "ON") == "OK"
        assert silent.call("GET", key("n")) == "500"
