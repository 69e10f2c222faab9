"""Clients that speak TLS to the gateway, over TCP and unix sockets."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from gateways import PATIENCE, Gateway, pack
from servers import LOOPBACK, Certificates, RedisServer, free_port, wait_until


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


class TlsGateway(Gateway):
    """Its only listener speaks TLS; ``client`` knows whom to trust."""

    def __init__(
        self, server: RedisServer, certificates: Certificates, *, path: Path | None = None, **tls: Any
    ) -> None:
        self.certificates = certificates
        self.tls_port = free_port()
        address = f"unix:{path}" if path else f"{LOOPBACK}:{self.tls_port}"
        files = {"cert": str(certificates.server), "key": str(certificates.server_key), **tls}
        super().__init__(server, listen=[{"address": address, "tls": files}])

    def client(self, **options: Any) -> redis.Redis:
        options = {"ssl": True, "ssl_ca_certs": str(self.certificates.ca), "ssl_check_hostname": True, **options}
        options = {"socket_timeout": PATIENCE, "retry": None, "decode_responses": True, **options}
        return redis.Redis(host=LOOPBACK, port=self.tls_port, **options)

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificates.ca))

    def socket(self, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
        plain = socket.create_connection((LOOPBACK, self.tls_port), PATIENCE)
        return self.context().wrap_socket(plain, server_hostname="localhost", session=session)


@pytest.fixture(scope="module")
def gateway(redis_server: RedisServer, certificates: Certificates) -> Iterator[TlsGateway]:
    with TlsGateway(redis_server, certificates) as gateway:
        yield gateway


def read(client: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += client.recv(1 << 16)
    return bytes(data)


def test_a_real_client(gateway: TlsGateway) -> None:
    with gateway.client() as client:
        assert client.set("tls", "1")
        assert client.get("tls") == "1"
        with client.pipeline(transaction=True) as pipeline:
            assert pipeline.incr("tls").incr("tls").get("tls").execute() == [2, 3, "3"]
        large = "x" * 3_000_000
        assert client.set("tls", large)
        assert client.get("tls") == large
        with client.pubsub() as subscriber:
            subscriber.subscribe("tls:channel")
            assert subscriber.get_message(timeout=PATIENCE) is not None
            wait_until(lambda: client.publish("tls:channel", "hello") == 1, "subscribed")
            message = subscriber.get_message(timeout=PATIENCE)
            assert message is not None
            assert message["data"] == "hello"
    gateway.wait_until_quiet()


def test_a_client_that_is_slow_to_read_gets_all_its_replies(gateway: TlsGateway) -> None:
    with gateway.client() as client, gateway.socket() as slow:
        client.set("tls:value", "x" * 100_000)
        slow.sendall(pack("GET", "tls:value") * 200)
        for _ in range(50):
            assert client.ping()
        reply = b"$100000\r\n" + b"x" * 100_000 + b"\r\n"
        assert read(slow, 200 * len(reply)) == reply * 200


def test_a_client_that_says_farewell_is_answered(gateway: TlsGateway) -> None:
    with gateway.socket() as client:
        client.sendall(pack("PING"))
        assert read(client, 7) == b"+PONG\r\n"
        plain = client.unwrap()  # returns once the gateway's own farewell is there
        assert plain.recv(1) == b""
        plain.close()
    gateway.wait_until_quiet()


def test_a_farewell_ahead_of_a_reply(certificates: Certificates) -> None:
    """TLS does not half close: the gateway does not even try."""
    with RedisServer() as server, TlsGateway(server, certificates) as gateway:
        with gateway.socket() as client:
            server.pause()
            client.sendall(pack("GET", "late"))
            wait_until(lambda: gateway.in_flight() == 1, "sent")
            client.unwrap().close()
            server.resume()
        gateway.wait_until_quiet()
        assert "eof_received" not in gateway.log


@pytest.mark.parametrize("junk", [pack("PING"), b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x00\x05" + bytes(5)])
def test_plain_text_ends_this_client_only(gateway: TlsGateway, junk: bytes) -> None:
    with gateway.client() as other, socket.create_connection((LOOPBACK, gateway.tls_port), PATIENCE) as plain:
        plain.sendall(junk)
        said = b""
        try:
            while data := plain.recv(1000):
                said += data
        except ConnectionError:
            pass
        assert b"PONG" not in said
        assert other.ping()


def test_the_gateway_is_who_it_says(gateway: TlsGateway) -> None:
    with gateway.client(ssl_ca_certs=None) as stranger:
        with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
            stranger.ping()


def test_clients_resume_their_sessions(gateway: TlsGateway) -> None:
    context = gateway.context()

    def connect(session: ssl.SSLSession | None) -> ssl.SSLSession | None:
        plain = socket.create_connection((LOOPBACK, gateway.tls_port), PATIENCE)
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as client:
            client.sendall(pack("PING"))
            assert read(client, 7) == b"+PONG\r\n"
            assert client.session_reused is (session is not None)
            return client.session

    assert connect(connect(None)) is not None


def test_clients_may_have_to_show_certificates(redis_server: RedisServer, certificates: Certificates) -> None:
    own = {"ssl_certfile": str(certificates.client), "ssl_keyfile": str(certificates.client_key)}
    with TlsGateway(redis_server, certificates, ca=str(certificates.ca)) as gateway:
        with gateway.client(**own) as client, gateway.client() as stranger:
            assert client.ping()
            with pytest.raises((redis.ConnectionError, ssl.SSLError)):
                stranger.ping()
            assert client.ping()


def test_tls_over_a_unix_socket(redis_server: RedisServer, certificates: Certificates, tmp_path: Path) -> None:
    path = tmp_path / "cache.sock"
    with TlsGateway(redis_server, certificates, path=path) as gateway, socket.socket(socket.AF_UNIX) as plain:
        plain.connect(str(path))
        with gateway.context().wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(pack("PING"))
            assert read(client, 7) == b"+PONG\r\n"
            assert [session["peer"].split(":")[0] for session in gateway.sessions()] == ["unix"]
