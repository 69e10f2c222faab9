"""What a Redis client believes its connection to be, and what all sessions of one service share."""

from __future__ import annotations

import hmac
from typing import Any, Final

from mypy_extensions import i64

from protocols.call import Call, Verb
from protocols.codec import Host, ServerCodec
from protocols.redis.login import Tag
from protocols.redis.scan import ReplyScanner

REPLY_ON: Final = 0
REPLY_OFF: Final = 1
REPLY_SKIP_NEXT: Final = 2  # CLIENT REPLY SKIP was read: the next command stays without reply


class Shared:
    """What all sessions of one service share."""

    def __init__(self, service: str, users: dict[str, str] | None, db: int) -> None:
        self.service: Final = service
        self.users: Final = users  # name -> password; None: the listener asks for no password
        self.db: Final = db
        self.sessions: Final[dict[int, ClientState]] = {}
        self.facts: dict[str, object] = {}  # what the upstream's HELLO told
        self.greeted: bool = False
        self.knows_hello: bool = True  # the upstream does, and with it RESP3
        self.valid_dbs: Final[set[int]] = {db}  # databases that the upstream has accepted
        self.host: Host = Host()

    def learned(self, facts: dict[str, object]) -> None:
        """A new upstream connection was greeted."""
        self.greeted = True
        self.knows_hello = bool(facts)
        if facts:
            self.facts = facts

    def authenticate(self, user: bytes, password: bytes) -> str | None:
        """The user's name when the password is right; "" for whoever comes where none is asked for."""
        name = user.decode("utf-8", "replace")
        if self.users is None:
            return "" if name == "default" else None  # as Redis' own default user, whom any password fits
        expected = self.users.get(name)
        right = hmac.compare_digest(password, (expected or "").encode())
        return name if right and expected is not None else None


class ClientState(ServerCodec):
    """The state of one client's connection as Redis would keep it."""

    def __init__(self, shared: Shared, session_id: int, peer: str, local: str, now: float) -> None:
        super().__init__()
        self.shared: Final = shared
        self.id: Final = session_id
        self.peer: Final = peer
        self.local: Final = local
        self.created: Final = now
        self.used: float = now
        self.last: Verb | None = None
        self.name: bytes = b""
        self.lib_name: bytes = b""
        self.lib_version: bytes = b""
        self.reply_mode: i64 = REPLY_ON

        self.in_multi: bool = False
        self.multi_broken: bool = False  # a command was refused, or the connection lost: EXEC must not execute
        self.multi_calls: i64 = 0
        self.watching: bool = False
        self.watch_confirmed: bool = False  # at least one WATCH took effect
        self.watch_lost: bool = False  # what was watched may have changed unseen: EXEC replies nil
        self.stuck: str | None = None  # a state that only the end of the session ends
        self.errand: str | None = None  # a lease for this one call
        self.dirty: bool = False  # the lease is in a state that nothing here describes
        self.monitoring: bool = False
        self.tracking: bool = False
        self.channels: dict[str, set[bytes]] | None = None  # by kind of subscription; None: not subscribed
        self.subscription_calls: i64 = 0  # not yet confirmed
        self.push_part: ReplyScanner | None = None  # a push that is relayed in pieces is here so far
        self.opener: Call | None = None  # the MULTI that began the transaction

        self.tag = Tag(shared.db, 2)
        self.plain: bool = shared.users is None  # nothing special: ordinary commands go straight on

    @property
    def db(self) -> int:
        """The selected database."""
        return self.current_tag().db

    @property
    def resp(self) -> int:
        """The protocol version: 2 or 3."""
        return self.current_tag().resp

    def current_tag(self) -> Tag:
        """The tag, typed."""
        tag = self.tag
        assert isinstance(tag, Tag)
        return tag

    def anonymous(self) -> bool:
        """The service asks for a password and this client has not given one."""
        return self.shared.users is not None and not self.user

    def subscriptions(self) -> int:
        """Channels and patterns of all kinds."""
        return sum(len(names) for names in self.channels.values()) if self.channels else 0

    def subscribed_to(self, kind: str) -> int:
        """How many channels of one kind: subscribe, psubscribe or ssubscribe."""
        return len(self.channels.get(kind, ())) if self.channels else 0

    def confirmed(self, word: str, channel: bytes) -> None:
        """The upstream confirmed a subscription or its end."""
        if self.channels is None:
            self.channels = {}
        names = self.channels.setdefault(word.replace("un", "", 1), set())
        if "un" in word:
            names.discard(channel)
        else:
            names.add(channel)

    def settle(self, now: float) -> None:
        """Bring the pin, and what follows from the state, up to date."""
        pin = self._reason()
        if pin != self.pin:
            self.pin = pin
            self.pinned_at = now
        self.pushes = self.monitoring or self.tracking or self.channels is not None
        modal = self.monitoring or (self.channels is not None and self.resp == 2)
        self.plain = not modal and self.reply_mode == REPLY_ON and not self.anonymous() and not self.multi_broken

    def _reason(self) -> str | None:
        if self.stuck is not None:
            return self.stuck
        if self.monitoring:
            return "MONITOR"
        if self.channels is not None:
            return "SUBSCRIBE"
        if self.tracking:
            return "CLIENT TRACKING"
        if self.in_multi:
            return "MULTI"
        if self.watching:
            return "WATCH"
        return self.errand

    def reset(self, now: float) -> None:
        """As RESET: back to a fresh connection."""
        self.dirty = self.pin is not None
        self.in_multi = self.multi_broken = self.watching = self.watch_confirmed = self.watch_lost = False
        self.monitoring = self.tracking = False
        self.multi_calls = 0
        self.stuck = self.errand = None
        self.channels = None
        self.subscription_calls = 0
        self.push_part = None
        self.opener = None
        self.reply_mode = REPLY_ON
        self.name = b""
        self.user = ""
        self.tag = Tag(self.shared.db, 2)
        self.settle(now)

    def facts(self, now: float) -> dict[str, Any]:
        """For ``/sessions``."""
        return {
            "name": self.name.decode("utf-8", "replace"),
            "db": self.db,
            "resp": self.resp,
            "library": self.lib_name.decode("utf-8", "replace"),
            "subscriptions": self.subscriptions(),
            "last_command": self.last.name if self.last else "",
        }
