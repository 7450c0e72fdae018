"""Rules documents that were altered: each is prepared, or refused by an error of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagamesh.errors import SagameshError
from sagamesh.language.model import Saga
from sagamesh.rules import codec
from sagamesh.rules.compiled import prepare
from sagamesh.rules.projection import project
from support.builders import shapes
from support.builders.attempts import step
from support.builders.shapes import saga

fuzz = settings(max_examples=150, derandomize=True)
WITH_CEL = saga(
    step("a", when="event.data.n > 1.0", body='{"x": event.data}', undo='{"y": cause}'),
    step("b", "a.ok", emits={"b.x": "response.status == 200", "b.ok": None}),
    step("c", ["a.ok", "b.ok"], when='events["start"].data.n > 2.0'),
)
DOCUMENTS: list[Any] = [
    json.loads(codec.encode_rules(rules))
    for one in [WITH_CEL, shapes.without_expressions(shapes.SHAPES["pivot that chooses"])]
    for rules in project(one).values()
]


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs: list[tuple[Any, object]] = []
    if isinstance(value, dict | list):
        pairs = list(value.items() if isinstance(value, dict) else enumerate(value))
    return [path, *(place for key, inner in pairs for place in places(inner, (*path, key)))]


HOSTILE = st.sampled_from(["", "_", "a", "b", "start", "a.ok", "*", ">", "a.b", "\r\n", "\0", "x" * 3000, "null"]) | (
    st.sampled_from(["event.data", "events[event.id]", "[1].map(a, [1].map(b, [1].map(c, c)))", "(" * 300, "'\ufdd0'"])
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | HOSTILE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE, inner, max_size=3),
    max_leaves=5,
)


@fuzz
@given(st.sampled_from(DOCUMENTS), st.data())
def test_altered_rules_are_prepared_or_refused(document: Any, draw: st.DataObject) -> None:
    changed = json.loads(json.dumps(document))
    for _ in range(draw.draw(st.integers(1, 3))):
        *most, last = draw.draw(st.sampled_from([place for place in places(changed) if place]))
        parent = changed
        for key in most:
            parent = parent[key]
        old = parent[last]
        parent[last] = draw.draw(HOSTILE if isinstance(old, str) else VALUES)
    try:
        rules = prepare(codec.decode_rules(json.dumps(changed).encode()))
    except SagameshError:
        return
    assert codec.decode_rules(codec.encode_rules(rules.local)) == rules.local


@pytest.mark.parametrize("one", [WITH_CEL, *map(shapes.without_expressions, shapes.SHAPES.values())])
def test_rules_survive_their_way(one: Saga) -> None:
    for rules in project(one).values():
        assert codec.decode_rules(codec.encode_rules(rules)) == rules
        assert prepare(rules).local == rules
