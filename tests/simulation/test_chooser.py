"""A schedule takes every chance from its chooser, whatever that is: the same answers give the same schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pytest

from sagamesh.simulation import Chooser, Outline, World, seeded, violations
from support.builders import shapes

T = TypeVar("T")
N = TypeVar("N", int, float)
Answers = list[tuple[str, float]]
MIXED = ("diamond", "pivot that chooses", "when before a join", "everything at one participant")


class Recorder:
    """Passes on what another chooser says, and remembers it: which question it was, and the answer as a number."""

    def __init__(self, chooser: Chooser) -> None:
        self.chooser = chooser
        self.answers: Answers = []

    def random(self) -> float:
        return self._said("random", self.chooser.random())

    def randrange(self, stop: int, /) -> int:
        return self._said(f"of {stop}", self.chooser.randrange(stop))

    def choice(self, options: Sequence[T], /) -> T:
        number = self.chooser.randrange(len(options))
        return options[self._said(f"of {len(options)}", number)]

    def _said(self, question: str, answer: N) -> N:
        self.answers.append((question, answer))
        return answer


class Replay:
    """Answers from a list alone."""

    def __init__(self, answers: Answers) -> None:
        self.answers = iter(answers)

    def random(self) -> float:
        return self._next("random")

    def randrange(self, stop: int, /) -> int:
        return int(self._next(f"of {stop}"))

    def choice(self, options: Sequence[T], /) -> T:
        return options[int(self._next(f"of {len(options)}"))]

    def _next(self, question: str) -> float:
        asked, answer = next(self.answers)
        assert asked == question
        return answer


class First:
    """No fault ever strikes, and whatever comes first is taken."""

    def random(self) -> float:
        return 0.999

    def randrange(self, stop: int, /) -> int:
        return 0

    def choice(self, options: Sequence[T], /) -> T:
        return options[0]


def end(world: World) -> tuple[object, ...]:
    """All that a schedule has come to."""
    apps, broker = world.apps, world.broker
    acked = [(delivery.participant, delivery.delivered, delivery.acked) for delivery in broker.deliveries]
    return (broker.registers, acked, broker.writes, apps.done, apps.undone, apps.refused, world.attempts, world.wrongs)


@pytest.mark.parametrize("name", MIXED)
def test_a_schedule_is_replayed_from_the_answers_of_its_chooser_alone(name: str) -> None:
    outline, faulty = Outline(shapes.SHAPES[name]), 0
    for seed in range(100):
        recorder = Recorder(seeded(seed))
        world = World(outline, recorder).run()
        replay = Replay(recorder.answers)
        assert end(World(outline, replay).run()) == end(world)
        assert next(replay.answers, None) is None, "it asked as often"
        faulty += world.broker.writes > len(world.broker.registers)
    assert faulty > 10, "schedules with faults are among them"


@pytest.mark.parametrize("name", shapes.SHAPES)
def test_what_takes_the_first_of_everything_comes_to_an_end_without_a_fault(name: str) -> None:
    world = World(Outline(shapes.SHAPES[name]), First()).run()
    assert not violations(world)
    assert world.outcome == "Committed"


def test_a_seed_means_the_same_every_time() -> None:
    outline = Outline(shapes.SHAPES["diamond"])
    assert end(World(outline, seeded(7)).run()) == end(World(outline, seeded(7)).run())
    assert len({str(end(World(outline, seeded(seed)).run())) for seed in range(20)}) > 10
