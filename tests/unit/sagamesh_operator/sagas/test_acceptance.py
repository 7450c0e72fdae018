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
    acceptance = judge(yaml.safe_load(CHECKOUT))
    assert (acceptance.reason, acceptance.message, acceptance.steps) == ("Accepted", "", 4)
    assert list(acceptance.documents) == ["orders", "customers", "inventory", "payments", "shipping"]
    assert re.fullmatch("[0-9a-f]{10}", acceptance.revision)


def test_all_codes_are_the_reason_and_all_findings_the_message() -> None:
    document = changed("after: [payment.charged]", "after: [payment.chraged, payment.charged, payment.charged]")
    acceptance = judge(document | {"metadata": {"name": "checkout", "namespace": "shop"}})
    assert acceptance.documents == {}
    assert acceptance.revision == ""
    assert acceptance.reason == "SM003,SM006"
    assert (
        "SM003 error at spec.steps[3].after[0]: nobody announces 'payment.chraged'; did you mean" in acceptance.message
    )


def test_a_warning_refuses_nothing() -> None:
    acceptance = judge(changed("action: {path: /shipments}", "action: {path: /shipments}\n      readOnly: true"))
    assert acceptance.documents
    assert acceptance.reason == "Accepted"
    assert acceptance.message.startswith("SM010 warning at spec.steps[3].readOnly")


@pytest.mark.parametrize("document", [{}, {"spec": None}, {"spec": {"steps": [1, None, "x"]}}, {"spec": [[]]}])
def test_what_is_no_saga_is_refused_as_well(document: dict[str, object]) -> None:
    acceptance = judge(document)
    assert (acceptance.reason, acceptance.documents) == ("Unreadable", {})
    assert acceptance.message
