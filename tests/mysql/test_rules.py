"""Query rules and reads from replicas, through real clients: two MariaDB servers that do not replicate.

Each tells who it is by what its table ``site`` holds, so a test sees where a statement went.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import pymysql
import pytest
from pymysql.connections import Connection

from mysql_gateway import SERVICE, MysqlGateway
from mysql_servers import MariaDBServer
from mysql_wire import Wire
from protocols.mysql.constants import COM_QUERY
from protocols.mysql.packets import command
from servers import LOOPBACK, wait_until

WHERE: Final = "SELECT name FROM site"
Servers = dict[str, MariaDBServer]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """A primary and a replica, by their roles."""
    with MariaDBServer(users={"app": "s3cret"}) as primary, MariaDBServer(users={"app": "s3cret"}) as replica:
        found = {"primary": primary, "replica": replica}
        for name, server in found.items():
            server.execute("CREATE TABLE test.site (name VARCHAR(20))")
            server.execute("INSERT INTO test.site VALUES (%s)", [name])
            server.execute("CREATE TABLE test.note (id INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(20))")
        yield found


@contextmanager
def gateway(servers: Servers, **service: Any) -> Iterator[MysqlGateway]:
    endpoints: list[Mapping[str, Any]] = [{"address": one.address, "role": role} for role, one in servers.items()]
    service.setdefault("pool", {"max_connections": 4, "wait_timeout": "5s", "connect_timeout": "5s"})
    with MysqlGateway(endpoints, upstream={"user": "app", "password": "s3cret"}, **service) as started:
        yield started
        started.wait_until_quiet()


def ask(client: Connection[Any], sql: str) -> Any:
    """The first value of the first row; None without a row."""
    with client.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
        return row[0] if row else None


def notes(server: MariaDBServer) -> list[str]:
    return [row["text"] for row in server.execute("SELECT text FROM test.note ORDER BY id")]


# Reads from replicas


def test_reads_go_to_the_replica_and_all_else_to_the_primary(servers: Servers) -> None:
    with gateway(servers, reads="replica", read_after_write="0s") as started, started.client(database="test") as client:
        assert ask(client, WHERE) == "replica"
        assert ask(client, f"{WHERE} FOR UPDATE") == "primary"
        ask(client, "INSERT INTO note (text) VALUES ('to the primary')")
        assert (notes(servers["primary"]), notes(servers["replica"])) == (["to the primary"], [])
        assert ask(client, "SELECT LAST_INSERT_ID() = MAX(id) FROM note") == 1
        assert ask(client, WHERE) == "replica"
        assert ask(client, "SELECT text FROM note") is None
        client.begin()
        assert ask(client, WHERE) == "primary"
        client.commit()
        client.autocommit(False)
        assert ask(client, WHERE) == "primary"
        client.rollback()
        client.autocommit(True)
        assert ask(client, WHERE) == "replica"
    servers["primary"].execute("TRUNCATE test.note")


def test_a_session_reads_its_own_writes_from_the_primary_for_a_while(servers: Servers) -> None:
    with gateway(servers, reads="replica", read_after_write="1h") as started:
        with started.client(database="test") as writer, started.client(database="test") as reader:
            assert ask(writer, WHERE) == "replica"
            ask(writer, "DELETE FROM note")
            assert ask(writer, WHERE) == "primary"
            assert ask(reader, WHERE) == "replica"


def test_prepared_reads_go_to_the_replica_but_not_with_a_cursor(servers: Servers) -> None:
    with gateway(servers, reads="replica") as started, Wire((LOOPBACK, started.port), schema="test") as wire:
        statement = wire.prepared(WHERE)
        assert wire.executed(statement)[0].rows == [b"\0\0\x07replica"]
        cursor = wire.executed(statement, cursor=True)
        assert cursor[0].rows == []
        assert wire.run(wire.fetch(statement, 5)).rows == [b"\0\0\x07primary"]
        assert wire.executed(statement)[0].rows == [b"\0\0\x07replica"]


def test_warnings_of_a_replica_are_shown_and_keep_no_write_there(servers: Servers) -> None:
    with gateway(servers, reads="replica") as started, started.client(database="test") as client:
        assert ask(client, "SELECT CAST('12x' AS INT) FROM site") == 12
        assert started.pin(client) == "warnings"
        assert started.endpoints()[1]["leases"]["leased"] == 1
        with client.cursor() as cursor:
            cursor.execute("SHOW WARNINGS")
            assert "12x" in str(cursor.fetchall())
        assert started.endpoints()[1]["leases"]["leased"] == 1
        assert ask(client, "SELECT CAST('13x' AS INT) FROM site WHERE name = 'replica'") == 13
        ask(client, "INSERT INTO note (text) VALUES ('still to the primary')")
        assert (notes(servers["primary"]), notes(servers["replica"])) == (["still to the primary"], [])
        assert ask(client, "SELECT LAST_INSERT_ID()") > 0
        started.wait_until_free()
    servers["primary"].execute("TRUNCATE test.note")


def test_without_a_replica_that_works_the_primary_answers(servers: Servers) -> None:
    with MariaDBServer(users={"app": "s3cret"}) as third:
        third.execute("CREATE TABLE test.site (name VARCHAR(20))")
        with gateway({"primary": servers["primary"], "replica": third}, reads="replica") as started:
            with started.client(database="test") as client:
                assert ask(client, WHERE) is None
                third.kill()
                with pytest.raises(pymysql.OperationalError):  # it may have been executed
                    ask(client, WHERE)
                wait_until(lambda: started.endpoints()[1]["state"] == "down", "replica down")
                assert ask(client, WHERE) == "primary"


# Rules


def test_the_first_rule_that_matches_routes(servers: Servers) -> None:
    rules = [
        {"name": "locked", "match": {"pattern": "for update"}, "route": "replica"},
        {"name": "forced", "match": {"pattern": r"^select\b.*lock in share mode"}, "route": "replica", "force": True},
        {"name": "fresh", "match": {"pattern": "site", "schema": "test", "user": "boss"}, "route": "primary"},
        {"match": {"verbs": ["SELECT"]}, "route": "replica"},
    ]
    with gateway(servers, rules=rules) as started:
        with started.client(database="test") as client, started.client(user="boss", database="test") as boss:
            assert ask(client, WHERE) == "replica"
            assert ask(client, f"{WHERE} for update") == "primary"  # no plain read, and not forced
            assert ask(client, f"{WHERE} LOCK IN SHARE MODE") == "replica"
            assert ask(boss, WHERE) == "primary"
            client.begin()
            assert ask(client, WHERE) == "primary"
            client.commit()
        hits = {rule["name"]: (rule["hits"], rule["refused"]) for rule in started.stats()["rules"]}
        assert hits == {"locked": (1, 0), "forced": (1, 0), "fresh": (1, 0), "rule-4": (2, 0)}
        metrics = started.admin("/metrics")
        assert f'poolgate_rule_hits_total{{rule="rule-4",service="{SERVICE}"}} 2.0' in metrics


def test_a_rule_refuses(servers: Servers) -> None:
    rules = [{"name": "no-wipe", "match": {"pattern": r"^delete from \w+$"}, "refuse": "say WHERE"}]
    with gateway(servers, rules=rules) as started, Wire((LOOPBACK, started.port), schema="test") as wire:
        for _ in range(2):
            [refused] = wire.query("DELETE FROM note")
            assert refused.error == (1227, "42000", f"poolgate: {SERVICE}: say WHERE (rule no-wipe)")
        assert wire.run(wire.prepare("delete from note")).errno == 1227
        wire.do("DELETE FROM note WHERE id = 5", "BEGIN")
        assert wire.query("DELETE FROM note")[0].errno == 1227
        wire.do("COMMIT")
        [rule] = started.stats()["rules"]
        assert (rule["hits"], rule["refused"]) == (4, 4)
        assert started.calls("DELETE") == {"ok": 1, "refused": 3}


def test_a_rule_rewrites_texts_and_prepared_statements(servers: Servers) -> None:
    rules = [{"match": {"pattern": "old_site"}, "rewrite": {"pattern": r"old_(\w+)", "replacement": r"\1"}}]
    with gateway(servers, rules=rules) as started, Wire((LOOPBACK, started.port), schema="test") as wire:
        assert wire.ask("SELECT name FROM Old_site WHERE name <> 'old_x'") == "primary"
        assert wire.ask("SELECT 'old_site'") == "old_site"  # a literal is in no digest
        statement = wire.prepared("SELECT name FROM old_site")
        for _ in range(2):
            assert wire.executed(statement)[0].rows == [b"\0\0\x07primary"]
        assert started.stats()["rules"][0]["hits"] == 4
        long = "SELECT name FROM old_site WHERE name <> '" + "y" * 300_000 + "'"
        assert wire.query(long)[0].errno == 1146  # longer than limits.request_buffer: passed on as it is


def test_a_rewritten_statement_is_what_counts(servers: Servers) -> None:
    """What the text became pins, and is refused, as if the client had said it."""
    rules = [{"match": {"pattern": "^start work"}, "rewrite": {"pattern": "^start work", "replacement": "BEGIN"}}]
    with gateway(servers, rules=rules) as started, started.client() as client:
        ask(client, "START WORK")
        assert started.pin(client) == "transaction"
        client.rollback()
        assert started.calls("BEGIN") == {"ok": 1}


def test_policies_of_a_rule_stand_behind_those_of_the_service(servers: Servers) -> None:
    slow = {"match": {"pattern": "sleep"}, "policies": [{"timeout": "300ms"}, {"concurrency": {"max": 1}}]}
    few = {"name": "few", "match": {"verbs": "INSERT"}, "policies": [{"rate_limit": {"rate": "1/h", "burst": 2}}]}
    with gateway(servers, rules=[slow, few], policies=[{"timeout": "5s"}]) as started:
        with started.client(database="test") as client, started.client(database="test") as other:
            with pytest.raises(pymysql.OperationalError, match=r"no reply within 300ms") as caught:
                ask(client, "SELECT SLEEP(20)")
            assert caught.value.args[0] == 3024
            begin: Any = client
            begin._execute_command(COM_QUERY, "SELECT SLEEP(0.2)")
            wait_until(lambda: started.stats()["rules"][0]["policies"][1]["in_flight"] == 1, "the other query")
            with pytest.raises(pymysql.OperationalError, match=r"concurrency limit 1 reached"):
                ask(other, "SELECT SLEEP(0)")
            begin._read_query_result()
            for _ in range(2):
                ask(client, "INSERT INTO note (text) VALUES ('a few')")
            with pytest.raises(pymysql.OperationalError, match=r"rate limit 1/h exceeded"):
                ask(client, "INSERT INTO note (text) VALUES ('too many')")
            ask(client, "DELETE FROM note")
        sleeping, inserting = started.stats()["rules"]
        assert sleeping["policies"][1] == {
            "policy": "concurrency",
            "refused": 1,
            "shadowed": 0,
            "max": 1,
            "in_flight": 0,
        }
        assert (inserting["hits"], inserting["refused"]) == (3, 1)
        assert f'poolgate_rule_refused_total{{rule="few",service="{SERVICE}"}} 1.0' in started.admin("/metrics")


# Mirrors


@contextmanager
def mirrored(servers: Servers, match: Mapping[str, Any], **shadow: Any) -> Iterator[MysqlGateway]:
    """The service copies to a second one, called ``shadow``, whose only server is the replica."""
    upstream = {"endpoints": [servers["replica"].address], "user": "app", "password": "s3cret"}
    shadow = {"protocol": "mysql", "listen": f"{LOOPBACK}:0", "upstream": upstream, **shadow}
    rules = [{"match": match, "mirror": "shadow"}]
    with gateway({"primary": servers["primary"]}, rules=rules, top={"services": {"shadow": shadow}}) as started:
        yield started
        wait_until(lambda: shadow_leases(started)["leased"] == 0, "every copy's lease is back")


def shadow_leases(started: MysqlGateway) -> dict[str, Any]:
    leases: dict[str, Any] = started.admin("/clusters")["shadow"]["endpoints"][0]["leases"]
    return leases


def copies(started: MysqlGateway) -> dict[str, int]:
    counts: dict[str, int] = started.stats()["mirrors"]["shadow"]
    return counts


def test_copies_go_to_another_service_and_nobody_sees_the_replies(servers: Servers) -> None:
    with mirrored(servers, {"pattern": "site|note"}) as started, started.client(database="test") as client:
        assert ask(client, WHERE) == "primary"
        ask(client, "INSERT INTO note (text) VALUES ('twice')")
        wait_until(lambda: copies(started)["mirrored"] == 2, "two copies")
        assert notes(servers["primary"]) == notes(servers["replica"]) == ["twice"]
        assert ask(client, "SELECT LAST_INSERT_ID() = MAX(id) FROM note") == 1
        ask(client, "DELETE FROM note")
        wait_until(lambda: copies(started)["mirrored"] == 3, "three copies")
        assert notes(servers["replica"]) == []
        assert started.admin("/stats/queries?service=shadow")["shadow"][0]["count"] == 1
        assert f'outcome="mirrored",service="{SERVICE}",target="shadow"}} 3.0' in started.admin("/metrics")


def test_what_belongs_to_more_than_itself_is_not_copied(servers: Servers) -> None:
    with mirrored(servers, {"user": "app"}) as started, started.client(database="test") as client:
        for sql in ("BEGIN", "INSERT INTO note (text) VALUES ('in a transaction')", "COMMIT"):
            ask(client, sql)
        for sql in ("SET @a = 1", "SELECT LAST_INSERT_ID()", "CREATE TEMPORARY TABLE t (a INT)", "USE test"):
            ask(client, sql)
        ask(client, "DELETE FROM note")  # pinned by the temporary table
        assert copies(started) == {"mirrored": 0, "failed": 0, "dropped": 0}
        assert notes(servers["replica"]) == []


def test_a_copy_that_fails_or_never_ends_harms_nobody(servers: Servers) -> None:
    servers["primary"].execute("CREATE TABLE test.here (a INT)")
    servers["replica"].execute("CREATE FUNCTION test.pause() RETURNS INT RETURN SLEEP(600)")
    servers["primary"].execute("CREATE FUNCTION test.pause() RETURNS INT RETURN 0")
    pool = {"max_connections": 2, "wait_timeout": "300ms"}
    with mirrored(servers, {"pattern": "here|pause"}, pool=pool) as started:
        with started.client(database="test") as client:
            ask(client, "SELECT a FROM here")
            wait_until(lambda: copies(started)["failed"] == 1, "a copy that failed")
            for _ in range(40):
                assert ask(client, "SELECT pause()") == 0
            wait_until(lambda: copies(started)["failed"] >= 31, "copies that get no lease in time")
            assert copies(started)["dropped"] >= 8
            for thread in servers["replica"].processlist():  # a function's thread shows its definer as its user
                if "pause()" in (thread["Info"] or ""):
                    servers["replica"].kill_connection(thread["Id"])
    servers["primary"].execute("DROP TABLE test.here")


def test_a_mirror_that_is_down_costs_nothing(servers: Servers) -> None:
    upstream = {"endpoints": [f"{LOOPBACK}:1"], "user": "app", "password": "s3cret"}
    with mirrored(servers, {"pattern": "site"}, upstream=upstream) as started:
        with started.client(database="test") as client:
            for _ in range(3):
                assert ask(client, WHERE) == "primary"
            wait_until(lambda: copies(started)["failed"] == 3, "three copies that failed")


def test_large_replies_to_copies_are_thrown_away_as_they_come(servers: Servers) -> None:
    sql = "SELECT REPEAT('x', 2000000) FROM site"
    with mirrored(servers, {"pattern": "repeat"}) as started, Wire((LOOPBACK, started.port), schema="test") as wire:
        wire.send(command(COM_QUERY, sql.encode()) * 1)
        assert sum(len(wire.packet()) for _ in range(5)) > 2_000_000
        wait_until(lambda: copies(started)["mirrored"] == 1, "a copy")
