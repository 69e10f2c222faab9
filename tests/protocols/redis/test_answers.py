"""What the gateway answers itself, compared with what a real server says to the same commands."""

from __future__ import annotations

import re
from collections.abc import Iterator

import hiredis
import pytest

from protocols.codec import Host
from protocols.redis.login import Tag
from protocols.redis.protocol import RedisProtocol
from redis_playbook import Conversation, exhaust, pack, through
from servers import RedisServer

USERS = {"default": "s3cret", "app": "apple"}
AUTH = pack("AUTH s3cret")


@pytest.fixture(scope="module")
def guarded_server() -> Iterator[RedisServer]:
    with RedisServer(password="s3cret", users={"app": "on >apple ~* &* +@all"}) as server:
        yield server


def comparable(said: bytes) -> bytes:
    """Without what differs from connection to connection, and from Redis 7.0 to those that came later."""
    said = re.sub(rb"(\$2\r\nid\r\n):\d+", rb"\1:ID", said)
    said = said.replace(b"$6\r\n7.0.15\r\n", b"$5\r\n7.0.0\r\n")
    return said.replace(b"HELLO <proto> AUTH", b"HELLO AUTH")


# Without passwords

OPEN = [
    "AUTH x",
    "AUTH default x",
    "AUTH nobody x",
    "AUTH a b c",
    "AUTH",
    "HELLO",
    "HELLO 2",
    "HELLO 3",
    "HELLO 3|HELLO 2|HELLO",
    "HELLO 1",
    "HELLO 4",
    "HELLO x",
    "HELLO 03",
    "HELLO -1",
    "HELLO 3 AUTH default x",
    "HELLO 3 AUTH nobody x|PING",
    "HELLO 3 AUTH default",
    "HELLO 3 SETNAME",
    "HELLO 3 NOPE",
    "HELLO 3 setname me auth default x|CLIENT GETNAME",
    "HELLO 3 SETNAME a\tb|CLIENT GETNAME",
    "CLIENT SETNAME me|CLIENT GETNAME|CLIENT SETNAME |CLIENT GETNAME",
    "CLIENT SETNAME a\nb|CLIENT SETNAME ä|CLIENT GETNAME",
    "CLIENT SETNAME|CLIENT GETNAME x|CLIENT ID x|CLIENT INFO x|CLIENT",
    "HELLO 3|CLIENT GETNAME",
    "CLIENT NOPE|client nope x|CLIENT |CLIENT NO-TOUCHY",
    "CLIENT NO-EVICT on|CLIENT NO-EVICT off|CLIENT NO-EVICT x|CLIENT NO-EVICT",
    "CLIENT REPLY|CLIENT REPLY x|CLIENT REPLY ON",
    "CLIENT GETREDIR|CLIENT TRACKINGINFO",
    "HELLO 3|CLIENT TRACKINGINFO|CLIENT GETREDIR",
    "CLIENT LIST NOPE|CLIENT LIST TYPE|CLIENT LIST TYPE nope|CLIENT LIST ID|CLIENT LIST ID x|CLIENT LIST ID 1 x",
    "CLIENT LIST TYPE replica|CLIENT LIST ID 999999",
    "CLIENT KILL|CLIENT KILL 1.2.3.4:5|CLIENT KILL ID 0|CLIENT KILL ID x|CLIENT KILL ID|CLIENT KILL NOPE x",
    "CLIENT KILL ID 999999|CLIENT KILL TYPE replica|CLIENT KILL TYPE nope|CLIENT KILL ADDR 1.2.3.4:5",
    "CLIENT KILL USER nobody|CLIENT KILL SKIPME nope|CLIENT KILL ID 999999 SKIPME yes",
    "CLIENT KILL LADDR 1.2.3.4:5|CLIENT KILL USER default SKIPME yes ID 999999",
    "CLIENT UNBLOCK|CLIENT UNBLOCK x|CLIENT UNBLOCK 999999|CLIENT UNBLOCK 999999 NOPE|CLIENT UNBLOCK 999999 ERROR",
    "ACL WHOAMI|ACL WHOAMI x",
    "UNWATCH|UNWATCH x|RESET|RESET x|SELECT 0|SELECT 0 0",
]


@pytest.mark.parametrize("script", OPEN)
def test_without_passwords_the_answers_are_those_of_redis(redis_server: RedisServer, script: str) -> None:
    commands = pack(*script.split("|"), "QUIT")
    direct = exhaust(redis_server.port, commands, ends=False)
    assert comparable(through(redis_server.port, commands, Conversation())) == comparable(direct)


# With passwords

GUARDED = [
    "GET a|SELECT 0|CLIENT ID|SUBSCRIBE a|MULTI|ECHO a",
    "AUTH wrong|AUTH s3cret|GET none|ACL WHOAMI",
    "AUTH default s3cret|ACL WHOAMI",
    "AUTH app wrong|AUTH app apple|ACL WHOAMI|AUTH default s3cret|ACL WHOAMI",
    "AUTH nobody s3cret|AUTH  |AUTH|AUTH a b c",
    "HELLO|HELLO 2|HELLO 3",
    "HELLO 9|HELLO x|HELLO 3 NOPE|HELLO 3 AUTH app",
    "HELLO 3 AUTH app wrong|GET a",
    "HELLO 3 AUTH app apple|ACL WHOAMI|GET none",
    "HELLO 2 AUTH app apple SETNAME me|CLIENT GETNAME",
    "HELLO 3 SETNAME me AUTH app apple|CLIENT GETNAME|RESET|GET a|AUTH s3cret|CLIENT GETNAME",
    "AUTH s3cret|AUTH wrong|GET none|RESET|GET none",
    "AUTH s3cret|HELLO 3|HELLO 2|GET none",
    "RESET|QUIT",
]


@pytest.mark.parametrize("script", GUARDED)
def test_with_passwords_the_answers_are_those_of_redis(guarded_server: RedisServer, script: str) -> None:
    commands = pack(*script.split("|"), "QUIT")
    direct = exhaust(guarded_server.port, commands, ends=False)
    got = through(guarded_server.port, commands, Conversation(users=USERS), AUTH)
    assert comparable(got) == comparable(direct)


def test_the_identity_is_the_clients_own() -> None:
    client = Conversation(users=USERS)
    client.says("HELLO 2 AUTH app apple")
    assert client.codec.user == "app"
    client.says("RESET")
    assert client.codec.user == ""
    client.says("AUTH s3cret")
    assert client.codec.user == "default"


# CLIENT INFO and LIST: the same fields in the same order, as far as Redis 7.0 has them


def fields(line: str) -> list[str]:
    return [field.partition("=")[0] for field in line.split()]


@pytest.mark.parametrize("command", ["CLIENT INFO", "CLIENT LIST"])
@pytest.mark.parametrize("hello", ["HELLO 2", "HELLO 3"])
def test_a_client_is_described_in_the_fields_of_redis(redis_server: RedisServer, command: str, hello: str) -> None:
    reader = hiredis.Reader(encoding="utf-8")
    reader.feed(exhaust(redis_server.port, pack(hello, command)))
    reader.gets()
    theirs = reader.gets()
    client = Conversation()
    client.says(hello, "CLIENT SETNAME me", command)
    reader = hiredis.Reader(encoding="utf-8")
    reader.feed(client.client_got)
    _, _, ours = (reader.gets() for _ in range(3))
    assert fields(ours)[: len(fields(theirs))] == fields(theirs.splitlines()[-1])
    assert ours.startswith("id=7 addr=10.0.0.9:5000 laddr=127.0.0.1:6379 fd=0 name=me age=0 idle=0 flags=N db=0 sub=0 ")
    assert ours.endswith(f" resp={hello[-1]} lib-name= lib-ver=\n")


@pytest.mark.parametrize(
    ("commands", "shown"),
    [
        (["CLIENT SETINFO LIB-NAME redis-py", "client setinfo lib-ver 8.1"], "lib-name=redis-py lib-ver=8.1"),
        (["SUBSCRIBE a"], "flags=P"),
        (["MULTI", "GET a"], "flags=x"),
        (["BLPOP a 0"], "flags=b"),
        (["BLPOP a 0"], "cmd=blpop"),
        (["CLIENT ID"], "cmd=client|id"),
    ],
)
def test_what_a_client_does_shows_in_the_list_of_another(commands: list[str], shown: str) -> None:
    busy = Conversation()
    busy.says(*commands)
    other = Conversation(protocol=busy.protocol)
    other.says("CLIENT LIST")
    assert shown in other.client_got.decode().splitlines()[1]
    assert other.client_got.count(b"\n") == 4  # the two of them, and the ends of the bulk string


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("CLIENT SETINFO LIB-NAME a\tb", "-ERR lib-name cannot contain spaces, newlines or special characters."),
        ("CLIENT SETINFO NOPE a", "-ERR Unrecognized option 'NOPE'"),
        ("CLIENT SETINFO LIB-NAME", "-ERR wrong number of arguments for 'client|setinfo' command"),
        ("CLIENT NO-TOUCH x", "-ERR syntax error"),
    ],
)
def test_commands_newer_than_redis_7_0(command: str, error: str) -> None:
    client = Conversation()
    client.says(command)
    assert client.client_got.decode() == error + "\r\n"


# CLIENT KILL, CLIENT UNBLOCK: sessions of this service, never upstream connections


class Room(Host):
    """Three sessions of one service: 7, 8 and 9."""

    def __init__(self) -> None:
        self.killed: list[int] = []
        self.unblocked: list[tuple[int, bool]] = []
        protocol = RedisProtocol("cache", users=USERS)
        protocol.shared.greeted = True
        protocol.attach(self)
        self.clients = [Conversation(protocol=protocol) for _ in range(3)]
        self.clients[0].says("AUTH s3cret")
        self.clients[1].says("AUTH app apple")
        self.clients[2].says("AUTH app apple", "SUBSCRIBE a")

    def disconnect(self, session_id: int) -> None:
        self.killed.append(session_id)

    def unblock(self, session_id: int, error: bool) -> bool:
        self.unblocked.append((session_id, error))
        return session_id == 8

    def ask(self, command: str) -> str:
        client = self.clients[0]
        client.client_got = b""
        client.says(command)
        return client.client_got.decode().strip()


@pytest.mark.parametrize(
    ("command", "reply", "killed"),
    [
        ("CLIENT KILL ID 8", ":1", [8]),
        ("CLIENT KILL ID 7", ":0", []),
        ("CLIENT KILL ID 7 SKIPME no", ":1", [7]),
        ("CLIENT KILL USER app", ":2", [8, 9]),
        ("CLIENT KILL USER app TYPE pubsub", ":1", [9]),
        ("CLIENT KILL TYPE normal", ":1", [8]),
        ("CLIENT KILL ADDR 10.0.0.9:5000 SKIPME yes", ":2", [8, 9]),
        ("CLIENT KILL LADDR 127.0.0.1:6379", ":2", [8, 9]),
        ("CLIENT KILL 10.0.0.9:5000", "+OK", [7, 8, 9]),
        ("CLIENT KILL 10.0.0.9:1", "-ERR No such client", []),
        ("CLIENT KILL USER nobody", "-ERR No such user 'nobody'", []),
    ],
)
def test_client_kill_ends_sessions(command: str, reply: str, killed: list[int]) -> None:
    room = Room()
    assert room.ask(command) == reply
    assert room.killed == killed


@pytest.mark.parametrize(
    ("command", "reply", "unblocked"),
    [
        ("CLIENT UNBLOCK 8", ":1", [(8, False)]),
        ("CLIENT UNBLOCK 8 timeout", ":1", [(8, False)]),
        ("CLIENT UNBLOCK 8 ERROR", ":1", [(8, True)]),
        ("CLIENT UNBLOCK 9", ":0", [(9, False)]),
    ],
)
def test_client_unblock_goes_by_session(command: str, reply: str, unblocked: list[tuple[int, bool]]) -> None:
    room = Room()
    assert room.ask(command) == reply
    assert room.unblocked == unblocked


def test_client_list_by_id_and_type() -> None:
    room = Room()
    assert re.findall(r"^id=(\d+)", room.ask("CLIENT LIST"), re.MULTILINE) == ["7", "8", "9"]
    assert re.findall(r"^id=(\d+)", room.ask("CLIENT LIST ID 9 7"), re.MULTILINE) == ["7", "9"]
    assert re.findall(r"^id=(\d+)", room.ask("CLIENT LIST TYPE pubsub"), re.MULTILINE) == ["9"]
    room.clients[0].protocol.left(8)
    assert re.findall(r"^id=(\d+)", room.ask("CLIENT LIST"), re.MULTILINE) == ["7", "9"]


# HELLO


def test_hello_tells_what_the_upstreams_hello_told() -> None:
    client = Conversation()
    module = [b"name", b"bf", b"ver", 20400, b"path", b"/bf.so"]
    client.protocol.shared.learned({"server": b"valkey", "version": b"8.0.1", "role": b"master", "modules": [module]})
    client.says("HELLO 3")
    reader = hiredis.Reader(encoding="utf-8")
    reader.feed(client.client_got)
    assert reader.gets() == {
        "server": "valkey",
        "version": "8.0.1",
        "proto": 3,
        "id": 7,
        "mode": "standalone",
        "role": "master",
        "modules": [{"name": "bf", "ver": 20400, "path": "/bf.so"}],
    }


def test_the_first_hello_waits_for_an_upstream_connection() -> None:
    """Before it nobody knows what server the gateway speaks for."""
    client = Conversation(greeted=False)
    assert client.says("HELLO 3")[0].startswith("HELLO (local, barrier, pin HELLO): %7")
    assert client.codec.tag == Tag(0, 3)
    assert client.codec.pin is None


def test_hello_cannot_change_the_protocol_of_a_connection_in_use() -> None:
    client = Conversation()
    client.says("WATCH a", "HELLO 2", "HELLO 3")
    assert client.lines[1].startswith("HELLO (local, pin WATCH): *14")
    assert client.lines[2].endswith("-ERR poolgate: cache: HELLO cannot change the protocol during WATCH")
