"""From documents to the model: defaults, and one clear problem for everything that is not the language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sagamesh.errors import SpecError
from sagamesh.language import spec
from sagamesh.language.document import MOST_GUESSED
from sagamesh.language.model import Action, Compensation, Emit, Retry, Saga, StartSpec, Step
from support.builders.spec_cases import (
    BOUNDS,
    DURATIONS,
    EVENTS,
    FIELDS,
    FRAMES,
    FULL,
    PATHS,
    REFUSED_DURATIONS,
    REFUSED_PATHS,
    action,
    document,
    places,
    step,
)


def found(document: object) -> list[tuple[str, str]]:
    return [(problem.path, problem.message) for problem in spec.problems(document)]


def only(document: object) -> tuple[str, str]:
    (problem,) = found(document)
    return problem


# -- what is read --------------------------------------------------------------------------------------------------


def test_every_field() -> None:
    credit = Step(
        name="reserve-credit",
        participant="customers",
        after=("order.placed",),
        join="any",
        when="event.data.total > 0",
        action=Action(
            path="/credit/reserve",
            body='{"amount": event.data.total}',
            timeout=1.5,
            within=180.0,
            retry=Retry(backoff=0.1, max_backoff=60.0),
        ),
        emits=(Emit(event="credit.reserved", when="response.status == 200"), Emit(event="credit.denied")),
        compensation=Compensation(path="/credit/release", body='{"why": cause}', timeout=0.7),
    )
    saga = spec.read(yaml.safe_load(FULL))
    assert saga.steps[0] == credit
    assert saga.steps[1].read_only
    assert saga.steps[2].pivot
    assert saga.steps[2].emits == (Emit(event="charge.done"),)
    assert (saga.namespace, saga.name) == ("shop", "checkout")
    assert saga.start == StartSpec(participant="orders", event="order.placed", key="event.data.orderId")
    assert (saga.compensation_order, saga.park_after) == ("parallel", 5400.0)


def test_defaults() -> None:
    saga = spec.read(document())
    assert saga == Saga(
        namespace="default",
        name="checkout",
        start=StartSpec(participant="orders", event="order.placed"),
        steps=(
            Step(
                name="charge",
                participant="payments",
                after=("order.placed",),
                action=Action(path="/charges", timeout=5.0, within=120.0, retry=Retry(backoff=0.2, max_backoff=10.0)),
                emits=(Emit(event="charge.done"),),
            ),
        ),
        compensation_order="reverse",
        park_after=600.0,
    )


def test_null_counts_as_absent() -> None:
    nothing = dict.fromkeys(("join", "when", "pivot", "readOnly", "emits", "compensation"))
    assert spec.read(document(steps=[step(**nothing)], parkAfter=None)) == spec.read(document())


def test_the_namespace_is_the_documents_or_the_callers() -> None:
    assert spec.read(document(), namespace="shop").namespace == "shop"
    assert spec.read(yaml.safe_load(FULL), namespace="other").namespace == "shop"
    with pytest.raises(SpecError, match=r"metadata\.namespace: must be a DNS label"):
        spec.read(document(), namespace="no_label")


@pytest.mark.parametrize("key", ["on", True, "true"])
def test_the_old_name_of_after_is_refused_also_where_yaml_1_1_made_a_boolean_of_it(key: object) -> None:
    written = step(after=...)
    written[key] = ["order.placed"]  # type: ignore[index]
    found = only(document(steps=[written]))
    assert found == (
        f"spec.steps[0].{str(key).lower()}",
        "is called `after` now, as in after: [order.placed]: YAML 1.1 makes the boolean true of the word on",
    )
    written["after"] = ["order.placed"]
    assert only(document(steps=[written])) == found


def test_an_empty_after_is_for_the_checks() -> None:
    assert spec.read(document(steps=[step(after=[])])).steps[0].after == ()


# -- what is refused -----------------------------------------------------------------------------------------------


def test_all_problems_are_told_and_read_raises_the_first() -> None:
    wrong = document(
        start={"participant": "Orders"},
        steps=[step(name="a_b", after="order.placed"), step(action={"timeout": 5}), "step"],
        compensationOrder="backwards",
    )
    paths = [path for path, _ in found(wrong)]
    assert paths == [
        "spec.start.participant",
        "spec.start.event",
        "spec.steps[2]",
        "spec.steps[0].name",
        "spec.steps[0].after",
        "spec.steps[1].action.path",
        "spec.steps[1].action.timeout",
        "spec.compensationOrder",
    ]
    with pytest.raises(SpecError) as caught:
        spec.read(wrong)
    assert caught.value.path == paths[0]


@pytest.mark.parametrize("wrong", [None, [], "Saga", 7, {}, {"spec": []}])
def test_what_is_no_saga(wrong: object) -> None:
    assert found(wrong)


@pytest.mark.parametrize(("change", "path", "says"), FRAMES)
def test_the_frame(change: dict[str, Any], path: str, says: str) -> None:
    assert only({**document(), **change})[0] == path
    assert says in only({**document(), **change})[1]


@pytest.mark.parametrize(("wrong", "path", "says"), FIELDS)
def test_fields(wrong: object, path: str, says: str) -> None:
    assert only(wrong)[0] == path
    assert says in only(wrong)[1]


@pytest.mark.parametrize("path", PATHS)
def test_paths(path: str) -> None:
    assert spec.read(action(path=path)).steps[0].action.path == path


@pytest.mark.parametrize("path", REFUSED_PATHS)
def test_paths_that_are_refused(path: str) -> None:
    assert only(action(path=path))[0] == "spec.steps[0].action.path"


@pytest.mark.parametrize("event", EVENTS)
def test_events(event: str) -> None:
    assert spec.read(document(steps=[step(after=[event])])).steps[0].after == (event,)


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_durations(text: str, seconds: float) -> None:
    assert spec.read(action(timeout=text)).steps[0].action.timeout == seconds


@pytest.mark.parametrize("wrong", REFUSED_DURATIONS)
def test_durations_that_are_refused(wrong: object) -> None:
    path, message = only(action(timeout=wrong))
    assert path == "spec.steps[0].action.timeout"
    assert message.startswith("must be a duration over 0 and up to 1h, such as '200ms'")
    assert "hours are the largest unit" in message


@pytest.mark.parametrize(("fields", "path"), BOUNDS)
def test_bounds(fields: dict[str, Any], path: str) -> None:
    assert only(action(**fields))[0] == path


# -- whatever comes ------------------------------------------------------------------------------------------------


def nested(depth: int) -> object:
    value: object = "x"
    for n in range(depth):
        value = [value] if n % 2 else {"a": value}
    return value


def within_itself(value: dict[str, Any]) -> dict[str, Any]:
    value["spec"] = value["metadata"] = value
    return value


HOSTILE: dict[str, Callable[[], object]] = {
    "deep": lambda: nested(100_000),
    "deep in every place": lambda: document(
        steps=[step(name=nested(9999), after=nested(10_000), when=nested(9999), action=nested(10_000), x=nested(9999))]
    ),
    "long text": lambda: document(steps=[step(name="a" * 10_000_000, participant="/" * 10_000_000)]),
    "long path": lambda: action(path="/" + "../" * 1_000_000),
    "many fields": lambda: document(**{f"field-{n}": n for n in range(100_000)}),
    "long fields": lambda: document(**{"steps" * 1_000_000: 1}),
    "large numbers": lambda: action(timeout=10**5000, within=float("nan")),
    "odd keys": lambda: dict[object, object](document()) | {None: 1, 2: 3, (4, 5): 6, 1.5: 7, False: 8},
    "itself": lambda: within_itself(document()),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents_have_short_problems(name: str) -> None:
    problems = found(HOSTILE[name]())
    assert problems
    assert len(problems) <= 20
    assert all(len(path) < 200 and len(message) < 500 for path, message in problems)


def test_among_many_problems_it_is_not_guessed_any_more_what_was_meant() -> None:
    """A guess for each of a hundred thousand would take many seconds."""
    slips = found(document(steps=[step(name=f"s{n}", wen="true") for n in range(MOST_GUESSED + 50)]))
    assert [message.endswith("did you mean 'when'?") for _, message in slips] == [True] * MOST_GUESSED + [False] * 50


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["5s", "a", "/a"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


PLACES = [place for place in places(yaml.safe_load(FULL)) if place]


@settings(max_examples=200)
@given(json_values)
def test_any_json_is_a_saga_or_a_spec_error(value: object) -> None:
    assert spec.problems(value)
    with pytest.raises(SpecError):
        spec.read(value)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(PLACES), json_values), min_size=1, max_size=3))
def test_a_saga_with_any_json_in_any_place_is_a_saga_or_a_spec_error(
    changes: list[tuple[tuple[Any, ...], Any]],
) -> None:
    changed = yaml.safe_load(FULL)
    for place, value in changes:
        parent = changed
        try:
            for key in place[:-1]:
                parent = parent[key]
            parent[place[-1]] = value
        except (TypeError, KeyError, IndexError):
            continue  # an earlier change took the place away
    problems = spec.problems(changed)
    if problems:
        with pytest.raises(SpecError) as caught:
            spec.read(changed)
        assert str(caught.value) == str(problems[0])
    else:
        assert isinstance(spec.read(changed), Saga)
