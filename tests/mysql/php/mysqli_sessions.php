<?php
require "prelude.php";
$db = connect(MYSQLI_CLIENT_FOUND_ROWS, [MYSQLI_INIT_COMMAND => "SET SESSION time_zone = '+03:00', @greeting = 'hallo'"]);
$other = connect();
query($db, "SELECT @@time_zone, @greeting");
query($other, "SELECT @@time_zone, @greeting");
query($db, "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(20) CHARACTER SET utf8mb4, UNIQUE (s))");
// transactions
say($db->begin_transaction(), $db->query("INSERT INTO t (s) VALUES ('a')"), $db->rollback());
query($db, "SELECT COUNT(*) FROM t");
say($db->autocommit(false), $db->query("INSERT INTO t (s) VALUES ('b')"), $db->savepoint("one"));
query($db, "INSERT INTO t (s) VALUES ('c')"); query($db, "INSERT INTO t (s) VALUES ('b')");
query($other, "SELECT * FROM t");
query($db, "ROLLBACK TO SAVEPOINT one");
say($db->commit(MYSQLI_TRANS_COR_AND_CHAIN), $db->query("INSERT INTO t (s) VALUES ('d')"), $db->commit(), $db->autocommit(true));
query($other, "SELECT * FROM t");
say($db->begin_transaction(MYSQLI_TRANS_START_READ_ONLY)); query($db, "INSERT INTO t (s) VALUES ('e')"); $db->rollback();
query($db, "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED");
say($db->begin_transaction()); query($db, "SELECT COUNT(*) FROM t"); $db->commit();
query($db, "UPDATE t SET s = s");  // matched rows, not changed ones
query($other, "UPDATE t SET s = s");
// character sets
foreach (["latin1", "utf8mb4", "cp1251", "gbk", "utf8mb4"] as $charset) {
    say($charset, $db->set_charset($charset), $db->character_set_name(), bin2hex($db->query("SELECT _utf8mb4 'grün'")->fetch_row()[0]));
    query($db, "SELECT @@character_set_client, @@character_set_connection, @@character_set_results, @@collation_connection");
    say($db->real_escape_string("\xbf\x27 x"));
}
query($db, "SET NAMES latin1 COLLATE latin1_german2_ci"); query($db, "SELECT 'ä' = 'ae', @@collation_connection"); query($db, "SET NAMES utf8mb4");
say((array) $db->get_charset());
// what only one connection has
query($db, "CREATE TEMPORARY TABLE tmp AS SELECT 1 AS x"); query($other, "SELECT * FROM tmp"); query($db, "SELECT * FROM tmp");
query($db, "SET @n = 5"); query($db, "SELECT @n := @n + 1"); query($db, "SELECT @n"); query($other, "SELECT @n");
query($db, "SELECT GET_LOCK('php', 0)"); query($other, "SELECT GET_LOCK('php', 0)"); query($db, "SELECT RELEASE_ALL_LOCKS()");
query($db, "SELECT SQL_CALC_FOUND_ROWS seq FROM seq_1_to_50 LIMIT 2"); query($db, "SELECT FOUND_ROWS()");
query($other, "INSERT INTO t (s) VALUES ('x'), ('y')"); query($other, "SELECT ROW_COUNT(), LAST_INSERT_ID()"); query($db, "SELECT LAST_INSERT_ID()");
query($db, "INSERT INTO t (id, s) VALUES (100, 'own')"); query($db, "SELECT LAST_INSERT_ID()"); query($db, "UPDATE t SET id = LAST_INSERT_ID(id + 1000) WHERE id = 100"); query($db, "SELECT LAST_INSERT_ID()");
// several results
say($db->multi_query("SELECT 1; INSERT INTO t (s) VALUES ('multi'); SELECT s FROM t WHERE s LIKE 'm%'; SET @n = 9; SELECT nothing; SELECT 2"));
do {
    $result = $db->store_result();
    say($result ? $result->fetch_all() : null); state($db);
} while ($db->more_results() && $db->next_result());
state($db);
query($db, "SELECT @n");
query($db, "CREATE PROCEDURE several(IN a INT, OUT b INT, INOUT c INT) BEGIN SELECT a, c; SELECT s FROM t LIMIT 2; SET b = a * 2, c = c + 1; END");
query($db, "SET @c = 1");
$call = $db->prepare("CALL several(?, @b, @c)"); $a = 21; $call->bind_param("i", $a); $call->execute();
do { if ($result = $call->get_result()) say($result->fetch_all()); } while ($call->next_result());
query($db, "SELECT @b, @c");
say($db->multi_query("CALL several(1, @b, @c)")); do { if ($r = $db->store_result()) say($r->fetch_all()); } while ($db->more_results() && $db->next_result());
query($db, "SELECT @b, @c");
// the same connection for somebody else
say($db->change_user(getenv("USER"), getenv("PASSWORD"), getenv("DATABASE")));
query($db, "SELECT @n, @@time_zone, @@autocommit"); query($db, "SELECT * FROM tmp");
say($db->change_user(getenv("USER"), "wrong", getenv("DATABASE")), $db->errno);
// a file of the client's, and a password that is wrong
file_put_contents($file = getenv("FOLDER") . "/loaded.txt", "1\teins\n2\tzwei\n3\n");
$db = connect(0, [MYSQLI_OPT_LOCAL_INFILE => 1]);
query($db, "CREATE TABLE loaded (a INT, b VARCHAR(10))"); query($db, "LOAD DATA LOCAL INFILE '$file' INTO TABLE loaded"); query($db, "SHOW WARNINGS"); query($db, "SELECT * FROM loaded");
unlink($file); query($db, "SELECT 1");
query($other, "LOAD DATA LOCAL INFILE '$file' INTO TABLE loaded"); query($other, "SELECT 1");
$wrong = mysqli_init(); $wrong->real_connect(getenv("HOST"), getenv("USER"), "wrong", null, (int) getenv("PORT"));
say($wrong->connect_errno, $wrong->sqlstate ?? null);
$zipped = connect(MYSQLI_CLIENT_COMPRESS); query($zipped, "SELECT length(repeat('x', 100000)), md5(repeat('y', 1000000))");
say(strlen($zipped->query("SELECT repeat('abc', 1000000)")->fetch_row()[0]));
connect(0, [], "no_such_schema");
