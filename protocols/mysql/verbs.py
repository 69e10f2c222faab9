"""Every kind of statement and command that MySQL and MariaDB know, as verbs: what it does, and may it be repeated?

A prepared statement's execution counts under the verb of its text. ``statements.py`` finds the verb of a text.
"""

from __future__ import annotations

import re
from typing import Final

from protocols.call import CALL, EFFECTS, READ, TRANSACTION, TXN, Verb

# Name (in words, at most three), effect, traits:
#   idempotent  may be repeated when nobody knows whether it was executed, outside a transaction
#   restricted  refused unless the configuration allows it
#   never       refused whatever the configuration allows
#   command     of the protocol: no text begins so
#
# Control and transaction verbs are open to every client: nothing that reads or changes data may be one.
# Admin is what concerns others than the client's own tables, and what may do anything at all.
_TABLE: Final = """\
OTHER                        write  # what is not in this table

# Data. https://dev.mysql.com/doc/refman/8.4/en/sql-data-manipulation-statements.html
SELECT                       read         idempotent
TABLE                        read         idempotent
VALUES                       read         idempotent
DO                           read
HANDLER                      read
SHOW                         read         idempotent
DESCRIBE                     read         idempotent
EXPLAIN                      read         idempotent
HELP                         read         idempotent
CHECKSUM TABLE               read         idempotent
INSERT                       write
REPLACE                      write
UPDATE                       write
DELETE                       write
LOAD DATA                    write
LOAD XML                     write
CALL                         write
LOCK TABLES                  write
SELECT INTO OUTFILE          admin  # writes a file of the server

# Definitions. https://dev.mysql.com/doc/refman/8.4/en/sql-data-definition-statements.html
CREATE TABLE                 ddl
CREATE TEMPORARY TABLE       write
CREATE INDEX                 ddl
CREATE VIEW                  ddl
CREATE DATABASE              ddl
CREATE PROCEDURE             ddl
CREATE FUNCTION              ddl
CREATE TRIGGER               ddl
CREATE EVENT                 ddl
CREATE SEQUENCE              ddl
CREATE PACKAGE               ddl
ALTER TABLE                  ddl
ALTER VIEW                   ddl
ALTER DATABASE               ddl
ALTER PROCEDURE              ddl
ALTER FUNCTION               ddl
ALTER EVENT                  ddl
ALTER SEQUENCE               ddl
DROP TABLE                   ddl
DROP TEMPORARY TABLE         write
DROP INDEX                   ddl
DROP VIEW                    ddl
DROP DATABASE                ddl
DROP PROCEDURE               ddl
DROP FUNCTION                ddl
DROP TRIGGER                 ddl
DROP EVENT                   ddl
DROP SEQUENCE                ddl
DROP PACKAGE                 ddl
TRUNCATE                     ddl
RENAME TABLE                 ddl
ANALYZE TABLE                ddl
OPTIMIZE TABLE               ddl
CHECK TABLE                  ddl
REPAIR TABLE                 ddl

# Transactions and locks.
BEGIN                        transaction
START TRANSACTION            transaction
COMMIT                       transaction
ROLLBACK                     transaction
SAVEPOINT                    transaction
RELEASE SAVEPOINT            transaction
XA                           transaction
UNLOCK TABLES                control

# The session.
SET                          control
USE                          control
DEALLOCATE                   control
GET DIAGNOSTICS              control
SIGNAL                       control
RESIGNAL                     control

# Administration. CREATE, ALTER and DROP alone stand for what is neither above nor below: servers, tablespaces, ...
CREATE                       admin
ALTER                        admin
DROP                         admin
CREATE LOADABLE FUNCTION     admin  # CREATE FUNCTION ... SONAME
CREATE USER                  admin
CREATE ROLE                  admin
ALTER USER                   admin
DROP USER                    admin
DROP ROLE                    admin
RENAME USER                  admin
GRANT                        admin
REVOKE                       admin
SET PASSWORD                 admin
SET DEFAULT ROLE             admin
SET GLOBAL                   admin
SET RESOURCE GROUP           admin
SET SESSION AUTHORIZATION    admin
KILL                         admin
FLUSH                        admin
RESET                        admin
PURGE                        admin
BACKUP                       admin
LOCK INSTANCE                admin
UNLOCK INSTANCE              admin
IMPORT TABLE                 admin
INSTALL                      admin
UNINSTALL                    admin
BINLOG                       admin
CACHE INDEX                  admin
LOAD INDEX                   admin
CHANGE MASTER                admin
CHANGE REPLICATION           admin
START REPLICA                admin
STOP REPLICA                 admin
CLONE                        admin        restricted
RESTART                      admin        restricted
SHUTDOWN                     admin        restricted
# They run what no one can see before: a text in a variable, a block of statements.
PREPARE                      admin
EXECUTE                      admin
COMPOUND                     admin  # BEGIN NOT ATOMIC, IF, LOOP, ... of MariaDB

# The protocol's own commands: COM_PING, ...
LOGIN                        control      command
CHANGE USER                  control      command
INIT DB                      control      command idempotent
PING                         control      command idempotent
QUIT                         control      command
STMT PREPARE                 control      command idempotent
STMT EXECUTE                 control      command  # of what nobody prepared; else its text's verb
STMT RESET                   control      command
STMT FETCH                   control      command
SET OPTION                   control      command idempotent
RESET CONNECTION             control      command
FIELD LIST                   read         command idempotent
STATISTICS                   read         command idempotent
DEBUG                        admin        command restricted
BINLOG DUMP                  admin        command never
REGISTER SLAVE               admin        command never
TABLE DUMP                   admin        command never
COM_SHUTDOWN                 admin        command never  # SHUTDOWN can be allowed
"""

# Other words that begin a statement, and the verb that it has.
_SYNONYMS: Final = """\
DESC = DESCRIBE
GET CURRENT DIAGNOSTICS = GET DIAGNOSTICS
GET STACKED DIAGNOSTICS = GET DIAGNOSTICS
LOCK TABLE = LOCK TABLES
LOCK BINLOG = LOCK INSTANCE
UNLOCK TABLE = UNLOCK TABLES
UNLOCK BINLOG = UNLOCK INSTANCE
RENAME TABLES = RENAME TABLE
CHECKSUM TABLES = CHECKSUM TABLE
ANALYZE TABLES = ANALYZE TABLE
OPTIMIZE TABLES = OPTIMIZE TABLE
CHECK TABLES = CHECK TABLE
CHECK VIEW = CHECK TABLE
REPAIR TABLES = REPAIR TABLE
REPAIR VIEW = REPAIR TABLE
DROP PREPARE = DEALLOCATE
START SLAVE = START REPLICA
START ALL = START REPLICA
START GROUP_REPLICATION = START REPLICA
STOP SLAVE = STOP REPLICA
STOP ALL = STOP REPLICA
STOP GROUP_REPLICATION = STOP REPLICA
CASE = COMPOUND
DECLARE = COMPOUND
FOR = COMPOUND
IF = COMPOUND
LOOP = COMPOUND
REPEAT = COMPOUND
WHILE = COMPOUND
"""

# From the weakest to the strongest: a text of several statements counts under the one with the strongest.
# What is open to every client is weaker than what is not.
STRENGTH: Final[dict[str, int]] = {
    effect: strength for strength, effect in enumerate(["control", "transaction", "read", "write", "ddl", "admin"])
}


_TRAITS: Final = ("idempotent", "restricted", "never", "command")


def _read(table: str) -> tuple[list[Verb], dict[str, list[str]]]:
    """The verbs, and the names of those with a trait."""
    verbs: list[Verb] = []
    having: dict[str, list[str]] = {trait: [] for trait in _TRAITS}
    for line in table.splitlines():
        words = line.partition("#")[0].split()
        if not words:
            continue
        at = next(i for i, word in enumerate(words) if word in EFFECTS)
        name, effect, traits = " ".join(words[:at]), words[at], words[at + 1 :]
        for trait in traits:
            having[trait].append(name)
        verbs.append(
            Verb(
                name,
                len(verbs),
                effect,
                idempotent="idempotent" in traits,
                one_way=name == "QUIT",
                blocking=False,
                affinity=TXN if effect == TRANSACTION else CALL,
            )
        )
    return verbs, having


def _index(heads: list[Verb], synonyms: str) -> dict[bytes, Verb]:
    by_head = {verb.name.encode(): verb for verb in heads}
    for line in synonyms.splitlines():
        head, _, name = line.partition(" = ")
        by_head[head.encode()] = by_head[name.encode()]
    return by_head


_read_table: Final = _read(_TABLE)
_having: Final = _read_table[1]
# By Verb.index; the first one stands for all that the table does not know.
VERBS: Final[list[Verb]] = _read_table[0]
BY_NAME: Final[dict[str, Verb]] = {verb.name: verb for verb in VERBS}
# By the words that begin a text, in capitals.
BY_HEAD: Final = _index([verb for verb in VERBS if verb.name not in _having["command"]], _SYNONYMS)
RESTRICTED: Final = frozenset(_having["restricted"])
NEVER: Final = frozenset(_having["never"])
OTHER: Final = VERBS[0]
COMPOUND: Final = BY_NAME["COMPOUND"]

_MAX_NESTING: Final = 4  # of SET STATEMENT ... FOR ANALYZE ...

_HEAD: Final = re.compile(rb"[( ]*([A-Z_]+)(?![\w$])(?: ([A-Z_]+)(?![\w$]))?(?: ([A-Z_]+)(?![\w$]))?")
_DEFINER: Final = re.compile(rb" DEFINER ?= ?[\w?`$.]+(?: ?@ ?[\w?`$.%-]+)?(?: ?\( ?\))?")
_OBJECT: Final = re.compile(
    rb"(?<![\w$])(TABLE|INDEX|VIEW|DATABASE|SCHEMA|PROCEDURE|FUNCTION|TRIGGER|EVENT|SEQUENCE|PACKAGE|USER|ROLE|PREPARE|"
    rb"SERVER|TABLESPACE|LOGFILE|RESOURCE|INSTANCE|LIBRARY|REFERENCE)(?![\w$])"
)
_MAIN: Final = re.compile(rb"[()]|(?<![\w$@.])(?:SELECT|TABLE|VALUES|UPDATE|DELETE|INSERT|REPLACE)(?![\w$])")
_OUTFILE: Final = re.compile(rb"\bINTO (?:OUTFILE|DUMPFILE)\b")
_ANALYZE: Final = re.compile(rb"(?:EXPLAIN|DESCRIBE|DESC|ANALYZE)(?: ?FORMAT ?= ?[\w?]+| ANALYZE(?!\w))*+ ?")
_STATEMENT_FOR: Final = re.compile(rb"SET STATEMENT [^()]*? FOR ")
_GLOBAL: Final = re.compile(rb"(?:\ASET |, ?)(?:@@)?(?:GLOBAL|PERSIST|PERSIST_ONLY) ?[. ] ?[\w`.$]+ ?:?=")


def find_verb(text: bytes) -> tuple[Verb, bytes]:
    """The verb of one statement, and the statement from where the words of that verb begin.

    ``text`` is a digest text in capitals, where a quoted name is a lone backquote.
    """
    for _ in range(_MAX_NESTING):
        head = _HEAD.match(text)
        if head is None:
            return OTHER, text
        text = text[head.start(1) :]
        first, second = head[1], head[2]
        # These stand before the statement that is executed.
        if first == b"SET" and second == b"STATEMENT":
            before = _STATEMENT_FOR.match(text)
        elif first == b"ANALYZE" and (_is_of_tables(second) or _is_of_tables(head[3])):
            return BY_NAME["ANALYZE TABLE"], text
        elif first == b"ANALYZE" or (first in (b"EXPLAIN", b"DESCRIBE", b"DESC") and b" ANALYZE " in text[:64]):
            before = _ANALYZE.match(text)
        else:
            return _decide(head, text), text
        if before is None:
            break
        text = text[before.end() :]
    return COMPOUND, text


def _is_of_tables(word: bytes | None) -> bool:
    return word == b"TABLE" or word == b"TABLES"


def _decide(head: re.Match[bytes], text: bytes) -> Verb:
    first = head[1]
    if first == b"SET":
        return _of_set(text)
    if first == b"CREATE" or first == b"ALTER" or first == b"DROP":
        return _of_definition(first, text)
    if first == b"BEGIN":  # the MariaDB server also takes a block of statements
        return BY_NAME["BEGIN"] if text in (b"BEGIN", b"BEGIN WORK") else COMPOUND
    verb = _of_with(text) if first == b"WITH" else _look_up(head)
    if verb.effect == READ and _OUTFILE.search(text) is not None:
        return BY_NAME["SELECT INTO OUTFILE"]
    return verb


def _look_up(head: re.Match[bytes]) -> Verb:
    """By three words, by two, by one."""
    first, second, third = head[1], head[2], head[3]
    if second in (b"LOCAL", b"NO_WRITE_TO_BINLOG"):
        second = third
    found = None
    if second is not None:
        if third is not None:
            found = BY_HEAD.get(b"%b %b %b" % (first, second, third))
        found = found or BY_HEAD.get(b"%b %b" % (first, second))
    return found or BY_HEAD.get(first, OTHER)


def _of_set(text: bytes) -> Verb:
    for name in ("SET PASSWORD", "SET DEFAULT ROLE", "SET RESOURCE GROUP", "SET SESSION AUTHORIZATION"):
        if text.startswith(name.encode()):
            return BY_NAME[name]
    return BY_NAME["SET GLOBAL" if _GLOBAL.search(text) is not None else "SET"]


def _of_definition(first: bytes, text: bytes) -> Verb:
    """CREATE [OR REPLACE] [TEMPORARY] [what not] TABLE."""
    text = _DEFINER.sub(b"", text, 1)
    found = _OBJECT.search(text)
    if found is None:
        return BY_HEAD[first]
    what = b"DATABASE" if found[1] == b"SCHEMA" else found[1]
    if what == b"FUNCTION" and first == b"CREATE" and b" SONAME " in text:
        what = b"LOADABLE FUNCTION"
    if what in (b"TABLE", b"SEQUENCE") and b" TEMPORARY " in text[: found.start()]:
        what = b"TEMPORARY TABLE"
    return BY_HEAD.get(first + b" " + what) or BY_HEAD[first]


def _of_with(text: bytes) -> Verb:
    """The statement that stands behind the common table expressions: only a query may stand in brackets there."""
    depth = 0
    for found in _MAIN.finditer(text):
        word = found[0]
        if word == b"(":
            depth += 1
        elif word == b")":
            depth -= 1
        elif depth == 0:
            return BY_HEAD[word]
    return BY_NAME["SELECT"]
