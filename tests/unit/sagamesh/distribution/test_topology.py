"""A log and its consumers say what the design demands, setting by setting."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sagamesh.distribution import topology
from sagamesh.distribution.plan import needed_filters
from sagamesh.language.model import Saga
from sagamesh.log import registers
from sagamesh.log.registers import ABORT, SAGA, START, Instance, Name, compensation, end, filter_subject
from sagamesh.rules.projection import project
from support.builders import shapes
from support.builders.attempts import shape

SECOND = 1_000_000_000

STREAM: dict[str, Any] = {
    "name": "SAGA_shop_checkout",
    "subjects": ["saga.shop.checkout.>"],
    "storage": "file",
    "retention": "limits",
    "discard": "new",
    "discard_new_per_subject": True,
    "max_msgs_per_subject": 1,
    "max_msgs": -1,
    "max_bytes": -1,
    "max_age": 0,
    "max_msg_size": 320 * 1024,
    "allow_direct": True,
    "duplicate_window": 120 * SECOND,
    "num_replicas": 1,
}


def one_stream(replicas: int = 1) -> topology.Config:
    [config] = topology.streams("shop", "checkout", replicas=replicas)
    return config


@pytest.mark.parametrize(("setting", "value"), STREAM.items())
def test_a_saga_s_log_is_written_once_and_drops_nothing(setting: str, value: object) -> None:
    assert one_stream()[setting] == value


@pytest.mark.parametrize(
    "setting",
    ["allow_rollup_hdrs", "deny_delete", "deny_purge", "allow_msg_ttl", "allow_msg_schedules", "sealed", "no_ack"],
)
def test_a_saga_s_log_has_neither_rollups_nor_expiry_and_leaves_the_janitor_its_deletes(setting: str) -> None:
    # F44: The log's stream allows no schedules, rollups or TTLs
    assert not one_stream().get(setting)


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_log_takes_as_many_replicas_as_it_is_given(replicas: int) -> None:
    assert one_stream(replicas=replicas)["num_replicas"] == replicas


CONSUMER: dict[str, Any] = {
    "name": "payments",
    "durable_name": "payments",
    "deliver_policy": "all",
    "ack_policy": "explicit",
    "ack_wait": 10 * SECOND,
    "max_deliver": -1,
    "max_ack_pending": 20_000,
    "filter_subjects": ["a.*", "b.*"],
}


@pytest.mark.parametrize(("setting", "value"), CONSUMER.items())
def test_a_participant_has_a_durable_consumer_that_never_gives_up(setting: str, value: object) -> None:
    assert topology.consumer("payments", {"b.*", "a.*"})[setting] == value


@pytest.mark.parametrize(
    "setting", ["backoff", "inactive_threshold", "rate_limit_bps", "max_waiting", "deliver_subject"]
)
def test_a_consumer_is_pulled_from_and_has_no_backoff(setting: str) -> None:
    assert not topology.consumer("payments", {"a.*"}).get(setting)


# -- filters ---------------------------------------------------------------------------------------------------------


def heard(saga: Saga, participant: str) -> set[Name]:
    """The registers that a participant's filters let through, of all that the saga has."""
    subjects = topology.filters(project(saga)[participant])
    names = {ABORT, START, *(make(step.name) for step in saga.steps for make in (end, compensation))}
    found = {name for name in names if filter_subject(saga.namespace, saga.name, name) in subjects}
    assert len(found) == len(subjects), "no filter lets anything else through"
    return found


FILTERS: dict[str, tuple[Saga, str, set[Name]]] = {
    "a root": (shapes.straight(3), "p-s0", {START, ABORT, compensation("s1")}),
    "in the middle": (shapes.straight(3), "p-s1", {end("s0"), ABORT, compensation("s2")}),
    "a sink": (shapes.straight(3), "p-s2", {end("s1"), ABORT}),
    "alone": (shapes.straight(1), "p-s0", {START, ABORT}),
    "before a diamond": (shapes.diamond(), "p-a", {START, ABORT, compensation("b"), compensation("c")}),
    "behind a diamond": (shapes.diamond(), "p-d", {end("b"), end("c"), ABORT}),
    "before a diamond, in parallel order": (shapes.diamond(order="parallel"), "p-a", {START, ABORT}),
    "in the middle, in parallel order": (shapes.diamond(order="parallel"), "p-b", {end("a"), ABORT}),
    "before the pivot": (shapes.straight(3, pivot=1), "p-s0", {START, ABORT}),
    "the pivot": (shapes.straight(3, pivot=1), "p-s1", {end("s0")}),
    "a pivot that is a root": (shapes.straight(3, pivot=0), "p-s0", {START}),
    "after the pivot": (shapes.straight(3, pivot=1), "p-s2", {end("s1")}),
    "before what only reads": (shape("readOnly"), "p-a", {START, ABORT, compensation("c")}),
    "what only reads": (shape("readOnly"), "p-b", {end("a"), ABORT}),
    "a join with the start": (shape("join with the start"), "p-b", {START, end("a"), ABORT}),
    "two events of one step": (shape("merge of two events of one step"), "p-b", {end("a"), ABORT, compensation("c")}),
    "several steps": (
        shape("two steps of one participant"),
        "one",
        {START, end("c"), ABORT, compensation("c")},
    ),
    "all steps": (
        shape("everything at one participant"),
        "one",
        {START, ABORT, *map(end, "ab"), *map(compensation, "bcd")},
    ),
}


@pytest.mark.parametrize(("saga", "participant", "expected"), FILTERS.values(), ids=FILTERS)
def test_a_participant_listens_to_just_what_its_steps_need(saga: Saga, participant: str, expected: set[Name]) -> None:
    assert heard(saga, participant) == expected


def test_who_owns_no_step_listens_to_nothing_and_has_no_consumer() -> None:
    documents = project(shapes.straight(2))
    assert topology.filters(documents["app"]) == frozenset()
    assert needed_filters(documents).keys() == {"p-s0", "p-s1"}


def follows(step: str, later: str, heard_by: dict[str, set[str]], undoable: set[str]) -> bool:
    """Whether a path leads from one step to another on which nothing can be undone."""
    return any(
        h == step or (h not in undoable and h != SAGA and follows(step, h, heard_by, undoable)) for h in heard_by[later]
    )


@pytest.mark.parametrize("name", shapes.SHAPES)
def test_every_register_is_delivered_to_exactly_those_whose_steps_it_concerns(name: str) -> None:
    saga = shape(name)
    reverse = saga.compensation_order == "reverse"
    by_event = {emit.event: step.name for step in saga.steps for emit in step.emits} | {saga.start.event: SAGA}
    heard_by = {step.name: {by_event[event] for event in step.after} for step in saga.steps}
    fixed: set[str] = set()  # the pivot, and what comes after it
    for _ in saga.steps:
        fixed |= {step.name for step in saga.steps if step.pivot or heard_by[step.name] & fixed}
    undoable = {step.name for step in saga.steps if not step.read_only} - fixed
    listens: dict[str, set[Name]] = {}
    for step in saga.steps:
        back = set() if step.name in fixed else {ABORT}
        if reverse and step.name in undoable:
            back |= {compensation(other) for other in undoable if follows(step.name, other, heard_by, undoable)}
        listens.setdefault(step.participant, set()).update({*map(end, heard_by[step.name]), *back})
    assert {who: heard(saga, who) for who in needed_filters(project(saga))} == listens


def test_filters_are_of_one_saga_in_one_namespace() -> None:
    saga = shapes.straight(1)
    mine = topology.filters(project(saga)["p-s0"])
    others = topology.filters(project(replace(saga, name="other"))["p-s0"])
    elsewhere = topology.filters(project(replace(saga, namespace="other"))["p-s0"])
    assert not mine & others
    assert not mine & elsewhere
    assert all("*" in subject for subject in mine)


def test_filters_of_a_consumer_do_not_overlap() -> None:
    """The server refuses those that do."""
    instance = Instance("default", "simulated", "i")
    for name in shapes.SHAPES:
        for subjects in needed_filters(project(shape(name))).values():
            literal = [subject.replace("*", instance.id) for subject in subjects]
            assert len(set(literal)) == len(literal)
            assert not any(">" in subject for subject in subjects)


def test_each_stream_of_a_log_has_its_own_subjects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registers, "streams", lambda *saga: ("SAGA_a", "SAGA_b"))
    monkeypatch.setattr(registers, "subjects", lambda *saga: ("saga.a.>", "saga.b.>"))
    configs = topology.streams("shop", "checkout")
    assert [(c["name"], c["subjects"]) for c in configs] == [("SAGA_a", ["saga.a.>"]), ("SAGA_b", ["saga.b.>"])]
