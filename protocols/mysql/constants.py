"""The numbers of the MySQL protocol, under the names of its documentation.

https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html
"""

from __future__ import annotations

from typing import Final

# Capability flags.
CLIENT_LONG_PASSWORD: Final = 1 << 0  # MariaDB clears it to say that it has capabilities of its own
CLIENT_FOUND_ROWS: Final = 1 << 1
CLIENT_LONG_FLAG: Final = 1 << 2
CLIENT_CONNECT_WITH_DB: Final = 1 << 3
CLIENT_NO_SCHEMA: Final = 1 << 4
CLIENT_COMPRESS: Final = 1 << 5
CLIENT_ODBC: Final = 1 << 6
CLIENT_LOCAL_FILES: Final = 1 << 7
CLIENT_IGNORE_SPACE: Final = 1 << 8
CLIENT_PROTOCOL_41: Final = 1 << 9
CLIENT_INTERACTIVE: Final = 1 << 10
CLIENT_SSL: Final = 1 << 11
CLIENT_IGNORE_SIGPIPE: Final = 1 << 12
CLIENT_TRANSACTIONS: Final = 1 << 13
CLIENT_RESERVED: Final = 1 << 14
CLIENT_SECURE_CONNECTION: Final = 1 << 15
CLIENT_MULTI_STATEMENTS: Final = 1 << 16
CLIENT_MULTI_RESULTS: Final = 1 << 17
CLIENT_PS_MULTI_RESULTS: Final = 1 << 18
CLIENT_PLUGIN_AUTH: Final = 1 << 19
CLIENT_CONNECT_ATTRS: Final = 1 << 20
CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA: Final = 1 << 21
CLIENT_CAN_HANDLE_EXPIRED_PASSWORDS: Final = 1 << 22
CLIENT_SESSION_TRACK: Final = 1 << 23
CLIENT_DEPRECATE_EOF: Final = 1 << 24
# MariaDB's own, which have fields of their own in the handshake: here they stand above MySQL's 32 bits.
MARIADB_EXTENDED_METADATA: Final = 1 << 35  # columns tell more of their types: which are JSON

# Status flags of OK and EOF packets.
SERVER_STATUS_IN_TRANS: Final = 1 << 0
SERVER_STATUS_AUTOCOMMIT: Final = 1 << 1
SERVER_MORE_RESULTS_EXISTS: Final = 1 << 3
SERVER_STATUS_CURSOR_EXISTS: Final = 1 << 6
SERVER_STATUS_LAST_ROW_SENT: Final = 1 << 7
SERVER_STATUS_DB_DROPPED: Final = 1 << 8
SERVER_STATUS_NO_BACKSLASH_ESCAPES: Final = 1 << 9
SERVER_PS_OUT_PARAMS: Final = 1 << 12
SERVER_STATUS_IN_TRANS_READONLY: Final = 1 << 13
SERVER_SESSION_STATE_CHANGED: Final = 1 << 14
SERVER_STATUS_ANSI_QUOTES: Final = 1 << 15  # MariaDB

# Commands: the first byte of a client's packet.
COM_SLEEP: Final = 0x00
COM_QUIT: Final = 0x01
COM_INIT_DB: Final = 0x02
COM_QUERY: Final = 0x03
COM_FIELD_LIST: Final = 0x04
COM_CREATE_DB: Final = 0x05
COM_DROP_DB: Final = 0x06
COM_REFRESH: Final = 0x07
COM_SHUTDOWN: Final = 0x08
COM_STATISTICS: Final = 0x09
COM_PROCESS_INFO: Final = 0x0A
COM_CONNECT: Final = 0x0B
COM_PROCESS_KILL: Final = 0x0C
COM_DEBUG: Final = 0x0D
COM_PING: Final = 0x0E
COM_TIME: Final = 0x0F
COM_DELAYED_INSERT: Final = 0x10
COM_CHANGE_USER: Final = 0x11
COM_BINLOG_DUMP: Final = 0x12
COM_TABLE_DUMP: Final = 0x13
COM_CONNECT_OUT: Final = 0x14
COM_REGISTER_SLAVE: Final = 0x15
COM_STMT_PREPARE: Final = 0x16
COM_STMT_EXECUTE: Final = 0x17
COM_STMT_SEND_LONG_DATA: Final = 0x18
COM_STMT_CLOSE: Final = 0x19
COM_STMT_RESET: Final = 0x1A
COM_SET_OPTION: Final = 0x1B
COM_STMT_FETCH: Final = 0x1C
COM_DAEMON: Final = 0x1D
COM_BINLOG_DUMP_GTID: Final = 0x1E
COM_RESET_CONNECTION: Final = 0x1F

# First bytes of a server's packet.
OK_PACKET: Final = 0x00
AUTH_MORE_DATA: Final = 0x01
AUTH_NEXT_FACTOR: Final = 0x02
LOCAL_INFILE: Final = 0xFB
AUTH_SWITCH: Final = 0xFE
EOF_PACKET: Final = 0xFE
ERR_PACKET: Final = 0xFF

# What a session state change is about.
SESSION_TRACK_SYSTEM_VARIABLES: Final = 0
SESSION_TRACK_SCHEMA: Final = 1
SESSION_TRACK_STATE_CHANGE: Final = 2
SESSION_TRACK_GTIDS: Final = 3
SESSION_TRACK_TRANSACTION_CHARACTERISTICS: Final = 4
SESSION_TRACK_TRANSACTION_STATE: Final = 5

# Errors that the gateway says itself: number and SQLSTATE.
# https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html
ER_CON_COUNT: Final = (1040, "08004")
ER_HANDSHAKE: Final = (1043, "08S01")
ER_DBACCESS_DENIED: Final = (1044, "42000")
ER_ACCESS_DENIED: Final = (1045, "28000")
ER_UNKNOWN_COM: Final = (1047, "08S01")
ER_BAD_DB: Final = (1049, "42000")
ER_SERVER_SHUTDOWN: Final = (1053, "08S01")
ER_NO_SUCH_THREAD: Final = (1094, "HY000")
ER_UNKNOWN: Final = (1105, "HY000")
ER_NET_PACKET_TOO_LARGE: Final = (1153, "08S01")
ER_NET_PACKETS_OUT_OF_ORDER: Final = (1156, "08S01")
ER_USER_LIMIT_REACHED: Final = (1226, "42000")
ER_SPECIFIC_ACCESS_DENIED: Final = (1227, "42000")
ER_UNKNOWN_STMT: Final = (1243, "HY000")
ER_NOT_SUPPORTED_AUTH_MODE: Final = (1251, "08004")
ER_QUERY_INTERRUPTED: Final = (1317, "70100")
ER_MALFORMED_PACKET: Final = (1835, "HY000")
ER_QUERY_TIMEOUT: Final = (3024, "HY000")
CR_CONNECTION: Final = (2003, "08001")
ER_KILL_DENIED: Final = (1095, "HY000")
ER_MAX_PREPARED_STMT_COUNT_REACHED: Final = (1461, "42000")
ER_NOT_SUPPORTED_YET: Final = (1235, "42000")
CR_SERVER_LOST: Final = (2013, "08S01")

# Column types that the gateway's own result sets use.
TYPE_LONGLONG: Final = 0x08
TYPE_VAR_STRING: Final = 0xFD
BINARY_COLLATION: Final = 63
