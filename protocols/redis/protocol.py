"""Redis as one service speaks it: makes the codecs and holds what its sessions share."""

from __future__ import annotations

from typing import Final, final

from protocols.call import Verb
from protocols.codec import ALLOWED, IMPOSSIBLE, RESTRICTED, Host, Login, Protocol, ServerCodec, UpstreamCodec
from protocols.redis.commands import ANSWER, NEVER, VERBS, Command
from protocols.redis.login import RedisLogin, Tag
from protocols.redis.scan import encode
from protocols.redis.server import RedisServer
from protocols.redis.state import Shared
from protocols.redis.upstream import RedisUpstream
from protocols.redis.values import error


@final
class RedisProtocol(Protocol):
    """One Redis service. ``password`` may be empty; ``users`` is None where clients need no password."""

    def __init__(
        self,
        service: str,
        *,
        users: dict[str, str] | None = None,
        user: str = "",
        password: str = "",
        db: int = 0,
        request_buffer: int = 1 << 18,
        max_value: int = 1 << 29,
    ) -> None:
        super().__init__(service, list(VERBS), Tag(db, 2))
        self.shared: Final = Shared(service, users, db)
        self._user: Final = user
        self._password: Final = password
        self._request_buffer: Final = request_buffer
        self._max_value: Final = max_value

    def attach(self, host: Host) -> None:
        """See Protocol."""
        self.shared.host = host

    def standing(self, verb: Verb) -> int:
        """See Protocol."""
        if not isinstance(verb, Command):
            return ALLOWED
        return IMPOSSIBLE if verb.handling == NEVER else RESTRICTED if verb.refused else ALLOWED

    def is_local(self, verb: Verb) -> bool:
        """See Protocol."""
        return isinstance(verb, Command) and verb.handling == ANSWER

    def server(self, session_id: int, peer: str, local: str, tls: bool, now: float) -> ServerCodec:
        """See Protocol."""
        codec = RedisServer(self.shared, session_id, peer, local, now, self._request_buffer, self._max_value)
        self.shared.sessions[session_id] = codec
        return codec

    def left(self, session_id: int) -> None:
        """See Protocol."""
        self.shared.sessions.pop(session_id, None)

    def upstream(self) -> UpstreamCodec:
        """See Protocol."""
        return RedisUpstream()

    def login(self, tag: object) -> Login:
        """See Protocol."""
        assert isinstance(tag, Tag)
        return RedisLogin(tag, self._user, self._password, self.shared.learned)

    def refused(self, tag: object) -> None:
        """See Protocol."""
        if isinstance(tag, Tag) and tag.db != self.shared.db:
            self.shared.valid_dbs.discard(tag.db)

    def prelude(self, have: object, want: object) -> list[bytes]:
        """SELECT, and HELLO where the protocol version differs; HELLO keeps the database."""
        assert isinstance(have, Tag) and isinstance(want, Tag)
        commands: list[bytes] = []
        if have.resp != want.resp:
            commands.append(encode([b"HELLO", b"%d" % want.resp]))
        if have.db != want.db:
            commands.append(encode([b"SELECT", b"%d" % want.db]))
        return commands

    def noop(self) -> bytes:
        """See Protocol."""
        return encode([b"PING"])

    def too_many(self) -> bytes:
        """See Protocol."""
        return error("ERR max number of clients reached")
