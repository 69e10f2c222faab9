"""The tests of MySQL drivers, direct and through the gateway: what passes direct has to pass through it.

aiomysql's all; of SQLAlchemy's those of its MySQL dialect and the suite that every dialect has to pass. With
``make test-full`` also everything else of SQLAlchemy's that talks to a database, and the dialect's through aiomysql.
``mysql_suite_exclusions.txt`` lists the tests that may fail through the gateway, each with its reason.

The suites are those of the source distributions, in pinned versions. They and an environment for each are fetched into
build/ and kept there. So is a report. The tests make and drop databases: each run has a server of its own. What differs
is run again, up to twice, before it counts.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from clients.redis_py_plugin import covers

from mysql_gateway import MysqlGateway
from mysql_servers import MariaDBServer
from servers import COMPILED, LOOPBACK, ROOT, Certificates, Server, free_port

HERE: Final = Path(__file__).parent
EXCLUSIONS: Final = HERE / "mysql_suite_exclusions.txt"
PASSWORD: Final = "s3cret"  # of root
MOST_EXCUSED: Final = 0.02  # of the cases
MOST_UNSTABLE: Final = 4  # cases that differ at first and not when they run again
RUN_TIMEOUT: Final = 900.0


@dataclass(frozen=True)
class Suite:
    """A driver's tests: where they come from, what of them runs, and how few cases would be suspicious."""

    name: str
    package: str
    version: str
    sha256: str
    requirements: tuple[str, ...]
    files: tuple[str, ...]
    fewest: int
    without: tuple[str, ...] = field(default=(), kw_only=True)  # files
    options: tuple[str, ...] = field(default=(), kw_only=True)
    driver: str = field(default="", kw_only=True)  # for SQLAlchemy

    @property
    def home(self) -> Path:
        """Where it is kept."""
        return ROOT / "build" / f"{self.package}-{self.version}"

    @property
    def source(self) -> Path:
        """The unpacked distribution."""
        return self.home / "source"

    @property
    def python(self) -> str:
        """Of its environment."""
        return str(self.home / "venv/bin/python")

    def fetch(self) -> None:
        """The suite and what it needs, once for all workers and all runs."""
        wanted = "\n".join((self.sha256, sys.version, *self.requirements))
        ready = self.home / "ready"
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if ready.exists() and ready.read_text() == wanted:
                return
            ready.unlink(missing_ok=True)
            for folder in ("venv", "source", "download"):
                shutil.rmtree(self.home / folder, ignore_errors=True)
            self.source.mkdir()
            pinned = self.home / "pinned.txt"
            pinned.write_text(f"{self.package}=={self.version} --hash=sha256:{self.sha256}\n")
            pip = (self.python, "-m", "pip", "--quiet", "--disable-pip-version-check")
            _do(sys.executable, "-m", "venv", str(self.home / "venv"))
            _do(*pip, "install", *self.requirements)
            fetch = ("download", "--no-deps", "--no-binary", ":all:", "--require-hashes", "-r", str(pinned))
            _do(*pip, *fetch, "--dest", str(self.home / "download"))
            archive = str(self.home / "download" / f"{self.package}-{self.version}.tar.gz")
            _do("tar", "-xzf", archive, "--strip-components=1", "-C", str(self.source))
            ready.write_text(wanted)

    def address(self, port: int) -> list[str]:
        """The options that say where the server is."""
        if self.driver:
            return ["--dburi", f"mariadb+{self.driver}://root:{PASSWORD}@{LOOPBACK}:{port}/test?charset=utf8mb4"]
        return [f"--mysql-address=tcp={LOOPBACK}:{port}"]


AIOMYSQL: Final = Suite(
    "aiomysql",
    "aiomysql",
    "0.3.2",
    "72d15ef5cfc34c03468eb41e1b90adb9fd9347b0b589114bd23ead569a02ac1a",
    ("PyMySQL[rsa]==1.1.2", "SQLAlchemy==1.3.24", "pytest==8.4.2", "pytest-timeout==2.4.0", "uvloop==0.22.1"),
    ("tests",),
    450,
)
_SQLALCHEMY: Final = (
    "sqlalchemy",
    "2.1.9",
    "d700a8b2edfb26282a470333d6bc4a454c4acda4d201a3bea7b72fa76c217d28",
    (
        "PyMySQL==1.2.4",
        "aiomysql==0.3.2",
        "greenlet==3.5.6",
        "pytest==9.2.0",
        "pytest-timeout==2.4.0",
        "typing_extensions==4.16.0",
    ),
)
_DIALECT: Final = ("test/dialect/mysql", "test/dialect/test_suite.py")
SQLALCHEMY: Final = Suite("sqlalchemy", *_SQLALCHEMY, _DIALECT, 2_200, driver="pymysql")
SQLALCHEMY_ASYNC: Final = Suite("sqlalchemy-aiomysql", *_SQLALCHEMY, _DIALECT, 2_000, driver="aiomysql")
SQLALCHEMY_ALL: Final = Suite(
    "sqlalchemy-all",
    *_SQLALCHEMY,
    ("test",),
    3_500,
    without=("test/aaa_profiling", "test/dialect"),
    options=("--backend-only",),
    driver="pymysql",
)


@dataclass(frozen=True)
class Result:
    """How one case ended."""

    outcome: str
    why: str

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


Results = dict[str, Result]


class SuiteRun(Server):
    """A suite, or some of its tests, against one address."""

    def __init__(self, suite: Suite, port: int, gateway: MysqlGateway | None, only: Sequence[str]) -> None:
        super().__init__()
        self.suite: Final = suite
        self.port: Final = port
        self.gateway: Final = gateway
        self.results: Final = self.folder / "results"
        self.only: Final = only
        if only:
            (self.folder / "only").write_text("\n".join(only))

    def command(self) -> list[str]:
        suite, source = self.suite, self.suite.source
        files = sorted({test.partition("::")[0] for test in self.only}) or suite.files
        own = ["-p", "suite_plugin", f"--results={self.results}"]
        if self.only:
            own.append(f"--only={self.folder / 'only'}")
        place = [f"--rootdir={source}", "-c", str(source / "pyproject.toml"), "-p", "no:cacheprovider"]
        settings = ["-q", "--tb=native", "--timeout=60", "--maxfail=100000"]
        left = [f"--ignore={source / path}" for path in suite.without]
        options = [*place, *settings, *own, *left, *suite.options, *suite.address(self.port)]
        return [suite.python, "-m", "pytest", *options, *(str(source / file) for file in files)]

    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
        path = [str(self.suite.source), str(self.suite.source / "lib"), str(HERE)]
        return clean | {"PYTHONPATH": os.pathsep.join(path), "MYSQL_ROOT_PASSWORD": PASSWORD}

    def is_ready(self) -> bool:
        return True

    def finish(self) -> Results:
        """Wait for its end."""
        assert self.process is not None
        code = self.process.wait(RUN_TIMEOUT)
        assert code in (0, 1), f"{self.suite.name} ended with {code}\n{self.log[-4000:]}"
        if self.gateway is not None:
            self.gateway.wait_until_quiet()  # or something was lost in it
        found = map(json.loads, self.results.read_text().splitlines())
        return {line.pop("test"): Result(**line) for line in found}


class Trial:
    """A suite on both ways."""

    def __init__(self, suite: Suite, excused: dict[str, str], certificates: Certificates) -> None:
        self.suite: Final = suite
        self.excused: Final = excused
        self.certificates: Final = certificates
        self.direct: Results = {}
        self.through: Results = {}
        self.unstable: list[str] = []

    def run(self) -> None:
        """Everything once, side by side; then again what differs."""
        self._run(())
        differing = self.differing()
        for _ in range(2):
            if differing:
                self._run(differing)
                left = self.differing()
                self.unstable += [test for test in differing if test not in left]
                differing = left

    def _run(self, only: Sequence[str]) -> None:
        with ExitStack() as stack:
            mariadb = self._server(stack)
            direct = stack.enter_context(SuiteRun(self.suite, mariadb.port, None, only))
            mariadb = self._server(stack)
            port = free_port()
            files = self.certificates
            tls = {"cert": str(files.server), "key": str(files.server_key)}
            gateway = MysqlGateway(
                [mariadb.address],
                listen=[{"address": f"{LOOPBACK}:{port}", "tls": tls}],
                clients=[{"user": "root", "password": PASSWORD}],
                upstream={"user": "root", "password": PASSWORD, "tls": {"ca": str(files.ca)}},
                pool={"max_connections": 20},
            )
            stack.enter_context(gateway)
            through = stack.enter_context(SuiteRun(self.suite, port, gateway, only))
            self.direct |= direct.finish()
            self.through |= through.finish()

    def _server(self, stack: ExitStack) -> MariaDBServer:
        users = {"root": PASSWORD}  # from anywhere, too
        mariadb = stack.enter_context(MariaDBServer(password=PASSWORD, users=users, tls=self.certificates))
        for schema in ("test_schema", "test_schema_2"):
            mariadb.execute(f"CREATE DATABASE {schema}")
        return mariadb

    def reason(self, test: str) -> str:
        """Why the list excuses it; "" when it does not."""
        return next((why for entry, why in self.excused.items() if covers(entry, test)), "")

    def fails_through(self, test: str) -> bool:
        """It passes direct and not through the gateway."""
        return self.direct[test].passed and not (test in self.through and self.through[test].passed)

    def differing(self) -> list[str]:
        """What has to be explained."""
        return [test for test in self.direct if self.fails_through(test) and not self.reason(test)]

    def stale(self) -> list[str]:
        """Entries of the list that excuse nothing."""
        return [
            entry
            for entry, why in self.excused.items()
            if not why.startswith("flaky:")
            and not any(covers(entry, test) and self.fails_through(test) for test in self.direct)
        ]

    def cases(self) -> list[str]:
        """What was not skipped."""
        return [test for test, result in self.direct.items() if result.outcome != "skipped"]

    def report(self) -> str:
        """The figures, and what is behind them."""
        cases = self.cases()
        excused = [test for test in cases if self.fails_through(test) and self.reason(test)]
        through = [test for test in cases if test in self.through and self.through[test].passed]
        rows = [
            f"{self.suite.name} {self.suite.version}",
            f"cases run direct     {len(cases):5}",
            f"skipped by the suite {len(self.direct) - len(cases):5}",
            f"passed direct        {sum(self.direct[test].passed for test in cases):5}",
            f"passed through       {len(through):5}",
            f"excused              {len(excused):5}, {len(excused) / max(1, len(cases)):.1%}",
            f"unstable             {len(self.unstable):5}",
        ]
        for title, tests in (("excused", excused), ("unstable", self.unstable), ("UNEXPLAINED", self.differing())):
            rows += ["", f"{title}:", *(f"  {test}: {self._why(test)}" for test in tests)]
        return "\n".join(rows)

    def _why(self, test: str) -> str:
        return self.through[test].why or "passed at last" if test in self.through else "did not run"


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"no suite: {' '.join(command)}\n{done.stdout}{done.stderr}"


def exclusions(suite: Suite) -> dict[str, str]:
    """The list of one suite: entry -> reason."""
    found: dict[str, str] = {}
    for line in EXCLUSIONS.read_text().splitlines():
        entry, _, reason = line.partition("#")
        if entry.strip():
            name, test = entry.split()
            assert reason.strip(), f"no reason: {line}"
            if name == suite.name:
                found[test] = reason.strip()
    return found


@pytest.mark.skipif(not COMPILED, reason="takes a minute; the compiled form is the one that users run")
@pytest.mark.timeout(1_500)
@pytest.mark.parametrize(
    "suite",
    [
        AIOMYSQL,
        SQLALCHEMY,
        pytest.param(SQLALCHEMY_ASYNC, marks=pytest.mark.slow),
        pytest.param(SQLALCHEMY_ALL, marks=pytest.mark.slow),
    ],
    ids=lambda suite: suite.name,
)
def test_what_passes_direct_passes_through_the_gateway(suite: Suite, tmp_path: Path) -> None:
    certificates = Certificates.make(tmp_path)
    suite.fetch()
    if suite is AIOMYSQL:  # its tests trust this authority
        shutil.copy(certificates.ca, suite.source / "tests/ssl_resources/ssl/ca.pem")
    trial = Trial(suite, exclusions(suite), certificates)
    trial.run()
    report = trial.report()
    (suite.home / f"{suite.name}.txt").write_text(report + "\n")
    assert not trial.differing(), report
    assert not trial.stale(), f"{EXCLUSIONS.name}: {trial.stale()}\n{report}"
    cases = trial.cases()
    assert len(cases) >= suite.fewest, report
    assert sum(map(trial.fails_through, cases)) <= MOST_EXCUSED * len(cases), report
    assert len(trial.unstable) <= MOST_UNSTABLE, report
