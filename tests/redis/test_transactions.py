"""WATCH, MULTI and EXEC over pooled connections: as if each client had one, and given back clean whatever happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import hiredis
import pytest
import redis

from gateways import Gateway, Wire, pack, upstream_connections
from servers import RedisServer, wait_until

Keys = Callable[[str], str]


@pytest.fixture(scope="module")
def gateway(redis_server: RedisServer) -> Iterator[Gateway]:
    with Gateway(redis_server, pool={"max_connections": 4, "wait_timeout": "5s"}) as gateway:
        yield gateway


@pytest.fixture
def wire(gateway: Gateway) -> Iterator[Wire]:
    with gateway.wire() as wire:
        yield wire


def fails(reply: object, start: str) -> bool:
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(start)


def wait_until_waiting(gateway: Gateway, count: int) -> None:
    """Until so many clients wait for a lease."""
    wait_until(lambda: gateway.leases()["waiting"] == count, f"{count} wait")


# What Redis promises


def test_exec_sees_that_another_client_changed_a_watched_key(gateway: Gateway, key: Keys) -> None:
    with gateway.wire() as a, gateway.wire() as b:
        assert a.call("WATCH", key("k")) == "OK"
        assert b.call("SET", key("k"), "theirs") == "OK"
        assert a.calls("MULTI", f"SET {key('k')} mine", "EXEC") == ["OK", "QUEUED", None]
        assert a.call("GET", key("k")) == "theirs"
        # Nothing is watched any more: the next one succeeds.
        assert a.calls("MULTI", f"SET {key('k')} mine", "EXEC") == ["OK", "QUEUED", ["OK"]]


def test_a_watched_key_that_nobody_touched(gateway: Gateway, key: Keys) -> None:
    with gateway.wire() as a, gateway.wire() as b:
        a.call("WATCH", key("k"), key("l"))
        b.call("SET", key("other"), 1)
        assert a.calls(f"GET {key('k')}", "MULTI", f"SET {key('k')} 1", "EXEC") == [None, "OK", "QUEUED", ["OK"]]


def test_unwatch_forgets_and_gives_the_lease_back(gateway: Gateway, key: Keys) -> None:
    with gateway.wire() as a, gateway.wire() as b:
        number = a.call("CLIENT", "ID")
        a.call("WATCH", key("k"))
        gateway.wait_until_holds(number, "WATCH")
        assert a.call("UNWATCH") == "OK"
        gateway.wait_until_holds(number, "")
        b.call("SET", key("k"), 1)
        assert a.calls("MULTI", f"GET {key('k')}", "EXEC") == ["OK", "QUEUED", ["1"]]


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py_increments_by_watching_from_many_threads(gateway: Gateway, key: Keys, protocol: int) -> None:
    def work() -> None:
        with gateway.client(protocol=protocol) as client:
            for _ in range(20):
                client.transaction(increment, key("n"))

    def increment(pipe: redis.client.Pipeline) -> None:
        value = int(pipe.get(key("n")) or 0)
        pipe.multi()
        pipe.set(key("n"), value + 1)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with gateway.client() as client:
        assert client.get(key("n")) == "100"


def test_a_pipelined_transaction_with_commands_before_and_behind_it(wire: Wire, key: Keys) -> None:
    n = key("n")
    replies = wire.calls(f"SET {n} 1", "MULTI", f"INCR {n}", f"INCR {n}", "EXEC", f"GET {n}", "MULTI", "EXEC", "PING")
    assert replies == ["OK", "OK", "QUEUED", "QUEUED", [2, 3], "3", "OK", [], "PONG"]


def test_discard_executes_nothing(gateway: Gateway, wire: Wire, key: Keys) -> None:
    number = wire.call("CLIENT", "ID")
    assert wire.calls("MULTI", f"SET {key('a')} 1", "DISCARD", f"GET {key('a')}") == ["OK", "QUEUED", "OK", None]
    gateway.wait_until_holds(number, "")


def test_errors_are_those_of_redis(wire: Wire, key: Keys) -> None:
    assert fails(wire.call("EXEC"), "ERR EXEC without MULTI")
    assert fails(wire.call("DISCARD"), "ERR DISCARD without MULTI")
    ok, nested, watch, done = wire.calls("MULTI", "MULTI", f"WATCH {key('k')}", "DISCARD")
    assert (ok, done) == ("OK", "OK")
    assert fails(nested, "ERR MULTI calls can not be nested")
    assert fails(watch, "ERR WATCH inside MULTI is not allowed")


def test_a_wrong_command_aborts_the_transaction(wire: Wire, key: Keys) -> None:
    for wrong in ("NONSENSE x", f"SET {key('a')}"):
        ok, bad, queued, aborted = wire.calls("MULTI", wrong, f"SET {key('a')} 1", "EXEC")
        assert (ok, queued) == ("OK", "QUEUED") and fails(bad, "ERR ")
        assert fails(aborted, "EXECABORT Transaction discarded because of previous errors.")
        assert wire.calls(f"GET {key('a')}", "PING") == [None, "PONG"]


def test_a_command_that_fails_within_exec(wire: Wire, key: Keys) -> None:
    wire.call("SET", key("s"), "text")
    *_, replies = wire.calls("MULTI", f"INCR {key('s')}", f"SET {key('t')} 1", "EXEC")
    assert fails(replies[0], "ERR value is not an integer") and replies[1] == "OK"


def test_blocking_commands_do_not_block_inside_multi(wire: Wire, key: Keys) -> None:
    started = time.monotonic()
    assert wire.calls("MULTI", f"BLPOP {key('l')} 0", "EXEC") == ["OK", "QUEUED", [None]]
    assert time.monotonic() - started < 5


def test_select_inside_multi_stays_with_this_client(gateway: Gateway, wire: Wire, key: Keys) -> None:
    *_, results = wire.calls("MULTI", "SELECT 9", f"SET {key('a')} nine", "EXEC")
    assert results == ["OK", "OK"]
    assert wire.calls("DBSIZE", f"GET {key('a')}")[1] == "nine"
    with gateway.wire() as other:
        assert other.call("GET", key("a")) is None
        assert other.calls("SELECT 9", f"GET {key('a')}", f"DEL {key('a')}") == ["OK", "nine", 1]


def test_what_the_gateway_answers_itself_is_not_possible_inside_multi(wire: Wire, key: Keys) -> None:
    ok, refused, queued, aborted = wire.calls("MULTI", "CLIENT ID", f"SET {key('a')} 1", "EXEC")
    assert (ok, queued) == ("OK", "QUEUED")
    assert fails(refused, "ERR poolgate: cache: CLIENT ID is not possible inside MULTI")
    assert fails(aborted, "EXECABORT")
    assert wire.call("EXISTS", key("a")) == 0


# Clients that leave


@pytest.mark.parametrize("left_with", ["WATCH k", "MULTI", "MULTI|SET k 1", "WATCH k|MULTI|SET k 1|NONSENSE"])
@pytest.mark.parametrize("gently", [True, False])
def test_a_client_that_leaves_in_the_middle_leaves_a_clean_lease(
    gateway: Gateway, redis_server: RedisServer, key: Keys, left_with: str, gently: bool
) -> None:
    before = gateway.leases()
    with gateway.wire() as wire:
        wire.calls(*left_with.replace("k", key("k")).split("|"))
        assert gateway.leases()["leased"] == 1
        if not gently:
            wire.vanish()
    gateway.wait_until_quiet()
    after = gateway.leases()
    assert after["granted"] == before["granted"] + 1
    assert after["lost"] == before["lost"], "DISCARD or UNWATCH is enough, the connection goes on"
    # The pool lends the newest: this is that connection.
    with gateway.wire() as wire, gateway.wire() as other:
        assert wire.call("WATCH", key("unrelated")) == "OK"
        other.call("SET", key("k"), "changed")
        assert wire.calls("MULTI", f"GET {key('k')}", "EXEC") == ["OK", "QUEUED", ["changed"]]
    assert not [client for client in upstream_connections(redis_server) if int(client["multi"]) >= 0]


def test_a_client_that_leaves_before_its_lease_is_there(redis_server: RedisServer, key: Keys) -> None:
    with Gateway(redis_server, pool={"max_connections": 1, "wait_timeout": "10s"}) as gateway:
        with gateway.wire() as holder:
            holder.call("WATCH", key("w"))
            for _ in range(5):
                with gateway.wire() as wire:
                    wire.pipeline("MULTI", f"SET {key('a')} 1", "EXEC")
                    wait_until_waiting(gateway, 1)
                    wire.vanish()
                wait_until_waiting(gateway, 0)
        gateway.wait_until_quiet()
        with gateway.wire() as wire:
            assert wire.calls("MULTI", f"EXISTS {key('a')}", "EXEC") == ["OK", "QUEUED", [0]]


def test_a_selected_database_does_not_stick_to_the_lease(gateway: Gateway, key: Keys) -> None:
    for database in (3, 0, 5, 0):
        with gateway.wire() as wire:
            wire.calls(f"SELECT {database}", "MULTI", f"SET {key('a')} {database}", "EXEC")
            assert wire.call("GET", key("a")) == str(database)
    for version in (3, 2, 3, 2):
        with gateway.wire() as wire:
            wire.call("HELLO", version)
            wire.call("HSET", key("h"), "a", "1")
            *_, (pairs,) = wire.calls("MULTI", f"HGETALL {key('h')}", "EXEC")
            assert pairs == ({"a": "1"} if version == 3 else ["a", "1"])


# Governance inside a transaction


def test_a_refusal_inside_multi_aborts_it_on_both_sides(redis_server: RedisServer, key: Keys) -> None:
    clients = [{"user": "app", "password": "x", "deny": ["INCR"]}]
    with Gateway(redis_server, clients=clients) as gateway, gateway.wire() as wire:
        wire.call("AUTH", "app", "x")
        ok, queued, refused, also, aborted = wire.calls(
            "MULTI", f"SET {key('a')} 1", f"INCR {key('a')}", f"SET {key('b')} 1", "EXEC"
        )
        assert (ok, queued, also) == ("OK", "QUEUED", "QUEUED")
        assert fails(refused, "ERR poolgate: cache: user app may not run INCR (policy clients)")
        assert fails(aborted, "EXECABORT")
        assert wire.calls(f"EXISTS {key('a')} {key('b')}", "MULTI", "PING", "EXEC") == [0, "OK", "QUEUED", ["PONG"]]
        assert fails(wire.call("EXEC"), "ERR EXEC without MULTI")


def test_a_rate_limit_that_is_reached_inside_multi(redis_server: RedisServer, key: Keys) -> None:
    policies = [{"rate_limit": {"rate": "1/h", "burst": 2}}]
    with Gateway(redis_server, policies=policies) as gateway, gateway.wire() as wire:
        replies = wire.calls("MULTI", *[f"INCR {key('n')}"] * 4, "EXEC")
        assert replies[:3] == ["OK", "QUEUED", "QUEUED"]
        assert all(fails(reply, "ERR poolgate: cache: rate limit 1/h exceeded") for reply in replies[3:5])
        assert fails(replies[5], "EXECABORT")
        with redis_server.client() as direct:
            assert not direct.exists(key("n"))
        gateway.wait_until_free()


# Connections that are lost


def kill_leases(server: RedisServer, state: str = "multi") -> None:
    """End the upstream connections that are inside MULTI."""
    for client in upstream_connections(server):
        if int(client[state]) >= 0:
            with server.client() as direct:
                direct.client_kill_filter(client["id"])


def test_a_connection_lost_inside_multi_executes_nothing(
    gateway: Gateway, redis_server: RedisServer, key: Keys
) -> None:
    with gateway.wire() as wire:
        number = wire.call("CLIENT", "ID")
        wire.calls("MULTI", f"SET {key('a')} 1")
        kill_leases(redis_server)
        wait_until(lambda: gateway.session(number)["lease"] is None, "loss noticed")
        assert fails(wire.call("SET", key("b"), "1"), "ERR poolgate: cache: the transaction was lost before")
        assert fails(wire.call("EXEC"), "EXECABORT")
        assert wire.calls(f"EXISTS {key('a')} {key('b')}", "MULTI", "PING", "EXEC") == [0, "OK", "QUEUED", ["PONG"]]


def test_discard_ends_a_lost_transaction(gateway: Gateway, redis_server: RedisServer) -> None:
    with gateway.wire() as wire:
        number = wire.call("CLIENT", "ID")
        wire.call("MULTI")
        kill_leases(redis_server)
        wait_until(lambda: gateway.session(number)["lease"] is None, "loss noticed")
        assert wire.calls("DISCARD", "PING") == ["OK", "PONG"]


def test_a_watch_that_was_lost_makes_exec_fail_as_if_the_key_had_changed(redis_server: RedisServer, key: Keys) -> None:
    with Gateway(redis_server) as gateway, gateway.wire() as wire:
        number = wire.call("CLIENT", "ID")
        wire.call("WATCH", key("k"))
        for client in upstream_connections(redis_server):
            if client["cmd"] == "watch":
                with redis_server.client() as direct:
                    direct.client_kill_filter(client["id"])
        wait_until(lambda: gateway.session(number)["lease"] is None, "loss noticed")
        assert wire.calls("PING", "MULTI", f"SET {key('k')} 1", "EXEC") == ["PONG", "OK", "QUEUED", None]
        assert wire.calls("MULTI", f"GET {key('k')}", "EXEC") == ["OK", "QUEUED", [None]]


# The pool


def test_hundreds_of_transactions_share_few_connections(gateway: Gateway, redis_server: RedisServer, key: Keys) -> None:
    with gateway.wires(300) as wires:
        for number, wire in enumerate(wires):
            wire.pipeline("MULTI", f"SET {key(str(number))} {number}", f"GET {key(str(number))}", "EXEC")
        for number, wire in enumerate(wires):
            assert wire.replies(4)[-1] == ["OK", str(number)]
    gateway.wait_until_quiet()
    leases = gateway.leases()
    assert leases["opened"] - leases["closed"] - leases["lost"] <= 4
    assert len(upstream_connections(redis_server)) < 40


def test_an_exhausted_pool_says_so_after_wait_timeout(redis_server: RedisServer, key: Keys) -> None:
    pool = {"max_connections": 2, "wait_timeout": "1s", "max_waiting": 1}
    with (
        Gateway(redis_server, pool=pool) as gateway,
        gateway.wire() as one,
        gateway.wire() as two,
        gateway.wire() as three,
        gateway.wire() as four,
    ):
        assert [one.call("WATCH", key("k")), two.call("MULTI")] == ["OK", "OK"]
        started = time.monotonic()
        three.send("MULTI")
        wait_until_waiting(gateway, 1)
        assert "max_waiting 1" in str(four.call("WATCH", key("k")))
        assert fails(three.reply(), "ERR poolgate: cache: ")
        assert 0.9 < time.monotonic() - started < 5
        assert three.calls("PING", f"SET {key('k')} 1") == ["PONG", "OK"], "the connection stays usable"
        assert two.call("DISCARD") == "OK"
        assert three.calls("MULTI", "PING", "EXEC") == ["OK", "QUEUED", ["PONG"]]
        assert gateway.stats()["refusals"]["by_pool"] == {"pool_exhausted": 2}


def test_what_stands_behind_a_refused_multi_is_not_executed(redis_server: RedisServer, key: Keys) -> None:
    with (
        Gateway(redis_server, pool={"max_connections": 1, "wait_timeout": "500ms"}) as gateway,
        gateway.wire() as holder,
        gateway.wire() as wire,
    ):
        assert holder.call("MULTI") == "OK"
        replies = wire.calls("MULTI", f"SET {key('a')} 1", f"INCR {key('b')}", "EXEC", "PING")
        assert all(isinstance(reply, hiredis.ReplyError) for reply in replies[:4]) and replies[4] == "PONG"
        assert wire.call("EXISTS", key("a"), key("b")) == 0
        # Who waited for the answer to MULTI goes on without a transaction.
        assert isinstance(wire.call("MULTI"), hiredis.ReplyError)
        assert wire.call("SET", key("c"), "1") == "OK"


def test_who_waits_is_served_in_the_order_of_arrival(redis_server: RedisServer, key: Keys) -> None:
    pool = {"max_connections": 1, "wait_timeout": "10s"}
    with Gateway(redis_server, pool=pool) as gateway, gateway.wires(6) as wires:
        wires[0].call("MULTI")
        for number, wire in enumerate(wires[1:], 1):
            wire.pipeline("MULTI", f"RPUSH {key('order')} {number}", "EXEC")
            wait_until_waiting(gateway, number)
        wires[0].call("DISCARD")
        for wire in wires[1:]:
            wire.replies(3)
        assert wires[0].call("LRANGE", key("order"), 0, -1) == ["1", "2", "3", "4", "5"]


def test_a_pipeline_inside_multi_is_bounded_while_the_upstream_stands_still(key: Keys) -> None:
    with RedisServer() as server, Gateway(server, pool={"stall_timeout": "60s"}) as gateway, gateway.wire() as wire:
        wire.call("WATCH", key("k"))
        before = gateway.rss()
        server.pause()
        wire.socket.settimeout(0.5)
        command = pack("SET", key("k"), "x" * 10_000) * 16
        sent = 0
        with pytest.raises(TimeoutError):  # the gateway reads no more
            while sent < 200 << 20:
                sent += wire.socket.send(command)
        assert gateway.rss() - before < 20 << 20
        server.resume()
