"""The gateway and a real server must agree where commands end, and what is no command at all.

Each input goes twice to the same server: direct, and as the calls that the codec made of it. If they disagreed where a
command ends, a client could hide a command from the gateway: "request smuggling".
"""

from __future__ import annotations

from collections.abc import Iterator

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.redis.scan import encode
from redis_playbook import Conversation, exhaust, pack, through
from servers import RedisServer

PING = b"*1\r\n$4\r\nPING\r\n"
USERS = {"default": "s3cret"}
AUTH = b"AUTH s3cret\r\n"


@pytest.fixture(scope="module")
def guarded_server() -> Iterator[RedisServer]:
    with RedisServer(password="s3cret") as server:
        yield server


# Broken input: behind the replies to what came before it stands Redis' own error line.

BROKEN = [
    b"*\r\n",
    b"*x\r\n",
    b"*+1\r\n",
    b"*01\r\n",
    b"* 1\r\n",
    b"*1 \r\n",
    b"*-\r\n",
    b"*-0\r\n",
    b"*2147483648\r\n",
    b"*99999999999999999999\r\n",
    b"*1\r\n\r\n",
    b"*1\r\n+PING\r\n",
    b"*1\r\nPING\r\n",
    b"*1\r\n*1\r\n$4\r\nPING\r\n",
    b"*1\r\n$\r\n",
    b"*1\r\n$x\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$+4\r\nPING\r\n",
    b"*1\r\n$04\r\nPING\r\n",
    b"*1\r\n$ 4\r\nPING\r\n",
    b"*1\r\n$4 \r\nPING\r\n",
    b"*2\r\n$4\r\nECHO\r\n$-1\r\n",
    b"*2\r\n$4\r\nECHO\r\n:1\r\n",
    b"*1\r\n$536870913\r\nx",
    b"*1\r\n$99999999999999999999\r\nx",
    b"*1\r\n$3\r\nPING\r\n" + PING,  # a body longer than its length: what follows is typed by hand, or is it?
    b"*2\r\n$4\r\nECHO\r\n$3\r\nab\r\n" + PING + PING,
    b'ECHO "a\r\n',
    b'ECHO "a"b\r\n',
    b"ECHO 'a\r\n",
    b"ECHO 'a'b\r\n",
    b'ECHO "a\\"\r\n',
    b"*" + b"1" * 65537,
    b"*1\r\n$" + b"1" * 65537,
    b"E" * 65537,
]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("before", [b"", PING + b"ECHO 1\r\n"])
def test_broken_input_gets_the_error_of_redis(redis_server: RedisServer, before: bytes, broken: bytes) -> None:
    direct = exhaust(redis_server.port, before + broken)
    client = Conversation()
    assert through(redis_server.port, before + broken, client) == direct
    assert client.closed == (b"-ERR Protocol error: " in direct)


@pytest.mark.parametrize(
    "broken",
    [
        b"*10\r\n",
        b"*11\r\n",
        b"*2147483647\r\n",
        b"*2147483648\r\n",
        b"*1\r\n$16384\r\n",
        b"*1\r\n$16385\r\n",
        b"*1\r\n$536870912\r\n",
        b"*1\r\n$536870913\r\n",
        b"*3\r\n$4\r\nAUTH\r\n$16385\r\n",
        pack("GET a", "SET a 1") + b"*11\r\n",
        pack("AUTH wrong") + b"*11\r\n",
    ],
)
def test_a_client_without_password_is_bounded_as_redis_bounds_it(guarded_server: RedisServer, broken: bytes) -> None:
    direct = exhaust(guarded_server.port, broken)
    assert through(guarded_server.port, broken, Conversation(users=USERS), AUTH) == direct


def test_the_bounds_of_a_client_end_with_auth_and_come_back_with_reset(guarded_server: RedisServer) -> None:
    long = encode([b"ECHO", b"x" * 20000]) + encode([b"MGET", *[b"k"] * 12])
    for data in (pack("AUTH s3cret") + long, pack("AUTH s3cret", "RESET") + long):
        direct = exhaust(guarded_server.port, data)
        assert through(guarded_server.port, data, Conversation(users=USERS), AUTH) == direct


def test_a_longer_value_than_configured_is_refused_as_redis_would() -> None:
    client = Conversation(max_value=1000)
    client.sends(b"*2\r\n$4\r\nECHO\r\n$1001\r\n")
    assert client.client_got == b"-ERR Protocol error: invalid bulk length\r\n"


# Where the gateway is stricter than Redis: it refuses what Redis would wait for, or read in an odd way.

STRICTER = [
    (b"*1\n$4\nPING\n", "invalid multibulk length"),  # Redis waits for a CR
    (b"*1\rX$4\r\nPING\r\n", "invalid multibulk length"),  # Redis takes any byte for the LF
    (b"*1\r\n$4\rXPING\r\n", "invalid bulk length"),
    (b"*1\r\n\0abc\r\n", "expected '$', got '?'"),  # Redis sees no line end behind a zero byte
    (b"*1\0\r\n", "invalid multibulk length"),
    (b"PING a\0b\r\n", "zero byte in inline request"),
    (b"*1\r\n\xff\r\n", "expected '$', got '?'"),  # Redis repeats the byte
    (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", "POST is of HTTP"),  # Redis closes without a word
    (encode([b"host:", b"x"]), "host: is of HTTP"),
    (PING + encode([b"Post"]), "Post is of HTTP"),
]


@pytest.mark.parametrize(("data", "error"), STRICTER)
def test_where_the_gateway_is_stricter_nothing_is_forwarded(redis_server: RedisServer, data: bytes, error: str) -> None:
    client = Conversation()
    got = through(redis_server.port, data + PING, client)
    assert got.endswith(f"-ERR Protocol error: {error}\r\n".encode())
    assert client.calls == [] or client.lines[0] == "PING"
    assert client.closed


# Whole input with a trap in it: N commands here are N commands there.

TRAPS = [
    PING * 3,
    encode([b"ECHO", PING]),
    encode([b"ECHO", b"\r\n" + PING + b"\r\n"]) + PING,
    encode([b"SET", b"a", b"\r\n*1\r\n$8\r\nFLUSHALL\r\n"]) + encode([b"GET", b"a"]),
    encode([PING]) + PING,
    encode([b""]) + PING,
    encode([b"", b"PING"]),
    encode([b"ECHO", b""]) + PING,
    b"*1\r\n$4\r\nPINGxx" + PING,
    b"*1\r\n$4\r\nPING*1" + PING,
    b"*1\r\n$4\r\nPING\n\r" + PING,
    b"*2\r\n$4\r\nECHO\r\n$2\r\nab*1\r\n$4\r\nPING\r\n" + PING,
    b"*2\r\n$4\r\nECHO$3$3\r\nabc\r\n" + PING,
    b"*0\r\n" + PING,
    b"*-1\r\n*-5\r\n" + PING,
    PING + b"*0\r\n" + PING + b"*-1\r\n",
    b"\r\n\r\n" + PING + b"\r\n" + PING,
    b"\n" + PING,
    b"   \r\n\t\r\n" + PING,
    b"PING\r\n" + PING + b"PING\n" + PING,
    b"PING a\x0bb\r\nECHO \x0ba\r\n",
    b"ping\r\npInG\r\n" + b"*1\r\n$4\r\nPiNg\r\n",
    b'ECHO "*1\\r\\n$4\\r\\nPING\\r\\n"\r\n' + PING,
    b"ECHO '*1\r\n" + PING,
    b'"PING"\r\n\'ping\'\r\n""\r\n',
    b"ECHO a\rb\r\n",
    b"PING\r\r\r\n" + PING,
    b"+OK\r\n-ERR\r\n:1\r\n" + PING,  # replies, sent as if they were commands
    b"$4\r\nPING\r\n",
    b"GET / HTTP/1.1\r\nHost\r\n\r\n" + PING,
    PING + b"*1\r\n$4\r\nPI",
    PING + b"PIN",
    encode([b"FLUSHALL\rX"]) + encode([b"DBSIZE\r"]) + PING,
    encode([b"MULTI"]) + encode([b"SET", b"t", b"1"]) + encode([b"EXEC", b"x"]) + encode([b"EXEC"]) + PING,
    encode([b"MULTI"]) + encode([b"NOPE"]) + encode([b"SET", b"t", b"1"]) + encode([b"EXEC"]) + PING,
    encode([b"EVAL", b"return redis.call('ping')", b"0"]) + PING,
    encode([b"CLIENT", b"nope\r\n" + PING]) + PING,
    encode([b"OBJECT", b"HELP\r\n"]) + PING,
]


@pytest.mark.parametrize("data", TRAPS)
def test_a_trap_holds_as_many_commands_here_as_there(redis_server: RedisServer, data: bytes) -> None:
    direct = exhaust(redis_server.port, data)
    client = Conversation()
    assert through(redis_server.port, data, client) == direct
    reader = hiredis.Reader(notEnoughData=Ellipsis)
    reader.feed(direct)
    answered = sum(1 for _ in iter(reader.gets, Ellipsis))
    assert (
        sum(call.count for call in client.calls)
        + sum(": -ERR" in line for line in client.lines)
        + sum(line.startswith("-ERR") for line in client.lines)
        == answered
    )


@pytest.mark.parametrize("data", [trap for trap in TRAPS if len(trap) < 120])
def test_a_trap_torn_anywhere_is_the_same_trap(data: bytes) -> None:
    whole = Conversation()
    whole.sends(data)
    for at in range(1, len(data)):
        torn = Conversation()
        torn.sends(data[:at])
        torn.sends(data[at:])
        assert (torn.forwarded, torn.client_got, torn.closed) == (whole.forwarded, whole.client_got, whole.closed)


# Mutated input: what the gateway forwards, the server would have executed too, in the same order.

COMMANDS = [
    PING,
    b"PING\r\n",
    encode([b"ECHO", b"a b"]),
    encode([b"SET", b"m", PING]),
    b"ECHO 'x'\r\n",
]
JUNK = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"*", b"$", b"0", b"1", b"-", b" ", b'"', b"'", b"\\", b"\0", b"*1\r\n", b"$4\r\n"]
)
MUTATIONS = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 2), JUNK), min_size=1, max_size=3)


@settings(derandomize=True, max_examples=400)
@given(commands=st.lists(st.sampled_from(COMMANDS), min_size=1, max_size=4), mutations=MUTATIONS)
def test_mutated_input_is_understood_alike(
    redis_server: RedisServer, commands: list[bytes], mutations: list[tuple[int, int, bytes]]
) -> None:
    data = b"".join(commands)
    for at, deleted, junk in mutations:
        data = data[: at % len(data)] + junk + data[at % len(data) + deleted :]
    direct = exhaust(redis_server.port, data)
    client = Conversation()
    got = through(redis_server.port, data, client)
    if client.closed:
        got = got[: got.rindex(b"-ERR Protocol error: ")]
        assert direct.startswith(got)
    else:
        assert got == direct
