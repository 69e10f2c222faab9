"""How a new upstream connection logs in, by script and against real servers."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from protocols.errors import LoginError, PeerError, TagError
from protocols.redis.login import MAX_REPLY, RedisLogin, Tag
from protocols.redis.protocol import RedisProtocol
from protocols.redis.scan import encode
from redis_playbook import pack
from servers import RedisServer

GREETING = b"*4\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n"
OLD = b"-ERR unknown command `HELLO`, with args beginning with: `2`, \r\n"


class Session:
    """A login, and what it learned."""

    def __init__(self, db: int = 0, resp: int = 2, user: str = "", password: str = "") -> None:
        self.learned: list[dict[str, object]] = []
        self.login = RedisLogin(Tag(db, resp), user, password, self.learned.append)


@pytest.mark.parametrize(
    ("session", "hello"),
    [
        (Session(), "HELLO 2"),
        (Session(resp=3), "HELLO 3"),
        (Session(password="pw"), "HELLO 2 AUTH default pw"),
        (Session(user="app", password="pw", db=3), "HELLO 2 AUTH app pw"),
    ],
)
def test_it_begins_with_hello(session: Session, hello: str) -> None:
    assert session.login.start() == pack(hello)


def test_hello_is_all_that_database_0_needs() -> None:
    session = Session()
    assert session.login.feed(GREETING) is None
    assert session.learned == [{"server": b"redis", "version": b"7.0.15"}]


def test_another_database_is_selected() -> None:
    session = Session(db=3)
    assert session.login.feed(GREETING) == pack("SELECT 3")
    assert session.login.feed(b"+OK\r\n") is None


def test_replies_may_come_byte_by_byte() -> None:
    session = Session(db=3)
    answers = [session.login.feed(bytes([byte])) for byte in GREETING + b"+OK\r\n"]
    assert [answer for answer in answers if answer != b""] == [pack("SELECT 3"), None]


@pytest.mark.parametrize(
    "refusal", [OLD, b"-ERR unknown command 'HELLO'\r\n", b"-NOPERM no permissions for 'hello'\r\n"]
)
def test_where_hello_is_not_to_be_had_auth_will_do(refusal: bytes) -> None:
    session = Session(password="pw", db=1)
    assert session.login.feed(refusal) == pack("AUTH pw")
    assert session.login.feed(b"+OK\r\n") == pack("SELECT 1")
    assert session.login.feed(b"+OK\r\n") is None
    assert session.learned == [{}]
    assert Session(user="app", password="pw").login.feed(refusal) == pack("AUTH app pw")
    assert Session().login.feed(refusal) is None
    with pytest.raises(TagError, match="HELLO 3 refused"):  # with RESP2 this upstream may be well
        Session(resp=3).login.feed(refusal)


@pytest.mark.parametrize("repeated", ["s3cret", "s3c"])  # Redis repeats 128 characters at most
def test_an_upstream_that_repeats_the_password_does_not_give_it_away(repeated: str) -> None:
    echo = f"-ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' '{repeated}' \r\n"
    with pytest.raises(TagError, match="HELLO 3 refused: ERR unknown command") as refused:
        Session(password="s3cret", resp=3).login.feed(echo.encode())
    assert repeated not in str(refused.value)


@pytest.mark.parametrize(
    ("replies", "why"),
    [
        ([b"-WRONGPASS invalid username-password pair\r\n"], "HELLO 2 refused: WRONGPASS"),
        ([b"-NOAUTH HELLO must be called\r\n"], "HELLO 2 refused: NOAUTH"),
        ([b"-ERR max number of clients reached\r\n"], "HELLO 2 refused: ERR max number"),
        ([b"-DENIED Redis is running in protected mode\r\n"], "HELLO 2 refused: DENIED"),
        ([OLD, b"-ERR invalid password\r\n"], "AUTH refused: ERR invalid password"),
        ([GREETING, b"-ERR DB index is out of range\r\n"], "SELECT 3 refused: ERR DB index"),
        ([GREETING + b"+OK\r\n"], "more than it was asked for"),
        ([b"$100000\r\n" + b"x" * MAX_REPLY], "too long"),
    ],
)
def test_a_refusal_says_why_and_no_secret(replies: list[bytes], why: str) -> None:
    session = Session(password="s3cret", db=3)
    *first, last = replies
    for reply in first:
        assert session.login.feed(reply)
    with pytest.raises(LoginError, match=why) as refused:
        session.login.feed(last)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("junk", [b"HTTP/1.1 400 Bad Request\r\n", b"*1\r\n+a\n\r\n", b"\x15\x03\x01\x00\x02\x02\n"])
def test_what_is_no_redis_is_refused(junk: bytes) -> None:
    with pytest.raises(PeerError):
        Session().login.feed(junk)


# Real servers


@pytest.fixture(scope="module")
def guarded_server() -> Iterator[RedisServer]:
    users = {"app": "on >apple ~* &* +@all", "narrow": "on >n ~* +get +auth +select -hello"}
    with RedisServer(password="s3cret", users=users) as server:
        yield server


def log_in(port: int, tag: Tag, user: str, password: str) -> tuple[bytes, dict[str, object]]:
    """What the connection can say of itself afterwards, and what was learned."""
    protocol = RedisProtocol("cache", user=user, password=password)
    login = protocol.login(tag)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        request: bytes | None = login.start()
        while request is not None:
            if request:
                line.sendall(request)
            request = login.feed(line.recv(1 << 16))
        line.sendall(encode([b"GET", b"login:none"]) + encode([b"CLIENT", b"INFO"]))
        said = line.recv(1 << 16)
    return said, protocol.shared.facts


@pytest.mark.parametrize("db", [0, 3])
@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize("user", ["", "default", "app"])
def test_with_a_password(guarded_server: RedisServer, user: str, resp: int, db: int) -> None:
    said, facts = log_in(guarded_server.port, Tag(db, resp), user, "apple" if user == "app" else "s3cret")
    assert said.startswith(b"_\r\n" if resp == 3 else b"$-1\r\n")
    assert b" db=%d " % db in said
    assert b" user=%s " % (user or "default").encode() in said
    assert (facts["server"], facts["mode"], facts["proto"]) == (b"redis", b"standalone", resp)


@pytest.mark.parametrize(("user", "password"), [("", ""), ("default", "anything")])
def test_without_a_password(redis_server: RedisServer, user: str, password: str) -> None:
    said, facts = log_in(redis_server.port, Tag(0, 2), user, password)
    assert said.startswith(b"$-1\r\n")
    assert isinstance(facts["version"], bytes)


def test_a_user_that_may_not_say_hello(guarded_server: RedisServer) -> None:
    """HELLO with AUTH is refused to it only once it is logged in."""
    said, _ = log_in(guarded_server.port, Tag(0, 2), "narrow", "n")
    assert said.startswith(b"$-1\r\n-NOPERM")


@pytest.mark.parametrize(
    ("user", "password", "why"),
    [
        ("", "wrong", "HELLO 2 refused: WRONGPASS"),
        ("nobody", "s3cret", "HELLO 2 refused: WRONGPASS"),
        ("", "", "HELLO 2 refused: NOAUTH"),
    ],
)
def test_a_real_server_refuses(guarded_server: RedisServer, user: str, password: str, why: str) -> None:
    with pytest.raises(LoginError, match=why):
        log_in(guarded_server.port, Tag(0, 2), user, password)


def test_a_server_older_than_hello() -> None:
    with RedisServer(password="s3cret", settings={"rename-command": 'HELLO ""'}) as server:
        said, facts = log_in(server.port, Tag(2, 2), "", "s3cret")
        assert b" db=2 " in said
        assert facts == {}
        with pytest.raises(LoginError, match="HELLO 3 refused: ERR unknown command"):
            log_in(server.port, Tag(0, 3), "", "s3cret")
        with pytest.raises(LoginError, match="AUTH refused: WRONGPASS"):
            log_in(server.port, Tag(0, 2), "", "wrong")


def test_a_database_that_does_not_exist(redis_server: RedisServer) -> None:
    with pytest.raises(LoginError, match="SELECT 99 refused: ERR DB index is out of range"):
        log_in(redis_server.port, Tag(99, 2), "", "")


# From one tag to another


@pytest.mark.parametrize(
    ("have", "want", "commands"),
    [
        (Tag(0, 2), Tag(0, 2), []),
        (Tag(0, 2), Tag(4, 2), ["SELECT 4"]),
        (Tag(4, 2), Tag(4, 3), ["HELLO 3"]),
        (Tag(4, 3), Tag(0, 2), ["HELLO 2", "SELECT 0"]),
    ],
)
def test_an_idle_connection_changes_its_tag(
    redis_server: RedisServer, have: Tag, want: Tag, commands: list[str]
) -> None:
    protocol = RedisProtocol("cache")
    assert protocol.prelude(have, want) == [pack(command) for command in commands]
    with socket.create_connection(("127.0.0.1", redis_server.port), timeout=10) as line:
        for command in protocol.prelude(Tag(0, 2), have) + protocol.prelude(have, want):
            line.sendall(command)
            assert not line.recv(1 << 16).startswith(b"-")
        line.sendall(encode([b"CLIENT", b"INFO"]))
        assert b" db=%d " % want.db in line.recv(1 << 16)


def test_equal_tags_are_alike() -> None:
    assert len({Tag(0, 2), Tag(0, 2), Tag(0, 3), Tag(1, 2)}) == 3
    assert Tag(0, 2) != "db 0, RESP2"
    assert repr(Tag(0, 2)) == "db 0, RESP2"
