"""A document in, what it means out: whatever it holds."""

from __future__ import annotations

import re

import pytest
import yaml

from sagamesh_operator.sagas.acceptance import judge
from support.builders.documents import CHECKOUT


def changed(old: str, new: str) -> dict[str, object]:
    assert old in CHECKOUT
    found: dict[str, object] = yaml.safe_load(CHECKOUT.replace(old, new))
    return found


def test_a_good_saga_is_projected() -> None:
    verdict = judge(yaml.safe_load(CHECKOUT))
    assert (verdict.reason, verdict.message, verdict.steps) == ("Accepted", "", 4)
    assert list(verdict.documents) == ["orders", "customers", "inventory", "payments", "shipping"]
    assert re.fullmatch("[0-9a-f]{10}", verdict.revision)


def test_all_codes_are_the_reason_and_all_findings_the_message() -> None:
    document = changed("on: [payment.charged]", "on: [payment.chraged]")
    verdict = judge(document | {"metadata": {"name": "checkout", "namespace": "shop"}})
    assert verdict.documents == {}
    assert verdict.revision == ""
    assert verdict.reason == "SM003,SM007", "nothing leads to it, so that it is not after the pivot"
    assert "SM003 error at spec.steps[3].on[0]: nobody announces 'payment.chraged'; did you mean" in verdict.message


def test_a_warning_refuses_nothing() -> None:
    verdict = judge(changed("action: {path: /shipments}", "action: {path: /shipments}\n      readOnly: true"))
    assert verdict.documents
    assert verdict.reason == "Accepted"
    assert verdict.message.startswith("SM010 warning at spec.steps[3].readOnly")


@pytest.mark.parametrize("document", [{}, {"spec": None}, {"spec": {"steps": [1, None, "x"]}}, {"spec": [[]]}])
def test_what_is_no_saga_is_refused_as_well(document: dict[str, object]) -> None:
    verdict = judge(document)
    assert (verdict.reason, verdict.documents) == ("Unreadable", {})
    assert verdict.message
