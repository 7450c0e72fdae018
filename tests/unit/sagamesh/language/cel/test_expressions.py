"""Expressions: what compiles, what is refused and why, and what JSON goes in and comes out."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

from sagamesh.errors import EvaluationError, ExpressionError
from sagamesh.language.cel.cost import survey
from sagamesh.language.cel.expressions import MAX_LENGTH, MAX_RESULT, Place, compile_expression
from sagamesh.language.cel.syntax import read
from sagamesh.text import shortened

TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ORDER = {"orderId": "o-1", "customerId": "c-1", "total": 42, "lines": [{"sku": "a", "n": 2}, {"sku": "b", "n": 1}]}
VARIABLES: dict[str, object] = {
    "event.id": "e-1",
    "event.type": "order.placed",
    "event.time": TIME,
    "event.data": ORDER,
    "events": {"order.placed": {"id": "e-1", "type": "order.placed", "time": TIME, "data": ORDER}},
    "saga.name": "checkout",
    "saga.id": "o-1",
    "saga.run": "r-1",
    "saga.started": TIME,
    "response.status": 200,
    "response.headers": {"x-kind": "new"},
    "response.body": {"approved": True},
    "request": {"amount": 42},
    "result": {"reservation": 7},
    "cause": "refused",
}


def evaluate(source: str, place: Place = Place.BODY, **data: object) -> Any:
    return compile_expression(source, place)({**VARIABLES, **({"event.data": data} if data else {})})


def refusal(source: str, place: Place = Place.BODY, *, single_event: bool = True) -> str:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source, place, single_event=single_event)
    text = str(caught.value)
    assert "\n" not in text
    assert "INVALID_ARGUMENT" not in text
    assert text.split(":", maxsplit=1)[0].isdigit()
    return text


def failure(source: str, place: Place = Place.BODY, **data: object) -> str:
    program = compile_expression(source, place)
    with pytest.raises(EvaluationError) as caught:
        program({**VARIABLES, **({"event.data": data} if data else {})})
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "place", "expected", "names", "events"),
    [
        ("event.data.orderId", Place.KEY, "o-1", {"event.data"}, set()),
        ("event.id", Place.KEY, "e-1", {"event.id"}, set()),
        ("event.data.total > 0", Place.WHEN, True, {"event.data"}, set()),
        (
            '{"customer": event.data.customerId, "amount": event.data.total}',
            Place.BODY,
            {"customer": "c-1", "amount": 42},
            {"event.data"},
            set(),
        ),
        (
            '{"order": saga.id, "amount": events["order.placed"].data.total}',
            Place.BODY,
            {"order": "o-1", "amount": 42},
            {"saga.id", "events"},
            {"order.placed"},
        ),
        ("event.data", Place.BODY, ORDER, {"event.data"}, set()),
        ('{events["order.placed"].data.orderId: saga.id}', Place.BODY, {"o-1": "o-1"}, None, {"order.placed"}),
        ('"a.b" in events', Place.WHEN, False, {"events"}, {"a.b"}),
        ('has(events["order.placed"].data.total)', Place.WHEN, True, {"events"}, {"order.placed"}),
        ('timestamp(events["order.placed"].time) == event.time', Place.WHEN, True, {"events", "event.time"}, None),
        ('response.status == 200 && response.headers["x-kind"] == "new"', Place.EMIT, True, None, set()),
        ("response.body.approved", Place.EMIT, True, {"response.body"}, set()),
        (
            '{"why": cause, "undo": result.reservation, "of": request.amount}',
            Place.COMPENSATION_BODY,
            {"why": "refused", "undo": 7, "of": 42},
            {"cause", "result", "request"},
            set(),
        ),
        ("event.data.lines.all(l, l.n > 0 && size(l.sku) == 1)", Place.WHEN, True, {"event.data"}, set()),
        (
            '{"skus": event.data.lines.filter(l, l.n > 1).map(l, l.sku + "!")}',
            Place.BODY,
            {"skus": ["a!"]},
            {"event.data"},
            set(),
        ),
        ("saga.started + duration('1h') > event.time", Place.WHEN, True, {"saga.started", "event.time"}, set()),
    ],
)
def test_what_an_expression_gives_and_what_it_reads(source, place, expected, names, events):
    program = compile_expression(source, place)
    result = program(VARIABLES)
    assert (type(result), result) == (type(expected), expected)
    assert program.source == source
    assert names is None or program.names == names
    assert events is None or program.events == events


def test_a_program_is_what_it_was_compiled_of():
    one, same = (compile_expression("event.id", Place.KEY) for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
    assert one != compile_expression("event.type", Place.KEY)
    assert repr(one) == "CelProgram(source='event.id', names=frozenset({'event.id'}), events=frozenset())"


def test_a_join_reads_events_and_saga():
    program = compile_expression('events["a"].data.x == saga.id', Place.WHEN, single_event=False)
    assert program({"events": {"a": {"data": {"x": "i"}}}, "saga.id": "i"}) is True


@pytest.mark.parametrize("source", ["event.data.x == 1", "event.id == 'x'", "has(event.data.x)", "event.dta == 1"])
def test_a_join_has_no_single_event(source):
    text = refusal(source, Place.WHEN, single_event=False)
    assert "no single event where a step joins several" in text
    assert 'events["order.placed"]' in text


def test_a_join_that_names_something_else_hears_of_that():
    text = refusal("total == 1", Place.WHEN, single_event=False)
    assert "undeclared reference to 'total'" in text
    assert "no single event" not in text


@pytest.mark.parametrize(
    ("source", "place", "message"),
    [
        ("event.dta", Place.WHEN, "1:6: undeclared reference to 'event.dta'; the variables here are event.id, "),
        ("true &&\n event.dta", Place.WHEN, "2:7: undeclared reference to 'event.dta'"),
        ("saga.id", Place.KEY, "undeclared reference to 'saga"),
        ("response.status == 200", Place.WHEN, "undeclared reference to 'response"),
        ("cause == ''", Place.EMIT, "undeclared reference to 'cause'"),
        ("event.id - 1", Place.KEY, "1:10: found no matching overload for '_-_' applied to '(string, int)'"),
        ("response.status == '200'", Place.EMIT, "no matching overload for '_==_'"),
        ("event.time", Place.KEY, "1:1: key must give a string, and this gives timestamp"),
        ("event.id", Place.WHEN, "1:1: when must give true or false, and this gives string"),
        ("response.status", Place.EMIT, "1:1: when must give true or false, and this gives a number"),
        ("event.data.n % 2", Place.WHEN, "1:1: when must give true or false, and this gives a number"),
        ("event.data.n * event.data.m", Place.WHEN, "1:1: when must give true or false, and this gives a number"),
        ("event.data.n + event.data.m", Place.BODY, "1:1: body must give a map, and this gives a number"),
        ("-event.data.n", Place.KEY, "1:1: key must give a string, and this gives a number; write string(...)"),
        ("event.data.n * 2", Place.KEY, "1:1: key must give a string, and this gives a number; write string(...)"),
        ("7", Place.KEY, "1:1: key must give a string, and this gives a number; write string(...)"),
        ("[event.id]", Place.BODY, "body must give a map, and this gives list<string>"),
        ("{1: event.id}", Place.BODY, "body must give a map, and this gives map<int, string>"),
        ("cause", Place.COMPENSATION_BODY, "body must give a map"),
        ("1 == 0 ||\n event.data.n / 0 > 1", Place.WHEN, "2:15: this divides by zero"),
        ("response.status % 0 == 1", Place.EMIT, "1:17: this divides by zero"),
        ("1 +", Place.WHEN, "1:4: mismatched input '<EOF>'"),
        ("", Place.WHEN, "1:1: mismatched input"),
        ("true \0", Place.WHEN, "1:6: token recognition error"),
        ("\ud800", Place.WHEN, "1:1: "),
        ("event.data.s.matches('(')", Place.WHEN, "missing )"),
        ("google.protobuf.Struct{}", Place.BODY, "cannot be built here"),
        (
            'events["a"].time < event.time',
            Place.WHEN,
            '1:18: this time is a string; write timestamp(events["..."].time)',
        ),
    ],
)
def test_errors_of_an_author_say_where_and_what(source, place, message):
    assert message in refusal(source, place)


@pytest.mark.parametrize(
    "source",
    [
        "events.placed.data",
        "events[event.type].data",
        "events",
        "events.map(e, e) == []",
        "event.type in events ? {} : {}",
    ],
)
def test_events_are_named_by_literals_only(source):
    text = refusal(source, Place.BODY if source[-1] != "]" else Place.WHEN)
    assert 'write events["order.placed"].data, or "order.placed" in events' in text


def test_a_loop_variable_does_not_get_around_the_rule_for_events():
    refusal("[1].all(events, events == 1)", Place.WHEN)


@pytest.mark.parametrize("total", [42, 42.0, 42.5])
def test_whole_numbers_and_fractions_behave_the_same(total):
    expected = {"x": total * 2, "y": total}
    assert evaluate('{"x": event.data.total * 2.0, "y": event.data.total}', total=total) == expected
    assert evaluate('{"x": event.data.total * 2, "y": event.data.total}', total=total) == expected


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('{"x": event.data.total}', "{'x': 42}"),
        ('{"x": event.data.total / 4.0}', "{'x': 10.5}"),
        ('{"x": [{"y": event.data.total}]}', "{'x': [{'y': 42}]}"),
        ('{"x": 1, "y": 2u, "z": -0.0, "big": 1e300}', "{'big': 1e+300, 'x': 1, 'y': 2, 'z': 0}"),
        ('{"x": true, "y": null}', "{'x': True, 'y': None}"),
        ('{"x": event.time, "y": b"abc", "z": duration("1500ms")}', None),
    ],
)
def test_results_are_plain_json(source, text):
    timely = {"x": "2026-01-02T03:04:05Z", "y": "YWJj", "z": "1.5s"}
    assert repr(evaluate(source)) == (text or repr(timely))


def test_an_integer_that_no_double_can_hold_passes_unharmed():
    assert evaluate("event.data", id=2**53 + 1, other=2**60) == {"id": 2**53 + 1, "other": 2**60}


@pytest.mark.parametrize(
    ("number", "text"),
    [(2.0**62, "4611686018427387904"), (-(2.0**62), "-4611686018427387904"), (2.0**63, str(2.0**63))],
)
def test_whole_numbers_are_written_back_as_integers_as_far_as_cel_has_them(number, text):
    assert repr(evaluate('{"x": event.data.x * 1.0}', x=number)["x"]) == text


def test_an_expression_has_so_many_characters_at_most():
    assert evaluate("true".ljust(MAX_LENGTH), Place.WHEN) is True


def test_a_name_that_cel_cannot_hold_is_passed_on_at_the_root_too():
    data = {"a\0b": [1], "c": 2}
    assert evaluate("event.data", **data) == data


def test_a_result_has_so_many_characters_at_most():
    longest = "a" * (MAX_RESULT - 5)  # beside the key, and two for each value
    assert evaluate('{"x": event.data.s}', s=longest) == {"x": longest}
    assert "the result is larger than 512 KiB" in failure('{"x": event.data.s}', s=f"{longest}a")


@pytest.mark.parametrize(
    ("place", "field"),
    [
        (Place.KEY, "key"),
        (Place.WHEN, "when"),
        (Place.BODY, "action.body"),
        (Place.EMIT, "emits.when"),
        (Place.COMPENSATION_BODY, "compensation.body"),
    ],
)
def test_an_error_says_in_which_field_the_expression_stands(place, field):
    with pytest.raises(EvaluationError) as caught:
        compile_expression("event.data.missing", place)(VARIABLES)
    assert caught.value.place == field


@pytest.fixture
def counted():
    """References are what the test makes of them: no collection of what others left behind comes in between."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_nulls_that_come_out_do_not_wear_python_s_own_out(counted):
    # at none that is left the interpreter ends: however many there were, a sidecar lives to see it
    nothing = {"x": None}
    for source, place in [
        ('{"x": null}', Place.BODY),
        ('{"x": [request, result.x]}', Place.COMPENSATION_BODY),
        ("request", Place.COMPENSATION_BODY),
        ("response.body.x", Place.EMIT),
    ]:
        program = compile_expression(source, place)
        before = sys.getrefcount(None)
        for _ in range(200):
            with suppress(EvaluationError):
                program({"request": None, "result": nothing, "response.body": nothing})
        assert sys.getrefcount(None) > before - 100, source


def test_maps_come_out_in_one_order():
    assert list(evaluate('{"c": 1, "a": 2, "b": 3}')) == ["a", "b", "c"]


def test_the_status_stays_an_integer_and_events_carry_their_time_as_text():
    assert evaluate("response.status % 100 == 0", Place.EMIT) is True
    assert evaluate('{"at": events["order.placed"].time}') == {"at": "2026-01-02T03:04:05Z"}


@pytest.mark.parametrize(
    ("source", "place", "message"),
    [
        ("event.data.missing", Place.KEY, "there is no event.data.missing"),
        ("event.data.total", Place.KEY, "key must give a string, and this gave a number; write string(...)"),
        ("event.data.total", Place.WHEN, "when must give true or false, and this gave a number"),
        ("event.data.orderId", Place.WHEN, "when must give true or false, and this gave string"),
        ("response.body.missing", Place.EMIT, "there is no response.body.missing"),
        ("event.data.lines", Place.BODY, "body must give a map, and this gave list"),
        ("result.reservation", Place.COMPENSATION_BODY, "body must give a map"),
        ('{"x": 1 / (1 - 1)}', Place.BODY, "divide by zero"),
        ('{"x": 1.0 / 0.0}', Place.BODY, "inf, which JSON cannot express"),
        ('{"x": type(1)}', Place.BODY, "which JSON cannot express"),
        ('{"x": {1: 2}}', Place.BODY, "keys of a map must be strings, and one is not"),
        ('events["gone"].data', Place.BODY, "there is no events.gone"),
    ],
)
def test_what_fails_on_the_data_is_an_evaluation_error(source, place, message):
    text = failure(source, place)
    assert text.startswith(source)
    assert message in text


def test_a_variable_that_is_not_there_is_an_evaluation_error():
    with pytest.raises(EvaluationError, match=r"event\.data"):
        compile_expression("event.data.x", Place.KEY)({})


def test_only_what_is_named_is_looked_at():
    assert compile_expression('events["a"].data == 1.0', Place.WHEN)(
        {"events": {"a": {"data": 1}, "b": object()}, "event.data": object()}
    )


S, L = "event.data.s", "event.data.l"
WRITTEN = "'a' + i != ''"
UUID = "0123abcd-0123-4567-89ab-0123456789ab"
FOUR = "[s+s+s].all(a, [a+a].all(b, [b+b].all(c, [c+c].all(d, true))))".replace("s", S)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (FOUR, "4 loops"),
        (f"{S}.replace('a', {S}).replace('a', {S}) == ''", "undeclared reference to 'replace'"),
        (f"cel.bind(x, {S}, x + x) == ''", "undeclared reference"),
        (f"{L}.all(i, {'+'.join([S] * 10)} != '')", "9 additions beside a loop"),
        (f"{L}.filter(i, {'+'.join([S] * 9)} != '') == []", "9 additions beside a loop"),
        (f"{L}.all(a, {L}.all(b, {L}.all(c, true)))", "3 loops"),
        (" || ".join(["event.data.a == 1"] * 41), "parts, over the limit of 200"),
        ("true" + " " * 2045, "2049 characters"),
        ("(" * 40 + "true" + ")" * 40, "nested too deeply"),
        (f"{S}.matches(event.id)", "matches takes a string literal"),
        (f"{S}.contains({S})", "contains takes a string literal"),
        (f"{S}.matches('(\\\\pL{{100}}){{3}}')", "regular expression is too costly, or matched too often"),
    ],
)
def test_f56_what_could_cost_too_much_is_refused_by_its_text(source, message):
    # F56: what an expression may cost is bounded by its text when the saga is checked
    assert message in refusal(source, Place.WHEN)


@pytest.mark.parametrize("source", ["'a'.replace('a', 'b')", "['a'].join()", "'%s'.format(['a'])", "'a'.split('')"])
def test_functions_are_allowed_by_name_whatever_the_library_offers(source):
    rich = cel.NewEnv(extensions=[ext_strings.ExtStrings()])
    with pytest.raises(ExpressionError, match="is not available here"):
        survey(read(rich.compile(source).serialize(), source))


@pytest.mark.parametrize(
    ("source", "place", "data"),
    [
        pytest.param(f'{{"x": {L}.map(i, i * 2.0)}}', Place.BODY, {"l": [1] * 9900}, id="quadratic map"),
        pytest.param(f"{L}.all(i, !i.matches('(.*x)+b'))", Place.WHEN, {"l": ["x" * 9000] * 1000}, id="matches"),
        pytest.param(f"{L}.all(i, size(i + i) > 0)", Place.WHEN, {"l": ["x" * 30_000] * 1000}, id="sums of text"),
        pytest.param(f"{L}.all(i, size(i) > 0)", Place.WHEN, {"l": ["x" * 110_000] * 1000}, id="size of text"),
        pytest.param(
            f"{L}.all(i, {' && '.join([f'size({S}) > 0'] * 9)})",
            Place.WHEN,
            {"l": [1] * 50, "s": "x" * 250_000},
            id="sizes",
        ),
        pytest.param(
            f"{L}.all(i, !{S}.contains('{'x' * 50}y'))", Place.WHEN, {"l": [1] * 99, "s": "x" * 250_000}, id="contains"
        ),
        pytest.param(
            f"{L}.all(i, {L}.all(j, {S} == event.data.t && {S} < event.data.t))",
            Place.WHEN,
            {"l": [1] * 99, "s": "x" * 250_000, "t": "x" * 250_000},
            id="texts compared",
        ),
        pytest.param(f"{S}.matches('a.{{1000}}c')", Place.WHEN, {"s": "ab" * 125_000}, id="a pattern of many states"),
        pytest.param(f"{S}.matches('[ab]*a[ab]{{1000}}c')", Place.WHEN, {"s": "ab" * 125_000}, id="and another"),
        pytest.param(
            " || ".join([f"{S}.matches('[ab]*a[ab]{{20}}c')"] * 12), Place.WHEN, {"s": "ab" * 20_000}, id="many of few"
        ),
        pytest.param(
            f"({'+'.join([S] * 9)}).matches('[ab]*a[ab]{{20}}c')", Place.WHEN, {"s": "ab" * 20_000}, id="of a long sum"
        ),
        pytest.param(
            f"{S}.matches('a.{{1000}}c') ? '' : ''", Place.KEY, {"s": "ab" * 125_000}, id="a pattern in a key"
        ),
        pytest.param(
            f"{L}.all(i, {L}.all(j, !(7 in event.data.m)))", Place.WHEN, {"l": [1] * 99, "m": [1] * 1000}, id="in"
        ),
        pytest.param(
            f"{L}.map(i, event.data.m) == {L}.map(i, event.data.m)",
            Place.WHEN,
            {"l": [1] * 1000, "m": [[1] * 1000] * 9},
            id="what loops made, compared",
        ),
        pytest.param(
            f"{L}.all(i, size(event.data.m + event.data.m + event.data.m) > 0)",
            Place.WHEN,
            {"l": [1] * 1000, "m": [1] * 1000},
            id="lists added in a loop",
        ),
        pytest.param(f"size({'+'.join([L] * 16)}) > 0", Place.WHEN, {"l": [1] * 100_000}, id="a long list added"),
        pytest.param(
            f"{L}.all(i, {L}.all(j, {' && '.join(['string(i) != string(j)'] * 4)}))",
            Place.WHEN,
            {"l": [1] * 99},
            id="text made of numbers",
        ),
        pytest.param(
            f"{L}.all(i, {L}.all(j, {' && '.join([WRITTEN] * 8)}))",
            Place.WHEN,
            {"l": [1] * 99},
            id="text added to numbers",
        ),
        pytest.param('{"x": event.data}', Place.BODY, {"l": [1] * 200_000}, id="values"),
        pytest.param('{"x": event.data}', Place.BODY, {"l": [[]] * 100_000}, id="lists"),
        pytest.param(f"{L}.exists(i, i.x == 0)", Place.WHEN, {"l": [{"x": 1}] * 3000}, id="exists"),
        pytest.param(f"{L}.all(k, true)", Place.WHEN, {"l": {str(k): 1 for k in range(1001)}}, id="keys of a map"),
        pytest.param(f"({'+'.join([L] * 8)}).map(i, i) == []", Place.WHEN, {"l": [1] * 1000}, id="lists added"),
        pytest.param(
            f"[{'0,' * 60}0].all(i, [{'0,' * 60}0].all(j, size({S}) > 0))",
            Place.WHEN,
            {"s": "x" * 30_000},
            id="literals",
        ),
        pytest.param(
            f"{L}.all(i, {L}.all(j, size({S}) > 0))", Place.WHEN, {"l": [1] * 100, "s": "x" * 11_000}, id="nested"
        ),
        pytest.param(
            f"{L}.all(i, event.data == event.data)",
            Place.WHEN,
            {"l": [1] * 1000, "m": [[1] * 1000] * 9},
            id="comparisons",
        ),
        pytest.param("+".join([S] * 28) + " == ''", Place.WHEN, {"s": "x" * 300_000}, id="a long sum"),
        pytest.param(f"{L}.all(i, {S}.matches('[a-z]{{100}}'))", Place.WHEN, {"l": [1] * 900, "s": "x"}, id="patterns"),
    ],
)
def test_f56_what_could_cost_too_much_on_these_data_is_refused_before_it_runs(source, place, data):
    text = failure(source, place, **data)
    # F56: by the data before each evaluation
    assert "the data are too large for this expression" in text


def test_f56_a_result_larger_than_its_data_is_refused():
    assert "larger than" in failure(f'{{"x": {L}.map(i, event.data)}}', l=[1] * 900)
    assert "larger than" in failure(f'{{"x": {L}.map(i, {S})}}', l=[1] * 90, s="x" * 20_000)


def test_f56_the_librarys_own_budget_is_an_evaluation_error():
    assert "iteration" in failure(f"{L}.all(i, {L}.all(j, true))", Place.WHEN, l=[1] * 200).lower()


@pytest.mark.parametrize(
    ("source", "place", "data"),
    [
        (
            f"{L}.exists(i, i.sku == event.data.sku) == false",
            Place.WHEN,
            {"l": [{"sku": "a", "n": 1}] * 1000, "sku": 1},
        ),
        (f"{L}.all(i, size(i) > 0)", Place.WHEN, {"l": ["x" * 8000] * 1000}),
        (f"{L}.all(i, i.matches('^[A-Z]{{2}}[0-9]$'))", Place.WHEN, {"l": ["AB1"] * 1000}),
        (f"{L}.map(i, i) == {L}", Place.WHEN, {"l": [1] * 1000}),
        ("size(event.data.l) == 9000", Place.WHEN, {"l": [1] * 9000}),
        (f"{S} + '!' != ''", Place.WHEN, {"s": "x" * 256_000}),
        (f"{L}.all(i, i.size > 0.0) && size({S}) > 0", Place.WHEN, {"l": [{"size": 1}] * 1000, "s": "x" * 9000}),
        (f"size({L}.filter(i, i > 0.0).map(i, i)) == 1000", Place.WHEN, {"l": [1] * 1000}),
        (f"{L}.all(i, i != 'x') && event.data == event.data", Place.WHEN, {"l": [1] * 1000, "m": [[1] * 999] * 7}),
        ("event.data.events == 1.0", Place.WHEN, {"events": 1}),
        (f"!{S}.matches('^[A-Z]{{2}}[0-9]$')", Place.WHEN, {"s": "x" * 256_000}),
        (f"!{S}.matches('^[^@\\\\s]+@[^@\\\\s]+[.][a-z]+$')", Place.WHEN, {"s": "x" * 250_000}),
        (f"{S}.matches('^[0-9a-f]{{8}}-([0-9a-f]{{4}}-){{3}}[0-9a-f]{{12}}$')", Place.WHEN, {"s": UUID}),
        (
            f"{L}.all(i, i.matches('^[0-9a-f]{{8}}-([0-9a-f]{{4}}-){{3}}[0-9a-f]{{12}}$'))",
            Place.WHEN,
            {"l": [UUID] * 500},
        ),
        (f"{L}.all(i, i.sku in event.data.skus)", Place.WHEN, {"l": [{"sku": "a"}] * 1000, "skus": ["a"] * 1000}),
        (f"{L}.map(i, i.a + i.b + i.c) != []", Place.WHEN, {"l": [{"a": 1, "b": 2, "c": 3}] * 1000}),
        (f"{L}.map(i, event.data.n + i + 1) != []", Place.WHEN, {"l": [1] * 1000, "n": 1}),
        (f"{L}.all(i, string(i) != '' && 'a' + i != '')", Place.WHEN, {"l": [1] * 1000}),
        (f"size({L} + {L}) == 40000", Place.WHEN, {"l": [1] * 20_000}),
    ],
)
def test_ordinary_data_are_within_the_bounds(source, place, data):
    assert evaluate(source, place, **data) is True


@pytest.mark.parametrize(
    ("source", "data", "why"),
    [
        (
            f"{L}.all(i, true)",
            {"l": [1] * 1001},
            "a list or map of 1001 items is over the 1000 that a loop may go over",
        ),
        (
            f"([1.0] + {L}).all(i, true)",
            {"l": [1] * 501},
            "a list or map of 501 items, which 1 additions may double each, is over the 1000 that a loop may go over",
        ),
        (
            f"{L}.all(i, {L}.all(j, size({S}) > 0))",
            {"l": [1] * 101, "s": "x" * 12_000},
            "a string of 12000 characters is too long to be read 10000 times",
        ),
        (
            f"{L}.all(i, event.data in {L})",
            {"l": [1] * 1000, "m": [[1] * 999] * 8},
            "9013 values are too many to be compared 1000 times",
        ),
        (
            f"{L}.all(i, {S}.matches('[a-z]{{100}}'))",
            {"l": [1] * 900, "s": "x"},
            "a regular expression is too costly, or matched too often",
        ),
    ],
)
def test_what_is_too_large_says_what_of_it(source, data, why):
    assert failure(source, Place.WHEN, **data) == (
        f"{shortened(source, 80)}: the data are too large for this expression: {why}"
    )


def test_what_only_the_data_decide_is_no_matter_of_the_text():
    # by the least data that there could be it would be refused at once
    assert compile_expression(f"({'+'.join([L] * 9)}).all(i, {S}.matches('[a-z]{{110}}'))", Place.WHEN)


AVAILABLE = [
    *(
        "!(1 > 2) || false",
        "-(1) < 0",
        "3 - 1 == 2 && 3 * 2 == 6 && 6 / 2 == 3 && 7 % 2 == 1 && 1 + 1 != 3",
        "1 in [1]",
    ),
    *("1 <= 1 && 1 >= 1 && 1 < 2", "[1][0] == 1", "true ? true : false"),
    *("event.time.getFullYear() == 2026", "event.time.getMonth() == 0", "event.time.getDate() == 2"),
    *("event.time.getDayOfMonth() == 1", "event.time.getDayOfWeek() == 5", "event.time.getDayOfYear() == 1"),
    *("event.time.getHours() == 3", "event.time.getMinutes() == 4", "event.time.getSeconds() == 5"),
    *("event.time.getMilliseconds() == 0", "size('a') == 1", "'ab'.contains('b')", "'ab'.startsWith('a')"),
    *("'ab'.endsWith('b')", "'ab'.matches('^a')", "bool('true')", "bytes('a') == b'a'", "double('1') == 1.0"),
    *("duration('1s') < duration('2s')", "int('1') == 1", "string(1) == '1'", "uint('1') == 1u", "dyn(1) == 1"),
    *("timestamp('2026-01-02T03:04:05Z') == event.time", "type(1) == int"),
    *(
        "[1].all(i, i == 1)",
        "[1].exists(i, i == 1)",
        "[1].exists_one(i, i == 1)",
        "[1].map(i, i).filter(i, true) == [1]",
    ),
]


@pytest.mark.parametrize("source", AVAILABLE)
def test_what_is_available(source):
    assert evaluate(source, Place.WHEN) is True
