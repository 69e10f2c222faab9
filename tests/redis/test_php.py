"""phpredis, as web applications use it: a connection for each request, or one kept by the worker process."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateways import Gateway
from servers import LOOPBACK, RedisServer, binary, free_port

Keys = Callable[[str], str]


@pytest.fixture(scope="module")
def gateway(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """It listens on a port and on a unix socket, and asks for a password."""
    path = tmp_path_factory.mktemp("php") / "cache.sock"
    listen = [f"{LOOPBACK}:{free_port()}", {"address": f"unix:{path}", "mode": "0600"}]
    with Gateway(redis_server, listen=listen, clients=[{"user": "app", "password": "apple"}]) as gateway:
        yield gateway


@pytest.fixture(params=["port", "unix socket"])
def address(request: pytest.FixtureRequest, gateway: Gateway) -> str:
    """The first arguments of connect(), in PHP."""
    listeners = [listener["address"] for listener in gateway.admin("/server_info")["listeners"]]
    if request.param == "port":
        host, port = listeners[0].split(":")
        return f"'{host}', {port}"
    return f"'{listeners[1].removeprefix('unix:')}'"


def php(tmp_path: Path, code: str) -> Any:
    """Run a script; what it returns comes back through JSON."""
    script = tmp_path / "script.php"
    script.write_text(f"<?php\nerror_reporting(E_ALL);\nfunction main() {{\n{code}\n}}\necho json_encode(main());\n")
    loaded = subprocess.run([binary("php"), "-m"], capture_output=True, text=True, check=True).stdout
    if "redis" not in loaded.split():
        pytest.skip("phpredis is not installed")
    done = subprocess.run([binary("php"), str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_connection_for_each_request(gateway: Gateway, tmp_path: Path, address: str, key: Keys) -> None:
    code = f"""
        for ($i = 0; $i < 200; $i++) {{
            $r = new Redis();
            $r->connect({address});
            $r->auth(['app', 'apple']);
            $r->select($i % 4);
            $r->set('{key("a")}', "value $i");
            $got[] = $r->get('{key("a")}') === "value $i";
            $r->close();
        }}
        return array_sum($got);
    """
    opened = gateway.endpoint()["lanes"]["opened"]
    assert php(tmp_path, code) == 200
    assert gateway.endpoint()["lanes"]["opened"] - opened <= 8, "two lanes for each database, however many clients"
    gateway.wait_until_quiet()


def test_a_connection_that_is_kept(gateway: Gateway, tmp_path: Path, address: str, key: Keys) -> None:
    code = f"""
        for ($i = 0; $i < 50; $i++) {{
            $r = new Redis();
            $r->pconnect({address});
            if ($i == 0) $r->auth(['app', 'apple']);
            $ids[] = $r->rawCommand('CLIENT', 'ID');
            $n = $r->incr('{key("n")}');
        }}
        return [count(array_unique($ids)), $n];
    """
    assert php(tmp_path, code) == [1, 50]


def test_pipelines_and_transactions(gateway: Gateway, tmp_path: Path, address: str, key: Keys) -> None:
    a, n = key("a"), key("n")
    code = f"""
        $r = new Redis();
        $r->connect({address});
        $r->auth(['app', 'apple']);
        $piped = $r->pipeline()->set('{a}', '1')->incr('{a}')->get('{a}')->hGetAll('none')->exec();
        $multi = $r->multi()->set('{n}', '5')->incr('{n}')->exec();
        $r->watch('{n}');
        $r->incr('{n}');
        $failed = $r->multi()->incr('{n}')->exec();
        $discarded = $r->multi()->del('{n}')->discard();
        $both = $r->pipeline()->multi()->incr('{n}')->get('{n}')->exec()->exec();
        return [$piped, $multi, $failed, $discarded, $both];
    """
    piped, multi, failed, discarded, both = php(tmp_path, code)
    assert piped == [True, 2, "2", []]
    assert multi == [True, 6]
    assert failed is False
    assert discarded is True
    assert both == [[8, "8"]]
    gateway.wait_until_quiet()


def test_what_else_applications_do(gateway: Gateway, tmp_path: Path, address: str, key: Keys) -> None:
    code = f"""
        $r = new Redis();
        $r->connect({address});
        $r->auth(['app', 'apple']);
        $r->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_PHP);
        $r->setOption(Redis::OPT_PREFIX, '{key("p:")}');
        $r->set('object', ['a' => [1, 2.5, null]]);
        $r->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_NONE);
        $r->rPush('l', 'x');
        for ($i = 0; $i < 300; $i++) $r->sAdd('s', "m$i");
        $cursor = null; $members = [];
        while (($page = $r->sScan('s', $cursor)) !== false) $members = array_merge($members, $page);
        $sum = $r->eval('return ARGV[1] + ARGV[2]', [2, 3]);
        $sha = $r->script('load', 'return redis.call("get", KEYS[1])');
        $r->set('k', 'by script');
        $large = strlen($r->get('object')) > 20;
        return [$large, $r->blPop(['l'], 1)[1], $r->blPop(['l'], 1), count(array_unique($members)), $sum,
            $r->evalSha($sha, ['k'], 1), $r->client('getname'), $r->ping('hello')];
    """
    assert php(tmp_path, code) == [True, "x", [], 300, 5, "by script", False, "hello"]


def test_errors_reach_php(gateway: Gateway, tmp_path: Path, address: str) -> None:
    code = f"""
        $r = new Redis();
        $r->connect({address});
        try {{ $r->get('a'); }} catch (RedisException $e) {{ $said[] = $e->getMessage(); }}
        try {{ $r->auth('wrong'); }} catch (RedisException $e) {{ $said[] = $e->getMessage(); }}
        $r->auth(['app', 'apple']);
        $r->rawCommand('MONITOR');
        $said[] = $r->getLastError();
        return $said;
    """
    noauth, wrong, refused = php(tmp_path, code)
    assert noauth.startswith("NOAUTH ") and wrong.startswith("WRONGPASS ")
    assert refused.startswith("ERR poolgate: cache: MONITOR is refused unless commands.allow lists it")
