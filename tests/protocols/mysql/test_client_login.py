"""How clients log in: packets of real ones, PyMySQL itself, every refusal, and bytes that no client sends."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pymysql
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import ProtocolError
from protocols.mysql.auth import (
    NATIVE,
    SHA2,
    Account,
    RsaKey,
    encrypt_password,
    scramble_native,
    scramble_sha2,
)
from protocols.mysql.client_login import DONE, MAX_ATTRIBUTES, MAX_LOGIN, MORE, REFUSED, TLS, ClientLogin
from protocols.mysql.constants import (
    CLIENT_CONNECT_ATTRS,
    CLIENT_CONNECT_WITH_DB,
    CLIENT_DEPRECATE_EOF,
    CLIENT_FOUND_ROWS,
    CLIENT_LONG_PASSWORD,
    CLIENT_MULTI_RESULTS,
    CLIENT_MULTI_STATEMENTS,
    CLIENT_PLUGIN_AUTH,
    CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA,
    CLIENT_PROTOCOL_41,
    CLIENT_SECURE_CONNECTION,
    CLIENT_SSL,
    CLIENT_TRANSACTIONS,
    COM_QUERY,
    COM_QUIT,
    MARIADB_EXTENDED_METADATA,
)
from protocols.mysql.login import ServerFacts
from protocols.mysql.packets import lenenc_bytes, ok, one_number, packet, read_error

NONCE = b"abcdefghijklmnopqrst"
FRESH = b"ABCDEFGHIJKLMNOPQRST"
OFFERED = (
    CLIENT_FOUND_ROWS | CLIENT_TRANSACTIONS | CLIENT_MULTI_STATEMENTS | CLIENT_MULTI_RESULTS | CLIENT_DEPRECATE_EOF
)
CLAIMED = (
    CLIENT_LONG_PASSWORD
    | CLIENT_CONNECT_WITH_DB
    | CLIENT_PROTOCOL_41
    | CLIENT_SECURE_CONNECTION
    | CLIENT_PLUGIN_AUTH
    | CLIENT_CONNECT_ATTRS
    | CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
    | CLIENT_MULTI_RESULTS
)
NATIVE_HASH = "*B865CAE8F340F6CE1485A06F4492BB49718DF1EC"
BY_PASSWORD = {
    "app": Account.of_password("app", "s3cret"),
    "nopw": Account.of_password("nopw", "", allow_empty=True),
}
BY_NATIVE_HASH = {"app": Account.of_hash("app", NATIVE_HASH)}
BY_SHA2_HASH = {"app": Account("app", b"", BY_PASSWORD["app"].sha2)}
SCRAMBLES: dict[str, Callable[[bytes, bytes], bytes]] = {NATIVE: scramble_native, SHA2: scramble_sha2}
KEY = RsaKey()


def start(
    accounts: dict[str, Account] | None = BY_PASSWORD,
    *,
    plugin: str = NATIVE,
    tls: bool = False,
    secure: bool = False,
    rsa: RsaKey | None = None,
    version: str = "8.0.36",
    collation: int = 45,
) -> ClientLogin:
    """A login whose greeting was sent."""
    login = ClientLogin(
        ServerFacts(version, 0, collation, 7), accounts, 9, NONCE, "10.0.0.9", capabilities=OFFERED,
        tls=tls, secure=secure, rsa=rsa, plugin=plugin,
    )  # fmt: skip
    login.greeting()
    return login


def introduction(claimed: int = CLAIMED, collation: int = 45) -> bytes:
    """The first 32 bytes of a handshake response; an SSLRequest has no more."""
    return claimed.to_bytes(4, "little") + bytes(4) + bytes([collation]) + bytes(23)


def response(
    user: str = "app",
    answer: bytes | None = None,
    plugin: str = NATIVE,
    *,
    password: bytes = b"s3cret",
    database: str = "shop",
    claimed: int = CLAIMED,
    attributes: bytes = b"",
) -> bytes:
    """A handshake response."""
    proof = SCRAMBLES[plugin](password, NONCE) if answer is None else answer
    parts = [introduction(claimed), user.encode(), b"\0", lenenc_bytes(proof)]
    if claimed & CLIENT_CONNECT_WITH_DB:
        parts += [database.encode(), b"\0"]
    if claimed & CLIENT_PLUGIN_AUTH:
        parts += [plugin.encode(), b"\0"]
    if claimed & CLIENT_CONNECT_ATTRS:
        parts.append(lenenc_bytes(attributes))
    return b"".join(parts)


def refusal(login: ClientLogin, said: bytes) -> tuple[int, str, str]:
    """The error that a refused client is told."""
    assert login.state == REFUSED
    with pytest.raises(ProtocolError):
        login.feed(response(), login.sequence)
    return read_error(said[4:])


def denied(using: str, user: str = "app") -> tuple[int, str, str]:
    return 1045, "28000", f"Access denied for user '{user}'@'10.0.0.9' (using password: {using})"


# The greeting


def test_the_greeting() -> None:
    login = ClientLogin(
        ServerFacts("8.0.36", 0, 45, 7), None, 1, NONCE, "h", capabilities=OFFERED | CLIENT_SSL, tls=False,
        secure=False, rsa=None, plugin=SHA2,
    )  # fmt: skip
    assert login.greeting() == bytes.fromhex(
        "4a000000" "0a" "382e302e333600" "01000000" "616263646566676800" "0ba2" "2d" "0200" "3b01"
        "15" "00000000000000000000" "696a6b6c6d6e6f707172737400" "63616368696e675f736861325f70617373776f726400"
    )  # fmt: skip


@pytest.mark.parametrize("tls", [True, False])
def test_tls_is_offered_where_it_can_be_started(tls: bool) -> None:
    assert bool(start(tls=tls).greeting()[26] << 8 & CLIENT_SSL) is tls


@pytest.mark.parametrize("own", [MARIADB_EXTENDED_METADATA, 0])
@pytest.mark.parametrize("long_password", [CLIENT_LONG_PASSWORD, 0])
def test_capabilities_of_mariadbs_own(own: int, long_password: int) -> None:
    facts = ServerFacts("10.11.19-MariaDB", 0, 45, 7)
    login = ClientLogin(
        facts, None, 9, NONCE, "h", capabilities=OFFERED | own, tls=False, secure=False, rsa=None, plugin=NATIVE
    )
    greeting = login.greeting()
    at = greeting.index(NONCE[:8]) + 9
    assert int.from_bytes(greeting[at + 14 : at + 18], "little") == own >> 32
    assert bool(greeting[at] & CLIENT_LONG_PASSWORD) == (not own)
    said = response(claimed=CLAIMED & ~CLIENT_LONG_PASSWORD | long_password)
    login.feed(said[:28] + b"\x1d\0\0\0" + said[32:], 1)
    assert login.state == DONE
    assert login.capabilities >> 32 << 32 == (0 if long_password else own)


def test_mariadb_is_shown_without_its_own_capabilities() -> None:
    greeting = start(version="5.5.5-10.11.19-MariaDB", collation=2304).greeting()
    assert greeting[5:].startswith(b"5.5.5-10.11.19-MariaDB\0")
    fixed = greeting[5 + 23 + 4 + 8 + 1 :]
    assert fixed[0] & CLIENT_LONG_PASSWORD
    assert fixed[2] == 45
    assert fixed[8:18] == bytes(10)


# Real clients' packets, each with a nonce of NONCE: app, s3cret, schema shop.
NATIVE_PROOF = "148510605a5ec0d3d958058636e0a2ebdfcf34be4c"
SHA2_PROOF = "205661ac17cec0e6001d3747b3aaa0d0c1927fdc43c56deeab05d4c42d73b2b642"
NATIVE_NAME = "6d7973716c5f6e61746976655f70617373776f726400"
SHA2_NAME = "63616368696e675f736861325f70617373776f726400"
ZEROS = "00" * 23
USER = "61707000"
SHOP = "73686f7000"
ATTRIBUTES = {
    "PyMySQL 1.2": (
        "350c5f636c69656e745f6e616d650770796d7973716c0f5f636c69656e745f76657273696f6e05312e322e34045f7069640439303137"
    ),
    "libmysqlclient 8.0": (
        "be045f7069640439313236095f706c6174666f726d067838365f36340f5f636c69656e745f76657273696f6e06382e302e3333035f6f"
        "73054c696e75780c5f636c69656e745f6e616d65086c69626d7973716c0c5f736f757263655f686f737402766d125f636f6e6e656374"
        "6f725f76657273696f6e06382e302e3333125f636f6e6e6563746f725f6c6963656e73650747504c2d322e300f5f636f6e6e6563746f"
        "725f6e616d65166d7973716c2d636f6e6e6563746f722d707974686f6e"
    ),
    "libmariadb 3.3": (
        "7e035f6f73054c696e75780c5f636c69656e745f6e616d650a6c69626d617269616462045f70696404393039360f5f636c69656e745f"
        "76657273696f6e06332e332e3230095f706c6174666f726d067838365f36340c70726f6772616d5f6e616d65056d7973716c0c5f7365"
        "727665725f686f7374093132372e302e302e31"
    ),
    "mysql2 (node) 3.24": (
        "310c5f636c69656e745f6e616d650c4e6f64652d4d7953514c2d320f5f636c69656e745f76657273696f6e06332e32342e36"
    ),
    "mariadb (node) 3.5": (
        "fc6a000c5f636c69656e745f6e616d65164d61726961444220636f6e6e6563746f722f4e6f64650f5f636c69656e745f76657273696f"
        "6e05332e352e34035f6f73056c696e75780c5f636c69656e745f686f737402766d0d5f6e6f64655f76657273696f6e0732302e32302e"
        "32"
    ),
}
CLIENTS = {
    "PyMySQL 1.2": "0da23a00ffffff002d",
    "libmysqlclient 8.0": "8da2bf1900000040ff",
    "libmariadb 3.3": "8da2bf000000100021",
    "mysql2 (node) 3.24": "cff3ba0800000000e0",
}
# They answer by mysql_native_password whatever is proposed; the second one knows nothing of plugins.
STUBBORN = {
    "mariadb (node) 3.5": "0aa2be0100000040e0" + ZEROS + USER + NATIVE_PROOF + SHOP + NATIVE_NAME
    + ATTRIBUTES["mariadb (node) 3.5"],
    "mysql (node) 2.18": "cff306000000000021" + ZEROS + USER + NATIVE_PROOF + SHOP,
}  # fmt: skip


@pytest.mark.parametrize("accounts", [BY_PASSWORD, None])
@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_real_clients_packet(client: str, plugin: str, accounts: dict[str, Account] | None) -> None:
    native = plugin == NATIVE
    proof, name = (NATIVE_PROOF, NATIVE_NAME) if native else (SHA2_PROOF, SHA2_NAME)
    text = CLIENTS[client] + ZEROS + USER + proof + SHOP + name + ATTRIBUTES[client]
    login = start(accounts, plugin=plugin)
    said = login.feed(bytes.fromhex(text), 1)
    assert said == (b"" if native else b"\x02\0\0\x02\x01\x03")
    assert (login.state, login.user, login.database) == (DONE, "app", "shop")
    assert login.sequence == (2 if native else 3)
    assert login.collation == int(CLIENTS[client][-2:], 16)
    assert login.attributes["_client_name"].lower()[:3] in ("pym", "lib", "nod")
    assert not login.capabilities & ~(OFFERED | CLAIMED)


@pytest.mark.parametrize("accounts", [BY_PASSWORD, BY_NATIVE_HASH, None])
@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
@pytest.mark.parametrize("client", STUBBORN)
def test_a_client_that_goes_its_own_way(client: str, plugin: str, accounts: dict[str, Account] | None) -> None:
    login = start(accounts, plugin=plugin)
    assert login.feed(bytes.fromhex(STUBBORN[client]), 1) == b""
    assert (login.state, login.user, login.database, login.sequence) == (DONE, "app", "shop", 2)


def test_libmariadb_over_tls() -> None:
    login = start(tls=True)
    assert login.feed(bytes.fromhex("85aabf000000100021" + ZEROS), 1) == b""
    assert login.state == TLS
    with pytest.raises(ProtocolError):
        login.feed(b"\x16\x03\x01", 2)
    login.started_tls()
    assert login.feed(bytes.fromhex("85aabf000000100021" + ZEROS + USER + NATIVE_PROOF + NATIVE_NAME), 2) == b""
    assert (login.state, login.user, login.database, login.sequence) == (DONE, "app", "", 3)
    assert not login.capabilities & CLIENT_SSL


def test_a_response_that_does_not_wait_for_tls_is_refused() -> None:
    with pytest.raises(ProtocolError, match="does not wait for it"):
        start(tls=True).feed(response(claimed=CLAIMED | CLIENT_SSL), 1)


def test_tls_cannot_be_asked_for_where_it_is_not_offered() -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        start().feed(introduction(CLAIMED | CLIENT_SSL), 1)


# Proofs


@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
def test_a_wrong_password(plugin: str) -> None:
    login = start(plugin=plugin)
    assert refusal(login, login.feed(response(plugin=plugin, password=b"wrong"), 1)) == denied("YES")


@pytest.mark.parametrize(
    ("plugin", "answer"), [(NATIVE, b""), (NATIVE, b"x" * 20), (NATIVE, b"x"), (SHA2, b""), (SHA2, b"\0"), (SHA2, b"x")]
)
def test_something_else_than_a_proof(plugin: str, answer: bytes) -> None:
    login = start(plugin=plugin)
    using = "NO" if answer in (b"", b"\0") else "YES"
    assert refusal(login, login.feed(response(answer=answer, plugin=plugin), 1)) == denied(using)


@pytest.mark.parametrize(("plugin", "answer"), [(NATIVE, b""), (SHA2, b""), (SHA2, b"\0")])
def test_an_account_without_a_password(plugin: str, answer: bytes) -> None:
    login = start(plugin=plugin)
    assert login.feed(response("nopw", answer, plugin), 1) == b""
    assert login.state == DONE
    login = start(plugin=plugin)
    said = login.feed(response("nopw", plugin=plugin, password=b"x"), 1)
    assert refusal(login, said) == denied("YES", "nopw")


@pytest.mark.parametrize(
    ("accounts", "proposed", "plugin", "wanted"),
    [
        (BY_NATIVE_HASH, SHA2, SHA2, NATIVE),
        (BY_SHA2_HASH, NATIVE, NATIVE, SHA2),
        (BY_PASSWORD, NATIVE, "sha256_password", NATIVE),
        (BY_PASSWORD, SHA2, "mysql_clear_password", SHA2),
        (BY_SHA2_HASH, NATIVE, "", SHA2),
        (None, NATIVE, "client_ed25519", NATIVE),
        (None, SHA2, "dialog", SHA2),
    ],
)
def test_a_client_is_asked_for_another_plugin(
    accounts: dict[str, Account] | None, proposed: str, plugin: str, wanted: str
) -> None:
    login = start(accounts, plugin=proposed)
    said = login.feed(response(answer=b"?" * 20, plugin=plugin), 1)
    assert said == packet(b"\xfe" + wanted.encode() + b"\0" + NONCE + b"\0", 2)
    assert login.state == MORE
    said = login.feed(SCRAMBLES[wanted](b"s3cret", NONCE), 3)
    assert said == (b"" if wanted == NATIVE else b"\x02\0\0\x04\x01\x03")
    assert (login.state, login.sequence) == (DONE, 4 if wanted == NATIVE else 5)


def test_an_empty_answer_of_another_plugin_is_no_answer() -> None:
    """libmysqlclient with default_auth: it has nothing to say before it is asked by its own plugin."""
    login = start(plugin=SHA2)
    said = login.feed(response(answer=b"", plugin=NATIVE), 1)
    assert said[4:].startswith(b"\xfecaching_sha2_password\0")


def test_a_client_without_plugins_cannot_be_asked_for_another() -> None:
    claimed = CLAIMED & ~(CLIENT_PLUGIN_AUTH | CLIENT_CONNECT_ATTRS)
    login = start(BY_SHA2_HASH)
    number, state, text = refusal(login, login.feed(response(claimed=claimed), 1))
    assert (number, state) == (1251, "08004")
    assert text.startswith("Client does not support authentication protocol requested by server")


# Full authentication: only the native hash is known, and the client does not speak it.


def full(login: ClientLogin) -> None:
    """Get it as far as perform_full_authentication."""
    assert login.feed(response(plugin=SHA2), 1) == b"\x02\0\0\x02\x01\x04"
    assert login.state == MORE


@pytest.mark.parametrize("way", ["unix", "tls"])
@pytest.mark.parametrize(("password", "good"), [(b"s3cret\0", True), (b"s3cret", True), (b"wrong\0", False)])
def test_the_password_in_clear_on_a_private_line(way: str, password: bytes, good: bool) -> None:
    login = start(BY_NATIVE_HASH, plugin=SHA2, secure=way == "unix", tls=way == "tls")
    first = 1
    if way == "tls":
        login.feed(introduction(CLAIMED | CLIENT_SSL), 1)
        login.started_tls()
        first = 2
    assert login.feed(response(plugin=SHA2), first)[3:] == bytes([first + 1, 1, 4])
    said = login.feed(password, first + 2)
    if good:
        assert (said, login.state, login.sequence) == (b"", DONE, first + 3)
    else:
        assert refusal(login, said) == denied("YES")


@pytest.mark.parametrize(("password", "good"), [(b"s3cret", True), (b"wrong", False)])
@pytest.mark.parametrize("asks", [True, False])
def test_the_password_by_rsa(asks: bool, password: bytes, good: bool) -> None:
    login = start(BY_NATIVE_HASH, plugin=SHA2, rsa=KEY)
    full(login)
    pem = KEY.pem()
    if asks:
        said = login.feed(b"\x02", 3)
        assert said == packet(b"\x01" + pem, 4)
    said = login.feed(encrypt_password(password, NONCE, pem), 5 if asks else 3)
    if good:
        assert (said, login.state, login.sequence) == (b"", DONE, 6 if asks else 4)
    else:
        assert refusal(login, said) == denied("YES")


@pytest.mark.parametrize("secret", [b"s3cret\0", b"", b"\0", bytes(256)])
def test_no_clear_password_on_an_open_line(secret: bytes) -> None:
    login = start(BY_NATIVE_HASH, plugin=SHA2, rsa=KEY)
    full(login)
    assert refusal(login, login.feed(secret, 3)) == denied("YES")


def test_a_client_may_take_a_private_line_for_an_open_one() -> None:
    login = start(BY_NATIVE_HASH, plugin=SHA2, secure=True, rsa=KEY)
    full(login)
    said = login.feed(b"\x02", 3)
    login.feed(encrypt_password(b"s3cret", NONCE, said[5:]), 5)
    assert login.state == DONE


def test_there_is_no_key_to_ask_for() -> None:
    login = start(BY_NATIVE_HASH, plugin=SHA2, secure=True)
    full(login)
    assert refusal(login, login.feed(b"\x02", 3)) == denied("YES")


def test_rsa_is_not_asked_of_those_who_were_proposed_another_plugin() -> None:
    login = start(BY_NATIVE_HASH, plugin=NATIVE, rsa=KEY)
    assert login.feed(response(plugin=SHA2), 1)[4:].startswith(b"\xfemysql_native_password\0")


# Nobody learns which users there are


@pytest.mark.parametrize("accounts", [BY_PASSWORD, BY_NATIVE_HASH, BY_SHA2_HASH])
@pytest.mark.parametrize("proposed", [NATIVE, SHA2])
@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
@pytest.mark.parametrize("secure", [True, False])
def test_an_unknown_user_is_treated_as_a_wrong_password(
    accounts: dict[str, Account], proposed: str, plugin: str, secure: bool
) -> None:
    only = {"app": accounts["app"]}
    known = conversation(start(only, plugin=proposed, secure=secure), "app", plugin)
    unknown = conversation(start(only, plugin=proposed, secure=secure), "eve", plugin)
    assert [said.replace(b"eve", b"app") for said in unknown] == known


def conversation(login: ClientLogin, user: str, plugin: str) -> list[bytes]:
    """All that a client with a wrong password is told."""
    told = [login.feed(response(user, plugin=plugin, password=b"wrong"), 1)]
    while login.state == MORE:
        switched = told[-1][4] == 0xFE
        wanted = told[-1][5:].partition(b"\0")[0].decode() if switched else ""
        told.append(login.feed(SCRAMBLES[wanted](b"wrong", NONCE) if switched else b"wrong\0", login.sequence))
    assert login.state == REFUSED
    return told


def test_without_accounts_whoever_comes_is_let_in() -> None:
    for user in ("", "anybody", "äöü"):
        for plugin in (NATIVE, SHA2):
            for answer in (b"", b"\0", b"nonsense"):
                login = start(None, plugin=plugin)
                said = login.feed(response(user, answer, plugin), 1)
                fast = plugin == SHA2 and answer == b"nonsense"
                assert said == (b"\x02\0\0\x02\x01\x03" if fast else b"")
                assert (login.state, login.user) == (DONE, user)


# Bad manners


@pytest.mark.parametrize("sequence", [0, 2, 255])
def test_a_packet_out_of_order(sequence: int) -> None:
    login = start()
    said = login.feed(response(), sequence)
    assert said[3] == sequence + 1 & 255
    assert refusal(login, said) == (1156, "08S01", "Got packets out of order")


@pytest.mark.parametrize(
    ("claimed", "kind"),
    [(0, (1043, "08S01")), (CLIENT_SECURE_CONNECTION, (1043, "08S01")), (CLIENT_PROTOCOL_41, (1251, "08004"))],
)
def test_clients_from_before_4_1(claimed: int, kind: tuple[int, str]) -> None:
    login = start(None)
    assert refusal(login, login.feed(introduction(claimed) + b"app\0\0", 1))[:2] == kind


@pytest.mark.parametrize("payload", [response("a" * 385), response(database="a" * 385), bytes(MAX_LOGIN + 1)])
def test_names_and_packets_have_an_end(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="too long"):
        start(None).feed(payload, 1)


def test_no_more_attributes_are_kept_than_shown() -> None:
    pairs = b"".join([lenenc_bytes(b"name%d" % i) + lenenc_bytes(b"v" * 95) for i in range(100)])
    login = start(None)
    login.feed(response(attributes=pairs + lenenc_bytes(b"\xff") + lenenc_bytes(b"")), 1)
    assert login.state == DONE
    assert sum(len(name) + len(value) for name, value in login.attributes.items()) <= MAX_ATTRIBUTES
    assert len(login.attributes) == 10


@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
def test_what_is_announced_and_left_out_at_the_end(plugin: str) -> None:
    """The plugin's name and the attributes; the rest of a packet has to be there."""
    whole = response(answer=SCRAMBLES[plugin](b"s3cret", NONCE), plugin=plugin)
    needed = len(whole) - len(plugin) - 2
    for cut in range(len(whole)):
        login = start(plugin=plugin)
        try:
            login.feed(whole[:cut], 1)
        except ProtocolError:
            assert cut < needed or needed < cut < len(whole) - 1
        else:
            assert cut >= needed or login.state == REFUSED


@given(st.binary(max_size=200))
def test_any_packet(payload: bytes) -> None:
    for head in (b"", introduction()):
        login = start(plugin=SHA2)
        try:
            login.feed(head + payload, 1)
        except ProtocolError:
            continue
        assert login.state in (MORE, REFUSED)


@given(st.data())
def test_a_packet_with_a_flaw_lets_nobody_in(data: st.DataObject) -> None:
    whole = bytearray(response(attributes=lenenc_bytes(b"_os") + lenenc_bytes(b"Linux"), password=b"wrong"))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    login = start({"app": BY_PASSWORD["app"]}, secure=True, rsa=KEY)
    try:
        login.feed(bytes(whole), 1)
        while login.state == MORE:
            login.feed(data.draw(st.binary(max_size=40)), login.sequence)
    except ProtocolError:
        return
    assert login.state == REFUSED


# COM_CHANGE_USER


def change(user: str = "nopw", answer: bytes = b"", plugin: str = NATIVE, *, database: str = "other") -> bytes:
    return (
        b"\x11" + user.encode() + b"\0" + bytes([len(answer)]) + answer + database.encode() + b"\0"
        + (224).to_bytes(2, "little") + plugin.encode() + b"\0" + lenenc_bytes(lenenc_bytes(b"a") + lenenc_bytes(b"b"))
    )  # fmt: skip


@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
def test_another_user_is_asked_again(plugin: str) -> None:
    login = start(plugin=plugin)
    login.feed(response(plugin=plugin), 1)
    said = login.change_user(change("app", SCRAMBLES[plugin](b"s3cret", NONCE), plugin), FRESH)
    assert said == packet(b"\xfe" + plugin.encode() + b"\0" + FRESH + b"\0", 1)
    assert login.state == MORE
    login.feed(SCRAMBLES[plugin](b"s3cret", FRESH), 2)
    assert (login.state, login.user, login.database, login.collation) == (DONE, "app", "other", 224)
    assert login.attributes == {"a": "b"}
    assert login.sequence == (3 if plugin == NATIVE else 4)


def test_an_answer_to_the_old_nonce_is_none() -> None:
    login = start()
    login.feed(response(), 1)
    login.change_user(change("app"), FRESH)
    assert refusal(login, login.feed(scramble_native(b"s3cret", NONCE), 2)) == denied("YES")


def test_it_can_be_done_again_and_again() -> None:
    login = start(plugin=SHA2)
    login.feed(response(plugin=SHA2), 1)
    for user, password in [("nopw", b""), ("app", b"s3cret"), ("nopw", b"")]:
        login.change_user(change(user, plugin=SHA2), FRESH)
        login.feed(scramble_sha2(password, FRESH), 2)
        assert (login.state, login.user) == (DONE, user)


def test_a_client_without_plugins_answers_to_the_nonce_it_has() -> None:
    claimed = CLAIMED & ~(CLIENT_PLUGIN_AUTH | CLIENT_CONNECT_ATTRS)
    for user, good in [("app", True), ("eve", False)]:
        login = start()
        login.feed(response(claimed=claimed), 1)
        body = change(user, scramble_native(b"s3cret", NONCE))
        said = login.change_user(body[: body.index(b"other") + 6], FRESH)
        assert login.collation == 45
        if good:
            assert (said, login.state, login.sequence) == (b"", DONE, 1)
        else:
            assert refusal(login, said) == denied("YES", "eve")


def test_mysqlnds_packets() -> None:
    login = start()
    login.feed(response(), 1)
    login.change_user(
        bytes.fromhex(
            "1161707000" + NATIVE_PROOF + "6f7468657200" "2d00" + NATIVE_NAME
            + "2c0c5f636c69656e745f6e616d65076d7973716c6e640c5f7365727665725f686f7374093132372e302e302e31"
        ),
        bytes.fromhex("6e65336634236f727940546c26735f58585f5d46"),
    )  # fmt: skip
    assert login.feed(bytes.fromhex("24c64f6b8b5501f0d2f4dec0d3295faa14dea42f"), 2) == b""
    assert (login.state, login.database, login.collation, login.sequence) == (DONE, "other", 45, 3)
    assert login.attributes == {"_client_name": "mysqlnd", "_server_host": "127.0.0.1"}


@pytest.mark.parametrize("payload", [b"\x11", b"\x11app\0", b"\x11app\0\x14short", b"\x11app\0\0shop"])
def test_a_malformed_change(payload: bytes) -> None:
    login = start()
    login.feed(response(), 1)
    with pytest.raises(ProtocolError, match="malformed"):
        login.change_user(payload, FRESH)
    assert login.state != DONE


# PyMySQL


def serve(login: ClientLogin, line: socket.socket) -> str:
    """Greet, log in, answer every SELECT with 42 until it quits; returns who came."""
    with line, line.makefile("rb") as packets:
        line.sendall(login.greeting())
        while login.state == MORE:
            header = packets.read(4)
            line.sendall(login.feed(packets.read(int.from_bytes(header[:3], "little")), header[3]))
        if login.state == REFUSED:
            return ""
        line.sendall(ok(login.sequence, 2))
        while True:
            body = packets.read(int.from_bytes(packets.read(4)[:3], "little"))
            if body[0] == COM_QUIT:
                return login.user
            select = body[0] == COM_QUERY and body[1:].startswith(b"SELECT")
            line.sendall(one_number(b"answer", 42, login.capabilities, 2) if select else ok(1, 2))


def connect(login: ClientLogin, user: str, password: str) -> tuple[str, object]:
    """Who PyMySQL was for the gateway, and what it got of a SELECT."""
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    with ThreadPoolExecutor(1) as pool:
        came = pool.submit(serve, login, ours)
        connection = pymysql.Connection(user=user, password=password, database="shop", defer_connect=True)
        with theirs:
            connection.connect(theirs)
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT answer")
                rows = cursor.fetchall()
        return came.result(10), rows


@pytest.mark.parametrize("accounts", [BY_PASSWORD, BY_NATIVE_HASH, BY_SHA2_HASH, None])
@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
@pytest.mark.parametrize("rsa", [None, KEY])
def test_pymysql_logs_in(accounts: dict[str, Account] | None, plugin: str, rsa: RsaKey | None) -> None:
    assert connect(start(accounts, plugin=plugin, rsa=rsa), "app", "s3cret") == ("app", ((42,),))


@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
def test_pymysql_without_a_password(plugin: str) -> None:
    assert connect(start(plugin=plugin), "nopw", "") == ("nopw", ((42,),))


@pytest.mark.parametrize(
    ("user", "password", "using"), [("app", "wrong", "YES"), ("app", "", "NO"), ("eve", "x", "YES")]
)
def test_pymysql_is_refused(user: str, password: str, using: str) -> None:
    with pytest.raises(pymysql.OperationalError) as refused:
        connect(start(plugin=SHA2), user, password)
    assert refused.value.args == (1045, denied(using, user)[2])
