"""The table of collations: samples of what the servers' ``information_schema`` say, and its own order."""

from __future__ import annotations

import pytest

from protocols.mysql.collations import (
    UTF8MB4_GENERAL_CI,
    collation_by_name,
    collation_by_number,
    default_collation,
    handshake_byte,
)

# Of both, then of MySQL 8.0.30, then of MariaDB 10.11.
BOTH = """\
1 big5_chinese_ci big5
8 latin1_swedish_ci latin1
33 utf8mb3_general_ci utf8mb3
45 utf8mb4_general_ci utf8mb4
46 utf8mb4_bin utf8mb4
63 binary binary
83 utf8mb3_bin utf8mb3
99 cp1250_polish_ci cp1250
101 utf16_unicode_ci utf16
159 ucs2_general_mysql500_ci ucs2
183 utf32_vietnamese_ci utf32
192 utf8mb3_unicode_ci utf8mb3
223 utf8mb3_general_mysql500_ci utf8mb3
224 utf8mb4_unicode_ci utf8mb4
246 utf8mb4_unicode_520_ci utf8mb4
247 utf8mb4_vietnamese_ci utf8mb4
"""
MYSQL = """\
76 utf8mb3_tolower_ci utf8mb3
122 utf16_croatian_ci utf16
245 utf8mb4_croatian_ci utf8mb4
248 gb18030_chinese_ci gb18030
250 gb18030_unicode_520_ci gb18030
255 utf8mb4_0900_ai_ci utf8mb4
256 utf8mb4_de_pb_0900_ai_ci utf8mb4
277 utf8mb4_vi_0900_ai_ci utf8mb4
278 utf8mb4_0900_as_cs utf8mb4
300 utf8mb4_vi_0900_as_cs utf8mb4
304 utf8mb4_ja_0900_as_cs_ks utf8mb4
305 utf8mb4_0900_as_ci utf8mb4
306 utf8mb4_ru_0900_ai_ci utf8mb4
309 utf8mb4_0900_bin utf8mb4
323 utf8mb4_mn_cyrl_0900_as_cs utf8mb4
"""
MARIADB = """\
122 utf16_croatian_mysql561_ci utf16
245 utf8mb4_croatian_mysql561_ci utf8mb4
576 utf8mb3_croatian_ci utf8mb3
610 utf8mb4_thai_520_w2 utf8mb4
1025 big5_chinese_nopad_ci big5
1070 utf8mb4_nopad_bin utf8mb4
1270 utf8mb4_unicode_520_nopad_ci utf8mb4
2048 utf8mb3_uca1400_ai_ci utf8mb3
2215 utf8mb3_uca1400_german2_nopad_as_cs utf8mb3
2304 utf8mb4_uca1400_ai_ci utf8mb4
2488 utf8mb4_uca1400_vietnamese_ai_ci utf8mb4
2503 utf8mb4_uca1400_croatian_nopad_as_cs utf8mb4
2560 ucs2_uca1400_ai_ci ucs2
2816 utf16_uca1400_ai_ci utf16
3271 utf32_uca1400_croatian_nopad_as_cs utf32
"""


def rows(text: str) -> list[tuple[int, str, str]]:
    """Number, name and character set."""
    return [(int(number), name, charset) for number, name, charset in map(str.split, text.splitlines())]


@pytest.mark.parametrize(
    ("mariadb", "row"),
    [(mariadb, row) for mariadb in (False, True) for row in rows(BOTH + (MARIADB if mariadb else MYSQL))],
)
def test_a_collation_by_number_and_by_name(mariadb: bool, row: tuple[int, str, str]) -> None:
    number, name, charset = row
    for found in (collation_by_number(number, mariadb), collation_by_name(name, mariadb)):
        assert found is not None
        assert (found.number, found.name, found.charset) == (number, name, charset)


@pytest.mark.parametrize(("mariadb", "count"), [(False, 286), (True, 1242)])
def test_there_are_as_many_as_in_the_server(mariadb: bool, count: int) -> None:
    found = [one for number in range(4096) if (one := collation_by_number(number, mariadb)) is not None]
    assert len(found) == len({one.name for one in found}) == count
    for one in found:
        assert one.name == one.charset or one.name.startswith(f"{one.charset}_")
        assert collation_by_name(one.name, mariadb) is one


def test_what_the_other_server_has_is_unknown() -> None:
    assert collation_by_number(255, True) is None
    assert collation_by_number(2304, False) is None
    assert collation_by_name("utf8mb4_0900_ai_ci", True) is None
    assert collation_by_name("nonsense", False) is None
    assert collation_by_number(0, False) is None


def test_older_servers_names() -> None:
    found = collation_by_name("UTF8_general_ci", False)
    assert found is not None
    assert found.number == 33


@pytest.mark.parametrize(
    ("charset", "mariadb", "release", "name"),
    [
        ("utf8mb4", False, (5, 7), "utf8mb4_general_ci"),
        ("utf8mb4", False, (8, 0), "utf8mb4_0900_ai_ci"),
        ("utf8mb4", False, (9, 1), "utf8mb4_0900_ai_ci"),
        ("utf8mb4", True, (10, 11), "utf8mb4_general_ci"),
        ("UTF8", True, (10, 11), "utf8mb3_general_ci"),
        ("utf8mb4", True, (11, 5), "utf8mb4_uca1400_ai_ci"),
        ("utf16", True, (11, 8), "utf16_uca1400_ai_ci"),
        ("utf16le", True, (11, 8), "utf16le_general_ci"),
        ("latin1", False, (8, 0), "latin1_swedish_ci"),
        ("gb18030", False, (8, 0), "gb18030_chinese_ci"),
        ("utf8mb3", False, (8, 0), "utf8mb3_general_ci"),
        ("binary", True, (10, 11), "binary"),
    ],
)
def test_the_default_of_a_character_set(charset: str, mariadb: bool, release: tuple[int, int], name: str) -> None:
    found = default_collation(charset, mariadb, release)
    assert found is not None
    assert found.name == name


def test_an_unknown_character_set_has_no_default() -> None:
    assert default_collation("klingon", False, (8, 0)) is None
    assert default_collation("utf8mb4_bin", False, (8, 0)) is None
    assert default_collation("gb18030", True, (10, 11)) is None


def test_a_handshake_has_one_byte() -> None:
    assert [handshake_byte(number) for number in (0, 1, 255, 256, 2304)] == [45, 1, 255, 45, 45]
    assert UTF8MB4_GENERAL_CI == 45
