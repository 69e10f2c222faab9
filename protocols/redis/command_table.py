"""Every command of Redis 7.0 with its subcommands, one a line: a container stands before its subcommands.

The columns are name, arity, effect, keys and traits. Name, arity and the positions of the keys are what the server's
``COMMAND`` says (``tests/protocols/redis/test_commands.py`` compares them). The effect is its flags' word; where they
say nothing, or leave a client harm for all the others, it is ours.

Keys: ``-`` none, ``1`` the first argument, ``1..-2`` from the first to the last but one, ``1..-1/2`` every second one.
A rule finds those that no position can say, alone or behind a ``+``: ``commands.py`` lists them.

Traits, all optional:

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

It is a text because a list of 380 tuples would take the C compiler minutes.
"""

from __future__ import annotations

from typing import Final

REDIS_7_0: Final = """\
# Connection. What one session sets on a shared connection would show to every other: the gateway answers.
AUTH                           -2  control  -             answer
# CLIENT: an unknown subcommand may change the connection: never forwarded.
CLIENT                         -2  control  -             answer
CLIENT CACHING                  3  control  -             tracking
CLIENT GETNAME                  2  control  -             answer
CLIENT GETREDIR                 2  control  -             answer
CLIENT HELP                     2  control  -
CLIENT ID                       2  control  -             answer
CLIENT INFO                     2  control  -             answer
CLIENT KILL                    -3  admin    -             answer
CLIENT LIST                    -2  admin    -             answer
CLIENT NO-EVICT                 3  admin    -             answer
CLIENT PAUSE                   -3  admin    -  # stops every client of the server
# CLIENT REPLY: upstream it would silence a lane: every later reply would be someone else's.
CLIENT REPLY                    3  control  -             answer
CLIENT SETNAME                  3  control  -             answer
CLIENT TRACKING                -3  control  -             tracking
CLIENT TRACKINGINFO             2  control  -             answer
CLIENT UNBLOCK                 -3  admin    -             answer
CLIENT UNPAUSE                  2  admin    -             alone  # would wait for ever behind a paused write
ECHO                            2  control  -             idempotent
HELLO                          -1  control  -             answer
PING                           -1  control  -             idempotent
QUIT                           -1  control  -             answer
RESET                           1  control  -             answer
SELECT                          2  control  -             answer

# Strings
APPEND                          3  write    1
DECR                            2  write    1
DECRBY                          3  write    1
GET                             2  read     1             idempotent
GETDEL                          2  write    1
GETEX                          -2  write    1             idempotent unless EXAT PXAT  # a past time deletes it
GETRANGE                        4  read     1             idempotent
GETSET                          3  write    1
INCR                            2  write    1
INCRBY                          3  write    1
INCRBYFLOAT                     3  write    1
LCS                            -3  read     1..2          idempotent
MGET                           -2  read     1..-1         idempotent
MSET                           -3  write    1..-1/2       idempotent
MSETNX                         -3  write    1..-1/2
PSETEX                          4  write    1             idempotent
# SET: a repeated NX reports the lock it took as taken; XX may find it expired; IF.. are of 8.4.
SET                            -3  write    1             idempotent unless NX XX GET IFEQ IFNE IFDEQ IFDNE
SETEX                           4  write    1             idempotent
SETNX                           3  write    1
SETRANGE                        4  write    1             idempotent  # answers the new length
STRLEN                          2  read     1             idempotent
SUBSTR                          4  read     1             idempotent

# Keys of any type
COPY                           -3  write    1..2
DEL                            -2  write    1..-1
DUMP                            2  read     1             idempotent
EXISTS                         -2  read     1..-1         idempotent
EXPIRE                         -3  write    1  # NX, GT, LT and a time in the past answer 0 the second time
EXPIREAT                       -3  write    1
EXPIRETIME                      2  read     1             idempotent
KEYS                            2  read     -             idempotent
# MIGRATE: opens connections to any host, and stops the server meanwhile.
MIGRATE                        -6  admin    3+migrate
MOVE                            3  write    1
OBJECT                         -2  read     -
OBJECT ENCODING                 3  read     2             idempotent
OBJECT FREQ                     3  read     2             idempotent
OBJECT HELP                     2  read     -             idempotent
OBJECT IDLETIME                 3  read     2             idempotent
OBJECT REFCOUNT                 3  read     2             idempotent
PERSIST                         2  write    1
PEXPIRE                        -3  write    1
PEXPIREAT                      -3  write    1
PEXPIRETIME                     2  read     1             idempotent
PTTL                            2  read     1             idempotent
RANDOMKEY                       1  read     -             idempotent
RENAME                          3  write    1..2
RENAMENX                        3  write    1..2
RESTORE                        -4  write    1
SCAN                           -2  read     -             idempotent
# SORT: the keys that BY and GET read come from the data: nobody can know them.
SORT                           -2  write    1+sort        idempotent unless STORE
SORT_RO                        -2  read     1             idempotent
TOUCH                          -2  read     1..-1         idempotent
TTL                             2  read     1             idempotent
TYPE                            2  read     1             idempotent
UNLINK                         -2  write    1..-1
# WAIT: asks about its own connection: send a PING ahead, see above.
WAIT                            3  control  -             block timeout@2ms

# Hashes. HSET answers "how many were new", so its second answer is wrong; HMSET answers OK.
HDEL                           -3  write    1
HEXISTS                         3  read     1             idempotent
HGET                            3  read     1             idempotent
HGETALL                         2  read     1             idempotent
HINCRBY                         4  write    1
HINCRBYFLOAT                    4  write    1
HKEYS                           2  read     1             idempotent
HLEN                            2  read     1             idempotent
HMGET                          -3  read     1             idempotent
HMSET                          -4  write    1             idempotent
HRANDFIELD                     -2  read     1             idempotent
HSCAN                          -3  read     1             idempotent
HSET                           -4  write    1
HSETNX                          4  write    1
HSTRLEN                         3  read     1             idempotent
HVALS                           2  read     1             idempotent

# Lists. LSET and LTRIM go by position: after a push in between they would hit another element.
BLMOVE                          6  write    1..2          block timeout@-1
BLMPOP                         -5  write    numkeys@2     block timeout@1
BLPOP                          -3  write    1..-2         block timeout@-1
BRPOP                          -3  write    1..-2         block timeout@-1
BRPOPLPUSH                      4  write    1..2          block timeout@-1
LINDEX                          3  read     1             idempotent
LINSERT                         5  write    1
LLEN                            2  read     1             idempotent
LMOVE                           5  write    1..2
LMPOP                          -4  write    numkeys@1
LPOP                           -2  write    1
LPOS                           -3  read     1             idempotent
LPUSH                          -3  write    1
LPUSHX                         -3  write    1
LRANGE                          4  read     1             idempotent
LREM                            4  write    1
LSET                            4  write    1
LTRIM                           4  write    1
RPOP                           -2  write    1
RPOPLPUSH                       3  write    1..2
RPUSH                          -3  write    1
RPUSHX                         -3  write    1

# Sets. A repeated SADD or SREM answers 0. A repeated ..STORE ends the same, even into one of its own sources.
SADD                           -3  write    1
SCARD                           2  read     1             idempotent
SDIFF                          -2  read     1..-1         idempotent
SDIFFSTORE                     -3  write    1..-1         idempotent
SINTER                         -2  read     1..-1         idempotent
SINTERCARD                     -3  read     numkeys@1     idempotent
SINTERSTORE                    -3  write    1..-1         idempotent
SISMEMBER                       3  read     1             idempotent
SMEMBERS                        2  read     1             idempotent
SMISMEMBER                     -3  read     1             idempotent
SMOVE                           4  write    1..2
SPOP                           -2  write    1
SRANDMEMBER                    -2  read     1             idempotent
SREM                           -3  write    1
SSCAN                          -3  read     1             idempotent
SUNION                         -2  read     1..-1         idempotent
SUNIONSTORE                    -3  write    1..-1         idempotent

# Sorted sets. ZUNIONSTORE and ZINTERSTORE into one of their own sources would add its scores twice.
BZMPOP                         -5  write    numkeys@2     block timeout@1
BZPOPMAX                       -3  write    1..-2         block timeout@-1
BZPOPMIN                       -3  write    1..-2         block timeout@-1
ZADD                           -4  write    1
ZCARD                           2  read     1             idempotent
ZCOUNT                          4  read     1             idempotent
ZDIFF                          -3  read     numkeys@1     idempotent
ZDIFFSTORE                     -4  write    1+numkeys@2   idempotent
ZINCRBY                         4  write    1
ZINTER                         -3  read     numkeys@1     idempotent
ZINTERCARD                     -3  read     numkeys@1     idempotent
ZINTERSTORE                    -4  write    1+numkeys@2
ZLEXCOUNT                       4  read     1             idempotent
ZMPOP                          -4  write    numkeys@1
ZMSCORE                        -3  read     1             idempotent
ZPOPMAX                        -2  write    1
ZPOPMIN                        -2  write    1
ZRANDMEMBER                    -2  read     1             idempotent
ZRANGE                         -4  read     1             idempotent
ZRANGEBYLEX                    -4  read     1             idempotent
ZRANGEBYSCORE                  -4  read     1             idempotent
ZRANGESTORE                    -5  write    1..2
ZRANK                           3  read     1             idempotent
ZREM                           -3  write    1
ZREMRANGEBYLEX                  4  write    1
ZREMRANGEBYRANK                 4  write    1
ZREMRANGEBYSCORE                4  write    1
ZREVRANGE                      -4  read     1             idempotent
ZREVRANGEBYLEX                 -4  read     1             idempotent
ZREVRANGEBYSCORE               -4  read     1             idempotent
ZREVRANK                        3  read     1             idempotent
ZSCAN                          -3  read     1             idempotent
ZSCORE                          3  read     1             idempotent
ZUNION                         -3  read     numkeys@1     idempotent
ZUNIONSTORE                    -4  write    1+numkeys@2

# Streams
XACK                           -4  write    1
XADD                           -5  write    1
XAUTOCLAIM                     -6  write    1
XCLAIM                         -6  write    1
XDEL                           -3  write    1
XGROUP                         -2  write    -
XGROUP CREATE                  -5  write    2
XGROUP CREATECONSUMER           5  write    2
XGROUP DELCONSUMER              5  write    2
XGROUP DESTROY                  4  write    2
XGROUP HELP                     2  read     -             idempotent
XGROUP SETID                   -5  write    2
XINFO                          -2  read     -
XINFO CONSUMERS                 4  read     2             idempotent
XINFO GROUPS                    3  read     2             idempotent
XINFO HELP                      2  read     -             idempotent
XINFO STREAM                   -3  read     2             idempotent
XLEN                            2  read     1             idempotent
XPENDING                       -3  read     1             idempotent
XRANGE                         -4  read     1             idempotent
# XREAD: XREAD and XREADGROUP block only if BLOCK is given.
XREAD                          -4  read     streams       maybe_block timeout@BLOCK idempotent
XREADGROUP                     -7  write    streams       maybe_block timeout@BLOCK
XREVRANGE                      -4  read     1             idempotent
XSETID                         -3  write    1
XTRIM                          -4  write    1

# Bitmaps. SETBIT answers the old bit; BITOP XOR and NOT into their own source flip it back.
BITCOUNT                       -2  read     1             idempotent
BITFIELD                       -2  write    1
BITFIELD_RO                    -2  read     1             idempotent
BITOP                          -4  write    2..-1
BITPOS                         -3  read     1             idempotent
GETBIT                          3  read     1             idempotent
SETBIT                          4  write    1

# HyperLogLog
PFADD                          -2  write    1
PFCOUNT                        -2  read     1..-1         idempotent
PFDEBUG                         3  admin    2
PFMERGE                        -2  write    1..-1         idempotent
PFSELFTEST                      1  admin    -

# Geo. GEORADIUS* without STORE is a read; the server calls it a write all the same.
GEOADD                         -5  write    1
GEODIST                        -4  read     1             idempotent
GEOHASH                        -2  read     1             idempotent
GEOPOS                         -2  read     1             idempotent
GEORADIUS                      -6  write    1+store       idempotent unless STORE STOREDIST
GEORADIUSBYMEMBER              -5  write    1+store       idempotent unless STORE STOREDIST
GEORADIUSBYMEMBER_RO           -5  read     1             idempotent
GEORADIUS_RO                   -6  read     1             idempotent
GEOSEARCH                      -7  read     1             idempotent
GEOSEARCHSTORE                 -8  write    1..2

# Publish and subscribe. To subscribe is to read; to unsubscribe must always be possible.
PSUBSCRIBE                     -2  read     -             subscription
PUBLISH                         3  write    -
PUBSUB                         -2  read     -
PUBSUB CHANNELS                -2  read     -             idempotent
PUBSUB HELP                     2  read     -             idempotent
PUBSUB NUMPAT                   2  read     -             idempotent
PUBSUB NUMSUB                  -2  read     -             idempotent
PUBSUB SHARDCHANNELS           -2  read     -             idempotent
PUBSUB SHARDNUMSUB             -2  read     -             idempotent
PUNSUBSCRIBE                   -1  control  -             subscription
SPUBLISH                        3  write    1+channels
SSUBSCRIBE                     -2  read     1..-1+channels subscription
SUBSCRIBE                      -2  read     -             subscription
SUNSUBSCRIBE                   -1  control  1..-1+channels subscription
UNSUBSCRIBE                    -1  control  -             subscription

# Transactions: pinned from WATCH or MULTI until EXEC, DISCARD or UNWATCH
DISCARD                         1  control  -             transaction
EXEC                            1  control  -             transaction
MULTI                           1  control  -             transaction
UNWATCH                         1  control  -             transaction
WATCH                          -2  control  1..-1         transaction

# Scripts and functions. What a script does is unknown, so it writes, unless its command ends in _RO.
EVAL                           -3  write    numkeys@2
EVALSHA                        -3  write    numkeys@2
EVALSHA_RO                     -3  read     numkeys@2     idempotent
EVAL_RO                        -3  read     numkeys@2     idempotent
FCALL                          -3  write    numkeys@2
FCALL_RO                       -3  read     numkeys@2     idempotent
FUNCTION                       -2  write    -
FUNCTION DELETE                 3  write    -
FUNCTION DUMP                   2  read     -             idempotent
FUNCTION FLUSH                 -2  write    -
FUNCTION HELP                   2  read     -             idempotent
FUNCTION KILL                   2  admin    -             alone  # on a lane it would wait behind what it must end
FUNCTION LIST                  -2  read     -             idempotent
FUNCTION LOAD                  -3  write    -
FUNCTION RESTORE               -3  write    -
FUNCTION STATS                  2  read     -             alone idempotent  # answered while a function runs
SCRIPT                         -2  write    -
SCRIPT DEBUG                    3  admin    -             never  # turns the connection into a debugger
SCRIPT EXISTS                  -3  read     -             idempotent
SCRIPT FLUSH                   -2  write    -  # a repeat would drop what others loaded meanwhile
SCRIPT HELP                     2  read     -             idempotent
SCRIPT KILL                     2  admin    -             alone  # as FUNCTION KILL
SCRIPT LOAD                     3  write    -             idempotent  # answers the digest of the body

# The server itself. Who changes it, changes it for every client: ADMIN, refused where the gateway would break.
ACL                            -2  admin    -
ACL CAT                        -2  read     -             idempotent
ACL DELUSER                    -3  admin    -
ACL DRYRUN                     -4  admin    -             idempotent
ACL GENPASS                    -2  read     -             idempotent  # a random number of the server, nothing is kept
ACL GETUSER                     3  admin    -             idempotent
ACL HELP                        2  read     -             idempotent
ACL LIST                        2  admin    -             idempotent
ACL LOAD                        2  admin    -
ACL LOG                        -2  admin    -             idempotent unless RESET
ACL SAVE                        2  admin    -
ACL SETUSER                    -3  admin    -
ACL USERS                       2  admin    -             idempotent
ACL WHOAMI                      2  control  -             answer  # upstream there is only the gateway's own user
BGREWRITEAOF                    1  admin    -
BGSAVE                         -1  admin    -
COMMAND                        -1  read     -             idempotent
COMMAND COUNT                   2  read     -             idempotent
COMMAND DOCS                   -2  read     -             idempotent
COMMAND GETKEYS                -4  read     -             idempotent
COMMAND GETKEYSANDFLAGS        -4  read     -             idempotent
COMMAND HELP                    2  read     -             idempotent
COMMAND INFO                   -2  read     -             idempotent
COMMAND LIST                   -2  read     -             idempotent
CONFIG                         -2  admin    -
CONFIG GET                     -3  admin    -             idempotent
CONFIG HELP                     2  read     -             idempotent
CONFIG RESETSTAT                2  admin    -
CONFIG REWRITE                  2  admin    -
CONFIG SET                     -4  admin    -
DBSIZE                          1  read     -             idempotent
DEBUG                          -2  admin    -             alone refused  # any of it may crash, stall or confuse
FAILOVER                       -1  admin    -             refused
FLUSHALL                       -1  write    -  # a repeat would drop what others wrote meanwhile
FLUSHDB                        -1  write    -  # as FLUSHALL
INFO                           -1  read     -             idempotent
LASTSAVE                        1  read     -             idempotent
LATENCY                        -2  admin    -
LATENCY DOCTOR                  2  admin    -             idempotent
LATENCY GRAPH                   3  admin    -             idempotent
LATENCY HELP                    2  read     -             idempotent
LATENCY HISTOGRAM              -2  admin    -             idempotent
LATENCY HISTORY                 3  admin    -             idempotent
LATENCY LATEST                  2  admin    -             idempotent
LATENCY RESET                  -2  admin    -
LOLWUT                         -1  read     -             idempotent
MEMORY                         -2  admin    -
MEMORY DOCTOR                   2  read     -             idempotent
MEMORY HELP                     2  read     -             idempotent
MEMORY MALLOC-STATS             2  read     -             idempotent
MEMORY PURGE                    2  admin    -
MEMORY STATS                    2  read     -             idempotent
MEMORY USAGE                   -3  read     2             idempotent
MODULE                         -2  admin    -
MODULE HELP                     2  read     -             idempotent
MODULE LIST                     2  admin    -             idempotent
MODULE LOAD                    -3  admin    -             refused  # runs code in the server
MODULE LOADEX                  -3  admin    -             refused
MODULE UNLOAD                   3  admin    -             refused
MONITOR                         1  admin    -             stream refused
PSYNC                          -3  admin    -             never
REPLCONF                       -1  admin    -             never
REPLICAOF                       3  admin    -             refused
RESTORE-ASKING                 -4  admin    1             refused  # of the cluster's own migrations
ROLE                            1  read     -             idempotent
SAVE                            1  admin    -
SHUTDOWN                       -1  admin    -             alone refused  # no reply if it succeeds
SLAVEOF                         3  admin    -             refused
SLOWLOG                        -2  admin    -
SLOWLOG GET                    -2  admin    -             idempotent
SLOWLOG HELP                    2  read     -             idempotent
SLOWLOG LEN                     2  admin    -             idempotent
SLOWLOG RESET                   2  admin    -
SWAPDB                          3  admin    -  # changes the database under every other session
SYNC                            1  admin    -             never
TIME                            1  read     -             idempotent

# Cluster. A change would reach a node of the gateway's choosing: refused. The maps would lead clients around it.
# ASKING: one-shot flag of the connection: the gateway writes its own, adjacent to its command.
ASKING                          1  control  -             never
CLUSTER                        -2  admin    -
CLUSTER ADDSLOTS               -3  admin    -             refused
CLUSTER ADDSLOTSRANGE          -4  admin    -             refused
CLUSTER BUMPEPOCH               2  admin    -             refused
CLUSTER COUNT-FAILURE-REPORTS   3  admin    -             idempotent
CLUSTER COUNTKEYSINSLOT         3  read     -             idempotent
CLUSTER DELSLOTS               -3  admin    -             refused
CLUSTER DELSLOTSRANGE          -4  admin    -             refused
CLUSTER FAILOVER               -2  admin    -             refused
CLUSTER FLUSHSLOTS              2  admin    -             refused
CLUSTER FORGET                  3  admin    -             refused
CLUSTER GETKEYSINSLOT           4  read     -             idempotent
CLUSTER HELP                    2  read     -             idempotent
CLUSTER INFO                    2  read     -             idempotent
CLUSTER KEYSLOT                 3  read     -             idempotent
CLUSTER LINKS                   2  read     -             topology idempotent
CLUSTER MEET                   -4  admin    -             refused
CLUSTER MYID                    2  read     -             idempotent
CLUSTER NODES                   2  read     -             topology idempotent
CLUSTER REPLICAS                3  read     -             topology idempotent
CLUSTER REPLICATE               3  admin    -             refused
CLUSTER RESET                  -2  admin    -             refused
CLUSTER SAVECONFIG              2  admin    -             refused
CLUSTER SET-CONFIG-EPOCH        3  admin    -             refused
CLUSTER SETSLOT                -4  admin    -             refused
CLUSTER SHARDS                  2  read     -             topology idempotent
CLUSTER SLAVES                  3  read     -             topology idempotent
CLUSTER SLOTS                   2  read     -             topology idempotent
# READONLY: flags of the connection; a standalone server answers that it is no cluster.
READONLY                        1  control  -             topology
READWRITE                       1  control  -             topology
"""

NEWER: Final = """\
CLIENT NO-TOUCH                 3  control  -             answer
CLIENT SETINFO                  4  control  -             answer
CLUSTER MYSHARDID               2  read     -             idempotent
WAITAOF                         4  control  -             block timeout@3ms  # 7.2; as WAIT
HEXPIRE                        -6  write    1
HEXPIREAT                      -6  write    1
HEXPIRETIME                    -5  read     1             idempotent
HPERSIST                       -5  write    1
HPEXPIRE                       -6  write    1
HPEXPIREAT                     -6  write    1
HPEXPIRETIME                   -5  read     1             idempotent
HPTTL                          -5  read     1             idempotent
HTTL                           -5  read     1             idempotent  # 7.4
HGETDEL                        -5  write    1
HGETEX                         -5  write    1             idempotent unless EXAT PXAT
HSETEX                         -6  write    1             idempotent unless FNX FXX  # 8.0
"""
