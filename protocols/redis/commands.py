"""What every Redis command is: may INCR be retried, where are its keys, may it share a connection?

The facts stand in ``command_table.py``; here they become verbs, and questions about a call's arguments are answered.
``args`` are always the whole command: its name first, both words of a subcommand.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from protocols.call import CALL, EFFECTS, SESSION, TXN, Verb
from protocols.redis.command_table import NEWER, REDIS_7_0

# Handling: what the session does with a command.
PASS: Final = 0  # forwarded on a shared lane
ANSWER: Final = 1  # answered by the gateway, never forwarded
BLOCK: Final = 2  # a lease for one call: it would hold up all that stand behind it
MAYBE_BLOCK: Final = 3  # BLOCK if `block_seconds` says so, else PASS
TRANSACTION: Final = 4  # a lease until the transaction or the watch ends
SUBSCRIPTION: Final = 5  # a lease while anything is subscribed
TRACKING: Final = 6  # a lease while tracking is on: invalidations belong to one client
STREAM: Final = 7  # a lease until the client leaves: an endless reply
ALONE: Final = 8  # a lease for one call: it must not stand behind others
TOPOLOGY: Final = 9  # of a cluster: answered by the gateway; of a standalone server: passed, the server declines
NEVER: Final = 10  # refused whatever the configuration allows

HANDLINGS: Final[dict[str, int]] = {
    "pass": PASS,
    "answer": ANSWER,
    "block": BLOCK,
    "maybe_block": MAYBE_BLOCK,
    "transaction": TRANSACTION,
    "subscription": SUBSCRIPTION,
    "tracking": TRACKING,
    "stream": STREAM,
    "alone": ALONE,
    "topology": TOPOLOGY,
    "never": NEVER,
}
# MAYBE_BLOCK has the affinity of its usual form, without BLOCK.
_AFFINITIES: Final[dict[int, int]] = {
    BLOCK: TXN,
    TRANSACTION: TXN,
    ALONE: TXN,
    SUBSCRIPTION: SESSION,
    TRACKING: SESSION,
    STREAM: SESSION,
}

# Key rules: how to find the keys that first, last and step do not say.
NUMKEYS: Final = "numkeys"  # EVAL: argument `count_at` says how many follow it
STREAMS: Final = "streams"  # XREAD: the first half of what follows STREAMS
SORT: Final = "sort"  # SORT: also the one behind STORE
STORE: Final = "store"  # GEORADIUS: also the one behind STORE or STOREDIST
MIGRATE: Final = "migrate"  # MIGRATE: if the third argument is empty, all that follow KEYS
CHANNELS: Final = "channels"  # SPUBLISH: they are channels, with the slot of a key of that name
KEY_RULES: Final = ("", NUMKEYS, STREAMS, SORT, STORE, MIGRATE, CHANNELS)

# What `block_seconds` says besides a time.
NOT_BLOCKING: Final = -1.0
FOR_EVER: Final = 0.0


@final
class Command(Verb):
    """The fact sheet of one command or subcommand.

    ``idempotent`` holds whatever the arguments are; ``may_repeat`` also knows those commands that are idempotent
    unless one of the words ``unless`` is given. No Redis command is one-way.
    """

    def __init__(
        self,
        name: str,
        index: int,
        effect: str,
        *,
        arity: int,
        positions: tuple[int, int, int],
        key_rule: str,
        count_at: int,
        handling: int,
        refused: bool,
        timeout_at: int,
        timeout_unit: float,
        idempotent: bool,
        unless: list[bytes],
    ) -> None:
        super().__init__(
            name,
            index,
            effect,
            idempotent=idempotent,
            one_way=False,
            blocking=handling in (BLOCK, MAYBE_BLOCK),
            affinity=_AFFINITIES.get(handling, CALL),
        )
        first, last, step = positions
        self.arity: Final[i64] = arity  # as Redis counts: with the name; negative: at least
        self.first_key: Final[i64] = first  # 0: none
        self.last_key: Final[i64] = last  # negative: from the end
        self.key_step: Final[i64] = step
        self.key_rule: Final = key_rule
        self.count_at: Final[i64] = count_at
        self.handling: Final[i64] = handling
        self.refused: Final = refused  # unless the configuration allows it
        self.timeout_at: Final[i64] = timeout_at  # negative: from the end; 0: none, or behind the word BLOCK
        self.timeout_unit: Final = timeout_unit  # in seconds
        self.unless: Final = unless
        self.subcommands: dict[bytes, Command] | None = None


def _command(index: int, line: str) -> Command:
    """Read one line of the table."""
    words = line.split()
    name = words.pop(0)
    if not words[0].lstrip("-").isdigit():
        name += " " + words.pop(0)
    arity, effect, keys = int(words[0]), words[1], words[2]
    traits, _, exceptions = " ".join(words[3:]).partition(" unless ")
    positions, rule, count_at = _read_keys(keys)
    handling = PASS
    refused = idempotent = False
    timeout_at, timeout_unit = 0, 1.0
    for trait in traits.split():
        if trait in HANDLINGS:
            handling = HANDLINGS[trait]
        elif trait == "refused":
            refused = True
        elif trait == "idempotent":
            idempotent = not exceptions
        elif trait == "timeout@BLOCK":
            timeout_unit = 0.001
        elif trait.startswith("timeout@"):
            if trait.endswith("ms"):
                timeout_unit = 0.001
            timeout_at = int(trait.removeprefix("timeout@").removesuffix("ms"))
        else:
            raise ValueError(f"{name}: unknown trait {trait!r}")
    if effect not in EFFECTS or rule not in KEY_RULES:
        raise ValueError(f"{name}: unknown effect or key rule: {effect} {rule}")
    return Command(
        name,
        index,
        effect,
        arity=arity,
        positions=positions,
        key_rule=rule,
        count_at=count_at,
        handling=handling,
        refused=refused or handling == NEVER,
        timeout_at=timeout_at,
        timeout_unit=timeout_unit,
        idempotent=idempotent,
        unless=exceptions.encode().split(),
    )


def _read_keys(text: str) -> tuple[tuple[int, int, int], str, int]:
    """Read the column of keys: positions, rule and the place of the count."""
    positions, _, rule = text.partition("+")
    first = last = step = 0
    if positions[0].isdigit():
        span, _, every = positions.partition("/")
        start, _, end = span.partition("..")
        first, last, step = int(start), int(end or start), int(every or 1)
    elif positions != "-":
        rule = positions
    rule, _, count_at = rule.partition("@")
    return (first, last, step), rule, int(count_at or 0)


def _commands(table: str) -> list[Command]:
    """Read the whole table; what stands behind a ``#`` is a comment."""
    verbs = [_command(0, "UNKNOWN -1 write -")]
    for line in table.splitlines():
        row = line.partition("#")[0]
        if row.strip():
            verbs.append(_command(len(verbs), row))
    return verbs


def _index_by_name(verbs: list[Command]) -> dict[bytes, Command]:
    """Hang subcommands into their containers; the rest by name, in upper and in lower case, as clients send both."""
    commands: dict[bytes, Command] = {}
    for verb in verbs:
        container, _, word = verb.name.encode().partition(b" ")
        names = commands
        if word:
            parent = commands[container]
            if parent.subcommands is None:
                parent.subcommands = {}
            names = parent.subcommands
        else:
            word = container
        if word in names:
            raise ValueError(f"{verb.name} stands twice in the table")
        names[word] = names[word.lower()] = verb
    return commands


# By Verb.index.
VERBS: Final[list[Command]] = _commands(REDIS_7_0 + NEWER)
# A command that is not in the table, such as a module's. It may do anything, and its keys are unknown:
# a client that is bound to certain keys cannot have it.
UNKNOWN: Final = VERBS[0]
COMMANDS: Final[dict[bytes, Command]] = _index_by_name(VERBS[1:])
_LONGEST: Final = max(len(verb.name) for verb in VERBS)


def find(name: bytes) -> Command | None:
    """The command of that name in any case; None: not in the table, see ``UNKNOWN``."""
    command = COMMANDS.get(name)
    if command is None and len(name) <= _LONGEST:
        command = COMMANDS.get(name.upper())
    return command


def find_sub(container: Command, word: bytes) -> Command | None:
    """The subcommand of that name in any case; None: the container itself is the verb, and has the caution it needs."""
    subcommands = container.subcommands
    if subcommands is None:
        return None
    command = subcommands.get(word)
    if command is None and len(word) <= _LONGEST:
        command = subcommands.get(word.upper())
    return command


def may_repeat(command: Command, args: list[bytes]) -> bool:
    """Whether this call may be sent again though it may have been executed."""
    if not command.unless:
        return command.idempotent
    for at in range(2, len(args)):
        for word in command.unless:
            if _is(args[at], word):
                return False
    return True


def block_seconds(command: Command, args: list[bytes]) -> float:
    """How long this call asks to block: seconds, ``FOR_EVER`` or ``NOT_BLOCKING``.

    A time that cannot be read counts as ``FOR_EVER``: the server answers such a call with an error at once.
    """
    if not command.blocking:
        return NOT_BLOCKING
    at = command.timeout_at
    if command.handling == MAYBE_BLOCK:
        at = _behind_stream_option(args, b"BLOCK")
        if at == 0:
            return NOT_BLOCKING
    if at < 0:
        at += len(args)
    if not 0 < at < len(args):
        return FOR_EVER
    try:
        seconds = float(args[at]) * command.timeout_unit
    except ValueError:
        return FOR_EVER
    return seconds if 0.0 < seconds < 1e12 else FOR_EVER


def keys_of(command: Command, args: list[bytes]) -> list[bytes]:
    """The keys among the arguments, in their order; of a malformed call those that can be told. Never raises.

    What no rule can tell: the keys that a script names itself, and those that BY and GET of SORT make from the data.
    """
    rule = command.key_rule
    if rule == MIGRATE:
        return _migrate_keys(args)
    found: list[bytes] = []
    if command.first_key > 0:
        last: i64 = command.last_key
        if last < 0:
            last += len(args)
        at: i64 = command.first_key
        while at <= last and at < len(args):
            found.append(args[at])
            at += command.key_step
    if rule == NUMKEYS:
        found += _counted_keys(args, command.count_at)
    elif rule == STREAMS:
        start = _behind_stream_option(args, b"STREAMS")
        if start > 0:
            found += args[start : start + (len(args) - start) // 2]
    elif rule in (SORT, STORE):
        target = _sort_target(args) if rule == SORT else _store_target(args)
        if target > 0:
            found.append(args[target])
    return found


def _is(arg: bytes, word: bytes) -> bool:
    """Whether an argument is this word, in any case; cheap for a large argument."""
    return len(arg) == len(word) and arg.upper() == word


def _counted_keys(args: list[bytes], count_at: i64) -> list[bytes]:
    if count_at >= len(args) or len(args[count_at]) > 10:
        return []
    try:
        count = int(args[count_at])
    except ValueError:
        return []
    return args[count_at + 1 : count_at + 1 + max(count, 0)]


def _behind_stream_option(args: list[bytes], word: bytes) -> i64:
    """What stands behind this option of XREAD or XREADGROUP; 0: it is not given.

    A group or consumer may be named like an option. An unknown option is stepped over, rather than miss a BLOCK.
    """
    at: i64 = 1
    while at + 1 < len(args):
        arg = args[at]
        if _is(arg, word):
            return at + 1
        if _is(arg, b"STREAMS"):
            return 0
        if _is(arg, b"BLOCK") or _is(arg, b"COUNT"):
            at += 2
        elif _is(arg, b"GROUP"):
            at += 3
        else:
            at += 1
    return 0


def _sort_target(args: list[bytes]) -> i64:
    """The place of the key behind SORT's STORE; the last one counts. 0: none."""
    target: i64 = 0
    at: i64 = 2
    while at < len(args):
        arg = args[at]
        if _is(arg, b"LIMIT"):
            at += 2
        elif _is(arg, b"GET") or _is(arg, b"BY"):
            at += 1
        elif _is(arg, b"STORE") and at + 1 < len(args):
            at += 1
            target = at
        at += 1
    return target


def _store_target(args: list[bytes]) -> i64:
    """The place of the key behind STORE or STOREDIST of GEORADIUS..; the last one counts. 0: none."""
    target: i64 = 0
    at: i64 = 5
    while at + 1 < len(args):
        if _is(args[at], b"STORE") or _is(args[at], b"STOREDIST"):
            at += 1
            target = at
        at += 1
    return target


def _migrate_keys(args: list[bytes]) -> list[bytes]:
    if len(args) <= 3:
        return []
    if args[3]:
        return [args[3]]
    at: i64 = 6
    while at < len(args):
        arg = args[at]
        if _is(arg, b"KEYS"):
            return args[at + 1 :]
        if _is(arg, b"AUTH"):  # the password may be "keys"
            at += 1
        elif _is(arg, b"AUTH2"):
            at += 2
        at += 1
    return []
