<?php
require "prelude.php";
$db = pdo([PDO::MYSQL_ATTR_INIT_COMMAND => "SET sql_mode = 'ANSI_QUOTES,STRICT_TRANS_TABLES'", PDO::MYSQL_ATTR_FOUND_ROWS => true]);
function failing(callable $do) {
    try { say("went well", $do()); } catch (PDOException $e) { say($e->getCode(), $e->errorInfo, $e->getMessage()); }
}
say($db->getAttribute(PDO::ATTR_SERVER_VERSION), $db->query("SELECT @@sql_mode")->fetchColumn());
say($db->exec('CREATE TABLE "t" (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(20) NOT NULL, n DECIMAL(10,2), f DOUBLE, b BLOB, UNIQUE (s))'));
$insert = $db->prepare('INSERT INTO "t" (s, n, f, b) VALUES (:s, :n, :f, :b)');
foreach ([["eins", "1.10", 1.5, "\0'\\"], ["it's", null, -2e-300, ""], ["grün", "3", 7, null]] as [$s, $n, $f, $b]) {
    $insert->bindValue(":s", $s); $insert->bindValue(":n", $n); $insert->bindValue(":f", $f); $insert->bindValue(":b", $b, PDO::PARAM_LOB);
    say($insert->execute(), $insert->rowCount(), $db->lastInsertId());
}
failing(fn() => $insert->execute([":s" => "eins", ":n" => 1, ":f" => 1, ":b" => 1]));
failing(fn() => $insert->execute([":s" => null, ":n" => 1, ":f" => 1, ":b" => 1]));
failing(fn() => $insert->execute([":s" => str_repeat("x", 30), ":n" => 1, ":f" => 1, ":b" => 1]));
$select = $db->prepare('SELECT id, s, n, f, hex(b) AS h FROM t WHERE id >= ? ORDER BY id LIMIT ?');
for ($i = 1; $i < 4; $i++) {
    $select->bindValue(1, $i, PDO::PARAM_INT); $select->bindValue(2, 2, PDO::PARAM_INT); $select->execute();
    say($select->fetchAll(PDO::FETCH_ASSOC), $select->columnCount(), $select->getColumnMeta(2));
}
say($db->query("SELECT s, n FROM t")->fetchAll(PDO::FETCH_KEY_PAIR), $db->query("SELECT s FROM t")->fetchAll(PDO::FETCH_COLUMN));
// transactions
say($db->beginTransaction(), $db->inTransaction(), $db->exec("DELETE FROM t"), $db->rollBack(), $db->inTransaction());
say($db->query("SELECT COUNT(*) FROM t")->fetchColumn());
$db->beginTransaction(); $db->exec("UPDATE t SET n = 5"); $db->exec("SAVEPOINT x"); $db->exec("DELETE FROM t"); $db->exec("ROLLBACK TO x"); $db->commit();
say($db->query("SELECT SUM(n) FROM t")->fetchColumn(), $db->exec("UPDATE t SET n = 5"));
$db->setAttribute(PDO::ATTR_AUTOCOMMIT, 0); $db->exec("DELETE FROM t"); say($db->query("SELECT @@autocommit, @@in_transaction")->fetch(PDO::FETCH_NUM)); $db->exec("ROLLBACK"); $db->setAttribute(PDO::ATTR_AUTOCOMMIT, 1);
say($db->query("SELECT COUNT(*) FROM t")->fetchColumn());
$db->beginTransaction(); $db->exec("CREATE TABLE implicit (a INT)"); say($db->inTransaction()); failing(fn() => $db->commit());
// several results
failing(function () use ($db) {
    $several = $db->query("SELECT 1; SELECT 2 AS zwei UNION SELECT 3; UPDATE t SET n = 6; SELECT COUNT(*) FROM t");
    do { if ($several->columnCount()) say($several->fetchAll(PDO::FETCH_ASSOC)); else say($several->rowCount()); } while ($several->nextRowset());
});
$db->exec("CREATE PROCEDURE p(IN a INT) BEGIN SELECT a; SELECT s FROM t ORDER BY id; END");
$call = $db->prepare("CALL p(?)"); $call->execute([42]);
do { if ($call->columnCount()) say($call->fetchAll(PDO::FETCH_NUM)); } while ($call->nextRowset());
$call->closeCursor();
// unbuffered
$db->setAttribute(PDO::MYSQL_ATTR_USE_BUFFERED_QUERY, false);
$rows = $db->query("SELECT seq, repeat('z', 300) FROM seq_1_to_20000"); say($rows->fetch(PDO::FETCH_NUM)[0]);
failing(fn() => $db->query("SELECT 1")->fetchAll());
$rows->closeCursor(); $rows = null;
$total = 0; foreach ($db->query("SELECT seq FROM seq_1_to_20000") as $row) $total += $row[0];
say($total);
$db->setAttribute(PDO::MYSQL_ATTR_USE_BUFFERED_QUERY, true);
failing(fn() => $db->query('SELECT "no_column" FROM t'));
failing(fn() => $db->prepare('SELECT ? FROM nowhere')->execute([1]));
say($db->quote("a'b\\c"), $db->query("SELECT " . $db->quote("a'b\\c"))->fetchColumn());
// kept between requests, as far as a command line has any
$kept = pdo([PDO::ATTR_PERSISTENT => true]); $kept->exec("SET @a = 1"); $kept = null;
say(pdo([PDO::ATTR_PERSISTENT => true])->query("SELECT @a")->fetchColumn());
