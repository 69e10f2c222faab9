"""MySQL as one service speaks it: what makes connections, sessions and the gateway's own commands."""

from __future__ import annotations

import pytest

from mysql_playbook import MARIADB, MYSQL, Conversation, failed, make_protocol, okay, query
from protocols.call import Verb
from protocols.codec import ALLOWED, IMPOSSIBLE, RESTRICTED, ServerCodec
from protocols.fault import NO_ENDPOINT, Fault
from protocols.mysql.constants import CLIENT_DEPRECATE_EOF, CLIENT_FOUND_ROWS, CLIENT_SESSION_TRACK, COM_PING
from protocols.mysql.login import MysqlLogin, ServerFacts
from protocols.mysql.packets import command, packet, read_error
from protocols.mysql.protocol import MysqlProtocol
from protocols.mysql.server import MysqlServer
from protocols.mysql.shared import TRACKERS
from protocols.mysql.tag import WITH_SCHEMA, Tag, assign
from protocols.mysql.upstream import MysqlUpstream
from protocols.mysql.verbs import BY_NAME, NEVER, VERBS


def greeting(facts: ServerFacts = MARIADB) -> bytes:
    offered = facts.capabilities.to_bytes(4, "little")
    parts = [
        b"\x0a",
        facts.version.encode(),
        b"\0",
        (77).to_bytes(4, "little"),
        b"12345678\0",
        offered[:2],
        b"\x2d\2\0",
    ]
    parts += [offered[2:], b"\x15", bytes(10), b"123456789012\0", b"mysql_native_password\0"]
    return packet(b"".join(parts), 0)


def logged_in(protocol: MysqlProtocol, tag: Tag, *, tracks: bool = True) -> tuple[MysqlUpstream, list[bytes]]:
    """A connection behind its login, and what that said."""
    login = protocol.login(tag)
    assert isinstance(login, MysqlLogin)
    said = [login.feed(greeting()) or b"", login.feed(packet(b"\0\0\0\2\0\0\0", 2)) or b""]
    said.append(login.feed(okay(state=b"\0\4\1a\1b") if tracks else failed(1193)) or b"")
    assert login.feed(okay()) is None
    upstream = protocol.upstream()
    assert isinstance(upstream, MysqlUpstream)
    upstream.opened(login)
    return upstream, said


def test_a_connection_asks_for_its_kind_for_trackers_and_for_the_base_settings() -> None:
    protocol = make_protocol()
    tag = protocol.fresh_tag(CLIENT_FOUND_ROWS | CLIENT_DEPRECATE_EOF | WITH_SCHEMA)
    assert isinstance(tag, Tag)
    upstream, said = logged_in(protocol, tag)
    asked = int.from_bytes(said[0][4:8], "little")
    assert asked & CLIENT_FOUND_ROWS
    assert asked & CLIENT_SESSION_TRACK
    assert said[1:] == [query(TRACKERS), query(assign(protocol.shared.base_settings()))]
    assert (upstream.thread_id, upstream.deprecates_eof, upstream.tracked) == (77, True, True)


def test_what_was_learned_of_the_server() -> None:
    protocol = make_protocol()
    protocol.shared.facts = None
    assert not protocol.is_ready()
    assert protocol.stats(0.0)["server"] == {"version": None, "session_trackers": True}
    upstream, _ = logged_in(protocol, protocol.shared.fresh, tracks=False)
    assert protocol.is_ready()
    assert protocol.stats(0.0)["server"] == {"version": MARIADB.version, "session_trackers": False}
    assert not upstream.tracked


def test_kinds() -> None:
    protocol = make_protocol()
    tag = Tag(CLIENT_FOUND_ROWS, False, b"shop", {})
    assert protocol.kind_of(tag) == CLIENT_FOUND_ROWS | WITH_SCHEMA
    fresh = protocol.fresh_tag(tag.kind)
    assert isinstance(fresh, Tag)
    assert fresh.schema == b""
    assert fresh is protocol.fresh_tag(CLIENT_FOUND_ROWS)


def test_a_connection_of_another_kind_of_tag_is_never_brought_there() -> None:
    """A schema can be chosen, but not given up: the kind says so."""
    protocol = make_protocol()
    have, want = Tag(0, False, b"", {}), Tag(0, False, b"shop", {"a": b"1"})
    assert len(protocol.prelude(have, want)) == 2
    assert protocol.kind_of(have) != protocol.kind_of(want)


def test_sessions_are_known_by_their_ids() -> None:
    protocol = make_protocol()
    session = protocol.server(9, "10.0.0.9:5000", "127.0.0.1:3306", True, 0.0)
    assert isinstance(session, MysqlServer)
    assert protocol.shared.sessions == {9: session}
    protocol.left(9)
    protocol.left(9)
    assert protocol.shared.sessions == {}


@pytest.mark.parametrize(
    ("peer", "host"),
    [("10.0.0.9:5000", "10.0.0.9"), ("[::1]:5000", "::1"), ("unix:0", "localhost"), (":0", "localhost")],
)
def test_where_a_client_comes_from(peer: str, host: str) -> None:
    session = make_protocol().server(9, peer, "127.0.0.1:3306", False, 0.0)
    assert isinstance(session, MysqlServer)
    assert session._host == host
    assert session._secure == (host == "localhost")


def test_commands_of_the_gateways_own() -> None:
    protocol = make_protocol()
    upstream, _ = logged_in(protocol, protocol.shared.fresh)
    assert protocol.noop() == command(COM_PING)
    assert protocol.interrupt(upstream) == query("KILL QUERY 77")
    assert protocol.explain(failed(1045, "Access denied")) == "Access denied (1045)"


def test_what_a_client_is_told_in_the_place_of_a_greeting() -> None:
    protocol = make_protocol()
    said = protocol.unavailable(Fault(NO_ENDPOINT, "db", "upstream down"))
    assert (said[3], read_error(said[4:])) == (0, (2003, "", "poolgate: db: upstream down"))
    assert read_error(protocol.too_many()[4:]) == (1040, "", "Too many connections")


def test_who_may_use_a_verb() -> None:
    protocol = make_protocol()
    assert protocol.standing(BY_NAME["SELECT"]) == ALLOWED
    assert {verb.name for verb in VERBS if protocol.standing(verb) == IMPOSSIBLE} == set(NEVER)
    assert protocol.standing(BY_NAME["SHUTDOWN"]) == RESTRICTED
    local: list[Verb] = [verb for verb in VERBS if protocol.is_local(verb)]
    assert {verb.name for verb in local} == {"LOGIN", "PING", "QUIT"}


def test_an_upstream_codec_is_adopted_by_sessions_of_ours_only() -> None:
    upstream = make_protocol(facts=MYSQL).upstream()
    upstream.adopt(Conversation().codec)
    upstream.adopt(None)
    with pytest.raises(AssertionError):
        upstream.adopt(ServerCodec())
