"""Every command of Redis 7.0 with its subcommands, one a line: a container stands before its subcommands.

A row is ``(name, arity, effect, keys, traits)``; name, arity and key positions are what the server's ``COMMAND`` says
(``tests/protocols/redis/test_commands.py`` compares them). The effect is its flags' word, and where they say nothing,
or leave a client harm for all the others, ours. The traits, all optional:

``answer``, ``block``, ...
    How the session handles it: the words and their meaning stand in ``commands.py``. None: passed on a shared lane.
``refused``
    Refused unless the configuration allows it.
``timeout@-1``, ``timeout@2ms``, ``timeout@BLOCK``
    Which argument says how long it may block, in seconds or milliseconds; or the one behind the word BLOCK, in ms.
``idempotent``, ``idempotent unless NX GET``
    May be repeated when nobody knows whether it was executed: afterwards the data are the same *and* the reply is
    still right. Always, or unless one of these words is among its arguments. So SET is idempotent, SET NX is not;
    DEL, SADD, HSET are not, as they answer how many changed: 1 at first, 0 on the repeat. Nor is an admin command
    that changes anything: a person should know.

WAIT counts the replicas that have what was written before *on its own connection*. On a lease that wrote nothing it
would answer at once, and promise what is not so. Any command moves that mark to the present: a PING sent ahead on the
same lease, after the replies to the session's writes have come, makes the promise true. The same goes for WAITAOF.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from protocols.call import ADMIN, CONTROL, READ, WRITE

# First, last and step of the keys, as COMMAND reports them, and the rule that finds the keys which they cannot say.
Keys: TypeAlias = tuple[int, int, int, str]
Row: TypeAlias = tuple[str, int, str, Keys, str]


def keys(first: int = 0, last: int = 0, step: int = 0, rule: str = "") -> Keys:
    """Where the keys stand; see ``keys_of`` in ``commands.py`` for the rules."""
    return first, last, step, rule


NO_KEYS: Final = keys()
KEY: Final = keys(1, 1, 1)
KEYS: Final = keys(1, -1, 1)
TWO_KEYS: Final = keys(1, 2, 1)
SUB_KEY: Final = keys(2, 2, 1)  # the key stands behind a subcommand

# fmt: off

ROWS: Final[list[Row]] = [
    # Connection. What one session sets on a shared connection would show to every other: the gateway answers.
    ("AUTH",                -2, CONTROL, NO_KEYS, "answer"),
    # CLIENT: an unknown subcommand may change the connection: never forwarded.
    ("CLIENT",              -2, CONTROL, NO_KEYS, "answer"),
    ("CLIENT CACHING",       3, CONTROL, NO_KEYS, "tracking"),
    ("CLIENT GETNAME",       2, CONTROL, NO_KEYS, "answer"),
    ("CLIENT GETREDIR",      2, CONTROL, NO_KEYS, "answer"),
    ("CLIENT HELP",          2, CONTROL, NO_KEYS, ""),
    ("CLIENT ID",            2, CONTROL, NO_KEYS, "answer"),
    ("CLIENT INFO",          2, CONTROL, NO_KEYS, "answer"),
    ("CLIENT KILL",         -3, ADMIN,   NO_KEYS, "answer"),
    ("CLIENT LIST",         -2, ADMIN,   NO_KEYS, "answer"),
    ("CLIENT NO-EVICT",      3, ADMIN,   NO_KEYS, "answer"),
    ("CLIENT PAUSE",        -3, ADMIN,   NO_KEYS, ""),  # stops every client of the server
    # CLIENT REPLY: upstream it would silence a lane: every later reply would be someone else's.
    ("CLIENT REPLY",         3, CONTROL, NO_KEYS, "answer"),
    ("CLIENT SETNAME",       3, CONTROL, NO_KEYS, "answer"),
    ("CLIENT TRACKING",     -3, CONTROL, NO_KEYS, "tracking"),
    ("CLIENT TRACKINGINFO",  2, CONTROL, NO_KEYS, "answer"),
    ("CLIENT UNBLOCK",      -3, ADMIN,   NO_KEYS, "answer"),
    ("CLIENT UNPAUSE",       2, ADMIN,   NO_KEYS, "alone"),  # would wait for ever behind a paused write
    ("ECHO",                 2, CONTROL, NO_KEYS, "idempotent"),
    ("HELLO",               -1, CONTROL, NO_KEYS, "answer"),
    ("PING",                -1, CONTROL, NO_KEYS, "idempotent"),
    ("QUIT",                -1, CONTROL, NO_KEYS, "answer"),
    ("RESET",                1, CONTROL, NO_KEYS, "answer"),
    ("SELECT",               2, CONTROL, NO_KEYS, "answer"),

    # Strings
    ("APPEND",       3, WRITE, KEY, ""),
    ("DECR",         2, WRITE, KEY, ""),
    ("DECRBY",       3, WRITE, KEY, ""),
    ("GET",          2, READ,  KEY, "idempotent"),
    ("GETDEL",       2, WRITE, KEY, ""),
    ("GETEX",       -2, WRITE, KEY, "idempotent unless EXAT PXAT"),  # a time in the past deletes the key
    ("GETRANGE",     4, READ,  KEY, "idempotent"),
    ("GETSET",       3, WRITE, KEY, ""),
    ("INCR",         2, WRITE, KEY, ""),
    ("INCRBY",       3, WRITE, KEY, ""),
    ("INCRBYFLOAT",  3, WRITE, KEY, ""),
    ("LCS",         -3, READ,  TWO_KEYS, "idempotent"),
    ("MGET",        -2, READ,  KEYS, "idempotent"),
    ("MSET",        -3, WRITE, keys(1, -1, 2), "idempotent"),
    ("MSETNX",      -3, WRITE, keys(1, -1, 2), ""),
    ("PSETEX",       4, WRITE, KEY, "idempotent"),
    # SET: a repeated NX reports the lock it took as taken; XX may find it expired; IF.. are of 8.4.
    ("SET",         -3, WRITE, KEY, "idempotent unless NX XX GET IFEQ IFNE IFDEQ IFDNE"),
    ("SETEX",        4, WRITE, KEY, "idempotent"),
    ("SETNX",        3, WRITE, KEY, ""),
    ("SETRANGE",     4, WRITE, KEY, "idempotent"),  # answers the new length
    ("STRLEN",       2, READ,  KEY, "idempotent"),
    ("SUBSTR",       4, READ,  KEY, "idempotent"),

    # Keys of any type
    ("COPY",            -3, WRITE,   TWO_KEYS, ""),
    ("DEL",             -2, WRITE,   KEYS, ""),
    ("DUMP",             2, READ,    KEY, "idempotent"),
    ("EXISTS",          -2, READ,    KEYS, "idempotent"),
    ("EXPIRE",          -3, WRITE,   KEY, ""),  # NX, GT, LT and a time in the past answer 0 the second time
    ("EXPIREAT",        -3, WRITE,   KEY, ""),
    ("EXPIRETIME",       2, READ,    KEY, "idempotent"),
    ("KEYS",             2, READ,    NO_KEYS, "idempotent"),
    # MIGRATE: opens connections to any host, and stops the server meanwhile.
    ("MIGRATE",         -6, ADMIN,   keys(3, 3, 1, "migrate"), ""),
    ("MOVE",             3, WRITE,   KEY, ""),
    ("OBJECT",          -2, READ,    NO_KEYS, ""),
    ("OBJECT ENCODING",  3, READ,    SUB_KEY, "idempotent"),
    ("OBJECT FREQ",      3, READ,    SUB_KEY, "idempotent"),
    ("OBJECT HELP",      2, READ,    NO_KEYS, "idempotent"),
    ("OBJECT IDLETIME",  3, READ,    SUB_KEY, "idempotent"),
    ("OBJECT REFCOUNT",  3, READ,    SUB_KEY, "idempotent"),
    ("PERSIST",          2, WRITE,   KEY, ""),
    ("PEXPIRE",         -3, WRITE,   KEY, ""),
    ("PEXPIREAT",       -3, WRITE,   KEY, ""),
    ("PEXPIRETIME",      2, READ,    KEY, "idempotent"),
    ("PTTL",             2, READ,    KEY, "idempotent"),
    ("RANDOMKEY",        1, READ,    NO_KEYS, "idempotent"),
    ("RENAME",           3, WRITE,   TWO_KEYS, ""),
    ("RENAMENX",         3, WRITE,   TWO_KEYS, ""),
    ("RESTORE",         -4, WRITE,   KEY, ""),
    ("SCAN",            -2, READ,    NO_KEYS, "idempotent"),
    # SORT: the keys that BY and GET read come from the data: nobody can know them.
    ("SORT",            -2, WRITE,   keys(1, 1, 1, "sort"), "idempotent unless STORE"),
    ("SORT_RO",         -2, READ,    KEY, "idempotent"),
    ("TOUCH",           -2, READ,    KEYS, "idempotent"),
    ("TTL",              2, READ,    KEY, "idempotent"),
    ("TYPE",             2, READ,    KEY, "idempotent"),
    ("UNLINK",          -2, WRITE,   KEYS, ""),
    # WAIT: asks about its own connection: send a PING ahead, see above.
    ("WAIT",             3, CONTROL, NO_KEYS, "block timeout@2ms"),

    # Hashes. HSET answers "how many were new", so its second answer is wrong; HMSET answers OK.
    ("HDEL",         -3, WRITE, KEY, ""),
    ("HEXISTS",       3, READ,  KEY, "idempotent"),
    ("HGET",          3, READ,  KEY, "idempotent"),
    ("HGETALL",       2, READ,  KEY, "idempotent"),
    ("HINCRBY",       4, WRITE, KEY, ""),
    ("HINCRBYFLOAT",  4, WRITE, KEY, ""),
    ("HKEYS",         2, READ,  KEY, "idempotent"),
    ("HLEN",          2, READ,  KEY, "idempotent"),
    ("HMGET",        -3, READ,  KEY, "idempotent"),
    ("HMSET",        -4, WRITE, KEY, "idempotent"),
    ("HRANDFIELD",   -2, READ,  KEY, "idempotent"),
    ("HSCAN",        -3, READ,  KEY, "idempotent"),
    ("HSET",         -4, WRITE, KEY, ""),
    ("HSETNX",        4, WRITE, KEY, ""),
    ("HSTRLEN",       3, READ,  KEY, "idempotent"),
    ("HVALS",         2, READ,  KEY, "idempotent"),

    # Lists. LSET and LTRIM go by position: after a push in between they would hit another element.
    ("BLMOVE",      6, WRITE, TWO_KEYS, "block timeout@-1"),
    ("BLMPOP",     -5, WRITE, keys(rule="numkeys@2"), "block timeout@1"),
    ("BLPOP",      -3, WRITE, keys(1, -2, 1), "block timeout@-1"),
    ("BRPOP",      -3, WRITE, keys(1, -2, 1), "block timeout@-1"),
    ("BRPOPLPUSH",  4, WRITE, TWO_KEYS, "block timeout@-1"),
    ("LINDEX",      3, READ,  KEY, "idempotent"),
    ("LINSERT",     5, WRITE, KEY, ""),
    ("LLEN",        2, READ,  KEY, "idempotent"),
    ("LMOVE",       5, WRITE, TWO_KEYS, ""),
    ("LMPOP",      -4, WRITE, keys(rule="numkeys@1"), ""),
    ("LPOP",       -2, WRITE, KEY, ""),
    ("LPOS",       -3, READ,  KEY, "idempotent"),
    ("LPUSH",      -3, WRITE, KEY, ""),
    ("LPUSHX",     -3, WRITE, KEY, ""),
    ("LRANGE",      4, READ,  KEY, "idempotent"),
    ("LREM",        4, WRITE, KEY, ""),
    ("LSET",        4, WRITE, KEY, ""),
    ("LTRIM",       4, WRITE, KEY, ""),
    ("RPOP",       -2, WRITE, KEY, ""),
    ("RPOPLPUSH",   3, WRITE, TWO_KEYS, ""),
    ("RPUSH",      -3, WRITE, KEY, ""),
    ("RPUSHX",     -3, WRITE, KEY, ""),

    # Sets. A repeated SADD or SREM answers 0. A repeated ..STORE ends the same, even into one of its own sources.
    ("SADD",        -3, WRITE, KEY, ""),
    ("SCARD",        2, READ,  KEY, "idempotent"),
    ("SDIFF",       -2, READ,  KEYS, "idempotent"),
    ("SDIFFSTORE",  -3, WRITE, KEYS, "idempotent"),
    ("SINTER",      -2, READ,  KEYS, "idempotent"),
    ("SINTERCARD",  -3, READ,  keys(rule="numkeys@1"), "idempotent"),
    ("SINTERSTORE", -3, WRITE, KEYS, "idempotent"),
    ("SISMEMBER",    3, READ,  KEY, "idempotent"),
    ("SMEMBERS",     2, READ,  KEY, "idempotent"),
    ("SMISMEMBER",  -3, READ,  KEY, "idempotent"),
    ("SMOVE",        4, WRITE, TWO_KEYS, ""),
    ("SPOP",        -2, WRITE, KEY, ""),
    ("SRANDMEMBER", -2, READ,  KEY, "idempotent"),
    ("SREM",        -3, WRITE, KEY, ""),
    ("SSCAN",       -3, READ,  KEY, "idempotent"),
    ("SUNION",      -2, READ,  KEYS, "idempotent"),
    ("SUNIONSTORE", -3, WRITE, KEYS, "idempotent"),

    # Sorted sets. ZUNIONSTORE and ZINTERSTORE into one of their own sources would add its scores twice.
    ("BZMPOP",           -5, WRITE, keys(rule="numkeys@2"), "block timeout@1"),
    ("BZPOPMAX",         -3, WRITE, keys(1, -2, 1), "block timeout@-1"),
    ("BZPOPMIN",         -3, WRITE, keys(1, -2, 1), "block timeout@-1"),
    ("ZADD",             -4, WRITE, KEY, ""),
    ("ZCARD",             2, READ,  KEY, "idempotent"),
    ("ZCOUNT",            4, READ,  KEY, "idempotent"),
    ("ZDIFF",            -3, READ,  keys(rule="numkeys@1"), "idempotent"),
    ("ZDIFFSTORE",       -4, WRITE, keys(1, 1, 1, "numkeys@2"), "idempotent"),
    ("ZINCRBY",           4, WRITE, KEY, ""),
    ("ZINTER",           -3, READ,  keys(rule="numkeys@1"), "idempotent"),
    ("ZINTERCARD",       -3, READ,  keys(rule="numkeys@1"), "idempotent"),
    ("ZINTERSTORE",      -4, WRITE, keys(1, 1, 1, "numkeys@2"), ""),
    ("ZLEXCOUNT",         4, READ,  KEY, "idempotent"),
    ("ZMPOP",            -4, WRITE, keys(rule="numkeys@1"), ""),
    ("ZMSCORE",          -3, READ,  KEY, "idempotent"),
    ("ZPOPMAX",          -2, WRITE, KEY, ""),
    ("ZPOPMIN",          -2, WRITE, KEY, ""),
    ("ZRANDMEMBER",      -2, READ,  KEY, "idempotent"),
    ("ZRANGE",           -4, READ,  KEY, "idempotent"),
    ("ZRANGEBYLEX",      -4, READ,  KEY, "idempotent"),
    ("ZRANGEBYSCORE",    -4, READ,  KEY, "idempotent"),
    ("ZRANGESTORE",      -5, WRITE, TWO_KEYS, ""),
    ("ZRANK",             3, READ,  KEY, "idempotent"),
    ("ZREM",             -3, WRITE, KEY, ""),
    ("ZREMRANGEBYLEX",    4, WRITE, KEY, ""),
    ("ZREMRANGEBYRANK",   4, WRITE, KEY, ""),
    ("ZREMRANGEBYSCORE",  4, WRITE, KEY, ""),
    ("ZREVRANGE",        -4, READ,  KEY, "idempotent"),
    ("ZREVRANGEBYLEX",   -4, READ,  KEY, "idempotent"),
    ("ZREVRANGEBYSCORE", -4, READ,  KEY, "idempotent"),
    ("ZREVRANK",          3, READ,  KEY, "idempotent"),
    ("ZSCAN",            -3, READ,  KEY, "idempotent"),
    ("ZSCORE",            3, READ,  KEY, "idempotent"),
    ("ZUNION",           -3, READ,  keys(rule="numkeys@1"), "idempotent"),
    ("ZUNIONSTORE",      -4, WRITE, keys(1, 1, 1, "numkeys@2"), ""),

    # Streams
    ("XACK",                  -4, WRITE, KEY, ""),
    ("XADD",                  -5, WRITE, KEY, ""),
    ("XAUTOCLAIM",            -6, WRITE, KEY, ""),
    ("XCLAIM",                -6, WRITE, KEY, ""),
    ("XDEL",                  -3, WRITE, KEY, ""),
    ("XGROUP",                -2, WRITE, NO_KEYS, ""),
    ("XGROUP CREATE",         -5, WRITE, SUB_KEY, ""),
    ("XGROUP CREATECONSUMER",  5, WRITE, SUB_KEY, ""),
    ("XGROUP DELCONSUMER",     5, WRITE, SUB_KEY, ""),
    ("XGROUP DESTROY",         4, WRITE, SUB_KEY, ""),
    ("XGROUP HELP",            2, READ,  NO_KEYS, "idempotent"),
    ("XGROUP SETID",          -5, WRITE, SUB_KEY, ""),
    ("XINFO",                 -2, READ,  NO_KEYS, ""),
    ("XINFO CONSUMERS",        4, READ,  SUB_KEY, "idempotent"),
    ("XINFO GROUPS",           3, READ,  SUB_KEY, "idempotent"),
    ("XINFO HELP",             2, READ,  NO_KEYS, "idempotent"),
    ("XINFO STREAM",          -3, READ,  SUB_KEY, "idempotent"),
    ("XLEN",                   2, READ,  KEY, "idempotent"),
    ("XPENDING",              -3, READ,  KEY, "idempotent"),
    ("XRANGE",                -4, READ,  KEY, "idempotent"),
    # XREAD: XREAD and XREADGROUP block only if BLOCK is given.
    ("XREAD",                 -4, READ,  keys(rule="streams"), "maybe_block timeout@BLOCK idempotent"),
    ("XREADGROUP",            -7, WRITE, keys(rule="streams"), "maybe_block timeout@BLOCK"),
    ("XREVRANGE",             -4, READ,  KEY, "idempotent"),
    ("XSETID",                -3, WRITE, KEY, ""),
    ("XTRIM",                 -4, WRITE, KEY, ""),

    # Bitmaps. SETBIT answers the old bit; BITOP XOR and NOT into their own source flip it back.
    ("BITCOUNT",    -2, READ,  KEY, "idempotent"),
    ("BITFIELD",    -2, WRITE, KEY, ""),
    ("BITFIELD_RO", -2, READ,  KEY, "idempotent"),
    ("BITOP",       -4, WRITE, keys(2, -1, 1), ""),
    ("BITPOS",      -3, READ,  KEY, "idempotent"),
    ("GETBIT",       3, READ,  KEY, "idempotent"),
    ("SETBIT",       4, WRITE, KEY, ""),

    # HyperLogLog
    ("PFADD",      -2, WRITE, KEY, ""),
    ("PFCOUNT",    -2, READ,  KEYS, "idempotent"),
    ("PFDEBUG",     3, ADMIN, SUB_KEY, ""),
    ("PFMERGE",    -2, WRITE, KEYS, "idempotent"),
    ("PFSELFTEST",  1, ADMIN, NO_KEYS, ""),

    # Geo. GEORADIUS* without STORE is a read; the server calls it a write all the same.
    ("GEOADD",               -5, WRITE, KEY, ""),
    ("GEODIST",              -4, READ,  KEY, "idempotent"),
    ("GEOHASH",              -2, READ,  KEY, "idempotent"),
    ("GEOPOS",               -2, READ,  KEY, "idempotent"),
    ("GEORADIUS",            -6, WRITE, keys(1, 1, 1, "store"), "idempotent unless STORE STOREDIST"),
    ("GEORADIUSBYMEMBER",    -5, WRITE, keys(1, 1, 1, "store"), "idempotent unless STORE STOREDIST"),
    ("GEORADIUSBYMEMBER_RO", -5, READ,  KEY, "idempotent"),
    ("GEORADIUS_RO",         -6, READ,  KEY, "idempotent"),
    ("GEOSEARCH",            -7, READ,  KEY, "idempotent"),
    ("GEOSEARCHSTORE",       -8, WRITE, TWO_KEYS, ""),

    # Publish and subscribe. To subscribe is to read; to unsubscribe must always be possible.
    ("PSUBSCRIBE",           -2, READ,    NO_KEYS, "subscription"),
    ("PUBLISH",               3, WRITE,   NO_KEYS, ""),
    ("PUBSUB",               -2, READ,    NO_KEYS, ""),
    ("PUBSUB CHANNELS",      -2, READ,    NO_KEYS, "idempotent"),
    ("PUBSUB HELP",           2, READ,    NO_KEYS, "idempotent"),
    ("PUBSUB NUMPAT",         2, READ,    NO_KEYS, "idempotent"),
    ("PUBSUB NUMSUB",        -2, READ,    NO_KEYS, "idempotent"),
    ("PUBSUB SHARDCHANNELS", -2, READ,    NO_KEYS, "idempotent"),
    ("PUBSUB SHARDNUMSUB",   -2, READ,    NO_KEYS, "idempotent"),
    ("PUNSUBSCRIBE",         -1, CONTROL, NO_KEYS, "subscription"),
    ("SPUBLISH",              3, WRITE,   keys(1, 1, 1, "channels"), ""),
    ("SSUBSCRIBE",           -2, READ,    keys(1, -1, 1, "channels"), "subscription"),
    ("SUBSCRIBE",            -2, READ,    NO_KEYS, "subscription"),
    ("SUNSUBSCRIBE",         -1, CONTROL, keys(1, -1, 1, "channels"), "subscription"),
    ("UNSUBSCRIBE",          -1, CONTROL, NO_KEYS, "subscription"),

    # Transactions: pinned from WATCH or MULTI until EXEC, DISCARD or UNWATCH
    ("DISCARD",  1, CONTROL, NO_KEYS, "transaction"),
    ("EXEC",     1, CONTROL, NO_KEYS, "transaction"),
    ("MULTI",    1, CONTROL, NO_KEYS, "transaction"),
    ("UNWATCH",  1, CONTROL, NO_KEYS, "transaction"),
    ("WATCH",   -2, CONTROL, KEYS, "transaction"),

    # Scripts and functions. What a script does is unknown, so it writes, unless its command ends in _RO.
    ("EVAL",             -3, WRITE, keys(rule="numkeys@2"), ""),
    ("EVALSHA",          -3, WRITE, keys(rule="numkeys@2"), ""),
    ("EVALSHA_RO",       -3, READ,  keys(rule="numkeys@2"), "idempotent"),
    ("EVAL_RO",          -3, READ,  keys(rule="numkeys@2"), "idempotent"),
    ("FCALL",            -3, WRITE, keys(rule="numkeys@2"), ""),
    ("FCALL_RO",         -3, READ,  keys(rule="numkeys@2"), "idempotent"),
    ("FUNCTION",         -2, WRITE, NO_KEYS, ""),
    ("FUNCTION DELETE",   3, WRITE, NO_KEYS, ""),
    ("FUNCTION DUMP",     2, READ,  NO_KEYS, "idempotent"),
    ("FUNCTION FLUSH",   -2, WRITE, NO_KEYS, ""),
    ("FUNCTION HELP",     2, READ,  NO_KEYS, "idempotent"),
    ("FUNCTION KILL",     2, ADMIN, NO_KEYS, "alone"),  # on a lane it would wait behind the very function it must end
    ("FUNCTION LIST",    -2, READ,  NO_KEYS, "idempotent"),
    ("FUNCTION LOAD",    -3, WRITE, NO_KEYS, ""),
    ("FUNCTION RESTORE", -3, WRITE, NO_KEYS, ""),
    ("FUNCTION STATS",    2, READ,  NO_KEYS, "alone idempotent"),  # answered while a function runs
    ("SCRIPT",           -2, WRITE, NO_KEYS, ""),
    ("SCRIPT DEBUG",      3, ADMIN, NO_KEYS, "never"),  # turns the connection into a debugger
    ("SCRIPT EXISTS",    -3, READ,  NO_KEYS, "idempotent"),
    ("SCRIPT FLUSH",     -2, WRITE, NO_KEYS, ""),  # a repeat would drop what others loaded meanwhile
    ("SCRIPT HELP",       2, READ,  NO_KEYS, "idempotent"),
    ("SCRIPT KILL",       2, ADMIN, NO_KEYS, "alone"),  # as FUNCTION KILL
    ("SCRIPT LOAD",       3, WRITE, NO_KEYS, "idempotent"),  # answers the digest of the body

    # The server itself. Who changes it, changes it for every client: ADMIN, refused where the gateway would break.
    ("ACL",                     -2, ADMIN,   NO_KEYS, ""),
    ("ACL CAT",                 -2, READ,    NO_KEYS, "idempotent"),
    ("ACL DELUSER",             -3, ADMIN,   NO_KEYS, ""),
    ("ACL DRYRUN",              -4, ADMIN,   NO_KEYS, "idempotent"),
    ("ACL GENPASS",             -2, READ,    NO_KEYS, "idempotent"),  # a random number of the server, nothing is kept
    ("ACL GETUSER",              3, ADMIN,   NO_KEYS, "idempotent"),
    ("ACL HELP",                 2, READ,    NO_KEYS, "idempotent"),
    ("ACL LIST",                 2, ADMIN,   NO_KEYS, "idempotent"),
    ("ACL LOAD",                 2, ADMIN,   NO_KEYS, ""),
    ("ACL LOG",                 -2, ADMIN,   NO_KEYS, "idempotent unless RESET"),
    ("ACL SAVE",                 2, ADMIN,   NO_KEYS, ""),
    ("ACL SETUSER",             -3, ADMIN,   NO_KEYS, ""),
    ("ACL USERS",                2, ADMIN,   NO_KEYS, "idempotent"),
    ("ACL WHOAMI",               2, CONTROL, NO_KEYS, "answer"),  # upstream there is only the gateway's own user
    ("BGREWRITEAOF",             1, ADMIN,   NO_KEYS, ""),
    ("BGSAVE",                  -1, ADMIN,   NO_KEYS, ""),
    ("COMMAND",                 -1, READ,    NO_KEYS, "idempotent"),
    ("COMMAND COUNT",            2, READ,    NO_KEYS, "idempotent"),
    ("COMMAND DOCS",            -2, READ,    NO_KEYS, "idempotent"),
    ("COMMAND GETKEYS",         -4, READ,    NO_KEYS, "idempotent"),
    ("COMMAND GETKEYSANDFLAGS", -4, READ,    NO_KEYS, "idempotent"),
    ("COMMAND HELP",             2, READ,    NO_KEYS, "idempotent"),
    ("COMMAND INFO",            -2, READ,    NO_KEYS, "idempotent"),
    ("COMMAND LIST",            -2, READ,    NO_KEYS, "idempotent"),
    ("CONFIG",                  -2, ADMIN,   NO_KEYS, ""),
    ("CONFIG GET",              -3, ADMIN,   NO_KEYS, "idempotent"),
    ("CONFIG HELP",              2, READ,    NO_KEYS, "idempotent"),
    ("CONFIG RESETSTAT",         2, ADMIN,   NO_KEYS, ""),
    ("CONFIG REWRITE",           2, ADMIN,   NO_KEYS, ""),
    ("CONFIG SET",              -4, ADMIN,   NO_KEYS, ""),
    ("DBSIZE",                   1, READ,    NO_KEYS, "idempotent"),
    ("DEBUG",                   -2, ADMIN,   NO_KEYS, "alone refused"),  # any of it may crash, stall or confuse
    ("FAILOVER",                -1, ADMIN,   NO_KEYS, "refused"),
    ("FLUSHALL",                -1, WRITE,   NO_KEYS, ""),  # a repeat would drop what others wrote meanwhile
    ("FLUSHDB",                 -1, WRITE,   NO_KEYS, ""),  # as FLUSHALL
    ("INFO",                    -1, READ,    NO_KEYS, "idempotent"),
    ("LASTSAVE",                 1, READ,    NO_KEYS, "idempotent"),
    ("LATENCY",                 -2, ADMIN,   NO_KEYS, ""),
    ("LATENCY DOCTOR",           2, ADMIN,   NO_KEYS, "idempotent"),
    ("LATENCY GRAPH",            3, ADMIN,   NO_KEYS, "idempotent"),
    ("LATENCY HELP",             2, READ,    NO_KEYS, "idempotent"),
    ("LATENCY HISTOGRAM",       -2, ADMIN,   NO_KEYS, "idempotent"),
    ("LATENCY HISTORY",          3, ADMIN,   NO_KEYS, "idempotent"),
    ("LATENCY LATEST",           2, ADMIN,   NO_KEYS, "idempotent"),
    ("LATENCY RESET",           -2, ADMIN,   NO_KEYS, ""),
    ("LOLWUT",                  -1, READ,    NO_KEYS, "idempotent"),
    ("MEMORY",                  -2, ADMIN,   NO_KEYS, ""),
    ("MEMORY DOCTOR",            2, READ,    NO_KEYS, "idempotent"),
    ("MEMORY HELP",              2, READ,    NO_KEYS, "idempotent"),
    ("MEMORY MALLOC-STATS",      2, READ,    NO_KEYS, "idempotent"),
    ("MEMORY PURGE",             2, ADMIN,   NO_KEYS, ""),
    ("MEMORY STATS",             2, READ,    NO_KEYS, "idempotent"),
    ("MEMORY USAGE",            -3, READ,    SUB_KEY, "idempotent"),
    ("MODULE",                  -2, ADMIN,   NO_KEYS, ""),
    ("MODULE HELP",              2, READ,    NO_KEYS, "idempotent"),
    ("MODULE LIST",              2, ADMIN,   NO_KEYS, "idempotent"),
    ("MODULE LOAD",             -3, ADMIN,   NO_KEYS, "refused"),  # runs code in the server
    ("MODULE LOADEX",           -3, ADMIN,   NO_KEYS, "refused"),
    ("MODULE UNLOAD",            3, ADMIN,   NO_KEYS, "refused"),
    ("MONITOR",                  1, ADMIN,   NO_KEYS, "stream refused"),
    ("PSYNC",                   -3, ADMIN,   NO_KEYS, "never"),
    ("REPLCONF",                -1, ADMIN,   NO_KEYS, "never"),
    ("REPLICAOF",                3, ADMIN,   NO_KEYS, "refused"),
    ("RESTORE-ASKING",          -4, ADMIN,   KEY, "refused"),  # of the cluster's own migrations
    ("ROLE",                     1, READ,    NO_KEYS, "idempotent"),
    ("SAVE",                     1, ADMIN,   NO_KEYS, ""),
    ("SHUTDOWN",                -1, ADMIN,   NO_KEYS, "alone refused"),  # no reply if it succeeds
    ("SLAVEOF",                  3, ADMIN,   NO_KEYS, "refused"),
    ("SLOWLOG",                 -2, ADMIN,   NO_KEYS, ""),
    ("SLOWLOG GET",             -2, ADMIN,   NO_KEYS, "idempotent"),
    ("SLOWLOG HELP",             2, READ,    NO_KEYS, "idempotent"),
    ("SLOWLOG LEN",              2, ADMIN,   NO_KEYS, "idempotent"),
    ("SLOWLOG RESET",            2, ADMIN,   NO_KEYS, ""),
    ("SWAPDB",                   3, ADMIN,   NO_KEYS, ""),  # changes the database under every other session
    ("SYNC",                     1, ADMIN,   NO_KEYS, "never"),
    ("TIME",                     1, READ,    NO_KEYS, "idempotent"),

    # Cluster. A change would reach a node of the gateway's choosing: refused. The maps would lead clients around it.
    # ASKING: one-shot flag of the connection: the gateway writes its own, adjacent to its command.
    ("ASKING",                         1, CONTROL, NO_KEYS, "never"),
    ("CLUSTER",                       -2, ADMIN,   NO_KEYS, ""),
    ("CLUSTER ADDSLOTS",              -3, ADMIN,   NO_KEYS, "refused"),
    ("CLUSTER ADDSLOTSRANGE",         -4, ADMIN,   NO_KEYS, "refused"),
    ("CLUSTER BUMPEPOCH",              2, ADMIN,   NO_KEYS, "refused"),
    ("CLUSTER COUNT-FAILURE-REPORTS",  3, ADMIN,   NO_KEYS, "idempotent"),
    ("CLUSTER COUNTKEYSINSLOT",        3, READ,    NO_KEYS, "idempotent"),
    ("CLUSTER DELSLOTS",              -3, ADMIN,   NO_KEYS, "refused"),
    ("CLUSTER DELSLOTSRANGE",         -4, ADMIN,   NO_KEYS, "refused"),
    ("CLUSTER FAILOVER",              -2, ADMIN,   NO_KEYS, "refused"),
    ("CLUSTER FLUSHSLOTS",             2, ADMIN,   NO_KEYS, "refused"),
    ("CLUSTER FORGET",                 3, ADMIN,   NO_KEYS, "refused"),
    ("CLUSTER GETKEYSINSLOT",          4, READ,    NO_KEYS, "idempotent"),
    ("CLUSTER HELP",                   2, READ,    NO_KEYS, "idempotent"),
    ("CLUSTER INFO",                   2, READ,    NO_KEYS, "idempotent"),
    ("CLUSTER KEYSLOT",                3, READ,    NO_KEYS, "idempotent"),
    ("CLUSTER LINKS",                  2, READ,    NO_KEYS, "topology idempotent"),
    ("CLUSTER MEET",                  -4, ADMIN,   NO_KEYS, "refused"),
    ("CLUSTER MYID",                   2, READ,    NO_KEYS, "idempotent"),
    ("CLUSTER NODES",                  2, READ,    NO_KEYS, "topology idempotent"),
    ("CLUSTER REPLICAS",               3, READ,    NO_KEYS, "topology idempotent"),
    ("CLUSTER REPLICATE",              3, ADMIN,   NO_KEYS, "refused"),
    ("CLUSTER RESET",                 -2, ADMIN,   NO_KEYS, "refused"),
    ("CLUSTER SAVECONFIG",             2, ADMIN,   NO_KEYS, "refused"),
    ("CLUSTER SET-CONFIG-EPOCH",       3, ADMIN,   NO_KEYS, "refused"),
    ("CLUSTER SETSLOT",               -4, ADMIN,   NO_KEYS, "refused"),
    ("CLUSTER SHARDS",                 2, READ,    NO_KEYS, "topology idempotent"),
    ("CLUSTER SLAVES",                 3, READ,    NO_KEYS, "topology idempotent"),
    ("CLUSTER SLOTS",                  2, READ,    NO_KEYS, "topology idempotent"),
    # READONLY: flags of the connection; a standalone server answers that it is no cluster.
    ("READONLY",                       1, CONTROL, NO_KEYS, "topology"),
    ("READWRITE",                      1, CONTROL, NO_KEYS, "topology"),
]

# Younger than Redis 7.0.
NEWER_ROWS: Final[list[Row]] = [
    ("CLIENT NO-TOUCH",    3, CONTROL, NO_KEYS, "answer"),
    ("CLIENT SETINFO",     4, CONTROL, NO_KEYS, "answer"),
    ("CLUSTER MYSHARDID",  2, READ,    NO_KEYS, "idempotent"),
    ("WAITAOF",            4, CONTROL, NO_KEYS, "block timeout@3ms"),  # 7.2; as WAIT
    ("HEXPIRE",           -6, WRITE,   KEY, ""),
    ("HEXPIREAT",         -6, WRITE,   KEY, ""),
    ("HEXPIRETIME",       -5, READ,    KEY, "idempotent"),
    ("HPERSIST",          -5, WRITE,   KEY, ""),
    ("HPEXPIRE",          -6, WRITE,   KEY, ""),
    ("HPEXPIREAT",        -6, WRITE,   KEY, ""),
    ("HPEXPIRETIME",      -5, READ,    KEY, "idempotent"),
    ("HPTTL",             -5, READ,    KEY, "idempotent"),
    ("HTTL",              -5, READ,    KEY, "idempotent"),  # 7.4
    ("HGETDEL",           -5, WRITE,   KEY, ""),
    ("HGETEX",            -5, WRITE,   KEY, "idempotent unless EXAT PXAT"),
    ("HSETEX",            -6, WRITE,   KEY, "idempotent unless FNX FXX"),  # 8.0
]
# fmt: on
