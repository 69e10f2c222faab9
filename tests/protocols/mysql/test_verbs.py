"""The table of verbs, and which one a text has."""

from __future__ import annotations

import pytest

from protocols.call import CALL, EFFECTS, READ, TRANSACTION, TXN
from protocols.mysql.verbs import BY_HEAD, BY_NAME, COMPOUND, NEVER, OTHER, RESTRICTED, STRENGTH, VERBS, find_verb


def test_the_table_is_whole() -> None:
    assert [verb.index for verb in VERBS] == list(range(len(VERBS)))
    assert len(BY_NAME) == len(VERBS)
    assert BY_NAME["OTHER"] is OTHER is VERBS[0]
    assert {verb.effect for verb in VERBS} == set(EFFECTS) == set(STRENGTH)
    assert {verb.name for verb in VERBS if verb.one_way} == {"QUIT"}
    assert all(verb.affinity == (TXN if verb.effect == TRANSACTION else CALL) for verb in VERBS)


def test_what_may_be_repeated_changes_no_data() -> None:
    assert {verb.effect for verb in VERBS if verb.idempotent} == {READ, "control"}


def test_what_is_refused() -> None:
    assert {"BINLOG DUMP", "REGISTER SLAVE", "TABLE DUMP", "COM_SHUTDOWN"} == NEVER
    assert {"SHUTDOWN", "RESTART", "CLONE", "DEBUG"} == RESTRICTED
    assert set(BY_NAME) >= NEVER | RESTRICTED


def test_no_text_is_a_command_of_the_protocol() -> None:
    for text in (b"PING", b"RESET CONNECTION", b"CHANGE USER", b"SET OPTION X = ?", b"QUIT", b"BINLOG DUMP"):
        assert find_verb(text)[0].name in ("OTHER", "RESET", "SET", "BINLOG"), text
    assert BY_HEAD[b"DESC"] is BY_NAME["DESCRIBE"]


# Verbs and texts, in capitals and with names replaced as protocols/mysql/statements.py has them.
TEXTS = """
SELECT                    | SELECT ?
SELECT                    | SELECT(?)
SELECT                    | SELECT*FROM T
SELECT                    | (SELECT ?) UNION (SELECT ?)
SELECT                    | ( (SELECT ?))
SELECT                    | SELECT A INTO @X FROM T
SELECT INTO OUTFILE       | SELECT A FROM T INTO OUTFILE ?
SELECT INTO OUTFILE       | SELECT A INTO DUMPFILE ? FROM T
SELECT INTO OUTFILE       | TABLE T INTO OUTFILE ?
SELECT INTO OUTFILE       | WITH A AS (SELECT ?) SELECT * FROM A INTO OUTFILE ?
SELECT                    | WITH A AS (SELECT ?) SELECT * FROM A
SELECT                    | WITH RECURSIVE A (B) AS (SELECT ? UNION SELECT ?), C AS (SELECT ?) (SELECT * FROM A)
DELETE                    | WITH A AS (SELECT ?) DELETE FROM T
UPDATE                    | WITH A AS (SELECT ?), B AS (SELECT (?)) UPDATE T SET X = ?
TABLE                     | TABLE T
VALUES                    | VALUES ROW(?)
INSERT                    | INSERT INTO T VALUES (?+)
REPLACE                   | REPLACE T SET A = ?
UPDATE                    | UPDATE T SET A = ?
DELETE                    | DELETE FROM T
LOAD DATA                 | LOAD DATA LOCAL INFILE ? INTO TABLE T
LOAD XML                  | LOAD XML INFILE ? INTO TABLE T
LOAD INDEX                | LOAD INDEX INTO CACHE T
CALL                      | CALL P(?)
DO                        | DO SLEEP(?)
HANDLER                   | HANDLER ` OPEN
SHOW                      | SHOW TABLES
DESCRIBE                  | DESC T
DESCRIBE                  | DESCRIBE T
EXPLAIN                   | EXPLAIN SELECT ?
EXPLAIN                   | EXPLAIN FORMAT=JSON UPDATE T SET A = ?
EXPLAIN                   | EXPLAIN FOR CONNECTION ?
HELP                      | HELP ?
# What is executed stands behind these.
SELECT                    | EXPLAIN ANALYZE SELECT ?
UPDATE                    | EXPLAIN ANALYZE FORMAT=TREE UPDATE T SET A = ?
DELETE                    | DESC ANALYZE DELETE FROM T
UPDATE                    | ANALYZE UPDATE T SET A = ?
DELETE                    | ANALYZE FORMAT=JSON DELETE FROM T
DELETE                    | ANALYZE FORMAT = JSON DELETE FROM T
DELETE                    | SET STATEMENT MAX_STATEMENT_TIME=? FOR DELETE FROM T
DELETE                    | SET STATEMENT A=? FOR SET STATEMENT B=? FOR ANALYZE DELETE FROM T
COMPOUND                  | SET STATEMENT A=(SELECT ? FOR UPDATE) FOR DELETE FROM T
COMPOUND                  | SET STATEMENT A=? FOR SET STATEMENT A=? FOR SET STATEMENT A=? FOR SET STATEMENT A=? FOR DO ?
# Definitions.
CREATE TABLE              | CREATE TABLE USER (`TRIGGER` INT)
CREATE TABLE              | CREATE OR REPLACE TABLE T (A INT)
CREATE TEMPORARY TABLE    | CREATE TEMPORARY TABLE T (A INT)
CREATE TEMPORARY TABLE    | CREATE OR REPLACE TEMPORARY TABLE IF NOT EXISTS T (A INT)
CREATE TEMPORARY TABLE    | CREATE TEMPORARY SEQUENCE S
CREATE INDEX              | CREATE UNIQUE INDEX I ON T (A)
CREATE INDEX              | CREATE SPATIAL INDEX I ON T (A)
CREATE VIEW               | CREATE ALGORITHM = MERGE DEFINER = ` @ ` SQL SECURITY DEFINER VIEW V AS SELECT ?
CREATE VIEW               | CREATE DEFINER=USER@HOST VIEW V AS SELECT ?
CREATE DATABASE           | CREATE SCHEMA IF NOT EXISTS D
CREATE PROCEDURE          | CREATE DEFINER=CURRENT_USER() PROCEDURE P() SELECT ?
CREATE FUNCTION           | CREATE FUNCTION F() RETURNS INT RETURN ?
CREATE LOADABLE FUNCTION  | CREATE AGGREGATE FUNCTION F RETURNS INTEGER SONAME ?
CREATE TRIGGER            | CREATE TRIGGER R BEFORE INSERT ON T FOR EACH ROW SET NEW.A = ?
CREATE EVENT              | CREATE EVENT E ON SCHEDULE EVERY ? HOUR DO DELETE FROM T
CREATE SEQUENCE           | CREATE SEQUENCE S
CREATE PACKAGE            | CREATE PACKAGE BODY P AS END
CREATE USER               | CREATE USER ?@? IDENTIFIED BY ?
CREATE ROLE               | CREATE ROLE R
CREATE                    | CREATE SERVER S FOREIGN DATA WRAPPER MYSQL OPTIONS (USER ?, DATABASE ?)
CREATE                    | CREATE RESOURCE GROUP G TYPE = USER
CREATE                    | CREATE TABLESPACE T
CREATE                    | CREATE SPATIAL REFERENCE SYSTEM ? NAME ?
ALTER TABLE               | ALTER ONLINE TABLE T ADD INDEX (A)
ALTER USER                | ALTER USER ` IDENTIFIED BY ?
ALTER                     | ALTER INSTANCE ROTATE INNODB MASTER KEY
DROP TABLE                | DROP TABLE IF EXISTS T
DROP TEMPORARY TABLE      | DROP TEMPORARY TABLE T
DROP INDEX                | DROP INDEX I ON T
DROP DATABASE             | DROP SCHEMA D
DROP USER                 | DROP USER IF EXISTS `@`
DROP ROLE                 | DROP ROLE R
DEALLOCATE                | DROP PREPARE S
TRUNCATE                  | TRUNCATE T
RENAME TABLE              | RENAME TABLE A TO B
RENAME USER               | RENAME USER A TO B
ANALYZE TABLE             | ANALYZE TABLE T
ANALYZE TABLE             | ANALYZE NO_WRITE_TO_BINLOG TABLE T
OPTIMIZE TABLE            | OPTIMIZE LOCAL TABLE T
REPAIR TABLE              | REPAIR TABLE T
CHECK TABLE               | CHECK TABLES T
CHECKSUM TABLE            | CHECKSUM TABLE T
# Transactions, locks and the session.
BEGIN                     | BEGIN
BEGIN                     | BEGIN WORK
START TRANSACTION         | START TRANSACTION READ ONLY
COMMIT                    | COMMIT AND CHAIN
ROLLBACK                  | ROLLBACK TO SAVEPOINT S
SAVEPOINT                 | SAVEPOINT S
RELEASE SAVEPOINT         | RELEASE SAVEPOINT S
XA                        | XA START ?
LOCK TABLES               | LOCK TABLE T READ
UNLOCK TABLES             | UNLOCK TABLES
SET                       | SET @X = ?
SET                       | SET@X=?
SET                       | SET NAMES UTF8
SET                       | SET SESSION A = @@GLOBAL.A
SET                       | SET TRANSACTION READ ONLY
SET                       | SET ROLE NONE
SET GLOBAL                | SET GLOBAL A = ?
SET GLOBAL                | SET A = ?, PERSIST B = ?
SET GLOBAL                | SET @@GLOBAL.A = ?
SET GLOBAL                | SET @@PERSIST_ONLY . A := ?
SET GLOBAL                | SET A = ?, @@GLOBAL.` = ?
SET PASSWORD              | SET PASSWORD = ?
SET DEFAULT ROLE          | SET DEFAULT ROLE R TO U
SET RESOURCE GROUP        | SET RESOURCE GROUP G
SET SESSION AUTHORIZATION | SET SESSION AUTHORIZATION U
USE                       | USE `
PREPARE                   | PREPARE S FROM ?
EXECUTE                   | EXECUTE IMMEDIATE ?
DEALLOCATE                | DEALLOCATE PREPARE S
GET DIAGNOSTICS           | GET CURRENT DIAGNOSTICS @N = NUMBER
SIGNAL                    | SIGNAL SQLSTATE ?
# Administration.
GRANT                     | GRANT ALL ON *.* TO ?@?
KILL                      | KILL ?
FLUSH                     | FLUSH LOCAL TABLES
RESET                     | RESET MASTER
PURGE                     | PURGE BINARY LOGS TO ?
LOCK INSTANCE             | LOCK INSTANCE FOR BACKUP
BACKUP                    | BACKUP STAGE START
BINLOG                    | BINLOG ?
START REPLICA             | START SLAVE SQL_THREAD
START REPLICA             | START GROUP_REPLICATION
STOP REPLICA              | STOP ALL SLAVES
CHANGE MASTER             | CHANGE MASTER TO MASTER_HOST=?
CHANGE REPLICATION        | CHANGE REPLICATION SOURCE TO SOURCE_HOST=?
SHUTDOWN                  | SHUTDOWN
INSTALL                   | INSTALL PLUGIN P SONAME ?
# Blocks of statements, which MariaDB takes outside of routines as well.
COMPOUND                  | BEGIN NOT ATOMIC DROP USER U
COMPOUND                  | BEGIN DROP USER U
COMPOUND                  | IF ? THEN DROP USER U
COMPOUND                  | FOR I IN ?..? DO DROP USER U
COMPOUND                  | DECLARE X INT
OTHER                     | FROBNICATE T
OTHER                     | SELECTED ?
OTHER                     | START
OTHER                     | `SELECT` ?
OTHER                     | ?
OTHER                     | ;
"""
ROWS = [line.split(" | ") for line in TEXTS.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize(("name", "text"), [(name.strip(), text) for name, text in ROWS])
def test_the_verb_of_a_text(name: str, text: str) -> None:
    assert find_verb(text.encode())[0] is BY_NAME[name]


def test_every_head_leads_to_its_verb() -> None:
    for head, verb in BY_HEAD.items():
        if head == b"BEGIN" or head.startswith(b"ANALYZE "):
            continue
        found = find_verb(head + b" X")[0]
        assert found is verb or verb.name in ("SELECT INTO OUTFILE", "CREATE LOADABLE FUNCTION", "SET GLOBAL"), head


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("( SELECT ?", "SELECT ?"),
        ("SET STATEMENT A=? FOR DELETE FROM T", "DELETE FROM T"),
        ("ANALYZE FORMAT=JSON SELECT ?", "SELECT ?"),
        ("EXPLAIN SELECT ?", "EXPLAIN SELECT ?"),
    ],
)
def test_what_the_verb_begins_with(text: str, rest: str) -> None:
    assert find_verb(text.encode())[1] == rest.encode()


def test_nothing_endless_is_followed_without_end() -> None:
    assert find_verb(b"SET STATEMENT A=? FOR " * 3000)[0] is COMPOUND
    assert find_verb(b"ANALYZE SELECT " * 3000)[0].name == "SELECT"
