"""What an expression looks into without asking; and what passes never fails where that is missing."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sagamesh.errors import ExpressionError
from sagamesh.language.cel.expressions import Place, compile_expression
from sagamesh.language.cel.guards.facts import NOTHING, Heard
from sagamesh.language.cel.guards.judging import required, unguarded

BODY, UNDO = Place.EMIT, Place.COMPENSATION_BODY
MAP = "type(response.body) == map"


def guards(source: str, place: Place) -> list[tuple[str, str]]:
    """What is looked into, and what should be asked before."""
    return [(found.text, found.guard) for found in unguarded(compile_expression(source, place).tree, place)]


@pytest.mark.parametrize(
    "source",
    [
        '{"id": result != null ? result.id : ""}',
        '{"id": null != result ? result["id"] : ""}',
        '{"id": result == null ? "" : result.id}',
        '{"id": !(result == null) ? result.id : ""}',
        '{"id": type(result) == map ? result.id : ""}',
        '{"id": type(result) != null_type ? result.id : ""}',
        '{"id": null_type == type(result) ? "" : result.id}',
        '{"id": result != null && has(result.id) ? result.id : ""}',
        '{"id": result == null || !has(result.id) ? "" : result.id}',
        '{"ok": result != null && result.list.all(x, x.n > result.least)}',
        'result != null ? result : {"of": request}',
        'result != null && request != null ? {"id": result.id, "of": request.n} : {"of": request}',
        '{"result": result, "request": [request], "cause": cause}',
        '{"same": result == request, "in": result in [1, request]}',
        '{"in": result != null && result in {"a": 1}}',
        '{"type": type(result) == string, "n": dyn(result) == null}',
        '{"n": event.data.n + 1.0, "of": events["a"].data.n}',
        '{"kept": [1, 2].map(x, result)}',
        '{"x": [{"a": 1}].all(result, result.a == 1)}',
        '{"x": (result != null ? result : {"id": 1}).id}',
        '{"x": (result != null ? result : {"a": 2, "id": 1}).id}',
        '{"x": has((result != null ? result : {}).id)}',
        '{"x": type(result) == list && result.all(x, x.n > 1.0)}',
    ],
)
def test_a_compensation_s_body_that_asks_whether_there_is_a_result(source: str) -> None:
    assert guards(source, UNDO) == []


@pytest.mark.parametrize(
    ("source", "text", "variable"),
    [
        ('{"id": result.id}', "result.id", "result"),
        ('{"id": result["id"]}', "result.id", "result"),
        ('{"id": result.a["b c"].d}', 'result.a["b c"].d', "result"),
        ('{"id": result[event.data.key]}', "result", "result"),
        ('{"id": has(result.id) ? result.id : ""}', "result", "result"),
        ('{"id": result == null ? result.id : ""}', "result.id", "result"),
        ('{"id": result != null || result.id == 1.0}', "result.id", "result"),
        ('{"id": result.id == 1.0 && result != null}', "result.id", "result"),
        ('{"id": request != null ? result.id : ""}', "result.id", "result"),
        ('{"id": result == request ? result.id : ""}', "result.id", "result"),
        ('{"id": [null_type].all(x, type(result) == x ? result.id == 1.0 : true)}', "result.id", "result"),
        ('{"n": request.n}', "request.n", "request"),
        ('{"id": (result != null ? result : request).id}', "request", "request"),
        ('{"id": [result][0].id}', "result", "result"),
        ('{"id": {"a": result}.a.id}', "result", "result"),
        ('{"id": [1].map(x, result)[0].id}', "result", "result"),
        ('{"id": dyn(result).id}', "result.id", "result"),
        ('{"id": ([1] + [result])[0].id}', "result", "result"),
        ('{"id": [result].all(x, x.id == 1)}', "result", "result"),
        ('{"id": result.all(x, true)}', "result", "result"),
        ('{"id": [1].all(x, result.id == x)}', "result.id", "result"),
        ('{"id": "id" in result}', "result", "result"),
        ('{"id": size(result)}', "result", "result"),
        ('{"a": result in {"a": 1}}', "result", "result"),
        ('{"a": result in event.data.list}', "result", "result"),
        ('{"a": result in {1: 1}.map(k, result)[0]}', "result", "result"),
        ('{"id": string(result)}', "result", "result"),
        ('{"id": result + "!"}', "result", "result"),
        ('{"id": result ? 1 : 2}', "result", "result"),
        ('{"id": !result}', "result", "result"),
        ("{result: 1}", "result", "result"),
        ("{result.id: 1}", "result.id", "result"),
        ("result", "result", "result"),
        ('event.type == "a" ? result : {}', "result", "result"),
        ('{"id": (event.type == "a" ? result : {"id": 1}).id}', "result", "result"),
    ],
)
def test_a_compensation_s_body_that_does_not_ask(source: str, text: str, variable: str) -> None:
    assert guards(source, UNDO) == [(text, f"{variable} != null")]


@pytest.mark.parametrize(
    "source",
    [
        "response.status == 200",
        'response.body == "ok"',
        'response.body != null && response.body == {"ok": true}',
        'response.body in ["ok", "fine"]',
        f"{MAP} && has(response.body.ok) && response.body.ok",
        f'{MAP} && "ok" in response.body && response.body["ok"] == true',
        f'{MAP} && "o k" in response.body && response.body["o k"] == true',
        f"{MAP} && has(response.body.a) && has(response.body.a.b) && response.body.a.b > 1.0",
        f"{MAP} && has(response.body.a) && response.body.a[0].all(x, x.n > 1.0)",
        f"!({MAP}) || !has(response.body.ok) || response.body.ok == 1.0",
        f"({MAP} && has(response.body.ok)) ? response.body.ok == 1.0 : false",
        "type(response.body) != map || !has(response.body.ok) ? false : response.body.ok == 1.0",
        f"{MAP} && size(response.body) > 1 && response.body.all(key, key != 'x' || key.startsWith('y'))",
        "type(response.body) == list && size(response.body) > 1 && 'x' in response.body",
        "type(response.body) == list && response.body.all(x, type(x) == map && has(x.ok) && x.ok == 1.0)",
        "type(response.body) == list && response.body.exists(x, x == 1.0)",
        "type(response.body) == string && (response.body.startsWith('a') || response.body < 'z')",
        "type(response.body) == string && response.body.matches('^a') && size(response.body) > 1",
        "type(response.body) == double && (response.body > 1.0 || response.body <= 2 || 3u < response.body)",
        "type(response.body) == bool && response.body",
        "type(response.body) == bool ? response.body == true : false",
        "!(type(response.body) == bool && !response.body)",
        '"x-kind" in response.headers && response.headers["x-kind"] == "new"',
        "has(response.headers.kind) && response.headers.kind.startsWith('a')",
        "size(response.headers) > 1 && response.headers.all(name, name != '')",
        "type(response.body) == list && size(response.body) > 0 && response.body[0] == 'x'",
        "type(response.body) == list && size(response.body) >= 2 && response.body[1] == 'x'",
        "type(response.body) == list && 2 == size(response.body) && response.body[1] == 'x'",
        "type(response.body) == list && 1 < size(response.body) && response.body[1] == 'x'",
        "type(response.body) == list && 2 <= size(response.body) && response.body[1] == 'x'",
        "type(response.body) == list && size(response.body) != 0 && response.body[0] == 'x'",
        "type(response.body) != list || size(response.body) == 0 || response.body[0] == 'x'",
        "type(response.body) != list || size(response.body) <= 1 || response.body[1] == 'x'",
        "type(response.body) != list || size(response.body) < 2 || response.body[1] == 'x'",
        "type(response.body) == list && size(response.body) > 0 && type(response.body[0]) == map "
        "&& has(response.body[0].x) && response.body[0].x == 1",
        "response.headers.exists(k, response.headers[k] == 'v')",
        "response.headers.exists(k, k.startsWith('x-') && response.headers[k].startsWith('v'))",
        f"{MAP} && response.body.exists(k, response.body[k] == 'x')",
        f"{MAP} && response.body.all(k, type(response.body[k]) == string && response.body[k] < 'x')",
        f"{MAP} && response.body.all(k, response.body.all(j, response.body[k] == response.body[j]))",
        "event.type in response.headers && response.headers[event.type] == 'v'",
        "type(response.body) == type({}) && has(response.body.ok) && response.body.ok == true",
        "type(response.body) == type([]) && response.body.exists(x, x == 1)",
        "type('') == type(response.body) && response.body < 'z'",
        "type(response.body) == string && response.body in {'a': 1}",
        "type(response.body) == double && response.body in {1: 1}",
        "type(response.body) == bool && response.body in {true: 1}",
        "response.body in [1, 2].map(x, x * 2) || response.body in [1] + [2]",
        "type(event.data.list) == list && response.body == event.data.list",
        "event.data.n > 1.0 && saga.id != ''",
        '{"a": response.status}.a == 200 && [1, response.status][1] == 200',
        '(response.status == 200 ? {"a": 1} : {"a": 2}).a == 1',
    ],
)
def test_a_when_that_asks_what_the_answer_holds(source: str) -> None:
    assert guards(source, BODY) == []


FIELD = f"{MAP} && has(response.body.ok)"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("response.body.ok", [("response.body.ok", FIELD)]),
        ("response.body.ok == true || true", [("response.body.ok", FIELD)]),
        ("has(response.body.ok) && response.body.ok", [("response.body", MAP)]),
        ("response.body != null && has(response.body.ok) && response.body.ok", [("response.body", MAP)]),
        (f"{MAP} && response.body.ok", [("response.body.ok", "has(response.body.ok)")]),
        (f"{MAP} && has(response.body.other) && response.body.ok", [("response.body.ok", "has(response.body.ok)")]),
        (f"{MAP} || has(response.body.ok)", [("response.body", MAP)]),
        (f"response.body.ok == 1.0 && {FIELD}", [("response.body.ok", FIELD)]),
        (f"{MAP} && has(response.body.a.b)", [("response.body.a", "has(response.body.a)")]),
        (
            'response.body.a["b c"] == 1.0',
            [('response.body.a["b c"]', f'{MAP} && has(response.body.a) && "b c" in response.body.a')],
        ),
        (
            'response.body["\\"\\\\"] == 1.0',
            [('response.body["\\"\\\\"]', f'{MAP} && "\\"\\\\" in response.body')],
        ),
        ("type(response.body) == string && response.body.ok", [("response.body.ok", FIELD)]),
        (f"{MAP} && response.body[event.data.key] == 1.0", [("response.body", "")]),
        (f"{MAP} && has(response.body.a) && response.body.a[event.data.key] == 1.0", [("response.body.a", "")]),
        (
            f"{MAP} && has(response.body.a) && response.body.a[event.type] == 1.0",
            [("response.body.a[event.type]", "event.type in response.body.a")],
        ),
        (f"{MAP} && response.body[event.type] == 1", [("response.body[event.type]", "event.type in response.body")]),
        ("type(response.body) == list && response.body[0] == 1", [("response.body[0]", "size(response.body) > 0")]),
        ("response.body[1] == 1", [("response.body[1]", "type(response.body) == list && size(response.body) > 1")]),
        (
            "type(response.body) == list && size(response.body) > 0 && response.body[1] == 1",
            [("response.body[1]", "size(response.body) > 1")],
        ),
        (
            f"{MAP} && size(response.body) > 0 && response.body[0] == 1",
            [("response.body[0]", "type(response.body) == list")],
        ),
        (
            "type(response.body) == list && (size(response.body) < 2 || response.body[2] == 1)",
            [("response.body[2]", "size(response.body) > 2")],
        ),
        (
            "type(response.body) == list && size(response.body) > 0 && response.body[0].x == 1",
            [("response.body[0].x", "has(response.body[0].x)")],
        ),
        ("type(response.body) == list && response.body[-1] == 1", [("response.body[-1]", "size(response.body) > -1")]),
        (
            f"{MAP} && response.body.exists(k, response.body[k].x == 1)",
            [("response.body[k].x", "has(response.body[k].x)")],
        ),
        (
            f"{MAP} && response.body.exists(k, ['a'].exists(k, response.body[k] == 1))",
            [("response.body[k]", "k in response.body")],
        ),
        (
            "type(response.body) == list && response.body.exists(k, response.body[k] == 1)",
            [("response.body[k]", "type(response.body) == map && k in response.body"), ("k", "type(k) == ...")],
        ),
        (f"{MAP} && response.headers.exists(k, response.body[k] == '')", [("response.body[k]", "k in response.body")]),
        ('response.body in {"a": 1}', [("response.body", "type(response.body) == ...")]),
        ("response.body in response.headers", [("response.body", "type(response.body) == ...")]),
        ("response.body in event.data.list", [("response.body", "type(response.body) == ...")]),
        (f'{MAP} && response.body in {{"a": 1}}', [("response.body", "type(response.body) == ...")]),
        ("type(response.body) == type('') && response.body.ok", [("response.body.ok", FIELD)]),
        ("type(response.body) == type(event.data) && response.body.ok", [("response.body.ok", FIELD)]),
        (
            "type(response.body) == list && response.body.all(x, x.ok == 1.0)",
            [("x.ok", "type(x) == map && has(x.ok)")],
        ),
        (
            "type(response.body) == list && response.body.all(x, type(x) == map && has(x.ok)) && response.body.ok",
            [("response.body.ok", FIELD)],
        ),
        ("response.body", [("response.body", "type(response.body) == ...")]),
        ("response.body && true", [("response.body", "type(response.body) == ...")]),
        ("response.body > 1.0", [("response.body", "type(response.body) == ...")]),
        ("type(response.body) == string && response.body > 1.0", [("response.body", "type(response.body) == ...")]),
        ("type(response.body) == double && response.body > 'x'", [("response.body", "type(response.body) == ...")]),
        ("type(response.body) == string && int(response.body) > 1", [("response.body", "type(response.body) == ...")]),
        ("size(response.body) > 1", [("response.body", "type(response.body) == ...")]),
        (
            "type(response.body) == string && response.body.getHours('UTC') > 1",
            [("response.body", "type(response.body) == ...")],
        ),
        ("'x' in response.body", [("response.body", "type(response.body) == ...")]),
        ("response.body.all(x, true)", [("response.body", "type(response.body) == ...")]),
        ("response.body.startsWith('a')", [("response.body", "type(response.body) == ...")]),
        ("type(response.body) == list && 'ok' in response.body && response.body.ok", [("response.body.ok", FIELD)]),
        ('response.headers["x-kind"] == ""', [('response.headers["x-kind"]', '"x-kind" in response.headers')]),
        ("response.headers.kind == ''", [("response.headers.kind", '"kind" in response.headers')]),
        ("response.headers[event.type] == ''", [("response.headers[event.type]", "event.type in response.headers")]),
        ("response.headers[event.data.name] == ''", [("response.headers", "")]),
        ("dyn(response.headers).kind == ''", [("response.headers.kind", '"kind" in response.headers')]),
        ("[response.headers][0].kind == ''", [("response.headers", "")]),
        (
            "(true ? response.headers : {'kind': ''}).kind == ''",
            [("response.headers", "")],
        ),
        (
            'response.headers["a"] == response.headers["b"] && response.headers["a"] == ""',
            [("response.headers.b", '"b" in response.headers'), ("response.headers.a", '"a" in response.headers')],
        ),
    ],
)
def test_a_when_that_does_not_ask(source: str, expected: list[tuple[str, str]]) -> None:
    assert guards(source, BODY) == expected


@pytest.mark.parametrize("place", [Place.KEY, Place.WHEN, Place.BODY])
def test_elsewhere_what_is_missing_is_between_the_saga_and_its_events(place: Place) -> None:
    source = {Place.KEY: "event.data.id", Place.WHEN: "event.data.ok", Place.BODY: '{"x": event.data.x.y}'}[place]
    assert unguarded(compile_expression(source, place).tree, place) == ()


OPT = Heard({"opt.done": "opt", "fast.done": "fast"}, ("opt.done",))
"""Of a step that listens to one that may be skipped."""
JOINED = OPT._replace(by=())
MERGED = OPT._replace(by=("opt.done", "other.done"))
SKIPPED = 'events["opt.done"].data'


def missing(source: str, place: Place, heard: Heard, when: str | None = None) -> list[tuple[str, str]]:
    known = NOTHING if when is None else required(compile_expression(when, Place.WHEN).tree, heard)
    found = unguarded(compile_expression(source, place).tree, place, heard, known)
    return [(each.text, each.guard) for each in found]


@pytest.mark.parametrize(
    ("place", "of"),
    [
        (Place.WHEN, "{} == 1.0"),
        (Place.BODY, '{{"x": {}}}'),
        (Place.EMIT, "{} == 1.0"),
        (Place.COMPENSATION_BODY, '{{"x": {}}}'),
    ],
)
def test_the_data_of_a_step_that_may_be_skipped_are_asked_for_everywhere(place: Place, of: str) -> None:
    assert missing(of.format("event.data.id"), place, OPT) == [("event.data.id", "event.data != null")]
    assert missing(of.format("event.data.id"), place, JOINED) == []
    assert missing(of.format(f"{SKIPPED}.id"), place, JOINED) == [(f"{SKIPPED}.id", f"{SKIPPED} != null")]
    assert missing(of.format(f'{SKIPPED[:-5]}["data"]["id"]'), place, JOINED) == [
        (f"{SKIPPED}.id", f"{SKIPPED} != null")
    ]
    assert missing(of.format('events["other.done"].data.id'), place, JOINED) == []


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('{"x": has(event.data.id)}', "event.data"),
        ('{"x": "id" in event.data}', "event.data"),
        ("event.data", "event.data"),
        ('{"x": event.data.list.map(i, i)}', "event.data.list"),
        ('{"x": event.data in {"a": 1}}', "event.data"),
        ('{"x": events["opt.done"].data.id}', "event.data.id"),
        ('{"x": [events["opt.done"]][0].data.id}', "event.data"),
        ('{"x": events["opt.done"].data != null ? event.data.id : event.data.a}', "event.data.a"),
        ('{"x": [1].all(event, true) ? event.data.a : 1}', "event.data.a"),
    ],
)
def test_the_data_of_a_skipped_step_are_looked_into(source: str, text: str) -> None:
    assert missing(source, Place.BODY, OPT) == [(text, "event.data != null")]


@pytest.mark.parametrize(
    "source",
    [
        '{"x": event.data}',
        '{"x": event.data != null ? event.data.id : ""}',
        '{"x": events["opt.done"].data != null ? event.data.id : ""}',
        '{"x": event.data != null ? events["opt.done"].data.id : ""}',
        '{"x": event.type, "t": events["opt.done"].time, "id": events["opt.done"].id, "e": events["opt.done"]}',
        '{"x": type(event.data) == map && has(event.data.id) ? event.data.id : ""}',
        '{"x": has(events["opt.done"].data) ? events["opt.done"].type + "!" : ""}',
        '{"x": [{"data": {"id": 1}}].map(event, event.data.id)}',
        '{"x": [{"opt.done": {"data": {"id": 1}}}].map(events, events["opt.done"].data.id)}',
    ],
)
def test_the_data_of_a_skipped_step_are_asked_for(source: str) -> None:
    assert missing(source, Place.BODY, OPT) == []


@pytest.mark.parametrize(
    ("source", "is_guarded"),
    [
        ("event.type == 'other.done' && event.data.id == 1", True),
        ("'other.done' == event.type && event.data.id == 1", True),
        ("event.type != 'opt.done' && event.data.id == 1", True),
        ("event.type == 'opt.done' || event.data.id == 1", True),
        ("event.type == 'opt.done' && event.data.id == 1", False),
        ("event.type != 'other.done' && event.data.id == 1", False),
        ("event.data.id == 1", False),
    ],
)
def test_of_several_events_the_type_says_which_has_data(source: str, *, is_guarded: bool) -> None:
    assert missing(source, Place.WHEN, MERGED) == ([] if is_guarded else [("event.data.id", "event.data != null")])


@pytest.mark.parametrize(
    ("when", "is_enough"),
    [
        ("event.data != null", True),
        ("event.data != null && event.data.n > 1.0", True),
        ("saga.id != '' && (null != event.data && event.data.n > 1.0)", True),
        ("type(event.data) == map && event.data.n > 1.0", True),
        ("event.data == null", False),
        ("event.data != null || saga.id != ''", False),
        ("event.data.n > 1.0 ? event.data != null : event.data != null", False),
    ],
)
def test_what_a_when_asks_need_not_be_asked_again_where_the_step_runs(when: str, *, is_enough: bool) -> None:
    """Also where the `when` fails, for then the step fails, and is compensated: so the last is not enough."""
    expected = [] if is_enough else [("event.data.id", "event.data != null")]
    for place in (Place.BODY, Place.COMPENSATION_BODY):
        assert missing('{"x": event.data.id}', place, OPT, when) == expected
    assert missing("event.data.id == 1.0", Place.EMIT, OPT, when) == expected


def test_whose_being_skipped_it_is() -> None:
    assert OPT.steps("event.data") == ["opt"]
    assert JOINED.steps("event.data") == []
    assert JOINED.steps('events["fast.done"].data') == ["fast"]
    assert MERGED._replace(by=("opt.done", "fast.done", "other.done")).steps("event.data") == ["opt", "fast"]
    assert OPT.steps("result") == []


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('{"id": (result != null ? result : {}).id}', ".id"),
        ('{"id": (result != null ? result : {"x": 1}).id}', ".id"),
        ('{"id": (result != null ? dyn(result) : dyn(1)).id}', ".id"),
        ('{"id": dyn(1).id}', ".id"),
        ('{"id": has((result != null ? dyn(result) : dyn(1)).id)}', ".id"),
        ('{"id": has(dyn([1]).id)}', ".id"),
        ('{"id": dyn({"a": 1}).id}', ".id"),
        ('{"id": {"a": 1}["id"]}', ".id"),
        ('{"id": [1][1]}', ""),
        ('{"id": [1][-1]}', ""),
        ('{"id": [][0]}', ""),
    ],
)
def test_a_default_that_is_written_here_must_have_what_is_asked_of_it(source: str, text: str) -> None:
    assert guards(source, UNDO) == [(text, "")]


def test_a_slip_says_where() -> None:
    [found] = unguarded(compile_expression('{"a": 1,\n "id": result.id}', UNDO).tree, UNDO)
    assert (found.position, found.path) == ("2:14", ("result", "id"))


# -- what passes never fails -----------------------------------------------------------------------------------------

SIMPLE = (
    "{0} != null",
    "{0} == null",
    "type({0}) == map",
    "type({0}) != map",
    "type({0}) == list",
    "type({0}) == string",
    "type({0}) == double",
    "type({0}) == bool",
    "null_type == type({0})",
    "has({0}.a)",
    '"a" in {0}',
    '"b c" in {0}',
    "{0} == 1.0",
    "{0} > 1.0",
    "{0} < 'z'",
    "{0}.startsWith('a')",
    "size({0}) > 0",
    "{0}.a == 1.0",
    '{0}["b c"] == 1.0',
    "{0}[0] == 1.0",
    "size({0}) > 0 && {0}[0] == 1.0",
    '{0} in {{"a": 1}}',
    "{0} in [1.0, {0}]",
    "type({0}) == type([])",
    "type({0}) == map && {0}.exists(k, {0}[k] == 1.0)",
    "[{0}, 1.0].all(y, y == 1.0)",
    "({0} == 1.0 ? {0} : {0}) == 1.0",
    "dyn({0}).a == 1.0",
    "[{0}][0].a == 1.0",
    "size({0}.filter(y, y == 1.0)) > 0",
    "{0}",
)
"""Guards of every kind, and uses that need one: all that can fail in them is what they do with a part of the data."""
Sources = st.SearchStrategy[str]


def conditions(parts: list[str], loops: list[str]) -> Sources:
    """Conditions of a few of these, about parts of the data, and the items of those in `loops`."""
    simple = st.builds(str.format, st.sampled_from(SIMPLE), st.sampled_from(parts))

    def grown(inner: Sources) -> Sources:
        both = st.builds("({} && {})".format, inner, inner)
        either = st.builds("({} || {})".format, inner, inner)
        chosen = st.builds("({} ? {} : {})".format, inner, inner, inner)
        return st.one_of(both, both, either, st.builds("!({})".format, inner), chosen)

    found = st.recursive(simple, grown, max_leaves=6)
    if loops:
        within = conditions([*parts, "x", "x"], [])
        loop = st.builds("{}.{}(x, {})".format, st.sampled_from(loops), st.sampled_from(["all", "exists"]), within)
        return found | st.builds("type({0}) == list && {1}".format, st.sampled_from(loops), loop) | loop
    return found


def passes(source: str, place: Place, *datas: dict[str, object]) -> bool:
    """Whether an expression compiles, and is taken; then it must give something for all of these."""
    try:
        program = compile_expression(source, place)
    except ExpressionError:
        return False
    if unguarded(program.tree, place):
        return False
    for data in datas:
        program(data)
    return True


ABSENT = [None, "text", "", 1.5, 0.0, True, [], [1.5], [None, {"x": 1}], ["a", "b c"], {}, {"x": 1.0}]
"""Bodies of an answer, none of which has a field that is asked for."""
BODIES = ["response.body", "response.body.a", "response.headers"]


def answered(body: object) -> dict[str, object]:
    return {"response.body": body, "response.headers": {}, "response.status": 200}


def undoing(**fields: object) -> dict[str, object]:
    return {"result": None, "request": None, "cause": "no", **fields}


def body_of(condition: str) -> str:
    return f'{{"x": {condition} ? 1 : 0}}'


PAIRS = list(itertools.product(("{} && {}", "!({}) || {}", "{} ? {} : true"), SIMPLE, SIMPLE))


def test_of_all_pairs_of_a_when_those_that_pass_never_fail() -> None:
    taken = 0
    for joined, first, second in PAIRS:
        source = joined.format(first.format("response.body"), second.format("response.body"))
        taken += passes(source, BODY, *map(answered, ABSENT))
    assert taken > len(PAIRS) // 20, "else nothing was tried"


def test_of_all_pairs_of_a_compensation_s_body_those_that_pass_never_fail() -> None:
    pairs = [joined.format(first.format("result"), second.format("result")) for joined, first, second in PAIRS]
    taken = sum(passes(body_of(pair), UNDO, undoing()) for pair in pairs)
    assert taken > len(PAIRS) // 10, "else nothing was tried"


MANY = settings(max_examples=100, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])


@given(source=conditions(BODIES, ["response.body"]))
@MANY
def test_a_when_that_passes_never_fails_whatever_the_answer_lacks(source: str) -> None:
    assume(passes(source, BODY, *map(answered, ABSENT)))


@given(source=conditions(["result", "request", "result.a"], ["result", "request"]))
@MANY
def test_a_compensation_s_body_that_passes_never_fails_without_a_result(source: str) -> None:
    assume(passes(body_of(source), UNDO, undoing()))


VALUES = ["{}", "{}.a", "[{}]", '{{"a": {}}}', "{}[0]", "dyn({})", "[1].map(y, {})", "({} == null ? 1 : {})"]


@given(
    inner=st.sampled_from(VALUES), middle=st.sampled_from(VALUES), outer=st.sampled_from(VALUES), guarded=st.booleans()
)
@MANY
def test_a_result_that_is_passed_on_is_never_looked_into(inner: str, middle: str, outer: str, *, guarded: bool) -> None:
    """In whatever it stands: what passes gives something."""
    source = "result"
    for wrapped in (inner, middle, outer):
        source = wrapped.replace("{}", source).replace("{{", "{").replace("}}", "}")
    if guarded:
        source = f"result != null ? {source} : 1"
    assume(passes(f'{{"x": {source}}}', UNDO, undoing()))
