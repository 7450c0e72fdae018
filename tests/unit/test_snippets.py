"""What every snippet of docs/participants.md says, also those that `tests/participants` does not run."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest

from support.processes.snippets import PAGE, SNIPPETS, blocks

LANGUAGES = {"FastAPI": "python", "Express": "js", "Spring": "java", "Go": "go", ".NET": "csharp"}
SAID = re.search(r"Those for (.*) are\srun by tests, on PostgreSQL; the one for (.*) is not", PAGE)


def section(name: str) -> str:
    return re.split(rf"^## {re.escape(name)}$", PAGE, flags=re.MULTILINE)[1].partition("\n## ")[0]


@pytest.mark.parametrize("name", LANGUAGES)
def test_it_has_the_three_statements_and_a_410(name: str) -> None:
    text = "\n".join(blocks(name, LANGUAGES[name]))
    for statement in (
        "INSERT INTO answers (step, kind) VALUES",
        "ON CONFLICT DO NOTHING",
        "UPDATE answers SET status = ",
    ):
        assert statement in text
    assert "SELECT status, body FROM answers WHERE step = " in text
    assert "410" in text or "StatusGone" in text


@pytest.mark.parametrize("name", LANGUAGES)
def test_it_has_the_time_outs_of_the_database(name: str) -> None:
    text = unquote(section(name))
    assert "lock_timeout=2s" in text
    assert "idle_in_transaction_session_timeout=10s" in text


def test_the_page_says_which_of_them_are_run() -> None:
    assert SAID
    run, text = (re.split(r", | and ", names) for names in SAID.groups())
    assert run == list(SNIPPETS)
    assert sorted(run + text) == sorted(LANGUAGES)
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE)[1:6] == list(LANGUAGES)
