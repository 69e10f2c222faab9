"""Names of commands and effects as a configuration writes them; checks.py compares them to the protocol's table."""

from __future__ import annotations

import re
from typing import Annotated, Final

from gateway.config.kinds import Written
from protocols.call import EFFECTS
from protocols.settings import Kind, shown

_COMMAND: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}([ |][A-Za-z0-9][A-Za-z0-9._-]{0,63})?")


def _parse_command(value: object) -> str:
    if isinstance(value, str) and _COMMAND.fullmatch(value):
        return value.upper().replace("|", " ")
    raise ValueError(f"{shown(value)} is not the name of a command")


def _parse_rule(value: object) -> str:
    if isinstance(value, str) and value.lower() in EFFECTS:
        return value.lower()
    return _parse_command(value)


_COMMAND_SCHEMA: Final = {"type": "string", "examples": ["MONITOR", "CONFIG SET"]}
_RULE_SCHEMA: Final = {"type": "string", "examples": [*EFFECTS, "FLUSHALL", "CONFIG SET"]}
CommandName = Annotated[str, Written({"kind": Kind("command", _parse_command, str, _COMMAND_SCHEMA)})]
Rule = Annotated[str, Written({"kind": Kind("rule", _parse_rule, str, _RULE_SCHEMA)})]  # an effect or a command
