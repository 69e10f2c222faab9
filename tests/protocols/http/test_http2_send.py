"""What is sent: flow control, what waits for it and in which order, back-pressure, and commands at the wrong time."""

from __future__ import annotations

import pytest

from http2_playbook import GET, OK, POST, asking, frame, frames, headers, resets, served, told, written
from protocols.http import frames as f
from protocols.http.errors import CANCEL, NO_ERROR, PROTOCOL_ERROR
from protocols.http.events import DataReceived, DataSent, Event, HeadersReceived
from protocols.http.fields import fields
from protocols.http.http2 import Connection
from protocols.http.limits import Limits
from protocols.http.streams import Stream


def request(server: Connection, stream_id: int = 1, end: bool = True) -> Stream:
    (event,) = server.receive(headers(stream_id, GET if end else POST, end), 0.0)
    assert isinstance(event, HeadersReceived)
    return event.stream


def sent(connection: Connection) -> list[tuple[int, int, int]]:
    """Stream, flags and size of each DATA frame in ``out``; -1 for HEADERS."""
    kinds = {f.DATA: 0, f.HEADERS: -1}
    return [
        (stream, flags & 1, -1 if kinds[kind] else len(payload))
        for kind, flags, stream, payload in frames(connection.take())
        if kind in kinds
    ]


def left(events: list[Event]) -> list[tuple[int, int]]:
    return [(event.stream.id, event.size) for event in events if isinstance(event, DataSent)]


def test_data_waits_for_the_window_of_its_stream() -> None:
    server = served()
    server.receive(written(f.write_settings, [(f.INITIAL_WINDOW_SIZE, 5)]), 0.0)
    stream = request(server)
    server.send_headers(stream, fields(*OK), False)
    assert server.send_data(stream, b"hello, ", False) == 5
    assert server.send_data(stream, b"world", True) == 0
    assert stream.queued == 7
    assert sent(server) == [(1, 0, -1), (1, 0, 5)]
    assert left(server.receive(written(f.write_window_update, 1, 3), 0.0)) == [(1, 2), (1, 1)]
    assert left(server.receive(written(f.write_window_update, 1, 100), 0.0)) == [(1, 4)]
    assert sent(server) == [(1, 0, 2), (1, 0, 1), (1, 1, 4)]
    assert (stream.queued, server.active) == (0, 0)


def test_a_smaller_window_may_be_negative() -> None:
    server = served()
    stream = request(server)
    server.send_headers(stream, fields(*OK), False)
    server.send_data(stream, b"x" * 100, False)
    server.receive(written(f.write_settings, [(f.INITIAL_WINDOW_SIZE, 50)]), 0.0)
    assert stream.send_window == -50
    assert server.send_data(stream, b"y", True) == 0
    assert left(server.receive(written(f.write_window_update, 1, 50), 0.0)) == []
    assert left(server.receive(written(f.write_window_update, 1, 1), 0.0)) == [(1, 1)]


def test_streams_take_turns() -> None:
    server = served()
    server.receive(written(f.write_settings, [(f.INITIAL_WINDOW_SIZE, 1000000)]), 0.0)
    streams = [request(server, stream_id) for stream_id in (1, 3, 5)]
    for stream in streams:
        server.send_headers(stream, fields(*OK), False)
    assert server.send_data(streams[0], b"x" * 100000, True) == 65535
    assert server.send_data(streams[1], b"y" * 20000, True) == 0
    assert server.send_data(streams[2], b"z" * 20000, True) == 0
    server.take()
    events = server.receive(written(f.write_window_update, 0, 1000000), 0.0)
    assert left(events) == [(1, 16384), (3, 16384), (5, 16384), (1, 16384), (3, 3616), (5, 3616), (1, 1697)]
    assert [stream for stream, end, _ in sent(server) if end] == [3, 5, 1]


def test_trailers_wait_behind_the_data() -> None:
    server = served()
    server.receive(written(f.write_settings, [(f.INITIAL_WINDOW_SIZE, 2)]), 0.0)
    stream = request(server)
    server.send_headers(stream, fields(*OK), False)
    server.send_data(stream, b"abc", False)
    server.send_headers(stream, fields((b"grpc-status", b"0")), True)
    assert sent(server) == [(1, 0, -1), (1, 0, 2)]
    with pytest.raises(ValueError, match="cannot send data"):
        server.send_data(stream, b"d", False)
    with pytest.raises(ValueError, match="cannot send headers"):
        server.send_headers(stream, fields((b"a", b"b")), True)
    server.receive(written(f.write_window_update, 1, 2), 0.0)
    assert sent(server) == [(1, 0, 1), (1, 1, -1)]
    assert server.active == 0


def test_a_full_transport_holds_data_back_and_nothing_else() -> None:
    server = served()
    stream = request(server)
    server.pause()
    server.send_headers(stream, fields(*OK), False)
    assert server.send_data(stream, b"hello", True) == 0
    server.receive(frame(f.PING, 0, 0, b"12345678") + written(f.write_window_update, 0, 9), 0.0)
    assert [kind for kind, _, _, _ in frames(server.take())] == [f.HEADERS, f.PING]
    assert left(server.resume()) == [(1, 5)]
    assert sent(server) == [(1, 1, 5)]
    assert server.resume() == []


def test_the_end_needs_no_window() -> None:
    server = served()
    server.receive(written(f.write_settings, [(f.INITIAL_WINDOW_SIZE, 0)]), 0.0)
    stream = request(server)
    server.send_headers(stream, fields(*OK), False)
    assert server.send_data(stream, b"", False) == 0
    assert server.send_data(stream, b"", True) == 0
    assert sent(server) == [(1, 0, -1), (1, 1, 0)]


def test_what_was_not_consumed_is_not_given_back() -> None:
    server = served(Limits(stream_window=65535, connection_window=65535))
    stream = request(server, end=False)
    for _ in range(3):
        server.receive(frame(f.DATA, 0, 1, b"x" * 16384), 0.0)
    assert stream.held == 49152
    assert server.take() == b""
    server.consume(stream, 16384)
    assert server.take() == b""  # not worth a frame yet
    server.consume(stream, 30000)
    updates = [(stream_id, payload) for _, _, stream_id, payload in frames(server.take())]
    assert updates == [(0, (46384).to_bytes(4, "big")), (1, (46384).to_bytes(4, "big"))]
    server.consume(stream, 1 << 40)  # more than there is
    assert stream.held == 0 and server.consumed == 2768


def test_the_connection_gets_back_what_a_stream_that_ended_held() -> None:
    limits = Limits(stream_window=65535, connection_window=65535)
    server = served(limits)
    stream = request(server, end=False)
    server.receive(frame(f.DATA, 0, 1, b"x" * 10000), 0.0)
    server.reset(stream)
    assert server.consumed == 10000
    server.consume(stream, 10000)
    assert server.consumed == 10000  # not twice
    server.receive(frame(f.DATA, 0, 1, b"x" * 10), 0.0)  # it crossed with the reset
    assert server.consumed == 10010
    other = request(server, 3, end=False)
    server.receive(frame(f.DATA, 1, 3, b"x" * 10000), 0.0)
    server.send_headers(other, fields(*OK), True)
    assert server.active == 0
    server.consume(other, 10000)
    assert server.consumed == 20010


def test_padding_is_given_back_at_once() -> None:
    server = served(Limits(stream_window=65535, connection_window=65535))
    stream = request(server, end=False)
    (event,) = server.receive(frame(f.DATA, f.PADDED, 1, b"\x64" + b"abc" + b"\0" * 100), 0.0)
    assert isinstance(event, DataReceived) and event.data == b"abc"
    assert (stream.held, server.consumed) == (3, 101)


def test_no_window_is_opened_for_a_peer_that_has_ended() -> None:
    server = served(Limits(stream_window=65535))
    stream = request(server, end=False)
    for flags in (0, 0, 1):
        server.receive(frame(f.DATA, flags, 1, b"x" * 16384), 0.0)
    server.consume(stream, 49152)
    assert server.take() == b""


def test_a_reset_drops_what_waits() -> None:
    server = served()
    server.receive(written(f.write_settings, [(f.INITIAL_WINDOW_SIZE, 1)]), 0.0)
    stream = request(server)
    server.send_headers(stream, fields(*OK), False)
    server.send_data(stream, b"abc", True)
    server.take()
    server.reset(stream, NO_ERROR)
    server.reset(stream, CANCEL)
    assert [(kind, payload) for kind, _, _, payload in frames(server.take())] == [(f.RST_STREAM, b"\0\0\0\0")]
    assert server.receive(written(f.write_window_update, 1, 9), 0.0) == []
    assert server.send_data(stream, b"late", True) == 0
    server.send_headers(stream, fields(*OK), True)
    assert server.take() == b""
    assert (server.active, stream.queued) == (0, 0)


def test_a_stream_ends_once() -> None:
    client = asking()
    stream = client.open(fields(*GET), True, b"GET")
    with pytest.raises(ValueError, match="cannot send data"):
        client.send_data(stream, b"x", True)
    with pytest.raises(ValueError, match="cannot send headers"):
        client.send_headers(stream, fields((b"a", b"b")), True)


def test_a_server_opens_nothing() -> None:
    with pytest.raises(ValueError, match="no stream"):
        served().open(fields(*GET), True)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (b"HEAD", headers(1, [(b":status", b"200"), (b"content-length", b"9")])),
        (b"GET", headers(1, [(b":status", b"304"), (b"content-length", b"9")])),
        (b"GET", headers(1, [(b":status", b"204")], end=False) + frame(f.DATA, 1, 1, b"")),
        (
            b"CONNECT",
            headers(1, [(b":status", b"200"), (b"content-length", b"1")], end=False) + frame(f.DATA, 1, 1, b"ab"),
        ),
    ],
)
def test_responses_without_the_body_that_their_length_promises(method: bytes, said: bytes) -> None:
    client = asking()
    client.open(fields((b":method", method), *GET[1:]), True, method)
    assert resets(client.receive(said, 0.0)) == []
    assert client.active == 0


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (b"HEAD", headers(1, OK, end=False) + frame(f.DATA, 0, 1, b"x")),
        (b"GET", headers(1, [(b":status", b"304")], end=False) + frame(f.DATA, 0, 1, b"x")),
        (b"GET", headers(1, [(b":status", b"200"), (b"content-length", b"1")])),
        (b"GET", frame(f.DATA, 0, 1, b"x")),
        (b"GET", headers(1, [(b":status", b"100")])),
        (b"GET", headers(1, [(b":status", b"101")], end=False)),
        (b"GET", headers(1, OK, end=False) + headers(1, [(b"a", b"b")], end=False)),
        (b"GET", headers(1, OK, end=False) + headers(1, OK)),
    ],
)
def test_responses_that_are_wrong(method: bytes, said: bytes) -> None:
    client = asking()
    client.open(fields((b":method", method), *GET[1:]), True, method)
    ((stream_id, code, _),) = resets(client.receive(said, 0.0))
    assert (stream_id, code) == (1, PROTOCOL_ERROR)
    assert not client.failed and client.active == 0


def test_a_connect_is_a_tunnel_both_ways() -> None:
    server = served()
    events = server.receive(headers(1, [(b":method", b"CONNECT"), (b":authority", b"a:1")], end=False), 0.0)
    (event,) = events
    assert isinstance(event, HeadersReceived)
    server.send_headers(event.stream, fields((b":status", b"200")), False)
    assert told(server.receive(frame(f.DATA, 0, 1, b"in"), 0.0)) == [(1, "data", b"in", False)]
    assert server.send_data(event.stream, b"out", False) == 3
    assert told(server.receive(frame(f.DATA, 1, 1, b""), 0.0)) == [(1, "data", b"", True)]
    server.send_data(event.stream, b"", True)
    assert server.active == 0


def test_an_empty_buffer_keeps_little() -> None:
    client = asking()
    stream = client.open(fields(*POST), False, b"POST")
    before = client.out
    client.take()
    assert client.out is before
    client.receive(written(f.write_window_update, 0, 1000000) + written(f.write_window_update, 1, 1000000), 0.0)
    client.send_data(stream, b"x" * 100000, True)
    assert len(client.take()) > 100000
    assert client.out is not before and len(client.out) == 0
