"""What a saga costs: whole sagas in memory, without faults, by the real decision code. Golden numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

from sagamesh.language.model import Saga
from sagamesh.log.registers import FINISH, OUTCOME, START, Aborted, Committed, Compensated, Completed, Name, Register
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
    """One instance, one delivery after the other. `last`: participants that get theirs when nobody else has any."""

    saga: Saga
    answers: Mapping[str, Answer] = field(default_factory=dict)
    last: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.rules = rules(self.saga)
        self.broker = Broker(self.rules, seeded(0), NONE)
        self.reads = self.deliveries = self.working = self.calls = 0
        self.broker.put(Put(START, start()), "start", "app")
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
                return Reply(self.answers.get(path, ok()), 0.0)
            case Pause():
                raise AssertionError("without faults nothing pauses")


def test_a_straight_saga_of_three_steps_costs_eight_writes_three_deliveries_and_no_reads() -> None:
    run = Run(shapes.straight(3))
    assert isinstance(run.stands(OUTCOME), Committed)
    assert run.cost == Cost(writes=8, reads=0, deliveries=3, working=3, calls=3)


@pytest.mark.parametrize("length", [1, 2, 5, 20])
def test_every_further_step_of_a_straight_saga_costs_two_writes_and_one_delivery(length: int) -> None:
    cost = Run(shapes.straight(length)).cost
    assert cost == Cost(writes=2 + 2 * length, reads=0, deliveries=length, working=length, calls=length)


def test_a_pivot_in_the_middle_costs_a_finish_and_a_look_at_the_outcome() -> None:
    run = Run(shapes.straight(3, pivot=1))
    assert isinstance(run.stands(FINISH), Completed)
    # Eight, and the finish; the last step reads the outcome, which the pivot wrote, rather than try to write it.
    assert run.cost == Cost(writes=9, reads=1, deliveries=3, working=3, calls=3)


def test_a_pivot_at_the_end_costs_a_finish() -> None:
    run = Run(shapes.straight(3, pivot=2))
    assert isinstance(run.stands(FINISH), Completed)
    # Eight, and the finish; the pivot knows the outcome, since it wrote it.
    assert run.cost == Cost(writes=9, reads=0, deliveries=3, working=3, calls=3)


def test_a_diamond_costs_a_look_at_the_other_branch_from_each_side() -> None:
    run = Run(shapes.diamond())
    assert isinstance(run.stands(OUTCOME), Committed)
    # Start, outcome, two for each of four steps; the join hears from both branches, and looks at the other each time.
    assert run.cost == Cost(writes=10, reads=2, deliveries=5, working=4, calls=4)


def test_a_diamond_with_a_slow_branch_costs_one_marker_more() -> None:
    run = Run(shapes.diamond(), last=("p-c",))
    assert isinstance(run.stands(OUTCOME), Committed)
    # The join hears from the fast branch, reads nothing of the slow one, and proves by a marker that it is absent.
    assert run.cost == Cost(writes=11, reads=2, deliveries=5, working=4, calls=4)


def test_a_straight_saga_whose_last_step_is_refused_costs_its_way_back() -> None:
    run = Run(shapes.straight(3), {"/s2": no(422)})
    assert isinstance(run.stands(OUTCOME), Aborted)
    assert isinstance(run.stands(FINISH), Compensated)
    # Writes: 7 forward, outcome and notice, markers of s0 and s1, whose successors are not undone yet at the notice,
    # 3 compensations, the finish. Deliveries: 3, the notice to 3, a compensation to s1 and s0. Reads: where a step is,
    # by each of the last 5, and what it was asked, by 3.
    assert run.cost == Cost(writes=15, reads=8, deliveries=8, working=6, calls=6)


def test_an_aborted_saga_in_parallel_order_needs_nobody_s_turn() -> None:
    run = Run(shapes.saga(*shapes.straight(3).steps, order="parallel"), {"/s2": no(422)})
    assert isinstance(run.stands(FINISH), Compensated)
    # As before, but no compensation is delivered to anybody, and all steps look at the others; two prove that they are
    # not the last.
    assert run.cost == Cost(writes=15, reads=9, deliveries=6, working=6, calls=6)


def test_a_step_that_is_skipped_costs_as_much_as_one_that_runs_but_no_call() -> None:
    run = Run(shapes.without_expressions(shapes.SHAPES["choice with a dead path"]), {"/a": ok(ce_type="a.small")})
    assert isinstance(run.stands(OUTCOME), Committed)
    # a -> b (dead) -> c (dead), and a -> d, the first sink of two: it proves that c has not ended. Each looks once.
    assert run.cost == Cost(writes=11, reads=2, deliveries=4, working=2, calls=2)
