"""Where the replies of a server end, what they say about the connection, and what of them is changed on the way."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mysql_playbook import (
    RELAY_FROM,
    Conversation,
    column,
    ended,
    failed,
    make_protocol,
    okay,
    prepared,
    query,
    split_at_every_offset,
    table,
    text_row,
    tracked,
)
from protocols.call import APP_ERROR, FATAL, OK, RETRYABLE, Call, Receiver
from protocols.codec import DONE, MORE, ServerCodec
from protocols.errors import ProtocolError
from protocols.mysql.constants import (
    CLIENT_DEPRECATE_EOF,
    CLIENT_SESSION_TRACK,
    COM_STMT_PREPARE,
    SERVER_MORE_RESULTS_EXISTS,
    SERVER_PS_OUT_PARAMS,
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_CURSOR_EXISTS,
    SERVER_STATUS_LAST_ROW_SENT,
)
from protocols.mysql.packets import MAX_PAYLOAD, command, lenenc_bytes, packet
from protocols.mysql.upstream import ANY, MAX_CONTROL, ONE_PACKET, PREPARE, ROWS_ONLY, MysqlUpstream, Owner
from protocols.mysql.verbs import VERBS

MORE_RESULTS = SERVER_STATUS_AUTOCOMMIT | SERVER_MORE_RESULTS_EXISTS
CURSOR = SERVER_STATUS_AUTOCOMMIT | SERVER_STATUS_CURSOR_EXISTS
FORMS = pytest.mark.parametrize("deprecated", [False, True], ids=["eof", "deprecated"])


class Listener(Owner):
    """A session that writes down what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def replied(self, status: int, affected: int, insert_id: int, warnings: int, rows: int) -> None:
        self.heard.append(f"{status:#x}: {affected} affected, id {insert_id}, {warnings} warnings, {rows} rows")

    def errored(self, number: int) -> None:
        self.heard.append(f"error {number}")

    def prepared(self, upstream_id: int, parameters: int) -> int:
        self.heard.append(f"prepared {upstream_id} with {parameters}")
        return 1000 + upstream_id

    def variable(self, name: str, value: bytes) -> None:
        self.heard.append(f"{name}={value.decode()}")

    def schema_changed(self, schema: bytes) -> None:
        self.heard.append(f"schema {schema.decode()}")

    def state_changed(self) -> None:
        self.heard.append("changed")

    def file_wanted(self) -> None:
        self.heard.append("file")


def new_call(shape: int = ANY, replies: int = 1) -> Call:
    call = Call(VERBS[0], replies, b"", 0.0)
    call.shape = shape
    call.barrier = call.observed = True
    call.receiver = Receiver()
    return call


def new_upstream(*, deprecated: bool = False) -> tuple[MysqlUpstream, Listener]:
    upstream, owner = MysqlUpstream(8, lambda facts, tracked: None), Listener()
    upstream.deprecates_eof = deprecated
    upstream.adopt(owner)
    return upstream, owner


def scanned(parts: list[bytes], call: Call, *, deprecated: bool = False) -> tuple[int, list[str]]:
    """Where the call's replies end, and what its session hears, if a connection feeds it."""
    upstream, owner = new_upstream(deprecated=deprecated)
    tail, resume, before = b"", 0, 0
    for part in parts:
        data = tail + part
        found = upstream.scan(data, 0, resume, call)
        if found == DONE:
            return before + int(upstream.end), owner.heard
        assert found == MORE
        assert 0 <= upstream.end <= upstream.reached <= len(data)
        at = int(upstream.reached)
        before, tail, resume = before + at, data[at:], 0
    return -1, owner.heard


def everywhere(data: bytes, shape: int = ANY, *, deprecated: bool = False) -> list[str]:
    """What the session hears, which must not depend on how the bytes come; the reply must end where they do."""
    behind = okay()
    end, heard = scanned([data + behind], new_call(shape), deprecated=deprecated)
    assert end == len(data)
    assert scanned([data[i : i + 1] for i in range(len(data))], new_call(shape), deprecated=deprecated) == (end, heard)
    for parts in split_at_every_offset(data):
        assert scanned(list(parts), new_call(shape), deprecated=deprecated) == (end, heard)
    return heard


# Replies and their ends


def test_ok() -> None:
    assert everywhere(okay(affected=3, insert_id=7, warnings=1)) == ["0x2: 3 affected, id 7, 1 warnings, 0 rows"]
    assert everywhere(okay(affected=300, insert_id=1 << 40)) == [f"0x2: 300 affected, id {1 << 40}, 0 warnings, 0 rows"]
    told = okay(info=b"Records: 1  Duplicates: 0  Warnings: 0", affected=1)
    assert everywhere(told) == ["0x2: 1 affected, id 0, 0 warnings, 0 rows"]


def test_an_error() -> None:
    assert everywhere(failed(1146, "Table 'shop.t' doesn't exist")) == ["error 1146"]


@FORMS
def test_rows(deprecated: bool) -> None:
    rows = [text_row(b"a", None), text_row(None, b""), text_row(b"", b"\xff"), text_row(b"\xfe" * 300, b"\xfb")]
    data = table(2, rows, warnings=1, deprecated=deprecated)
    assert everywhere(data, deprecated=deprecated) == ["0x2: 0 affected, id 0, 1 warnings, 4 rows"]
    assert everywhere(table(1, [], deprecated=deprecated), deprecated=deprecated)[0].endswith("0 rows")


@FORMS
def test_rows_as_binary(deprecated: bool) -> None:
    rows = [b"\0\0" + bytes([first]) + b"\xff\xfe\xfb" for first in (0x00, 0xFB, 0xFE, 0xFF)]
    assert everywhere(table(1, rows, deprecated=deprecated), deprecated=deprecated)[0].endswith("4 rows")


@FORMS
def test_more_columns_than_one_byte_tells(deprecated: bool) -> None:
    data = table(300, [text_row(*[b"x"] * 300)], deprecated=deprecated)
    assert scanned([data + okay()], new_call(), deprecated=deprecated)[0] == len(data)


@FORMS
def test_an_error_in_mid_result(deprecated: bool) -> None:
    data = table(1, [text_row(b"a")], deprecated=deprecated)
    data = data[: -len(ended(0, deprecated=deprecated))] + failed(1317, "Query execution was interrupted", 9)
    assert everywhere(data, deprecated=deprecated) == ["error 1317"]


def test_an_error_in_the_place_of_the_end_of_definitions() -> None:
    data = packet(b"\1", 1) + packet(column(), 2) + failed(1028, "Sort aborted", 3)
    assert everywhere(data) == ["error 1028"]


@FORMS
def test_several_results(deprecated: bool) -> None:
    data = table(1, [text_row(b"1")], status=MORE_RESULTS, deprecated=deprecated)
    data += okay(5, status=MORE_RESULTS, affected=2)
    data += table(2, [text_row(b"1", b"2")] * 2, sequence=6, deprecated=deprecated)
    assert everywhere(data, deprecated=deprecated) == [
        "0xa: 0 affected, id 0, 0 warnings, 1 rows",
        "0xa: 2 affected, id 0, 0 warnings, 0 rows",
        "0x2: 0 affected, id 0, 0 warnings, 2 rows",
    ]


def test_several_results_that_end_with_an_error() -> None:
    assert everywhere(okay(status=MORE_RESULTS) + failed(1064, sequence=2))[-1] == "error 1064"


@FORMS
def test_what_a_procedure_gives_back(deprecated: bool) -> None:
    """Rows, the values of its parameters as a result of their own, and an OK."""
    data = table(1, [b"\0\0\1"], status=MORE_RESULTS, deprecated=deprecated)
    out = MORE_RESULTS | SERVER_PS_OUT_PARAMS
    data += table(1, [b"\0\0\2"], sequence=7, status=out, deprecated=deprecated) + okay(13)
    assert len(everywhere(data, deprecated=deprecated)) == 3


@FORMS
def test_a_cursor(deprecated: bool) -> None:
    """Rows come by COM_STMT_FETCH: behind the definitions stands one packet that says so."""
    data = packet(b"\1", 1) + packet(column(), 2) + ended(3, status=CURSOR, deprecated=deprecated)
    assert everywhere(data, deprecated=deprecated) == ["0x42: 0 affected, id 0, 0 warnings, 0 rows"]


@FORMS
def test_fetched_rows(deprecated: bool) -> None:
    rows = b"".join(packet(b"\0\0" + bytes([i]), i) for i in range(1, 4))
    for flag in (SERVER_STATUS_CURSOR_EXISTS, SERVER_STATUS_LAST_ROW_SENT):
        data = rows + ended(4, status=SERVER_STATUS_AUTOCOMMIT | flag, deprecated=deprecated)
        assert everywhere(data, ROWS_ONLY, deprecated=deprecated)[0].endswith("3 rows")
    assert everywhere(failed(1243), ROWS_ONLY, deprecated=deprecated) == ["error 1243"]


@FORMS
def test_a_list_of_fields(deprecated: bool) -> None:
    data = packet(column("a") + b"\xfb", 1) + packet(column("b") + b"\x01x", 2) + ended(3, deprecated=deprecated)
    assert len(everywhere(data, ROWS_ONLY, deprecated=deprecated)) == 1


def test_statistics_are_a_packet_of_text() -> None:
    for text in (b"Uptime: 5", b"\0\1\2", b"\xfe"):
        assert everywhere(packet(text, 1), ONE_PACKET) == []
    assert everywhere(failed(), ONE_PACKET) == ["error 1064"]


@FORMS
@pytest.mark.parametrize(("parameters", "columns"), [(0, 0), (2, 0), (0, 3), (2, 3)])
def test_a_prepared_statement(parameters: int, columns: int, deprecated: bool) -> None:
    data = prepared(9, parameters, columns, deprecated=deprecated)
    assert everywhere(data, PREPARE, deprecated=deprecated) == [f"prepared 9 with {parameters}"]
    assert everywhere(failed(), PREPARE, deprecated=deprecated) == ["error 1064"]


def test_replies_to_several_commands_of_one_call() -> None:
    call = new_call(replies=3)
    upstream, _ = new_upstream()
    data = okay() + table(1, [text_row(b"1")])
    assert upstream.scan(data, 0, 0, call) == MORE
    assert (upstream.end, call.waiting) == (len(data), 1)
    assert upstream.scan(failed(), 0, 0, call) == DONE
    assert (call.outcome, call.errors) == (APP_ERROR, 1)


def test_a_request_for_a_file_goes_on_at_once() -> None:
    upstream, owner = new_upstream()
    call = new_call()
    asked = packet(b"\xfb/etc/motd", 1)
    assert upstream.scan(asked, 0, 0, call) == MORE
    assert (upstream.end, call.waiting, owner.heard) == (len(asked), 1, ["file"])
    assert upstream.scan(okay(4, affected=3), 0, 0, call) == DONE
    assert owner.heard[1:] == ["0x2: 3 affected, id 0, 0 warnings, 0 rows"]


def test_a_server_that_does_not_wait_for_the_file() -> None:
    """It was killed meanwhile, say: what it says is its reply, even if both come at once."""
    asked = packet(b"\xfb/etc/motd", 1)
    assert everywhere(asked + failed(1317, "Query execution was interrupted", 2)) == ["file", "error 1317"]


def test_a_request_for_the_file_of_a_client_that_is_gone() -> None:
    for call, adopted in ((new_call(), False), (Call(VERBS[0], 1, b"", 0.0), True)):
        upstream, _ = new_upstream()
        if not adopted:
            upstream.adopt(None)
        with pytest.raises(ProtocolError, match="a client that is gone"):
            upstream.scan(packet(b"\xfbdata.csv", 1), 0, 0, call)


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        (packet(b"", 1), ANY),
        (packet(b"\0", 1), ANY),
        (packet(b"\0\1\2\3", 1), ANY),
        (packet(b"\xfd\1", 1), ANY),
        (packet(b"\0\1\0\0\0", 1), PREPARE),
        (packet(b"\1" + bytes(20), 1), PREPARE),
        (packet(b"", 1), ROWS_ONLY),
        ((MAX_CONTROL + 1).to_bytes(3, "little") + b"\1\0", ANY),
    ],
)
def test_what_no_server_says_ends_the_connection(data: bytes, shape: int) -> None:
    upstream, _ = new_upstream()
    if shape == ROWS_ONLY:  # an empty row means nothing, but does no harm
        assert upstream.scan(data, 0, 0, new_call(shape)) == MORE
        return
    with pytest.raises(ProtocolError):
        upstream.scan(data, 0, 0, new_call(shape))


def test_what_is_said_without_being_asked() -> None:
    upstream, _ = new_upstream()
    with pytest.raises(ProtocolError, match=r"^a reply that nobody asked for$"):
        upstream.scan(okay(), 0, 0, None)
    with pytest.raises(ProtocolError, match=r"^Server shutdown in progress \(1053\)$"):
        upstream.scan(failed(1053, "Server shutdown in progress", 0), 0, 0, None)


# Packets of 16 MiB and more


@FORMS
def test_a_long_row_is_passed_on_wherever_it_is_torn(deprecated: bool) -> None:
    """At its header above all: the first byte says what a packet is, and may come later."""
    row = text_row(b"x" * (MAX_CONTROL + 10))
    data = table(1, [row], deprecated=deprecated)
    start = data.index(packet(row, 0)[:3])
    for at in (*range(start - 3, start + 12), len(data) - 9, len(data) - 1):
        assert scanned([data[:at], data[at:]], new_call(), deprecated=deprecated)[0] == len(data)


@FORMS
@pytest.mark.parametrize("over", [-1, 0, 1, 100])
def test_rows_of_just_about_the_longest_packet(over: int, deprecated: bool) -> None:
    """One of exactly 2^24-1 bytes is followed by an empty packet, which is no row and no end."""
    size = MAX_PAYLOAD + over
    row = b"\xfd" + (size - 4).to_bytes(4, "little")[:3] + b"z" * (size - 4)
    data = table(1, [row, text_row(b"b")], deprecated=deprecated)
    end, heard = scanned([data + okay()], new_call(), deprecated=deprecated)
    assert (end, heard) == (len(data), ["0x2: 0 affected, id 0, 0 warnings, 2 rows"])
    seam = data.index(b"zz") + MAX_PAYLOAD - 8
    for at in range(seam, min(seam + 14, len(data))):
        assert scanned([data[:at], data[at:]], new_call(), deprecated=deprecated) == (end, heard)


@FORMS
@pytest.mark.parametrize("first", [0xFE, 0xFF, 0xFB, 0x00])
def test_the_rest_of_a_long_row_may_look_like_anything(first: int, deprecated: bool) -> None:
    """Of a row of 16 MiB, which begins with 0xfe itself: what its second packet begins with is up to a client."""
    row = (
        b"\xfe" + (MAX_PAYLOAD + 5).to_bytes(8, "little") + b"y" * (MAX_PAYLOAD - 9) + bytes([first]) + b"\0\0\2\0" * 4
    )
    data = table(1, [row], deprecated=deprecated)
    end, heard = scanned([data + okay()], new_call(), deprecated=deprecated)
    assert (end, heard) == (len(data), ["0x2: 0 affected, id 0, 0 warnings, 1 rows"])


def test_nothing_is_held_of_a_row_that_is_passed_on() -> None:
    """The codec has understood all of it but what may be the beginning of the next header."""
    upstream, _ = new_upstream()
    call = new_call()
    upstream.scan(table(1, [])[:-9], 0, 0, call)
    upstream.scan(packet(text_row(b"x" * 300_000), 3)[:200_000], 0, 0, call)
    assert upstream.reached == 200_000


# Session state


@FORMS
def test_what_the_trackers_tell(deprecated: bool) -> None:
    state = tracked(("autocommit", "OFF"), ("sql_mode", "ANSI"))
    state += b"\1" + lenenc_bytes(lenenc_bytes(b"shop")) + b"\2" + lenenc_bytes(lenenc_bytes(b"1"))
    state += b"\5" + lenenc_bytes(lenenc_bytes(b"T_______")) + b"\3" + lenenc_bytes(b"\0" + lenenc_bytes(b"gtid"))
    told = ["autocommit=OFF", "sql_mode=ANSI", "schema shop", "changed"]
    assert everywhere(okay(state=state))[:-1] == told
    several = b"\0" + lenenc_bytes(b"".join(map(lenenc_bytes, (b"a", b"1", b"b", b"2"))))  # MariaDB's way
    assert everywhere(okay(state=several, info=b"x"))[:-1] == ["a=1", "b=2"]
    if deprecated:
        rows = table(1, [text_row(b"1")], deprecated=True)[: -len(ended(0, deprecated=True))]
        assert everywhere(rows + okay(4, state=state, first=0xFE), deprecated=True)[:-1] == told


def test_that_state_changed_is_all_that_the_older_end_of_rows_can_say() -> None:
    rows = table(1, [text_row(b"1")])[: -len(ended(0))]
    assert everywhere(rows + ended(5, status=0x4002))[0] == "changed"


@pytest.mark.parametrize("state", [b"\0\5ab", b"\0", b"\0\3\1", b"\xfc\1", b"\0\xff"])
def test_broken_session_state(state: bytes) -> None:
    upstream, _ = new_upstream()
    with pytest.raises(ProtocolError):
        upstream.scan(okay(state=state), 0, 0, new_call())


def test_a_client_that_does_not_track_gets_no_session_state() -> None:
    """At whatever offset the reply is torn, and with its rows before it."""
    state = tracked(("autocommit", "OFF"))
    for said, wanted in (
        (okay(affected=1, info=b"x", state=state, insert_id=300), okay(affected=1, info=b"x", insert_id=300)),
        (okay(state=state), okay()),
        (okay(status=MORE_RESULTS, state=state) + okay(2, state=state), okay(status=MORE_RESULTS) + okay(2)),
        (okay(status=MORE_RESULTS, state=state) + failed(sequence=2), okay(status=MORE_RESULTS) + failed(sequence=2)),
    ):
        client = Conversation()
        client.says("SELECT 1")
        assert client.hears(said) == wanted
        for one, two in split_at_every_offset(said):
            client = Conversation()
            client.says("SELECT 1")
            assert client.hears(one) + client.hears(two) == wanted
    client = Conversation(flags=CLIENT_SESSION_TRACK)
    client.says("SELECT 1")
    assert client.hears(okay(state=state)) == okay(state=state)


def test_session_state_behind_rows_that_went_ahead_in_pieces() -> None:
    state = tracked(("autocommit", "OFF"))
    rows = [text_row(bytes([65 + i]) * 30_000) for i in range(8)]
    start = table(1, rows, deprecated=True)[: -len(ended(0, deprecated=True))]
    said, wanted = start + okay(11, state=state, first=0xFE), start + okay(11, first=0xFE)
    for size in (1000, RELAY_FROM - 1, RELAY_FROM + 1, 100_001):
        client = Conversation(flags=CLIENT_DEPRECATE_EOF)
        client.says("SELECT 1")
        got = b"".join(client.hears(said[at : at + size]) for at in range(0, len(said), size))
        assert got == wanted


def test_what_goes_ahead_of_a_call_changes_nothing_of_its_reply() -> None:
    """The server reports that last_insert_id was set: that is not for this client, nor in its reply."""
    protocol = make_protocol()
    client, other = Conversation(protocol=protocol), Conversation(protocol=protocol)
    for one in (client, other):
        one.moves_to(client.upstream)
        one.says("INSERT INTO t VALUES (1)")
        one.hears(okay(insert_id=5, affected=1))
        one.hears_cleanup(table(1, [text_row(b"5")]))
    assert client.says("SELECT LAST_INSERT_ID(), 1") == ["SELECT (observed, barrier, pin SELECT)"]
    assert client.forwarded[-1] == query("SELECT LAST_INSERT_ID(5)")
    assert client.hears(okay(state=tracked(("last_insert_id", "5")), warnings=1)) == b""
    reply = table(2, [text_row(b"5", b"1")])
    assert client.hears(reply) == reply
    assert client.codec.pin is None


# Errors


@pytest.mark.parametrize(
    ("number", "outcome"),
    [(1064, APP_ERROR), (1062, APP_ERROR), (1213, APP_ERROR), (1205, APP_ERROR), (1317, APP_ERROR), (0, APP_ERROR),
     (1040, RETRYABLE), (1203, RETRYABLE), (1290, RETRYABLE), (1836, RETRYABLE),
     (1053, FATAL), (1105, FATAL), (1041, FATAL), (1927, FATAL)],
)  # fmt: skip
def test_an_error_is_the_commands_fault_or_the_upstreams(number: int, outcome: int) -> None:
    call = new_call()
    upstream, _ = new_upstream()
    assert upstream.scan(failed(number), 0, 0, call) == DONE
    assert (call.outcome, call.errors, call.failures) == (outcome, outcome == APP_ERROR, outcome != APP_ERROR)


def test_an_error_before_the_handshake_is_through_is_explained_all_the_same() -> None:
    assert MysqlUpstream.explain_error(packet(b"\xff\x10\x04Too many connections", 0)) == "Too many connections (1040)"
    assert MysqlUpstream.explain_error(failed(1040, "Too many")) == "Too many (1040)"
    assert MysqlUpstream.explain_error(b"") == " (0)"


def test_a_call_that_was_given_up_is_followed_to_its_end_and_tells_nobody() -> None:
    upstream, owner = new_upstream()
    call = new_call()
    call.receiver = None
    data = table(1, [text_row(b"a")])
    assert upstream.scan(data, 0, 0, call) == DONE
    assert (upstream.end, owner.heard, call.outcome) == (len(data), [], OK)


def test_only_sessions_of_this_protocol_are_adopted() -> None:
    upstream, _ = new_upstream()
    with pytest.raises(AssertionError):
        upstream.adopt(ServerCodec())


# Prepared statements


def test_the_client_gets_the_gateways_id() -> None:
    for deprecated in (False, True):
        data = prepared(77, 1, 1, deprecated=deprecated)
        mine = prepared(1, 1, 1, deprecated=deprecated)
        for one, two in [(data, b""), *split_at_every_offset(data)]:
            client = Conversation(flags=CLIENT_DEPRECATE_EOF if deprecated else 0)
            assert client.sends(command(COM_STMT_PREPARE, b"SELECT ?")) == [
                "STMT PREPARE (observed, barrier, prepares, pin STMT PREPARE)"
            ]
            assert client.hears(one) + client.hears(two) == mine
            assert len(client.upstream.statements) == 1


def test_a_statement_that_could_not_be_prepared_is_not_remembered() -> None:
    client = Conversation()
    client.sends(command(COM_STMT_PREPARE, b"SELEKT ?"))
    assert client.hears(failed()) == failed()
    assert (len(client.upstream.statements), client.upstream.preparing, client.codec.statements) == (0, None, {})


# Against a simple parser


def reference(data: bytes, deprecated: bool) -> int:
    """Where a reply to COM_QUERY ends, found the slow way: packets are put together first."""
    whole: list[tuple[bytes, int]] = []
    at, payload = 0, b""
    while at < len(data):
        length = int.from_bytes(data[at : at + 3], "little")
        payload += data[at + 4 : at + 4 + length]
        at += 4 + length
        if length < 0xFFFFFF:
            whole.append((payload, at))
            payload = b""
    packets = iter(whole)
    while True:
        payload, end = next(packets)
        if payload[0] == 0xFF:
            return end
        if payload[0] in (0x00, 0xFE):
            status = _status(payload)
        else:
            for _ in range(payload[0]):
                next(packets)
            if not deprecated:
                next(packets)
            while True:
                payload, end = next(packets)
                if payload[0] == 0xFF:
                    return end
                if payload[0] == 0xFE and (len(payload) < 0xFFFFFF if deprecated else len(payload) < 9):
                    break
            status = _status(payload) if deprecated else int.from_bytes(payload[3:5], "little")
        if not status & SERVER_MORE_RESULTS_EXISTS:
            return end


def _status(payload: bytes) -> int:
    return int.from_bytes(payload[3:5], "little")  # both counts before it are 0 in these replies


VALUES = st.one_of(
    st.none(),
    st.binary(max_size=12),
    st.builds(
        lambda first, size: bytes([first]) * size, st.sampled_from([0, 0xFB, 0xFC, 0xFE, 0xFF]), st.integers(0, 400)
    ),
)


@st.composite
def results(draw: st.DrawFn) -> tuple[bool, bytes]:
    """The reply to COM_QUERY: one or more results, each of them rows, an OK, or an error at the end."""
    deprecated = draw(st.booleans())
    parts: list[bytes] = []
    count = draw(st.integers(1, 3))
    for i in range(count):
        status = MORE_RESULTS if i < count - 1 else SERVER_STATUS_AUTOCOMMIT
        kind = draw(st.sampled_from(["rows", "rows", "ok", "error"]))
        if kind == "ok":
            parts.append(okay(status=status, info=draw(st.binary(max_size=20))))
        elif kind == "error":
            parts.append(failed(draw(st.integers(1000, 2000))))
            break
        else:
            columns = draw(st.integers(1, 3))
            rows = draw(st.lists(st.lists(VALUES, min_size=columns, max_size=columns), max_size=5))
            made = [text_row(*row) for row in rows]
            if draw(st.booleans()):
                made = [b"\0" + bytes(1) + row for row in made]  # binary rows, whatever is in them
            data = table(columns, made, status=status, deprecated=deprecated)
            if draw(st.booleans()):
                data = data[: -len(ended(0, deprecated=deprecated))] + failed(1317)
                parts.append(data)
                break
            parts.append(data)
    return deprecated, b"".join(parts)


@given(results(), st.integers(0, 1 << 30), st.binary(max_size=30))
def test_replies_are_delimited_as_a_simple_parser_does_it(made: tuple[bool, bytes], seed: int, behind: bytes) -> None:
    deprecated, data = made
    assert reference(data, deprecated) == len(data)
    whole = scanned([data + behind], new_call(), deprecated=deprecated)
    assert whole[0] == len(data)
    dice, parts, at = random.Random(seed), [], 0
    while at < len(data):
        size = dice.choice((1, 2, 3, 5, 9, 40, 300))
        parts.append(data[at : at + size])
        at += size
    assert scanned(parts, new_call(), deprecated=deprecated) == whole


@pytest.mark.parametrize("seed", range(12))
def test_long_rows_are_delimited_as_a_simple_parser_does_it(seed: int) -> None:
    dice = random.Random(seed)
    deprecated = dice.random() < 0.5
    sizes = (MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, MAX_PAYLOAD * 2, MAX_PAYLOAD * 2 + 7, 5, 40, 300)
    rows = []
    for _ in range(dice.randint(1, 3)):
        size = dice.choice(sizes)
        first = dice.choice((0x00, 0x01, 0xFB, 0xFC, 0xFD)) if size < MAX_PAYLOAD else dice.choice((0x00, 0xFD, 0xFE))
        rows.append(bytes([first]) + bytes([dice.choice((0, 0xFE, 0xFF))]) * (size - 1))
    data = table(1, rows, deprecated=deprecated)
    assert reference(data, deprecated) == len(data)
    whole = scanned([data + okay()], new_call(), deprecated=deprecated)
    assert (whole[0], whole[1][0].split(", ")[-1]) == (len(data), f"{len(rows)} rows")
    cuts = sorted(dice.randrange(len(data)) for _ in range(20))
    parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert scanned(parts, new_call(), deprecated=deprecated) == whole
