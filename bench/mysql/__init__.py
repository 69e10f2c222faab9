"""The benchmark before a MariaDB."""
