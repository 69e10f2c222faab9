"""Collations: their numbers, names and character sets, as MySQL 5.7..9 and MariaDB 10..11 have them.

The numbers come from the servers' own ``information_schema`` (MySQL 8.0.30, MariaDB 10.11). Both agree on them below
255, but for five Croatian ones that have other names in MariaDB. What follows a rule is made by that rule; the rest is
a text, because a list of a thousand tuples would take the C compiler minutes.
"""

from __future__ import annotations

from typing import Final, final

UTF8MB4_GENERAL_CI: Final = 45

# A character set, then numbers and names without its name; the first is its default.
_BASIC: Final = """\
armscii8 32 general_ci 64 bin
ascii 11 general_ci 65 bin
big5 1 chinese_ci 84 bin
cp1250 26 general_ci 34 czech_cs 44 croatian_ci 66 bin 99 polish_ci
cp1251 51 general_ci 14 bulgarian_ci 23 ukrainian_ci 50 bin 52 general_cs
cp1256 57 general_ci 67 bin
cp1257 59 general_ci 29 lithuanian_ci 58 bin
cp850 4 general_ci 80 bin
cp852 40 general_ci 81 bin
cp866 36 general_ci 68 bin
cp932 95 japanese_ci 96 bin
dec8 3 swedish_ci 69 bin
eucjpms 97 japanese_ci 98 bin
euckr 19 korean_ci 85 bin
gb2312 24 chinese_ci 86 bin
gbk 28 chinese_ci 87 bin
geostd8 92 general_ci 93 bin
greek 25 general_ci 70 bin
hebrew 16 general_ci 71 bin
hp8 6 english_ci 72 bin
keybcs2 37 general_ci 73 bin
koi8r 7 general_ci 74 bin
koi8u 22 general_ci 75 bin
latin1 8 swedish_ci 5 german1_ci 15 danish_ci 31 german2_ci 47 bin 48 general_ci 49 general_cs 94 spanish_ci
latin2 9 general_ci 2 czech_cs 21 hungarian_ci 27 croatian_ci 77 bin
latin5 30 turkish_ci 78 bin
latin7 41 general_ci 20 estonian_cs 42 general_cs 79 bin
macce 38 general_ci 43 bin
macroman 39 general_ci 53 bin
sjis 13 japanese_ci 88 bin
swe7 10 swedish_ci 82 bin
tis620 18 thai_ci 89 bin
ucs2 35 general_ci 90 bin 159 general_mysql500_ci
ujis 12 japanese_ci 91 bin
utf16 54 general_ci 55 bin
utf16le 56 general_ci 62 bin
utf32 60 general_ci 61 bin
utf8mb3 33 general_ci 83 bin 223 general_mysql500_ci
utf8mb4 45 general_ci 46 bin
"""

# The same of what only MySQL has. Its utf8mb4_0900_ai_ci and its kin follow below.
_MYSQL_ONLY: Final = """\
gb18030 248 chinese_ci 249 bin 250 unicode_520_ci
utf8mb3 76 tolower_ci
utf8mb4 303 ja_0900_as_cs 304 ja_0900_as_cs_ks 305 0900_as_ci 308 zh_0900_as_cs 309 0900_bin
"""
# Languages of utf8mb4_<language>_0900_ai_ci, from 255 on, and of its _as_cs, 23 behind it. "-": there is none.
_0900: Final = ". de_pb is lv ro sl pl et es sv tr cs da lt sk es_trad la - eo hu hr - vi"
# These came later: _ai_ci and _as_cs in turn.
_0900_LATER: Final = {"ru": 306, "nb": 310, "nn": 312, "sr_latn": 314, "bs": 316, "bg": 318, "gl": 320, "mn_cyrl": 322}

# The collations of Unicode's algorithm, in one order for each of these character sets: where it begins, where what
# MariaDB added begins, and where its <charset>_uca1400_<language> begin, eight for each language.
_UNICODE: Final = {
    "utf8mb3": (192, 576, 2048),
    "utf8mb4": (224, 608, 2304),
    "ucs2": (128, 640, 2560),
    "utf16": (101, 672, 2816),
    "utf32": (160, 736, 3072),
}
_LANGUAGES: Final = (
    "unicode icelandic latvian romanian slovenian polish estonian spanish swedish turkish czech danish lithuanian "
    "slovak spanish2 roman persian esperanto hungarian sinhala german2 croatian unicode_520 vietnamese"
)
_UCA1400: Final = _LANGUAGES.replace("unicode ", ". ").replace("croatian unicode_520", "- -") + " croatian"
_UCA1400_FORMS: Final = "ai_ci ai_cs as_ci as_cs nopad_ai_ci nopad_ai_cs nopad_as_ci nopad_as_cs"
_NOPAD: Final = 1024  # MariaDB: the number of a collation that does not pad, from that of the one that does


@final
class Collation:
    """How one character set compares."""

    __slots__ = ("charset", "name", "number")

    def __init__(self, number: int, charset: str, rest: str) -> None:
        self.number: Final = number
        self.charset: Final = charset
        self.name: Final = f"{charset}_{rest}" if rest else charset


def _listed(text: str) -> list[Collation]:
    found: list[Collation] = []
    for line in text.splitlines():
        charset, *words = line.split()
        found += [Collation(int(words[i]), charset, words[i + 1]) for i in range(0, len(words), 2)]
    return found


def _unicode(mariadb: bool) -> list[Collation]:
    found: list[Collation] = []
    for charset, (base, _, _) in _UNICODE.items():
        for i, language in enumerate(_LANGUAGES.split()):
            old = "_mysql561" if mariadb and language == "croatian" else ""
            found.append(Collation(base + i, charset, f"{language}{old}_ci"))
    return found


def _mysql() -> list[Collation]:
    found = _listed(_BASIC) + _listed(_MYSQL_ONLY) + _unicode(False)
    pairs = {language: (255 + i, 278 + i) for i, language in enumerate(_0900.split())}
    pairs |= {language: (number, number + 1) for language, number in _0900_LATER.items()}
    for language, (insensitive, sensitive) in pairs.items():
        if language != "-":
            stem = "0900" if language == "." else f"{language}_0900"
            found.append(Collation(insensitive, "utf8mb4", f"{stem}_ai_ci"))
            found.append(Collation(sensitive, "utf8mb4", f"{stem}_as_cs"))
    return found


def _mariadb() -> list[Collation]:
    found = _listed(_BASIC) + _unicode(True)
    for one in list(found):
        stem, _, ending = one.name.removeprefix(f"{one.charset}_").rpartition("_")
        default = one.name == _DEFAULTS.get(one.charset)
        if default or ending == "bin" or stem == "unicode" or stem == "unicode_520":
            found.append(Collation(one.number + _NOPAD, one.charset, f"{stem}_nopad_{ending}".removeprefix("_")))
    for charset, (_, more, uca1400) in _UNICODE.items():
        for i, rest in enumerate(("croatian_ci", "myanmar_ci", "thai_520_w2")):
            found.append(Collation(more + i, charset, rest))
        for i, language in enumerate(_UCA1400.split()):
            stem = "uca1400" if language == "." else f"uca1400_{language}"
            if language != "-":
                for form, rest in enumerate(_UCA1400_FORMS.split()):
                    found.append(Collation(uca1400 + i * 8 + form, charset, f"{stem}_{rest}"))
    return found


_BINARY: Final = Collation(63, "binary", "")
# What both have goes last, and wins.
_DEFAULTS: Final = {one[0]: f"{one[0]}_{one[2]}" for one in map(str.split, (_MYSQL_ONLY + _BASIC).splitlines())}
_DEFAULTS["binary"] = "binary"
_BY_NUMBER: Final = {
    mariadb: {one.number: one for one in [_BINARY, *(_mariadb() if mariadb else _mysql())]} for mariadb in (False, True)
}
_BY_NAME: Final = {mariadb: {one.name: one for one in table.values()} for mariadb, table in _BY_NUMBER.items()}


def _modern(name: str) -> str:
    """Lower case, and utf8mb3 where older servers say utf8."""
    name = name.lower()
    return name.replace("utf8", "utf8mb3", 1) if name == "utf8" or name.startswith("utf8_") else name


def collation_by_number(number: int, mariadb: bool) -> Collation | None:
    """The collation that a handshake or a column names by its number."""
    return _BY_NUMBER[mariadb].get(number)


def collation_by_name(name: str, mariadb: bool) -> Collation | None:
    """The collation of this name; ``utf8_...`` is ``utf8mb3_...``, as older servers call it."""
    return _BY_NAME[mariadb].get(_modern(name))


def default_collation(charset: str, mariadb: bool, release: tuple[int, int]) -> Collation | None:
    """What a server of this release takes for a character set, unless it was configured otherwise."""
    charset = _modern(charset)
    if mariadb and charset in _UNICODE and release >= (11, 5):
        return _BY_NAME[mariadb].get(f"{charset}_uca1400_ai_ci")
    if not mariadb and charset == "utf8mb4" and release >= (8, 0):
        return _BY_NAME[mariadb].get("utf8mb4_0900_ai_ci")
    return _BY_NAME[mariadb].get(_DEFAULTS.get(charset, ""))


def handshake_byte(number: int) -> int:
    """A collation as the handshake says it, in one byte; beyond that, utf8mb4 as every server has it."""
    return number if 0 < number < 256 else UTF8MB4_GENERAL_CI
