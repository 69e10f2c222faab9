"""Whole scripts, through the codec and past it: a real server's replies must be the same, byte by byte."""

from __future__ import annotations

import pytest

from redis_playbook import Conversation, exhaust, pack, through
from servers import RedisServer

SCRIPTS = [
    "MULTI|SET r:a 1|INCR r:a|EXEC|GET r:a",
    "MULTI|SET r:a 1|NOPE|EXEC|PING",
    "MULTI|SET r:a|EXEC|PING",
    "MULTI|MULTI|SET r:a 1|EXEC",
    "MULTI|WATCH r:a|EXEC",
    "MULTI|EXEC|MULTI|DISCARD|EXEC",
    "MULTI|EXEC now|EXEC",
    "MULTI|DISCARD now|EXEC",
    "MULTI|BLPOP r:none 0|XREAD BLOCK 0 STREAMS r:none 0|EXEC",
    "MULTI|UNWATCH|EXEC|PING",
    "WATCH r:a|SET r:a 2|MULTI|GET r:a|EXEC|MULTI|GET r:a|EXEC",
    "WATCH r:a|UNWATCH|SET r:a 2|MULTI|GET r:a|EXEC",
    "WATCH|UNWATCH now|MULTI|QUIT",
    "MULTI|SET r:a 3|RESET|EXEC|PING",
    "SELECT 1|SET r:b 1|SELECT 0|EXISTS r:b|SELECT 99|SELECT x|SELECT 00|SELECT -1|SELECT|EXISTS r:b",
    "WATCH r:a|SELECT 2|MULTI|SELECT 3|DBSIZE|EXEC|SELECT 0|EXISTS r:a",
    "CLIENT REPLY OFF|PING|GET|CLIENT REPLY NOPE|CLIENT REPLY ON|PING",
    "CLIENT REPLY SKIP|PING|PING",
    "CLIENT REPLY SKIP|CLIENT REPLY ON|PING",
    "CLIENT REPLY SKIP|CLIENT REPLY SKIP|PING|PING",
    "CLIENT REPLY SKIP|CLIENT REPLY OFF|PING|client reply on|PING",
    "CLIENT REPLY OFF|CLIENT REPLY SKIP|PING|CLIENT REPLY ON|PING|PING",
    "CLIENT REPLY SKIP|CLIENT ID|CLIENT SETNAME x|CLIENT GETNAME",
    "CLIENT REPLY OFF|MULTI|SET r:a 1|EXEC|CLIENT REPLY ON|GET r:a",
    "CLIENT REPLY OFF|RESET|PING",
    "SUBSCRIBE r:c r:d|GET r:a|PING|PING x|UNSUBSCRIBE|GET r:none|PING",
    "SUBSCRIBE r:c r:c|UNSUBSCRIBE r:c r:c r:c|GET r:none",
    "SUBSCRIBE r:c|PSUBSCRIBE r:*|UNSUBSCRIBE|SET r:a 1|CLIENT ID|PUNSUBSCRIBE|GET r:none",
    "UNSUBSCRIBE|PUNSUBSCRIBE|SUNSUBSCRIBE|UNSUBSCRIBE a b|GET r:none",
    "SSUBSCRIBE r:c|SUNSUBSCRIBE r:c|GET r:none",
    "SUBSCRIBE|PSUBSCRIBE r:*|RESET|GET r:none",
    "SUBSCRIBE r:c|QUIT|PING",
    "HELLO 3|SUBSCRIBE r:c|GET r:none|PUBLISH r:c 1|UNSUBSCRIBE|UNSUBSCRIBE|GET r:none",
    "HELLO 3|SUBSCRIBE r:c r:d|PSUBSCRIBE r:*|PUBLISH r:c 1|UNSUBSCRIBE r:c|UNSUBSCRIBE|PUNSUBSCRIBE|PING",
    "BLPOP r:none 0.01|BLMOVE r:none r:b LEFT RIGHT 0.01|BLPOP r:none x|BLPOP r:none -1|BLPOP",
    "XREAD BLOCK 1 STREAMS r:none 0|XREAD STREAMS r:none 0|WAIT 0 0|WAIT 9 1|WAIT x 1|WAIT 0",
    "CLIENT TRACKING OFF|CLIENT CACHING YES|CLIENT TRACKING NOPE|CLIENT TRACKING",
    "HELLO 3|CLIENT TRACKING ON|GET r:a|CLIENT TRACKINGINFO|CLIENT TRACKING OFF|PING",
    "CONFIG|CONFIG NOPE|OBJECT NOPE|CLIENT|CLIENT NOPE|nope nope|COMMAND COUNT",
    "SCRIPT LOAD x|EVALSHA nope 0|FUNCTION LIST|READONLY|CLUSTER SLOTS",
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_gets_the_same_replies_as_without_gateway(redis_server: RedisServer, script: str) -> None:
    commands = pack("SET r:a 0", "SET r:b 0", "DEL r:b", *script.split("|"), "QUIT")
    direct = exhaust(redis_server.port, commands, ends=False)
    client = Conversation()
    through(redis_server.port, commands, client)
    if script.startswith("HELLO"):  # its reply has an id and a version
        direct, client.client_got = (got.partition(b"*0\r\n")[2] for got in (direct, client.client_got))
    assert client.client_got == direct
