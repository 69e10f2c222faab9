"""Clients of a leak hunt: each changes the state of its session in every way, and knows what it has to see.

``Hunter`` is one client over asyncio; ``TRICKS`` is what it does. A trick that sees what is not its own raises Leak.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from mysql_wire import BASIC, MODERN, LoginRefused, Prepared, Result, Steps, Talk, last_sequence
from protocols.mysql import constants as c
from protocols.mysql.packets import command
from servers import LOOPBACK

PATIENCE: Final = 30.0
# What a client may be told because of what the test does to the servers: it is no longer the session that it was.
DISTURBED: Final = (1040, 1205, 1213, 1317, 2003, 2013)


class Leak(AssertionError):
    """A client saw what is not its own."""


class Disturbed(Exception):
    """The upstream, or the connection, was lost; the client begins anew."""


class Hunter(Talk):
    """One client. Its number marks whatever it leaves anywhere."""

    def __init__(self, number: int, port: int, counts: Counter[str]) -> None:
        super().__init__("app", "s3cret", "hunt_a", (MODERN, BASIC)[number % 2], False)
        self.number: Final = number
        self.random: Final = random.Random(number)
        self.counts: Final = counts
        self._port: Final = port
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self) -> None:
        """A new connection."""
        await self.close()
        self._reader, self._writer = await asyncio.open_connection(LOOPBACK, self._port)
        self.sequence = -1
        await self.run(self.login())

    async def close(self) -> None:
        """Without a word, as clients do that crash."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.transport.abort()

    async def run(self, steps: Steps) -> Any:
        """Drive a conversation to its end."""
        assert self._writer is not None
        out = next(steps)
        while True:
            if out:
                self._writer.write(out)
                self.sequence = last_sequence(out)
            try:
                async with asyncio.timeout(PATIENCE):
                    out = steps.send(await self._packet())
            except StopIteration as done:
                return done.value
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise Disturbed from error

    async def _packet(self) -> bytes:
        header = await self._reader.readexactly(4)
        assert self.sequence < 0 or header[3] == self.sequence + 1 & 255, (header, self.sequence)
        self.sequence = header[3]
        return await self._reader.readexactly(int.from_bytes(header[:3], "little"))

    async def query(self, sql: str) -> list[Result]:
        """All results of a text."""
        results: list[Result] = await self.run(self.results(command(c.COM_QUERY, sql.encode())))
        for result in results:
            if result.errno in DISTURBED:
                raise Disturbed(str(result.error))
        return results

    async def ask(self, sql: str) -> str | None:
        """The only value of the last result."""
        results = await self.query(sql)
        self.expect(sql, results[-1].error, None)
        return results[-1].value

    async def do(self, *texts: str) -> None:
        """Texts that go well."""
        for sql in texts:
            self.expect(sql, (await self.query(sql))[-1].error, None)

    def expect(self, what: str, seen: object, own: object) -> None:
        """Compare what was seen with what this client left."""
        if seen != own:
            raise Leak(f"client {self.number}: {what}: saw {seen!r}, its own is {own!r}")

    async def reset(self) -> None:
        """COM_RESET_CONNECTION."""
        self.expect("reset", (await self.run(self.one(command(c.COM_RESET_CONNECTION)))).errno, 0)

    async def prepared(self, sql: str) -> Prepared:
        """A statement that can be prepared."""
        found = await self.run(self.prepare(sql))
        if not isinstance(found, Prepared):
            raise Disturbed(str(found))
        return found

    async def abandon(self, sql: str, received: int) -> None:
        """Leave while a statement is executed, or while its result arrives."""
        assert self._writer is not None
        self._writer.write(command(c.COM_QUERY, sql.encode()))
        if received:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._reader.readexactly(received)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise Disturbed from error
        await self.connect()

    async def hunt(self, until: float) -> None:
        """Do one thing after the other."""
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            trick = self.random.choice(TRICKS)
            try:
                if self._writer is None:
                    await self.connect()
                await trick(self)
                self.counts[trick.__name__] += 1
            except (Disturbed, LoginRefused):
                self.counts["disturbed"] += 1
                await self.close()
        await self.close()


async def settings(client: Hunter) -> None:
    """Session variables, in three ways to set them."""
    zone = f"+{client.number % 13:02}:{client.number % 60:02}"
    await client.do(f"SET time_zone = '{zone}'", f"SET @@sql_select_limit = {client.number + 1000}")
    charset = client.random.choice(("latin1", "utf8mb4"))
    await client.do(f"SET NAMES {charset}")
    seen = (await client.query("SELECT @@time_zone, @@sql_select_limit, @@character_set_client"))[-1].rows[0]
    client.expect("settings", seen, (zone.encode(), b"%d" % (client.number + 1000), charset.encode()))


async def defaults(client: Hunter) -> None:
    """A fresh session sees nobody's settings."""
    await client.connect()
    sql = "SELECT @@time_zone, @@autocommit, @@sql_select_limit > 1000000, @me, DATABASE(), LAST_INSERT_ID()"
    client.expect("defaults", (await client.query(sql))[-1].rows[0], (b"SYSTEM", b"1", b"1", None, b"hunt_a", b"0"))


async def user_variable(client: Hunter) -> None:
    """Pinned until it is given up."""
    await client.do(f"SET @me = {client.number}")
    client.expect("@me", await client.ask("SELECT @me"), str(client.number))
    await client.reset()
    client.expect("@me, behind a reset", await client.ask("SELECT @me"), None)


async def temporary_table(client: Hunter) -> None:
    """The same name for everybody."""
    client.expect("another's table", (await client.query("SELECT v FROM hunted"))[-1].errno, 1146)
    await client.do("CREATE TEMPORARY TABLE hunted (v INT)", f"INSERT INTO hunted VALUES ({client.number})")
    client.expect("its table", await client.ask("SELECT GROUP_CONCAT(v) FROM hunted"), str(client.number))
    await client.reset()


async def lock(client: Hunter) -> None:
    """A lock is its holder's only."""
    name = f"hunt-{client.number}"
    client.expect("the lock", await client.ask(f"SELECT GET_LOCK('{name}', 0)"), "1")
    client.expect("its holder", await client.ask(f"SELECT IS_USED_LOCK('{name}') IS NOT NULL"), "1")
    await client.do("DO RELEASE_ALL_LOCKS()")
    client.expect("the free lock", await client.ask(f"SELECT IS_FREE_LOCK('{name}')"), "1")


async def statement(client: Hunter) -> None:
    """A prepared statement, executed in between others."""
    kept = await client.prepared("SELECT CONCAT(?, '-', ?)")
    await client.do("SELECT 1")
    results = await client.run(client.execute(kept, (client.number, "own")))
    if results[-1].errno in DISTURBED:
        raise Disturbed
    client.expect("an execution", results[-1].error, None)
    client.expect("its row", f"{client.number}-own".encode() in results[-1].rows[0], True)


async def transaction(client: Hunter) -> None:
    """What it has not committed, and what it rolls back."""
    await client.do("BEGIN", f"INSERT INTO hunt_a.ledger VALUES ({client.number})")
    client.expect("its row", await client.ask(f"SELECT COUNT(*) FROM hunt_a.ledger WHERE n = {client.number}"), "1")
    await client.do("ROLLBACK")
    client.expect("no row", await client.ask(f"SELECT COUNT(*) FROM hunt_a.ledger WHERE n = {client.number}"), "0")


async def insert_id(client: Hunter) -> None:
    """LAST_INSERT_ID() far from its INSERT."""
    [result] = await client.query(f"INSERT INTO hunt_a.numbered (n) VALUES ({client.number})")
    client.expect("the insert", result.error, None)
    await client.do("SELECT 1", "SELECT 2")
    client.expect("LAST_INSERT_ID()", await client.ask("SELECT LAST_INSERT_ID()"), str(result.insert_id))
    sql = "SELECT n FROM hunt_a.numbered WHERE id = LAST_INSERT_ID()"
    client.expect("its row", await client.ask(sql), str(client.number))


async def found_rows(client: Hunter) -> None:
    """FOUND_ROWS() and ROW_COUNT()."""
    await client.do(f"SELECT SQL_CALC_FOUND_ROWS seq FROM hunt_a.seq_1_to_{client.number + 5} LIMIT 1")
    client.expect("FOUND_ROWS()", await client.ask("SELECT FOUND_ROWS()"), str(client.number + 5))


async def warnings(client: Hunter) -> None:
    """Warnings are told to whom they concern."""
    await client.do(f"SELECT CAST('w{client.number}' AS SIGNED)")
    seen = [row[2] for row in (await client.query("SHOW WARNINGS"))[-1].rows]
    client.expect("warnings", seen, [b"Truncated incorrect INTEGER value: 'w%d'" % client.number])
    await client.do("SELECT 1")
    client.expect("no warnings", (await client.query("SHOW WARNINGS"))[-1].rows, [])


async def schema(client: Hunter) -> None:
    """The same table name in two schemas."""
    own = ("hunt_a", "hunt_b")[client.number % 2]
    await client.do(f"USE {own}")
    client.expect("the schema", await client.ask("SELECT name FROM named"), own)
    await client.do("USE hunt_a")


async def several(client: Hunter) -> None:
    """A text of several statements."""
    results = await client.query(f"SELECT {client.number}; SELECT 'b{client.number}'")
    seen = [result.value for result in results]
    client.expect("two results", seen, [str(client.number), f"b{client.number}"])


async def timeout(client: Hunter) -> None:
    """The policy ends it; the session goes on."""
    client.expect("a timeout", (await client.query("DO SLEEP(5)"))[-1].errno, 3024)
    await several(client)


async def leaves(client: Hunter) -> None:
    """Away in the middle of something."""
    await client.abandon("SELECT SLEEP(0.3)", 0)


async def leaves_a_result(client: Hunter) -> None:
    """Away in the middle of a result."""
    await client.abandon("SELECT REPEAT('x', 1000) FROM hunt_a.seq_1_to_500", 5000)


TRICKS: Final[tuple[Callable[[Hunter], Awaitable[None]], ...]] = (
    settings, settings, defaults, user_variable, temporary_table, lock, statement, statement, transaction, transaction,
    insert_id, insert_id, found_rows, warnings, schema, several, several, timeout, leaves, leaves_a_result,
)  # fmt: skip
