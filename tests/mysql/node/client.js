// node's mysql2 as applications use it. Everything said is one line of JSON. TRANSPORT is port, socket or tls.
const fs = require("fs");
const mysql = require(process.env.MYSQL2 + "/promise");

const env = process.env;
const place = env.TRANSPORT === "socket" ? { socketPath: env.SOCKET } : { host: env.HOST, port: Number(env.PORT) };
const tls = env.TRANSPORT === "tls" ? { ssl: { ca: fs.readFileSync(env.CA) } } : {};
const options = { user: env.USER, password: env.PASSWORD, database: env.DATABASE, ...place, ...tls };

const say = (...values) =>
  console.log(JSON.stringify(values, (_, value) => (typeof value === "bigint" ? `${value}n` : value)));
const fields = (all) => all && all.map((f) => f && [f.name, f.columnType, f.flags, f.characterSet, f.columnLength]);

// The gateway has the server report more of the session than this client's own session would.
function forget(result) {
  if (result && result.serverStatus !== undefined) {
    delete result.stateChanges;
    result.serverStatus &= ~0x4000;
  }
}

async function query(db, sql, values) {
  try {
    const [rows, columns] = await db.query(sql, values);
    for (const one of Array.isArray(rows) ? rows : [rows]) forget(one);
    say(sql, rows, fields(columns));
  } catch (error) {
    say(sql, error.code, error.errno, error.sqlState, error.message);
  }
}

async function execute(db, sql, values) {
  try {
    const [rows, columns] = await db.execute(sql, values);
    say(sql, values, rows, fields(columns));
  } catch (error) {
    say(sql, values, error.code, error.errno, error.sqlState, error.message);
  }
}

async function queries() {
  const db = await mysql.createConnection({ ...options, multipleStatements: true, supportBigNumbers: true });
  await query(db, "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(50), d DATETIME(6), n DECIMAL(20,4), j JSON, b BLOB, big BIGINT)");
  await query(db, "INSERT INTO t (s, d, n, j, b, big) VALUES ?", [[["grün", "2020-01-02 03:04:05.678901", "1.5", '{"a":1}', Buffer.from([0, 255, 39]), "9223372036854775807"], [null, null, null, null, null, null]]]);
  await query(db, "SELECT * FROM t");
  await query(db, "SELECT 1; SELECT 2 AS b, 'x' AS c; UPDATE t SET s = 'neu'; SELECT COUNT(*) FROM t");
  await query(db, "SELECT 1; SELECT nothing; SELECT 3");
  await query(db, "SELEKT");
  await query(db, "CREATE PROCEDURE p(a INT) BEGIN SELECT a; SELECT a + 1, 'b'; END");
  await query(db, "CALL p(?)", [41]);
  await query(db, "SET @a = 5");
  await query(db, "SELECT @a, @@sql_mode, DATABASE()");
  await query(db, "SELECT 1/0");
  await query(db, "SHOW WARNINGS");
  say((await db.query("SELECT CONNECTION_ID() AS id"))[0][0].id === db.threadId);
  await db.ping();
  await db.changeUser({ database: "information_schema" });
  await query(db, "SELECT DATABASE(), @a, @@sql_mode");
  for (const schema of [env.DATABASE, "information_schema", env.DATABASE]) {
    const [used] = await db.query(`USE ${schema}`);
    say(used.stateChanges.schema);
  }
  for (const charset of ["latin1", "utf8mb4", "latin1"]) {
    const [set] = await db.query(`SET NAMES ${charset}`);
    say(Object.entries(set.stateChanges.systemVariables).sort());
  }
  await db.changeUser({ database: env.DATABASE, charset: "LATIN1_SWEDISH_CI" });
  await query(db, "SELECT @@character_set_client, HEX('ü')");
  const rows = db.connection.query("SELECT seq, REPEAT('x', 200) AS x FROM seq_1_to_30000").stream({ highWaterMark: 5 });
  let sum = 0;
  for await (const row of rows) sum += row.seq + row.x.length;
  say(sum);
  await query(db, { sql: "LOAD DATA LOCAL INFILE 'any' INTO TABLE t (s)", infileStreamFactory: () => require("stream").Readable.from([Buffer.from("eins\nzwei\n"), Buffer.from("x".repeat(40) + "\n")]) });
  await query(db, "SELECT s FROM t WHERE d IS NULL ORDER BY id");
  await db.end();
}

async function prepared() {
  const db = await mysql.createConnection({ ...options, maxPreparedStatements: 5, decimalNumbers: true });
  await query(db, "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(100), d DOUBLE, b BLOB, at DATETIME)");
  for (let i = 0; i < 4; i++)
    await execute(db, "INSERT INTO t (s, d, b, at) VALUES (?, ?, ?, ?)", [`s${i}`, i / 4, i % 2 ? Buffer.alloc(70000, i) : null, "2021-02-03 04:05:06"]);
  await execute(db, "SELECT id, s, d, MD5(b), at, ? AS echoed FROM t WHERE id > ?", ["ü", 1]);
  await execute(db, "SELECT id, s, d, MD5(b), at, ? AS echoed FROM t WHERE id > ?", [null, "2"]);
  for (let i = 0; i < 20; i++) await execute(db, `SELECT ${i % 8} + ? AS n`, [i]); // more than it keeps: some are closed
  await execute(db, "SELECT nothing FROM t WHERE id = ?", [1]);
  await execute(db, "INSERT INTO t (id) VALUES (?)", [1]);
  const statement = await db.prepare("SELECT s FROM t WHERE id = ?");
  say((await statement.execute([1]))[0], (await statement.execute([2]))[0]);
  await query(db, "ALTER TABLE t MODIFY s TEXT");
  say((await statement.execute([2]))[0]);
  await statement.close();
  await execute(db, "CALL nowhere(?)", [1]);
  // two at once on one connection: mysql2 sends one after the other
  say(await Promise.all([1, 2, 3].map(async (n) => (await db.execute("SELECT ? * 2 AS n", [n]))[0])));
  await db.end();
}

async function pools() {
  const pool = mysql.createPool({ ...options, connectionLimit: 8, charset: "utf8mb4" });
  await query(pool, "CREATE TABLE account (id INT PRIMARY KEY, balance INT NOT NULL)");
  await query(pool, "INSERT INTO account VALUES (1, 1000), (2, 1000), (3, 1000), (4, 1000)");
  const transfer = async (n) => {
    const db = await pool.getConnection();
    try {
      await db.beginTransaction();
      const [from, to] = [(n % 4) + 1, ((n + 1 + (n % 3)) % 4) + 1].sort();
      await db.execute("SELECT * FROM account WHERE id IN (?, ?) ORDER BY id FOR UPDATE", [from, to]);
      await db.execute("UPDATE account SET balance = balance - ? WHERE id = ?", [n, from]);
      await db.execute("UPDATE account SET balance = balance + ? WHERE id = ?", [n, to]);
      await (n % 5 ? db.commit() : db.rollback());
    } finally {
      db.release();
    }
  };
  await Promise.all(Array.from({ length: 200 }, (_, n) => transfer(n)));
  await query(pool, "SELECT SUM(balance) AS total FROM account");
  await query(pool, "SELECT * FROM account");
  await pool.end();
}

async function refusals() {
  const attempt = async (more) => {
    try {
      const db = await mysql.createConnection({ ...options, ...more });
      await query(db, "SELECT @@collation_connection, @@autocommit");
      db.destroy();
    } catch (error) {
      say(error.code, error.errno, error.sqlState);
    }
  };
  await attempt({ password: "wrong" });
  await attempt({ database: "no_such_schema" });
  await attempt({ compress: true });
  await attempt({ flags: ["-FOUND_ROWS"], charset: "UTF8MB4_BIN", timezone: "Z" });
}

({ queries, prepared, pools, refusals })[process.argv[2]]().catch((error) => {
  console.error(error);
  process.exit(1);
});
