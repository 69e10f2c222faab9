"""What the gateway asks of a protocol. One folder under protocols/ implements these for one protocol.

A codec is sans-I/O: bytes and ``now`` (seconds, monotonic) in, Calls and bytes out. The gateway owns sockets,
time, governance and order; a codec owns boundaries, the state that a client believes its connection has, and the
words in which a fault is said.
"""

from __future__ import annotations

from typing import Any, Final

from mypy_extensions import i64, mypyc_attr

from protocols.call import Call, Verb
from protocols.fault import Fault
from protocols.layer import Layer

# What UpstreamCodec.scan found.
DONE: Final = 0  # the rest of the call's replies end at ``end``
MORE: Final = 1  # whole replies end at ``end``; what follows is unfinished up to ``reached``
PUSH: Final = 2  # behind ``end`` stands a message that nobody asked for, up to ``push_end``

# May clients use a verb? What Protocol.standing says.
ALLOWED: Final = 0
RESTRICTED: Final = 1
IMPOSSIBLE: Final = 2

QUERY_ORDERS: Final = ("time", "count", "errors", "rows", "mean")  # of Protocol.queries


@mypyc_attr(allow_interpreted_subclasses=True)
class ServerCodec:
    """The gateway's side of one client connection: it reads commands and answers like a server."""

    half_closes: bool = True  # False: a client that sends no more has left, and waits for nothing

    def __init__(self) -> None:
        self.user: str = ""  # the authenticated identity; "" before, or without, authentication
        self.plans: list[Any] = []  # by Verb.index; a run goes on while the plan stays the same object
        self.pin: str | None = None  # why the session needs a connection of its own ("WATCH"); None: it may share
        self.pinned_at: float = 0.0
        self.tag: object = None  # the connection state that its calls need: lanes and leases are matched by it
        self.kind: i64 = 0  # of connection that its calls need; see Protocol.fresh_tag
        self.role: str = ""  # of the endpoint that its next call asks for; "": the service's own choice
        self.moves: bool = False  # its next call must not go over the lease that it holds: it needs another
        self.pushes: bool = False  # messages that nobody asked for (subscriptions) are relayed now
        self.said: bytes = b""  # for the client, in answer to no call: a greeting, a step of the login
        self.starts_layer: Layer | None = None  # with the next byte of either side, once (compression)
        self.starts_tls: bool = False  # what the client sends behind ``said`` is TLS; see leftover
        self.logged_in: bool = True  # False: the client has to say who it is first, and soon

    def greet(self) -> None:
        """The service is ready for this client: where the server speaks first, ``said`` is set."""

    def leftover(self) -> bytes:
        """TLS or another layer starts: bytes fed already that belong to it."""
        return b""

    def feed(self, data: bytes) -> None:
        """More bytes from the client."""

    def buffered(self) -> i64:
        """Bytes fed and not yet part of a call."""
        return 0

    def next(self, now: float) -> Call | None:
        """The next call, or None when more bytes are needed.

        Raises:
            ProtocolError: the client broke the protocol; ``broken`` renders the farewell.
        """
        raise NotImplementedError

    def piece(self) -> bytes:
        """The next piece of an unfinished request; ``unfinished`` says whether more follows it."""
        raise NotImplementedError

    def unfinished(self) -> bool:
        """A request whose call was already made is still arriving."""
        return False

    def discard(self) -> None:
        """The unfinished request was refused: swallow the rest of it."""

    def answer(self, call: Call, now: float) -> bytes:
        """The reply to a local call, which takes effect now."""
        raise NotImplementedError

    def observe(self, call: Call, data: bytes, now: float) -> bytes:
        """A part of an observed call's reply; returns what the client gets instead of it."""
        return data

    def observe_push(self, data: bytes, now: float) -> None:
        """A message that is relayed without having been asked for."""

    def split(self, call: Call) -> list[Call]:
        """A run that was refused as a whole, as one call per command."""
        return [call]

    def refuse(self, call: Call, fault: Fault) -> bytes:
        """The fault in the protocol's own words, once for each reply that the call still waits for."""
        raise NotImplementedError

    def broken(self, error: Exception) -> bytes:
        """What a client that broke the protocol is told before its connection closes."""
        return b""

    def preface(self, call: Call, upstream: UpstreamCodec, now: float) -> Call | None:
        """What has to go ahead of a call on its lease, asked until it is None; may finish ``call.request``.

        Each such call is of the gateway's own. When one is answered by an error, ``preface_failed`` is what the client
        gets in the place of its reply.
        """
        return None

    def preface_failed(self, call: Call, data: bytes) -> bytes:
        """The reply to the call, made from the error that answered its preface."""
        return data

    def finished(self, call: Call, now: float) -> None:
        """A call that needed a lease is over: the pin may end."""

    def lease_lost(self) -> bool:
        """The session's own connection ended. True: the session can go on; False: it has to close."""
        return True

    def farewell(self, fault: Fault) -> bytes:
        """What a client is told that has to close because its own connection was lost."""
        return b""

    def unblocked(self, call: Call, error: bool) -> bytes:
        """The reply of a blocking call that somebody ended: as after its timeout, or an error."""
        return b""

    def cleanup(self) -> list[bytes] | None:
        """Commands, one reply each, that make the lease clean again; None: it cannot be cleaned and has to close."""
        return []

    def left_tag(self) -> object:
        """The tag of a lease that was given back, behind its cleanup."""
        return self.tag

    def cleaned(self, data: bytes) -> None:
        """The replies to the cleanup, for a session that waits for them (``cleaning``)."""

    def facts(self, now: float) -> dict[str, Any]:
        """What ``/sessions`` shows of the protocol's state; never a secret."""
        return {}


@mypyc_attr(allow_interpreted_subclasses=True)
class UpstreamCodec:
    """The gateway's side of one upstream connection: it finds the ends of replies."""

    def __init__(self) -> None:
        self.end: i64 = 0
        self.reached: i64 = 0
        self.push_end: i64 = 0

    def opened(self, login: Login) -> None:
        """The login is through; what it learned about this connection is at hand."""

    def adopt(self, session: ServerCodec | None) -> None:
        """The connection now belongs to this session alone, or (None) to nobody."""

    def hand_over(self, data: bytes, start: i64, call: Call | None) -> bool:
        """The unfinished message at ``start`` is relayed in pieces from now on. True: it is a push."""
        return call is None

    def scan(self, data: bytes, start: i64, resume: i64, call: Call | None) -> i64:
        """Find the replies of ``call`` in data[start:], going on at ``resume``; counts down ``call.waiting``.

        Returns DONE, MORE or PUSH, and sets ``end``, ``reached``, ``push_end``. Counts errors and failures of the
        call. Without a call every message is a push.

        Raises:
            ProtocolError: the upstream broke the protocol; the connection has to close.
        """
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class Login:
    """The conversation that makes a new upstream connection usable."""

    starts_tls: bool = False  # TLS starts behind what ``feed`` returned; then ``feed(b"")`` goes on

    def start(self) -> bytes:
        """What to send first."""
        raise NotImplementedError

    def feed(self, data: bytes) -> bytes | None:
        """The upstream answered: what to send next (b"" to wait for more), or None when it is done.

        Raises:
            LoginError: the upstream refused; the text says why, without secrets.
        """
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class Host:
    """What the gateway does for a protocol. Sessions go by their ids."""

    def disconnect(self, session_id: int) -> None:
        """End a session; its own reply still goes out."""

    def unblock(self, session_id: int, error: bool) -> bool:
        """End the wait of a blocked session, as after its timeout or with an error; False: it did not wait."""
        return False

    def interrupt(self, session_id: int) -> bool:
        """End what a session is executing upstream; False: nothing."""
        return False

    def slow(self, facts: dict[str, Any]) -> None:
        """A call took longer than it should; the facts are what the log says of it."""

    def mirror(self, service: str, tag: object, request: bytes) -> None:
        """Send a copy of a call to another service of the protocol. Nobody waits for the answer."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Protocol:
    """One protocol as one service speaks it: makes codecs, and holds what all sessions of the service share."""

    starts_tls_itself: bool = False  # in mid-connection, on both sides
    has_lanes: bool = True  # False: a connection serves one session at a time, so calls go over leases
    greets: bool = False  # the server speaks first, and what it says has to be learned from the upstream

    def __init__(self, service: str, verbs: list[Verb], base_tag: object) -> None:
        self.service: Final = service
        self.verbs: Final = verbs  # by Verb.index; the first one stands for all that the protocol does not know
        self.base_tag: Final = base_tag  # the tag of a fresh session

    def attach(self, host: Host) -> None:
        """What the gateway does on behalf of the protocol."""

    def is_ready(self) -> bool:
        """What clients are greeted with is known."""
        return True

    def unavailable(self, fault: Fault) -> bytes:
        """What a client is told, before anything else, that comes while the upstream was never seen."""
        return b""

    def standing(self, verb: Verb) -> int:
        """ALLOWED, RESTRICTED (unless the configuration allows it) or IMPOSSIBLE."""
        return ALLOWED

    def is_local(self, verb: Verb) -> bool:
        """The gateway answers this verb itself: only access control governs it."""
        return False

    def server(self, session_id: int, peer: str, local: str, tls: bool, now: float) -> ServerCodec:
        """A codec for a new client connection. ``peer`` and ``local`` are printable addresses; TLS can be started."""
        raise NotImplementedError

    def left(self, session_id: int) -> None:
        """A session is over."""

    def upstream(self) -> UpstreamCodec:
        """A codec for a new upstream connection."""
        raise NotImplementedError

    def fresh_tag(self, kind: int) -> object:
        """The tag of a connection of some kind (what is fixed when it opens) before anybody has used it."""
        return self.base_tag

    def kind_of(self, tag: object) -> int:
        """The kind of connection that can be brought to this tag."""
        return 0

    def login(self, tag: object) -> Login:
        """The login of a new upstream connection that is to have this tag."""
        raise NotImplementedError

    def refused(self, tag: object) -> None:
        """The upstream refused a connection this tag: what was believed of the tag is wrong."""

    def prelude(self, have: object, want: object) -> list[bytes]:
        """Commands, one reply each, that bring an idle connection from one tag to another."""
        return []

    def noop(self) -> bytes:
        """A command without effect, with one reply."""
        raise NotImplementedError

    def interrupt(self, upstream: UpstreamCodec) -> bytes | None:
        """A command for another connection that ends what this one is executing; None: it has to close."""
        return None

    def explain(self, data: bytes) -> str:
        """What the upstream said in an error reply, for people."""
        return ""

    def stats(self, now: float) -> dict[str, Any]:
        """What ``/stats`` shows of the protocol."""
        return {}

    def queries(self, by: str, top: int, now: float) -> list[dict[str, Any]]:
        """What was executed, by digest, the greatest first by one of QUERY_ORDERS; ``latency`` is a Histogram."""
        return []

    def forget_queries(self) -> None:
        """Begin anew with that."""

    def rule_hits(self) -> list[tuple[str, int]]:
        """The service's query rules by name, and how many commands followed each."""
        return []

    def repeater(self, tag: object, now: float) -> ServerCodec:
        """A codec that stands for a client of another service with this tag, for copies of its calls."""
        raise NotImplementedError

    def too_many(self) -> bytes:
        """What a client is told that is one too many."""
        return b""
