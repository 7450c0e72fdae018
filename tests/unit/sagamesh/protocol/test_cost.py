"""What a saga costs: whole sagas in memory, without faults, by the real decision code. Golden numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from sagamesh.language import spec
from sagamesh.language.model import Saga
from sagamesh.log.registers import (
    FINISH,
    OUTCOME,
    START,
    Aborted,
    Committed,
    Compensated,
    Completed,
    Done,
    Failed,
    Name,
    Register,
    end,
)
from sagamesh.protocol.answers import Answer
from sagamesh.protocol.attempt import Fetch, Given, Operation, Pause, Put, Reply, attempt
from sagamesh.protocol.effects import Ack, Call, Delivery, Known
from sagamesh.simulation import seeded
from sagamesh.simulation.broker import Broker
from sagamesh.simulation.broker import PendingDelivery as Handed
from sagamesh.simulation.faults import NONE
from support.builders import shapes
from support.builders.attempts import INSTANCE, Driven, no, ok, rules, start


class Cost(NamedTuple):
    """`deliveries` counts all, `working` those that called the app; a read is a fetch of any number of registers."""

    writes: int
    reads: int
    deliveries: int
    working: int
    calls: int


@dataclass
class Run:
    """One instance, one delivery after the other. `last`: participants that get theirs when nobody else has any.

    `answers`: by path; else a success. `data`: of the start, and of every success.
    """

    saga: Saga
    answers: Mapping[str, Answer] = field(default_factory=dict)
    last: tuple[str, ...] = ()
    data: object = None

    def __post_init__(self) -> None:
        """`early`: reads of a step before its own end was written."""
        self.early = 0
        self.rules = rules(self.saga)
        self.broker = Broker(self.rules, seeded(0), NONE)
        self.reads = self.deliveries = self.working = self.calls = 0
        self.broker.put(Put(START, start(self.data, event=self.saga.start.event)), "start", "app")
        while (delivery := self._next()) is not None:
            self._handle(delivery.participant, delivery.register)
            delivery.acked = True

    @property
    def cost(self) -> Cost:
        return Cost(self.broker.writes, self.reads, self.deliveries, self.working, self.calls)

    def stands(self, name: Name) -> object:
        register = self.broker.registers.get(name)
        return register and register.value

    def _next(self) -> Handed | None:
        waiting = [delivery for delivery in self.broker.deliveries if not delivery.acked]
        return min(waiting, key=lambda delivery: delivery.participant in self.last, default=None)

    def _handle(self, participant: str, register: Register) -> None:
        rules, calls = self.rules[participant], self.calls
        self.deliveries += 1
        for step in rules.concerned(register.name):
            known = Known(attempt_id=f"{self.deliveries} {step.name}")
            driven = Driven(attempt(rules, known, Delivery(INSTANCE, register), step))
            while driven.operation is not None:
                self.early += isinstance(driven.operation, Fetch) and step.end not in known.registers
                driven.send(self._execute(driven.operation, known.attempt_id, participant))
            assert driven.result == Ack(), "without faults nothing comes back"
        self.working += self.calls > calls

    def _execute(self, operation: Operation, attempt: str, participant: str) -> Given:
        match operation:
            case Put():
                return self.broker.put(operation, attempt, participant)
            case Fetch(names=names):
                self.reads += 1
                return self.broker.fetch(names)
            case Call(path=path):
                self.calls += 1
                return Reply(self.answers.get(path, ok(self.data)), 0.0)
            case Pause():
                raise AssertionError("without faults nothing pauses")


EXAMPLE = Path(__file__).parents[4] / "examples" / "02-create-order" / "saga.yaml"
ORDER = {"orderId": "o-1", "consumerId": "ada", "card": "4111", "total": 12}
PIVOT_DIAMOND = shapes.saga(
    *shapes.diamond(kind="pivot").steps,
    shapes.step("e", "d.ok", kind="retriable"),
    shapes.step("f", "d.ok", kind="retriable"),
    shapes.step("g", ["e.ok", "f.ok"], kind="retriable"),
)


def example(answers: Mapping[str, Answer] | None = None) -> Run:
    return Run(spec.read(yaml.safe_load(EXAMPLE.read_text())), answers or {}, data=ORDER)


def test_a_straight_saga_of_three_steps_costs_seven_writes_three_deliveries_and_no_reads() -> None:
    run = Run(shapes.straight(3))
    assert isinstance(run.stands(OUTCOME), Committed)
    # The start, the end of the first, which is open, begin and end of each other, the outcome.
    assert run.cost == Cost(writes=7, reads=0, deliveries=3, working=3, calls=3)


@pytest.mark.parametrize("length", [1, 2, 5, 20])
def test_every_further_step_of_a_straight_saga_costs_two_writes_and_one_delivery(length: int) -> None:
    cost = Run(shapes.straight(length)).cost
    assert cost == Cost(writes=1 + 2 * length, reads=0, deliveries=length, working=length, calls=length)


@pytest.mark.parametrize("pivot", [0, 1, 2, 4])
def test_where_there_is_a_pivot_only_it_and_what_comes_before_it_has_a_begin_and_nothing_else_is_written(
    pivot: int,
) -> None:
    run = Run(shapes.straight(5, pivot=pivot))
    assert isinstance(run.stands(end("s4")), Done)
    # The start, five ends, and the begin of each step up to the pivot but for that of a root.
    begins = pivot or 1
    assert run.cost == Cost(writes=6 + begins, reads=0, deliveries=5, working=5, calls=5)


def test_the_example_of_a_meal_costs_ten_writes_six_deliveries_and_no_reads_but_of_the_order() -> None:
    run = example()
    assert isinstance(run.stands(end("approve-order")), Done)
    # The start, six ends, and the begins of three; three bodies are made of the order, which is read for each.
    assert run.cost == Cost(writes=10, reads=3, deliveries=6, working=6, calls=6)


def test_a_diamond_costs_a_look_at_the_other_branch_from_each_side() -> None:
    run = Run(shapes.diamond())
    assert isinstance(run.stands(OUTCOME), Committed)
    # Start, outcome, one for the root, two for each other step; the join hears from both branches, and looks at the
    # other each time.
    assert run.cost == Cost(writes=9, reads=2, deliveries=5, working=4, calls=4)


def test_a_diamond_with_a_slow_branch_costs_one_marker_more() -> None:
    run = Run(shapes.diamond(), last=("p-c",))
    assert isinstance(run.stands(OUTCOME), Committed)
    # The join hears from the fast branch, reads nothing of the slow one, and proves by a marker that it is absent.
    assert run.cost == Cost(writes=10, reads=2, deliveries=5, working=4, calls=4)


@pytest.mark.parametrize(("last", "markers"), [((), 0), (("p-c",), 1), (("p-c", "p-f"), 2)], ids=range(3))
def test_two_diamonds_around_a_pivot_cost_a_marker_for_each_slow_branch(last: tuple[str, ...], markers: int) -> None:
    run = Run(PIVOT_DIAMOND, last=last)
    assert isinstance(run.stands(end("g")), Done)
    # Start, seven ends, begins of the three before the pivot that are latched; each join looks at the other branch.
    assert run.cost == Cost(writes=11 + markers, reads=4, deliveries=9, working=7, calls=7)


def test_several_sinks_after_the_pivot_cost_a_finish_and_a_look_at_what_the_pivot_began() -> None:
    run = Run(shapes.SHAPES["pivot with two retriable sinks"])
    assert isinstance(run.stands(FINISH), Completed)
    # Start, four ends, the pivot's begin, the finish. Each sink looks at the other; the last one reads the begin.
    # The first, which cannot know that it is not the last, proves that the other has not ended.
    assert run.cost == Cost(writes=8, reads=3, deliveries=4, working=4, calls=4)


def test_a_straight_saga_whose_last_step_is_refused_costs_its_way_back() -> None:
    run = Run(shapes.straight(3), {"/s2": no(422)})
    assert isinstance(run.stands(OUTCOME), Aborted)
    assert run.stands(FINISH) is None
    # Writes: 6 forward, outcome and notice, markers of s0 and s1, whose successors are not undone yet at the notice,
    # 3 compensations. Deliveries: 3, the notice to 3, a compensation to s1 and s0. Reads: where a step is, by each of
    # the last 5, and what it was asked, by 3.
    assert run.cost == Cost(writes=13, reads=8, deliveries=8, working=6, calls=6)


def test_an_aborted_saga_in_parallel_order_needs_nobody_s_turn() -> None:
    run = Run(shapes.saga(*shapes.straight(3).steps, order="parallel"), {"/s2": no(422)})
    assert isinstance(run.stands(FINISH), Compensated)
    # As before, but no compensation is delivered to anybody, and all steps look at the others; two prove that they are
    # not the last, which writes the finish.
    assert run.cost == Cost(writes=14, reads=9, deliveries=6, working=6, calls=6)


def test_the_example_of_a_meal_whose_card_is_declined_costs_twelve_writes_and_nine_deliveries() -> None:
    run = example({"/authorizations": no(422)})
    assert isinstance(run.stands(end("authorize-card")), Failed)
    # Forward the start, four ends, and three begins; the notice; two compensations; and the first step proves that the
    # ticket, which alone is behind it, is not undone yet. Reads: the order, twice forward; where a step is, by three at
    # the notice and one at the ticket's compensation; and what the two that are undone were asked.
    assert run.cost == Cost(writes=12, reads=8, deliveries=9, working=6, calls=6)


def test_a_step_that_is_skipped_costs_as_much_as_one_that_runs_but_no_call() -> None:
    run = Run(shapes.without_expressions(shapes.SHAPES["choice with a dead path"]), {"/a": ok(ce_type="a.small")})
    assert isinstance(run.stands(OUTCOME), Committed)
    # a -> b (dead) -> c (dead), and a -> d, the first sink of two: it proves that c has not ended. Each looks once.
    assert run.cost == Cost(writes=10, reads=2, deliveries=4, working=2, calls=2)


ONE_INPUT = {name: saga for name, saga in shapes.SHAPES.items() if all(len(step.after) == 1 for step in saga.steps)}


@pytest.mark.parametrize("name", ONE_INPUT)
def test_first_attempts_of_steps_with_one_input_read_nothing_until_they_have_ended(name: str) -> None:
    saga = shapes.without_expressions(ONE_INPUT[name])
    assert Run(saga).early == 0
