<?php
// As a web application: connect, a few statements, gone; every second one through PDO.
require "prelude.php";
$db = connect(); $db->query("CREATE TABLE hits (page VARCHAR(20) PRIMARY KEY, n INT)");
for ($i = 0; $i < 300; $i++) {
    if ($i % 2) {
        $db = connect(); $db->set_charset($i % 4 == 1 ? "utf8mb4" : "latin1"); $page = "page" . $i % 7;
        if ($i % 5 == 0) $db->begin_transaction();
        $hit = $db->prepare("INSERT INTO hits VALUES (?, 1) ON DUPLICATE KEY UPDATE n = n + 1"); $hit->bind_param("s", $page); $hit->execute();
        if ($i % 5 == 0) $db->commit();
        if ($i % 3) $db->close();
    } else {
        $db = pdo(); $hit = $db->prepare("SELECT n FROM hits WHERE page = ?"); $hit->execute(["page" . $i % 7]); $sum = ($sum ?? 0) + (int) $hit->fetchColumn();
        if ($i % 6 == 0) { $db->beginTransaction(); $db->exec("DELETE FROM hits"); }  // and dies: rolled back
    }
    unset($db, $hit);
}
say($sum); query(connect(), "SELECT * FROM hits ORDER BY page");
