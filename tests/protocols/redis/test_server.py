"""How a client's bytes become calls: runs, parts, large requests, and who may say how much. See test_rules.py too."""

from __future__ import annotations

import pytest

from protocols.redis.scan import encode
from protocols.redis.server import MAX_RUN, MAX_RUN_BYTES
from redis_playbook import LIMITED_REPLY, Conversation, pack

SMALL = 1 << 10  # a request_buffer that is soon full


# Runs


@pytest.mark.parametrize(
    ("commands", "calls"),
    [
        (["GET a"], ["GET"]),
        (["GET a", "GET b", "get c"], ["GET x3"]),
        (["GET a", "SET a 1", "GET a"], ["GET+SET+GET"]),
        (["PING", "OBJECT ENCODING a", "OBJECT FREQ a"], ["PING+OBJECT ENCODING+OBJECT FREQ"]),
        (["OBJECT HELP", "OBJECT NOPE", "OBJECT"], ["OBJECT HELP+OBJECT+OBJECT"]),
        (["CONFIG GET a", "CONFIG GET b", "CONFIG SET a b"], ["CONFIG GET+CONFIG GET+CONFIG SET"]),
        (["JSON.GET a", "JSON.GET b"], ["UNKNOWN x2"]),  # the same unknown one again
        (["JSON.GET a", "GET b", "JSON.GET c"], ["UNKNOWN+GET", "UNKNOWN"]),
        (["GET a", "CLIENT ID", "GET b"], ["GET", "CLIENT ID (local): :7", "GET"]),
        (["GET a", "XREAD STREAMS s 0", "GET b"], ["GET", "XREAD", "GET"]),
        (["GET"], ["GET"]),  # the upstream says what is wrong with it
    ],
)
def test_consecutive_commands_with_one_plan_are_one_call(commands: list[str], calls: list[str]) -> None:
    client = Conversation()
    assert client.says(*commands) == calls
    assert sum(call.count for call in client.calls) == sum("local" not in line for line in commands) - (
        "CLIENT ID" in commands
    )


def test_a_run_ends_where_the_plan_changes() -> None:
    client = Conversation(apart=["SET"])
    assert client.says("GET a", "MGET a", "SET a 1", "SET b 1", "GET a") == ["GET+MGET", "SET x2", "GET"]


def test_a_run_forwards_the_clients_own_bytes() -> None:
    client = Conversation()
    odd = b"*2\r\n$3\r\ngEt\r\n$1\r\naxx" + pack("GET b")
    client.sends(odd)
    assert client.calls[0].request == client.forwarded == odd


def test_a_run_is_bounded() -> None:
    client = Conversation()
    assert client.says(*["GET a"] * (MAX_RUN + 1)) == [f"GET x{MAX_RUN}", "GET"]
    big = encode([b"SET", b"a", b"x" * 1000])
    client = Conversation()
    client.sends(big * 200)
    assert all(call.size < MAX_RUN_BYTES + len(big) for call in client.calls)
    assert sum(call.count for call in client.calls) == 200


def test_a_command_named_like_the_beginning_of_another_is_another() -> None:
    """Whoever is denied FLUSHALL must not get it as the rest of a run of something else."""
    client = Conversation(apart=["FLUSHALL", "GET"])
    names = [b"FLUSHALL\rX", b"FLUSHALL", b"FLUSHAL", b"FLUSHALL\r\n$1\r\n", b"GET", b"GE", b"GET\r"]
    assert client.sends(b"".join(encode([name]) for name in names)) == [
        "UNKNOWN",
        "FLUSHALL",
        "UNKNOWN",
        "UNKNOWN",
        "GET",
        "UNKNOWN",
        "UNKNOWN",
    ]


def test_a_refused_run_is_split_into_its_commands() -> None:
    client = Conversation()
    client.says("GET a", "SET a 1", "GET b")
    parts = client.codec.split(client.calls[0])
    assert [(part.verb.name, part.request, part.count) for part in parts] == [
        ("GET", pack("GET a"), 1),
        ("SET", pack("SET a 1"), 1),
        ("GET", pack("GET b"), 1),
    ]
    client = Conversation()
    client.says("PING", "PING")
    assert [part.verb.name for part in client.codec.split(client.calls[0])] == ["PING", "PING"]


def test_what_is_broken_comes_behind_the_run_before_it() -> None:
    client = Conversation()
    assert client.sends(pack("GET a", "GET b") + b"*1\r\n+\r\n") == [
        "GET x2",
        "-ERR Protocol error: expected '$', got '+'",
    ]
    assert client.client_got == b""  # the replies come first
    assert client.hears(b"$-1\r\n$-1\r\n").endswith(b"$-1\r\n-ERR Protocol error: expected '$', got '+'\r\n")


# Parts: calls do not depend on how the bytes arrive

SCRIPTS = {
    "plain": pack("GET a", "SET a 1", "get a") + b"PING\r\n" + pack("MGET a b") + b"*0\r\n" + pack("GET a"),
    "state": pack("HELLO 3", "CLIENT SETNAME x", "SELECT 0", "CLIENT REPLY SKIP", "GET a", "CLIENT GETNAME", "RESET"),
    "inline": b"\r\nGET a\nset a 'b c'\r\nCLIENT ID\r\n" + pack("PING") + b"MULTI\r\n" + pack("GET a"),
    "unknown": pack("NOPE a", "CLIENT NOPE", "CLIENT", "OBJECT NOPE", "GET") + encode([b""]),
    "transaction": pack("WATCH a", "MULTI", "SET a 1", "CLIENT ID", "SET b 2", "EXEC"),
    "blocking": pack("GET a", "BLPOP a 1"),
    "broken": pack("GET a", "CLIENT ID") + b"*1\r\n$x\r\n" + pack("GET a"),
    "large": encode([b"SET", b"a", b"x" * 300]) + pack("GET a"),
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_every_split_gives_the_same_conversation(script: bytes) -> None:
    def play(*parts: bytes) -> tuple[bytes, bytes, list[str]]:
        client = Conversation(request_buffer=400)
        for part in parts:
            client.sends(part)
        names = [name for line in client.lines for name in _names(line)]
        return client.forwarded, client.client_got, names

    whole = play(script)
    for at in range(1, len(script)):
        assert play(script[:at], script[at:]) == whole
    assert play(*(bytes([byte]) for byte in script)) == whole


def _names(line: str) -> list[str]:
    """The verbs of a call, whether or not they came as one run."""
    name, _, rest = line.partition(" (")
    verbs = name.partition(": ")[0].split("+")
    times = verbs[-1].rpartition(" x")
    if times[2].isdigit():
        verbs = [times[0]] * int(times[2])
    return [f"{verb} {rest}" for verb in verbs]


def test_what_is_not_a_call_yet_is_buffered() -> None:
    client = Conversation()
    client.sends(pack("GET a") + b"*2\r\n$3\r\nGE")
    assert client.codec.buffered() == 10
    client.sends(b"T\r\n$1\r\na\r\n")
    assert client.codec.buffered() == 0


# Large requests


def test_a_large_request_is_relayed_in_pieces_and_never_held() -> None:
    client = Conversation(request_buffer=SMALL)
    size, piece = 64 << 20, bytes(1 << 16)
    assert client.sends(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%d\r\n" % size) == [
        "SET (barrier, unfinished, pin a large request)"
    ]
    relayed = 0
    for _ in range(size // len(piece)):
        client.forwarded = b""
        client.sends(piece)
        relayed += len(client.forwarded)
        assert client.codec.buffered() == 0
    assert relayed == size
    assert client.codec.unfinished()
    assert client.sends(b"\r\n" + pack("GET a")) == []  # behind the barrier
    assert not client.codec.unfinished()
    client.hears(b"+OK\r\n")
    assert client.lines[-1] == "GET"
    assert client.codec.pin is None


def test_a_large_request_of_many_arguments() -> None:
    client = Conversation(request_buffer=SMALL)
    request = encode([b"MSET", *[b"x" * 50] * 200])
    for at in range(0, len(request), 7):
        client.sends(request[at : at + 7])
        assert client.codec.buffered() <= SMALL + 7
    assert client.lines == ["MSET (barrier, unfinished, pin a large request)"]
    assert client.forwarded == request


def test_a_large_request_behind_a_run() -> None:
    client = Conversation(request_buffer=SMALL)
    large = encode([b"SET", b"a", b"x" * 5000])
    assert client.sends(pack("GET a", "GET b") + large[:500]) == [
        "GET x2",
        "SET (barrier, unfinished, pin a large request)",
    ]
    client.hears(b"$-1\r\n" * 2)
    client.sends(large[500:])
    assert client.forwarded == pack("GET a", "GET b") + large


@pytest.mark.parametrize("cut", [20, 30, 1000, 5000])
def test_a_name_can_be_large_too(cut: int) -> None:
    client = Conversation(request_buffer=SMALL)
    request = encode([b"N" * 5000, b"a"])
    client.sends(request[:cut])
    client.sends(request[cut:] + pack("GET a"))
    assert client.lines == ["UNKNOWN (barrier, unfinished, pin a large request)"]
    assert client.forwarded == request


def test_a_refused_large_request_is_swallowed() -> None:
    client = Conversation(request_buffer=SMALL, denied=["SET"])
    large = encode([b"SET", b"a", b"x" * 5000])
    client.sends(large[:2000])
    assert client.client_got == LIMITED_REPLY
    client.sends(large[2000:4000])
    assert client.codec.buffered() == 0
    assert client.sends(large[4000:] + pack("GET a")) == ["GET"]
    assert client.forwarded == pack("GET a")
    assert client.codec.pin is None


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ([b"CLIENT", b"SETNAME", b"x" * 5000], "ERR poolgate: CLIENT SETNAME larger than request_buffer"),
        ([b"HELLO", b"3", b"SETNAME", b"x" * 5000], "ERR poolgate: HELLO larger than request_buffer"),
        ([b"CLIENT", b"NOPE", b"x" * 5000], "ERR unknown subcommand 'NOPE'. Try CLIENT HELP."),
        ([b"CLIENT", b"NOPE", *[b"x"] * 5000], "ERR unknown subcommand 'NOPE'. Try CLIENT HELP."),
        ([b"EXEC", b"x" * 5000], "ERR wrong number of arguments for 'exec' command"),
    ],
)
def test_a_large_request_that_the_gateway_answers_is_swallowed(args: list[bytes], error: str) -> None:
    client = Conversation(request_buffer=SMALL, greeted=False)
    request = encode(args)
    client.sends(request[:3000])
    client.sends(request[3000:] + pack("GET a"))
    assert client.client_got.decode() == f"-{error}\r\n"
    assert client.lines[-1] == "GET"  # needs no connection of its own


def test_a_large_request_that_turns_out_broken_ends_the_session() -> None:
    client = Conversation(request_buffer=SMALL)
    client.sends(b"*3\r\n$3\r\nSET\r\n$5000\r\n" + b"k" * 4000)
    client.sends(b"k" * 1000 + b"\r\n+OK\r\n")
    assert client.lines[-1] == "-ERR Protocol error: expected '$', got '+'"
    assert client.codec.cleanup() is None  # the upstream waits for the rest: it cannot be reused


def test_the_rest_of_a_large_request_goes_nowhere_when_its_connection_is_lost() -> None:
    client = Conversation(request_buffer=SMALL)
    large = encode([b"SET", b"a", b"x" * 5000])
    client.sends(large[:2000])
    assert client.loses_its_connection()
    assert client.client_got == b"-ERR poolgate: cache: connection to the upstream lost\r\n"
    client.forwarded = b""
    assert not client.codec.unfinished()
    assert client.sends(large[2000:] + pack("GET a")) == ["GET"]
    assert client.forwarded == pack("GET a")


def test_a_large_request_in_a_transaction() -> None:
    client = Conversation(request_buffer=SMALL)
    client.says("MULTI")
    large = encode([b"SET", b"a", b"x" * 5000])
    client.sends(large[:2000])
    client.sends(large[2000:] + pack("EXEC"))
    assert client.lines == ["MULTI (pin MULTI)", "SET (barrier, unfinished, pin MULTI)"]
    client.hears(b"+OK\r\n+QUEUED\r\n")
    assert client.lines[-1] == "EXEC (observed, barrier, pin MULTI)"


def test_a_large_subscription_waits_for_all_its_confirmations() -> None:
    client = Conversation(request_buffer=SMALL)
    client.sends(encode([b"SUBSCRIBE", *[b"channel-%d" % i for i in range(500)]])[:5000])
    assert client.lines == ["SUBSCRIBE (observed, barrier, unfinished, waits for 500, pin SUBSCRIBE)"]


# Numbers that no integer holds, wherever the codec reads one

HUGE = "9" * 5000


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (f"SELECT {HUGE}", None),
        (f"HELLO {HUGE}", "-ERR Protocol version is not an integer or out of range"),
        (f"CLIENT KILL ID {HUGE}", "-ERR client-id should be greater than 0"),
        (f"CLIENT LIST ID {HUGE}", "-ERR Invalid client ID"),
        (f"CLIENT UNBLOCK {HUGE}", "-ERR value is not an integer or out of range"),
        (f"BLPOP a {HUGE}", None),
        (f"XREAD BLOCK {HUGE} STREAMS a 0", None),
    ],
)
def test_a_number_out_of_range_is_refused_or_left_to_the_upstream(command: str, reply: str | None) -> None:
    client = Conversation()
    client.says(command)
    assert client.client_got.decode() == ("" if reply is None else reply + "\r\n")
    assert len(client.calls) == (reply is None)


# Every state a client can be in when it leaves


def test_facts_for_sessions() -> None:
    client = Conversation(users={"app": "apple"})
    client.says("HELLO 3 AUTH app apple SETNAME me", "CLIENT SETINFO LIB-NAME lib", "GET a", "SUBSCRIBE c")
    assert client.codec.facts(client.now) == {
        "name": "me",
        "db": 0,
        "resp": 3,
        "library": "lib",
        "subscriptions": 0,
        "last_command": "SUBSCRIBE",
    }
