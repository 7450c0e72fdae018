"""What of the data an expression looks at, and what becomes of the rest: nothing, or it is carried as it is."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sagamesh.errors import EvaluationError, ExpressionError
from sagamesh.language.cel.expressions import CelProgram, Place, compile_expression
from sagamesh.language.cel.intake import Intake, path_of
from sagamesh.language.cel.selection import Selection

WEI = 1500000000000000000001
EXACT = 10**21
"""A double holds it, and would be written as 1e+21."""
TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEEP: Any = None
for _ in range(120):
    DEEP = [DEEP]
UNFIT = {
    "wei": WEI,
    "least": -(2**63) - 1,
    "huge": 10**400,
    "nul": "a\0b",
    "key": {"a": 1, "a\0b": 1},
    "deep": DEEP,
    "in a list": [1, WEI],
    "in a map": {"x": {"y": "\0"}},
}
"""What CEL cannot hold."""


def evaluate(source: str, data: object, place: Place = Place.WHEN) -> Any:
    return compile_expression(source, place)({"event.data": data})


def failure(source: str, data: object, place: Place = Place.WHEN) -> str:
    with pytest.raises(EvaluationError) as caught:
        evaluate(source, data, place)
    return str(caught.value).removeprefix(f"{source}: ")


@pytest.mark.parametrize("unfit", UNFIT.values(), ids=UNFIT)
@pytest.mark.parametrize(
    "source",
    [
        "event.data.total == 60.0",
        'event.data["total"] == 60.0',
        "event.data.lines[1].n == 2.0",
        "event.data.lines.all(l, l.n > 0.0)",
        "event.data.lines.map(l, l.n) == [1.0, 2.0]",
        "event.data.lines.filter(l, l.n > 1.0).map(l, true) == [true]",
        "event.data.lines.all(l, event.data.lines.exists(m, m.n == l.n))",
        "event.data.sums.all(k, k == 'a')",
        "event.data.sums.all(k, k != 'b') && event.data.sums.a == 1.0",
        "has(event.data.x) && has(event.data.lines[0].x) && !has(event.data.y)",
        "'x' in event.data && !('y' in event.data) && 'x' in event.data.lines[0]",
        "event.data.x != null && event.data.none == null && null == event.data.none",
        "type(event.data) == map && type(event.data.lines) == list && type(event.data.total) == double",
        "type(event.data.name) == string && type(event.data.ok) == bool && type(event.data.none) == null_type",
        "size(event.data) == 7 && size(event.data.lines) == 2 && size(event.data.name) == 3",
        "(has(event.data.y) ? event.data.y : event.data.total) == 60.0",
        "[event.data.total, 1.0].all(x, x > 0.0)",
        "size(event.data.lines.filter(l, l.n > 1.0)) == 1 && size([event.data.lines, event.data]) == 2",
        "event.data.lines.filter(l, l.n > 1.0).all(k, k.n == 2.0)",
        "'a' in event.data.words && !('b' in event.data.words)",
    ],
)
def test_what_no_expression_looks_at_cannot_fail_it(source: str, unfit: object) -> None:
    lines = [{"n": 1, "x": unfit}, {"n": 2, "x": unfit}]
    data = {"total": 60, "lines": lines, "x": unfit, "sums": {"a": 1}, "name": "abc", "ok": True, "none": None}
    if "words" in source:
        data["words"] = ["a"]
    assert evaluate(source, data) is True


LINES = "event.data.lines"


@pytest.mark.parametrize(
    "source",
    [
        f"{LINES}.map(l, [l]).all(k, k[0].n > 0.0)",
        f"{LINES}.map(l, l.n > 1.0, l).all(k, k.n > 1.0 && k.x == 2.0)",
        f"{LINES}.map(l, l.n > 1.0, l.x).all(k, k == 2.0)",
        f"{LINES}.map(l, l.n > 1.0, [l]).all(k, k[0].n == 2.0)",
        f"{LINES}.filter(l, l.n > 1.0).map(k, k.x) == [2.0]",
        f"{LINES}.filter(l, l.n > 1.0) == [{{'n': 2.0, 'x': 2.0}}]",
        f"{LINES}.all(l, l.n > 0.0) && {LINES}[0].x == 1.0 && {LINES}[1] == {{'n': 2.0, 'x': 2.0}}",
        "event.data.sums.all(k, event.data.sums[k] == 1.0) && event.data.sums.a == 1.0",
        "size(event.data.sums) == 1 && size(event.data.name) == 3 && event.data.name == 'abc'",
        "type(event.data.name) == string && event.data.name == 'abc' && 'abc' in [event.data.name]",
        "has(event.data.name) && event.data.name != null && event.data.name.startsWith('a')",
        "(true ? event.data : event.data.lines[0]).name == 'abc'",
        "dyn(event.data).lines[1].n == 2.0 && [event.data][0].name == 'abc' && {'a': event.data}.a.name == 'abc'",
    ],
)
def test_what_an_expression_looks_at_is_there_however_it_comes_to_it(source: str) -> None:
    lines = [{"n": 1, "x": 1}, {"n": 2, "x": 2}]
    assert evaluate(source, {"lines": lines, "sums": {"a": 1}, "name": "abc"}) is True


@pytest.mark.parametrize(
    ("source", "data", "message"),
    [
        ("event.data.a > 1.0", {"a": WEI}, "event.data.a is too large for an expression"),
        ("event.data.a > 1.0", {"a": -(2**63) - 1}, "event.data.a is too large for an expression"),
        ("event.data.a > 1.0", {"a": 10**400 + 1}, "event.data.a is too large for an expression"),
        ("event.data == 1.0", WEI, "event.data is too large for an expression"),
        (
            "event.data.order.amountWei > 1.0",
            {"order": {"amountWei": WEI}},
            "event.data.order.amountWei is too large for an expression",
        ),
        ("event.data.lines.all(l, l.n > 1.0)", {"lines": [{"n": 2}, {"n": WEI}]}, "event.data.lines[1].n is too large"),
        ("event.data.l[0] > 1.0", {"l": [WEI]}, "event.data.l[0] is too large"),
        ("event.data.l.map(x, [x]).all(y, y[0].n > 1.0)", {"l": [{"n": WEI}]}, "event.data.l[0].n is too large"),
        ("1.0 in event.data.l", {"l": [1, WEI]}, "event.data.l[1] is too large"),
        ("'x' in event.data.l", {"l": [WEI]}, "event.data.l[0] is too large"),
        ("event.data.l == []", {"l": [{"x": {"y z": WEI}}]}, 'event.data.l[0].x["y z"] is too large'),
        ("event.data.a == ''", {"a": "cut\0off"}, "event.data.a holds a NUL character, which no expression can read"),
        ("size(true ? event.data.a : '') == 1", {"a": "cut\0off"}, "event.data.a holds a NUL character"),
        ("size(event.data.a) == 1", {"a": "cut\0off"}, "event.data.a holds a NUL character"),
        ("event.data == {}", {"cut\0off": 1}, 'event.data["cut\\x00off"] holds a NUL character'),
        ("event.data.all(k, k == '')", {"cut\0off": 1}, 'event.data["cut\\x00off"] holds a NUL character'),
        ("event.data.a == 1.0", {"a": object()}, "event.data.a is a object, which is not JSON"),
    ],
)
def test_what_is_looked_at_and_cannot_be_read_is_named_by_its_path(source: str, data: object, message: str) -> None:
    assert failure(source, data).startswith(message)


def nested(levels: int, key: str | int) -> Any:
    within: object = 1
    for _ in range(levels):
        within = [within] if isinstance(key, int) else {key: within}
    return within


LISTS_AND_MAPS = pytest.mark.parametrize("key", [0, "a"], ids=["lists", "maps"])


@LISTS_AND_MAPS
@pytest.mark.parametrize("place", [Place.WHEN, Place.BODY])
def test_data_are_read_down_to_a_hundred_levels(place: Place, key: str | int) -> None:
    source = "event.data != []" if place is Place.WHEN else '{"x": event.data == []}'
    assert evaluate(source, nested(100, key), place)
    assert "is nested deeper than 100" in failure(source, nested(101, key), place)


@LISTS_AND_MAPS
@pytest.mark.parametrize("levels", [99, 100, 101, 120])
def test_what_is_carried_may_be_as_deep_as_it_likes(levels: int, key: str | int) -> None:
    assert evaluate('{"x": event.data}', nested(levels, key), Place.BODY) == {"x": nested(levels, key)}


@LISTS_AND_MAPS
def test_what_lies_deeper_than_is_read_is_carried_in_one_piece(key: str | int) -> None:
    data = nested(120, key)
    result = evaluate('{"x": event.data}', data, Place.BODY)["x"]
    for _ in range(100):
        assert result is not data
        data, result = data[key], result[key]
    assert result is data


BODIES = [
    "event.data",
    '{"all": event.data}',
    '{"x": event.data.x}',
    '{"x": [event.data.x, {"y": event.data.x}]}',
    '{"x": has(event.data.x) ? event.data.x : null, "has": has(event.data.x)}',
    '{"x": event.data.x != null ? event.data.x : null}',
    '{"l": event.data.lines.map(l, {"x": l.x, "n": l.n * 2.0})}',
    '{"l": event.data.lines.filter(l, l.n > 1.0)}',
    '{"l": event.data.lines.map(l, l.n > 1.0, l.x)}',
    '{"all": event.data, "n": event.data.lines[0].n + 1.0}',
]


@pytest.mark.parametrize("unfit", UNFIT.values(), ids=UNFIT)
@pytest.mark.parametrize("source", BODIES)
def test_what_a_body_only_carries_comes_out_as_it_went_in(source: str, unfit: object) -> None:
    lines = [{"n": 1, "x": unfit}, {"n": 2, "x": unfit}]
    data = {"x": unfit, "lines": lines}
    expected = {
        BODIES[0]: data,
        BODIES[1]: {"all": data},
        BODIES[2]: {"x": unfit},
        BODIES[3]: {"x": [unfit, {"y": unfit}]},
        BODIES[4]: {"x": unfit, "has": True},
        BODIES[5]: {"x": unfit},
        BODIES[6]: {"l": [{"x": unfit, "n": 2}, {"x": unfit, "n": 4}]},
        BODIES[7]: {"l": [lines[1]]},
        BODIES[8]: {"l": [unfit]},
        BODIES[9]: {"all": data, "n": 2},
    }
    assert evaluate(source, data, Place.BODY) == expected[source]


@pytest.mark.parametrize("number", [EXACT, WEI, 2**63, -(2**63), -(2**63) - 1, 2**53 + 1, 2**63 - 1])
def test_a_big_integer_that_is_carried_stays_exact(number: int) -> None:
    result = evaluate('{"x": event.data.n}', {"n": number}, Place.BODY)
    assert repr(result) == repr({"x": number})


@pytest.mark.parametrize("number", [EXACT, 2**63, -(2**63), 2**53 + 1])
def test_a_big_integer_that_a_double_or_an_integer_holds_can_be_looked_at(number: int) -> None:
    assert evaluate("event.data.n != 0.0", {"n": number}) is True


@pytest.mark.parametrize(
    "source",
    [
        '{"x": event.data.x == 1.0}',
        '{"x": event.data.x, "y": event.data.x == 1.0}',
        '{"x": type(event.data.x) == int ? event.data.x : 0}',
        '{"x": event.data.x + 1.0}',
        '{"x": {"y": event.data.x} == {}}',
        '{"x": event.data.l.all(i, i == 1.0)}',
        "{string(event.data.x): 1}",
        '{"x": event.data.l.all(i, i)}',
    ],
)
def test_what_is_carried_and_looked_at_must_be_readable(source: str) -> None:
    assert "is too large for an expression" in failure(source, {"x": WEI, "l": [WEI]}, Place.BODY)


def test_whole_numbers_that_are_carried_are_written_as_integers_as_any() -> None:
    assert repr(evaluate("event.data", {"a": 42.0, "b": [1.5]}, Place.BODY)) == "{'a': 42, 'b': [1.5]}"


@pytest.mark.parametrize("value", [None, True, 1, -(2**63) + 1, 2**63 - 1, 1e300, "a", [1, [2]], {"a": {"b": 1}}])
def test_what_cel_can_hold_is_carried_without_a_token(value: object) -> None:
    carried = Selection()
    carried.carried = True
    assert Intake().take(value, "event.data", carried) == value


def test_bytes_of_the_author_s_own_are_no_token() -> None:
    source = '{"x": b"\\xffcarried:0", "y": b"abc"}'
    assert evaluate(source, {}, Place.BODY) == {"x": "/2NhcnJpZWQ6MA==", "y": "YWJj"}
    with_token = compile_expression('{"y": b"abc", "x": event.data}', Place.BODY)
    assert with_token({"event.data": WEI}) == {"y": "YWJj", "x": WEI}


def test_a_result_is_bounded_by_what_it_carries() -> None:
    data = {"s": "\0" * 20_000, "l": [1] * 90}
    assert "larger than 512 KiB" in failure('{"x": event.data.l.map(i, {"s": event.data.s})}', data, Place.BODY)


def test_only_the_events_and_fields_that_are_named_are_looked_at() -> None:
    events = {"a": {"id": "x", "type": "a", "time": TIME, "data": {"x": 1, "y": WEI}}, "b": object()}
    program = compile_expression('events["a"].data.x == 1.0 && "b" in events && !("c" in events)', Place.WHEN)
    assert program({"events": events, "event.data": object()}) is True


def test_an_event_is_carried_with_its_time_as_text() -> None:
    event = {"id": "x", "type": "a", "time": TIME, "data": {"y": WEI}}
    carried = compile_expression('{"event": events["a"], "at": events["a"].time}', Place.BODY)
    at = "2026-01-02T03:04:05Z"
    assert carried({"events": {"a": event}}) == {"event": {**event, "time": at}, "at": at}


def test_a_loop_s_own_item_hides_a_variable_of_its_name() -> None:
    source = '{"x": [{"x": 1.0}].all(result, result.x == 1.0), "y": result.y}'
    program = compile_expression(source, Place.COMPENSATION_BODY)
    assert program({"result": {"x": WEI, "y": WEI}}) == {"x": True, "y": WEI}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


READING = [
    compile_expression(source, place)
    for source, place in [
        ("event.data.a == event.data.b", Place.WHEN),
        ("event.data.a.b > 1.0 || event.data.a[0] || event.data.b.all(x, x)", Place.WHEN),
        ("{'x': event.data.a, 'y': event.data.b == event.data.b ? string(event.data.b) : ''}", Place.BODY),
        ("string(event.data.a)", Place.KEY),
        ("{'x': timestamp(event.data.a), 'y': duration(event.data.b), 'z': event.data.a[event.data.b]}", Place.BODY),
    ]
]
CARRYING = compile_expression('{"x": event.data}', Place.BODY)


@given(data=JSON, value=JSON)
def test_any_json_is_read_or_carried_or_named(data: object, value: object) -> None:
    """Nothing but an evaluation error, whatever comes."""
    everything = {"event.data": {"a": data, "b": value}}
    for program in READING:
        with suppress(EvaluationError):
            program(everything)
    assert CARRYING(everything) == {"x": everything["event.data"]}


WHOLE = Selection()
WHOLE.whole = True
PARTS = ["event.data", "event.data.a", "event.data.b", "event.data.b[0]", "event.data.b[1].a", "x", "x.a"]
ASKED = [
    "{}",
    "{}.a",
    "{}[0]",
    "{} == null",
    "{} != null",
    "type({}) == map",
    "size({})",
    "has({}.a)",
    "'a' in {}",
    "!{}",
]
Sources = st.SearchStrategy[str]


def sources() -> Sources:
    """Expressions that pass parts of the data on in every way that there is."""
    simple = st.sampled_from(ASKED).flatmap(lambda asked: st.sampled_from(PARTS).map(asked.format))

    def grown(inner: Sources) -> Sources:
        return st.one_of(
            st.builds("[{}, {}]".format, inner, inner),
            st.builds('{{"k": {}, "l": {}}}'.format, inner, inner),
            st.builds("({} == {})".format, inner, inner),
            st.builds("({} && {})".format, inner, inner),
            st.builds("(true || {} ? {} : {})".format, inner, inner, inner),
            st.builds("(false && {} ? {} : {})".format, inner, inner, inner),
            st.builds("{}.a".format, inner),
            st.builds("{}[0]".format, inner),
            st.builds("size({})".format, inner),
            st.builds("dyn({})".format, inner),
            st.builds("{}.map(x, {})".format, inner, inner),
            st.builds("{}.filter(x, {} == {})".format, inner, inner, inner),
            st.builds("{}.filter(x, true || {}).map(x, {})".format, inner, inner, inner),
            st.builds("{}.exists(x, {} == {})".format, inner, inner, inner),
        )

    return st.recursive(simple, grown, max_leaves=5)


DATA = st.recursive(
    st.sampled_from([None, True, 1, 2.5, "a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=8,
)


def outcome(program: CelProgram, data: object) -> object:
    try:
        return program({"event.data": data})
    except EvaluationError:
        return "it fails"


@given(source=sources(), data=st.dictionaries(st.sampled_from("ab"), DATA, max_size=2) | DATA)
@settings(max_examples=200, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
def test_who_sees_only_what_it_looks_at_comes_to_the_same_as_who_sees_all(source: str, data: object) -> None:
    try:
        program = compile_expression(f'{{"k": [event.data].map(x, {source})}}', Place.BODY)
    except ExpressionError:
        assume(False)
        raise
    seeing_all = replace(program, _selections=dict.fromkeys(program.names, WHOLE))
    assert outcome(program, data) == outcome(seeing_all, data)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_whole_number_is_a_double_below_where_doubles_begin_to_leave_some_out(sign: int) -> None:
    kinds = [type(Intake().take(sign * number, "event.data", WHOLE)) for number in (2**53 - 1, 2**53)]
    assert kinds == [float, int]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), "event.data"),
        (("a", 0, "b"), "event.data.a[0].b"),
        (("unit price", "a.b", "9", "é"), 'event.data["unit price"]["a.b"]["9"]["é"]'),
        (("\ud800", "\0"), 'event.data["\\ud800"]["\\x00"]'),
        (("a" * 200,), "event.data." + "a" * 106 + "..."),
    ],
)
def test_a_path_is_what_an_author_would_write(path: tuple[str | int, ...], text: str) -> None:
    assert path_of("event.data", path) == text
