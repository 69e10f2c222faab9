"""Query rules: what an operator wants to become of some statements. The first rule that matches is the statement's.

A rule is found by user, schema and digest, and that is remembered: a pattern is searched once for each digest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, final

from mypy_extensions import i64

from protocols.errors import ProtocolError
from protocols.mysql.lexer import digest
from protocols.mysql.packets import HEADER, MAX_PAYLOAD, command
from protocols.mysql.statements import Statement

# Roles of endpoints.
PRIMARY: Final = "primary"
REPLICA: Final = "replica"

_MAX_DECISIONS: Final = 10_000


@final
class Match:
    """Which statements a rule is for: those of which everything holds that is given."""

    def __init__(
        self,
        *,
        users: Sequence[str] = (),
        schemas: Sequence[str] = (),
        digests: Sequence[str] = (),
        pattern: str = "",
        verbs: Sequence[str] | None = None,
    ) -> None:
        self._users: Final = frozenset(users)
        self._schemas: Final = frozenset(schema.encode() for schema in schemas)
        self._digests: Final = frozenset(digests)
        self._pattern: Final = compiled(pattern) if pattern else None
        self._verbs: Final = None if verbs is None else frozenset(verbs)  # their names; None: any

    def holds(self, user: str, schema: bytes, statement: Statement) -> bool:
        """Whether a statement is one of them. Of a text of several, one with the verb is enough."""
        if self._users and user not in self._users:
            return False
        if self._schemas and schema not in self._schemas:
            return False
        if self._verbs is not None and not any(verb.name in self._verbs for verb in statement.verbs):
            return False
        if self._digests and digest(statement.digest) not in self._digests:
            return False
        return self._pattern is None or self._pattern.search(statement.digest) is not None


@final
class Rule:
    """What becomes of a statement, and how often that was. Empty texts: nothing of the kind."""

    def __init__(
        self,
        name: str,
        match: Match,
        *,
        route: str = "",
        force: bool = False,
        pattern: str = "",
        replacement: str = "",
        gated: bool = False,
        mirror: str = "",
    ) -> None:
        self.name: Final = name
        self.match: Final = match
        self.route: Final = route  # the role of the endpoint
        self.force: Final = force  # whatever the statement is
        self.gates: Final = name if gated else ""  # governance has gates for it under this name
        self.mirror: Final = mirror  # the service that gets a copy
        self.hits: i64 = 0
        self._pattern: Final = compiled(pattern) if pattern else None
        self._replacement: Final = replacement.encode()

    def rewritten(self, request: bytes) -> bytes:
        """The packet of a COM_QUERY or COM_STMT_PREPARE with the text that the rule gives it; itself: no change.

        Raises:
            ProtocolError: the text got too long for one packet.
        """
        if self._pattern is None:
            return request
        text = request[HEADER + 1 :]
        changed = self._pattern.sub(self._replacement, text)
        if changed == text:
            return request
        if len(changed) >= MAX_PAYLOAD - 1:
            raise ProtocolError(f"the rule {self.name} makes the statement too long")
        return command(request[HEADER], changed)


@final
class Rules:
    """The rules of one service, in their order."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules: Final = list(rules)
        self._decisions: Final[dict[tuple[str, bytes, Statement], Rule | None]] = {}

    def find(self, user: str, schema: bytes, statement: Statement) -> Rule | None:
        """The first rule that matches; that counts as a hit."""
        key = (user, schema, statement)
        if key in self._decisions:
            rule = self._decisions[key]
        else:
            if len(self._decisions) >= _MAX_DECISIONS:
                self._decisions.clear()
            rule = self._decisions[key] = self._decide(user, schema, statement)
        if rule is not None:
            rule.hits += 1
        return rule

    def _decide(self, user: str, schema: bytes, statement: Statement) -> Rule | None:
        for rule in self.rules:
            if rule.match.holds(user, schema, statement):
                return rule
        return None


def compiled(pattern: str) -> re.Pattern[bytes]:
    """A pattern as rules read it: of bytes, in any case."""
    return re.compile(pattern.encode(), re.IGNORECASE)
