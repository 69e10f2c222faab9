"""What drivers rely on, found by running their own tests through the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymysql.constants import CLIENT, COMMAND, SERVER_STATUS
from pymysql.err import ProgrammingError

from mysql_gateway import MysqlGateway
from mysql_servers import MariaDBServer

UPSTREAM = {"user": "app", "password": "s3cret"}


@pytest.fixture
def gateway(mariadb_server: MariaDBServer) -> Iterator[MysqlGateway]:
    """One connection for all."""
    with MysqlGateway([mariadb_server.address], upstream=UPSTREAM, pool={"max_connections": 1}) as gateway:
        yield gateway


def query(client: Any, sql: str) -> Any:
    with client.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def allow_multi_statements(client: Any, allowed: bool) -> None:
    client._execute_command(COMMAND.COM_SET_OPTION, b"\0\0" if allowed else b"\1\0")
    client._read_packet()


def test_answers_of_the_gateway_say_how_text_is_escaped(gateway: MysqlGateway) -> None:
    sql = "SET sql_mode='NO_BACKSLASH_ESCAPES'"
    for _ in range(2):  # the server answers the first one, the gateway the second
        client: Any
        with gateway.client() as client:
            query(client, sql)
            assert client.server_status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES
            client.ping()
            assert client.escape("it's") == "'it''s'"
            query(client, "SET sql_mode=''")
            client.ping()
            assert client.escape("it's") == r"'it\'s'"


@pytest.mark.parametrize("pinned", [False, True])
def test_multi_statements_are_allowed_when_they_are_and_to_nobody_else(gateway: MysqlGateway, pinned: bool) -> None:
    with gateway.client() as client, gateway.client() as other:
        if pinned:
            query(client, "BEGIN")  # PHP's multi_query allows them in the midst of a transaction
        with pytest.raises(ProgrammingError):
            query(client, "SELECT 1; SELECT 2")
        allow_multi_statements(client, True)
        assert query(client, "SELECT 1; SELECT 2") == ((1,),)
        query(client, "COMMIT")
        with pytest.raises(ProgrammingError):
            query(other, "SELECT 1; SELECT 2")
        if pinned:
            query(client, "BEGIN")
        assert query(client, "SELECT 3; SELECT 4") == ((3,),)
        allow_multi_statements(client, False)
        with pytest.raises(ProgrammingError):
            query(client, "SELECT 1; SELECT 2")


def test_spaces_are_ignored_for_those_who_want_that(gateway: MysqlGateway) -> None:
    spaced = "SELECT COUNT (*), @@sql_mode"
    for dirt in ("DO 0", "SET @a = NOW()", "SET sql_mode = 'ANSI'", "CREATE TEMPORARY TABLE test.dirt (a INT)"):
        with gateway.client(client_flag=CLIENT.IGNORE_SPACE) as client:
            assert "IGNORE_SPACE,STRICT_TRANS_TABLES" in query(client, spaced)[0][1]
            query(client, dirt)  # for some of these, what it leaves is reset
        with gateway.client() as client, pytest.raises(ProgrammingError):
            query(client, spaced)
    with gateway.client(client_flag=CLIENT.IGNORE_SPACE) as client:
        query(client, "SET sql_mode = DEFAULT")
        with pytest.raises(ProgrammingError):
            query(client, spaced)


def test_a_server_whose_own_mode_changes_what_text_means() -> None:
    modes = {"sql-mode": "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"}
    with MariaDBServer(users={"app": "s3cret"}, options=modes) as mariadb:
        with MysqlGateway([mariadb.address], upstream=UPSTREAM, pool={"max_connections": 2}) as gateway:
            for flag in (0, CLIENT.IGNORE_SPACE, CLIENT.MULTI_STATEMENTS):
                client: Any
                with gateway.client(client_flag=flag) as client:
                    assert client.escape("it's") == "'it''s'", "a backslash would not keep the text together"
                    query(client, "SET sql_mode = ''")
                    client.ping()
                    assert client.escape("it's") == r"'it\'s'"
                    query(client, "SET sql_mode = DEFAULT")
                    client.ping()
                    assert client.escape("it's") == "'it''s'"
                    assert gateway.pin(client) == ""
            with gateway.client(client_flag=CLIENT.MULTI_STATEMENTS) as client:
                query(client, r"SELECT '\'; CREATE TEMPORARY TABLE test.mine (a INT); SELECT ''")
                assert gateway.pin(client) == "temporary table"
                query(client, r"""SELECT 1 AS "a\"; SELECT GET_LOCK('x', 0) AS "b" """)
                assert "GET_LOCK()" in str(gateway.sessions())
