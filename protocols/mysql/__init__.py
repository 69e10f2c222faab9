"""MySQL and MariaDB, client/server protocol 4.1 (dev.mysql.com/doc/dev/mysql-server, mariadb.com/kb: protocol)."""
