"""Each policy through redis-py: what clients read, exactly how many pass, and that all counters agree with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import pytest
import redis

from gateways import SERVICE, Gateway
from servers import RedisServer, wait_until

Keys = Callable[[str], str]
OUTCOMES: Final = ("ok", "app_error", "retryable", "fatal", "refused", "cancelled")


def outcomes(client: redis.Redis, count: int, *command: Any) -> tuple[int, list[str]]:
    """Send a command so often in one pipeline: how many succeeded, and the different errors of the others."""
    pipeline = client.pipeline(transaction=False)
    for _ in range(count):
        pipeline.execute_command(*command)
    replies = pipeline.execute(raise_on_error=False)
    errors = [str(reply) for reply in replies if isinstance(reply, Exception)]
    return count - len(errors), sorted(set(errors))


def metric(gateway: Gateway, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    total = 0.0
    for line in gateway.admin("/metrics").splitlines():
        if line.startswith((name + "{", name + " ")) and all(
            f'{key}="{value}"' in line for key, value in labels.items()
        ):
            total += float(line.rsplit(" ", 1)[1])
    return total


# rate_limit


def test_rate_limit_passes_exactly_its_burst(redis_server: RedisServer, key: Keys) -> None:
    with Gateway(redis_server, policies=[{"rate_limit": {"rate": "1/h", "burst": 100}}]) as gateway:
        with gateway.client() as client:
            said = "poolgate: cache: rate limit 1/h exceeded (policy rate_limit)"
            assert outcomes(client, 350, "INCR", key("n")) == (100, [said])
            with pytest.raises(redis.ResponseError, match="rate limit 1/h exceeded"):
                client.get(key("n"))
            assert client.client_getname() is None, "what the gateway answers itself is not limited"
        assert gateway.policy("rate_limit")["refused"] == 251
        assert gateway.calls("INCR") == {"ok": 100, "refused": 250}
        assert gateway.stats()["refusals"]["by_policy"] == {"rate_limit": 251}
    with redis_server.client() as direct:
        assert direct.get(key("n")) == b"100"


def test_rate_limit_of_each_client_by_its_user(redis_server: RedisServer) -> None:
    clients = [{"user": "a", "password": "x"}, {"user": "b", "password": "x"}]
    policies = [{"rate_limit": {"rate": "1/h", "burst": 10, "per": "client"}}]
    with Gateway(redis_server, clients=clients, policies=policies) as gateway:
        for user in ("a", "b"):
            with gateway.client(username=user, password="x") as one, gateway.client(username=user, password="x") as two:
                assert outcomes(one, 8, "GET", "x")[0] == 8
                assert outcomes(two, 8, "GET", "x")[0] == 2, "all connections of a user share its limit"
        emptiest = gateway.policy("rate_limit")["emptiest"]
        assert emptiest["user a"] < 1 and emptiest["user b"] < 1


def test_rate_limit_in_shadow_refuses_nothing_and_counts(redis_server: RedisServer) -> None:
    policies = [{"rate_limit": {"rate": "1/h", "burst": 10, "enforced": "0%"}}]
    with Gateway(redis_server, policies=policies) as gateway, gateway.client() as client:
        assert outcomes(client, 50, "GET", "x") == (50, [])
        state = gateway.policy("rate_limit")
        assert (state["refused"], state["shadowed"]) == (0, 40)


def test_rate_limit_enforced_in_part(redis_server: RedisServer) -> None:
    policies = [{"rate_limit": {"rate": "1/h", "burst": 10, "enforced": "25%"}}]
    with Gateway(redis_server, policies=policies) as gateway, gateway.client() as client:
        passed = sum(outcomes(client, 1, "GET", "x")[0] for _ in range(110))
        assert passed == 110 - 25
        state = gateway.policy("rate_limit")
        assert (state["refused"], state["shadowed"]) == (25, 75)


def test_rate_limit_of_some_verbs_only(redis_server: RedisServer, key: Keys) -> None:
    policies = [{"rate_limit": {"rate": "1/h", "burst": 5, "verbs": ["write"]}}]
    with Gateway(redis_server, policies=policies) as gateway, gateway.client() as client:
        pipeline = client.pipeline(transaction=False)
        for number in range(20):
            pipeline.get(key("a"))
            pipeline.set(key("a"), number)
        replies = pipeline.execute(raise_on_error=False)
        assert [isinstance(reply, Exception) for reply in replies[::2]] == [False] * 20
        assert [isinstance(reply, Exception) for reply in replies[1::2]] == [False] * 5 + [True] * 15
        assert client.get(key("a")) == "4"


# concurrency


def test_concurrency_refuses_what_is_too_many_at_a_time() -> None:
    with (
        RedisServer() as server,
        Gateway(server, policies=[{"concurrency": 3}]) as gateway,
        gateway.wires(5) as wires,
    ):
        for wire in wires:
            wire.call("PING")
        server.pause()
        for wire in wires:
            wire.send("GET", "x")
        for wire in wires[3:]:
            assert str(wire.reply()) == "ERR poolgate: cache: concurrency limit 3 reached (policy concurrency)"
        assert gateway.policy("concurrency")["in_flight"] == 3
        server.resume()
        assert [wire.reply() for wire in wires[:3]] == [None] * 3
        assert gateway.policy("concurrency")["in_flight"] == 0
        assert [wire.call("GET", "x") for wire in wires] == [None] * 5
        assert gateway.policy("concurrency")["refused"] == 2


def test_concurrency_does_not_count_those_who_block(redis_server: RedisServer, key: Keys) -> None:
    with Gateway(redis_server, policies=[{"concurrency": 1}]) as gateway, gateway.wires(5) as wires:
        for wire in wires:
            wire.send("BLPOP", key("l"), 0)
        wait_until(lambda: gateway.leases()["leased"] == 5, "all wait")
        with gateway.client() as client:
            assert client.ping() and client.rpush(key("l"), *range(5)) == 5


@pytest.mark.parametrize("end", ["reply", "disconnect", "kill"])
def test_every_place_is_given_back(end: str) -> None:
    with (
        RedisServer() as server,
        Gateway(server, policies=[{"concurrency": 1000}]) as gateway,
        gateway.wires(10) as wires,
    ):
        for wire in wires:
            wire.call("PING")
        server.pause()
        for wire in wires:
            wire.pipeline(*["GET x"] * 20)
        wait_until(lambda: gateway.policy("concurrency")["in_flight"] == 200, "in flight")
        if end == "disconnect":
            for wire in wires:
                wire.vanish()
        elif end == "kill":
            server.kill()
        else:
            server.resume()
        wait_until(lambda: gateway.policy("concurrency")["in_flight"] == 0, "given back")


# timeout and circuit_breaker are in test_faults.py; here is what they count


def test_a_commands_own_error_does_not_open_the_circuit(redis_server: RedisServer, key: Keys) -> None:
    policies = [{"circuit_breaker": {"error_ratio": "10%", "min_calls": 2, "consecutive_errors": 2}}]
    with Gateway(redis_server, policies=policies) as gateway, gateway.client() as client:
        client.set(key("s"), "text")
        assert outcomes(client, 50, "INCR", key("s"))[0] == 0
        assert client.get(key("s")) == "text"
        assert gateway.calls("INCR") == {"app_error": 50}
        assert gateway.policy("circuit_breaker")["state"] == "closed"


# Who may do what


def test_allow_and_deny_of_users(redis_server: RedisServer, key: Keys) -> None:
    clients = [
        {"user": "reader", "password": "x", "allow": ["read"]},
        {"user": "writer", "password": "x", "deny": ["FLUSHALL", "CONFIG", "CLIENT KILL"]},
        {"user": "few", "password": "x", "allow": ["GET", "INCR"]},
    ]
    with Gateway(redis_server, clients=clients) as gateway:

        def login(user: str) -> redis.Redis:
            return gateway.client(username=user, password="x")

        with login("reader") as reader, login("writer") as writer, login("few") as few:
            assert (
                writer.set(key("a"), "1") and reader.get(key("a")) == "1" and few.execute_command("INCR", key("a")) == 2
            )
            denied: list[tuple[redis.Redis, str, str]] = [
                (reader, f"SET {key('a')} 3", "user reader may not run SET"),
                (reader, f"INCR {key('a')}", "user reader may not run INCR"),
                (writer, "FLUSHALL", "user writer may not run FLUSHALL"),
                (writer, "CONFIG GET port", "user writer may not run CONFIG GET"),
                (writer, "CONFIG", "user writer may not run CONFIG"),
                (writer, "CLIENT KILL ID 1", "user writer may not run CLIENT KILL"),
                (few, f"SET {key('a')} 3", "user few may not run SET"),
            ]
            for client, command, said in denied:
                with pytest.raises(redis.ResponseError) as error:
                    client.execute_command(*command.split())
                assert str(error.value) == f"poolgate: cache: {said} (policy clients)"
            assert reader.get(key("a")) == "2"
        assert gateway.policy("clients")["refused"] == len(denied)


def test_commands_that_nobody_may_use(redis_server: RedisServer, key: Keys) -> None:
    commands = {"refuse": ["KEYS", "CONFIG SET"], "unknown": "refuse", "allow": ["DEBUG"]}
    with Gateway(redis_server, commands=commands) as gateway, gateway.client() as client:
        refused = {
            "KEYS *": "KEYS is refused here (commands.refuse)",
            "CONFIG SET maxmemory 0": "CONFIG SET is refused here (commands.refuse)",
            "SHUTDOWN": "SHUTDOWN is refused unless commands.allow lists it",
            "MONITOR": "MONITOR is refused unless commands.allow lists it",
            "SYNC": "SYNC is not possible through the gateway",
            "FT.SEARCH i *": "commands that the gateway does not know are refused here (commands.unknown)",
        }
        for command, said in refused.items():
            with pytest.raises(redis.ResponseError) as error:
                client.execute_command(*command.split())
            assert str(error.value) == f"poolgate: cache: {said} (policy commands)"
        assert client.config_get("port") and client.execute_command("DEBUG", "SLEEP", "0")
        assert gateway.policy("commands")["refused"] == len(refused)


def test_unknown_commands_pass_by_default(redis_server: RedisServer) -> None:
    with Gateway(redis_server) as gateway, gateway.client() as client:
        with pytest.raises(redis.ResponseError, match=r"unknown command 'FT\.SEARCH'"):
            client.execute_command("FT.SEARCH", "i", "*")
        assert gateway.calls("UNKNOWN") == {"app_error": 1}


# The counters


def test_all_counters_agree_with_what_clients_saw(redis_server: RedisServer, key: Keys) -> None:
    """A mixed load; what the clients counted is what /stats and /metrics say, and what was admitted has settled."""
    policies: list[dict[str, Any]] = [
        {"rate_limit": {"rate": "1/h", "burst": 300, "verbs": ["GET", "INCR"]}},
        {"concurrency": 500},
        {"timeout": "10s"},
        {"circuit_breaker": {"error_ratio": "50%"}},
    ]
    with Gateway(redis_server, policies=policies) as gateway:
        seen = {"ok": 0, "app_error": 0, "refused": 0}
        lock = threading.Lock()

        def work(number: int) -> None:
            with gateway.wire() as wire:
                for _ in range(25):
                    commands = [f"GET {key('a')}", f"INCR {key('n')}", "MULTI", f"INCR {key('s')}", "EXEC", "NONSENSE"]
                    replies = wire.calls(*commands, f"LPUSH {key('n')} x", f"BLPOP {key('none')} 0.001")
                    with lock:
                        for reply in replies:
                            text = str(reply) if isinstance(reply, Exception) else ""
                            kind = "refused" if "poolgate: " in text else "app_error" if text else "ok"
                            seen[kind] += 1

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gateway.wait_until_quiet()

        calls = gateway.stats()["calls"]
        assert {word: calls[word] for word in seen} == seen
        assert sum(calls[word] for word in OUTCOMES) == 6 * 25 * 8
        for word in OUTCOMES:
            assert sum(verb[word] for verb in calls["by_verb"].values()) == calls[word], word
        rate_limit = gateway.policy("rate_limit")
        assert rate_limit["admitted"] == 300
        assert rate_limit["refused"] == seen["refused"] > 0
        assert gateway.policy("concurrency")["in_flight"] == 0
        assert metric(gateway, "poolgate_policy_refused_total", policy="rate_limit") == rate_limit["refused"]
        for word in OUTCOMES:
            assert metric(gateway, "poolgate_calls_total", outcome=word) == calls[word], word
        assert gateway.stats()["sessions"]["accepted"] == 6


def test_services_are_counted_apart(redis_server: RedisServer) -> None:
    with Gateway(redis_server) as gateway, gateway.client() as client:
        client.get("x")
        assert set(gateway.admin("/stats")["services"]) == {SERVICE}
