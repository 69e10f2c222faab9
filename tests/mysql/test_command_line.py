"""The mariadb command-line client and mariadb-dump print the same direct and through the gateway."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from mysql_ways import DATABASE, PASSWORD, USER, Way, Ways, ways
from servers import LOOPBACK, binary

CONTENT: Final = """
CREATE TABLE parent (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50) NOT NULL, UNIQUE (name)) CHARSET utf8mb4;
CREATE TABLE child (id INT PRIMARY KEY, parent INT, data LONGBLOB, at TIMESTAMP NULL, price DECIMAL(10,2),
    FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE, KEY (at));
INSERT INTO parent (name) VALUES ('grün'), ('it''s'), ('back\\\\slash'), ('semi;colon'), ('日本');
INSERT INTO child SELECT seq, 1 + seq % 5, REPEAT(CHAR(seq % 256), seq % 3000), FROM_UNIXTIME(seq * 10000), seq / 7
    FROM seq_1_to_2000;
CREATE VIEW both_of_them AS SELECT p.name, COUNT(*) AS n FROM parent p JOIN child c ON c.parent = p.id GROUP BY p.id;
DELIMITER //
CREATE PROCEDURE fill(IN n INT)
BEGIN
    DECLARE i INT DEFAULT 0;
    -- a comment; with a semicolon
    WHILE i < n DO INSERT INTO parent (name) VALUES (CONCAT('filled ', i)); SET i = i + 1; END WHILE;
    SELECT COUNT(*) FROM parent;
END //
CREATE TRIGGER noted BEFORE INSERT ON parent FOR EACH ROW SET NEW.name = TRIM(NEW.name) //
CREATE FUNCTION doubled(n INT) RETURNS INT DETERMINISTIC RETURN n * 2 //
DELIMITER ;
CALL fill(3);
"""
SCRIPT: Final = (
    CONTENT
    + """
SELECT doubled(21), VERSION() IS NOT NULL;
/* several
   lines */ SELECT 'a', # and a comment
  'b' -- another
  ;
START TRANSACTION; DELETE FROM parent; ROLLBACK; SELECT COUNT(*) FROM child;
BEGIN; UPDATE parent SET name = CONCAT(name, '!') WHERE id = 1; COMMIT;
SELECT * FROM parent ORDER BY id\\G
SET @total = (SELECT SUM(price) FROM child); SELECT @total;
CREATE TEMPORARY TABLE scratch SELECT id FROM child LIMIT 7; SELECT COUNT(*) FROM scratch;
PREPARE s FROM 'SELECT ? + 1'; SET @a = 5; EXECUTE s USING @a; DEALLOCATE PREPARE s;
LOCK TABLES parent WRITE; INSERT INTO parent (name) VALUES ('locked'); UNLOCK TABLES;
SELECT SQL_CALC_FOUND_ROWS id FROM child ORDER BY id LIMIT 2; SELECT FOUND_ROWS();
INSERT INTO parent (name) VALUES ('last'); SELECT LAST_INSERT_ID();
SELECT 1/0; SHOW WARNINGS;
SET SESSION sql_mode = 'ANSI_QUOTES'; SELECT name AS "named" FROM parent WHERE "id" = 2; SET SESSION sql_mode = DEFAULT;
HANDLER parent OPEN; HANDLER parent READ FIRST; HANDLER parent CLOSE;
CHECK TABLE parent, child; ANALYZE TABLE parent; CHECKSUM TABLE child;
USE information_schema
SELECT DATABASE();
status_is_no_statement;
"""
)


@pytest.fixture(scope="module")
def both() -> Iterator[Ways]:
    """One MariaDB for this file."""
    with ways(pool={"max_connections": 3}) as both:
        yield both


def place(way: Way, transport: str) -> list[str]:
    """The options of a client that goes this way."""
    login = ["--no-defaults", f"--user={USER}", f"--password={PASSWORD}", "--default-character-set=utf8mb4"]
    if transport == "socket":
        return [*login, f"--socket={way.socket}"]
    line = [*login, "--protocol=tcp", f"--host={LOOPBACK}", f"--port={way.port}"]
    return [*line, f"--ssl-ca={way.ca}", "--ssl-verify-server-cert"] if transport == "tls" else [*line, "--skip-ssl"]


def client(way: Way, transport: str, *options: str) -> list[str]:
    return [binary("mariadb"), *place(way, transport), "--force", *options, DATABASE]


def dump(both: Ways, way: Way, *options: str) -> str:
    said = both.run(way, [binary("mariadb-dump"), *place(way, "port"), "--skip-dump-date", "--hex-blob", *options])
    return re.sub(r"-- Host: .*\n", "", said)


@pytest.mark.parametrize(
    "options",
    [["--table"], ["--batch"], ["--table", "--compress"], ["--verbose", "--show-warnings", "--comments"], ["--quick"]],
    ids=lambda options: "".join(options),
)
@pytest.mark.parametrize("transport", ["port", "socket", "tls"])
def test_a_script(both: Ways, transport: str, options: list[str]) -> None:
    said = both.compare(lambda way: client(way, transport, *options), stdin=SCRIPT)
    assert "status_is_no_statement" in said, "it came to the end"


@pytest.mark.parametrize("options", [[], ["--compress"]], ids=["plain", "compressed"])
def test_a_file_of_the_clients(both: Ways, options: list[str], tmp_path: Path) -> None:
    file = tmp_path / "numbers.csv"
    with file.open("w") as lines:
        lines.writelines(f"{n},{'x' * (n % 100)},{n * n % 1009}\n" for n in range(60_000))
    script = f"""
        CREATE TABLE numbers (n INT PRIMARY KEY, filler VARCHAR(100), square INT);
        LOAD DATA LOCAL INFILE '{file}' INTO TABLE numbers FIELDS TERMINATED BY ',';
        SELECT COUNT(*), SUM(n), SUM(LENGTH(filler)), SUM(square) FROM numbers;
        LOAD DATA LOCAL INFILE '{file}.missing' INTO TABLE numbers;
        SELECT 'still here';
        LOAD DATA LOCAL INFILE '{file}' INTO TABLE no_such_table;
        LOAD DATA LOCAL INFILE '{file}' IGNORE INTO TABLE numbers FIELDS TERMINATED BY ',';
        SHOW COUNT(*) WARNINGS;
        SELECT 'still here';
    """
    said = both.compare(lambda way: client(way, "port", "--local-infile", "-vv", *options), stdin=script)
    assert "60000" in said


def test_a_dump_is_the_same_and_brings_back_the_same(both: Ways, tmp_path: Path) -> None:
    everything = ["--routines", "--triggers", "--databases", DATABASE]
    both.renew()
    both.run(both.direct, client(both.direct, "port"), stdin=CONTENT)
    for options in ([], ["--single-transaction"], ["--skip-opt", "--compress"], ["--xml"]):
        assert dump(both, both.through, *options, *everything) == dump(both, both.direct, *options, *everything)
    wanted = dump(both, both.direct, *everything)
    file = tmp_path / "dump.sql"
    file.write_text(wanted)
    for way in (both.through, both.direct):
        both.renew()
        both.run(way, client(way, "port"), stdin=f"source {file}\n")
        assert dump(both, both.direct, *everything) == wanted
    both.gateway.wait_until_quiet()
