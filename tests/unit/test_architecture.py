"""docs/architecture.md: as short as it promises to be, and every row of its table leads to code and to a test."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from sagamesh_tools.decided import PAGE, ROOT, DecidedRow, rows
from sagamesh_tools.sabotage import function_of

TEXT = PAGE.read_text()
ROWS = rows(TEXT)
LONGEST = 150
FEWEST = 40
ASKED = (
    "Is a pivot retried?",
    "Who writes `_.abort`?",
    "What does the API server itself refuse?",
    "How does a rule change reach a sidecar?",
    "What happens when an ack is lost?",
    "How does a NATS permission error become readiness?",
    "How long until a retry?",
    "Who makes the idempotency key?",
    "When is an instance parked?",
    "What happens at preStop?",
    "When is a deleted saga's stream removed?",
    "Who says 409 to another payload?",
)


@cache
def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"architecture.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_short_and_answers_what_is_asked() -> None:
    assert len(TEXT.splitlines()) <= LONGEST
    assert len(ROWS) >= FEWEST
    questions = [row.question for row in ROWS]
    assert len(set(questions)) == len(questions)
    assert set(ASKED) <= set(questions)


def test_no_line_of_the_table_was_passed_over() -> None:
    table = TEXT[TEXT.index("## Where is it decided?") :]
    lines = [line for line in table.splitlines() if re.match(r"\| (?!---|question)", line)]
    assert len(lines) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.question)
def test_every_row_leads_to_a_function_and_to_a_test(row: DecidedRow) -> None:
    assert function_of(row.symbol)
    file, _, test = row.test.partition("::")
    assert callable(getattr(imported(ROOT / file), test))


@pytest.mark.parametrize(
    "symbol", ["sagamesh.nowhere:f", "sagamesh.durations:nothing", "sagamesh.durations", "sagamesh.log.registers:START"]
)
def test_what_is_no_function_is_told(symbol: str) -> None:
    with pytest.raises(LookupError, match=re.escape(symbol)):
        function_of(symbol)
