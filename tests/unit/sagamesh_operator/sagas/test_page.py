"""docs/operator.md says what the code does: conditions and settings."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from itertools import product
from pathlib import Path

from sagamesh.environment import variable
from sagamesh_operator.sagas import acceptance, standing, status
from sagamesh_operator.sagas.acceptance import Acceptance, judge
from sagamesh_operator.sagas.standing import NotDistributed, Readiness, Standing
from sagamesh_operator.sagas.status import conditions
from sagamesh_operator.settings import OperatorSettings

PAGE = (Path(__file__).parents[4] / "docs" / "operator.md").read_text()
CODES = "codes, as in `SM003,SM007`"
GOOD = judge(
    {
        "apiVersion": "sagamesh.dev/v1alpha1",
        "kind": "Saga",
        "metadata": {"name": "checkout", "namespace": "shop"},
        "spec": {
            "start": {"participant": "orders", "event": "go"},
            "steps": [{"name": "a", "participant": "p", "after": ["go"], "pivot": True, "action": {"path": "/a"}}],
        },
    }
)
REASONS = (acceptance.UNREADABLE, acceptance.TOO_EXPENSIVE, acceptance.NOT_CHECKED)
ACCEPTANCES = [
    GOOD,
    *(Acceptance(documents={}, steps=0, reason=why, message="") for why in (CODES, *REASONS)),
]
LASTING = {
    standing.NATS_UNAVAILABLE: False,
    standing.NATS_REFUSED: True,
    standing.FOREIGN: True,
    standing.SIDECAR_TOO_OLD: True,
}
PROBLEMS = [None, *(NotDistributed(reason, "", lasting) for reason, lasting in LASTING.items())]
SIDECARS = [(0, 0), (1, 0), (1, 1)]


def rows(section: str) -> list[tuple[str, ...]]:
    """The table of a section, without its head."""
    text = re.split(rf"^## {section}$", PAGE, flags=re.MULTILINE)[1].partition("\n## ")[0]
    return [tuple(cell.strip() for cell in row.split("|")[1:-1]) for row in re.findall(r"^\|.*", text, re.MULTILINE)][
        2:
    ]


def bare(cell: str) -> str:
    return cell.replace("`", "")


def test_every_condition_with_every_status_and_reason() -> None:
    told = {
        (each.kind, each.status, each.reason)
        for judged, problem, (live, synced) in product(ACCEPTANCES, PROBLEMS, SIDECARS)
        if judged.documents or problem is None
        for each in conditions(judged, Standing(problem=problem, participants=(Readiness("p", live, synced),)))
    }
    page = [(bare(kind), state, why if why == CODES else bare(why)) for kind, state, why, _ in rows("Conditions")]
    assert sorted(page) == sorted(told)


def test_every_word_of_the_status_is_there() -> None:
    names = {**vars(status), **vars(standing)}
    words = {value for name, value in names.items() if name.isupper() and isinstance(value, str)}
    page = {bare(cell) for row in rows("Conditions") for cell in (row[0], row[2])} - {bare(CODES)}
    assert page == words | set(REASONS)


def test_every_setting_and_its_default() -> None:
    known = [
        (variable(field.name), "" if field.default is MISSING else str(field.default))
        for field in fields(OperatorSettings)
    ]
    assert [(bare(name), bare(default)) for name, default, _ in rows("Settings")] == known
