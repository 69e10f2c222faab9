"""The clients of tests/redis/test_isolation.py, in a process of their own: 200 that each talk about themselves only.

    python isolation_clients.py PORT SECONDS

Everything a client writes carries its tag, and every reply is checked: it has to be the one to this very command, or
an error in clear words. After SECONDS it prints what it saw as JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

import hiredis

CLIENTS: Final = 200
DATABASES: Final = 4
PATIENCE: Final = 20.0  # seconds without a reply: it is lost
# What a client may be told instead of its reply.
CLEAN: Final = ("ERR poolgate: cache: ", "EXECABORT ", "ERR EXEC without MULTI", "ERR DISCARD without MULTI")

seen: Final[Counter[str]] = Counter()
violations: Final[list[str]] = []


class Closed(Exception):
    """The gateway ended the connection."""


class Client:
    """One client with its tag. What it believes of its connection is forgotten when it connects anew."""

    def __init__(self, number: int, port: int) -> None:
        self.tag: Final = f"c{number}"
        self.random: Final = random.Random(number)
        self.port: Final = port
        self.version = 3 if number % 2 else 2
        self.database = 0
        self._nonces: Final = itertools.count()

    def nonce(self) -> str:
        """Something that nobody else ever says."""
        return f"{self.tag}:{next(self._nonces)}"

    def key(self, name: str) -> str:
        """A key of this client alone, in whatever database."""
        return f"{self.tag}:{name}"

    def violated(self, what: str, reply: object) -> None:
        """This must not happen."""
        if len(violations) < 50:
            violations.append(f"{self.tag} (db {self.database}): {what}: {reply!r:.200}")

    # The connection

    async def connect(self) -> None:
        """A fresh connection, in this client's protocol version."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._replies = hiredis.Reader(encoding="utf-8", errors="surrogateescape", notEnoughData=Ellipsis)
        self.database = 0
        seen["connects"] += 1
        greeting = await self.call("HELLO", self.version)
        if isinstance(greeting, Exception):
            raise Closed
        if isinstance(greeting, dict) != (self.version == 3):
            self.violated("HELLO", greeting)

    def send(self, *commands: tuple[Any, ...]) -> None:
        """A pipeline in one write."""
        self._writer.write(b"".join(hiredis.pack_command(command) for command in commands))

    async def reply(self) -> Any:
        """The next reply; an error is a value, and has to be a clean one."""
        while (value := self._replies.gets()) is Ellipsis:
            try:
                data = await asyncio.wait_for(self._reader.read(1 << 16), PATIENCE)
            except TimeoutError:
                self.violated("no reply", None)
                raise Closed from None
            except OSError:
                raise Closed from None
            if not data:
                raise Closed
            self._replies.feed(data)
        if isinstance(value, hiredis.ReplyError):
            seen["errors"] += 1
            if not str(value).startswith(CLEAN):
                self.violated("an error", value)
        else:
            seen["replies"] += 1
        return value

    async def call(self, *command: Any) -> Any:
        """One command."""
        self.send(command)
        return await self.reply()

    async def expect(self, expected: object, *command: Any) -> None:
        """One command whose reply is known."""
        reply = await self.call(*command)
        if not isinstance(reply, Exception) and reply != expected:
            self.violated(f"{command} instead of {expected!r}", reply)

    async def close(self) -> None:
        """Leave."""
        self._writer.close()

    # What it does

    def check_own(self, what: str, value: object) -> None:
        """A value of this client, written in this database; or nothing, or an error."""
        if value is None or isinstance(value, Exception):
            return
        if not isinstance(value, str) or not value.startswith(f"{self.tag}:{self.database}:"):
            self.violated(what, value)

    async def echo(self) -> None:
        """A pipeline of questions that have one right answer each."""
        nonces = [self.nonce() for _ in range(self.random.randint(1, 30))]
        self.send(*[("ECHO", nonce) for nonce in nonces])
        for nonce in nonces:
            reply = await self.reply()
            if not isinstance(reply, Exception) and reply != nonce:
                self.violated(f"ECHO {nonce}", reply)

    async def select(self) -> None:
        """Another database, and back and forth within a pipeline."""
        first, second = self.random.randrange(DATABASES), self.random.randrange(DATABASES)
        value = f"{self.tag}:{first}:{self.nonce()}"
        name = self.key("s")
        self.send(("SELECT", first), ("SET", name, value), ("GET", name), ("SELECT", second), ("GET", name))
        for command in ("SELECT", "SET", "GET", "SELECT", "GET"):
            reply = await self.reply()
            if command == "SELECT" and reply == "OK":
                self.database = first
                first = second
            elif command == "GET":
                self.check_own("GET", reply)
            elif not isinstance(reply, Exception) and reply != "OK":
                self.violated(command, reply)

    async def values(self) -> None:
        """Keys of its own, written and read; the shape of replies is that of its protocol version."""
        await self.call("SET", self.key("v"), f"{self.tag}:{self.database}:{self.nonce()}")
        self.check_own("GET", await self.call("GET", self.key("v")))
        pairs = await self.call("HGETALL", self.key("none"))
        if not isinstance(pairs, Exception) and pairs != ({} if self.version == 3 else []):
            self.violated("HGETALL", pairs)

    async def transaction(self) -> None:
        """MULTI and EXEC in one write, or step by step; sometimes left unfinished."""
        first, second = self.nonce(), self.nonce()
        if self.random.random() < 0.5:
            self.send(("MULTI",), ("ECHO", first), ("ECHO", second), ("EXEC",))
            replies = [await self.reply() for _ in range(4)]
        else:
            if self.random.random() < 0.5:
                await self.call("WATCH", self.key("w"))
            replies = [await self.call("MULTI"), await self.call("ECHO", first), await self.call("ECHO", second)]
            if self.random.random() < 0.2:
                await self.reconnect()
                return
            replies.append(await self.call("DISCARD" if self.random.random() < 0.2 else "EXEC"))
        executed = replies[3]
        if isinstance(replies[0], Exception):
            # MULTI was refused: what the client says behind it are commands of their own, or errors.
            allowed: tuple[object, ...] = (first, second, "QUEUED")
            if any(not isinstance(reply, Exception) and reply not in allowed for reply in replies[1:3]):
                self.violated("behind a refused MULTI", replies)
        elif any(not isinstance(reply, Exception) and reply != "QUEUED" for reply in replies[1:3]):
            self.violated("inside MULTI", replies)
        elif executed not in ("OK", None, [first, second]) and not isinstance(executed, Exception):
            self.violated("EXEC", executed)

    async def watch(self) -> None:
        """Its own key, changed by nobody, by itself, or by a second connection of its own."""
        if await self.call("WATCH", self.key("w")) != "OK":
            return
        changed = self.random.random() < 0.5
        if changed:
            other = Client(int(self.tag[1:]), self.port)
            await other.connect()
            if self.database:
                await other.expect("OK", "SELECT", self.database)
            changed = await other.call("SET", self.key("w"), other.nonce()) == "OK"
            await other.close()
        nonce = self.nonce()
        began = await self.call("MULTI")
        await self.call("ECHO", nonce)
        executed = await self.call("EXEC")
        if began == "OK" and executed not in ((None,) if changed else (None, [nonce])):
            if not isinstance(executed, Exception):
                self.violated(f"EXEC, watched key changed: {changed}", executed)

    async def block(self) -> None:
        """Wait for an element of its own, which is there or not."""
        nonce, name = self.nonce(), self.key(f"l{next(self._nonces)}")
        if self.random.random() < 0.5:
            pushed = await self.call("RPUSH", name, nonce)
            expected: tuple[object, ...] = ([name, nonce],) if pushed == 1 else ([name, nonce], None)
        else:
            expected = (None,)
        popped = await self.call("BLPOP", name, "0.02")
        if popped not in expected and not isinstance(popped, Exception):
            self.violated(f"BLPOP instead of {expected}", popped)

    async def leave_blocked(self) -> None:
        """Go away while waiting."""
        self.send(("BLPOP", self.key("never"), 0))
        await asyncio.sleep(0.01)
        await self.reconnect()

    async def subscribe(self) -> None:
        """Hear what a second connection of its own says, and nothing else."""
        channel, nonces = self.key("ch"), [self.nonce() for _ in range(3)]
        confirmed = await self.call("SUBSCRIBE", channel)
        if isinstance(confirmed, Exception):
            return
        if list(confirmed) != ["subscribe", channel, 1]:
            self.violated("SUBSCRIBE", confirmed)
        other = Client(int(self.tag[1:]), self.port)
        await other.connect()
        heard = [await other.call("PUBLISH", channel, nonce) for nonce in nonces]
        await other.close()
        for nonce, receivers in zip(nonces, heard, strict=True):
            if receivers == 1:
                message = await self.reply()
                if isinstance(message, Exception):
                    raise Closed  # its connection was lost: the gateway closes
                # One whose PUBLISH was answered with an error may have come, too.
                while message and list(message)[2] in nonces and list(message)[2] != nonce:
                    message = await self.reply()
                if isinstance(message, Exception):
                    raise Closed
                if list(message) != ["message", channel, nonce]:
                    self.violated("a message", message)
        if self.random.random() < 0.3:
            await self.reconnect()
            return
        ended = await self.call("UNSUBSCRIBE", channel)
        while not isinstance(ended, Exception) and next(iter(ended)) == "message" and list(ended)[2] in nonces:
            ended = await self.reply()
        if not isinstance(ended, Exception) and list(ended) != ["unsubscribe", channel, 0]:
            self.violated("UNSUBSCRIBE", ended)

    async def leave_in_mid_reply(self) -> None:
        """Ask for much, and read little of it."""
        await self.call("SET", self.key("big"), "x" * 300_000)
        self.send(*[("GET", self.key("big"))] * 5)
        await self._reader.read(1000)
        self._writer.transport.abort()
        await self.connect()

    async def large(self) -> None:
        """A value that streams over a connection of its own."""
        value = f"{self.tag}:{self.database}:" + self.nonce() * 40_000
        await self.call("SET", self.key("large"), value)
        got = await self.call("GET", self.key("large"))
        self.check_own("GET of a large value", got)

    async def sleep(self) -> None:
        """Stop Redis for longer than the timeout of the policy."""
        await self.call("DEBUG", "SLEEP", "0.07")

    async def reconnect(self) -> None:
        """Leave, in order or not, and come back."""
        if self.random.random() < 0.5:
            self._writer.transport.abort()
        else:
            self._writer.close()
        await self.connect()

    async def live(self, end: float) -> None:
        """Do one thing after another until it is time."""
        acts: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self.echo, 30), (self.select, 15), (self.values, 15), (self.transaction, 15), (self.watch, 5),
            (self.block, 8), (self.leave_blocked, 1), (self.subscribe, 5), (self.leave_in_mid_reply, 2),
            (self.large, 2), (self.reconnect, 2),
        ]  # fmt: skip
        if self.tag in ("c0", "c1"):
            acts.append((self.sleep, 10))
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
        await self.echo_or_closed()

    async def echo_or_closed(self) -> None:
        """At the end nothing may be left that it did not ask for."""
        try:
            await self.echo()
            await self.close()
        except (Closed, OSError):
            pass


async def main(port: int, seconds: float) -> None:
    """All clients at once."""
    end = asyncio.get_running_loop().time() + seconds
    await asyncio.gather(*[Client(number, port).live(end) for number in range(CLIENTS)])
    print(json.dumps({"seen": seen, "violations": violations}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
