"""How a new upstream connection logs in: recorded conversations, torn everywhere, refusals, and hostile servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LoginError, PeerError, TagError
from protocols.mysql.auth import NATIVE, SHA2, Account, RsaKey
from protocols.mysql.client_login import DONE, ClientLogin
from protocols.mysql.constants import (
    CLIENT_COMPRESS,
    CLIENT_CONNECT_ATTRS,
    CLIENT_DEPRECATE_EOF,
    CLIENT_LONG_FLAG,
    CLIENT_LONG_PASSWORD,
    CLIENT_MULTI_RESULTS,
    CLIENT_MULTI_STATEMENTS,
    CLIENT_PLUGIN_AUTH,
    CLIENT_PROTOCOL_41,
    CLIENT_PS_MULTI_RESULTS,
    CLIENT_SECURE_CONNECTION,
    CLIENT_SESSION_TRACK,
    CLIENT_SSL,
    CLIENT_TRANSACTIONS,
    COM_QUERY,
    MARIADB_EXTENDED_METADATA,
)
from protocols.mysql.login import MAX_REPLY, MysqlLogin, ServerFacts
from protocols.mysql.packets import HEADER, command, error, ok, one_number, packet, u24

WANTED = (
    CLIENT_LONG_FLAG
    | CLIENT_TRANSACTIONS
    | CLIENT_MULTI_STATEMENTS
    | CLIENT_MULTI_RESULTS
    | CLIENT_PS_MULTI_RESULTS
    | CLIENT_SESSION_TRACK
    | CLIENT_DEPRECATE_EOF
)
TRACK = command(COM_QUERY, b"SET session_track_system_variables='*'")
TRACK_GTIDS = command(COM_QUERY, b"SET session_track_gtids=OWN_GTID")

# What MariaDB 10.11 said and what it took.
MARIADB_GREETING = (
    "640000000a352e352e352d31302e31312e31392d4d6172696144422d302b646562313275310045000000343f2331693f3c5100feff080200ff"
    "81150000000000001d000000637e6e30423c44237c6a2367006d7973716c5f6e61746976655f70617373776f726400"
)
MARIADB = [
    ("S", MARIADB_GREETING),
    (
        "C",
        "540000010da2af01000000012d00000000000000000000000000000000000000000000006170700014ab655aeb41ad6d0fe73008f2081b"
        "5f092e20672f73686f70006d7973716c5f6e61746976655f70617373776f726400",
    ),
    ("S", "1000000200000002400000000701050473686f70"),
    ("C", TRACK.hex()),
    ("S", "2c00000100000002400000002300211e73657373696f6e5f747261636b5f73797374656d5f7661726961626c6573012a"),
    ("C", TRACK_GTIDS.hex()),
    (
        "S",
        "36000001ffa904234859303030556e6b6e6f776e2073797374656d207661726961626c65202773657373696f6e5f747261636b5f677469"
        "647327",
    ),
]
ED25519 = [
    (
        "S",
        "640000000a352e352e352d31302e31312e31392d4d6172696144422d302b6465623132753100460000003030423a3b5b374100feff0802"
        "00ff81150000000000001d0000002222242f5d676d6f642b4761006d7973716c5f6e61746976655f70617373776f726400",
    ),
    (
        "C",
        "4e00000105a2af01000000012d000000000000000000000000000000000000000000000065640014169052c1330b583bdd84a26a5f5960"
        "948af1ca4b6d7973716c5f6e61746976655f70617373776f726400",
    ),
    (
        "S",
        "30000002fe636c69656e745f6564323535313900210d5dcb7123a1d46f0ca96a85fd8334af0e735eaf01852532fa9da20b7c3217",
    ),
    (
        "C",
        "40000003d4a6b42db7757c098ea207e5612509fc7bbcf1cd485b2532aaa71c97b15dea4331726abf1c202e9a741fc135369318bc04c7c5"
        "3fbbb10ed42880c9feed35270b",
    ),
    ("S", "0700000400000002000000"),
]
# go-mysql 1.9 as MySQL 8: caching_sha2_password, its fast way
GO_MYSQL = [
    (
        "S",
        "4a0000000a382e302e3132001127000022292b4570502569000daa2100003800150000000000000000000020222f7b32435c254f6b3d6f"
        "0063616368696e675f736861325f70617373776f726400",
    ),
    (
        "C",
        "5b00000105a22800000000012d0000000000000000000000000000000000000000000000"
        "61707000201c1e9c8b9b1d9f90364900480c7fe835272059cd718a29b2c55376dcd2db03a8"
        "63616368696e675f736861325f70617373776f726400",
    ),
    ("S", "02000002010307000003" "00000000000000"),
]  # fmt: skip
# A server on a unix socket that does not remember the password
FULL = [
    (
        "S",
        "4a0000000a382e302e333100010000004d16481f4d2e670f008faa2102003b011500000000000000000000584f3f330b293c7462575210"
        "0063616368696e675f736861325f70617373776f726400",
    ),
    (
        "C",
        "5b00000105a22b01000000012d000000000000000000000000000000000000000000000061707000"
        "20ebb33ff2c69e55ccb17f1652f2d38c7e4a2c1fc27459ea02a82cbf3c88f282b363616368696e675f736861325f70617373776f726400",
    ),
    ("S", "020000020104"),
    ("C", "0700000373336372657400"),
    ("S", "0700000400000002000000"),
]


class Session:
    """A login, and what it learned."""

    def __init__(
        self,
        password: bytes = b"s3cret",
        database: str = "",
        *,
        capabilities: int = WANTED,
        user: str = "app",
        collation: int = 45,
        tls: bool = False,
        secure: bool = False,
        setup: list[tuple[bytes, bool]] | None = None,
    ) -> None:
        self.learned: list[ServerFacts] = []
        self.login = MysqlLogin(
            capabilities, user, password, database, collation, tls=tls, secure=secure, setup=setup or [],
            learned=self.learned.append,
        )  # fmt: skip
        assert self.login.start() == b""

    def hear(self, *packets: bytes | str) -> bytes | None:
        """The login's answer to these packets, which come at once."""
        return self.login.feed(b"".join(bytes.fromhex(one) if isinstance(one, str) else one for one in packets))


def recorded(script: list[tuple[str, str]], *, size: int) -> tuple[list[bytes], list[bytes]]:
    """What the server said, torn into pieces of this size, and all that it got."""
    said = [bytes.fromhex(text) for who, text in script if who == "S"]
    pieces = [text[i : i + size] for text in said for i in range(0, len(text), size)]
    return pieces, [bytes.fromhex(text) for who, text in script if who == "C"]


SESSIONS = [
    (MARIADB, {"database": "shop", "setup": [(TRACK, True), (TRACK_GTIDS, False)]}),
    (ED25519, {"user": "ed", "password": b"edpw"}),
    (GO_MYSQL, {}),
    (FULL, {"secure": True}),
]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 11, 13, 1000])
@pytest.mark.parametrize("which", range(len(SESSIONS)))
def test_a_recorded_login(which: int, size: int) -> None:
    script, options = SESSIONS[which]
    session = Session(**options)  # type: ignore[arg-type]
    pieces, expected = recorded(script, size=size)
    answers = [session.login.feed(piece) for piece in pieces]
    assert [answer for answer in answers if answer] == expected
    assert answers[-1] is None
    assert None not in answers[:-1]
    assert session.learned == [session.login.facts]


@pytest.mark.parametrize("which", range(len(SESSIONS)))
def test_it_may_be_torn_at_every_offset(which: int) -> None:
    script, options = SESSIONS[which]
    for number, (who, text) in enumerate(script):
        for at in range(1, len(text) // 2) if who == "S" else []:
            session = Session(**options)  # type: ignore[arg-type]
            answer: bytes | None = b""
            for other, (speaker, line) in enumerate(script):
                if speaker == "S":
                    data = bytes.fromhex(line)
                    for piece in [data[:at], data[at:]] if other == number else [data]:
                        answer = session.login.feed(piece)
                elif other > 0:
                    assert answer == bytes.fromhex(line)
            assert answer is None


def test_what_is_learned_of_mariadb() -> None:
    session = Session(database="shop", setup=[(TRACK, True), (TRACK_GTIDS, False)])
    for piece in recorded(MARIADB, size=1000)[0]:
        session.login.feed(piece)
    login, facts = session.login, session.login.facts
    assert facts is not None
    assert (facts.version, facts.release, facts.is_mariadb) == ("5.5.5-10.11.19-MariaDB-0+deb12u1", (10, 11), True)
    assert (facts.thread_id, facts.collation, facts.capabilities) == (0x45, 8, 0x1D_81FFFFFE)
    assert login.capabilities & ~(WANTED | 0x288209 | 0x8) == 0
    assert login.capabilities & WANTED == WANTED
    assert (login.tracked, login.status) == (True, 0x4002)


@pytest.mark.parametrize("wanted", [WANTED | MARIADB_EXTENDED_METADATA, WANTED | 0x10 << 32, WANTED])
def test_capabilities_of_mariadbs_own(wanted: int) -> None:
    session = Session(capabilities=wanted)
    answer = session.hear(MARIADB_GREETING)
    assert answer is not None
    common = wanted >> 32 & 0x1D
    assert int.from_bytes(answer[32:36], "little") == session.login.capabilities >> 32 == common
    assert bool(answer[4] & CLIENT_LONG_PASSWORD) == (not common), "it says which of both these bytes are"


def test_what_is_learned_of_mysql() -> None:
    session = Session()
    for piece in recorded(GO_MYSQL, size=1000)[0]:
        session.login.feed(piece)
    facts = session.login.facts
    assert facts is not None
    assert (facts.version, facts.release, facts.is_mariadb, facts.thread_id) == ("8.0.12", (8, 0), False, 10001)
    assert session.login.capabilities & WANTED == CLIENT_LONG_FLAG | CLIENT_TRANSACTIONS  # it has no more
    assert (session.login.tracked, session.login.status) == (False, 0)


@pytest.mark.parametrize(
    ("version", "release", "mariadb"),
    [
        ("8.4.3", (8, 4), False),
        ("5.7.44-log", (5, 7), False),
        ("8.0.mysql_aurora.3.05.2", (8, 0), False),
        ("11.8.2-MariaDB-ubu2404", (11, 8), True),
        ("5.5.5-10.6.18-MariaDB", (10, 6), True),
        ("nonsense", (0, 0), False),
        ("99999999.1", (0, 0), False),
    ],
)
def test_versions(version: str, release: tuple[int, int], mariadb: bool) -> None:
    facts = ServerFacts(version, CLIENT_LONG_PASSWORD, 45, 1)
    assert (facts.version, facts.release, facts.is_mariadb) == (version, release, mariadb)
    assert ServerFacts("12.0.1", 0, 45, 1).is_mariadb


def test_what_others_must_not_want_is_dropped() -> None:
    session = Session(capabilities=WANTED | CLIENT_COMPRESS | CLIENT_CONNECT_ATTRS | CLIENT_SSL)
    assert session.hear(MARIADB_GREETING)
    assert not session.login.capabilities & (CLIENT_COMPRESS | CLIENT_CONNECT_ATTRS | CLIENT_SSL)


@pytest.mark.parametrize(("collation", "byte"), [(45, 45), (255, 255), (309, 45), (2304, 45)])
def test_a_collation_that_the_handshake_cannot_say(collation: int, byte: int) -> None:
    answer = Session(collation=collation).hear(MARIADB_GREETING)
    assert answer is not None
    assert answer[12] == byte


# Against the gateway's own server side


def serve(
    accounts: dict[str, Account], session: Session, *, plugin: str = SHA2, rsa: RsaKey | None = None, tls: bool = False
) -> list[bytes]:
    """Let the two talk; returns what the login said."""
    facts = ServerFacts("8.0.36", 0, 45, 7)
    server = ClientLogin(
        facts, accounts, 9, b"abcdefghijklmnopqrst", "localhost", capabilities=WANTED, tls=tls,
        secure=session.login._secure, rsa=rsa, plugin=plugin,
    )  # fmt: skip
    said: list[bytes] = []
    answer = session.login.feed(server.greeting())
    while answer is not None:
        said.append(answer)
        reply = server.feed(answer[HEADER:], answer[3])
        if session.login.starts_tls:
            server.started_tls()
            answer = session.login.feed(b"")
            continue
        answer = session.login.feed(reply + (ok(server.sequence, 2) if server.state == DONE else b""))
    return said


@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("kind", ["password", "native", "sha2"])
def test_every_way_in(kind: str, plugin: str, tls: bool) -> None:
    account = Account.of_password("app", "s3cret")
    if kind != "password":
        account = Account("app", account.native if kind == "native" else b"", account.sha2 if kind == "sha2" else b"")
    session = Session(tls=tls)
    said = serve({"app": account}, session, plugin=plugin, rsa=RsaKey(), tls=tls)
    assert session.learned == [session.login.facts]
    assert any(b"s3cret" in one for one in said) is (tls and kind == "native" and plugin == SHA2)
    if tls:
        assert len(said[0]) == HEADER + 32
        assert session.login.capabilities & CLIENT_SSL


def test_without_a_password() -> None:
    for plugin in (NATIVE, SHA2):
        account = Account.of_password("app", "", allow_empty=True)
        assert len(serve({"app": account}, Session(b""), plugin=plugin)) == 1


def test_a_wrong_password() -> None:
    with pytest.raises(LoginError, match="login refused: 1045 Access denied for user 'app'@'localhost'") as refused:
        serve({"app": Account.of_password("app", "s3cret")}, Session(b"wr0ng"))
    assert "wr0ng" not in str(refused.value)
    assert not isinstance(refused.value, TagError)


# Authentication, by hand


def greeting(plugin: str = NATIVE, capabilities: int = 0xFFFFFFFF & ~CLIENT_SSL, *, nonce: bytes = b"n" * 20) -> bytes:
    """What a server says first."""
    flags = capabilities.to_bytes(4, "little")
    return packet(
        b"\x0a8.0.36\0" + bytes(4) + nonce[:8] + b"\0" + flags[:2] + b"\x2d\x02\0" + flags[2:] + b"\x15" + bytes(10)
        + nonce[8:] + b"\0" + plugin.encode() + b"\0",
        0,
    )  # fmt: skip


def switch(plugin: str, nonce: bytes = b"m" * 20 + b"\0", sequence: int = 2) -> bytes:
    return packet(b"\xfe" + plugin.encode() + b"\0" + nonce, sequence)


def test_a_plugin_that_nobody_knows_is_left_to_the_server() -> None:
    session = Session()
    answer = session.hear(greeting("auth_gssapi_client"))
    assert answer is not None
    assert answer.endswith(b"mysql_native_password\0")
    assert session.hear(switch(SHA2)) not in (None, b"")
    assert session.hear(packet(b"\x01\x03", 4), ok(5, 2)) is None


def test_a_server_without_plugins() -> None:
    session = Session(database="shop")
    needed = CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION | 8
    answer = session.hear(greeting("", needed))
    assert answer is not None
    assert answer.endswith(b"shop\0")
    assert not session.login.capabilities & CLIENT_PLUGIN_AUTH
    assert session.hear(ok(2, 2)) is None


def test_the_password_in_clear_only_where_nobody_else_reads() -> None:
    session = Session(secure=True)
    session.hear(greeting())
    assert session.hear(switch("mysql_clear_password", b"")) == packet(b"s3cret\0", 3)
    session = Session()
    session.hear(greeting())
    with pytest.raises(LoginError, match=r"in clear .* only over TLS"):
        session.hear(switch("mysql_clear_password", b""))


@pytest.mark.parametrize(
    ("replies", "why"),
    [
        ([packet(b"\xff\x10\x04Too many connections", 0)], "connection refused: 1040 Too many connections"),
        ([packet(b"\xff\x69\x04Host 'h' is blocked", 0)], "connection refused: 1129 Host 'h' is blocked"),
        ([greeting(), error(2, (1045, "28000"), "Access denied")], "login refused: 1045 Access denied"),
        ([greeting(), error(0, (1053, "08S01"), "Server shutdown in progress")], "1053 Server shutdown"),
        ([greeting(), switch("dialog")], "authentication plugin 'dialog': not supported"),
        ([greeting(), packet(b"\xfe", 2)], "mysql_old_password"),
        ([greeting(), switch(SHA2), switch(NATIVE, sequence=4)], "again and again"),
        ([greeting(), switch(NATIVE, b"short\0")], "nonce has 5 bytes"),
        ([greeting(), packet(b"\x02mysql_native_password\0", 2)], "multi-factor authentication is not supported"),
        ([greeting(), packet(b"\x01\x03", 2)], "no place there"),
        ([greeting(), packet(b"\x05", 2)], "no place there"),
        ([greeting(SHA2), packet(b"\x01\x05", 2)], "what it does not define"),
        ([greeting(SHA2), packet(b"\x01", 2)], "what it does not define"),
        ([greeting(SHA2), packet(b"\x01\x04", 2), packet(b"\x00", 4)], "no public key"),
        ([greeting(SHA2), packet(b"\x01\x04", 2), error(4, (1045, "28000"), "no")], "1045 no"),
        ([greeting(SHA2), packet(b"\x01\x04", 2), packet(b"\x01junk", 4)], "public key cannot be used"),
        ([greeting(SHA2), packet(b"\x01\x03", 2), error(3, (1045, "28000"), "no")], "1045 no"),
        ([greeting(capabilities=CLIENT_SECURE_CONNECTION)], "too old"),
        ([packet(b"\x09" + b"4.0.1\0" + bytes(60), 0)], "does not speak protocol version 10"),
        ([greeting() + ok(2, 2)], "more than it was asked for"),
        ([greeting(), ok(2, 2) + b"\0"], "more than it was asked for"),
        ([greeting(), ok(3, 2)], "out of order"),
        ([greeting(), (MAX_REPLY + 1).to_bytes(3, "little") + b"\x02"], "has 65537 bytes"),
        ([greeting(), b"\0\0\0\x02"], "has 0 bytes"),
        ([greeting(), packet(b"\xff\x15\x04" + b"x" * 1000, 2)], "1045 x{255}$"),
    ],
)
def test_a_refusal_says_why_and_no_secret(replies: list[bytes], why: str) -> None:
    session = Session()
    *first, last = replies
    for reply in first:
        assert session.hear(reply) is not None
    with pytest.raises(LoginError, match=why) as refused:
        session.hear(last)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(("number", "text"), [(1049, "Unknown database 'nodb'"), (1044, "Access denied")])
def test_a_refused_schema_is_not_the_upstreams_fault(number: int, text: str) -> None:
    session = Session(database="nodb")
    session.hear(greeting())
    with pytest.raises(TagError, match=f"login refused: {number} {text}"):
        session.hear(error(2, (number, "42000"), text))


@pytest.mark.parametrize(
    "junk",
    [
        b"-ERR wrong number of arguments\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x03\x00\x02\x02\n",
        b"E\0\0\0" + bytes(69),
    ],
)
def test_what_is_no_mysql_is_refused(junk: bytes) -> None:
    with pytest.raises(LoginError, match="does not speak"):
        Session().hear(junk)


def test_a_version_without_end_is_cut() -> None:
    session = Session()
    session.hear(packet(greeting()[HEADER:].replace(b"8.0.36", b"8.0." + b"9" * 1000, 1), 0))
    assert session.login.facts is not None
    assert len(session.login.facts.version) == 255


# TLS


def test_tls_comes_before_the_user_and_the_password() -> None:
    session = Session(tls=True)
    request = session.hear(MARIADB_GREETING)
    assert request is not None
    assert request[:HEADER] == b"\x20\0\0\x01"
    assert session.login.starts_tls
    answer = session.login.feed(b"")
    assert answer is not None
    assert not session.login.starts_tls
    assert answer[3] == 2
    assert answer[HEADER : HEADER + 32] == request[HEADER:]
    assert answer[HEADER + 32 :].startswith(b"app\0")
    assert session.hear(ok(3, 2)) is None


def test_tls_that_the_upstream_does_not_offer() -> None:
    with pytest.raises(LoginError, match="TLS is wanted, and the upstream does not offer it"):
        Session(tls=True).hear(greeting())


def test_nothing_is_taken_from_before_tls() -> None:
    with pytest.raises(LoginError, match="more than it was asked for"):
        Session(tls=True).hear(MARIADB_GREETING, ok(2, 2))
    session = Session(tls=True)
    session.hear(MARIADB_GREETING)
    with pytest.raises(LoginError, match="more than it was asked for"):
        session.hear(ok(3, 2))


# Setup statements


def set_up(*setup: tuple[bytes, bool]) -> Session:
    """A session that was let in."""
    session = Session(setup=list(setup))
    session.hear(greeting())
    assert session.hear(ok(2, 2)) == (setup[0][0] if setup else None)
    assert len(session.learned) == 1
    return session


def test_statements_follow_one_another() -> None:
    session = set_up((TRACK, True), (TRACK_GTIDS, False), (TRACK, True))
    assert session.hear(ok(1, 2)) == TRACK_GTIDS
    assert session.hear(error(1, (1193, "HY000"), "Unknown system variable")) == TRACK
    assert session.hear(ok(1, 0x4000 | 2)) is None
    assert session.login.tracked
    assert session.login.status == 0x4002


def test_what_was_tracked_once_is_remembered() -> None:
    session = set_up((TRACK, True), (TRACK, True))
    session.hear(ok(1, 0x4002))
    assert session.hear(ok(1, 2)) is None
    assert session.login.tracked


def test_a_required_statement_is_refused() -> None:
    session = set_up((TRACK_GTIDS, True))
    with pytest.raises(LoginError, match="sets the connection up was refused: 1193 Unknown system variable"):
        session.hear(error(1, (1193, "HY000"), "Unknown system variable"))


@pytest.mark.parametrize("reply", [one_number(b"n", 1, 0, 2)[: HEADER + 1], packet(b"\xfbfile", 1)])
def test_a_statement_answered_with_something_else(reply: bytes) -> None:
    session = set_up((TRACK, False))
    with pytest.raises(LoginError, match="answered with rows"):
        session.hear(reply)


# Any server


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=5), st.sampled_from([b"", greeting(), greeting(SHA2)]))
def test_any_server(payloads: list[bytes], first: bytes) -> None:
    session = Session(setup=[(TRACK, False)])
    try:
        answer = session.hear(first)
        sequence = 2
        for payload in payloads:
            if answer is None:
                break
            answer = session.hear(packet(payload, sequence))
            sequence += 2 if answer else 1
    except PeerError as error:
        assert "s3cret" not in str(error)


@given(st.data())
def test_a_recorded_login_with_a_flaw(data: st.DataObject) -> None:
    script, options = data.draw(st.sampled_from(SESSIONS))
    stream = bytearray(b"".join(recorded(script, size=1 << 20)[0]))
    for _ in range(data.draw(st.integers(1, 3))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    session = Session(**options)  # type: ignore[arg-type]
    try:
        while stream:
            end = HEADER + int(u24(bytes(stream), 0)) if len(stream) >= HEADER else len(stream)
            if session.hear(bytes(stream[:end])) is None:
                return
            del stream[:end]
    except PeerError as error:
        assert "s3cret" not in str(error)
