"""The clients of tests/mysql/test_isolation.py, in a process of their own: each talks about itself only.

    python mysql_clients.py PORT SECONDS CLIENTS

Everything a client says carries its tag, and every packet that it gets is searched for the tags of others. What it
believes of its connection (settings, schema, LAST_INSERT_ID(), ...) is asked now and then, and has to be so. A reply
may be an error in clear words instead; the client then connects anew. After SECONDS it prints what it saw as JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from mysql_wire import BASIC, MODERN, LoginRefused, Prepared, Result, Steps, Talk, binary_row, last_sequence
from protocols.mysql import constants as c
from protocols.mysql.packets import command

SCHEMAS: Final = 3
PATIENCE: Final = 30.0  # seconds without a reply: it is lost
KINDS: Final = (BASIC, MODERN, BASIC | c.CLIENT_FOUND_ROWS)
# What a client may be told instead of its reply: that its connection was killed or lost, or that it waited too long.
CLEAN: Final = (1040, 1053, 1205, 1213, 1317, 1927, 2003, 2013, 3024)
_TAG: Final = re.compile(rb"\bc(\d+)x")

seen: Final[Counter[str]] = Counter()
violations: Final[list[str]] = []
errors: Final[Counter[str]] = Counter()


class Closed(Exception):
    """The gateway ended the connection, or what the client believes of it is no longer certain."""


class Client(Talk):
    """One client with its tag."""

    def __init__(self, number: int, port: int) -> None:
        super().__init__("app", "", "hunt_0", KINDS[number % len(KINDS)], False)
        self.number: Final = number
        self.tag: Final = f"c{number}x"
        self.random: Final = random.Random(number)
        self.port: Final = port
        self.kind: Final = self.capabilities
        self._nonces: Final = itertools.count()
        self._forget()

    def _forget(self) -> None:
        """A fresh connection, or one that was reset."""
        self.settings: dict[str, str] = {}
        self.insert_id = 0
        self.statements: list[tuple[Prepared, str]] = []

    def nonce(self) -> str:
        """Something that nobody else ever says."""
        return f"{self.tag}{next(self._nonces)}"

    def violated(self, what: str, reply: object) -> None:
        """This must not happen."""
        if len(violations) < 50:
            violations.append(f"{self.tag}: {what}: {reply!r:.300}")

    # The connection

    async def connect(self) -> None:
        """A fresh connection."""
        self._forget()
        self.schema = "hunt_0"
        self.capabilities = self.kind
        self.sequence = -1
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        seen["connects"] += 1
        try:
            await self.run(self.login())
        except LoginRefused as error:
            self._accept(error.args)
            raise Closed from None

    async def run(self, steps: Steps) -> Any:
        """Drive a conversation to its end."""
        out = next(steps)
        while True:
            if out:
                self._writer.write(out)
                self.sequence = last_sequence(out)
            try:
                out = steps.send(await self._packet())
            except StopIteration as done:
                return done.value

    async def _packet(self) -> bytes:
        try:
            async with asyncio.timeout(PATIENCE):
                header = await self._reader.readexactly(4)
                payload = await self._reader.readexactly(int.from_bytes(header[:3], "little"))
        except TimeoutError:
            self.violated("no reply", None)
            raise Closed from None
        except (asyncio.IncompleteReadError, OSError):
            raise Closed from None
        if self.sequence >= 0 and header[3] != self.sequence + 1 & 255:
            self.violated("out of order", (header, self.sequence, payload[:100]))
        self.sequence = header[3]
        if b"\0mysql_native_password" in payload or b"\xfemysql_native_password" in payload:
            return payload  # a nonce may look like a tag
        for found in _TAG.finditer(payload):
            if int(found[1]) != self.number:
                self.violated("somebody else's", payload[max(0, found.start() - 60) : found.end() + 60])
        return payload

    def _accept(self, error: Any) -> None:
        """Is this an error in clear words?"""
        errors[f"{error[0]} {re.sub('[0-9.]+', '#', error[2])[:90]}"] += 1
        if error[0] not in CLEAN:
            self.violated("an error", error)

    async def query(self, sql: str, *, may_fail: tuple[int, ...] = ()) -> list[Result]:
        """All results of a text.

        Raises:
            Closed: one is an error that may come, and that leaves the connection in a state that is not known.
        """
        results: list[Result] = await self.run(self.results(command(c.COM_QUERY, sql.encode())))
        return self._checked(results, may_fail)

    def _checked(self, results: list[Result], may_fail: tuple[int, ...]) -> list[Result]:
        seen["replies"] += 1
        error = results[-1].error
        if error is not None and error[0] not in may_fail:
            self._accept(error)
            raise Closed
        return results

    async def ask(self, sql: str) -> str | None:
        """One value."""
        return (await self.query(sql))[-1].value

    async def expect(self, expected: object, sql: str) -> None:
        """A text whose last value is known."""
        value = await self.ask(sql)
        if value != expected:
            self.violated(f"{sql} instead of {expected!r}", value)

    async def reset(self) -> None:
        """COM_RESET_CONNECTION, which ends whatever pins."""
        self._checked([await self.run(self.one(command(c.COM_RESET_CONNECTION)))], ())
        self._forget()

    async def leave(self) -> None:
        """Leave, in order or not, and come back."""
        if self.random.random() < 0.5:
            self._writer.transport.abort()
        else:
            self._writer.close()
        await self.connect()

    async def end_pins(self) -> None:
        """In one way or another."""
        await self.random.choice([self.reset, self.reset, self.leave, self.become])()

    # What it does. Whatever pins is over at the end of an act: there are few connections.

    async def echo(self) -> None:
        """Questions that have one right answer each."""
        for _ in range(self.random.randint(1, 4)):
            nonce = self.nonce()
            await self.expect(nonce, f"SELECT '{nonce}'")
        await self.expect(str(self.id), "SELECT CONNECTION_ID()")

    async def set(self) -> None:
        """A setting, written in one of many ways."""
        name, value = self.random.choice(
            [
                ("time_zone", f"+0{self.random.randint(0, 9)}:00"),
                ("sql_mode", self.random.choice(["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES"])),
                ("tx_isolation", self.random.choice(["READ-COMMITTED", "SERIALIZABLE", "REPEATABLE-READ"])),
                ("lc_time_names", self.random.choice(["de_DE", "fr_FR", "en_US"])),
                ("group_concat_max_len", str(self.random.randint(10, 2000))),
                ("character_set_client", self.random.choice(["latin1", "utf8mb4"])),
                ("autocommit", "1"),
            ]
        )
        if name == "character_set_client":
            await self.query(f"SET NAMES {value}")
        else:
            way = self.random.choice(["SET {}", "SET SESSION {}", "SET @@{}", "SET @@session.{}"])
            if name == "tx_isolation":
                way = "SET SESSION {}"  # SET @@tx_isolation is about the next transaction
            literal = value if value.isdigit() else f"'{value}'"
            await self.query(f"{way.format(name)} = {literal}")
        self.settings[name] = value
        await self.check()

    async def check(self) -> None:
        """Is everything as it was set?"""
        if self.settings:
            names = list(self.settings)
            [result] = await self.query("SELECT " + ", ".join(f"@@{name}" for name in names))
            got = [value.decode() for value in result.rows[0]]
            if got != list(self.settings.values()):
                self.violated(f"settings {self.settings}", got)
        await self.expect(self.schema, "SELECT DATABASE()")

    async def fresh(self) -> None:
        """After a reset or a login nothing of anybody is there."""
        await self.end_pins()
        [result] = await self.query(
            "SELECT @own, @@time_zone, @@sql_mode LIKE 'STRICT_TRANS%', @@tx_isolation, @@autocommit, @@in_transaction,"
            " LAST_INSERT_ID(), @@character_set_client, @@lc_time_names, @@tx_read_only"
        )
        expected = (None, b"SYSTEM", b"1", b"REPEATABLE-READ", b"1", b"0", b"0", b"utf8mb4", b"en_US", b"0")
        if result.rows != [expected]:
            self.violated("a fresh connection", result.rows)

    async def use(self) -> None:
        """Another schema."""
        schema = f"hunt_{self.random.randrange(SCHEMAS)}"
        if self.random.random() < 0.5:
            await self.query(f"USE {schema}")
        else:
            self._checked([await self.run(self.one(command(c.COM_INIT_DB, schema.encode())))], ())
        self.schema = schema
        await self.expect(schema, "SELECT DATABASE()")
        await self.expect(schema, "SELECT name FROM here")

    async def variables(self) -> None:
        """User variables."""
        first, second = self.nonce(), self.nonce()
        await self.expect(None, "SELECT @own")
        await self.query(f"SET @own = '{first}'")
        await self.expect(first, "SELECT @own")
        await self.query(f"SELECT '{second}' INTO @own")
        await self.expect(second, "SELECT @own")
        await self.end_pins()
        await self.expect(None, "SELECT @own")

    async def temporary(self) -> None:
        """A temporary table of a name that everybody uses."""
        nonce = self.nonce()
        [result] = await self.query("SELECT value FROM temporary", may_fail=(1146,))
        if not result.error:
            self.violated("a temporary table", result.rows)
        await self.query(f"CREATE TEMPORARY TABLE temporary SELECT '{nonce}' AS value")
        await self.expect(nonce, "SELECT value FROM temporary")
        if self.random.random() < 0.5:
            await self.query("DROP TEMPORARY TABLE temporary")
        await self.end_pins()

    async def locks(self) -> None:
        """A lock by name, or on a table; its holder is alone."""
        if self.random.random() < 0.5:
            await self.expect("1", f"SELECT GET_LOCK('{self.tag}', 0)")
            await self.expect("0", f"SELECT IS_FREE_LOCK('{self.tag}')")
            if self.random.random() < 0.5:
                await self.expect("1", "SELECT RELEASE_ALL_LOCKS()")
                return
        else:
            await self.query(f"LOCK TABLES own_{self.number} WRITE")
            await self.query(f"INSERT INTO own_{self.number} VALUES ('{self.nonce()}')")
            [result] = await self.query("SELECT * FROM here", may_fail=(1100,))
            if not result.error:
                self.violated("LOCK TABLES", result.rows)
            if self.random.random() < 0.5:
                await self.query("UNLOCK TABLES")
                await self.expect(self.schema, "SELECT name FROM here")
                return
        await self.end_pins()

    async def text_statements(self) -> None:
        """PREPARE and EXECUTE by the same name as everybody."""
        nonce = self.nonce()
        [result] = await self.query("EXECUTE own", may_fail=(1243,))
        if not result.error:
            self.violated("a prepared statement", result.rows)
        await self.query(f"PREPARE own FROM 'SELECT ''{nonce}'''")
        await self.expect(nonce, "EXECUTE own")
        await self.end_pins()

    async def binary_statements(self) -> None:
        """Texts that everybody prepares, executed now and later."""
        if len(self.statements) < 3 or self.random.random() < 0.2:
            kind = self.random.choice(["SELECT ?", "SELECT CONCAT(?, '')", f"SELECT '{self.tag}', ?"])
            prepared = await self.run(self.prepare(kind))
            if isinstance(prepared, Result):
                self._checked([prepared], ())
            self.statements.append((prepared, kind))
        for _ in range(3):
            statement, kind = self.random.choice(self.statements)
            nonce = self.nonce()
            results = await self.run(self.execute(statement, [nonce]))
            self._checked(results, ())
            expected = [binary_row(self.tag, nonce) if "," in kind and "CONCAT" not in kind else binary_row(nonce)]
            if results[0].rows != expected:
                self.violated(kind, results[0].rows)
        if self.random.random() < 0.2:
            statement, _ = self.statements.pop()
            self._writer.write(command(c.COM_STMT_CLOSE, statement.id.to_bytes(4, "little")))

    async def transaction(self) -> None:
        """What it inserts is there, once it is committed, and not otherwise."""
        nonce, modest = self.nonce(), self.random.random() < 0.7
        count = f"SELECT COUNT(*) FROM hunt_0.plain WHERE owner = {self.number} AND value = '{nonce}'"
        await self.query("BEGIN" if modest else "SET autocommit = 0")
        [result] = await self.query(f"INSERT INTO hunt_0.plain (owner, value) VALUES ({self.number}, '{nonce}')")
        self.insert_id = result.insert_id
        if not result.status & c.SERVER_STATUS_IN_TRANS:
            self.violated("INSERT in a transaction", result)
        await self.expect("1", count)
        if self.random.random() < 0.2:
            await self.leave()
            return  # whether it is rolled back already is not for this client to know
        committed = self.random.random() < 0.5
        await self.query("COMMIT" if committed else "ROLLBACK")
        if not modest:
            await self.query("SET autocommit = 1")
        await self.expect("1" if committed else "0", count)

    async def insert(self) -> None:
        """LAST_INSERT_ID() is its own, now and later."""
        if self.random.random() < 0.5:
            table = f"hunt_{self.random.randrange(SCHEMAS)}.plain"
            [result] = await self.query(f"INSERT INTO {table} (owner, value) VALUES ({self.number}, '{self.nonce()}')")
            self.insert_id = result.insert_id
        await self.expect(str(self.insert_id), "SELECT LAST_INSERT_ID()")

    async def numbers(self) -> None:
        """FOUND_ROWS() and ROW_COUNT()."""
        count = self.random.randint(1, 9)
        await self.query(f"SELECT id FROM hunt_0.numbers LIMIT {count}")
        await self.expect(str(count), "SELECT FOUND_ROWS()")
        await self.query(f"SELECT SQL_CALC_FOUND_ROWS id FROM hunt_0.numbers LIMIT {count}")
        await self.expect("20", "SELECT FOUND_ROWS()")
        await self.query(f"DO {count}")
        await self.expect("0", "SELECT ROW_COUNT()")

    async def warnings(self) -> None:
        """Its own warnings, and at other times nobody else's."""
        nonce = self.nonce()
        if self.random.random() < 0.7:
            [result] = await self.query(f"SELECT CAST('{nonce}' AS INT) FROM hunt_0.here")
            await self.expect("1", "SELECT @@warning_count")
            [result] = await self.query("SHOW WARNINGS")
            if len(result.rows) != 1 or nonce.encode() not in result.rows[0][2]:
                self.violated(f"warnings of {nonce}", result.rows)
        else:
            await self.query("SHOW WARNINGS")

    async def several(self) -> None:
        """Several statements in one text, the last of which may fail."""
        nonces = [self.nonce() for _ in range(4)]
        ending = f"; SELECT * FROM {self.nonce()}" if self.random.random() < 0.3 else ""
        results = await self.query("; ".join(f"SELECT '{nonce}'" for nonce in nonces) + ending, may_fail=(1146,))
        got = [result.value for result in results if not result.error]
        if got != nonces:
            self.violated("several statements", got)

    async def procedure(self) -> None:
        """A routine that changes what no text shows."""
        nonce = self.nonce()
        results = await self.query(f"CALL hunt_0.changes('{nonce}')")
        if results[0].value != nonce:
            self.violated("CALL", results)
        await self.expect(nonce, "SELECT @own")
        await self.expect(nonce, "SELECT value FROM hunt_0.temporary")
        await self.end_pins()

    async def become(self) -> None:
        """COM_CHANGE_USER."""
        result = await self.run(self.change_user("app", "", "hunt_0"))
        self._checked([result], ())
        self._forget()
        self.schema = "hunt_0"

    async def leave_in_mid_query(self) -> None:
        """Go away while something runs."""
        sql = self.random.choice(["SELECT SLEEP(0.2)", "USE hunt_1", "BEGIN", "SET time_zone = '+01:00'"])
        self._writer.write(command(c.COM_QUERY, sql.encode()))
        await asyncio.sleep(0.01 * self.random.random())
        await self.leave()

    async def leave_in_mid_result(self) -> None:
        """Ask for much, and read little of it."""
        self._writer.write(command(c.COM_QUERY, f"SELECT REPEAT('{self.tag}', 400000), SLEEP(0)".encode()))
        await self._reader.read(1000)
        await self.leave()

    async def large(self) -> None:
        """A large text and a large value."""
        text = self.nonce() * self.random.randint(10, 20_000)
        await self.expect(text, f"SELECT '{text}'")

    async def outlast(self) -> None:
        """Longer than the timeout of the policy; then a question that has one right answer."""
        results = await self.query("SELECT SLEEP(5)", may_fail=(3024,))
        if not results[0].error and results[0].value != "1":
            self.violated("a timeout", results)
        seen["timeouts"] += bool(results[0].error)
        await self.echo()

    async def killed(self) -> None:
        """Its own query, from a second connection of its own."""
        other = Client(self.number, self.port)
        await other.connect()
        sleeping = self.run(self.results(command(c.COM_QUERY, b"SELECT SLEEP(0.3)")))
        results, _ = await asyncio.gather(sleeping, other.kill(self.id))
        self._checked(results, (1317,))
        await self.echo()

    async def kill(self, connection: int) -> None:
        """End what another connection executes, and leave."""
        await asyncio.sleep(0.05)
        try:
            await self.query(f"KILL QUERY {connection}")
        except Closed:
            seen["kills that failed"] += 1
        finally:
            self._writer.close()

    async def live(self, end: float) -> None:
        """Do one thing after another until it is time."""
        acts: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self.echo, 30), (self.set, 20), (self.check, 10), (self.fresh, 6), (self.use, 10), (self.variables, 4),
            (self.temporary, 4), (self.locks, 4), (self.text_statements, 3), (self.binary_statements, 15),
            (self.transaction, 10), (self.insert, 12), (self.numbers, 6), (self.warnings, 6), (self.several, 8),
            (self.procedure, 3), (self.become, 2), (self.leave_in_mid_query, 3), (self.leave_in_mid_result, 2),
            (self.large, 3), (self.leave, 4),
        ]  # fmt: skip
        if self.number < 2:
            acts += [(self.outlast, 2), (self.killed, 5)]
        loop = asyncio.get_running_loop()
        connected = False
        while loop.time() < end:
            try:
                if not connected:
                    await self.connect()
                    connected = True
                act = self.random.choices([act for act, _ in acts], [weight for _, weight in acts])[0]
                seen[act.__name__] += 1
                await act()
            except (Closed, OSError):
                seen["closed"] += 1
                connected = False
                self._writer.close()
                await asyncio.sleep(0.01)
        self._writer.close()


async def main(port: int, seconds: float, clients: int) -> None:
    """All clients at once."""
    end = asyncio.get_running_loop().time() + seconds
    await asyncio.gather(*[Client(number, port).live(end) for number in range(clients)])
    print(json.dumps({"seen": seen, "violations": violations, "errors": errors.most_common(20)}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
