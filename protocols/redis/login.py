"""How a new upstream connection logs in: HELLO with the credentials, then SELECT.

One command at a time: a failed AUTH in a pipeline can lose its reply (redis#15640), and all behind it would shift.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from protocols.codec import Login
from protocols.errors import LoginError, TagError
from protocols.redis.scan import MORE, ReplyScanner, encode
from protocols.redis.values import ErrorReply, decode

MAX_REPLY: Final = 1 << 16

_HELLO: Final = 1
_AUTH: Final = 2
_SELECT: Final = 3


@final
class Tag:
    """What a Redis connection is set to: its database and protocol version. Connections with equal tags are alike."""

    __slots__ = ("db", "resp")

    def __init__(self, db: int, resp: int) -> None:
        self.db: Final = db
        self.resp: Final = resp

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tag) and other.db == self.db and other.resp == self.resp

    def __hash__(self) -> int:
        return self.db * 4 + self.resp

    def __repr__(self) -> str:
        return f"db {self.db}, RESP{self.resp}"


@final
class RedisLogin(Login):
    """HELLO <version> [AUTH user password], SELECT db; AUTH alone where the server knows no HELLO."""

    def __init__(self, tag: Tag, user: str, password: str, learned: Callable[[dict[str, object]], None]) -> None:
        self.tag: Final = tag
        self.user: Final = user.encode()
        self.password: Final = password.encode()
        self.learned: Final = learned
        self.state: int = _HELLO
        self.buffer: bytes = b""
        self.scanner: Final = ReplyScanner()

    def start(self) -> bytes:
        """HELLO with the credentials."""
        args = [b"HELLO", b"%d" % self.tag.resp]
        if self.password:
            args += [b"AUTH", self.user or b"default", self.password]
        return encode(args)

    def feed(self, data: bytes) -> bytes | None:
        """One reply at a time."""
        resume = self.scanner.reached if self.buffer else 0
        self.buffer += data
        end = self.scanner.scan(self.buffer, resume)
        if end == MORE:
            if len(self.buffer) > MAX_REPLY:
                raise LoginError("the upstream's greeting is too long")
            return b""
        if end < len(self.buffer):
            raise LoginError("the upstream said more than it was asked for")  # its replies would shift
        value = decode(self.buffer)
        self.buffer = b""
        if self.state == _HELLO:
            return self._greeted(value)
        if isinstance(value, ErrorReply):
            if self.state == _AUTH:
                raise LoginError(f"AUTH refused: {self._said(value)}")
            raise TagError(f"SELECT {self.tag.db} refused: {self._said(value)}")
        return self._select() if self.state == _AUTH else None

    def _greeted(self, value: object) -> bytes | None:
        if isinstance(value, ErrorReply):
            refusal = f"HELLO {self.tag.resp} refused: {self._said(value)}"
            if not value.text.startswith(("ERR unknown command", "NOPERM")):
                raise LoginError(refusal)
            if self.tag.resp != 2:
                raise TagError(refusal)  # with RESP2 it may be well
            self.learned({})
            if not self.password:
                return self._select()
            self.state = _AUTH
            return encode([b"AUTH", self.user, self.password] if self.user else [b"AUTH", self.password])
        if isinstance(value, list):
            keys = [k.decode("utf-8", "replace") for k in value[::2] if isinstance(k, bytes)]
            self.learned(dict(zip(keys, value[1::2], strict=False)))
        return self._select()

    def _said(self, error: ErrorReply) -> str:
        """What the upstream said, but for the arguments that it may repeat: the password is one of them."""
        text = error.text.partition(", with args beginning with")[0]
        password = self.password.decode()
        return text.replace(password, "***") if password else text

    def _select(self) -> bytes | None:
        if self.tag.db == 0:
            return None
        self.state = _SELECT
        return encode([b"SELECT", b"%d" % self.tag.db])
