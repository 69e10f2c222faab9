<?php
require "prelude.php";
$db = connect();
$db->query("CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, d DOUBLE, s VARCHAR(100), b LONGBLOB)");
$insert = $db->prepare("INSERT INTO t (d, s, b) VALUES (?, ?, ?)");
$d = 0.5; $s = "eins"; $b = null;
$insert->bind_param("dsb", $d, $s, $b);
for ($i = 0; $i < 5; $i++) {
    $d *= 3; $s .= $i;
    $insert->send_long_data(2, str_repeat("long", 1000));
    $insert->send_long_data(2, str_repeat("more$i", 20000));
    say($insert->execute(), $insert->affected_rows, $insert->insert_id, $insert->errno, $insert->param_count);
}
$select = $db->prepare("SELECT id, d, s, md5(b) AS m, ? AS echoed FROM t WHERE id > ? ORDER BY id");
foreach ($select->result_metadata()->fetch_fields() as $field) say((array) $field);
foreach ([["is", 7, "2"], ["si", "text", 0], ["di", 1.25, 4], ["ss", null, "0"]] as [$types, $first, $second]) {
    $select->bind_param($types, $first, $second);
    $select->execute();
    say($select->get_result()->fetch_all(MYSQLI_ASSOC));
}
// rows unbuffered, and two statements by turns
$one = $db->prepare("SELECT seq FROM seq_1_to_5"); $two = $db->prepare("SELECT seq * 10 FROM seq_1_to_5");
$one->execute(); $one->store_result(); $one->bind_result($a);
$two->execute(); $two->store_result(); $two->bind_result($c);
while ($one->fetch() && $two->fetch()) say($a, $c);
$one->free_result(); $two->close();
$one->execute(); $one->bind_result($a); $one->fetch();
say($a, $db->query("SELECT 1"), $db->errno, $db->error);
$one->free_result();
// a cursor, and other statements in between
$cursor = $db->prepare("SELECT seq FROM seq_1_to_300 WHERE seq > ?");
$cursor->attr_set(MYSQLI_STMT_ATTR_CURSOR_TYPE, MYSQLI_CURSOR_TYPE_READ_ONLY);
$cursor->attr_set(MYSQLI_STMT_ATTR_PREFETCH_ROWS, 1);
$from = 290; $cursor->bind_param("i", $from); $cursor->execute(); $cursor->bind_result($n);
for ($i = 0; $i < 3; $i++) { $cursor->fetch(); say("cursor", $n); query($db, "SELECT 'between'"); }
say($cursor->reset()); $cursor->execute(); $cursor->fetch(); say("again", $n); $cursor->close();
// errors
say($db->prepare("SELECT FROM"), $db->errno, $db->error);
say($db->prepare("SELECT 1; SELECT 2"), $db->errno, $db->error);
$twice = $db->prepare("INSERT INTO t (id) VALUES (?)"); $one = 1; $twice->bind_param("i", $one);
say($twice->execute(), $twice->errno, $twice->sqlstate, $twice->error);
$star = $db->prepare("SELECT * FROM t WHERE id = 1"); $star->execute();
say($star->get_result()->fetch_assoc()["s"]);
query($db, "ALTER TABLE t DROP COLUMN b, ADD COLUMN later INT DEFAULT 5");
$star->execute(); say($star->errno, $star->get_result()->fetch_assoc());
query($db, "DROP TABLE t");
say($star->execute(), $star->errno, $star->error);
say($db->execute_query("SELECT ?, ?", [1, "zwei"])->fetch_row());
// many statements, of which some are closed
for ($i = 0; $i < 300; $i++) {
    $many[$i] = $db->prepare("SELECT $i + ?"); $many[$i]->bind_param("i", $i); $many[$i]->execute();
    $sum = ($sum ?? 0) + $many[$i]->get_result()->fetch_row()[0];
    if ($i % 3 == 0) { $many[$i]->close(); unset($many[$i]); }
}
foreach ($many as $i => $statement) { $statement->execute(); $sum += $statement->get_result()->fetch_row()[0]; }
say($sum);
