<?php
// Connections as the environment says: TRANSPORT is port, socket or tls. Everything said is one line of JSON.
error_reporting(E_ALL);
set_error_handler(function ($level, $text) { say(["notice" => $text]); return true; });
mysqli_report(MYSQLI_REPORT_OFF);

function say(...$values) { echo json_encode($values, JSON_INVALID_UTF8_SUBSTITUTE | JSON_PRESERVE_ZERO_FRACTION), "\n"; }

function connect(int $flags = 0, array $options = [], ?string $database = null): mysqli {
    $transport = getenv("TRANSPORT");
    $db = mysqli_init();
    foreach ($options as $option => $value) $db->options($option, $value);
    if ($transport == "tls") {
        $db->ssl_set(null, null, getenv("CA"), null, null);
        $flags |= MYSQLI_CLIENT_SSL;
    }
    $host = $transport == "socket" ? null : getenv("HOST");
    $path = $transport == "socket" ? getenv("SOCKET") : null;
    $database ??= getenv("DATABASE");
    $db->real_connect($host, getenv("USER"), getenv("PASSWORD"), $database, (int) getenv("PORT"), $path, $flags);
    if ($db->connect_errno) say("connect", $db->connect_errno, $db->connect_error);
    return $db;
}

function pdo(array $options = []): PDO {
    $transport = getenv("TRANSPORT");
    $place = $transport == "socket" ? "unix_socket=" . getenv("SOCKET") : "host=" . getenv("HOST") . ";port=" . getenv("PORT");
    $options += [PDO::ATTR_EMULATE_PREPARES => (bool) getenv("EMULATE"), PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION];
    if ($transport == "tls") $options[PDO::MYSQL_ATTR_SSL_CA] = getenv("CA");
    return new PDO("mysql:$place;dbname=" . getenv("DATABASE") . ";charset=utf8mb4", getenv("USER"), getenv("PASSWORD"), $options);
}

// What is to be known of a statement's end.
function state(mysqli $db) {
    say($db->errno, $db->sqlstate, $db->error, $db->affected_rows, $db->insert_id, $db->info, $db->warning_count, $db->field_count);
}

function query(mysqli $db, string $sql) {
    $result = $db->query($sql);
    if ($result instanceof mysqli_result) say($sql, $result->fetch_all(MYSQLI_ASSOC), $db->warning_count);
    else { say($sql, $result); state($db); }
    if ($result instanceof mysqli_result) $result->free();
}
