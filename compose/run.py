"""`make run`: a Redis server, poolgate in front of it, and a short real workload; both stay up until Ctrl-C.

python compose/run.py [--once] [--config FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import redis

from gateway.config import Config, ConfigError, Service, load
from gateway.config.address import Address

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
CLIENTS: Final = 50
BURST: Final = 10_000  # commands, ...
BATCH: Final = 250  # ... so many in one write
START_TIMEOUT: Final = 20.0

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG: Final = 1


class Trouble(Exception):
    """What the user should read, without a traceback."""


def main() -> int:
    """Run the trial; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make run", description="A Redis, poolgate in front of it, and a workload.")
    parser.add_argument("--once", action="store_true", help="end after the workload")
    parser.add_argument("--config", type=Path, default=HERE / "poolgate.yaml", help="default: compose/poolgate.yaml")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        _run(options.config, options.once)
    except (Trouble, ConfigError) as trouble:
        print(f"\n{trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _run(file: Path, once: bool) -> None:
    config = load(str(file))
    name, service = next((item for item in config.services.items() if item[1].protocol == "redis"), (None, None))
    if name is None or service is None:
        raise Trouble(f"{file} has no service with protocol: redis")
    upstream = service.upstream.endpoints[0].address
    front = service.listen[0].address
    _check_ports(config, file)
    server = _redis_server()
    with contextlib.ExitStack() as ends:
        folder = ends.enter_context(tempfile.TemporaryDirectory(prefix="poolgate-run-"))
        settings = ["--bind", upstream.host, "--port", str(upstream.port), "--save", "", "--dir", folder]
        ends.enter_context(_child("redis-server", [server, *settings, "--logfile", "redis.log"]))
        _wait(lambda: _answers(upstream), f"Redis at {upstream}")
        gateway = [sys.executable, "-P", "-m", "gateway", "run", "-c", str(file.resolve())]
        process = ends.enter_context(_child("poolgate", gateway))
        _wait(lambda: _answers(front) and _is_ready(config.admin), f"poolgate at {front}", process)
        clients = [_redis(front) for _ in range(CLIENTS)]
        _workload(clients, front, upstream)
        _figures(name, front, config.admin)
        clients[0].delete(*(f"run:{number}" for number in range(CLIENTS)), "run:counter")
        for client in clients:
            client.close()
        if once:
            return
        print("\nUp until Ctrl-C.", flush=True)
        while process.poll() is None:
            time.sleep(0.2)
        raise Trouble(f"poolgate ended by itself, with {process.returncode}")


def _check_ports(config: Config, file: Path) -> None:
    wanted = [("admin", config.admin)] if config.admin else []
    for name, service in config.services.items():
        wanted += [(f"services.{name}.listen", listener.address) for listener in service.listen]
        wanted += [(f"services.{name}.upstream.endpoints", endpoint.address) for endpoint in _started(service)]
    taken = [
        f"{address} is taken: change {setting} in {_shown(file)}"
        for setting, address in wanted
        if not address.path and not _is_free(address)
    ]
    if taken:
        raise Trouble("\n".join(taken))


def _started(service: Service) -> list[Any]:
    """The endpoints that this trial starts itself."""
    return list(service.upstream.endpoints) if service.protocol == "redis" else []


def _is_free(address: Address) -> bool:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError:
            return False
    return True


def _shown(file: Path) -> str:
    return str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else str(file)


def _redis_server() -> str:
    """Find one or install one; the script says which."""
    if subprocess.run([str(ROOT / "tests" / "install-servers.sh"), "redis"], check=False).returncode:
        raise Trouble("There is no Redis server; the lines above say why.")
    found = shutil.which("redis-server", path=os.pathsep.join([os.environ.get("PATH", ""), str(_bin())]))
    if found is None:
        raise Trouble("redis-server was installed, and is not on PATH")
    return found


def _bin() -> Path:
    return Path(sys.executable).parent


@contextlib.contextmanager
def _child(name: str, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that Ctrl-C does not reach by itself, ended in order, and with us if we are killed."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            print(f"{name} did not end within 30 s: killed", file=sys.stderr)
            process.kill()
            process.wait()


def _wait(ready: Any, what: str, process: subprocess.Popen[bytes] | None = None) -> None:
    end, pause = time.monotonic() + START_TIMEOUT, 0.01
    while True:
        with contextlib.suppress(redis.RedisError, OSError):
            if ready():
                return
        if process is not None and process.poll() is not None:
            raise Trouble(f"{what} did not start; the lines above say why")
        if time.monotonic() > end:
            raise Trouble(f"{what} did not answer within {START_TIMEOUT:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def _redis(address: Address, **options: Any) -> redis.Redis:
    place = {"unix_socket_path": address.path} if address.path else {"host": address.host, "port": address.port}
    return redis.Redis(**{**place, "retry": None, "socket_timeout": 10, "decode_responses": True, **options})


def _answers(address: Address) -> bool:
    with _redis(address) as client:
        return bool(client.ping())


def _admin(address: Address, path: str) -> str:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def _is_ready(admin: Address | None) -> bool:
    return admin is None or bool(_admin(admin, "/ready"))


def _workload(clients: list[redis.Redis], front: Address, upstream: Address) -> None:
    """What an application does, through poolgate; one line each."""
    print(f"\nA workload through {front}, with redis-py:", flush=True)
    for number, client in enumerate(clients):
        client.set(f"run:{number}", number)
    with _redis(upstream) as direct:
        held = len(direct.client_list()) - 1  # Redis's own count, less the connection that asks
    right = sum(client.get(f"run:{number}") == str(number) for number, client in enumerate(clients))
    _line("SET and GET", f"{right} of {CLIENTS} clients read their own value back")
    _line("connections", f"{CLIENTS} clients are connected; Redis itself sees {held} connections")

    pipeline = clients[0].pipeline(transaction=False)
    for _ in range(100):
        pipeline.incr("run:counter")
    _line("pipeline", f"100 INCR in one write, the last answer is {pipeline.execute()[-1]}")

    transaction = clients[1].pipeline(transaction=True)
    transaction.watch("run:counter")
    transaction.multi()
    transaction.incrby("run:counter", 1000)
    _line("WATCH, MULTI, EXEC", f"the counter is {transaction.execute()[0]}")

    with _redis(front) as reader, reader.pubsub() as listener:
        listener.subscribe("run:news")
        listener.get_message(timeout=2)
        clients[2].publish("run:news", "hello")
        message = listener.get_message(ignore_subscribe_messages=True, timeout=2)
    _line("SUBSCRIBE", f"received {message['data']!r}" if message else "received nothing")

    refused = _burst(clients[3])
    _line("a burst", f"{BURST} GET as fast as one client can: {BURST - len(refused)} served, {len(refused)} refused")
    if refused:
        _line("", f"the last one with: {refused[-1]}")


def _burst(client: redis.Redis) -> list[Exception]:
    """More than the sample's rate limit grants; what was refused."""
    refused: list[Exception] = []
    for _ in range(BURST // BATCH):
        pipeline = client.pipeline(transaction=False)
        for _ in range(BATCH):
            pipeline.get("run:3")
        refused += [reply for reply in pipeline.execute(raise_on_error=False) if isinstance(reply, Exception)]
    return refused


def _figures(service: str, front: Address, admin: Address | None) -> None:
    """Where to point clients, and live figures."""
    cli = f"redis-cli -s {front.path}" if front.path else f"redis-cli -h {front.host} -p {front.port}"
    print("\nNow it is yours:")
    _line("clients", cli.replace("-h 127.0.0.1 ", ""))
    if admin is None:
        return
    _line("admin", f"http://{admin}/stats and /clusters, /sessions, /metrics")
    stats = json.loads(_admin(admin, "/stats"))["services"][service]
    calls, latency = stats["calls"], stats["calls"]["latency_ms"]
    print("\nWhat /stats says:")
    _line("clients", f"{stats['sessions']['open']} connected, {stats['sessions']['accepted']} since the start")
    _line("commands", ", ".join(f"{calls[word]} {word}" for word in ("ok", "app_error", "fatal", "refused")))
    _line("refused by", ", ".join(f"{name}: {count}" for name, count in stats["refusals"]["by_policy"].items()) or "-")
    _line("latency", f"p50 {latency['p50']} ms, p99 {latency['p99']} ms, pipelines and bursts included")


def _line(what: str, said: str) -> None:
    print(f"  {what:<20}{said}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
