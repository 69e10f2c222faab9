"""The admin address: a small HTTP/1.1 server. It shares the loop with the calls, so everything about it is bounded.

What the paths show and do is in admin_views.py. Who may ask: whoever reaches the address, but no web page. A page
that a browser on this machine shows could send requests here: those that name another host (DNS rebinding) are
refused while the address is a loopback one, and so are changes that carry an ``Origin``.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, final
from urllib.parse import parse_qsl, urlsplit

import httptools

from gateway import logs
from gateway.admin_views import CHANGES, ROUTES, Request, Response, Runtime, Views, listing, plain
from gateway.config.address import Address
from gateway.config.model import Listener
from gateway.listeners import bind

MAX_CONNECTIONS: Final = 64
MAX_REQUEST: Final = 16 << 10  # bytes of one request, head and body together
REQUEST_TIMEOUT: Final = 10.0  # from its first byte to its last
IDLE_TIMEOUT: Final = 60.0  # of a connection between two requests
WRITE_TIMEOUT: Final = 10.0  # for the client to take an answer
_LINGER: Final = 1.0  # seconds that a refused client may go on sending before it is cut off
_SLICE: Final = 4096  # bytes read at once: bounds how many pipelined requests are held


@final
class Admin:
    """The server of one worker."""

    def __init__(self, runtime: Runtime) -> None:
        self.address: str = ""  # where it listens, once it does
        self.views: Final = Views(runtime)
        self.connections: Final[set[_Connection]] = set()
        self._turned_away: int = 0  # connections that are being told so
        self.host: str | None = None  # what a ``Host`` must name unless it is a loopback name; None: anything goes
        self._servers: Final[list[asyncio.Server]] = []
        self._path: str = ""  # of the unix socket

    async def start(self, address: Address) -> None:
        """Listen.

        Raises:
            ListenError: the address is taken, or not ours.
        """
        for sock in bind(Listener.model_validate({"address": str(address)})):
            if address.path:
                server = await asyncio.start_unix_server(self._connected, sock=sock, limit=_SLICE)
            else:
                server = await asyncio.start_server(self._connected, sock=sock, limit=_SLICE)
                port = sock.getsockname()[1]
                address = Address(address.host, port)
            self._servers.append(server)
        self._path = address.path
        self.address = self.views.address = str(address)
        self.host = address.host if _is_loopback(address.host) else None

    def close(self) -> None:
        """Stop listening, and end every connection."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in list(self.connections):
            connection.abort()
        if self._path:
            with suppress(FileNotFoundError):
                os.unlink(self._path)
            self._path = ""

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        if len(self.connections) >= MAX_CONNECTIONS:
            await self._turn_away(connection)
            return
        self.connections.add(connection)
        try:
            await connection.serve()
        finally:
            self.connections.discard(connection)

    async def _turn_away(self, connection: _Connection) -> None:
        if self._turned_away >= MAX_CONNECTIONS:
            connection.abort()  # too many even to be told
            return
        self._turned_away += 1
        try:
            await connection.refuse(plain(503, f"there are {MAX_CONNECTIONS} admin connections already"))
        finally:
            self._turned_away -= 1

    async def answer(self, request: Request) -> Response:
        """From a request to its answer: is it allowed, does the path exist, is it the right method?"""
        if self.host is not None and not _is_ours(request.headers.get("host", self.host), self.host):
            return plain(403, f"the Host header names another host than this one, {self.address}")
        route = ROUTES.get(request.path)
        if route is None:
            return plain(404, f"no such path. There are:\n{listing()}")
        if request.method not in route.methods:
            allowed = ", ".join(route.methods)
            return plain(405, f"{request.path} takes {allowed} only", ("Allow", allowed))
        if request.method in CHANGES:
            if "origin" in request.headers:
                return plain(403, "web pages may not change anything here")
            logs.info("admin request", method=request.method, path=request.path)
        try:
            return await route.view(self.views, request)
        except Exception as error:  # a view that fails must not take anything else with it
            logs.error("admin request failed", path=request.path, exception=error)
            return plain(500, f"{request.path} failed: see the log")


@final
@dataclass(frozen=True, slots=True)
class _Arrival:
    """A request as it was parsed."""

    method: str
    url: bytes
    fields: list[tuple[str, str]]
    version: str
    keep: bool  # the connection goes on after it


@final
class _Connection:
    """One client: its requests in order, one at a time."""

    def __init__(self, admin: Admin, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._admin: Final = admin
        self._reader: Final = reader
        self._writer: Final = writer
        self._parser: Final = httptools.HttpRequestParser(self)
        self._arrived: Final[deque[_Arrival]] = deque()
        self._problem: Response | None = None  # behind those that arrived; nothing is read any more
        # Of the request that is arriving:
        self._began: float | None = None
        self._size: int = 0
        self._url: bytes = b""
        self._headers: list[tuple[str, str]] = []
        self._in_head: bool = True

    # httptools' callbacks

    def on_message_begin(self) -> None:
        """See httptools."""
        self._began = asyncio.get_running_loop().time()
        self._size = 0
        self._url = b""
        self._headers = []
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """See httptools: it may come in pieces."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools. Trailers say nothing here."""
        if self._in_head:
            self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._in_head = False

    def on_message_complete(self) -> None:
        """See httptools."""
        self._began = None
        parser = self._parser
        keep = parser.should_keep_alive() and not parser.should_upgrade()
        method = parser.get_method().decode("ascii")
        self._arrived.append(_Arrival(method, self._url, self._headers, parser.get_http_version(), keep))

    # The life of the connection

    async def serve(self) -> None:
        """Answer until the client leaves, asks for the end, or breaks the rules."""
        afterwards: Callable[[], None] | None = None
        try:
            while await self._is_there():
                if not self._arrived:
                    await self._say_goodbye()
                    break
                arrival = self._arrived.popleft()
                request = _request(arrival)
                response = request if isinstance(request, Response) else await self._admin.answer(request)
                afterwards = response.afterwards
                keep = arrival.keep and afterwards is None
                await self._send(response, keep=keep, with_body=arrival.method != "HEAD")
                if not keep:
                    break
            await self._close()
        except OSError:  # the client is gone, or takes nothing in time
            self.abort()
        if afterwards is not None:
            afterwards()

    async def refuse(self, response: Response) -> None:
        """A client that is not served at all."""
        self._problem = response
        try:
            await self._say_goodbye()
            await self._close()
        except OSError:
            self.abort()

    def abort(self) -> None:
        """End at once."""
        self._writer.transport.abort()

    async def _is_there(self) -> bool:
        """Wait for a request, or for a problem to report; False: the client left, or had nothing to say."""
        while not self._arrived and self._problem is None:
            try:
                data = await self._read()
            except TimeoutError:
                if self._began is None:
                    return False
                self._problem = plain(408, f"the request was not complete within {REQUEST_TIMEOUT:g} s")
                return True
            if not data:
                return False
            self._feed(data)
        return True

    async def _read(self) -> bytes:
        loop = asyncio.get_running_loop()
        until = loop.time() + IDLE_TIMEOUT if self._began is None else self._began + REQUEST_TIMEOUT
        async with asyncio.timeout_at(until):
            return await self._reader.read(_SLICE)

    def _feed(self, data: bytes) -> None:
        """Parse; a request's size is counted from the first slice that it does not begin in."""
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # the request has arrived, as the last one: what follows would be another protocol
        except httptools.HttpParserError as error:
            self._problem = plain(400, f"this is not HTTP/1.1: {error}")
        if self._problem is None and self._began is not None and self._size > MAX_REQUEST - _SLICE:
            status = 431 if self._in_head else 413
            self._problem = plain(status, f"a request may have {MAX_REQUEST >> 10} KiB here")

    async def _send(self, response: Response, *, keep: bool, with_body: bool = True) -> None:
        self._writer.write(_head(response, keep) + (response.body if with_body else b""))
        async with asyncio.timeout(WRITE_TIMEOUT):
            await self._writer.drain()

    async def _say_goodbye(self) -> None:
        """Tell the problem. Closing with bytes unread would reset the connection, and the client would not hear it."""
        if self._problem is None:
            return
        await self._send(self._problem, keep=False)
        self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                for _ in range(MAX_REQUEST // _SLICE * 16):
                    if not await self._reader.read(_SLICE):
                        break

    async def _close(self) -> None:
        """Everything that was written goes out first."""
        self._writer.close()
        async with asyncio.timeout(WRITE_TIMEOUT):
            await self._writer.wait_closed()


def _head(response: Response, keep: bool) -> bytes:
    fields = [
        ("Date", formatdate(usegmt=True)),
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(response.body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "keep-alive" if keep else "close"),
        *response.headers,
    ]
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}", *(f"{k}: {v}" for k, v in fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _request(arrival: _Arrival) -> Request | Response:
    """What a view gets, or why it gets nothing."""
    hosts = [value for name, value in arrival.fields if name == "host"]
    if len(hosts) > 1 or (not hosts and arrival.version == "1.1"):
        return plain(400, "a request needs one Host header")
    try:
        parsed = httptools.parse_url(arrival.url)
        query = dict(parse_qsl((parsed.query or b"").decode("ascii"), max_num_fields=16))
    except (httptools.HttpParserError, ValueError):
        return plain(400, "this is no proper URL")
    headers = dict(arrival.fields)
    if parsed.host:  # a whole URL wins over the header
        host = parsed.host.decode("latin-1")
        headers["host"] = f"[{host}]" if ":" in host else host
    return Request(arrival.method, (parsed.path or b"").decode("latin-1"), query, headers)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, or a unix socket, which no browser reaches
        return False


def _is_ours(header: str, host: str) -> bool:
    """Whether a ``Host`` is the address itself or another name of this machine's loopback."""
    try:
        named = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    return named == host.lower() or _is_loopback(named)
