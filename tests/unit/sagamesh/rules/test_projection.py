"""From the saga to the rules of each participant, and their common revision."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import yaml
from msgspec.structs import replace

from sagamesh import api_group
from sagamesh.language import graph, spec
from sagamesh.language.model import Saga
from sagamesh.rules import codec
from sagamesh.rules.local import Input, LocalRules, OpenStep, StepRules
from sagamesh.rules.projection import project
from support.builders.attempts import shape
from support.builders.documents import CHECKOUT

REVISION = "ad7a4f47ba"


def read(text: str) -> Saga:
    return spec.read(yaml.safe_load(text))


def steps(*written: dict[str, Any]) -> Saga:
    own = [{"participant": "app", "action": {"path": "/a"}, "readOnly": True, **step} for step in written]
    start = {"participant": "app", "event": "start"}
    document = {"apiVersion": api_group.API_VERSION, "kind": "Saga", "metadata": {"name": "s"}}
    return spec.read({**document, "spec": {"start": start, "steps": own}})


def rules_of(saga: Saga) -> dict[str, StepRules]:
    return {step.name: step for rules in project(saga).values() for step in rules.own}


def reversed_keys(value: object) -> object:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


def test_every_participant_has_rules_of_its_own_steps() -> None:
    projected = project(read(CHECKOUT))
    assert {name: [step.name for step in rules.own] for name, rules in projected.items()} == {
        "orders": [],
        "customers": ["reserve-credit"],
        "inventory": ["reserve-stock"],
        "payments": ["charge-card"],
        "shipping": ["ship"],
    }


def test_what_all_participants_know() -> None:
    saga = read(CHECKOUT)
    for name, rules in project(saga).items():
        assert replace(rules, own=(), revision="") == LocalRules(
            namespace="shop",
            saga="checkout",
            participant=name,
            start_participant="orders",
            start_event="order.placed",
            key="event.data.orderId",
            order="reverse",
            park_after=600.0,
            outline={
                "reserve-credit": "customers",
                "reserve-stock": "inventory",
                "charge-card": "payments",
                "ship": "shipping",
            },
            open={
                "reserve-credit": OpenStep((Input(step="_", events=("order.placed",)),)),
                "reserve-stock": OpenStep((Input(step="_", events=("order.placed",)),)),
                "ship": OpenStep((Input(step="charge-card", events=("payment.charged",)),)),
            },
            undoable=("reserve-credit", "reserve-stock"),
            last=("reserve-credit", "reserve-stock"),
            sinks=("ship",),
            pivot="charge-card",
        )


def test_a_step_is_told_what_it_needs_of_the_others() -> None:
    saga = read(CHECKOUT)
    charge = saga.steps[2]
    assert rules_of(saga)["charge-card"] == StepRules(
        name="charge-card",
        inputs=(
            Input(step="reserve-credit", events=("credit.reserved",)),
            Input(step="reserve-stock", events=("stock.reserved",)),
        ),
        join="all",
        action=charge.action,
        emits=charge.emits,
        needs=(("_", "order.placed"),),
        pivot=True,
    )


def test_only_what_is_downstream_of_the_pivot_is_retriable() -> None:
    retriable = {name: step.retriable for name, step in rules_of(read(CHECKOUT)).items()}
    assert retriable == {"reserve-credit": False, "reserve-stock": False, "charge-card": False, "ship": True}


def test_open_are_roots_and_what_is_downstream_of_the_pivot() -> None:
    opened = {name: step.open for name, step in rules_of(read(CHECKOUT)).items()}
    assert opened == {"reserve-credit": True, "reserve-stock": True, "charge-card": False, "ship": True}


def test_a_step_is_told_what_is_behind_it() -> None:
    behind = {name: step.behind for name, step in rules_of(shape("readOnly in every place")).items()}
    assert behind == {"r": (), "a": ("b",), "s": (), "b": (), "t": ()}


@pytest.mark.parametrize(
    ("name", "undoable", "last"),
    [
        ("readOnly in every place", ("a", "b"), ("a",)),
        ("pivot behind two roots", ("a", "b"), ("a", "b")),
        ("nothing undoable", (), ()),
        ("parallel order with two roots", ("a", "b", "c"), ("a", "b", "c")),
        ("straight 3", ("s0", "s1", "s2"), ("s0",)),
    ],
)
def test_everybody_knows_what_is_undone_and_what_last(
    name: str, undoable: tuple[str, ...], last: tuple[str, ...]
) -> None:
    for rules in project(shape(name)).values():
        assert (rules.undoable, rules.last) == (undoable, last)


@pytest.mark.parametrize(
    ("name", "skippable"),
    [
        ("pivot skipped", True),
        ("pivot on one branch", True),
        ("pivot that chooses", False),
        ("pivot last", False),
        ("straight 1", False),
    ],
)
def test_everybody_knows_whether_the_pivot_may_be_skipped(name: str, skippable: bool) -> None:
    for rules in project(shape(name)).values():
        assert rules.pivot_skippable is skippable


def test_needs_are_the_events_that_any_expression_of_the_step_names() -> None:
    saga = steps(
        {"name": "a", "after": ["start"]},
        {"name": "b", "after": ["a.done"]},
        {"name": "c", "after": ["b.done"]},
        {
            "name": "d",
            "after": ["c.done"],
            "readOnly": False,
            "when": 'events["start"].data.x == 1.0',
            "action": {"path": "/d", "body": '{"a": events["a.done"].data, "s": events["start"].data}'},
            "emits": [{"event": "d.yes", "when": '"b.done" in events'}, {"event": "d.no"}],
            "compensation": {"path": "/undo", "body": '{"c": events["c.done"].data}'},
        },
    )
    assert rules_of(saga)["d"].needs == (("_", "start"), ("a", "a.done"), ("b", "b.done"), ("c", "c.done"))
    assert rules_of(saga)["c"].needs == ()


def test_what_any_merges_are_sinks() -> None:
    saga = steps(
        {"name": "a", "after": ["start"], "emits": [{"event": "yes", "when": "true"}, {"event": "no"}]},
        {"name": "b", "after": ["yes"]},
        {"name": "c", "after": ["no"]},
        {"name": "d", "after": ["b.done", "c.done"], "join": "any"},
        {"name": "e", "after": ["d.done"]},
    )
    (rules,) = project(saga).values()
    assert rules.sinks == ("b", "c", "e")
    assert rules_of(saga)["d"].inputs == (Input(step="b", events=("b.done",)), Input(step="c", events=("c.done",)))


def test_all_participants_have_one_revision_and_it_never_changes_for_the_same_saga() -> None:
    """A change of this value makes every saga in the world a new revision at the next upgrade."""
    assert {rules.revision for rules in project(read(CHECKOUT)).values()} == {REVISION}


def test_a_default_that_is_written_out_changes_no_revision() -> None:
    """As by an API server, which fills it in: the same text, and not the same string."""
    bare, filled = (steps({"name": "a", "after": ["start"], **join}) for join in ({}, {"join": "all!"[:3]}))
    [mine], [theirs] = (project(saga).values() for saga in (bare, filled))
    assert mine == theirs
    assert mine.revision == theirs.revision


def test_the_revision_does_not_depend_on_how_the_document_is_written() -> None:
    document = yaml.safe_load(CHECKOUT)
    for step in document["spec"]["steps"]:
        step["join"] = "all"
        step["action"].setdefault("within", "120s")
    document["spec"].pop("parkAfter")
    document["metadata"]["labels"] = {"a": "b"}
    document["status"] = {"observedGeneration": 3}
    projected = project(spec.read(reversed_keys(document)))
    assert {rules.revision for rules in projected.values()} == {REVISION}


def test_every_change_of_meaning_is_a_new_revision() -> None:
    changes = [
        ("/shipments", "/shipping"),
        ("timeout: 5s", "timeout: 6s"),
        ("parkAfter: 10m", "parkAfter: 11m"),
        ("event.data.orderId", "event.id"),
        ("reverse", "parallel"),
        ("pivot: true", "compensation: {path: /refund}"),
    ]
    revisions = {project(read(CHECKOUT.replace(*change)))["orders"].revision for change in changes}
    assert len(revisions | {REVISION}) == len(changes) + 1


def test_rules_survive_the_wire() -> None:
    for rules in project(read(CHECKOUT)).values():
        assert codec.decode_rules(codec.encode_rules(rules)) == rules
        assert msgspec.json.decode(codec.encode_rules(rules))["format"] == 2


def test_a_large_saga_is_projected_at_once() -> None:
    chain = [{"name": f"s{n}", "after": [f"s{n - 1}.done" if n else "start"]} for n in range(500)]
    (rules,) = project(steps(*chain)).values()
    assert [len(step.inputs) for step in rules.own] == [1] * 500
    assert (rules.open, rules.undoable, rules.last) == ({"s0": OpenStep((Input(step="_", events=("start",)),))}, (), ())


def test_a_large_saga_that_is_undone_is_projected_at_once() -> None:
    undo = {"readOnly": False, "compensation": {"path": "/u"}}
    chain = [
        {"name": f"s{n}", "after": [f"s{n - 1}.done" if n else "start"], **(undo if n % 2 else {})} for n in range(500)
    ]
    (rules,) = project(steps(*chain)).values()
    assert [step.behind for step in rules.own] == [(f"s{n + 2}",) if n % 2 and n < 499 else () for n in range(500)]
    assert rules.last == ("s1",)


def test_the_whole_saga_is_looked_at_as_often_for_many_participants_as_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each step of each participant takes half a minute where there are five hundred."""
    looks = 0

    def counted(saga: Saga) -> dict[str, str]:
        nonlocal looks
        looks += 1
        return real(saga)

    real = graph.producers
    monkeypatch.setattr(graph, "producers", counted)
    for many in (1, 30):
        written = [{"name": f"s{n}", "participant": f"p{n % many}", "after": ["start"]} for n in range(30)]
        looks = 0
        assert len(project(steps(*written))) == 1 + many
        assert looks < 10
