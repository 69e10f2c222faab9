"""One test per attack on HTTP/2 that has a name: each ends in a refusal that can be counted, and in bounded memory."""

from __future__ import annotations

import pytest
from librt.strings import BytesWriter

from http2_playbook import GET, OK, POST, Pairs, asking, block, failure, frame, frames, headers, resets, served, written
from protocols.http import frames as f
from protocols.http.errors import (
    CANCEL,
    COMPRESSION,
    COMPRESSION_ERROR,
    CONTENT_LENGTH,
    CONTINUATION_FLOOD,
    CONTROL_FLOOD,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAMING,
    HEADER_LIST,
    MALFORMED,
    PROTOCOL_ERROR,
    RAPID_RESET,
    REFUSED_STREAM,
    STREAM_CLOSED,
    STREAM_LIMIT,
    WINDOW,
)
from protocols.http.events import ConnectionFailed, Event, HeadersReceived, RequestTooLarge
from protocols.http.fields import fields
from protocols.http.hpack import write_number
from protocols.http.http2 import Connection
from protocols.http.limits import Limits

TIGHT = Limits(
    max_streams=4, stream_window=65535, connection_window=65535, max_fields=20, max_header_bytes=2000,
    max_continuations=3, resets=10, resets_rate=1.0, noise=50, noise_rate=1.0,
)  # fmt: skip


def until_failure(server: Connection, said: bytes, most: int, now: float = 0.0) -> int:
    """How often it can be said before the connection ends."""
    for count in range(most):
        events = server.receive(said, now)
        server.take()
        if events and isinstance(events[-1], ConnectionFailed):
            return count
    raise AssertionError("it went on")


def test_rapid_reset() -> None:
    """CVE-2023-44487."""
    server = served(TIGHT)
    events: list[Event] = []
    for stream_id in range(1, 2001, 2):
        events = server.receive(headers(stream_id, GET) + written(f.write_reset, stream_id, CANCEL), 0.0)
        assert server.active == 0 and server.streams.count <= 65
        if server.failed:
            break
    assert failure(events) == (ENHANCE_YOUR_CALM, RAPID_RESET)
    assert stream_id == 21


def test_resets_that_take_their_time_are_no_attack() -> None:
    server = served(TIGHT)
    for at in range(1000):
        server.receive(headers(2 * at + 1, GET) + written(f.write_reset, 2 * at + 1, CANCEL), float(at))
    assert not server.failed


def test_resets_that_the_peer_provokes() -> None:
    """CVE-2025-8671: the peer makes us reset its streams."""
    server = served(TIGHT)
    events: list[Event] = []
    for stream_id in range(1, 2001, 2):
        events = server.receive(
            headers(stream_id, POST, end=False) + frame(f.WINDOW_UPDATE, 0, stream_id, b"\0" * 4), 0.0
        )
        if server.failed:
            break
    assert failure(events) == (ENHANCE_YOUR_CALM, RAPID_RESET)
    assert stream_id == 21


def test_an_upstream_may_reset_what_it_likes() -> None:
    client = asking(TIGHT)
    for _ in range(100):
        stream = client.open(fields(*GET), True)
        client.receive(written(f.write_reset, stream.id, REFUSED_STREAM), 0.0)
    assert not client.failed and client.active == 0


def test_continuation_flood_by_frames() -> None:
    server = served(TIGHT)
    server.receive(frame(f.HEADERS, 0, 1, block(GET)), 0.0)
    assert until_failure(server, frame(f.CONTINUATION, 0, 1, b""), 100) == 3


def test_continuation_flood_by_bytes() -> None:
    server = served(TIGHT)
    server.receive(frame(f.HEADERS, 0, 1, block(GET)), 0.0)
    events = server.receive(frame(f.CONTINUATION, 0, 1, b"x" * 2001), 0.0)
    assert failure(events) == (ENHANCE_YOUR_CALM, CONTINUATION_FLOOD)


def bomb() -> bytes:
    """A block that puts a large field into the table, and refers to it over and over."""
    out = BytesWriter()
    out.write(block(GET) + b"\x40\x01a")
    write_number(out, 0, 0x7F, 900)
    return out.getvalue() + b"x" * 900 + b"\xbe" * 500


def test_hpack_bomb_in_a_request() -> None:
    server = served(TIGHT)
    (event,) = server.receive(frame(f.HEADERS, f.END_HEADERS | f.END_STREAM, 1, bomb()), 0.0)
    assert isinstance(event, RequestTooLarge) and event.end and event.size > 400000
    server.send_headers(event.stream, fields((b":status", b"431")), True)
    (event,) = server.receive(frame(f.HEADERS, f.END_HEADERS | f.END_STREAM, 3, block(GET) + b"\xbe"), 0.0)
    assert isinstance(event, HeadersReceived)  # the table is as the peer believes it to be


def test_hpack_bomb_in_a_response_and_in_trailers() -> None:
    client = asking(TIGHT)
    first, second = client.open(fields(*GET), True), client.open(fields(*GET), True)
    events = client.receive(frame(f.HEADERS, f.END_HEADERS, 1, bomb()), 0.0)
    assert resets(events) == [(first.id, ENHANCE_YOUR_CALM, HEADER_LIST)]
    events = client.receive(headers(3, OK, end=False) + frame(f.HEADERS, 5, 3, b"\xbe" * 500), 0.0)
    assert resets(events) == [(second.id, ENHANCE_YOUR_CALM, HEADER_LIST)]


def test_too_many_fields() -> None:
    (event,) = served(TIGHT).receive(headers(1, [*GET, *[(b"a", b"")] * 17]), 0.0)
    assert isinstance(event, RequestTooLarge)


@pytest.mark.parametrize(
    ("said", "most"),
    [
        (frame(f.PING, 0, 0, b"12345678"), 50),  # CVE-2019-9512
        (frame(f.PING, f.ACK, 0, b"12345678"), 50),
        (frame(f.SETTINGS, 0, 0), 5),  # CVE-2019-9515
        (frame(f.SETTINGS, f.ACK, 0), 50),
        (frame(f.PRIORITY, 0, 1, b"\0\0\0\3\0"), 50),  # CVE-2019-9513
        (frame(f.WINDOW_UPDATE, 0, 0, b"\0\0\0\1"), 50),
        (frame(f.DATA, 0, 1, b""), 50),  # CVE-2019-9518
        (frame(f.DATA, f.PADDED, 1, b"\0"), 50),
        (frame(0xEE, 0, 0, b""), 50),
        (frame(f.GOAWAY, 0, 0, b"\0" * 8), 50),
    ],
)
def test_floods_of_frames_that_carry_no_message(said: bytes, most: int) -> None:
    server = served(TIGHT)
    server.receive(headers(1, POST, end=False), 0.0)
    count = until_failure(server, said, 1000)
    assert most - 10 <= count <= most + 4
    server = served(TIGHT)
    server.receive(headers(1, POST, end=False), 0.0)
    for at in range(200):
        server.receive(said, 10.0 * at)
    assert not server.failed


def test_interim_responses_without_end() -> None:
    client = asking(TIGHT)
    client.open(fields(*GET), True)
    events: list[Event] = []
    while not client.failed:
        events = client.receive(headers(1, [(b":status", b"103")], end=False), 0.0)
    assert failure(events) == (ENHANCE_YOUR_CALM, CONTROL_FLOOD)


def test_settings_flood_is_counted() -> None:
    server = served(TIGHT)
    events: list[Event] = []
    while not server.failed:
        events = server.receive(frame(f.SETTINGS, 0, 0), 0.0)
    assert failure(events) == (ENHANCE_YOUR_CALM, CONTROL_FLOOD)


def test_pings_beside_data_are_no_flood() -> None:
    """As grpc-go measures its windows: a PING for every piece of data."""
    server = served(TIGHT)
    (event,) = server.receive(headers(1, POST, end=False), 0.0)
    assert isinstance(event, HeadersReceived)
    for _ in range(1000):
        server.receive(frame(f.DATA, 0, 1, b"x") + frame(f.PING, 0, 0, b"12345678"), 0.0)
        server.consume(event.stream, 1)
    assert not server.failed


def test_windows_that_are_opened_in_small_steps_are_no_flood() -> None:
    """As Go's client reads: both windows, every 4 KiB."""
    server = served(TIGHT)
    (event,) = server.receive(headers(1, GET), 0.0)
    assert isinstance(event, HeadersReceived)
    server.send_headers(event.stream, fields(*OK), False)
    for _ in range(500):
        assert server.send_data(event.stream, b"x" * 16384, False) == 16384
        for _ in range(4):
            server.receive(written(f.write_window_update, 0, 4096) + written(f.write_window_update, 1, 4096), 0.0)
    assert not server.failed


def test_settings_frames_are_bounded() -> None:
    events = served().receive(frame(f.SETTINGS, 0, 0, b"\0\x09\0\0\0\0" * 65), 0.0)
    assert failure(events) == (ENHANCE_YOUR_CALM, CONTROL_FLOOD)


def test_too_many_streams() -> None:
    server = served(TIGHT)
    events = server.receive(b"".join(headers(at, POST, end=False) for at in range(1, 13, 2)), 0.0)
    assert resets(events) == [(9, REFUSED_STREAM, STREAM_LIMIT), (11, REFUSED_STREAM, STREAM_LIMIT)]
    assert server.active == 4


def test_the_window_of_a_stream_is_held() -> None:
    server = served(Limits(stream_window=65535))
    server.receive(headers(1, POST, end=False), 0.0)
    for _ in range(3):
        assert not resets(server.receive(frame(f.DATA, 0, 1, b"x" * 16384), 0.0))
    events = server.receive(frame(f.DATA, 0, 1, b"x" * 16384), 0.0)
    assert resets(events) == [(1, FLOW_CONTROL_ERROR, WINDOW)]


def test_the_window_of_a_connection_is_held() -> None:
    server = served(TIGHT)
    server.receive(headers(1, POST, end=False) + headers(3, POST, end=False), 0.0)
    for stream_id in (1, 3, 1):
        assert not server.failed
        server.receive(frame(f.DATA, 0, stream_id, b"x" * 16384), 0.0)
    assert failure(server.receive(frame(f.DATA, 0, 3, b"x" * 16384), 0.0)) == (FLOW_CONTROL_ERROR, WINDOW)


def test_the_windows_of_the_peer_do_not_overflow() -> None:
    server = served()
    server.receive(headers(1, POST, end=False), 0.0)
    most = written(f.write_window_update, 1, f.MAX_WINDOW)
    assert resets(server.receive(most, 0.0)) == [(1, FLOW_CONTROL_ERROR, WINDOW)]
    most = written(f.write_window_update, 0, f.MAX_WINDOW)
    assert failure(server.receive(most, 0.0)) == (FLOW_CONTROL_ERROR, WINDOW)


def test_settings_do_not_overflow_the_windows_of_streams() -> None:
    server = served()
    server.receive(headers(1, POST, end=False) + written(f.write_window_update, 1, 1000), 0.0)
    events = server.receive(written(f.write_settings, [(f.INITIAL_WINDOW_SIZE, f.MAX_WINDOW)]), 0.0)
    assert failure(events) == (FLOW_CONTROL_ERROR, WINDOW)


def test_broken_compression() -> None:
    events = served().receive(frame(f.HEADERS, f.END_HEADERS, 1, b"\xff"), 0.0)
    assert failure(events) == (COMPRESSION_ERROR, COMPRESSION)


@pytest.mark.parametrize(
    "of",
    [
        [*POST, (b"transfer-encoding", b"chunked")],
        [*POST, (b"connection", b"x-a")],
        [*POST, (b"x-a", b"b\r\ntransfer-encoding: chunked")],
        [*POST, (b"x-a\r\nhost", b"b")],
        [*POST, (b"host", b"b.test")],
        [*POST[:3], (b":path", b"/ HTTP/1.1\r\nhost: b\r\n\r\nGET /")],
        [*POST[:3], (b":path", b"/a b")],
        [(b":method", b"GET / HTTP/1.1\r\n"), *POST[1:]],
        [*POST, (b"content-length", b"1"), (b"content-length", b"2")],
    ],
)
def test_smuggling_by_what_http1_reads_otherwise(of: Pairs) -> None:
    server = served()
    assert resets(server.receive(headers(1, of, end=False), 0.0)) == [(1, PROTOCOL_ERROR, MALFORMED)]
    assert [(kind, stream) for kind, _, stream, _ in frames(server.take())] == [(f.RST_STREAM, 1)]


@pytest.mark.parametrize(
    "body",
    [
        headers(1, [*POST, (b"content-length", b"3")], end=True),
        headers(1, [*POST, (b"content-length", b"3")], end=False) + frame(f.DATA, 1, 1, b"ab"),
        headers(1, [*POST, (b"content-length", b"3")], end=False) + frame(f.DATA, 0, 1, b"abcd"),
        headers(1, [*POST, (b"content-length", b"3")], end=False) + headers(1, [(b"a", b"b")]),
        headers(1, [*POST, (b"content-length", b"0")], end=False) + frame(f.DATA, 0, 1, b"a"),
    ],
)
def test_smuggling_by_content_length(body: bytes) -> None:
    assert resets(served().receive(body, 0.0)) == [(1, PROTOCOL_ERROR, CONTENT_LENGTH)]


def test_frames_on_streams_that_have_ended() -> None:
    server = served()
    (event,) = server.receive(headers(1, GET), 0.0)
    assert resets(server.receive(frame(f.DATA, 0, 1, b"x"), 0.0)) == [(1, STREAM_CLOSED, FRAMING)]
    (event,) = server.receive(headers(3, GET), 0.0)
    assert isinstance(event, HeadersReceived)
    server.send_headers(event.stream, fields(*OK), True)
    for harmless in (written(f.write_window_update, 3, 5), written(f.write_reset, 3, CANCEL)):
        assert server.receive(harmless + frame(f.PRIORITY, 0, 3, b"\0" * 5), 0.0) == []
    assert failure(server.receive(frame(f.DATA, 0, 3, b"x"), 0.0)) == (STREAM_CLOSED, FRAMING)


def test_a_stream_id_never_comes_again() -> None:
    server = served()
    for event in server.receive(headers(1, GET) + headers(5, GET), 0.0):
        assert isinstance(event, HeadersReceived)
        server.send_headers(event.stream, fields(*OK), True)
    assert failure(server.receive(headers(3, GET), 0.0)) == (STREAM_CLOSED, FRAMING)


def test_what_crosses_with_a_reset_is_no_error_however_late() -> None:
    server = served()
    streams = []
    for at in range(100):
        (event,) = server.receive(headers(2 * at + 1, POST, end=False), 0.0)
        assert isinstance(event, HeadersReceived)
        streams.append(event.stream)
        server.reset(event.stream)
    for stream in streams:
        assert server.receive(frame(f.DATA, 0, stream.id, b"x") + headers(stream.id, [(b"a", b"b")]), 0.0) == []
    assert not server.failed and server.streams.count <= 65


def test_a_secret_is_in_no_text() -> None:
    server = served()
    events = server.receive(headers(1, [*GET, (b"authorization", b"hush\r")]), 0.0)
    assert resets(events) == [(1, PROTOCOL_ERROR, MALFORMED)]
    assert all("hush" not in str(vars(event) if hasattr(event, "__dict__") else event) for event in events)
