"""Numbers of JSON beside literals, counts and text: the table of `docs/language.md`, and any number."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import product
from operator import add, eq, ge, gt, le, lt, mul, ne, sub, truediv
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sagamesh.errors import EvaluationError, ExpressionError
from sagamesh.language.cel.expressions import Place, compile_expression

OPERATORS = {"+": add, "-": sub, "*": mul, "/": truediv}
COMPARED = {"==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
PAGE = (
    (Path(__file__).parents[5] / "docs" / "language.md")
    .read_text()
    .partition("### Numbers\n")[2]
    .partition("\n### ")[0]
)
ROWS = re.findall(r"^\| `(.+?)` \| `(\{.*\})` \| (\w+: )?`(.+)` \|$", PAGE, re.MULTILINE)


def evaluate(source: str, data: object) -> Any:
    return compile_expression(f"{{'x': {source}}}", Place.BODY)({"event.data": data})["x"]


def expected_text(number: float) -> str:
    """Its digits, as few as say which number it is; an exponent only where a fraction begins with many zeros."""
    if number == int(number):
        return str(int(number))
    return repr(number) if abs(number) < 1e-4 else format(Decimal(repr(number)), "f")


def outcome(source: str, data: bytes) -> tuple[str, str]:
    """What comes out, as the page says it."""
    try:
        return "", msgspec.json.encode(evaluate(source, msgspec.json.decode(data))).decode()
    except ExpressionError as error:
        return "check: ", str(error)
    except EvaluationError as error:
        return "fails: ", str(error).partition("}: ")[2]


def test_every_line_of_the_table_is_read() -> None:
    assert len(ROWS) == PAGE.count("\n| `") > 70


@pytest.mark.parametrize(("source", "data", "how", "told"), ROWS, ids=[f"{row[0]} of {row[1]}" for row in ROWS])
def test_what_the_page_says_of_numbers(source: str, data: str, how: str, told: str) -> None:
    came, what = outcome(source, data.encode())
    assert came == how
    assert told in what if how else told == what


# -- what is known to be a number ----------------------------------------------------------------------------------

KNOWN = {"size(event.data.items)": 3, "7": 7, "1.5": 1.5, "double(event.data.two)": 2.0, "2u": 2}
UNLIKE = [
    (one, two) for one, two in product(KNOWN, KNOWN) if isinstance(KNOWN[one], float) != isinstance(KNOWN[two], float)
]


@pytest.mark.parametrize(("one", "two"), UNLIKE)
def test_a_whole_number_and_a_double_meet_wherever_they_stand(one: str, two: str) -> None:
    data = {"items": [1, 2, 3], "two": 2, "yes": True}
    for operator, function in {**OPERATORS, **COMPARED}.items():
        assert evaluate(f"{one} {operator} {two}", data) == function(KNOWN[one], KNOWN[two])
    assert evaluate(f"[event.data.yes ? {one} : {two}, event.data.yes ? {two} : {one}]", data) == [
        KNOWN[one],
        KNOWN[two],
    ]
    assert evaluate(f"(event.data.yes ? {one} : {two}) * 1.5", data) == KNOWN[one] * 1.5


@pytest.mark.parametrize("one", KNOWN)
def test_a_number_and_text_make_text(one: str) -> None:
    written = expected_text(KNOWN[one])
    data = {"items": [1, 2, 3], "two": 2}
    assert evaluate(f'[string({one}), "a" + {one}, {one} + "a"]', data) == [written, f"a{written}", f"{written}a"]


@pytest.mark.parametrize(
    ("source", "gives"),
    [
        ("size(event.data.items) % 2.0", 1),
        ("7.0 % size(event.data.items)", 1),
        ("7.0 % 2.0", 1),
        ("7 % 4", 3),
        ("(event.data.two % 3) * 1.5", 3),
        ("event.data.items[0] * 2", 14),
        ("event.data.rates[event.data.kind] * 2", 5),
        ("{1: 1, 2: 2.5}[event.data.two] * 2", 5),
        ("{'a': 1, event.data.kind: 2.5}['a'] * 0.5", 0.5),
        ("[event.data.two, 2.5][1] * 2", 5),
        ("dyn(1) * 2.5", 2.5),
        ("-(event.data.yes ? 1 : event.data.two) * 2.5", -2.5),
        ("(event.data.yes ? 9007199254740992 : event.data.two) - 9007199254740992", 0),
        ("-9007199254740992 + event.data.two", -9007199254740990),
        ("{string(event.data.two): 1, 'n' + event.data.two: 2}", {"2": 1, "n2": 2}),
        ("event.data.items.map(n, string(n) + '/' + event.data.two)", ["7/2", "8/2", "9/2"]),
        ("event.data.items.filter(t, t % 2 == 1).map(m, m * 2)", [14, 18]),
        ("event.data.items.exists_one(k, '' + k == '8')", True),
        ("event.data.items.map(i, i == 8, i / 2)", [4]),
        (f"'{'x' * 200}' + event.data.two", f"{'x' * 200}2"),
        ("bytes(string(event.data.two) + 'a') == b'2a'", True),
        ("[1, 2u, 1.5, 'x', b'x', null, true, event.data.two + 1]", [1, 2, 1.5, "x", "eA==", None, True, 3]),
    ],
)
def test_what_stands_around_a_number_stays_what_it_is(source: str, gives: object) -> None:
    data = {"two": 2, "items": [7, 8, 9], "yes": True, "kind": "b", "rates": {"b": 2.5}}
    assert evaluate(source, data) == gives


@pytest.mark.parametrize("number", [9007199254740993, -9007199254740993])
def test_a_literal_that_no_double_holds_is_found(number: int) -> None:
    with pytest.raises(
        ExpressionError, match=f"^1:1: {number} is too large to compute with: numbers of JSON are doubles$"
    ):
        compile_expression(f"event.data.n + {number} == 1", Place.WHEN)
    assert compile_expression(f"event.data.n == {number}", Place.WHEN)({"event.data": {"n": number}}) is True


def test_numbers_meet_in_every_place() -> None:
    emits = compile_expression("response.body.count * 2 > 2.5 && response.status % 100.0 == 1", Place.EMIT)
    assert emits({"response.body": {"count": 2}, "response.status": 201}) is True
    undo = compile_expression('{"path": "/" + result.id, "sum": request.amount * 2}', Place.COMPENSATION_BODY)
    assert undo({"result": {"id": 1000000}, "request": {"amount": 2.5}}) == {"path": "/1000000", "sum": 5}
    when = compile_expression('events["a"].data.n + 1 == 2', Place.WHEN, single_event=False)
    assert when({"events": {"a": {"data": {"n": 1}}}}) is True


# -- any number ----------------------------------------------------------------------------------------------------

INT64 = st.integers(-(2**63), 2**63 - 1)
LARGE = st.integers(-(2**63), 2**63 - 1) | st.integers(2**63, 2**80).map(float)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
AMOUNTS = st.integers(-(10**16), 10**16).map(lambda cents: cents / 100)


TEXT_FORMS = [
    compile_expression(source, Place.KEY) for source in ("string(event.data)", "'' + event.data", "event.data + ''")
]


@given(LARGE | FINITE | AMOUNTS)
@example(1e6 - 2**-20)
@example(1e6 + 2**-20)
@example(-1e6 - 2**-20)
@example(-0.0)
@example(1e-4)
@example(9e18)
@example(-9e18)
@example(2.0**63)
@example(2**53 - 0.5)
@example(5e-324)
@example(1.7976931348623157e308)
def test_text_has_the_digits_of_any_number(number: float) -> None:
    assert {form({"event.data": number}) for form in TEXT_FORMS} == {expected_text(number)}


@given(INT64)
def test_a_whole_number_gives_one_key_however_it_is_written(number: int) -> None:
    written = [str(number), f"{number}.0", f"{number}e0", f"{number}.00E+0"]
    same = [text for text in written if msgspec.json.decode(text) == number]
    assert {TEXT_FORMS[0]({"event.data": msgspec.json.decode(text)}) for text in same} == {str(number)}
    assert len(same) == 4 or abs(number) > 2**53


WHOLE = st.integers(-(2**53) + 1, 2**53 - 1)
BELOW = WHOLE | FINITE


@given(BELOW, st.sampled_from(sorted(OPERATORS)), WHOLE.filter(bool))
def test_a_literal_beside_a_number_of_json_is_a_double(number: float, operator: str, literal: int) -> None:
    wanted = OPERATORS[operator](float(number), float(literal))
    for source in (f"event.data.n {operator} {literal}", f"event.data.n {operator} {literal}.0"):
        if wanted in (float("inf"), -float("inf")):
            with pytest.raises(EvaluationError, match="inf"):
                evaluate(source, {"n": number})
        else:
            assert evaluate(source, {"n": number}) == wanted
            assert type(evaluate(source, {"n": number})) is type(evaluate(source, {"n": float(number)}))


@given(INT64, INT64.filter(lambda divisor: divisor not in (0, -1)))  # -1: CEL overflows where nobody would
@example(-7, 2)
@example(7, -2)
@example(2**53 + 1, 10)
def test_whole_numbers_are_divided_with_rest_exactly(number: int, divisor: int) -> None:
    rest = abs(number) % abs(divisor) * (-1 if number < 0 else 1)
    for source in ("event.data.n % event.data.m", f"event.data.n % ({divisor})", f"({number}) % event.data.m"):
        assert evaluate(source, {"n": number, "m": divisor}) == rest


@given(INT64, INT64)
@example(2**53, 2**53 + 1)
@example(2**60, 2**60 + 1)
def test_whole_numbers_are_compared_exactly(one: int, two: int) -> None:
    source = "[event.data.a == event.data.b, event.data.a < event.data.b, event.data.a in [event.data.b]]"
    assert evaluate(source, {"a": one, "b": two}) == [one == two, one < two, one == two]


# -- any of them together ------------------------------------------------------------------------------------------

DATA = {"two": 2, "half": 0.5, "items": [1, 2, 3], "yes": True, "no": False}
LEAVES = {"event.data.two": 2, "event.data.half": 0.5, "size(event.data.items)": 3, "3": 3, "(-7)": -7, "1.5": 1.5}
Sum = tuple[str, float]


def computed(one: Sum, operator: str, two: Sum) -> Sum:
    of = {"+": one[1] + two[1], "-": one[1] - two[1], "*": one[1] * two[1]}
    return f"({one[0]} {operator} {two[0]})", of[operator]


def chosen(condition: str, one: Sum, two: Sum) -> Sum:
    return f"(event.data.{condition} ? {one[0]} : {two[0]})", (one if condition == "yes" else two)[1]


def negative(one: Sum) -> Sum:
    return f"-{one[0]}", -one[1]


def indexed(one: Sum, two: Sum, place: int) -> Sum:
    return f"[{one[0]}, {two[0]}][{place}]", (one, two)[place][1]


SUMS = st.recursive(
    st.sampled_from(sorted(LEAVES.items())),
    lambda parts: st.one_of(
        st.builds(computed, parts, st.sampled_from("+-*"), parts),
        st.builds(chosen, st.sampled_from(["yes", "no"]), parts, parts),
        st.builds(negative, parts),
        st.builds(indexed, parts, parts, st.integers(0, 1)),
    ),
    max_leaves=8,
)


@given(SUMS)
def test_whatever_is_made_of_numbers_can_be_computed(made: Sum) -> None:
    source, wanted = made
    assert evaluate(source, DATA) == wanted
    assert evaluate(f"string({source})", DATA) == expected_text(float(wanted))
    assert evaluate(f"({source}) * 2 == {float(wanted * 2)!r}", DATA) is True
