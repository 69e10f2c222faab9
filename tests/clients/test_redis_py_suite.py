"""redis-py's own tests, direct and through the gateway: what passes direct has to pass through it.

Run are those files of the suite whose tests talk to a server, as far as Redis 7.0 can run any of them: not the mocked
parts (parsers, observability, most of cluster and sentinel), which are the same on both ways; not what wants Redis
Enterprise, modules, TLS, replicas, a cluster, or a server newer than Debian's. ``redis_py_exclusions.txt`` lists the
tests that may fail through the gateway, each with its reason.

The tests flush and configure their server, so that each run has one of its own, and a gateway of its own. The excused
ones run last and apart: some of them lock the gateway out. What differs is run again, up to twice, before it counts.

The suite, in its pinned version, and an environment for it are fetched into build/ and kept there. So is a report.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from clients.redis_py_plugin import FIXED_PORT, covers

from gateways import Gateway
from servers import COMPILED, LOOPBACK, ROOT, RedisServer, Server

VERSION: Final = "8.1.0"
SHA256: Final = "6e1a19beef9225c83efd689c7e6b7da2d5215b1f42cd13b7fc3714d0a09c7b25"
REQUIREMENTS: Final = ("pytest==9.2.0", "pytest-asyncio==1.5.0", "pytest-timeout==2.4.0", "redis-entraid==1.2.2")
HERE: Final = Path(__file__).parent
HOME: Final = ROOT / "build" / f"redis-py-{VERSION}"
MARKERS: Final = "not onlycluster and not redismod and not fixed_client and not ssl and not replica"
# What runs side by side.
SHARDS: Final = {
    "asyncio": (
        "test_asyncio/test_commands.py",
        "test_asyncio/test_connection.py",
        "test_asyncio/test_connection_pool.py",
        "test_asyncio/test_credentials.py",
        "test_asyncio/test_encoding.py",
        "test_asyncio/test_lock.py",
        "test_asyncio/test_monitor.py",
        "test_asyncio/test_pipeline.py",
        "test_asyncio/test_pubsub.py",
        "test_asyncio/test_retry.py",
        "test_asyncio/test_scripting.py",
        "test_asyncio/test_usage_counter.py",
    ),
    "blocking": (
        "test_command_parser.py",
        "test_commands.py",
        "test_connection.py",
        "test_connection_pool.py",
        "test_credentials.py",
        "test_encoding.py",
        "test_function.py",
        "test_lock.py",
        "test_monitor.py",
        "test_multiprocessing.py",
        "test_pipeline.py",
        "test_pubsub.py",
        "test_retry.py",
        "test_scripting.py",
    ),
}
# Refused by default, and used by the tests.
ALLOWED: Final = ("CLUSTER", "DEBUG", "FAILOVER", "MODULE", "MONITOR", "REPLICAOF", "SHUTDOWN", "SLAVEOF")
FEWEST_CASES: Final = 1_500  # fewer, and something is wrong with the trial itself
MOST_EXCUSED: Final = 0.02  # of the cases
MOST_UNSTABLE: Final = 8  # cases that differ at first and not when they run again
RUN_TIMEOUT: Final = 600.0


@dataclass(frozen=True)
class Result:
    """How one case ended."""

    outcome: str
    why: str
    talks: bool

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


Results = dict[str, Result]


class SuiteRun(Server):
    """Some tests of the suite, against one address.

    Args:
        server: Redis, or the gateway.
        protocol: RESP version.
        files: of the suite.
        only: run no other entries than these.
        without: run none of these entries.
    """

    def __init__(
        self,
        server: RedisServer | Gateway,
        protocol: int,
        files: Sequence[str],
        *,
        only: Iterable[str] = (),
        without: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self.server: Final = server
        self.results: Final = self.folder / "results"
        self.files: Final = files
        self.options: Final = [
            f"--redis-url=redis://{LOOPBACK}:{server.port}/0",
            f"--protocol={protocol}",
            "-m",
            MARKERS,
        ]
        for name, entries in (("only", list(only)), ("without", list(without))):
            if entries:
                (self.folder / name).write_text("\n".join(entries))
                self.options.append(f"--{name}={self.folder / name}")

    def command(self) -> list[str]:
        source = HOME / "source"
        own = [f"--results={self.results}", f"--lock={HOME / 'port.lock'}", "-p", "redis_py_plugin"]
        settings = [
            f"--rootdir={source}",
            "-c",
            str(source / "pyproject.toml"),
            "-p",
            "no:cacheprovider",
            "--timeout=60",
        ]
        files = [str(source / file) for file in self.files]
        return [
            str(HOME / "venv/bin/python"),
            "-m",
            "pytest",
            "-q",
            "--tb=native",
            *settings,
            *own,
            *self.options,
            *files,
        ]

    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
        return clean | {"PYTHONPATH": f"{HOME / 'source'}{os.pathsep}{HERE}"}

    def is_ready(self) -> bool:
        return True

    def finish(self) -> Results:
        """Wait for its end."""
        assert self.process is not None
        code = self.process.wait(RUN_TIMEOUT)
        assert code in (0, 1, 5), f"redis-py's tests ended with {code}\n{self.log[-4000:]}"  # 5: no tests to run
        if isinstance(self.server, Gateway):
            self.server.wait_until_free()  # or something was lost in it
        lines = self.results.read_text().splitlines() if self.results.exists() else []
        return {found.pop("id"): Result(**found) for found in map(json.loads, lines)}


class Trial:
    """Both ways in one version of RESP."""

    def __init__(self, protocol: int, excused: dict[str, str]) -> None:
        self.protocol: Final = protocol
        self.excused: Final = excused
        self.direct: Results = {}
        self.through: Results = {}
        self.unstable: list[str] = []

    def run(self) -> None:
        """Everything once, side by side; then again what differs."""
        with ExitStack() as stack:
            direct, through = [], []
            for name, files in SHARDS.items():
                files = tuple(f"tests/{file}" for file in files)
                ahead, behind = ((FIXED_PORT,), (FIXED_PORT,)) if name == "blocking" else ((), ())
                direct.append(self._start(stack, False, (*ahead, *files)))
                through.append(self._start(stack, True, (*files, *behind), without=self.excused))
            through.append(self._start(stack, True, _files(self.excused), only=self.excused))
            self.direct = _union(run.finish() for run in direct)
            self.through = _union(run.finish() for run in through)
        differing = self.differing()
        for _ in range(2):
            if differing:
                differing = self._again(differing)

    def _start(
        self,
        stack: ExitStack,
        gateway: bool,
        files: Sequence[str],
        *,
        only: Iterable[str] = (),
        without: Iterable[str] = (),
    ) -> SuiteRun:
        server: RedisServer | Gateway
        server = redis = stack.enter_context(RedisServer(settings={"enable-module-command": "yes"}))
        if gateway:
            server = stack.enter_context(Gateway(redis, commands={"allow": list(ALLOWED)}))
        return stack.enter_context(SuiteRun(server, self.protocol, files, only=only, without=without))

    def _again(self, differing: list[str]) -> list[str]:
        files = _files(differing)
        with ExitStack() as stack:
            direct = self._start(stack, False, files, only=differing)
            through = self._start(stack, True, files, only=differing)
            self.direct |= direct.finish()
            self.through |= through.finish()
        left = self.differing()
        self.unstable += [test for test in differing if test not in left]
        return left

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
        found = []
        for entry, reason in self.excused.items():
            tests = [test for test in self.direct if covers(entry, test)]
            passing = [test for test in tests if self.direct[test].passed]
            useless = passing and not any(map(self.fails_through, passing)) and not reason.startswith("flaky:")
            if useless or not tests:
                found.append(f"{entry}: {'passes through the gateway' if tests else 'there is no such test'}")
        return found

    def report(self) -> str:
        """The figures, and what is behind them."""
        cases = self.cases()
        talking = [test for test in cases if self.direct[test].talks]
        through = [test for test in cases if test in self.through and self.through[test].passed]
        excused = [test for test in cases if self.fails_through(test) and self.reason(test)]
        rows = [
            f"redis-py {VERSION}, RESP{self.protocol}",
            f"cases run direct           {len(cases):5}",
            f"  that talk to the server  {len(talking):5}",
            f"skipped by the suite       {len(self.direct) - len(cases):5}",
            f"passed direct              {sum(self.direct[test].passed for test in cases):5}",
            f"passed through             {len(through):5}",
            f"excused                    {len(excused):5}, {len(excused) / max(1, len(talking)):.1%} of what talks",
            f"unstable                   {len(self.unstable):5}",
        ]
        for title, tests in (("excused", excused), ("unstable", self.unstable), ("UNEXPLAINED", self.differing())):
            rows += ["", f"{title}:", *(f"  {test}: {self._why(test)}" for test in tests)]
        return "\n".join(rows)

    def _why(self, test: str) -> str:
        return self.through[test].why or "passed at last" if test in self.through else "did not run"

    def cases(self) -> list[str]:
        """What was not skipped."""
        return [test for test, result in self.direct.items() if result.outcome != "skipped"]


@pytest.fixture(scope="module")
def suite() -> None:
    """Fetch the suite and what it needs, once for all workers and all runs."""
    wanted = "\n".join((SHA256, sys.version, *REQUIREMENTS))
    ready = HOME / "ready"
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.exists() and ready.read_text() == wanted:
            return
        ready.unlink(missing_ok=True)
        for folder in ("venv", "source", "download"):
            shutil.rmtree(HOME / folder, ignore_errors=True)
        (HOME / "source").mkdir()
        pinned = HOME / "pinned.txt"
        pinned.write_text(f"redis=={VERSION} --hash=sha256:{SHA256}\n")
        pip = (str(HOME / "venv/bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check")
        _do(sys.executable, "-m", "venv", str(HOME / "venv"))
        _do(*pip, "install", *REQUIREMENTS)
        fetch = ("download", "--no-deps", "--no-binary", ":all:", "--require-hashes", "-r", str(pinned))
        _do(*pip, *fetch, "--dest", str(HOME / "download"))
        archive = str(HOME / "download" / f"redis-{VERSION}.tar.gz")
        _do("tar", "-xzf", archive, "--strip-components=1", "-C", str(HOME / "source"))
        ready.write_text(wanted)


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"no suite of redis-py: {' '.join(command)}\n{done.stdout}{done.stderr}"


def exclusions() -> dict[str, str]:
    """The list: entry -> reason."""
    found: dict[str, str] = {}
    for line in (HERE / "redis_py_exclusions.txt").read_text().splitlines():
        entry, _, reason = line.partition("#")
        if entry.strip():
            assert reason.strip(), f"no reason: {line}"
            assert entry.strip() not in found, f"twice: {line}"
            found[entry.strip()] = reason.strip()
    return found


def _files(tests: Iterable[str]) -> list[str]:
    return sorted({test.partition("::")[0] for test in tests})


def _union(results: Iterable[Results]) -> Results:
    return {test: result for part in results for test, result in part.items()}


@pytest.mark.skipif(not COMPILED, reason="takes minutes; the compiled form is the one that users run")
@pytest.mark.timeout(1_500)
@pytest.mark.usefixtures("suite")
@pytest.mark.parametrize("protocol", [2, 3])
def test_what_passes_direct_passes_through_the_gateway(protocol: int) -> None:
    trial = Trial(protocol, exclusions())
    trial.run()
    report = trial.report()
    (HOME / f"resp{protocol}.txt").write_text(report + "\n")
    assert not trial.differing(), report
    assert not trial.stale(), f"redis_py_exclusions.txt: {trial.stale()}\n{report}"
    talking = [test for test in trial.cases() if trial.direct[test].talks]
    assert len(talking) >= FEWEST_CASES, report
    assert sum(map(trial.fails_through, talking)) <= MOST_EXCUSED * len(talking), report
    assert len(trial.unstable) <= MOST_UNSTABLE, report


def test_an_entry_covers_what_it_names_and_no_more() -> None:
    test = "tests/a.py::A::test_b[single]"
    for entry in ("tests/a.py", "tests/a.py::A", "tests/a.py::A::test_b", test):
        assert covers(entry, test)
    for entry in ("tests/a", "tests/a.py::A::test", "tests/a.py::A::test_b[pool]", "tests/a.py::B"):
        assert not covers(entry, test)


def test_a_difference_counts_unless_it_is_excused_and_an_excuse_has_to_be_needed() -> None:
    passed, failed, skipped = (Result(word, "", True) for word in ("passed", "failed", "skipped"))
    trial = Trial(3, {"a": "right", "b": "passes now", "c": "never was", "d": "flaky: not always", "e": "skipped"})
    trial.direct = {"a[1]": passed, "a[2]": passed, "b": passed, "d": passed, "e": skipped, "f": failed}
    trial.through = {"a[1]": failed, "a[2]": passed, "b": passed, "d": passed, "e": skipped, "f": failed}
    assert trial.differing() == []
    assert trial.stale() == ["b: passes through the gateway", "c: there is no such test"]
    trial.direct |= {"g": passed, "h": passed, "i": passed}
    trial.through |= {"g": failed, "h": skipped}  # i did not even run
    assert trial.differing() == ["g", "h", "i"]
