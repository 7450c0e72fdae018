"""What an expression looks into without asking; and what passes never fails where that is missing."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sagamesh.errors import ExpressionError
from sagamesh.language.cel.expressions import Place, compile_expression
from sagamesh.language.cel.guards.judging import unguarded

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
        (f"{MAP} && has(response.body.a) && response.body.a[event.type] == 1.0", [("response.body.a", "")]),
        ("type(response.body) == list && response.body[0] == 1.0", [("response.body", "")]),
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
        ("response.headers[event.type] == ''", [("response.headers", "")]),
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
