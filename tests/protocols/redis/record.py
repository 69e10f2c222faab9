"""Records what real clients and a real server say to each other, into captures/*.jsonl.

    PYTHONPATH=.:tests python tests/protocols/redis/record.py [redis-py-3 ioredis ...]

Each client holds a short typical conversation (connect, authenticate, select, set and get, a pipeline, a transaction,
a watch, publish and subscribe, a blocking command, a scan, a script) with a redis-server behind a small relay, which
writes down the bytes. Needs redis-server, redis-cli, PHP with phpredis, node and npm; what it takes from npm goes to a
temporary folder. ``test_captures.py`` replays the captures: they need to be recorded anew only when a client's new
version says something new. One line of a capture is one chunk of one connection, a character for each byte.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import redis

from servers import LOOPBACK, RedisServer, free_port

CAPTURES = Path(__file__).parent / "captures"
PASSWORD = "s3cret"


class Recorder:
    """A relay in front of a server; keeps all chunks in the order in which they passed."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.port = free_port()
        self.chunks: list[dict[str, object]] = []
        self.lock = threading.Lock()
        self.connections = 0
        self.listener = socket.create_server((LOOPBACK, self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection((LOOPBACK, self.upstream))
            self.connections += 1
            for name, source, target in (("client", client, server), ("server", server, client)):
                threading.Thread(target=self._pass, args=(self.connections, name, source, target), daemon=True).start()

    def _pass(self, connection: int, name: str, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                with self.lock:  # written down before it is passed on: an answer never stands before its question
                    self.chunks.append({"connection": connection, "from": name, "data": data.decode("latin-1")})
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def save(self, path: Path) -> None:
        self.listener.close()
        with self.lock:
            path.write_text("".join(json.dumps(chunk) + "\n" for chunk in self.chunks))


# redis-cli


def redis_cli(version: str) -> Callable[[int], None]:
    def converse(port: int) -> None:
        command = ["redis-cli", version, "-p", str(port), "-a", PASSWORD, "--no-auth-warning"]
        lines = [
            "PING",
            'SET greeting "hello world"',
            "GET greeting",
            "MULTI",
            "INCR counter",
            "HSET map a 1 b 2",
            "EXEC",
            "HGETALL map",
            "MULTI",
            "DISCARD",
            "WATCH counter",
            "UNWATCH",
            "SADD set a b",
            "SMEMBERS set",
            "ZADD scores 1.5 a",
            "ZSCORE scores a",
            "BLPOP empty 0.01",
            "SCAN 0",
            "EVAL 'return {1, KEYS[1], ARGV[1], redis.error_reply(\"no\")}' 1 k a",
            "EVALSHA ffffffffffffffffffffffffffffffffffffffff 0",
            "SELECT 2",
            "DBSIZE",
            "LPOP greeting x y",
            "NOSUCHCOMMAND a",
            "CLIENT GETNAME",
        ]
        if version == "-2":
            subprocess.run([*command, "-n", "1"], input="\n".join(lines), text=True, check=True, capture_output=True)
        else:  # one by one: else it asks for the long COMMAND DOCS again
            for line in lines:
                subprocess.run([*command, "-n", "1", *shlex.split(line)], check=True, capture_output=True)
        with subprocess.Popen([*command, "SUBSCRIBE", "news", "more"], stdout=subprocess.PIPE, text=True) as listening:
            assert listening.stdout is not None
            for line in listening.stdout:
                if line.strip() in ("2", "(integer) 2"):
                    break
            subprocess.run([*command, "PUBLISH", "news", "hello"], check=True, capture_output=True)
            for line in listening.stdout:
                if "hello" in line:
                    break
            listening.kill()

    return converse


# redis-py


def redis_py(protocol: int) -> Callable[[int], None]:
    def converse(port: int) -> None:
        client = redis.Redis(port=port, password=PASSWORD, db=1, protocol=protocol, client_name="recorder")
        client.set("greeting", "hello", ex=100)
        assert client.get("greeting") == b"hello"
        client.set("big", b"\r\n*1\r\n" * 1000)
        assert client.get("big") == b"\r\n*1\r\n" * 1000
        with client.pipeline(transaction=False) as pipe:
            for number in range(20):
                pipe.set(f"key:{number}", number)
            pipe.mget(["key:1", "nothing"])
            pipe.execute()
        with client.pipeline() as pipe:
            pipe.watch("key:1")
            pipe.get("key:1")
            pipe.multi()
            pipe.incr("key:1")
            pipe.hset("map", mapping={"a": 1, "b": 2})
            pipe.execute()
        client.hgetall("map")
        client.sadd("set", "a", "b")
        client.smembers("set")
        client.zadd("scores", {"a": 1.5})
        client.zrange("scores", 0, -1, withscores=True)
        client.blpop(["empty"], timeout=0.01)
        client.xadd("stream", {"a": "1"})
        client.xread({"stream": 0}, block=10)
        list(client.scan_iter("key:*", count=5))
        client.register_script("return {ARGV[1], 1}")(args=["a"])
        client.delete("greeting", "nothing")
        client.incrbyfloat("float", 1.5)
        with contextlib.suppress(redis.ResponseError):
            client.incr("map")
        with client.pubsub() as listener:
            listener.subscribe("news")
            listener.psubscribe("n*")
            while listener.get_message(timeout=1) and not listener.patterns:
                pass
            client.publish("news", "hello")
            listener.get_message(timeout=1)
            listener.get_message(timeout=1)
            listener.ping()
            listener.unsubscribe()
            listener.punsubscribe()
            while listener.get_message(timeout=0.2):
                pass
        client.close()

    return converse


# phpredis

PHP = """
$r = new Redis();
$r->connect('127.0.0.1', (int) $argv[1]);
$r->auth('s3cret');
$r->select(1);
$r->client('setname', 'recorder');
$r->set('greeting', 'hello', 100);
$r->get('greeting');
$r->get('nothing');
$p = $r->pipeline();
for ($i = 0; $i < 20; $i++) { $p->set("key:$i", (string) $i); }
$p->mget(['key:1', 'nothing']);
$p->exec();
$r->watch('key:1');
$m = $r->multi();
$m->incr('key:1');
$m->hMSet('map', ['a' => '1', 'b' => '2']);
$m->exec();
$r->multi(); $r->discard();
$r->hGetAll('map');
$r->sAdd('set', 'a', 'b'); $r->sMembers('set');
$r->zAdd('scores', 1.5, 'a'); $r->zScore('scores', 'a');
$r->blPop(['empty'], 1);
$it = null;
while ($keys = $r->scan($it, 'key:*', 5)) { }
$r->eval('return {KEYS[1], ARGV[1], 1}', ['k', 'a'], 1);
$r->script('load', 'return 1');
$r->evalSha(sha1('return 1'));
$r->rawCommand('nosuchcommand', 'a');
$r->xAdd('stream', '*', ['a' => '1']);
$r->xRead(['stream' => '0'], 1, 10);
$s = new Redis();
$s->connect('127.0.0.1', (int) $argv[1]);
$s->auth(['default', 's3cret']);
$s->setOption(Redis::OPT_READ_TIMEOUT, 0.5);
try {
    $s->subscribe(['news', 'more'], function ($s, $channel, $message) { $s->unsubscribe(['news', 'more']); });
} catch (RedisException $e) { }
$r->close();
"""


def phpredis(port: int) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".php") as script:
        script.write("<?php\n" + PHP)
        script.flush()
        running = subprocess.Popen(["php", script.name, str(port)])
        publish_until(port, running)


# node

IOREDIS = """
const Redis = require('ioredis');
(async () => {
  const r = new Redis({port: +process.argv[2], password: 's3cret', db: 1, connectionName: 'recorder'});
  await r.set('greeting', 'hello', 'EX', 100);
  await r.get('greeting');
  await Promise.all([r.get('a'), r.set('b', 1), r.incr('b')]);
  await r.pipeline().set('c', 1).incr('c').lpush('c', 'x').get('c').exec();
  await r.watch('c');
  await r.multi().incr('c').hset('map', {a: 1, b: 2}).exec();
  await r.multi({pipeline: false}); await r.get('c'); await r.discard();
  await r.hgetall('map');
  await r.blpop('empty', 0.01);
  for await (const keys of r.scanStream({count: 5})) { }
  r.defineCommand('twice', {numberOfKeys: 1, lua: 'return {KEYS[1], ARGV[1]}'});
  await r.twice('k', 'a'); await r.twice('k', 'b');
  await r.xadd('stream', '*', 'a', '1');
  await r.xread('BLOCK', 10, 'STREAMS', 'stream', '0');
  await r.call('nosuchcommand').catch(() => {});
  const s = r.duplicate();
  await s.subscribe('news', 'more'); await s.psubscribe('n*');
  const heard = new Promise(resolve => s.on('message', resolve));
  await r.publish('news', 'hello');
  await heard;
  await s.unsubscribe('news', 'more'); await s.punsubscribe('n*');
  await s.get('greeting');
  await s.quit(); await r.quit();
})();
"""
NODE_REDIS = """
const { createClient } = require('redis');
(async () => {
  const url = `redis://:s3cret@127.0.0.1:${process.argv[2]}/1`;
  const r = createClient({url, name: 'recorder', RESP: +process.argv[3]});
  await r.connect();
  await r.set('greeting', 'hello', {EX: 100});
  await r.get('greeting');
  await Promise.all([r.get('a'), r.set('b', '1'), r.incr('b')]);
  await r.watch('b');
  await r.multi().incr('b').hSet('map', {a: '1', b: '2'}).exec();
  await r.hGetAll('map');
  await r.sAdd('set', ['a', 'b']); await r.sMembers('set');
  await r.zAdd('scores', {score: 1.5, value: 'a'}); await r.zScore('scores', 'a');
  await r.blPop('empty', 0.01);
  for await (const keys of r.scanIterator({COUNT: 5})) { }
  await r.eval('return {KEYS[1], ARGV[1]}', {keys: ['k'], arguments: ['a']});
  await r.xAdd('stream', '*', {a: '1'});
  await r.xRead({key: 'stream', id: '0'}, {BLOCK: 10});
  await r.sendCommand(['NOSUCHCOMMAND']).catch(() => {});
  await r.select(2);
  await r.dbSize();
  const s = r.duplicate();
  await s.connect();
  let heard; const message = new Promise(resolve => { heard = resolve; });
  await s.subscribe('news', heard); await s.pSubscribe('n*', () => {});
  await r.publish('news', 'hello');
  await message;
  await s.unsubscribe('news'); await s.pUnsubscribe();
  await s.close(); await r.close();
})();
"""


def node(package: str, program: str, *arguments: str) -> Callable[[int], None]:
    def converse(port: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["npm", "install", "--silent", "--prefix", folder, package], check=True)
            script = Path(folder) / "client.js"
            script.write_text(program)
            subprocess.run(["node", str(script), str(port), *arguments], check=True, timeout=30, env=dict(os.environ))

    return converse


def publish_until(port: int, running: subprocess.Popen[bytes]) -> None:
    """Publish, past the recorder's client, until that has heard enough."""
    publisher = redis.Redis(port=_upstreams[port], password=PASSWORD)
    while running.poll() is None:
        publisher.publish("news", "hello")
        time.sleep(0.05)
    assert running.returncode == 0


CLIENTS: dict[str, Callable[[int], None]] = {
    "redis-cli-2": redis_cli("-2"),
    "redis-cli-3": redis_cli("-3"),
    "redis-py-2": redis_py(2),
    "redis-py-3": redis_py(3),
    "phpredis": phpredis,
    "ioredis": node("ioredis", IOREDIS),
    "node-redis-2": node("redis", NODE_REDIS, "2"),
    "node-redis-3": node("redis", NODE_REDIS, "3"),
}
_upstreams: dict[int, int] = {}  # which server stands behind which recorder


def main(names: list[str]) -> None:
    CAPTURES.mkdir(exist_ok=True)
    for name in names or CLIENTS:
        with RedisServer(password=PASSWORD) as server:
            recorder = Recorder(server.port)
            _upstreams[recorder.port] = server.port
            CLIENTS[name](recorder.port)
            time.sleep(0.1)  # for the last words
            recorder.save(CAPTURES / f"{name}.jsonl")
            print(f"{name}: {recorder.connections} connections, {len(recorder.chunks)} chunks")


if __name__ == "__main__":
    main(sys.argv[1:])
