"""Ways: the algorithm against its definition, written out naively, and against every instance that can happen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagamesh.language import choices, graph, ways
from sagamesh.language.choices import VISIT
from sagamesh.language.model import Action, Emit, Join, Saga, StartSpec, Step
from sagamesh.language.ways import MOST_WAYS, MOST_WORK, TooManyWaysError, Ways

NaiveWay = frozenset[tuple[str, str]]


def step(name: str, on: tuple[str, ...], emits: tuple[str, ...] = (), join: Join = "all") -> Step:
    events = emits or (f"{name}.ok",)
    action = Action(path="/")
    return Step(
        name=name, participant="p", after=on, join=join, action=action, emits=tuple(Emit(event=e) for e in events)
    )


def saga(*steps: Step) -> Saga:
    return Saga(namespace="n", name="s", start=StartSpec(participant="p", event="start"), steps=steps)


@st.composite
def sagas(draw: st.DrawFn) -> Saga:
    """Up to seven steps, each of which listens to events of those before it."""
    events, steps = ["start"], []
    for n in range(draw(st.integers(1, 7))):
        on = draw(st.lists(st.sampled_from(events), min_size=1, max_size=3, unique=True))
        emits = tuple(f"s{n}.{i}" for i in range(draw(st.sampled_from((1, 1, 2, 2, 3)))))
        steps.append(step(f"s{n}", tuple(on), emits, draw(st.sampled_from(("all", "any")))))
        events += emits
    return saga(*steps)


# -- the definition, written out -----------------------------------------------------------------------------------


def contradict(one: NaiveWay, other: NaiveWay) -> bool:
    return any(a == b and x != y for a, x in one for b, y in other)


def naive(saga: Saga) -> dict[str, set[NaiveWay]]:
    producers = graph.producers(saga)
    found: dict[str, set[NaiveWay]] = {graph.START: {frozenset()}}
    for each in saga.steps:
        inputs = [{way | {(producers[e], e)} for way in found[producers[e]]} for e in each.after]
        inputs = [{way for way in ways if not contradict(way, way)} for ways in inputs]
        if each.join == "any":
            found[each.name] = set().union(*inputs)
        else:
            united = (frozenset().union(*ways) for ways in product(*inputs))
            found[each.name] = {way for way in united if not contradict(way, way)}
    return found


def naive_settled(ways: dict[str, set[NaiveWay]], name: str, before: str) -> bool:
    return all(
        name in {step for step, _ in way} or all(contradict(way, other) for other in ways[name]) for way in ways[before]
    )


@settings(max_examples=600)
@given(sagas())
def test_the_algorithm_is_its_definition(saga: Saga) -> None:
    found, ways, producers = Ways(saga), naive(saga), graph.producers(saga)
    names = [each.name for each in saga.steps]
    assert {name for name in names if found.can_run(name)} == {name for name in names if ways[name]}
    for one, other in product(names, names):
        assert found.settled(one, other) == naive_settled(ways, one, other)
        assert found.only_after(one, other) == all(other in {s for s, _ in way} for way in ways[one])
    for one, other in product(producers, producers):
        with_event = [{way | {(producers[e], e)} for way in ways[producers[e]]} for e in (one, other)]
        assert found.exclude(one, other) == all(contradict(a, b) for a, b in product(*with_event))
    for event, name in product(producers, names):
        assert found.possible(event, name) == any((producers[event], event) in way for way in ways[name])


# -- what can happen -----------------------------------------------------------------------------------------------


def instances(saga: Saga) -> list[set[str]]:
    """The events of every instance that can happen: each step that runs ends in one of its events."""
    found = []
    for choice in product(*(each.emits for each in saga.steps)):
        come = {saga.start.event}
        for each, emit in zip(saga.steps, choice, strict=True):
            runs = all if each.join == "all" else any
            if runs(event in come for event in each.after):
                come.add(emit.event)
        found.append(come)
    return found


@settings(max_examples=300)
@given(sagas())
def test_events_exclude_one_another_if_no_instance_has_both(saga: Saga) -> None:
    found, happened, events = Ways(saga), instances(saga), graph.producers(saga)
    for one, other in product(events, events):
        together = any(one in come and other in come for come in happened)
        assert found.exclude(one, other) == (not together)
    for each in saga.steps:
        assert found.can_run(each.name) == any({e.event for e in each.emits} & come for come in happened)


# -- size ----------------------------------------------------------------------------------------------------------


def decisions(count: int) -> tuple[Step, ...]:
    found: list[Step] = []
    for n in range(count):
        found += [
            step(f"a{n}", (f"d{n - 1}.ok" if n else "start",), (f"yes{n}", f"no{n}")),
            step(f"b{n}", (f"yes{n}",)),
            step(f"c{n}", (f"no{n}",)),
            step(f"d{n}", (f"b{n}.ok", f"c{n}.ok"), join="any"),
        ]
    return tuple(found)


def test_branches_with_thousands_of_ways_are_compared() -> None:
    last = step("last", ("d11.ok",), ("yes", "no"))
    found = Ways(saga(*decisions(12), last, step("x", ("yes",)), step("y", ("no",)), step("z", ("x.ok",))))
    assert found.exclude("x.ok", "y.ok")
    assert not found.exclude("x.ok", "z.ok")
    assert found.settled("d0", "z")
    assert not found.settled("y", "last")


def test_too_many_ways_to_one_step() -> None:
    with pytest.raises(TooManyWaysError, match="over 10000 to this step") as caught:
        Ways(saga(*decisions(14)))
    assert (caught.value.step, caught.value.limit) == ("d13", "over 10000 to this step")
    assert 2**13 < MOST_WAYS < 2**14


def test_too_many_ways_to_all_steps_together() -> None:
    chain = [step(f"e{n}", (f"e{n - 1}.ok" if n else "d12.ok",)) for n in range(20)]
    with pytest.raises(TooManyWaysError, match="over 100000 to all steps up to this one") as caught:
        Ways(saga(*decisions(13), *chain))
    assert caught.value.step in {each.name for each in chain}


def test_as_many_ways_as_there_may_be() -> None:
    """To one step, one more than that, and those of a join by `all`, each of which is found once for every other."""

    def either(count: int) -> Saga:
        roots = [step(f"r{n}", ("start",)) for n in range(count)]
        return saga(*roots, step("last", tuple(each.emits[0].event for each in roots), join="any"))

    most = 60
    with limits(MOST_WAYS=most):
        assert Ways(either(most)).can_run("last")
        with pytest.raises(TooManyWaysError):
            Ways(either(most + 1))
    with limits(MOST_IN_ALL=2 * most):  # one to each root, and as many to the last
        assert Ways(either(most)).can_run("last")
        with pytest.raises(TooManyWaysError):
            Ways(either(most + 1))


def test_a_race_of_races_ends() -> None:
    """Ways that say the same again and again are counted, too: or else they would be united for hours."""
    roots = [step(f"r{n}", ("start",)) for n in range(13)]
    races = [step(f"t{n}", tuple(f"r{i}.ok" for i in range(13)), join="any") for n in range(12)]
    joins = [step(f"u{n}", (f"u{n - 1}.ok" if n else "start", f"t{n}.ok")) for n in range(12)]
    with pytest.raises(TooManyWaysError):
        Ways(saga(*roots, *races, *joins))


@pytest.mark.parametrize("most", [{"MOST_WAYS": 5}, {"MOST_IN_ALL": 6}], ids=str)
def test_no_more_ways_are_made_than_there_may_be(most: dict[str, int]) -> None:
    """There is one way already. Without an end the others would take all memory before they are counted."""
    found = Ways(saga(step("a", ("start",))))
    ways_made = iter(range(100))
    with limits(**most), pytest.raises(TooManyWaysError):
        found._limited(ways_made)
    assert next(ways_made) == 6


def pairs(count: int, *, victims: int = 1) -> Saga:
    """Steps with two ends each, in an order in which those that belong together are far apart: hard to tell apart."""
    halves = [step(f"{half}{n}", ("start",), (f"{half}{n}.x", f"{half}{n}.y")) for half in "ab" for n in range(count)]
    either = [step(f"{end}{n}", (f"a{n}.{end}", f"b{n}.{end}"), join="any") for end in "xy" for n in range(count)]
    both = [step(f"both{n}", (f"a{n}.y", f"b{n}.y")) for n in range(count)]
    some = step("some", tuple(f"both{n}.ok" for n in range(count)), join="any")
    last = [step(f"v{n}", tuple(f"x{n}.ok" for n in range(count))) for n in range(victims)]
    return saga(*halves, *either, *both, some, *last, step("p", ("some.ok", *(f"y{n}.ok" for n in range(9)))))


def test_telling_ways_apart_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which would take hours within all other limits. Counted by what is really looked at, and not by a clock."""
    looked_at = 0

    def split(ways: list[int], events: int) -> dict[int, list[int]]:
        nonlocal looked_at
        looked_at += len(ways)
        return real(ways, events)

    real = choices._split
    monkeypatch.setattr(choices, "_split", split)
    found = Ways(pairs(12))
    before = found.work
    with pytest.raises(TooManyWaysError, match=f"over {MOST_WORK} comparisons") as caught:
        found.settled("v0", "p")
    assert caught.value.step == "p"
    assert MOST_WORK // 5 < looked_at < MOST_WORK, "the rest are visits of small groups"
    assert before < MOST_WORK < found.work < MOST_WORK + 4 * MOST_WAYS


def test_the_step_that_is_asked_about_is_named() -> None:
    found = Ways(pairs(12))
    with pytest.raises(TooManyWaysError) as caught:
        found.settled("p", "v0")
    assert caught.value.step == "v0"
    with limits(MOST_WORK=found.work), pytest.raises(TooManyWaysError) as caught:
        found.race(step("merge", ("x0.ok", "y0.ok"), join="any"))
    assert caught.value.step == "merge"


def test_what_is_counted() -> None:
    """For a step that waits for one event: a way announced, a visit of two, and one that is kept."""
    found = Ways(saga(step("a", ("start",))))
    assert found.work == 1 + (VISIT + 2) + 1
    with limits(MOST_WORK=found.work):
        Ways(saga(step("a", ("start",))))
    with limits(MOST_WORK=found.work - 1), pytest.raises(TooManyWaysError):
        Ways(saga(step("a", ("start",))))
    assert found.only_after("a", "_")
    assert found.work == 1 + (VISIT + 2) + 1 + 1
    assert MOST_WORK == 5_000_000, "docs/checks.md says so"


def test_a_race_is_the_first_two_events_that_may_both_come() -> None:
    both = [step("a", ("start",)), step("b", ("start",))]
    choice = step("c", ("start",), ("yes", "no", "or"))
    found = Ways(saga(*both, choice))
    assert found.race(step("x", ("yes", "no", "a.ok", "b.ok"), join="any")) == ("yes", "a.ok")
    assert found.race(step("x", ("a.ok", "b.ok"))) is None
    assert found.race(step("x", ("yes", "no", "or"), join="any")) is None


def test_every_question_is_counted() -> None:
    found = Ways(saga(*decisions(4), step("p", ("d3.ok",))))
    last = found.work
    for ask in (
        lambda: found.only_after("p", "d0"),
        lambda: found.settled("d0", "p"),
        lambda: found.possible("yes0", "p"),
        lambda: found.exclude("yes3", "no3"),
        lambda: found.race(decisions(4)[-1]),
    ):
        ask()
        assert found.work >= last + 16
        last = found.work


def test_wide_ways_count_for_more() -> None:
    """Where a saga has thousands of events, each way is a number of as many bits."""

    def decided(count: int) -> Ways:
        wide = [step(f"w{n}", ("start",), tuple(f"w{n}.{i}" for i in range(32))) for n in range(count)]
        return Ways(saga(*decisions(6), *wide))

    assert decided(400).work > 4 * decided(100).work
    with limits(MOST_IN_ALL=600), pytest.raises(TooManyWaysError):
        decided(400)
    with limits(MOST_IN_ALL=600):
        assert decided(100).can_run("d5")


@contextmanager
def limits(**most: int) -> Iterator[None]:
    """Lower ones, as far as this goes."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in most.items():
            patch.setattr(ways, name, value)
        yield
