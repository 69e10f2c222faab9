"""What becomes of a MySQL service's statements: what is noted of them (``queries``), and rules for some (``rules``)."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, model_validator

from gateway.config.kinds import Duration, Flag, OptionalText, Positive, Settings, SettingsOf, Written
from gateway.config.policies import Policies
from gateway.config.problems import refuse
from policies.gate import VERBS
from protocols.settings import Kind, one_of, optional, parse_text, shown

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_DIGEST: Final = re.compile(r"[0-9a-f]{16}")
_MAX_PATTERN: Final = 1024
_LIST: Final[dict[str, Any]] = {"type": ["array", "string"], "items": {"type": "string"}}


def _parse_name(value: object) -> str | None:
    if value is None or (isinstance(value, str) and _NAME.fullmatch(value)):
        return value
    raise ValueError(f"{shown(value)} is not a rule's name: write a-z, 0-9 and -, a letter first, up to 63 characters")


def _parse_names(value: object) -> tuple[str, ...]:
    return tuple(parse_text(item) for item in (value if isinstance(value, list) else [value]))


def _parse_digests(value: object) -> tuple[str, ...]:
    names = _parse_names(value)
    for name in names:
        if not _DIGEST.fullmatch(name):
            raise ValueError(f"{shown(name)} is not a digest: copy the 16 hex digits that /stats/queries shows")
    return names


def _parse_pattern(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_PATTERN:
        raise ValueError(f"{shown(value)} is not a pattern of up to {_MAX_PATTERN} characters")
    try:
        re.compile(value.encode())
    except re.error as error:
        raise ValueError(f"{shown(value)} is not a regular expression: {error}") from None
    return value


def _parse_replacement(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _MAX_PATTERN:
        raise ValueError(f"{shown(value)} is not text of up to {_MAX_PATTERN} characters")
    return value


_NAMES: Final = {"kind": Kind("names", _parse_names, list, _LIST)}
_DIGESTS: Final = {"kind": Kind("digests", _parse_digests, list, _LIST)}
_PATTERN: Final = {"kind": Kind("pattern", _parse_pattern, str, {"type": "string", "format": "regex"})}
_ROLE: Final = one_of("primary", "replica")

Pattern = Annotated[str, Written(_PATTERN)]
Replacement = Annotated[str, Written({"kind": Kind("text", _parse_replacement, str, {"type": ["string", "null"]})})]
RuleName = Annotated[
    str | None, Written({"kind": Kind("name", _parse_name, lambda name: name, {"type": ["string", "null"]})})
]
Role = Annotated[str, Written(_ROLE)]
OptionalRole = Annotated[str | None, Written(optional(_ROLE))]


class Queries(Settings):
    """What is noted of the statements that were executed."""

    slow: Duration = 1.0  # a statement that takes longer is told to the log, without its literals; 0: none
    digests: Positive = 5000  # statements that differ in more than literals, kept for /stats/queries


@dataclass(frozen=True, kw_only=True)
class Match:
    """Which statements a rule is for: those of which everything holds that is given here."""

    user: tuple[str, ...] = field(default=(), metadata=_NAMES)  # that the client logged in as: one, or a list
    schema: tuple[str, ...] = field(default=(), metadata=_NAMES)  # the current one
    digest: tuple[str, ...] = field(default=(), metadata=_DIGESTS)  # as /stats/queries shows them
    pattern: str | None = field(default=None, metadata=optional(_PATTERN))  # found in the digest text, in any case
    verbs: tuple[str, ...] = field(default=(), metadata=VERBS)  # effects (read, write, ...) or verbs (SELECT, ...)

    def __post_init__(self) -> None:
        if not (self.user or self.schema or self.digest or self.pattern or self.verbs):
            raise ValueError("a rule for everything is none: give `user`, `schema`, `digest`, `pattern` or `verbs`")


with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # `schema` hides a method of pydantic's, which nobody calls
    _MATCH: Final = SettingsOf(Match)


class Rewrite(Settings):
    """Another text for the statement."""

    pattern: Pattern  # a regular expression, searched in the text as the client sent it, in any case
    replacement: Replacement = ""  # for each match; \1 is its first group

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            re.compile(self.pattern.encode()).sub(self.replacement.encode(), b"")
        except (re.error, IndexError) as error:
            refuse((("replacement",), f"{shown(self.replacement)} does not fit the pattern: {error}"))
        return self


class QueryRule(Settings):
    """What becomes of some statements. The first rule that matches is the statement's."""

    name: RuleName = None  # in metrics and refusals; absent: rule-1, rule-2, ... by its place
    match: Annotated[Match, _MATCH]
    route: OptionalRole = None  # of the endpoint: to a replica go plain reads only
    force: Flag = False  # route: replica for whatever it is
    refuse: OptionalText = None  # what the client is told
    rewrite: Rewrite | None = None
    policies: Policies = ()  # behind those of the service
    mirror: OptionalText = None  # another MySQL service, which gets a copy

    @model_validator(mode="after")
    def _check(self) -> Self:
        others = [key for key in ("route", "rewrite", "policies", "mirror") if getattr(self, key)]
        if self.refuse and others:
            refuse((("refuse",), f"a statement that is refused needs no `{others[0]}`"))
        if not self.refuse and not others:
            refuse(((), "the rule does nothing: give `route`, `refuse`, `rewrite`, `policies` or `mirror`"))
        if self.force and self.route != "replica":
            refuse((("force",), "only `route: replica` can be forced"))
        return self


def _named(rules: tuple[QueryRule, ...]) -> tuple[QueryRule, ...]:
    """The rules, each with a name of its own."""
    named = tuple(
        rule if rule.name else rule.model_copy(update={"name": f"rule-{at}"}) for at, rule in enumerate(rules, 1)
    )
    seen: set[str | None] = set()
    for at, rule in enumerate(named):
        if rule.name in seen:
            refuse(((at, "name"), f"another rule is called {rule.name}"))
        seen.add(rule.name)
    return named


Rules = Annotated[tuple[QueryRule, ...], AfterValidator(_named)]
