"""MySQL as one service speaks it: makes the codecs and holds what its sessions share."""

from __future__ import annotations

from typing import Any, Final, final

from protocols.call import Verb
from protocols.codec import ALLOWED, IMPOSSIBLE, RESTRICTED, Host, Login, Protocol, ServerCodec, UpstreamCodec
from protocols.fault import Fault
from protocols.mysql.auth import Account
from protocols.mysql.constants import (
    CLIENT_LONG_FLAG,
    CLIENT_SESSION_TRACK,
    CLIENT_TRANSACTIONS,
    COM_PING,
    COM_QUERY,
    CR_CONNECTION,
    ER_CON_COUNT,
)
from protocols.mysql.login import MysqlLogin, ServerFacts
from protocols.mysql.packets import command, turned_away
from protocols.mysql.rules import Rules
from protocols.mysql.server import MysqlServer
from protocols.mysql.shared import TRACKERS, UTF8MB4, Options, Shared
from protocols.mysql.tag import FIXED, Tag, assign, changes
from protocols.mysql.upstream import MysqlUpstream
from protocols.mysql.verbs import NEVER, VERBS
from protocols.mysql.verbs import RESTRICTED as RESTRICTED_VERBS

# What connections ask for whoever uses them.
_ALWAYS: Final = CLIENT_LONG_FLAG | CLIENT_TRANSACTIONS | CLIENT_SESSION_TRACK


@final
class MysqlProtocol(Protocol):
    """One MySQL service. ``accounts`` is None where clients need no password."""

    starts_tls_itself: bool = True
    has_lanes: bool = False
    greets: bool = True

    def __init__(
        self,
        service: str,
        *,
        accounts: dict[str, Account] | None,
        user: str,
        password: bytes,
        tls: bool,
        secure: bool,
        options: Options,
        rules: Rules | None = None,
    ) -> None:
        shared = Shared(service, accounts, options, rules)
        super().__init__(service, VERBS, shared.fresh)
        self.shared: Final = shared
        self._user: Final = user
        self._password: Final = password
        self._tls: Final = tls  # to the upstream
        self._secure: Final = secure  # the way there is a unix socket

    def attach(self, host: Host) -> None:
        """See Protocol."""
        self.shared.host = host

    def is_ready(self) -> bool:
        """See Protocol."""
        return self.shared.facts is not None

    def unavailable(self, fault: Fault) -> bytes:
        """See Protocol. An ERR packet where the greeting would be."""
        return turned_away(CR_CONNECTION, str(fault))

    def standing(self, verb: Verb) -> int:
        """See Protocol."""
        if verb.name in NEVER:
            return IMPOSSIBLE
        return RESTRICTED if verb.name in RESTRICTED_VERBS else ALLOWED

    def is_local(self, verb: Verb) -> bool:
        """See Protocol."""
        return verb.name in ("LOGIN", "QUIT", "PING")

    def server(self, session_id: int, peer: str, local: str, tls: bool, now: float) -> ServerCodec:
        """See Protocol."""
        unix = peer.startswith("unix") or not peer.rpartition(":")[0]
        host = "localhost" if unix else peer.rpartition(":")[0].strip("[]")
        session = MysqlServer(self.shared, session_id, host, unix, tls, now)
        self.shared.sessions[session_id] = session
        return session

    def left(self, session_id: int) -> None:
        """See Protocol."""
        self.shared.sessions.pop(session_id, None)

    def upstream(self) -> UpstreamCodec:
        """See Protocol."""
        return MysqlUpstream(self.shared.options.statements, self._learned)

    def fresh_tag(self, kind: int) -> object:
        """See Protocol."""
        return self.shared.one(Tag(kind, False, b"", self.shared.base_settings()))

    def kind_of(self, tag: object) -> int:
        """See Protocol."""
        assert isinstance(tag, Tag)
        return tag.kind

    def login(self, tag: object) -> Login:
        """See Protocol. The schema and further settings come with the first borrower."""
        assert isinstance(tag, Tag)
        setup = [(command(COM_QUERY, TRACKERS), False)]
        setup.append((command(COM_QUERY, assign(self.shared.base_settings())), True))
        return MysqlLogin(
            _ALWAYS | tag.kind & FIXED,
            self._user,
            self._password,
            "",
            UTF8MB4,
            tls=self._tls,
            secure=self._secure,
            setup=setup,
            learned=_nothing,
        )

    def _learned(self, facts: ServerFacts, tracked: bool) -> None:
        self.shared.facts = facts
        self.shared.tracked = tracked

    def prelude(self, have: object, want: object) -> list[bytes]:
        """See Protocol."""
        assert isinstance(have, Tag) and isinstance(want, Tag)
        return changes(have, want)

    def noop(self) -> bytes:
        """See Protocol."""
        return command(COM_PING)

    def interrupt(self, upstream: UpstreamCodec) -> bytes | None:
        """See Protocol."""
        assert isinstance(upstream, MysqlUpstream)
        return command(COM_QUERY, b"KILL QUERY %d" % upstream.thread_id)

    def explain(self, data: bytes) -> str:
        """See Protocol."""
        return MysqlUpstream.explain_error(data)

    def too_many(self) -> bytes:
        """See Protocol."""
        return turned_away(ER_CON_COUNT, "Too many connections")

    def stats(self, now: float) -> dict[str, Any]:
        """See Protocol."""
        facts = self.shared.facts
        return {
            "server": {"version": facts.version if facts else None, "session_trackers": self.shared.tracked},
            "queries": self.shared.digests.totals(),
        }

    def queries(self, by: str, top: int, now: float) -> list[dict[str, Any]]:
        """See Protocol."""
        return self.shared.digests.top(by, top, now)

    def forget_queries(self) -> None:
        """See Protocol."""
        self.shared.digests.reset()

    def rule_hits(self) -> list[tuple[str, int]]:
        """See Protocol."""
        rules = self.shared.rules
        return [(rule.name, int(rule.hits)) for rule in rules.rules] if rules is not None else []

    def repeater(self, tag: object, now: float) -> ServerCodec:
        """See Protocol."""
        assert isinstance(tag, Tag)
        session = MysqlServer(self.shared, 0, "", False, False, now)
        session.logged_in = True
        session.rules = None  # or copies might go round in circles
        session.keeps_track = True  # what is thrown away need not be rewritten
        session.retag(tag)
        return session


def _nothing(facts: ServerFacts) -> None:
    """What there is to learn is known only behind the setup: see MysqlUpstream.opened."""
