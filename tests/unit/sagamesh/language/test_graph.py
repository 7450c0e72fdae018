"""Who listens to whom."""

from __future__ import annotations

from graphlib import CycleError

import pytest
from msgspec.structs import replace

from sagamesh.language import graph
from sagamesh.language.model import Action, Emit, Join, Saga, StartSpec, Step


def step(name: str, *on: str, emits: tuple[str, ...] = (), join: Join = "all", kind: str = "") -> Step:
    events = tuple(Emit(event=event) for event in emits or (f"{name}.ok",))
    made = Step(name=name, participant="p", after=on, join=join, action=Action(path="/"), emits=events)
    return replace(made, pivot=kind == "pivot", read_only=kind == "readOnly")


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


# -- who can be kept from running, who is undone, and in which order --------------------------------------------------

ORDER = saga(
    step("look", "start", kind="readOnly"),
    step("reserve", "start"),
    step("hold", "start", "reserve.ok"),
    step("weigh", "hold.ok", kind="readOnly"),
    step("pack", "weigh.ok", "look.ok"),
    step("pay", "pack.ok", kind="pivot"),
    step("ship", "pay.ok"),
    step("tell", "ship.ok", kind="readOnly"),
)


def test_open_are_those_after_the_pivot_and_those_that_hear_the_start_alone() -> None:
    assert graph.open_steps(ORDER) == ("look", "reserve", "ship", "tell")


def test_a_pivot_is_never_open() -> None:
    assert graph.open_steps(saga(step("p", "start", kind="pivot"), step("b", "p.ok"))) == ("b",)


def test_a_root_that_hears_the_start_and_another_is_not_open() -> None:
    assert graph.open_steps(CHOICE) == ("a",)


def test_after_a_pivot_a_step_is_open_whatever_else_it_hears() -> None:
    joined = saga(step("a", "start"), step("p", "a.ok", kind="pivot"), step("b", "p.ok", "a.ok", "start"))
    assert graph.open_steps(joined) == ("a", "b")


def test_undoable_are_those_that_neither_only_read_nor_are_the_pivot_or_after_it() -> None:
    assert [*graph.behind(ORDER)] == ["reserve", "hold", "pack"]
    assert [*graph.behind(CHOICE)] == ["a", "b", "c", "d", "e"]


def test_behind_are_the_nearest_undoable_ones_and_what_only_reads_is_looked_through() -> None:
    assert graph.behind(ORDER) == {"reserve": ("hold",), "hold": ("pack",), "pack": ()}


def test_behind_names_each_step_once_and_in_the_order_of_the_saga() -> None:
    twice = saga(
        step("c", "r.ok", "s.ok"),
        step("b", "s.ok"),
        step("a", "start"),
        step("r", "a.ok", kind="readOnly"),
        step("s", "a.ok", "r.ok", kind="readOnly"),
    )
    assert graph.behind(twice) == {"c": (), "b": (), "a": ("c", "b")}


def test_no_step_is_behind_itself_and_what_is_behind_another_is_not_repeated() -> None:
    assert graph.behind(CHOICE) == {"a": ("b", "c", "e"), "b": ("d",), "c": ("d",), "d": (), "e": ()}


def test_undone_last_are_those_that_nothing_undoable_comes_before() -> None:
    assert graph.undone_last(graph.behind(ORDER)) == ("reserve",)
    assert graph.undone_last(graph.behind(saga(step("b", "start"), step("a", "start"), step("c", "a.ok")))) == (
        "b",
        "a",
    )
    behind_reads = saga(step("r", "start", kind="readOnly"), step("a", "r.ok"), step("b", "r.ok"), step("c", "b.ok"))
    assert graph.undone_last(graph.behind(behind_reads)) == ("a", "b")
    assert graph.undone_last(graph.behind(saga(step("p", "start", kind="pivot"), step("b", "p.ok")))) == ()


def test_a_pivot_may_be_skipped_where_a_step_before_it_chooses_its_event() -> None:
    choose = step("a", "start", emits=("yes", "no"))
    assert graph.may_be_skipped(saga(choose, step("p", "yes", kind="pivot")))
    assert graph.may_be_skipped(saga(choose, step("b", "yes"), step("p", "b.ok", kind="pivot")))


def test_a_pivot_is_never_skipped_where_none_does() -> None:
    assert not graph.may_be_skipped(ORDER)
    assert not graph.may_be_skipped(CHOICE)  # it has none
    beside = saga(step("a", "start", emits=("yes", "no")), step("p", "start", kind="pivot", emits=("x", "y")))
    assert not graph.may_be_skipped(beside)
    after = saga(step("p", "start", kind="pivot"), step("b", "p.ok", emits=("yes", "no")))
    assert not graph.may_be_skipped(after)
