"""Which bytes are the replies of which call, which are pushes, and what errors say of the upstream."""

from __future__ import annotations

import pytest

from protocols.call import APP_ERROR, FATAL, OK, RETRYABLE, Call
from protocols.codec import DONE, MORE, PUSH
from protocols.errors import ProtocolError
from protocols.redis.commands import VERBS, find
from protocols.redis.login import Tag
from protocols.redis.scan import encode
from protocols.redis.upstream import RedisUpstream, first_word
from redis_playbook import RELAY_FROM, Conversation, pack


def call(*names: str) -> Call:
    """A call; of several commands, a run."""
    verbs = [find(name.encode()) or VERBS[0] for name in names]
    made = Call(verbs[0], len(names), b"", 0.0)
    made.verbs = list(verbs) if len(set(names)) > 1 else None
    return made


# Replies and calls


def test_a_call_is_done_behind_its_last_reply() -> None:
    upstream, run = RedisUpstream(), call("GET", "GET")
    data = b"$1\r\na\r\n$-1\r\n+another's\r\n"
    assert upstream.scan(data, 0, 0, run) == DONE
    assert (upstream.end, run.waiting) == (12, 0)


def test_whole_replies_of_a_run_go_ahead_of_an_unfinished_one() -> None:
    upstream, run = RedisUpstream(), call("GET", "GET", "GET")
    data = b"$1\r\na\r\n$1\r\nb\r\n$5\r\nhal"
    assert upstream.scan(data, 0, 0, run) == MORE
    assert (data[: upstream.end], run.waiting) == (b"$1\r\na\r\n$1\r\nb\r\n", 1)
    kept = data[upstream.end :]
    assert upstream.scan(kept + b"f!\r\n", 0, upstream.reached - upstream.end, run) == DONE
    assert upstream.end == len(kept) + 4


def test_what_is_no_reply_ends_the_connection() -> None:
    with pytest.raises(ProtocolError):
        RedisUpstream().scan(b"HTTP/1.1 200 OK\r\n", 0, 0, call("GET"))


# Errors


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (b"+OK\r\n", OK),
        (b"-ERR unknown command\r\n", APP_ERROR),
        (b"-WRONGTYPE Operation against a key\r\n", APP_ERROR),
        (b"-NOSCRIPT No matching script\r\n", APP_ERROR),
        (b"-BUSYGROUP Consumer Group name already exists\r\n", APP_ERROR),
        (b"-BUSYKEY Target key name already exists.\r\n", APP_ERROR),
        (b"!9\r\nERR blob!\r\n", APP_ERROR),
        (b"-\r\n", APP_ERROR),
        (b"-LOADING Redis is loading the dataset in memory\r\n", RETRYABLE),
        (b"-LOADING\r\n", RETRYABLE),
        (b"-BUSY Redis is busy running a script.\r\n", RETRYABLE),
        (b"-READONLY You can't write against a read only replica.\r\n", RETRYABLE),
        (b"-MASTERDOWN Link with MASTER is down\r\n", RETRYABLE),
        (b"-CLUSTERDOWN Hash slot not served\r\n", RETRYABLE),
        (b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n", RETRYABLE),
        (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", FATAL),
        (b"-MISCONF Redis is configured to save RDB snapshots\r\n", FATAL),
        (b"-NOAUTH Authentication required.\r\n", FATAL),
        (b"|1\r\n+ttl\r\n:1\r\n-LOADING behind an attribute\r\n", RETRYABLE),
    ],
)
def test_an_error_is_the_commands_fault_or_the_upstreams(reply: bytes, outcome: int) -> None:
    for at in range(len(reply)):
        upstream, one = RedisUpstream(), call("GET")
        resume = 0
        if at:
            assert upstream.scan(reply[:at], 0, 0, one) == MORE
            resume = upstream.reached
        assert upstream.scan(reply, 0, resume, one) == DONE
        assert one.outcome == outcome
        assert (one.errors, one.failures) == (outcome == APP_ERROR, outcome in (RETRYABLE, FATAL))


def test_the_worst_reply_of_a_run_is_its_outcome() -> None:
    upstream, run = RedisUpstream(), call("GET", "GET", "GET", "GET")
    upstream.scan(b"-OOM a\r\n-ERR b\r\n+OK\r\n-LOADING c\r\n", 0, 0, run)
    assert (run.outcome, run.errors, run.failures, run.blamed) == (FATAL, 1, 2, None)


def test_of_a_mixed_run_it_is_known_which_command_failed() -> None:
    upstream, run = RedisUpstream(), call("GET", "SET", "GET", "INCR")
    upstream.scan(b"+OK\r\n-OOM a\r\n+OK\r\n-WRONGTYPE b\r\n", 0, 0, run)
    assert run.blamed == {1: FATAL, 3: APP_ERROR}


def test_blamed_positions_do_not_depend_on_how_replies_arrive() -> None:
    replies = b"-ERR a\r\n$3\r\nabc\r\n-LOADING b\r\n"
    for at in range(1, len(replies)):
        upstream, run = RedisUpstream(), call("GET", "SET", "INCR")
        upstream.scan(replies[:at], 0, 0, run)
        upstream.scan(replies[upstream.end :], 0, upstream.reached - upstream.end, run)
        assert run.blamed == {0: APP_ERROR, 2: RETRYABLE}


# Pushes


def resp3(*commands: str) -> Conversation:
    client = Conversation()
    client.codec.tag = Tag(0, 3)
    client.says(*commands)
    return client


def message(kind: str, *words: bytes) -> bytes:
    """A message of pub/sub: an array in RESP2, a push in RESP3."""
    bulks = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    return b"%b%d\r\n%b" % (kind.encode(), len(words), bulks)


def confirmation(kind: str, word: bytes, channel: bytes, count: int) -> bytes:
    return b"%b3\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n:%d\r\n" % (kind.encode(), len(word), word, len(channel), channel, count)


def test_without_a_call_everything_is_a_push() -> None:
    upstream = RedisUpstream()
    assert upstream.scan(b'+1339518083.1 [0 a] "ping"\r\n*1\r\n', 0, 0, None) == PUSH
    assert (upstream.end, upstream.push_end) == (0, 28)


def test_a_push_on_a_shared_lane_is_nobodys_reply() -> None:
    upstream, run = RedisUpstream(), call("GET", "GET")
    data = b"+a\r\n>2\r\n+invalidate\r\n*0\r\n+b\r\n"
    assert upstream.scan(data, 0, 0, run) == PUSH
    assert (data[: upstream.end], data[upstream.end : upstream.push_end]) == (b"+a\r\n", b">2\r\n+invalidate\r\n*0\r\n")
    assert upstream.scan(data, upstream.push_end, upstream.push_end, run) == DONE


@pytest.mark.parametrize("kind", ["*", ">"])
def test_a_subscription_its_messages_and_its_end(kind: str) -> None:
    begin = confirmation(kind, b"subscribe", b"a", 1) + message(kind, b"message", b"a", b"between")
    begin += confirmation(kind, b"subscribe", b"b", 2) + message(kind, b"message", b"b", b"later")
    end = confirmation(kind, b"unsubscribe", b"a", 1) + message(kind, b"message", b"b", b"between")
    end += confirmation(kind, b"unsubscribe", b"b", 0)
    for at in range(len(begin + end)):
        client = resp3() if kind == ">" else Conversation()
        client.says("SUBSCRIBE a b", "UNSUBSCRIBE a b", "GET a")
        assert client.hears(begin[:at]) + client.hears(begin[at:]) == begin
        assert client.lines[-1] == "UNSUBSCRIBE (observed, barrier, waits for 2, pin SUBSCRIBE)"
        assert client.hears(end[:at]) + client.hears(end[at:]) == end
        assert client.lines[-1] == "GET"  # no connection of its own is needed any more
        assert client.codec.cleanup() == []


def test_subscriptions_are_counted_by_kind() -> None:
    client = Conversation()
    client.says("SUBSCRIBE a b", "PSUBSCRIBE x*", "UNSUBSCRIBE")
    client.hears(confirmation("*", b"subscribe", b"a", 1) + confirmation("*", b"subscribe", b"b", 2))
    client.hears(confirmation("*", b"psubscribe", b"x*", 3))
    assert client.lines[-1] == "UNSUBSCRIBE (observed, barrier, waits for 2, pin SUBSCRIBE)"
    client.hears(confirmation("*", b"unsubscribe", b"a", 2) + confirmation("*", b"unsubscribe", b"b", 1))
    assert client.codec.subscriptions() == 1
    assert client.codec.pin == "SUBSCRIBE"


def test_one_error_answers_for_all_channels() -> None:
    client = Conversation()
    client.says("SUBSCRIBE a b c", "GET a")
    assert client.hears(b"-NOPERM no channels\r\n") == b"-NOPERM no channels\r\n"
    assert client.lines[-1] == "GET"


def test_a_subscriber_of_resp3_goes_on_with_commands() -> None:
    client = resp3("SUBSCRIBE a")
    client.hears(confirmation(">", b"subscribe", b"a", 1))
    assert client.says("GET a", "PING") == ["GET+PING (pin SUBSCRIBE)"]
    data = message(">", b"message", b"a", b"1") + b"$1\r\nx\r\n" + message(">", b"message", b"a", b"2") + b"+PONG\r\n"
    assert client.hears(data) == data
    assert not client.in_flight


def test_a_list_is_no_message_whatever_it_begins_with() -> None:
    """Whoever can write a list must not shift the replies of whoever reads it."""
    trap = message("*", b"message", b"a", b"1") + message("*", b"unsubscribe", b"a", b"0")
    client = resp3("SUBSCRIBE a")
    client.hears(confirmation(">", b"subscribe", b"a", 1))
    client.says("LRANGE l 0 -1", "LRANGE l 0 -1")
    assert client.hears(trap) == trap
    assert not client.in_flight
    assert client.codec.subscriptions() == 1

    client = Conversation()
    client.says("WATCH a", "LRANGE l 0 -1", "SUBSCRIBE c")  # not subscribed yet when the list comes
    client.hears(b"+OK\r\n" + message("*", b"message", b"a", b"1") + confirmation("*", b"subscribe", b"c", 1))
    assert not client.in_flight


def test_ping_of_a_subscriber_of_resp2_is_an_array() -> None:
    client = Conversation()
    client.says("SUBSCRIBE a")
    client.hears(confirmation("*", b"subscribe", b"a", 1))
    client.says("PING message")
    data = message("*", b"message", b"a", b"1") + message("*", b"pong", b"message")
    assert client.hears(data) == data
    assert not client.in_flight


def test_a_subscription_that_the_upstream_ends_by_itself() -> None:
    client = resp3("SSUBSCRIBE a")
    client.hears(confirmation(">", b"ssubscribe", b"a", 1))
    client.says("GET a")
    data = confirmation(">", b"sunsubscribe", b"a", 0) + b"$-1\r\n"
    assert client.hears(data) == data
    assert client.codec.pin is None


def test_a_subscriber_cannot_go_on_without_its_connection() -> None:
    client = resp3("SUBSCRIBE a")
    assert client.loses_its_connection()  # it learns that it is not subscribed
    client.says("SUBSCRIBE a")
    client.hears(confirmation(">", b"subscribe", b"a", 1))
    assert not client.loses_its_connection()  # it may have missed a message, and has to know


# What is long goes on in pieces

LONG = b"x" * (4 * RELAY_FROM)


@pytest.mark.parametrize("kind", ["*", ">"])
@pytest.mark.parametrize("size", [1000, 70_000])
@pytest.mark.parametrize("ahead", [b"", b"1"])
def test_a_long_message_is_relayed_in_pieces(kind: str, size: int, ahead: bytes) -> None:
    """Also behind a short one in the same bytes, and whatever is in its pieces."""
    trap = confirmation(kind, b"unsubscribe", b"a", 0)
    for body in (LONG, (trap * 10000)[: len(LONG)]):
        client = resp3("SUBSCRIBE a") if kind == ">" else Conversation()
        if kind == "*":
            client.says("SUBSCRIBE a")
        client.hears(confirmation(kind, b"subscribe", b"a", 1))
        client.says("PING")  # a reply is owed meanwhile
        data = (
            message(kind, b"message", b"a", ahead) * len(ahead) + message(kind, b"message", b"a", body) + b"+PONG\r\n"
        )
        got = b"".join(client.hears(data[at : at + size]) for at in range(0, len(data), size))
        assert got == data
        assert not client.in_flight
        assert client.codec.subscriptions() == 1
        assert len(client.tail) == 0


def test_what_a_long_array_is_does_not_depend_on_what_came_before_it() -> None:
    """In RESP2 only its first word tells a message from a reply."""
    pong, long_pong = message("*", b"pong", b"x"), message("*", b"pong", LONG)
    note, long_note = message("*", b"message", b"a", b"1"), message("*", b"message", b"a", LONG)
    for data, owed in ((pong + long_note, 1), (note + long_pong, 1), (pong + long_pong, 0), (note + long_note, 2)):
        client = Conversation()
        client.says("SUBSCRIBE a")
        client.hears(confirmation("*", b"subscribe", b"a", 1))
        client.says("PING x", "PING x")
        assert client.hears(data[:100_000]) + client.hears(data[100_000:]) == data
        assert len(client.in_flight) == owed


def test_pieces_that_begin_like_a_confirmation_are_none() -> None:
    client = resp3("SUBSCRIBE a")
    client.hears(confirmation(">", b"subscribe", b"a", 1))
    trap = confirmation(">", b"unsubscribe", b"a", 0)
    body = LONG + trap + b"y" * 5000
    head, tail = message(">", b"message", b"a", body).split(trap)
    for part in (head, trap, tail):
        assert client.hears(part) == part
    assert client.codec.subscriptions() == 1
    assert client.hears(trap) == trap  # and this is one
    assert client.codec.pin is None


def test_a_long_reply_is_relayed_in_pieces() -> None:
    client = Conversation()
    client.says("GET a", "GET b")
    data = b"$%d\r\n%b\r\n+b\r\n" % (len(LONG), LONG)
    got = b""
    for at in range(0, len(data), 10_000):
        got += client.hears(data[at : at + 10_000])
        assert len(client.tail) <= RELAY_FROM
    assert got == data
    assert client.calls[0].partial
    assert not client.in_flight


def test_a_long_reply_between_messages() -> None:
    client = resp3("SUBSCRIBE a")
    client.hears(confirmation(">", b"subscribe", b"a", 1))
    client.says("GET a", "GET b")
    note = message(">", b"message", b"a", b"1")
    data = note + b"$%d\r\n%b\r\n" % (len(LONG), LONG) + note + b"+b\r\n" + note
    assert b"".join(client.hears(data[at : at + 9_999]) for at in range(0, len(data), 9_999)) == data
    assert not client.in_flight


def test_a_channel_with_a_very_long_name_keeps_its_connection_for_good() -> None:
    client = Conversation()
    client.sends(encode([b"SUBSCRIBE", LONG]) + pack("UNSUBSCRIBE", "GET a"))
    data = confirmation("*", b"subscribe", LONG, 1)
    assert b"".join(client.hears(data[at : at + 9_999]) for at in range(0, len(data), 9_999)) == data
    assert client.codec.pin == "SUBSCRIBE to a very long name"
    assert client.codec.cleanup() is None


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"*2\r\n$3\r\nabc\r\n", b"abc"),
        (b"*2\r\n$3\r\nab", b"ab"),
        (b"*2\r\n$3", b""),
        (b"*2\r\n", b""),
        (b"*2", b""),
        (b"*1\r\n:1\r\n", b""),
        (b"*1\r\n$-1\r\n", b""),
        (b">2\r\n+subscribe\r\n:1\r\n", b""),
    ],
)
def test_the_first_word_as_far_as_it_has_arrived(data: bytes, word: bytes) -> None:
    assert first_word(data, 0) == word
    assert first_word(b"+before\r\n" + data, 9) == word
