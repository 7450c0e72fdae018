"""docs/faults.md names every fault of the catalogue, and only tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = re.findall(r"^\| F(\d+) \| (.+?) \| (.+?) \| (.+?) \|$", (ROOT / "docs" / "faults.md").read_text(), re.MULTILINE)
TESTS = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
NAMES = {name for text in TESTS.values() for name in re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE)}


def test_every_fault_has_a_row() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, 63))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"row-{row[0]}")
def test_each_is_shown_by_tests_that_there_are_or_says_why_not(row: tuple[str, ...]) -> None:
    number, _, happens, shown = row
    named = re.findall(r"`(test_\w+)`", shown)
    files = re.findall(r"`(test_\w+\.py)`", shown)
    chosen = re.findall(r"`pytest -k (f\d+)`", shown)
    assert set(named) <= NAMES
    assert set(files) <= {path.name for path in TESTS}
    assert all(any(re.search(rf"_{key}_", name) for name in NAMES) for key in chosen)
    assert named or files or chosen or happens.startswith("Not covered yet: "), f"F{number} has neither test nor reason"
