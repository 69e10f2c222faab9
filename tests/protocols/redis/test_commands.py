"""The table against a real server: whatever `COMMAND` says must stand in it, and whatever we add must hold."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.call import ADMIN, CALL, CONTROL, EFFECTS, READ, SESSION, TXN, WRITE
from protocols.redis.command_table import NEWER, REDIS_7_0
from protocols.redis.commands import (
    ALONE,
    ANSWER,
    BLOCK,
    COMMANDS,
    FOR_EVER,
    MAYBE_BLOCK,
    NEVER,
    NOT_BLOCKING,
    PASS,
    STREAM,
    SUBSCRIPTION,
    TOPOLOGY,
    TRACKING,
    TRANSACTION,
    UNKNOWN,
    VERBS,
    Command,
    _command,
    _commands,
    block_seconds,
    find,
    find_sub,
    keys_of,
    may_repeat,
)
from servers import RedisServer


class Facts(NamedTuple):
    """One entry of `COMMAND`."""

    arity: int
    flags: set[str]
    keys: tuple[int, int, int]
    categories: set[str]


class Server:
    """The real server, asked in RESP2."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.reader = hiredis.Reader()
        self.version = str(self.info("redis_version"))
        self.commands: dict[str, Facts] = {}
        for entry in self.ask("COMMAND"):
            self.add(entry)

    def ask(self, *args: str | bytes) -> Any:
        self.socket.sendall(hiredis.pack_command(args))  # type: ignore[arg-type]  # its stub says a tuple of one
        while (reply := self.reader.gets()) is False:
            data = self.socket.recv(65536)
            assert data, "the server hung up"
            self.reader.feed(data)
        return reply

    def info(self, field: str) -> str:
        lines: list[bytes] = self.ask("INFO", "server").splitlines()
        return next(line.decode().partition(":")[2] for line in lines if line.startswith(field.encode()))

    def add(self, entry: list[Any]) -> None:
        name, arity, flags, first, last, step, categories, _, _, subcommands = entry
        self.commands[name.decode().upper().replace("|", " ")] = Facts(
            arity, {flag.decode() for flag in flags}, (first, last, step), {c.decode()[1:] for c in categories}
        )
        for subcommand in subcommands:
            self.add(subcommand)

    def keys(self, args: list[bytes]) -> list[bytes]:
        reply = self.ask("COMMAND", "GETKEYS", *args)
        if isinstance(reply, hiredis.ReplyError):
            assert "no key arguments" in str(reply), reply
            return []
        return list(reply)

    def look(self, key: str) -> object:
        """The value of a key; of a set in no order."""
        if self.ask("TYPE", key) == b"set":
            return sorted(self.ask("SMEMBERS", key))
        return self.ask("DUMP", key)


@pytest.fixture(scope="module")
def server(redis_server: RedisServer) -> Iterator[Server]:
    server = Server(redis_server.port)
    yield server
    server.socket.close()


def verb(text: str) -> Command:
    """The command that a line of text begins with."""
    words = text.encode().split()
    command = find(words[0])
    assert command is not None, text
    return (find_sub(command, words[1]) if len(words) > 1 else None) or command


def split(text: str) -> list[bytes]:
    """The arguments of a line of text; "" is an empty one."""
    return [b"" if word == '""' else word.encode() for word in text.split()]


BY_NAME = {command.name: command for command in VERBS if command is not UNKNOWN}
OF_7_0 = {command.name for command in _commands(REDIS_7_0)[1:]}


# The table and the server


def test_every_command_of_the_server_stands_in_the_table_and_no_other(server: Server) -> None:
    if server.version.startswith("7.0."):
        assert set(server.commands) == OF_7_0
    else:
        assert OF_7_0 & set(server.commands), "not a Redis server"


def test_arity_and_key_positions_are_the_servers(server: Server) -> None:
    for name in BY_NAME.keys() & server.commands.keys():
        command, facts = BY_NAME[name], server.commands[name]
        assert (name, command.arity) == (name, facts.arity)
        assert (name, (command.first_key, command.last_key, command.key_step)) == (name, facts.keys)


def test_every_movable_key_has_a_rule(server: Server) -> None:
    for name in BY_NAME.keys() & server.commands.keys():
        if "movablekeys" in server.commands[name].flags and name != "SORT_RO":  # its BY and GET nobody can know
            assert BY_NAME[name].key_rule, name


# Where the table disagrees with a flag of the server, and why.
STRONGER = {
    "MIGRATE": "stops the server and connects to any host",
    "RESTORE-ASKING": "of the cluster's own migrations",
    "SWAPDB": "changes the database under other sessions",
    "PFDEBUG": "flagged admin as well",
}
WEAKER = {
    "CLUSTER REPLICAS": "a report, and clients ask for it to find their way",
    "CLUSTER SLAVES": "as CLUSTER REPLICAS",
}
ONLY_READS = {"EVAL_RO", "EVALSHA_RO", "FCALL_RO"}
MAY_WRITE = {"EVAL", "EVALSHA", "FCALL", "PUBLISH", "SPUBLISH", "SCRIPT LOAD", "SCRIPT FLUSH"}
CONTAINERS = {command.name for command in VERBS if command.subcommands is not None}


def test_the_effect_is_what_the_flags_say(server: Server) -> None:
    for name in BY_NAME.keys() & server.commands.keys():
        effect, flags = BY_NAME[name].effect, server.commands[name].flags
        if "admin" in flags:
            expected = READ if name in WEAKER else ADMIN
        elif "write" in flags:
            expected = ADMIN if name in STRONGER else WRITE
        elif "readonly" in flags:
            expected = READ
        else:
            continue
        assert (name, effect) == (name, expected)


def test_the_effect_of_commands_without_such_a_flag(server: Server) -> None:
    """The server says nothing about these: each is a decision, so the list of those that are not READ is closed."""
    silent = {name for name, facts in server.commands.items() if not facts.flags & {"admin", "write", "readonly"}}
    silent &= BY_NAME.keys() - CONTAINERS
    assert {name for name in silent if BY_NAME[name].effect == WRITE} == MAY_WRITE
    assert {name for name in silent if BY_NAME[name].effect == ADMIN} == {
        "FUNCTION KILL",
        "MEMORY PURGE",
        "SCRIPT DEBUG",
        "SCRIPT KILL",
    }
    for name in silent:
        if BY_NAME[name].effect == CONTROL:
            categories = server.commands[name].categories
            expected = categories & {"connection", "transaction"} or name in {
                "ACL WHOAMI",
                "PUNSUBSCRIBE",
                "SUNSUBSCRIBE",
                "UNSUBSCRIBE",
            }
            assert expected, name


def test_blocking_is_the_servers_flag(server: Server) -> None:
    for name in BY_NAME.keys() & server.commands.keys():
        # The server forgot the flag of WAIT, until 7.2.
        expected = "blocking" in server.commands[name].flags or name == "WAIT"
        assert (name, BY_NAME[name].blocking) == (name, expected)


def test_what_the_server_answers_while_a_script_runs_does_not_wait_behind_it(server: Server) -> None:
    busy = {name for name, facts in server.commands.items() if "allow_busy" in facts.flags} & BY_NAME.keys()
    passed = {name for name in busy if BY_NAME[name].handling == PASS}
    assert not passed


# The shape of the table


def test_verbs_are_dense_and_named_once() -> None:
    assert [command.index for command in VERBS] == list(range(len(VERBS)))
    assert len({command.name for command in VERBS}) == len(VERBS)
    assert len(VERBS) == len(_commands(REDIS_7_0)) + len(_commands(NEWER)) - 1
    assert VERBS[UNKNOWN.index] is UNKNOWN


@pytest.mark.parametrize("command", VERBS, ids=lambda command: command.name)
def test_every_row_is_sound(command: Command) -> None:
    assert command.effect in EFFECTS
    assert not command.one_way
    assert (command.first_key == 0) == (command.key_step == 0)
    assert command.blocking == (command.handling in (BLOCK, MAYBE_BLOCK))
    assert command.blocking == (command.timeout_at != 0 or command.handling == MAYBE_BLOCK)
    assert not (command.idempotent and command.unless)
    if command.handling == NEVER:
        assert command.refused
    if command.effect == READ and command.handling != SUBSCRIPTION and command.subcommands is None:
        assert command.idempotent
    if command.idempotent or command.unless:
        assert command.handling in (PASS, MAYBE_BLOCK, ALONE, TOPOLOGY)


@pytest.mark.parametrize("line", ["X 1 read - odd", "X 1 reed -", "X 1 read numkey@2", "X 1 read x", "X 1 read 1+x"])
def test_a_misspelt_row_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match=r"^X: unknown"):
        _command(1, line)


@pytest.mark.parametrize("name", ["get", "GET", "Get", "gEt"])
def test_a_name_is_found_in_any_case(name: str) -> None:
    assert find(name.encode()) is BY_NAME["GET"]


@pytest.mark.parametrize("word", ["setname", "SETNAME", "SetName"])
def test_a_subcommand_is_found_in_any_case(word: str) -> None:
    client = find(b"client")
    assert client is not None
    assert find_sub(client, word.encode()) is BY_NAME["CLIENT SETNAME"]
    assert find(b"CLIENT SETNAME") is None


@pytest.mark.parametrize("name", [b"", b"JSON.GET", b"get ", b"\xff\xfe", b"g" * 1_000_000])
def test_what_is_not_in_the_table_is_not_found(name: bytes) -> None:
    assert find(name) is None
    for command in (BY_NAME["CONFIG"], BY_NAME["GET"]):
        assert find_sub(command, name) is None


def test_containers_are_as_cautious_as_an_unknown_subcommand_needs() -> None:
    for name in CONTAINERS - {"COMMAND"}:
        assert not BY_NAME[name].idempotent, name
    assert BY_NAME["CLIENT"].handling == ANSWER
    for name in CONTAINERS:
        effects = {command.effect for command in (BY_NAME[name].subcommands or {}).values()}
        if ADMIN in effects and name not in {"CLIENT", "FUNCTION", "SCRIPT"}:
            assert BY_NAME[name].effect == ADMIN
        elif WRITE in effects:
            assert BY_NAME[name].effect == WRITE


def test_upper_and_lower_case_are_one_object() -> None:
    for name, command in COMMANDS.items():
        assert COMMANDS[name.upper()] is COMMANDS[name.lower()] is command


# May it be repeated?


@pytest.mark.parametrize(
    "call",
    [
        "GET k",
        "SET k v",
        "SET k v EX 10",
        "set k v px 10",
        "SET k v KEEPTTL",
        "GETEX k",
        "GETEX k EX 5",
        "MSET a 1 b 2",
        "HMSET h f v",
        "SETEX k 10 v",
        "SCRIPT LOAD return",
        "SORT l LIMIT 0 5 ALPHA",
        "GEORADIUS g 1 2 3 km WITHDIST",
        "PING",
        "EVAL_RO return 0",
        "ACL LOG",
        "CONFIG GET save",
    ],
)
def test_may_be_repeated(call: str) -> None:
    assert may_repeat(verb(call), split(call))


@pytest.mark.parametrize(
    "call",
    [
        "INCR k",
        "APPEND k v",
        "LPUSH l v",
        "RPOP l",
        "SETNX k v",
        "SET k v NX",
        "SET k v nx EX 10",
        "SET k v XX",
        "SET k v GET",
        "SET k v IFEQ w",
        "GETEX k PXAT 1",
        "GETSET k v",
        "GETDEL k",
        "XADD s * f v",
        "PUBLISH c m",
        "SADD s m",
        "DEL k",
        "UNLINK k",
        "HSET h f v",
        "EXPIRE k 10",
        "RENAME a b",
        "LSET l 0 v",
        "LTRIM l 1 -1",
        "MSETNX a 1",
        "SORT l store d",
        "GEORADIUS g 1 2 3 km STOREDIST d",
        "ZUNIONSTORE d 1 a",
        "BITOP NOT d d",
        "EVAL return 0",
        "FLUSHALL",
        "BLPOP l 0",
        "XREADGROUP GROUP g c STREAMS s >",
        "MULTI",
        "EXEC",
        "SELECT 1",
        "CONFIG SET save 1",
        "CONFIG NEW-WORD",
        "ACL LOG RESET",
    ],
)
def test_may_not_be_repeated(call: str) -> None:
    assert not may_repeat(verb(call), split(call))


def test_an_unknown_command_may_not_be_repeated() -> None:
    assert not may_repeat(UNKNOWN, [b"JSON.NUMINCRBY", b"k"])
    assert UNKNOWN.effect == WRITE
    assert UNKNOWN.handling == PASS


# Every write that may be repeated, tried out: what must be there before, the call, and the keys to look at.
REPEATED: list[tuple[list[str], str, list[str]]] = [
    ([], "SET {r}k v", ["{r}k"]),
    (["SET {r}k old"], "SET {r}k v KEEPTTL", ["{r}k"]),
    (["SET {r}k v"], "GETEX {r}k PERSIST", ["{r}k"]),
    ([], "SETEX {r}k 100 v", ["{r}k"]),
    ([], "PSETEX {r}k 100000 v", ["{r}k"]),
    (["SET {r}k abcdef"], "SETRANGE {r}k 2 xyz", ["{r}k"]),
    ([], "MSET {r}a 1 {r}b 2", ["{r}a", "{r}b"]),
    (["HSET {r}h g 1"], "HMSET {r}h f 2", ["{r}h"]),
    (["PFADD {r}p a", "PFADD {r}q b"], "PFMERGE {r}p {r}q", ["{r}p"]),
    (["SADD {r}s a b c", "SADD {r}t b c"], "SDIFFSTORE {r}s {r}s {r}t", ["{r}s"]),
    (["SADD {r}s a b c", "SADD {r}t b c"], "SINTERSTORE {r}s {r}s {r}t", ["{r}s"]),
    (["SADD {r}s a b c", "SADD {r}t d"], "SUNIONSTORE {r}s {r}s {r}t", ["{r}s"]),
    (["ZADD {r}z 1 a 2 b", "ZADD {r}y 3 a"], "ZDIFFSTORE {r}z 2 {r}z {r}y", ["{r}z"]),
    (["RPUSH {r}l 3 1 2"], "SORT {r}l LIMIT 0 2", ["{r}l"]),
    (["GEOADD {r}g 13.3 38.1 a"], "GEORADIUS {r}g 13 38 100 km", ["{r}g"]),
    (["GEOADD {r}g 13.3 38.1 a"], "GEORADIUSBYMEMBER {r}g a 100 km", ["{r}g"]),
    ([], "SCRIPT LOAD return(1)", []),
]


@pytest.mark.parametrize(("before", "call", "keys"), REPEATED, ids=[call for _, call, _ in REPEATED])
def test_a_repeat_changes_neither_data_nor_reply(server: Server, before: list[str], call: str, keys: list[str]) -> None:
    server.ask("DEL", *(f"{{r}}{letter}" for letter in "abghklpqstyz"))
    for setting in before:
        server.ask(*split(setting))
    first = server.ask(*split(call)), [server.look(key) for key in keys]
    again = server.ask(*split(call)), [server.look(key) for key in keys]
    assert may_repeat(verb(call), split(call))
    assert not isinstance(first[0], hiredis.ReplyError), first[0]
    assert first == again


def test_every_write_that_may_be_repeated_is_tried_out() -> None:
    writes = {name for name in OF_7_0 if BY_NAME[name].effect == WRITE}
    assert {verb(call).name for _, call, _ in REPEATED} == {
        name for name in writes if BY_NAME[name].idempotent or BY_NAME[name].unless
    }


# May it share a connection?


@pytest.mark.parametrize(
    ("call", "handling", "affinity"),
    [
        ("GET", PASS, CALL),
        ("PING", PASS, CALL),
        ("EVAL", PASS, CALL),
        ("CLIENT HELP", PASS, CALL),
        ("CLIENT PAUSE", PASS, CALL),
        ("SELECT", ANSWER, CALL),
        ("AUTH", ANSWER, CALL),
        ("HELLO", ANSWER, CALL),
        ("CLIENT REPLY", ANSWER, CALL),
        ("CLIENT SETINFO", ANSWER, CALL),
        ("CLIENT NO-SUCH-WORD", ANSWER, CALL),
        ("ACL WHOAMI", ANSWER, CALL),
        ("BLPOP", BLOCK, TXN),
        ("WAIT", BLOCK, TXN),
        ("XREAD", MAYBE_BLOCK, CALL),
        ("WATCH", TRANSACTION, TXN),
        ("MULTI", TRANSACTION, TXN),
        ("SUBSCRIBE", SUBSCRIPTION, SESSION),
        ("SSUBSCRIBE", SUBSCRIPTION, SESSION),
        ("CLIENT TRACKING", TRACKING, SESSION),
        ("MONITOR", STREAM, SESSION),
        ("SCRIPT KILL", ALONE, TXN),
        ("CLIENT UNPAUSE", ALONE, TXN),
        ("CLUSTER SLOTS", TOPOLOGY, CALL),
        ("READONLY", TOPOLOGY, CALL),
        ("PSYNC", NEVER, CALL),
        ("ASKING", NEVER, CALL),
    ],
)
def test_handling_and_affinity(call: str, handling: int, affinity: int) -> None:
    assert (verb(call).handling, verb(call).affinity) == (handling, affinity)


def test_what_is_refused_by_default() -> None:
    refused = {name for name, command in BY_NAME.items() if command.refused and not name.startswith("CLUSTER ")}
    assert refused == {
        *("ASKING", "PSYNC", "REPLCONF", "SCRIPT DEBUG", "SYNC"),  # never
        *("DEBUG", "FAILOVER", "MODULE LOAD", "MODULE LOADEX", "MODULE UNLOAD", "MONITOR", "REPLICAOF"),
        *("RESTORE-ASKING", "SHUTDOWN", "SLAVEOF"),
    }
    for name in (BY_NAME["CLUSTER"].subcommands or {}).values():
        if name.refused:
            assert name.effect == ADMIN


# How long may it block?


@pytest.mark.parametrize(
    ("call", "seconds"),
    [
        ("BLPOP a b 1.5", 1.5),
        ("BLPOP a 0", FOR_EVER),
        ("BLMPOP 3 1 a LEFT", 3.0),
        ("BZMPOP 0.25 1 a MIN", 0.25),
        ("BLMOVE a b LEFT RIGHT 7", 7.0),
        ("BRPOPLPUSH a b 7", 7.0),
        ("BZPOPMIN a 2", 2.0),
        ("WAIT 1 1500", 1.5),
        ("WAITAOF 1 0 500", 0.5),
        ("XREAD STREAMS s 0", NOT_BLOCKING),
        ("XREAD BLOCK 250 STREAMS s $", 0.25),
        ("xread count 5 block 0 streams s $", FOR_EVER),
        ("XREAD STREAMS BLOCK 0", NOT_BLOCKING),
        ("XREADGROUP GROUP g BLOCK STREAMS s >", NOT_BLOCKING),
        ("XREADGROUP GROUP BLOCK c COUNT 1 BLOCK 100 NOACK STREAMS s >", 0.1),
        ("XREADGROUP GROUP g c CLAIM 10 BLOCK 100 STREAMS s >", 0.1),
        ("GET k", NOT_BLOCKING),
        ("BLPOP", FOR_EVER),
        ("BLPOP a x", FOR_EVER),
        ("BLPOP a nan", FOR_EVER),
        ("BLPOP a inf", FOR_EVER),
        ("BLPOP a -1", FOR_EVER),
        ("BLMPOP", FOR_EVER),
        ("XREAD BLOCK", NOT_BLOCKING),
        ("XREAD BLOCK x STREAMS s 0", FOR_EVER),
    ],
)
def test_block_seconds(call: str, seconds: float) -> None:
    assert block_seconds(verb(call), split(call)) == pytest.approx(seconds)


# Where are its keys?

CALLS = [
    "GET k",
    "SET k v EX 10",
    "MGET a b c",
    "MSET a 1 b 2",
    "DEL a b",
    "BITOP AND d a b",
    "OBJECT ENCODING k",
    "MEMORY USAGE k SAMPLES 5",
    "XGROUP CREATE s g $",
    "XINFO STREAM s FULL",
    "RENAME a b",
    "LCS a b LEN",
    "COPY a b REPLACE",
    "PFMERGE d a b",
    "PFDEBUG ENCODING k",
    "WATCH a b",
    "BLPOP a b 0",
    "BZPOPMAX a b 0",
    "BLMOVE a b LEFT RIGHT 0",
    "GEOSEARCHSTORE d s FROMMEMBER m BYRADIUS 1 km",
    "ZRANGESTORE d s 0 -1",
    "SINTERSTORE d a b",
    "EVAL script 2 a b x",
    "EVALSHA sha 1 a x y",
    "EVAL_RO script 2 a b",
    "EVALSHA_RO sha 1 a",
    "FCALL f 2 a b x",
    "FCALL_RO f 1 a",
    "EVAL script 0 x",
    "ZUNIONSTORE d 2 a b WEIGHTS 1 2",
    "ZINTERSTORE d 1 a AGGREGATE MAX",
    "ZDIFFSTORE d 2 a b",
    "ZUNION 2 a b WITHSCORES",
    "ZINTER 2 a b",
    "ZDIFF 1 a",
    "ZINTERCARD 2 a b LIMIT 1",
    "SINTERCARD 2 a b",
    "LMPOP 2 a b LEFT COUNT 2",
    "ZMPOP 1 a MIN",
    "BLMPOP 0 2 a b LEFT",
    "BZMPOP 0 1 a MAX COUNT 2",
    "XREAD STREAMS a b 0 0",
    "xread count 2 block 10 streams a 0",
    "XREADGROUP GROUP g c STREAMS a b > >",
    "XREADGROUP GROUP g c COUNT 1 BLOCK 5 NOACK STREAMS a >",
    "SORT l",
    "SORT l LIMIT 0 5 ALPHA STORE d",
    "sort l by w_* get # get store desc store d",
    "SORT_RO l LIMIT 0 5",
    "GEORADIUS g 1 2 3 km",
    "GEORADIUS g 1 2 3 km COUNT 5 STORE d",
    "GEORADIUS g 1 2 3 km storedist d",
    "GEORADIUSBYMEMBER g m 3 km",
    "GEORADIUSBYMEMBER g m 3 km ASC STORE d",
    "MIGRATE host 6379 k 0 1000 COPY",
    'MIGRATE host 6379 "" 0 1000 REPLACE KEYS a b c',
    'MIGRATE host 6379 "" 0 1000 AUTH secret KEYS a b',
    'MIGRATE host 6379 "" 0 1000 AUTH2 user secret KEYS a',
    "CONFIG GET save",
]


@pytest.mark.parametrize("call", CALLS)
def test_keys_are_the_servers(server: Server, call: str) -> None:
    assert sorted(keys_of(verb(call), split(call))) == sorted(server.keys(split(call)))


def test_every_command_with_movable_keys_is_among_the_calls(server: Server) -> None:
    movable = {name for name, facts in server.commands.items() if "movablekeys" in facts.flags}
    assert movable & OF_7_0 <= {verb(call).name for call in CALLS}


@pytest.mark.parametrize(
    ("call", "keys"),
    [
        ('MIGRATE host 6379 "" 0 1000 AUTH keys KEYS a', ["a"]),
        ("XREADGROUP GROUP streams streams STREAMS a >", ["a"]),
        ("SORT l STORE c STORE d", ["l", "d"]),
        ("SPUBLISH channel message", ["channel"]),
        ("SSUBSCRIBE a b", ["a", "b"]),
        # Malformed: what can be told.
        ("MSET a 1 b", ["a", "b"]),
        ("EVAL script", []),
        ("EVAL script x a", []),
        ("EVAL script -1 a", []),
        ("EVAL script 9 a b", ["a", "b"]),
        ("EVAL script 99999999999999999999999 a", []),
        ("ZUNIONSTORE d", ["d"]),
        ("XREAD STREAMS", []),
        ("XREAD COUNT", []),
        ("SORT l STORE", ["l"]),
        ("SORT l LIMIT", ["l"]),
        ("GEORADIUS g", ["g"]),
        ("MIGRATE host", []),
        ('MIGRATE host 6379 "" 0 1000 KEYS', []),
        ("BLPOP a", []),
        ("OBJECT ENCODING", []),
    ],
)
def test_keys_in_odd_and_malformed_calls(call: str, keys: list[str]) -> None:
    assert keys_of(verb(call), split(call)) == [key.encode() for key in keys]


def test_keys_of_an_unknown_command_are_unknown() -> None:
    assert keys_of(UNKNOWN, [b"JSON.GET", b"k"]) == []


NAMES = st.sampled_from(["MSET", "DEL", "MGET", "EXISTS", "SINTERSTORE", "BITOP", "EVAL", "ZUNIONSTORE", "XREAD"])


@given(name=NAMES, keys=st.lists(st.binary(min_size=1, max_size=20), min_size=2, max_size=12))
def test_keys_of_any_well_formed_call_are_the_servers(server: Server, name: str, keys: list[bytes]) -> None:
    count = str(len(keys)).encode()
    args = {
        "MSET": [part for key in keys for part in (key, b"value")],
        "BITOP": [b"AND", *keys],
        "EVAL": [b"script", count, *keys, b"argument"],
        "ZUNIONSTORE": [b"target", count, *keys],
        "XREAD": [b"STREAMS", *keys, *([b"0"] * len(keys))],
    }.get(name, keys)
    assert keys_of(verb(name), [name.encode(), *args]) == server.keys([name.encode(), *args])


OPTIONS = b"STREAMS BLOCK COUNT GROUP STORE STOREDIST LIMIT GET BY KEYS AUTH AUTH2"
NUMBERS = b"0 1 2 -1 nan 1e400 9223372036854775808"
WORDS = st.sampled_from(OPTIONS.split() + NUMBERS.split())


@given(
    command=st.sampled_from(VERBS),
    args=st.lists(st.one_of(WORDS, st.binary(max_size=12)), max_size=12),
)
def test_no_call_however_broken_raises(command: Command, args: list[bytes]) -> None:
    assert set(keys_of(command, args)) <= set(args)
    assert len(keys_of(command, args)) <= len(args)
    assert block_seconds(command, args) >= NOT_BLOCKING
    assert may_repeat(command, args) in (True, False)
