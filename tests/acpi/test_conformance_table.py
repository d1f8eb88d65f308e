"""The conformance table in docs/HOTPLUG.md lists the rules that the tests of this folder check, no fewer and no others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acpi.conformance import BOARDS, FAILS, HOLDS, NOT_RUN, Rule, documented, markdown

Table = dict[str, list[str]]
REPOSITORY = Path(__file__).parents[2]


def parsed(text: str) -> Table:
    """Rows by rule; what is not a row of a table is passed over."""
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in text.splitlines() if line.startswith("|")]
    return {row[0]: row for row in rows[2:]}


@pytest.fixture(scope="module")
def collected() -> Table:
    command = [sys.executable, "-m", "pytest", "-m", "spec", "--collect-only", "-qq", "tests/acpi"]
    return parsed(subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout)


@pytest.fixture(scope="module")
def table() -> Table:
    return parsed(documented())


def test_the_table_has_every_rule_and_no_other(collected, table):
    assert list(table) == list(collected)


def test_the_table_says_what_the_rules_say(collected, table):
    assert [row[:3] for row in table.values()] == [row[:3] for row in collected.values()]


def test_the_table_has_a_result_for_every_board_that_a_rule_applies_to(collected, table):
    assert {id: [bool(cell) for cell in row] for id, row in table.items()} == {
        id: [bool(cell) for cell in row] for id, row in collected.items()
    }


def test_every_rule_applies_to_one_of_our_own_boards_and_holds_there(table):
    assert not [id for id, row in table.items() if HOLDS not in row[3:6] or NOT_RUN in row[3:6]]


def test_no_rule_fails_in_the_table(table):
    assert not [id for id, row in table.items() if FAILS in row]


def test_a_rule_that_fails_anywhere_is_shown_as_failing():
    rule = Rule("some.rule", "a sentence", "ACPI")
    for result in (HOLDS, FAILS, HOLDS, NOT_RUN):
        rule.add("ged", result)
    assert parsed(markdown([rule])) == {"some.rule": ["some.rule", "a sentence", "ACPI", "", "", FAILS, "", "", "", ""]}
    assert len(rule.row) == 3 + len(BOARDS)
