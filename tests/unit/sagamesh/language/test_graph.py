"""Who listens to whom."""

from __future__ import annotations

from graphlib import CycleError

import pytest

from sagamesh.language import graph
from sagamesh.language.model import Action, Emit, Join, Saga, StartSpec, Step


def step(name: str, *on: str, emits: tuple[str, ...] = (), join: Join = "all") -> Step:
    events = tuple(Emit(event=event) for event in emits or (f"{name}.ok",))
    return Step(name=name, participant="p", after=on, join=join, action=Action(path="/"), emits=events)


def saga(*steps: Step) -> Saga:
    return Saga(namespace="n", name="s", start=StartSpec(participant="p", event="start"), steps=steps)


CHOICE = saga(
    step("a", "start", emits=("yes", "no")),
    step("b", "yes"),
    step("c", "no", "start"),
    step("d", "b.ok", "c.ok", join="any"),
    step("e", "yes", "no", join="any"),
)
CIRCLE = saga(step("a", "start", "c.ok"), step("b", "a.ok"), step("c", "b.ok"), step("d", "c.ok"))


def test_producers() -> None:
    events = {"start": "_", "yes": "a", "no": "a", "b.ok": "b", "c.ok": "c", "d.ok": "d", "e.ok": "e"}
    assert graph.producers(CHOICE) == events


def test_of_several_producers_the_first_counts() -> None:
    twice = saga(step("a", "start", emits=("start", "x")), step("b", "start", emits=("x",)))
    assert graph.producers(twice) == {"start": "_", "x": "a"}


def test_inputs_are_grouped_by_producer_in_the_order_of_on() -> None:
    assert graph.inputs(CHOICE, CHOICE.steps[2]) == {"a": ("no",), "_": ("start",)}
    assert graph.inputs(CHOICE, CHOICE.steps[4]) == {"a": ("yes", "no")}
    assert graph.inputs(CHOICE, step("x", "nowhere", "b.ok")) == {"b": ("b.ok",)}
    assert graph.all_inputs(CHOICE) == {each.name: graph.inputs(CHOICE, each) for each in CHOICE.steps}


def test_successors_name_each_step_once() -> None:
    after = {"_": ("a", "c"), "a": ("b", "c", "e"), "b": ("d",), "c": ("d",), "d": (), "e": ()}
    assert graph.successors(CHOICE) == after
    assert graph.roots(CHOICE) == ("a", "c")


def test_sinks_are_leaves_and_what_any_merges() -> None:
    assert graph.sinks(CHOICE) == ("a", "b", "c", "d", "e")
    assert graph.sinks(saga(step("a", "start"), step("b", "start"), step("c", "a.ok", "b.ok"))) == ("c",)
    assert graph.sinks(saga(step("a", "start"), step("b", "a.ok"), step("c", "a.ok"))) == ("b", "c")


def test_downstream_are_all_that_can_only_run_after_it() -> None:
    assert graph.downstream(CHOICE, "a") == {"b", "c", "d", "e"}
    assert graph.downstream(CHOICE, "_") == {"a", "b", "c", "d", "e"}
    assert graph.downstream(CHOICE, "d") == frozenset()


def test_upstream_are_all_that_it_waits_for() -> None:
    assert graph.upstream(CHOICE, "a") == {"_"}
    for name in "abcde":
        assert graph.upstream(CHOICE, name) == {"_"} | {o for o in "abcde" if name in graph.downstream(CHOICE, o)}


def test_circles_are_walked_once() -> None:
    assert graph.downstream(CIRCLE, "a") == {"a", "b", "c", "d"}
    assert graph.upstream(CIRCLE, "d") >= {"a", "b", "c"}


def test_order_puts_each_step_after_those_it_listens_to() -> None:
    shuffled = saga(*reversed(CHOICE.steps))
    order = graph.order(shuffled)
    assert sorted(order) == ["_", "a", "b", "c", "d", "e"]
    for each in shuffled.steps:
        assert all(order.index(producer) < order.index(each.name) for producer in graph.inputs(shuffled, each))


def test_order_names_a_circle() -> None:
    with pytest.raises(CycleError) as caught:
        graph.order(CIRCLE)
    assert set(caught.value.args[1]) == {"a", "b", "c"}
