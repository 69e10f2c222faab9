"""The certificates of a listener: files that fit together, or a problem with its line."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from gateway.config import Config, dump, dump_yaml
from gateway.config.schema import schema
from servers import Certificates, binary

Accept = Callable[[str], Config]
Refuse = Callable[[str], list[str]]
TEXT = """\
    services:
      cache:
        protocol: redis
        listen:
          - 127.0.0.1:6380
          - address: 127.0.0.1:6381
            tls: {tls}
        upstream: {{endpoints: [a:1]}}
    """


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    certificates = Certificates.make(folder)
    command = ["ec", "-in", str(certificates.server_key), "-aes128", "-passout", "pass:secret"]
    subprocess.run([binary("openssl"), *command, "-out", str(folder / "locked.pem")], check=True, capture_output=True)
    return certificates


@pytest.fixture
def folder(certificates: Certificates, tmp_path: Path) -> Path:
    """Where the configuration is, with the certificates beside it."""
    for file in certificates.ca.parent.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "text.pem").write_text("nothing of use")
    return tmp_path


def test_certificates_lie_beside_the_configuration(accept: Accept, folder: Path) -> None:
    config = accept(TEXT.format(tls="{cert: server.pem, key: server-key.pem, ca: ca.pem}"))
    plain, private = config.services["cache"].listen
    assert plain.tls is None
    assert private.tls is not None
    assert (private.tls.cert, private.tls.key) == (folder / "server.pem", folder / "server-key.pem")
    assert private.tls.ca == folder / "ca.pem"
    assert accept(dump_yaml(config)) == config
    Draft202012Validator(schema()).validate(dump(config))


def test_clients_need_no_certificates_unless_it_says_so(accept: Accept, folder: Path) -> None:
    tls = accept(TEXT.format(tls="{cert: server.pem, key: server-key.pem}")).services["cache"].listen[1].tls
    assert tls is not None
    assert tls.ca is None


@pytest.mark.parametrize(
    ("tls", "place", "problem"),
    [
        ("true", "", "a mapping is expected here, not 'true'"),
        ("{}", "", "`cert` is missing"),
        ("{cert: server.pem}", "", "`key` is missing"),
        ("{cert: gone.pem, key: server-key.pem}", ".cert", "there is no file {folder}/gone.pem"),
        ("{cert: server.pem, key: server-key.pem, verify: true}", ".verify", "unknown key `verify`"),
        ("{cert: server.pem, key: server-key.pem, cas: ca.pem}", ".cas", "unknown key `cas`, did you mean `ca`?"),
        ("{cert: server.pem, key: client-key.pem}", "", "are no certificate with its key: key values mismatch"),
        ("{cert: text.pem, key: server-key.pem}", "", "are no certificate with its key: pem lib"),
        ("{cert: server.pem, key: locked.pem}", "", "are no certificate with its key: "),
        ("{cert: server.pem, key: server-key.pem, ca: text.pem}", "", "text.pem holds no certificates: "),
    ],
)
def test_one_problem(refuse: Refuse, folder: Path, tls: str, place: str, problem: str) -> None:
    line = refuse(TEXT.format(tls=tls))[0]
    assert line.startswith(f"7: services.cache.listen[1].tls{place}: ")
    assert problem.replace("{folder}", str(folder)) in line


def test_the_schema_knows_it() -> None:
    validator = Draft202012Validator(schema())

    def is_valid(tls: object) -> bool:
        listen = {"address": "h:1", "tls": tls}
        service = {"protocol": "redis", "listen": listen, "upstream": {"endpoints": ["h:1"]}}
        return validator.is_valid({"services": {"a": service}})

    assert is_valid({"cert": "a", "key": "b"})
    assert is_valid({"cert": "a", "key": "b", "ca": "c"})
    assert is_valid(None)
    assert not is_valid({"cert": "a"})
    assert not is_valid(True)
    described = schema()["$defs"]["ListenerTls"]["properties"]["cert"]
    assert described["description"] == "the certificate that clients see"
