"""What all MySQL sessions of one service share."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

from mypy_extensions import i64

from protocols.codec import Host
from protocols.mysql.auth import Account, RsaKey
from protocols.mysql.collations import collation_by_number
from protocols.mysql.constants import (
    CLIENT_IGNORE_SPACE,
    CLIENT_MULTI_STATEMENTS,
    COM_QUERY,
    SERVER_STATUS_ANSI_QUOTES,
    SERVER_STATUS_NO_BACKSLASH_ESCAPES,
)
from protocols.mysql.digests import Digests
from protocols.mysql.lexer import ANSI_QUOTES, NO_BACKSLASH_ESCAPES
from protocols.mysql.login import ServerFacts
from protocols.mysql.packets import command
from protocols.mysql.rules import PRIMARY, Rules
from protocols.mysql.statements import Statements
from protocols.mysql.tag import FIXED, Tag, assign, charset_settings
from protocols.mysql.upstream import Owner

# pool.mode
TRANSACTION_MODE: Final = "transaction"
SESSION_MODE: Final = "session"
STATEMENT_MODE: Final = "statement"

TRACKERS: Final = b"SET session_track_system_variables='*',session_track_state_change=1,session_track_schema=1"

MAX_LONG_DATA: Final = 64 << 20  # bytes of SEND_LONG_DATA that a session may hold
SCHEMA_TTL: Final = 10.0  # seconds that a schema counts as there, after it was
UTF8MB4: Final = 45  # utf8mb4_general_ci, which every server has
# What CLIENT_IGNORE_SPACE stands for. Said to the server itself, the first reset of the connection would undo it.
_IGNORING_SPACE: Final = b"CONCAT(@@GLOBAL.sql_mode,',IGNORE_SPACE')"
_MAX_KNOWN: Final = 1024  # schemas, tags, and SET statements whose effect is known


class Options:
    """How one service shares its connections, and what it makes of statements."""

    def __init__(
        self,
        *,
        mode: str,
        replay_user_variables: bool,
        statements: int,
        request_buffer: int,
        max_long_data: int,
        digests: int = 5000,
        slow: float = 0.0,
        reads: str = PRIMARY,
        read_after_write: float = 0.0,
    ) -> None:
        self.mode: Final = mode
        self.replay_user_variables: Final = replay_user_variables
        self.statements: Final = statements  # prepared on one upstream connection
        self.request_buffer: Final = request_buffer
        self.max_long_data: Final = max_long_data
        self.digests: Final = digests  # that are kept
        self.slow: Final = slow  # from when a statement is told to the log; 0: none
        self.reads: Final = reads  # the role of the endpoint for plain reads
        self.read_after_write: Final = read_after_write  # seconds that a session reads from the primary after a write


class Shared:
    """What all sessions of one service share."""

    def __init__(
        self, service: str, accounts: dict[str, Account] | None, options: Options, rules: Rules | None
    ) -> None:
        self.service: Final = service
        self.accounts: Final = accounts
        self.options: Final = options
        self.facts: ServerFacts | None = None  # None: the upstream was never seen
        self.tracked: bool = False  # it has session trackers
        self.statements: Final = Statements()
        self.digests: Final = Digests(options.digests)
        self.rules: Final = rules  # None: there are none
        self.schemas: Final[OrderedDict[bytes, float]] = OrderedDict()  # known to be there, until when
        self.effects: Final[OrderedDict[bytes, dict[str, bytes]]] = OrderedDict()  # of SET statements, by their text
        self.sessions: Final[dict[int, Owner]] = {}
        self.rsa: Final = RsaKey() if RsaKey.available() else None
        self.host: Host = Host()
        self.inserts: int = 0
        self._tags: Final[dict[Tag, Tag]] = {}
        self._login_tags: Final[dict[tuple[int, bool, bytes, int], Tag]] = {}
        self.fresh: Final = self.one(Tag(0, False, b"", self.base_settings()))  # of a session before its login

    def one(self, tag: Tag) -> Tag:
        """The one object for all tags that are equal to this: comparing them costs nothing then."""
        known = self._tags.get(tag)
        if known is None:
            if len(self._tags) >= _MAX_KNOWN:
                self._tags.clear()
            known = self._tags[tag] = tag
        return known

    def login_tag(self, capabilities: int, schema: bytes, collation: int) -> Tag:
        """The tag of a session that has just logged in."""
        multi_statements = capabilities & CLIENT_MULTI_STATEMENTS != 0
        key = (capabilities & (FIXED | CLIENT_IGNORE_SPACE), multi_statements, schema, collation)
        tag = self._login_tags.get(key)
        if tag is None:
            if len(self._login_tags) >= _MAX_KNOWN:
                self._login_tags.clear()
            settings = self.charset(collation)
            if capabilities & CLIENT_IGNORE_SPACE:
                settings["sql_mode"] = _IGNORING_SPACE
            tag = self.one(Tag(capabilities, multi_statements, schema, settings))
            self._login_tags[key] = tag
        return tag

    def trusts_trackers(self) -> bool:
        """Whatever a routine changes, the server reports."""
        return self.tracked and self.facts is not None and not self.facts.is_mariadb

    def charset(self, collation: int) -> dict[str, bytes]:
        """The settings that a client's handshake asks for."""
        mariadb = self.facts is not None and self.facts.is_mariadb
        found = collation_by_number(collation, mariadb) or collation_by_number(UTF8MB4, mariadb)
        assert found is not None
        return charset_settings(found)

    def mode_of(self, tag: Tag) -> i64:
        """What of a session's sql_mode the lexer has to know; MySQL does not tell of ANSI_QUOTES in its own."""
        mode: i64 = tag.mode
        facts = self.facts
        if facts is not None and tag.adds_to_mode:
            if facts.status & SERVER_STATUS_NO_BACKSLASH_ESCAPES:
                mode |= NO_BACKSLASH_ESCAPES
            if facts.is_mariadb and facts.status & SERVER_STATUS_ANSI_QUOTES:
                mode |= ANSI_QUOTES
        return mode

    def base_settings(self) -> dict[str, bytes]:
        """The settings of a fresh connection."""
        return self.charset(UTF8MB4)

    def setup(self) -> list[bytes]:
        """What a connection needs that was reset: trackers, where the server has them, and the base settings."""
        base = command(COM_QUERY, assign(self.base_settings()))
        return [command(COM_QUERY, TRACKERS), base] if self.tracked else [base]

    def knows_schema(self, schema: bytes, now: float) -> bool:
        """It was there a moment ago."""
        return self.schemas.get(schema, 0.0) > now

    def learn_schema(self, schema: bytes, now: float) -> None:
        """It is there."""
        _remember(self.schemas, schema)
        self.schemas[schema] = now + SCHEMA_TTL

    def learn_effect(self, text: bytes, effect: dict[str, bytes]) -> None:
        """What a SET of literals does: the next one with this text need not ask the server."""
        _remember(self.effects, text)
        self.effects[text] = effect


def _remember(known: OrderedDict[bytes, Any], key: bytes) -> None:
    known.pop(key, None)
    if len(known) >= _MAX_KNOWN:
        known.popitem(last=False)
