"""The same statements past poolgate and through it give the same results, whatever they are and in whatever order.

Two clients take turns, each in a schema of its own, once on connections of their own and once through a gateway that
lends them the same upstream connection whenever it can. Rows, definitions of columns, errors, affected rows, insert
ids, warnings, messages and status flags have to be equal, byte for byte.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from mysql_gateway import MysqlGateway
from mysql_servers import DatabaseServer, MariaDBServer, MySQL8Server
from mysql_wire import BASIC, MODERN, Prepared, Result, Wire
from protocols.mysql import constants as c
from protocols.mysql.constants import CLIENT_DEPRECATE_EOF, CLIENT_FOUND_ROWS, CLIENT_SESSION_TRACK
from servers import LOOPBACK

EXAMPLES: Final = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "40"))
STEPS: Final = 30
UPSTREAM: Final = {"user": "app", "password": "s3cret"}
KINDS: Final = (
    BASIC,
    MODERN,
    BASIC | CLIENT_DEPRECATE_EOF,
    BASIC | CLIENT_SESSION_TRACK,
    BASIC | CLIENT_FOUND_ROWS,
)

number: Final = st.integers(-1, 5)
word: Final = st.sampled_from(["a", "b", "'", "\\\\", "ä", "", "long enough to be cut off"])


def template(text: str) -> st.SearchStrategy[str]:
    """A text in which #s become numbers and ~s become words."""
    parts = [number if char == "#" else word if char == "~" else None for char in text]

    def fill(values: list[Any]) -> str:
        chosen = iter(values)
        return "".join(char if part is None else str(next(chosen)) for char, part in zip(text, parts, strict=True))

    return st.tuples(*[part for part in parts if part is not None]).map(lambda values: fill(list(values)))


COMMON: Final = (
    "SELECT * FROM t ORDER BY id", "SELECT id, name FROM t WHERE id > # ORDER BY id", "SELECT COUNT(*) AS n FROM t",
    "SELECT # + 1 AS one, '~' AS two, NULL AS three", "SELECT id FROM t ORDER BY id LIMIT 1",
    "INSERT INTO t (name) VALUES ('a')", "INSERT INTO t (name) VALUES ('a'), ('b')",
    "INSERT INTO t VALUES (#, 'c')", "INSERT INTO t VALUES (#, '~')",
    "UPDATE t SET name = '~' WHERE id = #", "DELETE FROM t WHERE id = #",
    "SELECT * FROM missing", "SELEKT",
    "BEGIN", "COMMIT", "ROLLBACK", "START TRANSACTION",
    "SAVEPOINT s", "ROLLBACK TO SAVEPOINT s",
    "SET autocommit = 0", "SET autocommit = 1", "SELECT @@autocommit",
    "SET sql_mode = ''", "SET sql_mode = 'ANSI_QUOTES'", "SET SESSION sql_mode = DEFAULT", "SELECT @@sql_mode",
    "SET time_zone = '+0#:00'", "SET @@time_zone = '+02:00'", "SELECT @@time_zone",
    "SET @x = #", "SET @x = '~', @y = #", "SELECT CAST(@x AS CHAR(30)) AS x, CAST(@y AS CHAR(30)) AS y",
    "SELECT LAST_INSERT_ID()",
    "USE {schema}", "USE {other}", "SELECT DATABASE()",
)  # fmt: skip
MARIADB: Final = (
    *COMMON, "REPLACE INTO t VALUES (#, 'r')", "START TRANSACTION READ ONLY",
    "SELECT nothing FROM t",  # behind it the other server's next COMMIT undoes what other connections wrote
    "INSERT IGNORE INTO t VALUES (1, 'long enough to be cut off'), (1, 'd')",
    "SELECT 1/0, # AS n", "SELECT CAST('~' AS INT)", "DROP TABLE IF EXISTS missing",
    "INSERT INTO t (name) VALUES ('e') ON DUPLICATE KEY UPDATE name = 'f'",
    "INSERT INTO t VALUES (#, 'g') ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id), name = '~'",
    "INSERT INTO t (name) VALUES ('h') RETURNING id, name",
    "SELECT LAST_INSERT_ID() + 0, @@last_insert_id", "SELECT LAST_INSERT_ID(#)", "SET last_insert_id = #",
    "SET insert_id = 4#", "SELECT ROW_COUNT()", "SELECT ROW_COUNT() AS n",
    "SET NAMES latin1", "SET NAMES utf8mb4", "SET NAMES utf8mb4 COLLATE utf8mb4_bin", "SET CHARACTER SET latin1",
    "SET character_set_results = NULL",
    "SELECT @@character_set_client, @@character_set_connection, @@character_set_results, @@collation_connection",
    "SELECT 'ä', LENGTH('ä'), 'a' = 'A', CHARSET('ä'), COLLATION('ä')",
    "SET sql_mode = 'NO_BACKSLASH_ESCAPES'", "SELECT '\\\\', \"a\"",
    "SET sql_mode = CONCAT(@@sql_mode, ',PIPES_AS_CONCAT')",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET TRANSACTION READ ONLY",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SELECT @@tx_isolation, @@tx_read_only, @@in_transaction",
    "SET sql_select_limit = 2", "SET sql_select_limit = DEFAULT", "SET group_concat_max_len = 4",
    "SELECT GROUP_CONCAT(name ORDER BY id) FROM t", "SET div_precision_increment = #", "SELECT 1/3",
    "SET STATEMENT sql_select_limit = 1 FOR SELECT id FROM t ORDER BY id", "SET nothing = 1",
    "SET time_zone = 'nowhere'",
    "SET @x = (SELECT MAX(id) FROM t)", "SELECT @x := # AS x", "SELECT MAX(id) INTO @x FROM t", "SET @x = 1; SELECT @x",
    "SELECT sets_x(#) AS n",
    "CREATE TEMPORARY TABLE own (id INT)", "CREATE TEMPORARY TABLE t (other INT)", "INSERT INTO own VALUES (#)",
    "SELECT * FROM own", "DROP TEMPORARY TABLE own", "DROP TEMPORARY TABLE t",
    "CREATE TABLE made (id INT)", "DROP TABLE made", "ALTER TABLE t ADD extra INT", "ALTER TABLE t DROP extra",
    "TRUNCATE t", "INSERT INTO t VALUES (7, 'i'); SELECT * FROM t WHERE id = 7; DELETE FROM t WHERE id = 7",
    "SELECT 1 AS a; SELECT * FROM missing; SELECT 2 AS b", "SET time_zone = '+07:00'; SELECT @@time_zone",
    "BEGIN; INSERT INTO t (name) VALUES ('j'); COMMIT", "BEGIN; INSERT INTO t (name) VALUES ('k')", "DO 0; DO 1",
    "CALL results(#)", "CALL fails(#)", "CALL sets(#)", "CALL inserts()", "CALL missing()",
    "PREPARE own FROM 'SELECT ? AS p, name FROM t WHERE id > 1 ORDER BY id'", "SET @x = 1; EXECUTE own USING @x",
    "EXECUTE own USING @x", "DEALLOCATE PREPARE own", "EXECUTE IMMEDIATE 'SELECT #'",
    "BEGIN NOT ATOMIC DECLARE n INT DEFAULT #; SELECT n; SELECT n + 1 AS m; END",
    "LOCK TABLES t WRITE", "LOCK TABLES t READ", "UNLOCK TABLES", "SELECT GET_LOCK('{schema}', 0)",
    "SELECT RELEASE_LOCK('{schema}')", "SELECT IS_FREE_LOCK('{schema}')", "SELECT RELEASE_ALL_LOCKS()",
    "HANDLER t OPEN", "HANDLER t READ FIRST", "HANDLER t CLOSE",
    "XA START '{schema}'", "XA END '{schema}'", "XA ROLLBACK '{schema}'", "SELECT NEXTVAL(q)",
    "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'mine', MYSQL_ERRNO = 5#", "SHOW TABLES",
    "SHOW VARIABLES LIKE 'time_zone'", "SHOW SESSION VARIABLES WHERE variable_name = 'sql_mode'", "CHECK TABLE t",
    "-- nothing", "", ";", "SELECT 1;", "/* a comment */ SELECT # /* and another */",
)  # fmt: skip
ASKED: Final = (  # what only the next statement is right about
    ("SELECT SQL_CALC_FOUND_ROWS id FROM t ORDER BY id LIMIT 1", "SELECT FOUND_ROWS()"),
    ("SELECT id FROM t LIMIT 2", "SELECT FOUND_ROWS() AS n"),
    ("SELECT NEXTVAL(q)", "SELECT LASTVAL(q)"),
)
WARNED: Final = (
    "INSERT IGNORE INTO t VALUES (1, 'long enough to be cut off'), (1, 'd')", "SELECT 1/0 AS n",
    "SELECT id FROM t LIMIT 1",
    "DROP TABLE IF EXISTS missing", "SELECT CAST('a' AS INT) AS n", "SELECT 1 AS a; SELECT 1/0 AS b",
)  # fmt: skip
WARNINGS: Final = ("SHOW WARNINGS", "SHOW COUNT(*) WARNINGS", "SELECT @@warning_count", "SHOW WARNINGS LIMIT 1")
PREPARED: Final = (
    "SELECT id, name FROM t WHERE id > ? ORDER BY id", "SELECT ? AS a, ? AS b", "INSERT INTO t (name) VALUES (?)",
    "UPDATE t SET name = ? WHERE id = ?", "SELECT * FROM missing", "SELECT 1; SELECT 2", "SELECT @@time_zone",
    "SELECT DATABASE()", "SELECT * FROM t ORDER BY id",
)  # fmt: skip
PREPARED_MARIADB: Final = (
    *PREPARED, "SELECT LAST_INSERT_ID(), DATABASE()", "SET time_zone = '+08:00'", "SET autocommit = 0", "SET @x = ?",
    "CALL results(?)", "BEGIN", "COMMIT",
    "CREATE TEMPORARY TABLE own (id INT)", "SELECT * FROM own", "SELECT ROW_COUNT()", "SELECT 1/0 AS n",
    "SELECT COUNT(*) FROM t WHERE name = ?", "INSERT IGNORE INTO t VALUES (1, ?)",
)  # fmt: skip

Action = Callable[["Pair"], None]


class Pair:
    """One client, twice: on a connection of its own, and through the gateway."""

    def __init__(self, alone: Wire, through: Wire, schema: str) -> None:
        self.wires: Final = (alone, through)
        self.schema: Final = schema
        self.is_mariadb: Final = "MariaDB" in alone.version
        self.statements: Final[list[tuple[Prepared, Prepared]]] = []
        self.settle()

    def both(self, said: str, action: Callable[[Wire, int], Any]) -> list[Any]:
        """Do something on both, and compare what comes of it."""
        got = []
        for at, wire in enumerate(self.wires):
            answer = action(wire, at)
            got.append(answer)
        alone, through = [self.comparable(answer) for answer in got]
        assert through == alone, f"{self.schema}: {said}\n alone   {alone}\n through {through}"
        return got

    def comparable(self, answer: Any) -> Any:
        """What has to be equal."""
        if isinstance(answer, list):
            return [self.comparable(one) for one in answer]
        if isinstance(answer, Prepared):
            return (answer.parameters, [plain(column) for column in answer.columns], answer.warnings)
        assert isinstance(answer, Result)
        error = (*answer.error[:2], plain(answer.error[2].encode())) if answer.error else None
        status = answer.status & ~c.SERVER_SESSION_STATE_CHANGED
        numbers = (answer.affected, answer.insert_id, hex(status), answer.warnings, answer.info)
        columns = [plain(column) for column in answer.columns]
        rows = [plain(repr(row).encode()) for row in answer.rows]
        return (columns, rows, error, *numbers)

    def query(self, sql: str) -> None:
        """A text."""
        if self.is_mariadb or not sql.startswith("SET"):
            self.both(sql, lambda wire, at: wire.query(self.filled(sql, at)))
        else:  # it says that a SET affects a row, and begins a transaction; the gateway, which may answer, does not
            for at, wire in enumerate(self.wires):
                wire.query(self.filled(sql, at))
                wire.query("COMMIT")

    def filled(self, sql: str, at: int) -> str:
        """The schemas of the two are called one_... and two_...: as long, so that lengths in packets agree."""
        side = ("one", "two")[at]
        return sql.replace("{schema}", f"{side}_{self.schema}").replace("{other}", f"{side}_other")

    def prepare(self, sql: str) -> None:
        """A text, to be executed later."""
        first, second = self.both(f"prepare {sql}", lambda wire, at: wire.run(wire.prepare(sql)))
        if isinstance(first, Prepared) and isinstance(second, Prepared):
            self.statements.append((first, second))

    def execute(self, which: int, arguments: list[Any], types: bool) -> None:
        """One that was prepared. Types of parameters have to be told the first time."""
        if self.statements:
            chosen = self.statements[which % len(self.statements)]
            given = (arguments * 2)[: chosen[0].parameters]
            self.both(f"execute {which}", lambda wire, at: wire.executed(chosen[at], *given))
            if types and chosen[0].parameters:
                again = [type(value)(value) if value is not None else None for value in given]
                self.both("execute again", lambda wire, at: wire.executed(chosen[at], *again, types=False))

    def close(self, which: int) -> None:
        """COM_STMT_CLOSE, which nobody answers."""
        if self.statements:
            chosen = self.statements.pop(which % len(self.statements))
            for wire, statement in zip(self.wires, chosen, strict=True):
                wire.tell(c.COM_STMT_CLOSE, statement.id.to_bytes(4, "little"))
            self.query("SELECT 1")  # an open cursor is closed by what ROW_COUNT() hears of

    def fetch(self, which: int, count: int) -> None:
        """A cursor, and some of its rows; what the gateway answers itself, it answers without."""
        chosen = self.statements[which % len(self.statements)] if self.statements else None
        if chosen is not None and not any(b"ROW" in column for column in chosen[0].columns):
            given = [1, "a"][: chosen[0].parameters]
            opened = self.both("cursor", lambda wire, at: wire.executed(chosen[at], *given, cursor=True))
            if opened[0][-1].status & c.SERVER_STATUS_CURSOR_EXISTS:
                self.both("fetch", lambda wire, at: wire.run(wire.fetch(chosen[at], count)))
                self.query("SELECT 1")

    def command(self, name: str) -> None:
        """A command without an argument, or with one of few."""
        word = getattr(c, name)
        body = {"COM_SET_OPTION": b"\0\0"}.get(name, b"")
        self.both(name, lambda wire, at: wire.answer(word, self.filled("{schema}", at).encode() * (word == 2) + body))
        if name == "COM_RESET_CONNECTION":
            self.settle()

    def change_user(self) -> None:
        """COM_CHANGE_USER, back to the same schema."""
        passwords = ("s3cret", "")
        self.both(
            "change user",
            lambda wire, at: wire.run(wire.change_user("app", passwords[at], self.filled("{schema}", at))),
        )
        self.settle()

    def settle(self) -> None:
        """Behind a login or a reset. What FOUND_ROWS() says before any statement is beside the point."""
        self.statements.clear()
        self.query("SELECT 1")

    def warned(self, sql: str, ask: str) -> None:
        """A text and what is asked about it next: its warnings, the number of rows that it found."""
        self.query("SELECT 1 FROM (SELECT 1) AS one")  # MariaDB keeps an error until a table is used
        self.query(sql)
        self.query(ask)
        self.query("SELECT 1")  # SHOW is a SELECT to FOUND_ROWS(), or is not


def plain(data: bytes) -> bytes:
    """Without what tells the two sides apart."""
    return re.sub(rb"at row \d+$", b"", data.replace(b"two_", b"one_"))


def act(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """A call of one of Pair's methods."""
    return st.tuples(st.just(name), *arguments)


index: Final = st.integers(0, 3)
argument: Final = st.one_of(st.integers(-2, 9), st.none(), st.sampled_from(["a", "ä", ""]))


def steps(texts: tuple[str, ...], prepared: tuple[str, ...], commands: list[str]) -> st.SearchStrategy[Any]:
    """Who does what, one after the other."""
    query = act("query", st.one_of([template(text) for text in texts]))
    actions = [query] * 6 + [
        act("prepare", st.sampled_from(prepared)),
        act("prepare", st.sampled_from(prepared)),
        act("execute", index, st.lists(argument, min_size=2, max_size=2), st.booleans()),
        act("execute", index, st.lists(argument, min_size=2, max_size=2), st.booleans()),
        act("close", index),
        act("warned", st.sampled_from(WARNED), st.sampled_from(WARNINGS)),
        act("command", st.sampled_from(commands)),
    ]
    if "COM_CHANGE_USER" in commands or "COM_RESET_CONNECTION" in commands:
        actions += [act("warned", st.just(text), st.just(ask)) for text, ask in ASKED]
        actions += [act("fetch", index, st.integers(1, 3)), act("change_user")]
    return st.lists(st.tuples(st.sampled_from("ab"), st.one_of(actions)), min_size=5, max_size=STEPS)


def prepare_schemas(server: DatabaseServer, routines: bool) -> None:
    """What each side and client begins with."""
    for side in ("one", "two"):
        for schema in (f"{side}_a", f"{side}_b", f"{side}_other"):
            server.execute(f"DROP DATABASE IF EXISTS {schema}")
            server.execute(f"CREATE DATABASE {schema}")
            server.execute(f"CREATE TABLE {schema}.t (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(10))")
            if routines:
                for sql in ROUTINES:
                    server.execute(sql.replace("{schema}", schema))


ROUTINES: Final = (
    "CREATE SEQUENCE {schema}.q",
    "CREATE FUNCTION {schema}.sets_x(n INT) RETURNS INT BEGIN SET @x = n; RETURN n + 1; END",
    "CREATE PROCEDURE {schema}.results(n INT) BEGIN SELECT n AS a; SELECT id FROM t WHERE id > n ORDER BY id; END",
    "CREATE PROCEDURE {schema}.fails(n INT) BEGIN SELECT n AS a; SELECT * FROM missing; END",
    "CREATE PROCEDURE {schema}.sets(n INT) BEGIN SET @x = n; SET time_zone = '+05:00'; END",
    "CREATE PROCEDURE {schema}.inserts() BEGIN INSERT INTO t (name) VALUES ('p'); END",
)


def empty(server: DatabaseServer, clean: Wire) -> None:
    """As at the beginning, for the next example."""
    for side in ("one", "two"):
        for schema in (f"{side}_a", f"{side}_b", f"{side}_other"):
            clean.query(f"DROP TABLE IF EXISTS {schema}.made")
            if isinstance(server, MariaDBServer):
                table = "(id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(10))"
                clean.do(f"CREATE OR REPLACE TABLE {schema}.t {table}", f"ALTER SEQUENCE {schema}.q RESTART")
            else:
                clean.do(f"TRUNCATE TABLE {schema}.t")
            clean.do(f"INSERT INTO {schema}.t VALUES (1, 'one'), (2, 'two'), (3, 'three')")


def compare(server: DatabaseServer, gateway: MysqlGateway, capabilities: int, script: list[Any]) -> None:
    """One example."""
    with direct(server, "", BASIC) as clean:
        empty(server, clean)
    pairs = {}
    try:
        for name in ("a", "b"):
            alone = direct(server, f"one_{name}", capabilities)
            through = Wire((LOOPBACK, gateway.port), schema=f"two_{name}", capabilities=capabilities)
            pairs[name] = Pair(alone, through, name)
        for who, (action, *arguments) in script:
            note(f"{who}.{action}({', '.join(map(repr, arguments))})")
            getattr(pairs[who], action)(*arguments)
    finally:
        for pair in pairs.values():
            for wire in pair.wires:
                wire.socket.close()
        gateway.wait_until_quiet()


def direct(server: DatabaseServer, schema: str, capabilities: int) -> Wire:
    return Wire(str(server.path), password="s3cret", schema=schema, capabilities=capabilities)


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDBServer]:
    with MariaDBServer(
        users={"app": "s3cret"}, options={"innodb-lock-wait-timeout": "1", "lock-wait-timeout": "1"}
    ) as server:
        prepare_schemas(server, True)
        yield server


@pytest.fixture(scope="module")
def over_mariadb(mariadb: MariaDBServer) -> Iterator[MysqlGateway]:
    """Two connections, so that both clients may be pinned; with one of them free they use the other together."""
    pool = {"max_connections": 2, "statements": 3, "wait_timeout": "5s"}
    with MysqlGateway([mariadb.address], upstream=UPSTREAM, pool=pool) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def over_mysql8(mysql8_server: MySQL8Server) -> Iterator[MysqlGateway]:
    prepare_schemas(mysql8_server, False)
    pool = {"max_connections": 2, "statements": 3, "wait_timeout": "5s"}
    with MysqlGateway([mysql8_server.address], upstream=UPSTREAM, pool=pool) as gateway:
        yield gateway


FIXTURES: Final = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
COMMANDS: Final = ["COM_PING", "COM_RESET_CONNECTION", "COM_INIT_DB", "COM_SET_OPTION"]


@pytest.mark.parametrize("capabilities", KINDS, ids=["basic", "modern", "eof", "track", "found_rows"])
@settings(max_examples=EXAMPLES, suppress_health_check=FIXTURES)
@given(script=steps(MARIADB, PREPARED_MARIADB, COMMANDS))
def test_mariadb_through_the_gateway_is_mariadb(
    mariadb: MariaDBServer, over_mariadb: MysqlGateway, capabilities: int, script: list[Any]
) -> None:
    compare(mariadb, over_mariadb, capabilities, script)


@pytest.mark.parametrize("capabilities", [BASIC, MODERN], ids=["basic", "modern"])
@settings(max_examples=EXAMPLES, suppress_health_check=FIXTURES)
@given(script=steps(COMMON, PREPARED, ["COM_PING", "COM_INIT_DB"]))
def test_a_server_without_trackers_through_the_gateway_is_itself(
    mysql8_server: MySQL8Server, over_mysql8: MysqlGateway, capabilities: int, script: list[Any]
) -> None:
    compare(mysql8_server, over_mysql8, capabilities, script)
