"""The servers that other tests stand on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from servers import COMPILED, ROOT, Certificates, PoolgateProcess, RedisServer, Server, free_port, wait_until


class Sleeper(Server):
    """Ready at once, ends on SIGTERM, and has a child that would outlive it."""

    def command(self) -> list[str]:
        return ["sh", "-c", "sleep 300 & echo started; wait"]

    def is_ready(self) -> bool:
        return "started" in self.log


class Stubborn(Sleeper):
    stop_timeout = 0.1

    def command(self) -> list[str]:
        return ["sh", "-c", "trap '' TERM; echo started; sleep 300"]


def group_is_alive(group: int) -> bool:
    """Zombies that wait for the reaper count as dead."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                return True
    return False


def test_free_ports_differ() -> None:
    assert len({free_port() for _ in range(50)}) == 50


def test_redis_is_reached_by_port_url_and_path(redis_server: RedisServer) -> None:
    redis_server.client().set("servers:a", "1")
    assert redis.Redis.from_url(redis_server.url).get("servers:a") == b"1"
    assert redis.Redis(unix_socket_path=str(redis_server.path)).get("servers:a") == b"1"
    assert redis_server.rss() > 1_000_000


def test_redis_with_password_and_users() -> None:
    with RedisServer(password="s3cret", users={"app": "on >apple ~app:* +@all"}) as server:
        assert server.client().ping()
        with pytest.raises(redis.AuthenticationError):
            server.client(password=None, retry=None).ping()
        app = server.client(username="app", password="apple")
        assert app.set("app:1", "x")
        with pytest.raises(redis.exceptions.NoPermissionError):
            app.set("other", "x")


def test_redis_with_tls(tmp_path: Path) -> None:
    tls = Certificates.make(tmp_path)
    with RedisServer(tls=tls) as server:
        assert server.client().ping()
        assert server.client(ssl_certfile=str(tls.client), ssl_keyfile=str(tls.client_key)).ping()
        with pytest.raises(redis.ConnectionError):
            server.client(ssl=False, socket_timeout=2, retry=None).ping()


def test_redis_restarts_at_its_address_and_pauses() -> None:
    with RedisServer() as server:
        first = server.pid
        client = server.client(socket_timeout=2, retry=None)
        assert client.ping()
        server.restart()
        assert server.pid != first
        assert server.client().ping()
        server.pause()
        with pytest.raises(redis.TimeoutError):
            server.client(socket_timeout=0.05, retry=None).ping()
        server.resume()
        assert server.client().ping()


def test_what_is_killed_takes_its_children_along() -> None:
    server = Sleeper().start()
    group = server.pid
    assert group_is_alive(group)
    server.remove()
    wait_until(lambda: not group_is_alive(group), "the whole group ended")
    assert not server.folder.exists()


def test_what_does_not_end_is_killed_and_reported() -> None:
    server = Stubborn().start()
    group = server.pid
    with pytest.raises(subprocess.TimeoutExpired):
        server.stop()
    wait_until(lambda: not group_is_alive(group), "the whole group ended")
    server.remove()


def test_a_failed_start_shows_the_log() -> None:
    with RedisServer() as first:
        second = RedisServer(port=first.port)
        with pytest.raises(ChildProcessError) as failed:
            second.start()
        assert "bind" in failed.value.__notes__[0].lower()
        second.remove()


@pytest.mark.parametrize("last_words", ["os.kill(os.getpid(), 9)", "sys.exit(1)", "raise RuntimeError"])
def test_servers_end_with_whoever_started_them(last_words: str) -> None:
    program = f"import os, sys, servers; print(servers.RedisServer().start().pid, flush=True); {last_words}"
    env = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert done.returncode in (1, -signal.SIGKILL), done.stderr
    # The kernel signals them when their parent dies; they die a moment later.
    wait_until(lambda: not group_is_alive(int(done.stdout)), "the servers gone")


def test_poolgate_gets_an_admin_address_behind_its_configuration() -> None:
    gateway = PoolgateProcess("services: {}\n")
    assert gateway.file.read_text() == f"services: {{}}\nadmin: {gateway.address}\n"
    gateway.configure({"admin": "127.0.0.1:1", "services": {}})
    assert gateway.address == "127.0.0.1:1"
    gateway.remove()


def test_poolgate_starts_answers_and_drains(redis_server: RedisServer) -> None:
    port = free_port()
    cache = {
        "protocol": "redis",
        "listen": f"127.0.0.1:{port}",
        "upstream": {"endpoints": [redis_server.address]},
    }
    with PoolgateProcess({"services": {"cache": cache}}) as gateway:
        assert redis.Redis(port=port).set("servers:b", "2")
        assert "cache" in gateway.admin("/stats")["services"]
        assert "poolgate" in gateway.admin("/metrics")
        assert gateway.rss() > 1_000_000
        form = Path(f"/proc/{gateway.pid}/maps").read_text()
        assert ("poolgate__mypyc" in form) == COMPILED
        assert gateway.stop() == 0


def test_a_refused_configuration_shows_in_the_log() -> None:
    gateway = PoolgateProcess("services: {cache: {protocol: reddis}}")
    with pytest.raises(ChildProcessError) as failed:
        gateway.start()
    assert "redis" in failed.value.__notes__[0]
    gateway.remove()
