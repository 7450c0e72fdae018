"""docs/faults.md promises nothing that no test asserts: its words stand above the assertions that hold them.

In a test, a comment such as `# F13: is noticed within 20 s` quotes its row, above the line that asserts it; a quote may
go on in the next line of the comment. What rests on the protocol is quoted by the page itself, behind the conversation
or the mutant that holds it. What no quote covers, but connecting words and what stands in italics, fails here. That an
assertion holds what it is said to hold is for readers to judge: this keeps page and tests from drifting apart.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from simulation.mutants import MUTANTS

ROOT = Path(__file__).parents[2]
TESTS = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)}
CONVERSATIONS = {path.stem for path in (ROOT / "tests" / "conversations").glob("*.txt")}
QUOTE = re.compile(r"^ *# (F\d+): (.+(?:\n *# (?!F\d+: ).+)*)(?=\n(?: *# .+\n)* *(.*))", re.MULTILINE)
ASSERTS = re.compile(r"(assert\w*|await|(async )?with|while)\b")
"""What a line begins with that fails, or waits until it fails, where something is not so."""
NEEDS_NO_QUOTE = {"and", "but", "or", "so", "that"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """`promise`: what happens, without explanations. `quotes`: those of the page, for what rests on the protocol."""

    fault: str
    covered: bool
    promise: str
    tests: frozenset[str]
    conversations: frozenset[str]
    mutants: frozenset[str]
    quotes: tuple[str, ...]


class Quote(NamedTuple):
    path: Path
    function: str
    fault: str
    words: str
    asserted: str


def _rows() -> Iterator[Row]:
    page = (ROOT / "docs" / "faults.md").read_text()
    for fault, happens, shown in re.findall(r"^\| (F\d+) \| .+? \| (.+?) \| (.+?) \|$", page, re.MULTILINE):
        yield Row(
            fault=fault,
            covered=not happens.startswith("Not covered yet: "),
            promise=re.sub(r"(?<![\w`])\*[A-Z(][^*`]+\*", "", happens),
            tests=frozenset(re.findall(r"`(test_\w+)`", shown)),
            conversations=frozenset(re.findall(r"conversation `([^`]+)`", shown)),
            mutants=frozenset(re.findall(r"mutant `([^`]+)`", shown)),
            quotes=tuple(re.findall(r'"([^"]+)"', shown)),
        )


def _quotes() -> Iterator[Quote]:
    for path, text in TESTS.items():
        if not re.search(r"# F\d+: ", text):
            continue
        tops = [node for node in ast.parse(text).body if hasattr(node, "name")]
        for found in QUOTE.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            around = [node.name for node in tops if node.lineno <= line <= (node.end_lineno or 0)]
            words = re.sub(r"\n *# ", " ", found[2])
            yield Quote(path, around[0] if around else "", found[1], words, found[3])


ROWS = {row.fault: row for row in _rows()}
QUOTES = tuple(_quotes())
NAMES = {path: set(re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE)) for path, text in TESTS.items()}


def test_every_fault_has_a_row() -> None:
    assert list(ROWS) == [f"F{number}" for number in range(1, 63)]


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.fault)
def test_what_a_row_names_is_there(row: Row) -> None:
    assert row.tests <= set().union(*NAMES.values())
    assert row.conversations <= CONVERSATIONS
    assert row.mutants <= {mutant.name for mutant in MUTANTS}
    assert bool(row.tests) == row.covered, "a test, or why there is none"


@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.covered], ids=lambda row: row.fault)
def test_every_word_of_a_promise_is_asserted(row: Row) -> None:
    held = [quote.words for quote in QUOTES if quote.fault == row.fault] + [*row.quotes]
    covered: set[int] = set()
    for words in held:
        found = [*re.finditer(rf"(?<!\w){re.escape(words)}(?!\w)", row.promise)]
        assert found, f"this is not what {row.fault} promises: {words}"
        covered.update(*(range(*one.span()) for one in found))
    left = "".join(" " if at in covered else letter for at, letter in enumerate(row.promise))
    assert set(re.findall(r"\w+", left)) <= NEEDS_NO_QUOTE, f"nobody asserts this of {row.fault}: {left}"


@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.covered], ids=lambda row: row.fault)
def test_each_test_that_a_row_names_quotes_it(row: Row) -> None:
    quotes = [quote for quote in QUOTES if quote.fault == row.fault]
    quoting = {quote.function for quote in quotes}
    helped = {name for quote in quotes if not quote.function.startswith("test_") for name in NAMES[quote.path]}
    assert row.tests <= quoting | helped


@pytest.mark.parametrize("quote", QUOTES, ids=lambda quote: f"{quote.fault}: {quote.words}"[:60])
def test_a_quote_stands_above_an_assertion_in_a_test_that_its_row_names(quote: Quote) -> None:
    named = ROWS[quote.fault].tests
    assert ASSERTS.match(quote.asserted), quote.asserted
    if quote.function.startswith("test_"):
        assert quote.function in named
    else:
        assert named & NAMES[quote.path], "a helper of tests that are not named"
