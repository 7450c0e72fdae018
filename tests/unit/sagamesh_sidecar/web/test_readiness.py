"""Readiness: what each part says, and which of it comes first."""

from __future__ import annotations

from typing import Any

import pytest

from sagamesh_sidecar.web.readiness import unready, unstarted

WELL = {"closed": "", "connected": True, "locked_out": "", "refused": "", "loaded": True, "unserved": ()}
WRONG = {
    "closed": ("draining", "draining"),
    "connected": (False, "NATS does not answer"),
    "refused": ("PUB saga.x", "NATS refuses what a sidecar needs; PUB saga.x"),
    "loaded": (False, "the rules were not read yet"),
    "unserved": (
        ("refund", "checkout"),
        "the steps of checkout, refund wait: the sidecar was given no app to call; "
        "set SAGAMESH_APP, or annotate the pod with sagamesh.dev/app-port",
    ),
}
"""What can be wrong, and what is said of it, the first of them first."""


def test_when_all_is_well_nothing_is_said() -> None:
    assert unready(**WELL) == ""


@pytest.mark.parametrize("fact", WRONG)
def test_each_thing_alone_is_a_reason(fact: str) -> None:
    value, said = WRONG[fact]
    assert unready(**{**WELL, fact: value}) == said


def test_of_several_the_first_is_told() -> None:
    facts: dict[str, Any] = {fact: value for fact, (value, _) in WRONG.items()}
    for fact, (_, said) in WRONG.items():
        assert unready(**{**WELL, **facts}) == said
        del facts[fact]


def test_a_login_that_is_not_taken_says_why_nats_does_not_answer() -> None:
    # F47: by /readyz
    assert unready(**{**WELL, "connected": False, "locked_out": "the token has expired"}) == "the token has expired"


def test_started_is_bound() -> None:
    assert unstarted(bound=True) == ""
    assert unstarted(bound=False) == "the API is not bound yet"
