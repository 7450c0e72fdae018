"""What people write who think in another language, and the hint that they get."""

from __future__ import annotations

import pytest

from sagamesh.errors import ExpressionError
from sagamesh.language.cel import slips
from sagamesh.language.cel.expressions import Place, compile_expression


def message(source: str, place: Place = Place.WHEN) -> str:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source, place)
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("event.data.a and event.data.b", "1:14: mismatched input 'and' expecting <EOF>; write && for and"),
        ("event.data.a or event.data.b", "1:14: mismatched input 'or' expecting <EOF>; write || for or"),
        ("not event.data.a", "1:5: mismatched input 'event' expecting <EOF>; write ! for not"),
        ("(not event.data.a)", "1:6: mismatched input 'event' expecting ')'; write ! for not"),
        ("not(event.data.a)", "1:4: undeclared reference to 'not'; write ! for not"),
        ("event.data.a is null", "1:14: mismatched input 'is' expecting <EOF>; write == for is"),
        ("event.data.a == True", "1:17: undeclared reference to 'True'; write true for True"),
        ("event.data.a == False", "1:17: undeclared reference to 'False'; write false for False"),
        ("event.data.a == None", "1:17: undeclared reference to 'None'; write null for None"),
        ("event.data.a &\n event.data.b", "1:14: token recognition error at: '&\\n'; write && for &"),
        ("event.data.a | event.data.b", "1:14: token recognition error at: '| '; write || for |"),
    ],
)
def test_words_and_operators_of_other_languages(source: str, hint: str) -> None:
    assert message(source) == hint


@pytest.mark.parametrize("operator", ["=", "===", "<>", "=>", "=<", "=!"])
def test_how_to_compare(operator: str) -> None:
    for source in (f"event.data.a {operator} 1.0", f"event.data.a{operator}1.0"):
        assert message(source).endswith("; compare by ==, !=, <, <=, > or >=")


@pytest.mark.parametrize("operator", ["==", "!=", "<", "<=", ">", ">=", "&&", "||"])
def test_what_is_right_is_not_hinted_at(operator: str) -> None:
    assert slips.of_syntax(f"event.data.a {operator} event.data.b)") == ()


def test_every_slip_is_hinted_at_once() -> None:
    assert slips.of_syntax("a and b and not c = 1") == (
        "write && for and",
        "write ! for not",
        "compare by ==, !=, <, <=, > or >=",
    )


@pytest.mark.parametrize(
    "source",
    [
        "event.data.a == 'this and = that",
        "event.data.a == 'this and = that' )",
        'event.data.a == "not \\" or" )',
        "event.data.and == event.data.or )",
        "android == notice )",
    ],
)
def test_in_text_and_in_names_words_are_words(source: str) -> None:
    assert ";" not in message(source)
    assert slips.of_syntax(source) == ()


def test_text_in_quotes_ends_a_word() -> None:
    assert slips.of_syntax("event.data.a in'b'and true") == ("write && for and",)


@pytest.mark.parametrize("source", ["cause.reason", "cause.reason.detail", 'cause["reason"]', "has(cause.reason)"])
def test_the_cause_is_a_string(source: str) -> None:
    found = message(f'{{"why": {source}}}', Place.COMPENSATION_BODY)
    assert found.split(": ", 1)[1] == "cause is the reason itself, a string"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("event.id.x == ''", "1:9: event.id is of type string, and has no fields"),
        ("true &&\n has( saga.name.x )", "2:5: saga.name is of type string, and has no fields"),
        ("response.status.code == 2", "1:16: response.status is of type int, and has no fields"),
        ("(true).x", "1:7: this is of type bool, and has no fields"),
    ],
)
def test_what_has_no_fields(source: str, told: str) -> None:
    assert message(source, Place.EMIT) == told


def test_a_name_that_nobody_has_is_told_with_those_that_there_are() -> None:
    assert message("order.x == 1").startswith(
        "1:6: undeclared reference to 'order.x'; the variables here are event.id,"
    )
