"""What a connection is set to, and the commands that bring it from there to where it is wanted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mysql_playbook import query
from protocols.mysql.collations import collation_by_number
from protocols.mysql.constants import (
    CLIENT_DEPRECATE_EOF,
    CLIENT_FOUND_ROWS,
    CLIENT_INTERACTIVE,
    CLIENT_SESSION_TRACK,
    COM_INIT_DB,
    COM_SET_OPTION,
)
from protocols.mysql.packets import command
from protocols.mysql.tag import FIXED, WITH_SCHEMA, Tag, assign, changes, charset_settings, sql_text

PLAIN = Tag(0, False, b"", {})
NAMES = st.sampled_from(["sql_mode", "time_zone", "autocommit", "wait_timeout"])
TAGS = st.builds(
    Tag,
    st.just(CLIENT_FOUND_ROWS),
    st.booleans(),
    st.sampled_from([b"shop", b"other"]),
    st.dictionaries(NAMES, st.sampled_from([b"0", b"1", b"'a'"])),
)


def test_equal_tags_are_equal_whatever_order_they_were_set_in() -> None:
    one = Tag(0, False, b"shop", {"a": b"1", "b": b"2"})
    two = Tag(0, False, b"shop", {"b": b"2", "a": b"1"})
    assert (one == two, hash(one) == hash(two), one != PLAIN, one == "shop") == (True, True, True, False)


@pytest.mark.parametrize(
    "other",
    [
        Tag(CLIENT_FOUND_ROWS, False, b"shop", {"a": b"1"}),
        Tag(0, True, b"shop", {"a": b"1"}),
        Tag(0, False, b"other", {"a": b"1"}),
        Tag(0, False, b"shop", {"a": b"2"}),
        Tag(0, False, b"shop", {}),
        Tag(0, False, b"", {"a": b"1"}),
    ],
)
def test_every_part_counts(other: Tag) -> None:
    assert Tag(0, False, b"shop", {"a": b"1"}) != other


def test_a_kind_is_what_no_command_changes() -> None:
    assert Tag(CLIENT_INTERACTIVE | CLIENT_SESSION_TRACK, True, b"", {"a": b"1"}).kind == 0
    fixed = CLIENT_FOUND_ROWS | CLIENT_DEPRECATE_EOF
    assert Tag(fixed, False, b"", {}).kind == fixed
    assert PLAIN.with_schema(b"shop").kind == WITH_SCHEMA
    assert PLAIN.with_schema(b"shop").with_schema(b"").kind == 0
    assert WITH_SCHEMA & FIXED == 0


def test_settings_are_changed_and_given_up() -> None:
    tag = PLAIN.with_settings({"a": b"1", "b": b"2"}).with_settings({"a": b"", "c": b"3"})
    assert tag.settings == {"b": b"2", "c": b"3"}
    assert PLAIN.settings == {}
    assert tag.with_multi_statements(True).multi_statements
    assert "c=3" in repr(tag)
    assert repr(PLAIN) == "no schema"


def test_commands_for_each_difference() -> None:
    have = Tag(0, False, b"shop", {"a": b"1", "b": b"2"})
    assert changes(have, have) == []
    assert changes(have, have.with_schema(b"other")) == [command(COM_INIT_DB, b"other")]
    assert changes(have, have.with_multi_statements(True)) == [command(COM_SET_OPTION, b"\0\0")]
    assert changes(have.with_multi_statements(True), have) == [command(COM_SET_OPTION, b"\1\0")]
    assert changes(have, have.with_settings({"a": b"", "c": b"3", "b": b"4"})) == [query("SET a=DEFAULT,b=4,c=3")]


@given(TAGS, TAGS)
def test_there_and_back(have: Tag, want: Tag) -> None:
    """What the commands do, played on a dictionary, is what was wanted."""
    settings, schema, multi = dict(have.settings), have.schema, have.multi_statements
    for said in changes(have, want):
        word, body = said[4], said[5:]
        if word == COM_INIT_DB:
            schema = body
        elif word == COM_SET_OPTION:
            multi = body == b"\0\0"
        else:
            for part in body.removeprefix(b"SET ").decode().split(","):
                name, _, value = part.partition("=")
                settings[name] = value.encode()
                if value == "DEFAULT":
                    del settings[name]
    assert Tag(want.kind, multi, schema, settings) == want
    assert len(changes(have, want)) <= 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"5", b"5"),
        (b"-5", b"-5"),
        (b"0.5", b"0.5"),
        (b"", b"''"),
        (b"ANSI,STRICT_ALL_TABLES", b"'ANSI,STRICT_ALL_TABLES'"),
        (b"it's", b"'it''s'"),
        (b"\xff", b"'\xff'"),
        (b"a\\b", None),
        (b"a\0b", None),
        (b"x" * 1025, None),
        (b"1e5", b"'1e5'"),
        (b"1" * 30, b"'" + b"1" * 30 + b"'"),
    ],
)
def test_values_as_text(value: bytes, text: bytes | None) -> None:
    assert sql_text(value) == text


def test_a_charset_sets_four_variables() -> None:
    found = collation_by_number(8, True)
    assert found is not None
    settings = charset_settings(found)
    assert (len(settings), settings["collation_connection"]) == (4, b"latin1_swedish_ci")
    assert assign(settings) == b"SET NAMES latin1 COLLATE latin1_swedish_ci"
