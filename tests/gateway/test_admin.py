"""The admin address, asked over real sockets: good requests, bad ones, and too many of them."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from gateway import admin as admin_module
from gateway import logs
from gateway.admin import IDLE_TIMEOUT, MAX_CONNECTIONS, MAX_REQUEST, Admin
from gateway.admin_views import ROUTES
from gateway.config.address import Address
from gateway.listeners import ListenError
from protocols.call import REFUSED
from runtimes import CONFIG, FakeRuntime, eventually, run

LOOPBACK = Address("127.0.0.1", 0)


@dataclass
class Answer:
    """One HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)


class Client:
    """One connection to the admin."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, method: str = "GET") -> Answer:
        """The next response."""
        async with asyncio.timeout(5):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            size = 0 if method == "HEAD" else int(headers["content-length"])
            return Answer(int(status.split()[1]), headers, await self.reader.readexactly(size))

    async def ask(self, method: str, path: str, *headers: str) -> Answer:
        lines = [f"{method} {path} HTTP/1.1", *(headers or ["Host: localhost"]), "", ""]
        self.send("\r\n".join(lines).encode())
        return await self.answer(method)

    async def is_closed(self) -> bool:
        async with asyncio.timeout(5):
            return await self.reader.read() == b""


@dataclass
class Served:
    """A running admin."""

    admin: Admin
    runtime: FakeRuntime

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        address = self.admin.address
        if address.startswith("unix:"):
            reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
        else:
            host, _, port = address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
        try:
            yield Client(reader, writer)
        finally:
            writer.transport.abort()

    async def ask(self, method: str, path: str, *headers: str) -> Answer:
        async with self.client() as client:
            return await client.ask(method, path, *headers)

    async def raw(self, data: bytes) -> Answer:
        """The one response to these bytes; the connection has to close behind it."""
        async with self.client() as client:
            client.send(data)
            answer = await client.answer()
            assert await client.is_closed()
            return answer


def serve(test: Callable[[Served], Awaitable[None]], *, address: Address = LOOPBACK, config: str = CONFIG) -> None:
    """Run a test against an admin of its own."""

    async def scenario() -> None:
        runtime = FakeRuntime(config)
        admin = Admin(runtime)
        await admin.start(address)
        try:
            await test(Served(admin, runtime))
        finally:
            admin.close()
            await eventually(lambda: admin.connections == set())

    run(scenario())


# What the paths show


def test_the_list_of_paths() -> None:
    async def test(served: Served) -> None:
        answer = await served.ask("GET", "/")
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert [line.split()[1] for line in answer.text.splitlines()] == list(ROUTES)

    serve(test)


def test_ready() -> None:
    async def test(served: Served) -> None:
        assert (await served.ask("GET", "/ready")).status == 200
        served.runtime.state = "starting"
        answer = await served.ask("GET", "/ready")
        assert (answer.status, answer.text) == (503, "starting: the first connect is still under way of cache, open\n")
        for service in served.runtime.services.values():
            service.endpoint.tried.set()
        assert (await served.ask("GET", "/ready")).text == "starting\n"
        served.runtime.state = "draining"
        answer = await served.ask("GET", "/ready")
        assert (answer.status, answer.text) == (503, "draining\n")
        assert (await served.ask("GET", "/healthz")).status == 200

    serve(test)


def test_metrics() -> None:
    async def test(served: Served) -> None:
        served.runtime.record("GET", 0.001, count=3)
        answer = await served.ask("GET", "/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert 'service="cache",verb="GET"} 3.0' in answer.text
        accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        answer = await served.ask("GET", "/metrics", "Host: localhost", accept)
        assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        families = {f.name for f in text_string_to_metric_families(answer.text)}
        assert "db_client_connection_count" in families

    serve(test)


def test_stats() -> None:
    async def test(served: Served) -> None:
        served.runtime.record("GET", 0.0002, count=9)
        served.runtime.record("SET", 0.03)
        served.runtime.record("GET", 0.0, count=2, outcome=REFUSED)
        served.runtime.connect("open", b"*2\r\n$5\r\nWATCH\r\n$1\r\nk\r\n")
        served.runtime.services["cache"].governance.policies[0].refused = 2
        stats = (await served.ask("GET", "/stats")).json
        cache, opened = stats["services"]["cache"], stats["services"]["open"]
        assert (stats["state"], cache["protocol"]) == ("ready", "redis")
        assert {name: cache["calls"][name] for name in ("ok", "refused", "fatal")} == {
            "ok": 10,
            "refused": 2,
            "fatal": 0,
        }
        assert list(cache["calls"]["by_verb"]) == ["GET", "SET"]
        get = cache["calls"]["by_verb"]["GET"]
        assert (get["effect"], get["ok"], get["refused"]) == ("read", 9, 2)
        assert get["latency_ms"]["p50"] == pytest.approx(0.175)
        assert get["latency_ms"]["mean"] == pytest.approx(0.2)
        assert 25 < cache["calls"]["latency_ms"]["p99"] <= 50
        assert cache["refusals"] == {"by_policy": {"rate_limit": 2}, "by_pool": {}}
        assert [policy["policy"] for policy in cache["policies"]][2:4] == ["rate_limit", "rate_limit_2"]
        assert opened["sessions"]["open"] == 1
        assert opened["sessions"]["pinned"] == {"WATCH": 1}
        assert opened["calls"]["latency_ms"] == {"p50": None, "p90": None, "p99": None, "mean": None}

    serve(test)


def test_clusters() -> None:
    async def test(served: Served) -> None:
        (endpoint,) = (await served.ask("GET", "/clusters")).json["cache"]["endpoints"]
        assert (endpoint["address"], endpoint["state"]) == ("127.0.0.1:6390", "connecting")
        served.runtime.services["cache"].endpoint.tried.set()
        (endpoint,) = (await served.ask("GET", "/clusters")).json["cache"]["endpoints"]
        assert endpoint["state"] == "up"
        served.runtime.services["cache"].endpoint.throttle.failed(0.0, "Connection refused", 1.0)
        (endpoint,) = (await served.ask("GET", "/clusters")).json["cache"]["endpoints"]
        assert (endpoint["state"], endpoint["connects"]["failure"]) == ("down", "Connection refused")
        assert endpoint["leases"]["max"] == 8

    serve(test)


def test_sessions() -> None:
    async def test(served: Served) -> None:
        for _ in range(3):
            served.runtime.connect("cache")
        served.runtime.connect("open", b"*2\r\n$5\r\nWATCH\r\n$1\r\nk\r\n")
        everyone = (await served.ask("GET", "/sessions")).json
        assert (everyone["total"], everyone["shown"]) == (4, 4)
        (watcher,) = (await served.ask("GET", "/sessions?service=open")).json["sessions"]
        assert (watcher["service"], watcher["peer"]) == ("open", "127.0.0.1:50000")
        assert re.fullmatch(r"pinned because WATCH since \d\.\d s", watcher["holds"])
        assert watcher["waits_for_lease"]
        some = (await served.ask("GET", "/sessions?limit=2")).json
        assert (some["total"], some["shown"], len(some["sessions"])) == (4, 2, 2)
        assert (await served.ask("GET", "/sessions?service=nope")).status == 404
        for limit in ("-1", "x", "%C2%B2", "9" * 30):
            assert (await served.ask("GET", f"/sessions?limit={limit}")).status == 400

    serve(test)


def test_config_dump_hides_secrets() -> None:
    async def test(served: Served) -> None:
        answer = await served.ask("GET", "/config_dump")
        assert answer.json["services"]["cache"]["upstream"]["password"] == "***"
        assert answer.json["services"]["open"]["pool"]["lanes"] == 2
        assert "s3cret" not in answer.text

    serve(test)


def test_server_info() -> None:
    async def test(served: Served) -> None:
        info = (await served.ask("GET", "/server_info")).json
        assert info["form"] in ("compiled", "interpreted")
        assert info["listeners"][0] == {"service": "cache", "address": "127.0.0.1:6380"}
        assert info["admin"] == served.admin.address
        assert info["uptime"] >= 0

    serve(test)


# What the paths do


def test_drain_and_quit() -> None:
    async def test(served: Served) -> None:
        assert (await served.ask("POST", "/drain")).text == "draining\n"
        assert served.runtime.told == ["drain"]
        async with served.client() as client:
            answer = await client.ask("POST", "/quitquitquit")
            assert (answer.text, answer.headers["connection"]) == ("quitting\n", "close")
            assert await client.is_closed()
        await eventually(lambda: served.runtime.told == ["drain", "quit"])

    serve(test)


def test_quit_when_the_client_does_not_wait_for_the_answer() -> None:
    async def test(served: Served) -> None:
        async with served.client() as client:
            client.send(b"POST /quitquitquit HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await client.writer.drain()
        await eventually(lambda: served.runtime.told == ["quit"])

    serve(test)


def test_log_level(monkeypatch: pytest.MonkeyPatch) -> None:
    levels: list[str] = []
    monkeypatch.setattr(logs, "set_level", levels.append)

    async def test(served: Served) -> None:
        assert (await served.ask("POST", "/logging?level=debug")).text == "level debug\n"
        for query in ("", "?level=", "?level=loud"):
            assert (await served.ask("POST", f"/logging{query}")).status == 400

    serve(test)
    assert levels == ["debug"]


def test_a_post_may_have_a_body() -> None:
    async def test(served: Served) -> None:
        async with served.client() as client:
            client.send(b"POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello")
            assert (await client.answer()).status == 200
            chunked = (
                b"POST /drain HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
            )
            client.send(chunked + b"Origin: http://evil\r\n\r\n")
            assert (await client.answer()).status == 200
            assert (await client.ask("GET", "/healthz")).status == 200

    serve(test)


# HTTP


def test_http_client_of_the_standard_library() -> None:
    async def test(served: Served) -> None:
        def ask() -> list[tuple[int, bytes]]:
            host, _, port = served.admin.address.rpartition(":")
            connection = HTTPConnection(host, int(port), timeout=5)
            found = []
            for method, path in (("GET", "/healthz"), ("HEAD", "/stats"), ("POST", "/drain"), ("GET", "/nowhere")):
                connection.request(method, path)
                response = connection.getresponse()
                found.append((response.status, response.read()[:9]))
            connection.close()
            return found

        assert await asyncio.to_thread(ask) == [(200, b"ok\n"), (200, b""), (200, b"draining\n"), (404, b"no such p")]

    serve(test)


def test_unknown_path() -> None:
    async def test(served: Served) -> None:
        for method in ("GET", "POST", "DELETE"):
            answer = await served.ask(method, "/stats/")
            assert answer.status == 404
            assert "/quitquitquit" in answer.text

    serve(test)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_methods(path: str, method: str) -> None:
    async def test(served: Served) -> None:
        route = ROUTES[path]
        if method in route.methods:
            return
        answer = await served.ask(method, path)
        assert (answer.status, answer.headers["allow"]) == (405, ", ".join(route.methods))
        assert served.runtime.told == []

    serve(test)


def test_head_is_get_without_body() -> None:
    async def test(served: Served) -> None:
        get, head = await served.ask("GET", "/"), await served.ask("HEAD", "/")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"] != "0"

    serve(test)


def test_keep_alive_and_pipelining() -> None:
    async def test(served: Served) -> None:
        async with served.client() as client:
            paths = ["/healthz", "/metrics", "/ready", "/nowhere", "/stats"] * 200
            client.send(b"".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for path in paths))
            for path in paths:
                answer = await client.answer()
                assert answer.status == (404 if path == "/nowhere" else 200)
                assert answer.headers["connection"] == "keep-alive"

    serve(test)


def test_byte_by_byte() -> None:
    async def test(served: Served) -> None:
        async with served.client() as client:
            for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n":
                client.send(bytes([byte]))
                await asyncio.sleep(0.001)
            assert (await client.answer()).text == "ok\n"

    serve(test)


@pytest.mark.parametrize(
    "head", ["GET /healthz HTTP/1.0", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close"]
)
def test_the_connection_closes_when_asked(head: str) -> None:
    async def test(served: Served) -> None:
        answer = await served.raw(f"{head}\r\n\r\nGET /stats HTTP/1.1\r\n\r\n".encode())
        assert (answer.status, answer.headers["connection"]) == (200, "close")

    serve(test)


def test_an_upgrade_is_declined() -> None:
    async def test(served: Served) -> None:
        fields = "Host: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x"
        answer = await served.raw(f"GET /healthz HTTP/1.1\r\n{fields}\r\n\r\nPRI * HTTP/2.0".encode())
        assert (answer.status, answer.text) == (200, "ok\n")

    serve(test)


def test_a_view_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(served: Served) -> None:
        monkeypatch.delattr(served.runtime, "listening")
        async with served.client() as client:
            answer = await client.ask("GET", "/server_info")
            assert (answer.status, answer.text) == (500, "/server_info failed: see the log\n")
            assert (await client.ask("GET", "/healthz")).status == 200

    serve(test)


# Broken and greedy clients


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"*1\r\n$4\r\nPING\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/3.0\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /drain HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\xff" * 100,
        b"\x00" * 100_000,
    ],
)
def test_garbage(garbage: bytes) -> None:
    async def test(served: Served) -> None:
        answer = await served.raw(garbage)
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        assert served.runtime.told == []
        assert (await served.ask("GET", "/healthz")).status == 200

    serve(test)


def test_garbage_behind_a_good_request() -> None:
    async def test(served: Served) -> None:
        async with served.client() as client:
            client.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n\x16\x03\x01")
            assert (await client.answer()).status == 200
            assert (await client.answer()).status == 400
            assert await client.is_closed()

    serve(test)


@pytest.mark.parametrize(
    "request_head",
    [
        "GET / HTTP/1.1",  # no Host
        "GET / HTTP/1.1\r\nHost: localhost\r\nHost: 127.0.0.1",
        "CONNECT localhost:1 HTTP/1.1\r\nHost: localhost",
        "GET /sessions?" + "&".join(f"a{i}=1" for i in range(40)) + " HTTP/1.1\r\nHost: localhost",
    ],
)
def test_requests_that_make_no_sense(request_head: str) -> None:
    async def test(served: Served) -> None:
        async with served.client() as client:
            client.send(f"{request_head}\r\n\r\n".encode())
            assert (await client.answer()).status == 400

    serve(test)


@pytest.mark.parametrize(
    ("greedy", "status"),
    [
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 1_000_000, 431),
        (b"POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 40_000, 413),
        (b"POST /drain HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 9000, 413),
    ],
)
def test_requests_that_are_too_large(greedy: bytes, status: int) -> None:
    async def test(served: Served) -> None:
        async with served.client() as client:
            client.send(greedy)
            assert (await client.answer()).status == status
        assert served.runtime.told == []

    serve(test)


def test_the_size_is_of_one_request_not_of_all() -> None:
    async def test(served: Served) -> None:
        async with served.client() as client:
            padding = "X-Padding: " + "y" * (MAX_REQUEST // 3)
            for _ in range(10):
                assert (await client.ask("GET", "/healthz", "Host: localhost", padding)).status == 200

    serve(test)


def test_a_slow_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_module, "REQUEST_TIMEOUT", 0.1)

    async def test(served: Served) -> None:
        async with served.client() as client:
            for byte in b"GET / HTTP/1.1\r\n":  # each byte in time, the request not
                client.send(bytes([byte]))
                await asyncio.sleep(0.01)
            assert (await client.answer()).status == 408
            assert await client.is_closed()

    serve(test)


def test_an_idle_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    assert IDLE_TIMEOUT > 15  # Prometheus scrapes that often over one connection
    monkeypatch.setattr(admin_module, "IDLE_TIMEOUT", 0.05)

    async def test(served: Served) -> None:
        async with served.client() as client:
            assert (await client.ask("GET", "/healthz")).status == 200
            assert await client.is_closed()

    serve(test)


def test_a_client_that_takes_no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_module, "WRITE_TIMEOUT", 0.1)

    async def test(served: Served) -> None:
        for number in range(300):
            served.runtime.connect("open", b"CLIENT SETNAME client-%d\r\n" % number)
        async with served.client() as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            client.send(b"GET /sessions HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5000)
            await eventually(lambda: bool(served.admin.connections))
            await eventually(lambda: not served.admin.connections)
        assert (await served.ask("GET", "/healthz")).status == 200

    serve(test)


def test_too_many_connections() -> None:
    async def test(served: Served) -> None:
        writers = []
        host, _, port = served.admin.address.rpartition(":")
        for _ in range(MAX_CONNECTIONS):
            _, writer = await asyncio.open_connection(host, int(port))
            writers.append(writer)
        await eventually(lambda: len(served.admin.connections) == MAX_CONNECTIONS)
        for _ in range(3):
            answer = await served.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert answer.status == 503
        writers.pop().transport.abort()
        await eventually(lambda: len(served.admin.connections) < MAX_CONNECTIONS)
        assert (await served.ask("GET", "/healthz")).status == 200
        for writer in writers:
            writer.transport.abort()

    serve(test)


def test_far_too_many_connections() -> None:
    async def test(served: Served) -> None:
        host, _, port = served.admin.address.rpartition(":")
        opened = [await asyncio.open_connection(host, int(port)) for _ in range(4 * MAX_CONNECTIONS)]
        await eventually(lambda: len(served.admin.connections) == MAX_CONNECTIONS)
        async with asyncio.timeout(5):
            told = [await reader.read() for reader, _ in opened[MAX_CONNECTIONS:]]
        assert 0 < sum(answer.startswith(b"HTTP/1.1 503 ") for answer in told) <= len(told)
        for _, writer in opened:
            writer.transport.abort()
        await eventually(lambda: not served.admin.connections)
        assert (await served.ask("GET", "/healthz")).status == 200

    serve(test)


def test_clients_that_leave_in_the_middle() -> None:
    async def test(served: Served) -> None:
        whole = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for end in range(0, len(whole) + 1, 3):
            async with served.client() as client:
                client.send(whole[:end])
                await asyncio.sleep(0)
        await eventually(lambda: served.admin.connections == set())

    serve(test)


# Web pages are not invited


@pytest.mark.parametrize("path", ["/drain", "/quitquitquit", "/logging?level=debug"])
def test_changes_with_an_origin_are_refused(path: str) -> None:
    async def test(served: Served) -> None:
        for origin in ("http://evil.example", "null", "http://127.0.0.1:9901"):
            assert (await served.ask("POST", path, "Host: localhost", f"Origin: {origin}")).status == 403
        assert served.runtime.told == []
        assert (await served.ask("GET", "/stats", "Host: localhost", "Origin: http://evil.example")).status == 200

    serve(test)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:9901", 200),
        ("127.0.0.1:1", 200),
        ("127.9.9.9", 200),
        ("[::1]:9901", 200),
        ("evil.example:9901", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("10.0.0.5", 403),
        ("", 403),
        ("[::1", 403),
        ("a@localhost", 200),
    ],
)
def test_the_host_that_a_request_names(host: str, status: int) -> None:
    async def test(served: Served) -> None:
        assert (await served.ask("GET", "/stats", f"Host: {host}")).status == status

    serve(test)


def test_a_whole_url_names_the_host() -> None:
    async def test(served: Served) -> None:
        assert (await served.ask("GET", "http://evil.example/stats")).status == 403
        assert (await served.ask("GET", "http://localhost:1/stats?x=y")).status == 200
        assert (await served.ask("GET", "http://[::1]:1/stats")).status == 200

    serve(test)


def test_an_address_for_everyone_takes_any_host() -> None:
    async def test(served: Served) -> None:
        assert (await served.ask("GET", "/stats", "Host: gateway.example")).status == 200

    serve(test, address=Address("0.0.0.0", 0))


# Addresses


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"

    async def test(served: Served) -> None:
        assert served.admin.address == f"unix:{path}"
        assert path.stat().st_mode & 0o077 == 0
        assert (await served.ask("GET", "/healthz", "Host: whatever")).status == 200

    serve(test, address=Address(path=str(path)))
    assert not path.exists()
    serve(test, address=Address(path=str(path)))


def test_ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")

    async def test(served: Served) -> None:
        assert served.admin.address.startswith("[::1]:")
        reader, writer = await asyncio.open_connection("::1", int(served.admin.address.rpartition(":")[2]))
        assert (await Client(reader, writer).ask("GET", "/healthz", "Host: [::1]")).status == 200
        writer.transport.abort()

    serve(test, address=Address("::1", 0))


def test_an_address_that_is_taken() -> None:
    async def test(served: Served) -> None:
        host, _, port = served.admin.address.rpartition(":")
        with pytest.raises(ListenError, match=served.admin.address):
            await Admin(served.runtime).start(Address(host, int(port)))

    serve(test)


def test_close_ends_connections() -> None:
    async def test(served: Served) -> None:
        async with served.client() as client:
            assert (await client.ask("GET", "/healthz")).status == 200
            served.admin.close()
            assert await client.is_closed()
            with pytest.raises(OSError):
                await served.ask("GET", "/healthz")

    serve(test)
