"""TLS as a layer: against itself, against Python's own, below a session and below an upstream connection."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.driver import Driver
from gateway.layers import Layers
from gateway.meter import Meter
from gateway.roles import Keeper
from gateway.session import Session
from gateway.tls import TlsClient, TlsLayer, listener_context
from gateway.upstream import CLOSED, OPEN, OPENING, Connection
from protocols.codec import Login, UpstreamCodec
from protocols.errors import ProtocolError
from protocols.layer import Layer
from protocols.mysql.compress import CompressLayer
from runtimes import Transport, run
from servers import COMPILED, Certificates

interpreted_only = pytest.mark.skipif(COMPILED, reason="a compiled Driver has compiled subclasses only")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server_context(certificates: Certificates) -> ssl.SSLContext:
    return listener_context(certificates.server, certificates.server_key, None)


@pytest.fixture
def client_context(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates.ca))


class Peer:
    """The other end of what is tested: a layer, and all the plain bytes that came out of it."""

    def __init__(self, layer: Layer) -> None:
        self.layer: Final = layer
        self.plain = b""

    def hears(self, wire: bytes) -> bytes:
        """Bytes from the other end; returns what this one says to them by itself."""
        self.plain += self.layer.received(wire)
        return self.layer.pending()


def talk(client: Peer, server: Peer, tear: Callable[[bytes], Iterator[bytes]] = lambda wire: iter([wire])) -> None:
    """Pass on what both say by themselves until both are silent."""
    to_server, to_client = client.layer.pending(), server.layer.pending()
    while to_server or to_client:
        to_client += b"".join([server.hears(piece) for piece in tear(to_server)])
        to_server = b"".join([client.hears(piece) for piece in tear(to_client)])
        to_client = b""


def one_by_one(wire: bytes) -> Iterator[bytes]:
    return (wire[at : at + 1] for at in range(len(wire)))


def connected(client: TlsLayer, server: TlsLayer) -> tuple[Peer, Peer]:
    ends = Peer(client), Peer(server)
    talk(*ends)
    return ends


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_ends_understand_each_other(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    client_context.maximum_version = version
    client = Peer(TlsLayer(client_context, server_name="localhost"))
    server = Peer(TlsLayer(server_context, server_side=True))
    talk(client, server, one_by_one)
    large = bytes(range(256)) * 5000
    for sender, receiver in ((client, server), (server, client)):
        wire = sender.layer.sending(b"small") + sender.layer.sending(large)
        assert b"small" not in wire
        for at in range(0, len(wire), 10_007):
            assert receiver.hears(wire[at : at + 10_007]) == b""
        assert receiver.plain == b"small" + large
    assert server.hears(client.layer.closing()) == b""
    assert server.layer.ended
    assert not client.layer.ended
    assert server.layer.received(b"ignored") == b""


def test_every_split_of_the_handshake(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    at, longest = 0, 1
    while at < longest:
        client = Peer(TlsLayer(client_context, server_name="localhost"))
        server = Peer(TlsLayer(server_context, server_side=True))
        client.layer.sending(b"question")
        hello = client.layer.pending()
        longest = len(hello)
        flight = server.hears(hello[:at]) + server.hears(hello[at:])
        half = at % len(flight)
        finished = client.hears(flight[:half]) + client.hears(flight[half:])
        half = at % len(finished)
        tickets = server.hears(finished[:half]) + server.hears(finished[half:])
        assert server.plain == b"question"
        client.hears(tickets + server.layer.sending(b"answer"))
        assert client.plain == b"answer"
        at += 7


def test_nothing_leaves_before_the_other_end_is_known(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    client = Peer(TlsLayer(client_context, server_name="elsewhere.example"))
    server = Peer(TlsLayer(server_context, server_side=True))
    assert client.layer.sending(b"s3cret") == b""
    hello = client.layer.pending()
    assert b"s3cret" not in hello
    flight = server.hears(hello)
    with pytest.raises(ProtocolError) as caught:
        client.hears(flight)
    assert str(caught.value) == (
        "TLS: certificate verify failed: Hostname mismatch, certificate is not valid for 'elsewhere.example'."
    )
    with pytest.raises(ProtocolError, match=r"^TLS: .*alert"):
        server.hears(client.layer.pending())
    assert server.plain == b""
    assert client.layer.closing() == b""


def test_an_unknown_authority_is_refused(server_context: ssl.SSLContext) -> None:
    client = Peer(TlsLayer(ssl.create_default_context(), server_name="localhost"))
    server = Peer(TlsLayer(server_context, server_side=True))
    with pytest.raises(ProtocolError, match=r"^TLS: certificate verify failed: .*local issuer"):
        talk(client, server)
    with pytest.raises(ProtocolError, match=r"^TLS: tlsv1 alert unknown ca$"):
        server.hears(client.layer.pending())


def test_a_listener_may_ask_for_certificates(certificates: Certificates, client_context: ssl.SSLContext) -> None:
    strict = listener_context(certificates.server, certificates.server_key, certificates.ca)
    nameless = Peer(TlsLayer(client_context, server_name="localhost"))
    with pytest.raises(ProtocolError, match=r"^TLS: peer did not return a certificate$"):
        talk(nameless, Peer(TlsLayer(strict, server_side=True)))
    client_context.load_cert_chain(certificates.client, certificates.client_key)
    named, server = connected(TlsLayer(client_context, server_name="localhost"), TlsLayer(strict, server_side=True))
    server.hears(named.layer.sending(b"it is me"))
    assert server.plain == b"it is me"


@pytest.mark.parametrize(
    "junk", [b"GET / HTTP/1.0\r\n\r\n", b"*1\r\n$4\r\nPING\r\n", b"\x16\x03\x01\xff\xff", bytes(50)]
)
def test_what_is_no_tls_is_an_error(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext, junk: bytes
) -> None:
    for layer in (TlsLayer(server_context, server_side=True), TlsLayer(client_context, server_name="localhost")):
        with pytest.raises(ProtocolError, match=r"^TLS: "):
            layer.received(junk)
    client, server = connected(
        TlsLayer(client_context, server_name="localhost"), TlsLayer(server_context, server_side=True)
    )
    with pytest.raises(ProtocolError, match=r"^TLS: "):
        server.hears(client.layer.sending(b"well")[:-1] + junk + bytes(100))


def test_what_waits_for_the_handshake_is_bounded(client_context: ssl.SSLContext) -> None:
    layer = TlsLayer(client_context, server_name="localhost")
    layer.sending(bytes(1 << 20))
    with pytest.raises(ProtocolError, match=r"before the handshake is through"):
        layer.sending(b"x")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_next_connection_resumes_the_session(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    client_context.maximum_version = version
    upstream = TlsClient(client_context, "localhost")
    spoken = []
    for _ in range(3):
        client, server = Peer(upstream.layer()), Peer(TlsLayer(server_context, server_side=True))
        hello = client.layer.pending()
        flight = server.hears(hello)
        spoken.append(len(flight))
        tickets = server.hears(client.hears(flight))
        client.hears(tickets + server.layer.sending(b"welcome"))
        assert client.plain == b"welcome"
    assert spoken[1] < spoken[0] / 2  # no certificate, no signature
    assert spoken[2] < spoken[0] / 2


def test_against_a_client_of_pythons_own(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    ours, theirs = socket.socketpair()
    heard: list[bytes] = []

    def converse() -> None:
        with client_context.wrap_socket(theirs, server_hostname="localhost") as client:
            client.sendall(b"x" * 100_000)
            while sum(map(len, heard)) < 100_000:
                heard.append(client.recv(1 << 16))
            client.unwrap()

    thread = threading.Thread(target=converse)
    thread.start()
    with ours:
        ours.settimeout(10)
        peer = Peer(TlsLayer(server_context, server_side=True))
        answered = False
        while not peer.layer.ended:
            ours.sendall(peer.hears(ours.recv(1000)))
            if len(peer.plain) == 100_000 and not answered:
                answered = True
                ours.sendall(peer.layer.sending(b"y" * 100_000))
        ours.sendall(peer.layer.closing())
        thread.join(10)
    assert not thread.is_alive()
    assert b"".join(heard) == b"y" * 100_000


# Layers on top of each other


class Wire(Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.state = "open"

    def take(self) -> bytes:
        data = b"".join(self.written)
        self.written.clear()
        return data

    def set_write_buffer_limits(self, high: int) -> None: ...

    def get_extra_info(self, name: str) -> Any:
        return None if name == "sslcontext" else super().get_extra_info(name)

    def close(self) -> None:
        self.state = "closed"

    def abort(self) -> None:
        self.state = "aborted"

    def pause_reading(self) -> None:
        self.state = "paused"

    def resume_reading(self) -> None:
        self.state = "open"


class Mark(Layer):
    """Has something to say whenever it heard something, and cannot stand an exclamation mark."""

    def received(self, data: bytes) -> bytes:
        if b"!" in data:
            raise ProtocolError("too loud")
        self.heard = data
        return data.lower()

    def sending(self, data: bytes) -> bytes:
        if b"!" in data:
            raise ProtocolError("too loud")
        return data.upper()

    def pending(self) -> bytes:
        heard, self.heard = getattr(self, "heard", b"hello"), b""
        return b"<%b>" % heard if heard else b""

    def closing(self) -> bytes:
        return b"bye"


def test_each_layer_speaks_through_those_below_it() -> None:
    wire, failures = Wire(), list[str]()
    layers = Layers(wire, failures.append)
    layers.push(Mark())
    assert wire.take() == b"<hello>"
    layers.push(Mark(), b"READ AHEAD ")
    assert wire.take() == b"<HELLO>"
    assert layers.received(b"WORDS") == b"read ahead words"
    assert wire.take() == b"<WORDS><READ AHEAD WORDS>"
    layers.write(b"reply")
    assert wire.take() == b"REPLY"
    layers.write(b"no!")
    assert (wire.take(), failures) == (b"", ["too loud"])
    with pytest.raises(ProtocolError):
        layers.received(b"NO!")
    layers.close()
    assert wire.take() == b"BYEbye"


# Below a session


class Echo(Driver):
    """Sends back what comes. ``STARTTLS`` and ``COMPRESS`` start a layer; what follows them belongs to it."""

    def __init__(self) -> None:
        self.output_buffer = 1 << 20
        self.slow_client_timeout = 5.0
        self.meter = Meter([])
        self.plain = b""

    def arrived(self, session: Session) -> bool:
        return True

    def received(self, session: Session, data: bytes) -> None:
        for word in (b"STARTTLS", b"COMPRESS"):
            before, found, leftover = data.partition(word)
            if found:
                session.deliver(before + b"go on:")
                if word == b"STARTTLS":
                    session.start_tls(leftover)
                else:
                    session.push_layer(CompressLayer(), leftover)
                return
        self.plain += data
        if len(self.plain) > 1 << 18:
            session.pause_reading()
        session.deliver(data[:1000])


def session_on(wire: Wire, tls: ssl.SSLContext | None) -> tuple[Session, Echo]:
    echo = Echo()
    session = Session(echo, 1, tls)
    session.connection_made(wire)
    return session, echo


@interpreted_only
@pytest.mark.parametrize("behind", [0, 1, 100, 10_000])
def test_a_session_starts_tls_in_mid_connection(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext, behind: int
) -> None:
    """So many bytes of the handshake arrive together with the word that starts it."""
    wire = Wire()
    session, echo = session_on(wire, server_context)
    session.data_received(b"plain")
    assert wire.take() == b"plain"
    client = Peer(TlsLayer(client_context, server_name="localhost"))
    hello = client.layer.pending()
    session.data_received(b"STARTTLS" + hello[:behind])
    session.data_received(hello[behind:])
    before, _, flight = wire.take().partition(b"go on:")
    assert before == b""
    session.data_received(client.hears(flight) + client.layer.sending(b"private"))
    client.hears(wire.take())
    assert client.plain == b"private"
    session.data_received(client.layer.sending(b"COMPRESS"[:3]) + client.layer.sending(b"is no word"))
    client.hears(wire.take())
    assert client.plain == b"privateCOMis no word"
    assert echo.meter.sent == len(b"plain" + b"go on:" + b"privateCOMis no word")
    session.close()
    assert wire.state == "closed"
    client.hears(wire.take())
    assert client.layer.ended


@interpreted_only
def test_compression_on_top_of_tls(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    wire = Wire()
    session, echo = session_on(wire, server_context)
    client = Peer(TlsLayer(client_context, server_name="localhost"))
    session.data_received(b"STARTTLS" + client.layer.pending())
    session.data_received(client.hears(wire.take().removeprefix(b"go on:")))
    client.hears(wire.take())
    squeezed = CompressLayer()
    first, second = squeezed.sending(b"first" * 100), squeezed.sending(b"second" * 100)
    session.data_received(client.layer.sending(b"COMPRESS" + first[:20]) + client.layer.sending(first[20:] + second))
    assert echo.plain == b"first" * 100 + b"second" * 100
    client.hears(wire.take())
    reply = client.plain.removeprefix(b"go on:")
    assert reply[3] == 2  # the sequence number behind the two packets
    assert len(reply) < 200


@interpreted_only
def test_what_a_layer_holds_back_waits_while_reading_is_paused() -> None:
    async def scenario() -> None:
        wire = Wire()
        session, echo = session_on(wire, None)
        session.data_received(b"COMPRESS" + CompressLayer().sending(bytes(1 << 20)))
        assert wire.state == "paused"
        taken = 0
        for _ in range(100):
            if wire.state == "open":
                break
            assert len(echo.plain) == 1 << 19
            taken += len(echo.plain)
            echo.plain = b""
            session.resume_reading()
            await asyncio.sleep(0)
        assert (wire.state, taken) == ("open", 1 << 20)

    run(scenario())


@interpreted_only
@pytest.mark.parametrize(
    ("start", "junk"), [(b"STARTTLS", b"this is no handshake"), (b"COMPRESS", b"\0\0\0\1\0\0\0"), (b"STARTTLS", b"")]
)
def test_a_session_whose_layer_is_broken_ends(server_context: ssl.SSLContext, start: bytes, junk: bytes) -> None:
    wire = Wire()
    session, echo = session_on(wire, server_context if junk else None)
    session.data_received(start + junk)
    assert (session.closed, wire.state, echo.plain) == (True, "closed", b"")
    session.deliver(b"too late")
    assert b"too late" not in wire.take()


@interpreted_only
def test_a_farewell_of_tls_ends_the_session(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    wire = Wire()
    session, _ = session_on(wire, server_context)
    client = Peer(TlsLayer(client_context, server_name="localhost"))
    session.data_received(b"STARTTLS" + client.layer.pending())
    session.data_received(client.hears(wire.take().removeprefix(b"go on:")))
    session.data_received(client.layer.sending(b"last words") + client.layer.closing())
    client.hears(wire.take())
    assert client.plain == b"last words"
    assert client.layer.ended
    assert wire.state == "closed"


# Below an upstream connection


class Greeted(Login):
    """The server greets, TLS starts, a password follows, the server lets it in."""

    def __init__(self) -> None:
        self.fed: list[bytes] = []

    def start(self) -> bytes:
        return b""

    def feed(self, data: bytes) -> bytes | None:
        self.fed.append(data)
        if data == b"greeting":
            self.starts_tls = True
            return b"STARTTLS"
        return b"s3cret" if data == b"" else None


def opening(make_tls: Callable[[], Layer] | None) -> tuple[Connection, Greeted, Wire]:
    login, wire = Greeted(), Wire()
    connection = Connection(Keeper(), UpstreamCodec(), login, "tag", "service", "endpoint", 10, 5.0, make_tls)
    connection.connection_made(wire)
    assert wire.take() == b""
    connection.data_received(b"greeting")
    return connection, login, wire


def test_a_login_starts_tls(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    async def scenario() -> None:
        upstream = TlsClient(client_context, "localhost")
        for _ in range(2):
            connection, login, wire = opening(upstream.layer)
            server = Peer(TlsLayer(server_context, server_side=True))
            before, _, hello = wire.take().partition(b"STARTTLS")
            assert before == b""
            for byte in one_by_one(server.hears(hello)):
                connection.data_received(byte)
            tickets = server.hears(wire.take())
            assert server.plain == b"s3cret"
            connection.data_received(tickets)
            assert (login.fed, connection.state) == ([b"greeting", b""], OPENING)
            connection.data_received(server.layer.sending(b"welcome"))
            assert (login.fed[-1], connection.state) == (b"welcome", OPEN)
            connection.close()
            server.hears(wire.take())
            assert server.layer.ended
            assert wire.state == "closed"

    run(scenario())


def test_an_upstream_that_cannot_be_trusted_never_sees_the_password(server_context: ssl.SSLContext) -> None:
    async def scenario() -> None:
        connection, _, wire = opening(TlsClient(ssl.create_default_context(), "localhost").layer)
        server = Peer(TlsLayer(server_context, server_side=True))
        flight = server.hears(wire.take().removeprefix(b"STARTTLS"))
        connection.data_received(flight)
        assert (connection.state, wire.state) == (CLOSED, "aborted")
        with pytest.raises(ProtocolError, match=r"alert unknown ca"):
            server.hears(wire.take())
        assert server.plain == b""

    run(scenario())


def test_an_upstream_that_says_farewell_is_lost(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    async def scenario() -> None:
        connection, _, wire = opening(TlsClient(client_context, "localhost").layer)
        server = Peer(TlsLayer(server_context, server_side=True))
        connection.data_received(server.hears(wire.take().removeprefix(b"STARTTLS")))
        server.hears(wire.take())
        connection.data_received(server.layer.sending(b"welcome") + server.layer.closing())
        assert (connection.state, wire.state) == (CLOSED, "aborted")

    run(scenario())


def test_a_login_that_asks_for_tls_without_certificates_fails() -> None:
    async def scenario() -> None:
        connection, _, wire = opening(None)
        assert (connection.state, wire.state) == (CLOSED, "aborted")

    run(scenario())


# Certificates of listeners


def test_files_that_are_no_certificates(certificates: Certificates, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing of use")
    with pytest.raises(OSError, match=r"are no certificate with its key: key values mismatch"):
        listener_context(certificates.server, certificates.client_key, None)
    with pytest.raises(OSError, match=r"are no certificate with its key: pem lib"):
        listener_context(wrong, certificates.server_key, None)
    with pytest.raises(OSError, match=r"wrong.pem holds no certificates: no certificate or crl found"):
        listener_context(certificates.server, certificates.server_key, wrong)
    with pytest.raises(OSError, match=r"No such file or directory"):
        listener_context(certificates.server, tmp_path / "gone.pem", None)
