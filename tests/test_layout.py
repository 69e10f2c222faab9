"""The sources as a whole: small files, and tests that do not hide the packages they test."""

from __future__ import annotations

from typing import Final

import pytest

from servers import ROOT

PACKAGES: Final = ("gateway", "policies", "pools", "protocols")
LONGEST: Final = 400
LONGER: Final = {
    "protocols/redis/command_table.py": "a table: one line for each command of Redis",
}
SOURCES: Final = sorted(str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_file_is_read_in_one_sitting(source: str) -> None:
    lines = (ROOT / source).read_text().count("\n")
    assert lines <= LONGEST or source in LONGER, f"{source} has {lines} lines, more than {LONGEST}: split it"


def test_longer_files_exist() -> None:
    assert set(LONGER) <= set(SOURCES)


def test_folders_of_tests_are_no_packages() -> None:
    # tests/protocols/__init__.py would hide protocols/ itself, as tests/ is on the path.
    assert not list((ROOT / "tests").rglob("__init__.py"))
