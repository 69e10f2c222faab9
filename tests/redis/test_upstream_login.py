"""How the gateway reaches a Redis that asks for passwords, users, TLS and certificates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from gateways import Gateway, upstream_connections
from servers import Certificates, RedisServer


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls_server(certificates: Certificates) -> Iterator[RedisServer]:
    with RedisServer(tls=certificates, password="secret-of-tls") as server:
        yield server


def test_a_password_of_the_upstream_is_the_gateways_own() -> None:
    with RedisServer(password="upstream-secret") as server:
        with Gateway(server, upstream={"password": "upstream-secret"}) as gateway, gateway.wire() as wire:
            assert wire.calls("SET a 1", "GET a") == ["OK", "1"]
            assert "upstream-secret" not in str(gateway.admin("/config_dump"))
            assert "upstream-secret" not in gateway.log


def test_a_wrong_password_is_said_to_clients_and_not_logged() -> None:
    with RedisServer(password="right-one") as server:
        with Gateway(server, upstream={"password": "wrong-one"}) as gateway, gateway.wire() as wire:
            answer = str(wire.call("GET", "a"))
            assert "poolgate: cache: upstream down: " in answer
            assert "WRONGPASS" in answer
            assert "wrong-one" not in answer + gateway.log


def test_a_user_of_the_upstream() -> None:
    with RedisServer(users={"gate": "on >word ~* &* +@all"}) as server:
        with Gateway(server, upstream={"user": "gate", "password": "word"}) as gateway, gateway.wire() as wire:
            assert wire.call("ACL", "WHOAMI") == "default"  # the client's identity here, not the gateway's there
            assert wire.call("SET", "a", "1") == "OK"
            assert {client["user"] for client in upstream_connections(server)} == {"gate"}


def test_another_database_to_begin_with() -> None:
    with RedisServer() as server, Gateway(server, upstream={"db": 5}) as gateway, gateway.wire() as wire:
        assert wire.call("SET", "a", "1") == "OK"
        with server.client(db=5, decode_responses=True) as direct:
            assert direct.get("a") == "1"


def test_tls_with_a_certificate_of_the_gateways_own(tls_server: RedisServer, certificates: Certificates) -> None:
    tls = {"ca": str(certificates.ca), "cert": str(certificates.client), "key": str(certificates.client_key)}
    upstream = {"password": "secret-of-tls", "tls": tls}
    with Gateway(tls_server, upstream=upstream) as gateway, gateway.wire() as wire:
        assert wire.calls("SET tls 1", "MULTI", "GET tls", "EXEC") == ["OK", "OK", "QUEUED", ["1"]]
        big = "x" * 3_000_000
        assert wire.call("SET", "big", big) == "OK"
        assert wire.call("GET", "big") == big


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"server_name": "elsewhere.example"}, "certificate", id="another name"),
        pytest.param({"ca": None}, "certificate", id="an unknown authority"),
    ],
)
def test_tls_refuses_what_it_cannot_verify(
    tls_server: RedisServer, certificates: Certificates, changes: dict[str, str | None], reason: str
) -> None:
    tls = {k: v for k, v in {"ca": str(certificates.ca), **changes}.items() if v is not None}
    with Gateway(tls_server, upstream={"password": "secret-of-tls", "tls": tls}) as gateway, gateway.wire() as wire:
        answer = str(wire.call("GET", "a"))
        assert "poolgate: cache: upstream down" in answer
        assert reason in answer


def test_tls_without_verification_is_possible_when_asked_for(tls_server: RedisServer) -> None:
    upstream = {"password": "secret-of-tls", "tls": {"verify": False}}
    with Gateway(tls_server, upstream=upstream) as gateway, gateway.client() as client:
        assert client.set("unverified", "1")


def test_plain_text_to_a_tls_port_is_an_error_not_a_hang(tls_server: RedisServer) -> None:
    with Gateway(tls_server, upstream={"password": "secret-of-tls"}) as gateway, gateway.client() as client:
        with pytest.raises(redis.ResponseError, match="poolgate: cache: upstream down"):
            client.get("a")


def test_a_unix_socket_upstream(redis_server: RedisServer, tmp_path: Path) -> None:
    with Gateway(f"unix:{redis_server.path}") as gateway, gateway.wire() as wire:
        assert wire.call("PING") == "PONG"
