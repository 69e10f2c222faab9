"""The table of hazards, row by row: what a client says, what becomes of it, and what the client sees."""

from __future__ import annotations

import pytest

from protocols.redis.login import Tag
from protocols.redis.scan import encode
from redis_playbook import LIMITED_REPLY, Conversation, exhaust, pack
from servers import RedisServer

OK = b"+OK\r\n"
QUEUED = b"+QUEUED\r\n"
EXECABORT = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
WRONGTYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"


def said(client: Conversation) -> str:
    """What the client got since it was asked last."""
    got, client.client_got = client.client_got, b""
    return got.decode()


# SELECT


def test_a_known_database_is_a_note_in_the_session() -> None:
    client = Conversation()
    assert client.says("SELECT 0") == ["SELECT (local): +OK"]
    assert client.codec.tag == Tag(0, 2)


def test_an_unknown_database_is_asked_for_once() -> None:
    client = Conversation()
    assert client.says("SELECT 5", "GET a") == ["SELECT (observed, barrier, pin SELECT)"]
    client.hears(OK)
    assert client.lines[-1] == "GET"
    assert (client.codec.tag, client.codec.pin) == (Tag(5, 2), None)
    other = Conversation(protocol=client.protocol)
    assert other.says("SELECT 5") == ["SELECT (local): +OK"]
    assert other.codec.tag == Tag(5, 2)


@pytest.mark.parametrize("index", ["99", "x", "-1", "00", "01"])
def test_a_database_that_the_upstream_refuses_changes_nothing(index: str) -> None:
    client = Conversation()
    client.says(f"SELECT {index}")
    assert client.hears(b"-ERR DB index is out of range\r\n") == b"-ERR DB index is out of range\r\n"
    assert (client.codec.tag, client.codec.pin) == (Tag(0, 2), None)


def test_select_on_a_connection_of_its_own_goes_there() -> None:
    client = Conversation()
    assert client.says("WATCH a", "SELECT 0")[1] == "SELECT (observed, barrier, pin WATCH)"
    client.hears(OK + OK)
    assert client.codec.tag == Tag(0, 2)


def test_select_inside_multi_binds_the_session_to_its_connection() -> None:
    client = Conversation()
    client.says("MULTI", "SELECT 3", "EXEC", "GET a")
    client.hears(OK + QUEUED + b"*1\r\n" + OK)
    assert client.lines[-1] == "GET (pin SELECT inside MULTI)"
    assert client.codec.cleanup() is None


# MULTI, EXEC, DISCARD, WATCH, UNWATCH


def test_a_transaction_is_pinned_until_exec() -> None:
    client = Conversation()
    assert client.says("MULTI", "SET a 1", "INCR a", "PING", "EXEC", "GET a") == [
        "MULTI (pin MULTI)",
        "SET+INCR+PING (pin MULTI)",
        "EXEC (observed, barrier, pin MULTI)",
    ]
    replies = OK + QUEUED * 3 + b"*3\r\n+OK\r\n:2\r\n+PONG\r\n"
    assert client.hears(replies) == replies
    assert client.lines[-1] == "GET"


def test_a_watch_is_pinned_until_exec_discard_or_unwatch() -> None:
    for ending, replies in (("UNWATCH", OK), ("MULTI DISCARD", OK * 2), ("MULTI EXEC", OK + b"*-1\r\n")):
        client = Conversation()
        assert client.says("WATCH a", "GET a") == ["WATCH (observed, pin WATCH)", "GET (pin WATCH)"]
        client.hears(OK + b"$-1\r\n")
        client.says(*ending.split())
        assert client.hears(replies) == replies
        assert client.codec.pin is None
        assert client.codec.cleanup() == []


def test_a_watch_that_fails_pins_nothing() -> None:
    client = Conversation()
    client.says("WATCH a")
    client.hears(b"-NOPERM no\r\n")
    assert client.codec.pin is None


def test_a_second_watch_that_fails_leaves_the_first() -> None:
    client = Conversation()
    client.says("WATCH a", "WATCH b")
    client.hears(OK + b"-NOPERM no\r\n")
    assert client.codec.pin == "WATCH"


def test_a_second_watch_that_is_refused_leaves_the_first() -> None:
    """Else the connection would go back to the pool with a key that it watches."""
    client = Conversation()
    client.says("WATCH a")
    client.denied = {"WATCH"}
    client.says("WATCH b")
    client.hears(OK)
    assert client.codec.pin == "WATCH"
    assert client.codec.cleanup() == [encode([b"UNWATCH"])]


@pytest.mark.parametrize(
    ("commands", "error"),
    [
        (["EXEC"], "-ERR EXEC without MULTI"),
        (["DISCARD"], "-ERR DISCARD without MULTI"),
        (["EXEC now"], "-ERR wrong number of arguments for 'exec' command"),
        (["MULTI now"], "-ERR wrong number of arguments for 'multi' command"),
        (["UNWATCH"], "+OK"),
    ],
)
def test_what_ends_nothing_is_answered_here(commands: list[str], error: str) -> None:
    client = Conversation()
    client.says(*commands)
    assert said(client) == error + "\r\n"
    assert (client.calls, client.codec.pin) == ([], None)


@pytest.mark.parametrize("command", ["CLIENT ID", "SUBSCRIBE c", "MONITOR", "CLIENT TRACKING ON", "AUTH x", "BLPOP a"])
def test_what_cannot_be_in_a_transaction_breaks_it(command: str) -> None:
    client = Conversation()
    client.says("MULTI", "SET a 1", command, "SET b 2", "EXEC", "GET a")
    assert client.forwarded.endswith(pack("SET b 2", "DISCARD"))
    client.hears(OK + QUEUED * 2 + OK)
    assert client.client_got.endswith(QUEUED + EXECABORT)
    assert client.lines[-1] == "GET"


def test_a_refusal_inside_a_transaction_breaks_it() -> None:
    client = Conversation(apart=["SET"], denied=["SET"])
    client.says("MULTI", "INCR a", "SET a 1", "INCR b", "EXEC")
    assert client.hears(OK + QUEUED * 2 + OK) == OK + QUEUED + LIMITED_REPLY + QUEUED + EXECABORT
    client.says("MULTI", "INCR a", "EXEC")
    replies = OK + QUEUED + b"*1\r\n:1\r\n"
    assert client.hears(replies) == replies


def test_what_follows_a_refused_multi_is_not_executed_by_itself() -> None:
    client = Conversation(denied=["MULTI"])
    client.says("MULTI", "SET a 1", "EXEC")
    lost = "-ERR poolgate: cache: the transaction was lost before\r\n"
    assert said(client) == LIMITED_REPLY.decode() + lost + EXECABORT.decode()
    client.says("MULTI")
    assert client.says("SET a 1", "EXEC") == ["SET", "EXEC: -ERR EXEC without MULTI"]


def test_a_refused_multi_inside_a_transaction_does_not_end_it() -> None:
    """Else the connection would go back to the pool in the midst of a transaction."""
    client = Conversation()
    client.says("MULTI")
    client.denied = {"MULTI"}
    client.says("MULTI", "EXEC")
    assert client.codec.pin == "MULTI"
    assert client.hears(OK + OK) == OK + LIMITED_REPLY + EXECABORT


def test_after_a_refused_exec_the_connection_is_not_reused() -> None:
    client = Conversation(denied=["EXEC"])
    client.says("MULTI", "SET a 1", "EXEC")
    assert client.codec.pin is None
    assert client.codec.cleanup() is None
    assert client.codec.cleanup() == []  # the next one is


@pytest.mark.parametrize(("begin", "end"), [("MULTI", "DISCARD"), ("WATCH a", "UNWATCH")])
def test_a_client_that_leaves_is_cleaned_up_after(begin: str, end: str) -> None:
    client = Conversation()
    client.says(begin)
    assert client.codec.cleanup() == [encode([end.encode()])]


def test_a_transaction_that_lost_its_connection_ends_in_order() -> None:
    client = Conversation()
    client.says("MULTI", "SET a 1")
    client.hears(OK + QUEUED)
    assert client.loses_its_connection()
    said(client)
    client.says("SET b 1", "CLIENT ID", "EXEC", "GET a")
    lost = "-ERR poolgate: cache: the transaction was lost before\r\n"
    assert said(client) == lost * 2 + EXECABORT.decode()
    assert client.lines[-1] == "GET"


@pytest.mark.parametrize(("command", "reply"), [("DISCARD", "+OK"), ("RESET", "+RESET"), ("QUIT", "+OK")])
def test_a_lost_transaction_can_be_left(command: str, reply: str) -> None:
    client = Conversation()
    client.says("MULTI")
    client.hears(OK)
    client.loses_its_connection()
    said(client)
    client.says(command)
    assert said(client) == reply + "\r\n"
    assert client.codec.pin is None or client.closed


def test_exec_after_a_lost_watch_replies_nil() -> None:
    """What was watched may have changed unseen."""
    client = Conversation()
    client.says("WATCH a")
    client.hears(OK)
    assert client.loses_its_connection()
    assert client.codec.pin is None
    client.says("MULTI", "SET a 1", "EXEC")
    assert client.forwarded.endswith(pack("DISCARD"))
    assert client.hears(OK + QUEUED + OK) == OK + QUEUED + b"*-1\r\n"
    client.says("MULTI", "EXEC")
    assert client.hears(OK + b"*0\r\n") == OK + b"*0\r\n"


def test_unwatch_forgets_a_lost_watch() -> None:
    client = Conversation()
    client.says("WATCH a")
    client.hears(OK)
    client.loses_its_connection()
    client.says("UNWATCH", "MULTI", "EXEC")
    assert client.lines[-3:] == ["UNWATCH (local): +OK", "MULTI (pin MULTI)", "EXEC (observed, barrier, pin MULTI)"]
    assert client.forwarded.endswith(pack("EXEC"))


# CLIENT REPLY


def test_silenced_replies_end_here() -> None:
    client = Conversation()
    client.says("CLIENT REPLY OFF")
    assert client.says("GET a", "NOPE") == ["GET (mute)", "UNKNOWN (mute)"]
    assert client.hears(b"$1\r\na\r\n-ERR\r\n") == b""
    client.denied = {"GET"}
    client.says("GET a")
    assert client.client_got == b""
    client.denied = set()
    assert client.says("CLIENT REPLY ON", "GET a", "GET b") == ["CLIENT REPLY (local): +OK", "GET x2"]


# Blocking commands


@pytest.mark.parametrize(
    ("command", "call"),
    [
        ("BLPOP a 5", "BLPOP (barrier, blocks 5, pin BLPOP)"),
        ("brpop a b 0", "BRPOP (barrier, blocks 0, pin BRPOP)"),
        ("BLMPOP 0.5 1 a LEFT", "BLMPOP (barrier, blocks 0.5, pin BLMPOP)"),
        ("XREAD BLOCK 1500 STREAMS a $", "XREAD (barrier, blocks 1.5, pin XREAD)"),
        ("XREAD STREAMS a 0", "XREAD"),
        ("XREADGROUP GROUP g c BLOCK 0 STREAMS a >", "XREADGROUP (barrier, blocks 0, pin XREADGROUP)"),
        ("DEBUG SLEEP 1", "DEBUG (barrier, pin DEBUG)"),
        ("CLIENT UNPAUSE", "CLIENT UNPAUSE (barrier, pin CLIENT UNPAUSE)"),
    ],
)
def test_what_would_hold_up_others_gets_a_connection_of_its_own(command: str, call: str) -> None:
    client = Conversation()
    assert client.says(command, "PING") == [call] if "barrier" in call else [call, "PING"]
    if "barrier" in call:
        client.hears(b"*-1\r\n")
        assert client.lines[-1] == "PING"


def test_wait_is_preceded_by_a_ping() -> None:
    """It asks about its own connection's writes: any command there moves the mark to the present."""
    client = Conversation()
    assert client.says("WAIT 1 100") == ["WAIT (observed, barrier, waits for 2, blocks 0.1, pin WAIT)"]
    assert client.forwarded == pack("PING", "WAIT 1 100")


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("WAIT 1 100", b":1\r\n"),
        ("WAITAOF 1 0 100", b"*2\r\n:1\r\n:0\r\n"),
        ("WAIT 1 100", b"-ERR no\r\n"),
    ],
)
def test_the_reply_to_that_ping_is_not_the_clients(command: str, reply: bytes) -> None:
    replies = b"+PONG\r\n" + reply
    for at in range(len(replies) + 1):
        client = Conversation()
        client.says(command)
        assert client.hears(replies[:at]) + client.hears(replies[at:]) == reply


@pytest.mark.parametrize(
    "command",
    ["BLPOP r:none 0", "BLMOVE r:none r:b LEFT LEFT 0", "XREAD BLOCK 0 STREAMS r:none $"],
)
def test_an_unblocked_client_reads_what_a_timeout_says(redis_server: RedisServer, command: str) -> None:
    for resp, nil in ((2, b"*-1\r\n"), (3, b"_\r\n")):
        client = Conversation()
        client.codec.tag = Tag(0, resp)
        client.says(command)
        assert client.codec.unblocked(client.calls[-1], False) == nil
        assert client.codec.unblocked(client.calls[-1], True).startswith(b"-UNBLOCKED ")
        timed = command.replace(" 0 ", " 1 ") if "XREAD" in command else command[:-1] + "0.01"
        said = exhaust(redis_server.port, pack(f"HELLO {resp}", timed, "QUIT"), ends=False)
        assert said.endswith(nil + OK)


def test_an_unblocked_wait_promises_no_replica() -> None:
    client = Conversation()
    client.says("WAIT 1 0")
    assert client.codec.unblocked(client.calls[-1], False) == b":0\r\n"


# MONITOR, CLIENT TRACKING, RESET, QUIT


def test_monitor_takes_its_connection_for_good() -> None:
    client = Conversation()
    assert client.says("MONITOR", "GET a") == [
        "MONITOR (observed, pin MONITOR)",
        "GET (pin MONITOR): -ERR poolgate: cache: only QUIT and RESET are possible during MONITOR",
    ]
    line = b'+1339518083.107412 [0 127.0.0.1:60866] "keys" "*"\r\n'
    client.hears(OK)
    assert client.hears(line * 2) == line * 2
    assert client.codec.cleanup() is None
    assert not client.codec.lease_lost()
    client.says("RESET")
    assert client.codec.pin is None
    assert client.codec.cleanup() is None


def test_a_refused_monitor_is_none() -> None:
    client = Conversation(denied=["MONITOR"])
    assert client.says("MONITOR", "GET a")[1] == "GET"
    client = Conversation()
    client.says("MONITOR")
    client.hears(b"-NOPERM no\r\n")
    assert client.codec.pin is None


def test_tracking_is_pinned_until_it_is_off() -> None:
    client = Conversation()
    client.codec.tag = Tag(0, 3)
    client.says("CLIENT TRACKING ON", "GET a")
    client.hears(OK)
    assert client.lines[-1] == "GET (pin CLIENT TRACKING)"
    invalidation = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n"
    assert client.hears(invalidation + b"$-1\r\n" + invalidation) == invalidation + b"$-1\r\n" + invalidation
    assert not client.codec.lease_lost()
    client.says("CLIENT TRACKING OFF", "GET a")
    client.hears(OK)
    assert client.lines[-1] == "GET"


def test_tracking_that_fails_pins_nothing() -> None:
    client = Conversation()
    client.says("CLIENT TRACKING ON")
    client.hears(b"-ERR no\r\n")
    assert client.codec.pin is None


def test_quit_closes_behind_its_reply() -> None:
    client = Conversation()
    client.says("GET a", "QUIT", "GET b")
    assert client.lines == ["GET", "QUIT (local, closes): +OK"]
    assert client.hears(b"$-1\r\n") == b"$-1\r\n+OK\r\n"


# A lost connection, and refusals, in the words of the gateway


def test_a_fault_is_said_once_for_each_reply_that_is_missing() -> None:
    client = Conversation(denied=["GET"])
    client.says("GET a", "GET b", "PING")
    assert client.client_got == LIMITED_REPLY * 2
    client = Conversation()
    client.says("BLPOP a 0")
    assert client.loses_its_connection()
    client.says("GET a", "GET b")
    client.hears(b"$-1\r\n")
    client.loses_its_connection()
    gone = b"-ERR poolgate: cache: connection to the upstream lost\r\n"
    assert client.client_got == gone + b"$-1\r\n" + gone
    assert client.codec.pin is None
