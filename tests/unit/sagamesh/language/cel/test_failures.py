"""Why an evaluation failed: where in the data, and never with a value of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sagamesh.errors import EvaluationError
from sagamesh.language.cel.expressions import Place, compile_expression
from sagamesh.language.cel.failures import Evaluated, explain, plain

SECRET = "4111111111111111"
TEXT = f"x{SECRET}"


def failure(source: str, data: object) -> str:
    with pytest.raises(EvaluationError) as caught:
        compile_expression(f"{{'x': {source}}}", Place.BODY)({"event.data": data})
    assert caught.value.place == "action.body"
    return str(caught.value).removeprefix(f"{{'x': {source}}}: ")


@pytest.mark.parametrize(
    ("source", "data", "message"),
    [
        ("event.data.a", {"b": TEXT}, "there is no event.data.a"),
        ("event.data.a.all(x, true)", {"b": TEXT}, "there is no event.data.a"),
        ("event.data.a.b.c", {"a": {"b": {}}}, "there is no event.data.a.b.c"),
        ("event.data.a.b", {"a": TEXT}, "event.data.a is a string, and has no fields"),
        ("event.data.a.b", {"a": None}, "event.data.a is null, and has no fields"),
        ("event.data.a.b", {"a": 4111111111111111}, "event.data.a is a number, and has no fields"),
        ("event.data.a.b", {"a": True}, "event.data.a is true or false, and has no fields"),
        ("event.data.a.b", {"a": [TEXT]}, "event.data.a is a list, and has no fields"),
        ("has(event.data.a.b)", {"a": TEXT}, "event.data.a is a string, and has no fields"),
        ("event.data.l[1].a", {"l": [{"a": 1}, {"b": TEXT}]}, "there is no event.data.l[1].a"),
        ("event.data.l.map(i, i.a)", {"l": [{"a": 1}, {"b": TEXT}]}, "there is no event.data.l[1].a"),
        ("event.data.l.map(i, i.a)", {"l": [{"a": 1}, TEXT]}, "event.data.l[1] is a string, and has no fields"),
        (
            "event.data.l.map(i, i.a)",
            {"l": [{}] * 5},
            "there is no event.data.l[0].a, event.data.l[1].a, event.data.l[2].a and 2 more",
        ),
        ("event.data.b.x == 1.0 || event.data.a.x == 1.0", {"a": None, "b": {}}, "there is no event.data.b.x"),
        ("event.data.a != null && event.data.b.x", {"b": {}}, "there is no event.data.a"),
        ("has(event.data.b.a) || event.data.a == 1.0", {"b": {}}, "there is no event.data.a"),
        ("event.data.m[event.data.a]", {"a": TEXT, "m": {}}, "a key is not in its map"),
        ("event.data.m[event.data.a]", {"a": True, "m": {}}, "a key is not in its map"),
        ("{'a': 1}[event.data.a]", {"a": TEXT}, "a key is not in its map"),
        ("[event.data][0].x.y", {"x": TEXT}, "a field is asked for of what is no map"),
        ("event.data.l[int(event.data.a)]", {"a": 4111111111111111, "l": []}, "an index is outside of its list"),
        ("event.data.l[0]", {"l": []}, "an index is outside of its list"),
        ("event.data.l['x']", {"l": []}, "Index error: expected integer type, got string"),
        ("event.data.a['x']", {"a": TEXT}, "event.data.a is a string, and has no fields"),
        ("event.data.m[event.data.a]", {"a": [TEXT], "m": {}}, "Invalid map key type: 'list'"),
        ("event.data.a > 1.0", {"a": TEXT}, "there is no > of a string and a number: event.data.a is a string"),
        (
            "event.data.a < event.data.b",
            {"a": TEXT, "b": 1},
            "there is no < of a string and a number: event.data.a is a string, event.data.b is a number",
        ),
        (
            "event.data.l.map(i, i.a - 1)",
            {"l": [{"a": 1}, {"a": TEXT}, {}]},
            "there is no - of a string and a number: event.data.l[1].a is a string",
        ),
        (
            "event.data.l.map(i, i.m.all(j, j.x > 1))",
            {"l": [{"m": [{"x": 1}]}, {"m": [{"x": 2}, {"x": TEXT}]}]},
            "there is no > of a string and a number: event.data.l[1].m[1].x is a string",
        ),
        (
            "event.data.l.map(i, i > 1)",
            {"l": [None, 2, [TEXT]]},
            "there is no > of null and a number: event.data.l[0] is null",
        ),
        (
            "event.data.m['a b'] > 1 || event.data.l[1] > 1",
            {"m": {"a b": True}, "l": [1, False]},
            'there is no > of true or false and a number: event.data.m["a b"] is true or false, '
            "event.data.l[1] is true or false",
        ),
        (
            "(event.data.a == 1 ? event.data.b : event.data.c) - 1",
            {"a": 1, "b": {"x": TEXT}, "c": 1},
            "there is no - of a map and a number: event.data.b is a map",
        ),
        ("dyn(event.data.a + '') - 1.0", {"a": TEXT}, "there is no - of a string and a number"),
        (
            "event.data.a + 1",
            {"a": TEXT},
            "there is no + of a string and a number: event.data.a is a string; "
            "string(...) makes text of a number, double(...) a number of text",
        ),
        (
            "event.data.a + event.data.b",
            {"a": [TEXT], "b": 1},
            "there is no + of a list and a number: event.data.a is a list, event.data.b is a number",
        ),
        (
            "event.data.a + event.data.b",
            {"a": TEXT, "b": None},
            "there is no + of a string and null: event.data.a is a string, event.data.b is null",
        ),
        ("string(event.data.l)", {"l": [TEXT]}, "there is no string of a list: event.data.l is a list"),
        (
            "event.data.l.map(i, i * 2)",
            {"l": [1, 4111111111111111111]},
            "a double would lose digits of event.data.l[1]; compute with int(...)",
        ),
        (
            "event.data.l.map(i, 2.5 - i)",
            {"l": [2**53 - 1, 2**53, -(2**53), -(2**63)]},
            "a double would lose digits of event.data.l[1], event.data.l[2], event.data.l[3]; compute with int(...)",
        ),
        (
            "[1, 2].map(i, i * 2.5)[0] * [1, 2.5].map(i, i)[0]",
            {},
            "numbers of two types do not meet here; write double(...) of each",
        ),
        (
            "event.data.l.map(i, i % 2)",
            {"l": [4, 4.5, 411111.5]},
            "% and timestamp take whole numbers alone, unlike event.data.l[1], event.data.l[2]",
        ),
        ("7 % event.data.a", {"a": 41.5}, "% and timestamp take whole numbers alone, unlike event.data.a"),
        ("timestamp(event.data.a)", {"a": 41.5}, "% and timestamp take whole numbers alone, unlike event.data.a"),
        ("(event.data.a * 1.5) % 2", {"a": 1}, "% and timestamp take whole numbers alone"),
        (
            "string(event.data.a / 0.0)",
            {"a": 41},
            "text is made of a number that is infinite, or none, as a division by zero gives it",
        ),
        ("event.data.l[event.data.a]", {"a": 1.5, "l": [TEXT]}, "an index is a whole number, unlike event.data.a"),
        (
            "event.data.m[event.data.a]",
            {"a": 4111111, "m": {}},
            "the names of fields are text, unlike event.data.a: write string(...)",
        ),
        ("event.data.m[event.data.a * 2]", {"a": 4111111, "m": {}}, "a key is not in its map"),
        (
            "event.data.a > 1 || event.data.l['x'] > 1 || event.data.l[1] > 1",
            {"a": TEXT, "l": [1]},
            "there is no > of a string and a number: event.data.a is a string",
        ),
        (
            "uint(event.data.b) > event.data.a",
            {"a": TEXT, "b": 1},
            "there is no > of a number and a string: event.data.a is a string",
        ),
        (
            "event.data.a - event.data.b",
            {"a": 2**70, "b": TEXT},
            "there is no - of a number and a string: event.data.a is a number, event.data.b is a string",
        ),
        (
            "event.data.a * 2 + 3 * event.data.a",
            {"a": 2**53},
            "a double would lose digits of event.data.a; compute with int(...)",
        ),
        ("event.data.a ? 1 : 2", {"a": TEXT}, "No matching overloads found : <jump_condition>"),
        ("event.data.a && true", {"a": TEXT}, "No matching overloads found : _&&_"),
        ("event.data.a in event.data.b", {"a": TEXT, "b": TEXT}, "No matching overloads found : @in"),
        (
            "event.data.a.matches('a')",
            {"a": 1},
            "there is no matches of a number and a string: event.data.a is a number",
        ),
        ("-event.data.a", {"a": TEXT}, "there is no - of a string: event.data.a is a string"),
        ("event.data.a[0] + [1]", {"a": TEXT}, "a field is asked for of what is no map"),
        ("timestamp(event.data.a)", {"a": TEXT}, "String to Timestamp conversion failed"),
        ("duration(event.data.a)", {"a": TEXT}, "String to Duration conversion failed"),
        ("duration(event.data.a)", {"a": f"{SECRET}h"}, "it cannot be evaluated on these data"),
        ("int(event.data.a)", {"a": TEXT}, "cannot convert string to int"),
        ("int(event.data.a)", {"a": 1e300}, "double out of int64 range"),
        ("bool(event.data.a)", {"a": TEXT}, "Type conversion error from 'string' to 'bool'"),
        ("timestamp('2026-01-01T00:00:00Z').getHours(event.data.a)", {"a": TEXT}, "Invalid timezone"),
        ("timestamp(int(event.data.a))", {"a": 9e17}, "timestamp overflow"),
        ("{event.data.a: 1, event.data.a: 2}", {"a": TEXT}, "duplicate key in map"),
        ("{int(event.data.a): 1}", {"a": 4111111111111111}, "the keys of a map must be strings, and one is not"),
        ("9223372036854775807 + int(event.data.a)", {"a": 1}, "integer overflow"),
        ("1u - uint(event.data.a)", {"a": 2}, "unsigned integer overflow"),
        ("1 % int(event.data.a)", {"a": 0}, "modulus by zero"),
        ("1 / int(event.data.a)", {"a": 0}, "divide by zero"),
        ("string(bytes(event.data.a) + b'\\xff')", {"a": TEXT}, "malformed UTF-8 bytes"),
        ("[event.data.a].map(x, type(x))", {"a": TEXT}, "the result holds a type, which JSON cannot express"),
    ],
)
def test_a_failure_says_where_and_why_and_holds_no_value(source: str, data: Any, message: str) -> None:
    assert failure(source, data) == message
    assert SECRET not in failure(source, data)


def test_what_the_library_may_say_one_day_is_not_passed_on() -> None:
    failed = Evaluated(compile_expression("true", Place.WHEN).tree, {}, {})
    for said in (f"INTERNAL: cannot handle {SECRET}", f"integer overflow of {SECRET}"):
        assert explain(said, failed) == "it cannot be evaluated on these data"


def test_the_drawing_of_the_place_is_left_out() -> None:
    assert plain("NOT_FOUND: nothing here [NOT_FOUND]\n | x\n | ^") == "nothing here"


def test_of_a_text_that_the_library_repeats_no_more_than_its_beginning_is_looked_at() -> None:
    """What it is searched for takes as long as the square of its length."""
    assert plain("NOT_FOUND: no expecting {a} " + " expecting {" * 20_000).startswith("no  expecting {")
    assert len(plain(" expecting {" * 20_000)) <= 1000
    assert plain("cannot expecting {a, b} do that") == "cannot do that"


@pytest.mark.parametrize(
    "time", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)], ids=str
)
def test_a_time_at_the_edge_of_the_calendar_is_called_that(time: datetime) -> None:
    key = compile_expression("string(event.time)", Place.KEY)
    with pytest.raises(EvaluationError, match=r"a time is at the very edge of the years 1 to 9999, or beyond$"):
        key({"event.time": time})
