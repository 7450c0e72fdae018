"""The health check for Argo CD in docs/operator.md, by a Lua of the version that Argo CD has, on statuses of ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa.lua51 import LuaRuntime

from sagamesh.log.registers import SagaKey
from sagamesh_operator.resource import Resource
from sagamesh_operator.sagas import standing
from sagamesh_operator.sagas.acceptance import NOT_CHECKED, Acceptance, judge
from sagamesh_operator.sagas.standing import NotDistributed, Readiness, Standing
from sagamesh_operator.sagas.status import status
from support.builders.documents import CHECKOUT

PAGE = (Path(__file__).parents[4] / "docs" / "operator.md").read_text()
GOOD = judge(yaml.safe_load(CHECKOUT))
REFUSED = Acceptance(documents={}, steps=1, reason="SM003", message="SM003 nobody emits this")
BROKEN = Acceptance(documents={}, steps=1, reason=NOT_CHECKED, message="a fault of ours")


def stands(*participants: Readiness, **more: Any) -> Standing:
    return Standing(active="0123456789", replicas=3, participants=participants, **more)


def problem(reason: str, *, lasting: bool) -> Standing:
    return stands(problem=NotDistributed(reason, f"it is {reason}", lasting))


def health(status: dict[str, Any] | None, generation: int = 7) -> tuple[str, str]:
    """What Argo CD shows of a Saga with this status."""
    [block] = [each for each in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "health.sagamesh.dev_Saga" in each]
    [(key, code)] = yaml.safe_load(block)["data"].items()
    assert key == "resource.customizations.health.sagamesh.dev_Saga"
    lua = LuaRuntime()
    document = {"metadata": {"name": "checkout", "generation": generation}} | (
        {} if status is None else {"status": status}
    )
    lua.globals().obj = lua.table_from(document, recursive=True)
    found = lua.execute(code)
    return found.status, found.message


def shown(acceptance: Acceptance, standing: Standing, generation: int = 7) -> tuple[str, str]:
    seen = Resource(key=SagaKey("shop", "a"), uid="u", generation=7, version="1", document={}, status={})
    return health(status(seen, acceptance, standing, 0.0), generation)


@pytest.mark.parametrize(
    ("acceptance", "standing", "word", "message"),
    [
        (GOOD, stands(Readiness("orders", 2, 2)), "Healthy", "every sidecar holds revision 0123456789"),
        (GOOD, stands(Readiness("orders", 2, 1)), "Progressing", "is not held yet by every sidecar of orders"),
        (GOOD, stands(Readiness("orders", 0, 0)), "Progressing", "no sidecar tells of itself at orders"),
        (REFUSED, stands(Readiness("orders", 2, 2)), "Degraded", "SM003 nobody emits this"),
        (BROKEN, stands(), "Degraded", "a fault of ours"),
        (GOOD, problem(standing.NATS_UNAVAILABLE, lasting=False), "Progressing", "it is NatsUnavailable"),
        (GOOD, problem(standing.NATS_REFUSED, lasting=True), "Degraded", "it is NatsRefused"),
        (GOOD, problem(standing.FOREIGN, lasting=True), "Degraded", "it is ForeignStream"),
        (GOOD, problem(standing.SIDECAR_TOO_OLD, lasting=True), "Degraded", "it is SidecarTooOld"),
    ],
)
def test_a_status_of_ours_is_shown_as_it_is(
    acceptance: Acceptance, standing: Standing, word: str, message: str
) -> None:
    assert shown(acceptance, standing)[0] == word
    assert message in shown(acceptance, standing)[1]


@pytest.mark.parametrize("given", [None, {}, {"conditions": []}])
def test_what_was_not_looked_at_is_under_way(given: dict[str, Any] | None) -> None:
    assert health(given) == ("Progressing", "the operator has not looked at it yet")


def test_a_status_of_before_a_change_says_nothing_of_it() -> None:
    well = stands(Readiness("orders", 1, 1))
    assert shown(GOOD, well, generation=8) == ("Progressing", "the operator has not looked at it yet")


def test_without_conditions_it_is_under_way() -> None:
    assert health({"observedGeneration": 7}) == ("Progressing", "")
