"""What all sessions of a service share: it is bounded, and forgets."""

from __future__ import annotations

from mysql_playbook import MYSQL, make_protocol, query
from protocols.mysql.constants import CLIENT_FOUND_ROWS, CLIENT_INTERACTIVE, CLIENT_MULTI_STATEMENTS
from protocols.mysql.shared import SCHEMA_TTL, TRACKERS
from protocols.mysql.tag import Tag

MANY = 3000


def test_equal_tags_become_one_object() -> None:
    shared = make_protocol().shared
    one = shared.one(Tag(0, False, b"shop", {"a": b"1"}))
    assert shared.one(Tag(0, False, b"shop", {"a": b"1"})) is one
    for i in range(MANY):
        shared.one(Tag(0, False, b"shop", {"a": b"%d" % i}))
    assert len(shared._tags) <= 1024


def test_a_schema_counts_as_there_for_a_while() -> None:
    shared = make_protocol().shared
    assert not shared.knows_schema(b"shop", 100.0)
    shared.learn_schema(b"shop", 100.0)
    assert shared.knows_schema(b"shop", 100.0 + SCHEMA_TTL - 0.1)
    assert not shared.knows_schema(b"shop", 100.0 + SCHEMA_TTL)
    for i in range(MANY):
        shared.learn_schema(b"%d" % i, 100.0)
    assert len(shared.schemas) <= 1024
    assert not shared.knows_schema(b"shop", 100.0)


def test_effects_are_bounded_and_the_oldest_go() -> None:
    shared = make_protocol().shared
    for i in range(MANY):
        shared.learn_effect(b"SET a=%d" % i, {"a": b"%d" % i})
    assert len(shared.effects) <= 1024
    assert b"SET a=%d" % (MANY - 1) in shared.effects
    assert b"SET a=0" not in shared.effects


def test_a_login_gives_the_same_tag_each_time() -> None:
    shared = make_protocol().shared
    first = shared.login_tag(CLIENT_FOUND_ROWS, b"shop", 8)
    assert shared.login_tag(CLIENT_FOUND_ROWS | CLIENT_INTERACTIVE, b"shop", 8) is first
    assert first.settings["character_set_client"] == b"latin1"
    for flags, schema, collation in ((0, b"shop", 8), (CLIENT_FOUND_ROWS, b"", 8), (CLIENT_FOUND_ROWS, b"shop", 45)):
        assert shared.login_tag(flags, schema, collation) != first
    assert shared.login_tag(CLIENT_MULTI_STATEMENTS, b"", 45).multi_statements
    for i in range(MANY):
        shared.login_tag(0, b"%d" % i, 45)
    assert len(shared._login_tags) <= 1024


def test_a_collation_that_nobody_knows_is_utf8mb4() -> None:
    shared = make_protocol().shared
    assert shared.charset(0) == shared.charset(45) == shared.base_settings()


def test_trackers_are_asked_for_where_there_are_any() -> None:
    assert make_protocol(tracks=True).shared.setup()[0] == query(TRACKERS)
    assert len(make_protocol(tracks=False).shared.setup()) == 1


def test_only_mysql_is_trusted_to_report_all() -> None:
    assert make_protocol(facts=MYSQL).shared.trusts_trackers()
    assert not make_protocol(facts=MYSQL, tracks=False).shared.trusts_trackers()
    assert not make_protocol().shared.trusts_trackers()
    protocol = make_protocol()
    protocol.shared.facts = None
    assert not protocol.shared.trusts_trackers()
