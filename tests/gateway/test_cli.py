"""The command line: what it prints and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from gateway.cli import main
from gateway.config import Config
from servers import ROOT

SAMPLE = str(ROOT / "compose" / "poolgate.yaml")


def test_check_prints_the_effective_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "-c", SAMPLE]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["services"]["cache"]["pool"]["lanes"] == 2


def test_check_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--quiet", "-c", SAMPLE]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_refused_configuration(command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("log: {level: warn}\nservices: {}\n")
    assert main([command, "-c", str(file)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        f"{file}:1: log.level: 'warn' is not known here, did you mean `warning`?\n"
        f"{file}:2: services: at least one service is needed\n"
    )


def test_the_default_file(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 1
    assert capsys.readouterr().err == "poolgate.yaml: cannot be read: No such file or directory\n"


def test_run_hands_over_to_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, Config]] = []

    def run(path: str, config: Config) -> int:
        started.append((path, config))
        return 3

    worker = types.ModuleType("gateway.worker")
    monkeypatch.setattr(worker, "run", run, raising=False)
    monkeypatch.setitem(sys.modules, "gateway.worker", worker)
    assert main(["run", "-c", SAMPLE]) == 3
    assert [(path, list(config.services)) for path, config in started] == [(SAMPLE, ["cache"])]


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "poolgate configuration"


@pytest.mark.parametrize("arguments", [[], ["chek"], ["check", "--loud"]])
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: poolgate")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("poolgate")


def test_check_does_not_import_what_only_run_needs() -> None:
    program = (
        "import sys; from gateway.cli import main; code = main(['check', '-q', '-c', sys.argv[1]]);"
        "print(code, *sorted({'uvloop', 'asyncio', 'jsonschema', 'prometheus_client'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, SAMPLE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_the_package_is_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "gateway", "check", "-q", "-c", SAMPLE], cwd=ROOT, check=False)
    assert done.returncode == 0


class Admin(BaseHTTPRequestHandler):
    """Ready at the second question."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(200 if self.path == "/ready" and self.asked > 1 else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def admin() -> Iterator[str]:
    Admin.asked = 0
    with HTTPServer(("127.0.0.1", 0), Admin) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_wait_until_ready(admin: str) -> None:
    assert main(["wait", "--admin", admin, "--timeout", "5s"]) == 0
    assert Admin.asked == 2


def test_wait_in_vain(capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = "127.0.0.1:1"
    assert main(["wait", "--admin", nowhere, "--timeout", "200ms"]) == 1
    assert capsys.readouterr().err == "poolgate: 127.0.0.1:1 was not ready within 200ms\n"


def test_wait_at_a_unix_socket(tmp_path: Path) -> None:
    assert main(["wait", "--admin", f"unix:{tmp_path}/none", "--timeout", "100ms"]) == 1


@pytest.mark.parametrize("arguments", [["--timeout", "5"], ["--admin", ":9901"]])
def test_wait_for_nonsense(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wait", *arguments]) == 2
    assert capsys.readouterr().err.startswith("poolgate wait: ")


def test_bench_has_a_command_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["bench", "redis", "--help"])
    assert end.value.code == 0
    assert "--rounds" in capsys.readouterr().out
