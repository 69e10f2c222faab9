"""Whole conversations: with the h2 package as the peer in both roles, torn at every offset, and how connections end."""

from __future__ import annotations

import h2.events as h2
import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hypothesis import given
from hypothesis import strategies as st

from http2_playbook import (
    GET,
    OK,
    POST,
    Pairs,
    Talk,
    asking,
    failure,
    frame,
    frames,
    headers,
    hello,
    pairs,
    resets,
    served,
    told,
    written,
)
from protocols.http import frames as f
from protocols.http.errors import FRAME_SIZE_ERROR, FRAMING, NO_ERROR, PEER, PROTOCOL_ERROR, REFUSED_STREAM
from protocols.http.events import (
    ConnectionFailed,
    DataReceived,
    DataSent,
    Event,
    GoawayReceived,
    HeadersReceived,
    InterimReceived,
    PingAcked,
    SettingsAcked,
    SettingsReceived,
    StreamReset,
    TrailersReceived,
)
from protocols.http.fields import fields
from protocols.http.http2 import Connection
from protocols.http.limits import Limits

TRAILERS: Pairs = [(b"grpc-status", b"0")]


def test_a_request_of_the_package_is_served() -> None:
    talk = Talk(server=True)
    talk.theirs.send_headers(1, [*POST, (b"content-length", b"5")])
    talk.theirs.send_data(1, b"hel", pad_length=7)
    talk.theirs.send_data(1, b"lo")
    talk.theirs.send_headers(1, TRAILERS, end_stream=True)
    talk.go_on()
    assert told(talk.events)[2:] == [
        (1, "headers", [*POST, (b"content-length", b"5")], False),
        (1, "data", b"hel", False),
        (1, "data", b"lo", False),
        (1, "trailers", TRAILERS),
    ]
    stream = talk.ours.streams.find(1)
    assert stream is not None
    talk.ours.send_headers(stream, fields((b":status", b"103"), (b"link", b"</a>")), False)
    talk.ours.send_headers(stream, fields(*OK), False)
    assert talk.ours.send_data(stream, b"body", False) == 4
    talk.ours.send_headers(stream, fields(*TRAILERS), True)
    talk.go_on()
    kinds = [type(event).__name__ for event in talk.their_events[-5:]]
    assert kinds == [
        "InformationalResponseReceived",
        "ResponseReceived",
        "DataReceived",
        "TrailersReceived",
        "StreamEnded",
    ]
    assert (talk.ours.active, talk.ours.streams.count) == (0, 0)


def test_a_request_is_served_by_the_package() -> None:
    talk = Talk(server=False)
    stream = talk.ours.open(fields(*POST), False, b"POST", "someone")
    talk.ours.send_data(stream, b"hello", False)
    talk.ours.send_headers(stream, fields(*TRAILERS), True)
    talk.go_on()
    assert [type(event).__name__ for event in talk.their_events[-4:]] == [
        "RequestReceived", "DataReceived", "TrailersReceived", "StreamEnded",
    ]  # fmt: skip
    talk.theirs.send_headers(1, [(b":status", b"100")])
    talk.theirs.send_headers(1, OK)
    talk.theirs.send_data(1, b"body")
    talk.theirs.send_headers(1, TRAILERS, end_stream=True)
    talk.go_on()
    interim = talk.events[2]
    assert isinstance(interim, InterimReceived) and interim.head.status == 100
    assert told(talk.events[3:]) == [
        (1, "headers", OK, False), (1, "data", b"body", False), (1, "trailers", TRAILERS),
    ]  # fmt: skip
    assert interim.stream.user == "someone"
    assert (talk.ours.active, talk.ours.streams.count) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60000)), max_size=25))
def test_bodies_of_many_streams_reach_the_package_whole(steps: list[tuple[int, int]]) -> None:
    talk = Talk(server=False)
    streams = [talk.ours.open(fields(*POST), False, b"POST") for _ in range(4)]
    sent = {stream.id: 0 for stream in streams}
    for which, size in steps:
        talk.ours.send_data(streams[which], b"x" * size, False)
        sent[streams[which].id] += size
    for stream in streams:
        talk.ours.send_headers(stream, fields(*TRAILERS), True)
    got = {stream.id: 0 for stream in streams}
    ended = 0
    for _ in range(100):
        talk.go_on()
        events, talk.their_events = talk.their_events, []
        for event in events:
            if isinstance(event, h2.DataReceived):
                got[event.stream_id] += len(event.data)
                if event.flow_controlled_length:
                    talk.theirs.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            ended += isinstance(event, h2.TrailersReceived)
        if ended == 4:
            break
    assert got == sent
    assert ended == 4
    assert all(not stream.queued for stream in streams)


@given(st.lists(st.integers(1, 70000), max_size=12))
def test_bodies_of_the_package_arrive_whole(sizes: list[int]) -> None:
    talk = Talk(server=True)
    talk.theirs.send_headers(1, POST)
    left = b"".join(bytes([at]) * size for at, size in enumerate(sizes))
    expected = left
    while left:
        room = min(talk.theirs.local_flow_control_window(1), talk.theirs.max_outbound_frame_size)
        assert room > 0, "the window is not opened again"
        talk.theirs.send_data(1, left[:room])
        left = left[room:]
        talk.go_on()
    talk.theirs.end_stream(1)
    talk.go_on()
    got = b"".join(event.data for event in talk.events if isinstance(event, DataReceived))
    assert got == expected


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40000)), max_size=20),
    st.lists(st.sampled_from(["pause", "resume", "consume", "carry"]), max_size=40),
    st.integers(1, 40000),
)
def test_bodies_arrive_whole_whatever_is_full_in_between(
    steps: list[tuple[int, int]], turns: list[str], size: int
) -> None:
    """Our client and our server; transports that are full, readers that take their time, torn reads."""
    client, server = Connection(False), Connection(True, Limits(stream_window=65535, connection_window=70000))
    streams = [client.open(fields(*POST), False, b"POST") for _ in range(4)]
    sent, left = dict.fromkeys((1, 3, 5, 7), b""), dict.fromkeys((1, 3, 5, 7), 0)
    got, ended, unread = dict.fromkeys((1, 3, 5, 7), b""), set[int](), list[DataReceived]()
    for at, (which, length) in enumerate(steps):
        data = bytes([at]) * length
        sent[streams[which].id] += data
        left[streams[which].id] += client.send_data(streams[which], data, False)
    for stream in streams:
        client.send_headers(stream, fields(*TRAILERS), True)
    for turn in [*turns, *["resume", "consume", "carry"] * 60]:
        events: list[Event] = []
        if turn == "pause":
            client.pause()
        elif turn == "resume":
            events = client.resume()
        elif turn == "consume":
            for arrived in unread:
                server.consume(arrived.stream, len(arrived.data))
            unread.clear()
        else:
            data = client.take()
            for at in range(0, len(data), size):
                for event in server.receive(data[at : at + size], 0.0):
                    assert not isinstance(event, StreamReset | ConnectionFailed)
                    if isinstance(event, DataReceived):
                        unread.append(event)
                        got[event.stream.id] += event.data
                    elif isinstance(event, TrailersReceived):
                        ended.add(event.stream.id)
            events = client.receive(server.take(), 0.0)
        for event in events:
            if isinstance(event, DataSent):
                left[event.stream.id] += event.size
    assert got == sent
    assert left == {key: len(value) for key, value in sent.items()}
    assert ended == {1, 3, 5, 7}


def test_settings_of_the_package_are_applied() -> None:
    talk = Talk(server=False)
    talk.theirs.update_settings({
        SettingCodes.MAX_CONCURRENT_STREAMS: 1,
        SettingCodes.INITIAL_WINDOW_SIZE: 3,
        SettingCodes.HEADER_TABLE_SIZE: 0,
        SettingCodes.MAX_HEADER_LIST_SIZE: 999,
        SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
    })  # fmt: skip
    talk.go_on()
    assert talk.ours.peer_max_header_bytes == 999
    assert talk.ours.peer_extended_connect
    stream = talk.ours.open(fields(*POST), False)
    assert not talk.ours.can_open()
    with pytest.raises(ValueError, match="no stream"):
        talk.ours.open(fields(*GET), True)
    assert talk.ours.send_data(stream, b"hello", True) == 3
    talk.go_on()
    talk.theirs.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 4})
    talk.go_on()
    talk.theirs.increment_flow_control_window(1, 1)
    talk.go_on()
    assert [event.size for event in talk.events if isinstance(event, DataSent)] == [1, 1]
    assert b"".join(event.data for event in talk.of(h2.DataReceived) if isinstance(event, h2.DataReceived)) == b"hello"
    assert len(talk.of(h2.StreamEnded)) == 1


CONVERSATION = (
    hello([(f.INITIAL_WINDOW_SIZE, 100000), (f.HEADER_TABLE_SIZE, 100)])
    + headers(1, [*POST, (b"content-length", b"6")], end=False)
    + frame(f.DATA, f.PADDED, 1, b"\x02abc\0\0")
    + frame(f.PING, 0, 0, b"12345678")
    + frame(f.HEADERS, f.HAS_PRIORITY | f.PADDED | f.END_STREAM, 3, b"\x01" + b"\0\0\0\x01\x05" + b"\x82\x86" + b"\0")
    + frame(f.CONTINUATION, 0, 3, b"")
    + frame(f.CONTINUATION, f.END_HEADERS, 3, b"\x84\x41\x01a")
    + frame(f.PRIORITY, 0, 9, b"\0\0\0\x01\x05")
    + frame(0xEE, 0xFF, 5, b"whatever")
    + frame(f.DATA, 0, 1, b"def")
    + headers(1, TRAILERS)
    + headers(5, POST, end=False)
    + frame(f.WINDOW_UPDATE, 0, 5, b"\0\0\0\x09")
    + frame(f.RST_STREAM, 0, 5, b"\0\0\0\x08")
    + frame(f.SETTINGS, f.ACK, 0)
    + frame(f.GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0bye")
    + headers(7, [*GET, (b"connection", b"close")])
    + frame(f.DATA, 0, 0, b"broken")
    + frame(f.PING, 0, 0, b"12345678")
)


def heard(parts: list[bytes]) -> tuple[list[object], bytes]:
    server = Connection(True)
    events: list[Event] = []
    for part in parts:
        events += server.receive(part, 0.0)
    return told(events), server.take()


def test_the_conversation_that_is_torn() -> None:
    events, out = heard([CONVERSATION])
    assert events == [
        "SettingsReceived",
        (1, "headers", [*POST, (b"content-length", b"6")], False),
        (1, "data", b"abc", False),
        (3, "headers", [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")], True),
        (1, "data", b"def", False),
        (1, "trailers", TRAILERS),
        (5, "headers", POST, False),
        (5, "reset", 8, "peer"),
        "SettingsAcked",
        "GoawayReceived",
        (7, "reset", 1, "malformed"),
        ("failed", 1, "framing", "DATA on stream 0"),
    ]
    kinds = [(kind, flags, stream) for kind, flags, stream, _ in frames(out)]
    assert kinds == [
        (f.SETTINGS, 0, 0), (f.WINDOW_UPDATE, 0, 0), (f.SETTINGS, f.ACK, 0), (f.PING, f.ACK, 0), (f.RST_STREAM, 0, 7),
        (f.GOAWAY, 0, 0),
    ]  # fmt: skip


@pytest.mark.parametrize("at", range(1, len(CONVERSATION)))
def test_torn_at_every_offset(at: int) -> None:
    assert heard([CONVERSATION[:at], CONVERSATION[at:]]) == heard([CONVERSATION])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_torn_into_small_pieces(size: int) -> None:
    parts = [CONVERSATION[at : at + size] for at in range(0, len(CONVERSATION), size)]
    assert heard(parts) == heard([CONVERSATION])


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", b"\x16\x03\x01"])
def test_what_is_no_http2_is_known_by_its_first_wrong_byte(said: bytes) -> None:
    server = Connection(True)
    events: list[Event] = []
    for at in range(len(said)):
        assert events == []
        events = server.receive(said[at : at + 1], 0.0)
        if events:
            break
    assert failure(events) == (PROTOCOL_ERROR, FRAMING)


@pytest.mark.parametrize("first", [frame(f.PING, 0, 0, b"12345678"), frame(f.SETTINGS, f.ACK, 0), headers(1, GET)])
@pytest.mark.parametrize("server", [True, False])
def test_settings_come_first(first: bytes, server: bool) -> None:
    connection = Connection(server)
    assert failure(connection.receive((f.PREFACE if server else b"") + first, 0.0)) == (PROTOCOL_ERROR, FRAMING)


def test_nothing_is_heard_behind_the_end() -> None:
    server = served()
    assert failure(server.receive(frame(f.PING, 0, 1, b"12345678"), 0.0)) == (PROTOCOL_ERROR, FRAMING)
    ((kind, _, _, payload),) = frames(server.take())
    assert (kind, payload[:8]) == (f.GOAWAY, b"\0\0\0\0\0\0\0\x01")
    assert server.receive(headers(1, GET), 0.0) == []
    assert server.finished()


@pytest.mark.parametrize(
    "said",
    [
        frame(f.SETTINGS, 0, 0, b"12345"),
        frame(f.SETTINGS, f.ACK, 0, b"123456"),
        frame(f.PING, 0, 0, b"1234567"),
        frame(f.GOAWAY, 0, 0, b"1234567"),
        frame(f.WINDOW_UPDATE, 0, 0, b"12345"),
        headers(1, GET) + frame(f.RST_STREAM, 0, 1, b"123"),
        frame(f.HEADERS, f.HAS_PRIORITY | f.END_HEADERS, 1, b"1234"),
        frame(f.HEADERS, f.PADDED | f.END_HEADERS, 1, b""),
        b"\x00\x40\x01\0\0\0\0\0\1",
    ],
)
def test_frames_of_the_wrong_size(said: bytes) -> None:
    assert failure(served().receive(said, 0.0)) == (FRAME_SIZE_ERROR, FRAMING)


@pytest.mark.parametrize(
    "said",
    [
        *[frame(kind, 4, 0, b"\0" * 5) for kind in (f.HEADERS, f.PRIORITY, f.DATA)],
        *[frame(kind, 0, 1, b"\0" * 8) for kind in (f.PING, f.GOAWAY)],
        frame(f.SETTINGS, 0, 1),
        *[frame(kind, 0, 1, b"\0\0\0\1") for kind in (f.RST_STREAM, f.WINDOW_UPDATE, f.DATA)],  # idle
        frame(f.RST_STREAM, 0, 0, b"\0\0\0\1"),
        frame(f.WINDOW_UPDATE, 0, 0, b"\0\0\0\0"),
        frame(f.PUSH_PROMISE, 4, 1, b"\0\0\0\2\x82"),
        frame(f.CONTINUATION, 4, 1),
        headers(2, GET),
        headers(5, GET) + headers(3, POST, end=False)[:0] + frame(f.DATA, 0, 7, b""),
        frame(f.HEADERS, 0, 1, b"\x82") + frame(f.PING, 0, 0, b"12345678"),
        frame(f.HEADERS, 0, 1, b"\x82") + frame(f.CONTINUATION, 4, 3, b"\x86\x84"),
        frame(f.HEADERS, 0, 1, b"\x82") + frame(0xEE, 0, 1),
        frame(f.GOAWAY, 0, 0, b"\0\0\0\1\0\0\0\0") + frame(f.GOAWAY, 0, 0, b"\0\0\0\3\0\0\0\0"),
    ],
)
def test_frames_in_the_wrong_place(said: bytes) -> None:
    assert failure(served().receive(said, 0.0)) == (PROTOCOL_ERROR, FRAMING)


def test_a_server_never_pushes() -> None:
    client = asking()
    client.open(fields(*GET), True)
    assert failure(client.receive(frame(f.PUSH_PROMISE, 4, 1, b"\0\0\0\2\x82"), 0.0)) == (PROTOCOL_ERROR, FRAMING)
    said = written(f.write_settings, [(f.ENABLE_PUSH, 1)])
    assert failure(Connection(False).receive(said, 0.0)) == (PROTOCOL_ERROR, FRAMING)


@pytest.mark.parametrize("dependent", [frame(f.PRIORITY, 0, 3, b"\0\0\0\x03\0"), frame(f.PRIORITY, 0, 3, b"\0\0\0")])
def test_priorities_that_are_none(dependent: bytes) -> None:
    server = served()
    server.receive(dependent, 0.0)
    assert [(kind, stream) for kind, _, stream, _ in frames(server.take())] == [(f.RST_STREAM, 3)]
    assert not server.failed


def test_a_stream_that_depends_on_itself() -> None:
    server = served()
    said = frame(f.HEADERS, f.HAS_PRIORITY | f.END_HEADERS | f.END_STREAM, 3, b"\0\0\0\x03\0\x82\x86\x84")
    assert resets(server.receive(said, 0.0)) == [(3, PROTOCOL_ERROR, FRAMING)]


def test_pings() -> None:
    talk = Talk(server=True)
    talk.ours.ping(b"abcdefgh")
    talk.theirs.ping(b"12345678")
    talk.go_on()
    assert [event.payload for event in talk.events if isinstance(event, PingAcked)] == [b"abcdefgh"]
    assert len(talk.of(h2.PingAckReceived)) == 1


def test_a_server_drains() -> None:
    server = served()
    server.receive(headers(1, POST, end=False), 0.0)
    server.drain()
    server.drain()
    (goaway, ping) = frames(server.take())
    assert goaway[3] == b"\x7f\xff\xff\xff\0\0\0\0"
    (late,) = server.receive(headers(3, GET), 0.0)  # sent before the client knew
    assert isinstance(late, HeadersReceived)
    assert server.receive(frame(f.PING, f.ACK, 0, ping[3]), 0.0) == []
    ((kind, _, _, payload),) = frames(server.take())
    assert (kind, payload) == (f.GOAWAY, b"\0\0\0\x03\0\0\0\0")
    assert server.receive(headers(5, POST, end=False) + frame(f.DATA, 1, 5, b"late"), 0.0) == []
    assert not server.failed and not server.finished()
    server.send_headers(late.stream, fields(*OK), True)
    (data,) = server.receive(frame(f.DATA, 1, 1, b""), 0.0)
    assert told([data]) == [(1, "data", b"", True)]
    first = server.streams.find(1)
    assert first is not None
    server.send_headers(first, fields(*OK), True)
    assert server.finished()


def test_a_client_is_told_which_requests_were_not_processed() -> None:
    talk = Talk(server=False)
    streams = [talk.ours.open(fields(*GET), True, b"GET") for _ in range(3)]
    talk.go_on()
    talk.theirs.close_connection(ErrorCodes.NO_ERROR, b"bye", last_stream_id=1)
    talk.go_on()
    (goaway,) = [event for event in talk.events if isinstance(event, GoawayReceived)]
    assert (goaway.last_stream_id, goaway.code, goaway.debug) == (1, NO_ERROR, b"bye")
    assert resets(talk.events) == [(3, REFUSED_STREAM, PEER), (5, REFUSED_STREAM, PEER)]
    assert not talk.ours.can_open() and not talk.ours.finished()
    talk.ours.receive(headers(1, OK), 0.0)
    assert talk.ours.finished()
    assert streams[0].state == 4


def test_a_client_drains() -> None:
    client = asking()
    stream = client.open(fields(*GET), True)
    client.take()
    client.drain()
    assert [(kind, payload) for kind, _, _, payload in frames(client.take())] == [(f.GOAWAY, b"\0" * 8)]
    assert not client.can_open() and not client.finished()
    client.receive(headers(stream.id, OK), 0.0)
    assert client.finished()


def test_an_upgrade_from_http1() -> None:
    server = Connection(True)
    stream = server.upgraded(b"\0\x04\0\0\0\x05", "request")
    server.receive(hello([(f.INITIAL_WINDOW_SIZE, 5)]), 0.0)
    server.take()
    server.send_headers(stream, fields(*OK), False)
    assert server.send_data(stream, b"hello, world", True) == 5
    server.receive(frame(f.WINDOW_UPDATE, 0, 1, b"\0\0\1\0"), 0.0)
    assert [kind for kind, _, _, _ in frames(server.take())] == [f.HEADERS, f.DATA, f.DATA]
    assert server.active == 0
    (event,) = server.receive(headers(3, GET), 0.0)
    assert isinstance(event, HeadersReceived)


def test_what_is_said_first() -> None:
    server = Connection(True, Limits(max_streams=7, extended_connect=True))
    (settings, window) = frames(server.take())
    assert dict(f.read_settings(settings[3], 0, len(settings[3]))) == {
        f.INITIAL_WINDOW_SIZE: 262144, f.MAX_HEADER_LIST_SIZE: 65536, f.MAX_CONCURRENT_STREAMS: 7,
        f.ENABLE_CONNECT_PROTOCOL: 1,
    }  # fmt: skip
    assert window == (f.WINDOW_UPDATE, 0, 0, (1048576 - 65535).to_bytes(4, "big"))
    said = Connection(False, Limits(connection_window=65535)).take()
    assert said.startswith(f.PREFACE)
    ((_, _, _, payload),) = frames(said)
    assert dict(f.read_settings(payload, 0, len(payload)))[f.ENABLE_PUSH] == 0


def test_settings_are_acknowledged_both_ways() -> None:
    talk = Talk(server=True)
    assert [type(event) for event in talk.events] == [SettingsReceived, SettingsAcked]
    assert talk.ours.settings_acked


def test_long_header_blocks_go_both_ways() -> None:
    talk = Talk(server=False)
    long = [(b"x-%d" % at, bytes([97 + at % 26]) * 900) for at in range(40)]
    talk.ours.open(fields(*GET, *long), True)
    talk.go_on()
    (request,) = talk.of(h2.RequestReceived)
    assert isinstance(request, h2.RequestReceived)
    assert [(bytes(name), bytes(value)) for name, value in request.headers] == [*GET, *long]
    talk.theirs.send_headers(1, [*OK, *long], end_stream=True)
    talk.go_on()
    response = talk.events[-1]
    assert isinstance(response, HeadersReceived) and pairs(response.head.fields) == [*OK, *long]
