"""What a line says of a register, whatever is known of it."""

from __future__ import annotations

import pytest

from sagamesh.log.line_fields import fields_of

SUBJECT = "saga.shop.checkout.o-1.book.end"
START = "saga.shop.checkout.o-1._.start"
PLACE = {"saga": "checkout", "instance": "o-1"}
HEADERS = {"saga-origin": "r-1;7;1.0;rev;pod;a", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
WHOLE = {**PLACE, "run": "r-1", "trace_id": "a" * 32}


def test_the_step_is_the_one_that_is_named_else_the_register_s_own() -> None:
    assert fields_of(SUBJECT, HEADERS) == {**WHOLE, "step": "book", "subject": SUBJECT}
    assert fields_of(SUBJECT, HEADERS, "pay") == {**WHOLE, "step": "pay", "subject": SUBJECT}


def test_what_belongs_to_the_saga_as_a_whole_is_of_no_step() -> None:
    assert fields_of(START, HEADERS) == {**WHOLE, "subject": START}
    assert fields_of(START, HEADERS, "pay") == {**WHOLE, "step": "pay", "subject": START}


@pytest.mark.parametrize("headers", [{}, {"saga-origin": "", "traceparent": "none"}])
def test_what_was_not_said_is_left_out(headers: dict[str, str]) -> None:
    assert fields_of(START, headers) == {**PLACE, "subject": START}


def test_of_a_run_that_is_none_there_is_no_more_than_of_a_reason() -> None:
    assert len(fields_of(START, {"saga-origin": "x" * 9000})["run"]) == 500


def test_what_is_no_register_has_its_subject_alone() -> None:
    assert fields_of("$KV.a.b", HEADERS) == {"subject": "$KV.a.b"}
