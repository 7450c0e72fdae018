"""Sagas made at random, well and badly wired: each is read as it was meant, and judged."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sagamesh import api_group
from sagamesh.language import checks, spec
from sagamesh.language.findings import WARNINGS
from sagamesh.language.model import Action, Compensation, Emit, Retry, Saga, StartSpec, Step
from sagamesh.language.ways import MOST_WORK, Ways
from sagamesh.rules import codec
from sagamesh.rules.compiled import prepare
from sagamesh.rules.projection import project
from support.builders import shapes

fuzz = settings(max_examples=50, derandomize=True)

NAMES = st.sampled_from(["a", "b", "c", "d-1"]) | st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
EVENTS = st.sampled_from(["start", "a.done", "b.done", "c.ok"]) | st.from_regex(
    r"[A-Za-z0-9._-]{0,9}[a-z]", fullmatch=True
)
EVENTS = EVENTS.filter(lambda event: event[0].isalnum())
CEL = st.sampled_from(
    ["true", "event.data.x > 1.0", "response.status == 200", '{"x": event.data}', "event.id", 'events["a.done"].data.x']
) | st.text(min_size=1, max_size=30).filter(lambda text: bool(text.strip()))
SECONDS = st.integers(1, 60_000).map(lambda ms: ms / 1000)
PATHS = st.from_regex(r"/[A-Za-z0-9_~-]{0,12}", fullmatch=True)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


STEPS = st.builds(
    Step,
    name=NAMES,
    participant=NAMES,
    after=st.lists(EVENTS, max_size=3).map(tuple),
    join=st.sampled_from(["all", "any"]),
    when=optional(CEL),
    pivot=st.booleans(),
    read_only=st.booleans(),
    action=st.builds(
        Action,
        path=PATHS,
        body=optional(CEL),
        timeout=SECONDS,
        within=SECONDS,
        retry=st.builds(Retry, backoff=SECONDS, max_backoff=SECONDS),
    ),
    emits=st.lists(st.builds(Emit, event=EVENTS, when=optional(CEL)), min_size=1, max_size=3).map(tuple),
    compensation=optional(st.builds(Compensation, path=PATHS, body=optional(CEL), timeout=SECONDS)),
)
ANY = st.builds(
    Saga,
    namespace=NAMES,
    name=NAMES,
    start=st.builds(StartSpec, participant=NAMES, event=EVENTS, key=optional(CEL)),
    steps=st.lists(STEPS, min_size=1, max_size=6).map(tuple),
    compensation_order=st.sampled_from(["reverse", "parallel"]),
    park_after=SECONDS,
)
DRAWN = st.integers(0, 10**6).map(lambda seed: shapes.without_expressions(shapes._draw(Random(seed))))


def document(saga: Saga) -> dict[str, Any]:
    """The saga as its author would write it, in full."""

    def present(**fields: Any) -> dict[str, Any]:
        return {name: value for name, value in fields.items() if value is not None}

    def duration(seconds: float) -> str:
        return f"{round(seconds * 1000)}ms"

    def step(one: Step) -> dict[str, Any]:
        action, undo = one.action, one.compensation
        retry = {"backoff": duration(action.retry.backoff), "maxBackoff": duration(action.retry.max_backoff)}
        times = {"timeout": duration(action.timeout), "within": duration(action.within), "retry": retry}
        return present(
            name=one.name,
            participant=one.participant,
            after=list(one.after),
            join=one.join,
            when=one.when,
            pivot=one.pivot,
            readOnly=one.read_only,
            action=present(path=action.path, body=action.body, **times),
            emits=[present(event=emit.event, when=emit.when) for emit in one.emits],
            compensation=undo and present(path=undo.path, body=undo.body, timeout=duration(undo.timeout)),
        )

    return {
        "apiVersion": api_group.API_VERSION,
        "kind": api_group.KIND,
        "metadata": {"name": saga.name, "namespace": saga.namespace},
        "spec": {
            "start": present(participant=saga.start.participant, event=saga.start.event, key=saga.start.key),
            "compensationOrder": saga.compensation_order,
            "parkAfter": duration(saga.park_after),
            "steps": [step(one) for one in saga.steps],
        },
    }


@fuzz
@given(ANY | DRAWN)
def test_a_saga_is_read_as_it_was_meant(saga: Saga) -> None:
    assert spec.problems(document(saga)) == ()
    assert spec.read(document(saga)) == saga


@fuzz
@given(ANY | DRAWN)
def test_any_saga_is_judged_and_what_is_accepted_runs(saga: Saga) -> None:
    found = checks.check(saga)
    assert all(len(finding.message) < 5000 and finding.path.startswith("spec") for finding in found)
    if all(finding.code in WARNINGS for finding in found):
        for rules in project(saga).values():
            assert prepare(codec.decode_rules(codec.encode_rules(rules))).local == rules


@fuzz
@given(DRAWN)
def test_what_people_write_is_far_below_the_limit_of_work(saga: Saga) -> None:
    assert work(saga) < MOST_WORK // 1000


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[4] / "examples").glob("*/*.yaml")), ids=str)
def test_the_examples_are_far_below_it(path: Path) -> None:
    for written in yaml.safe_load_all(path.read_text()):
        assert work(spec.read(written)) < MOST_WORK // 1000


def work(saga: Saga) -> int:
    """What every question of the checks takes, and more."""
    ways = Ways(saga)
    for step in saga.steps:
        ways.race(step)
        for before in saga.steps:
            ways.only_after(step.name, before.name)
            ways.settled(step.name, before.name)
    return ways.work
