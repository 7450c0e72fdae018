"""One schedule: replicas of every participant, interleaved at every operation, until nothing moves any more.

Phase one has faults; then they stop, and everything must come to rest. Faults, fates, interleaving and the moment of a
cancel are all the chooser's: the same answers give the same schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sagamesh.log import registers
from sagamesh.log.registers import ABORT, NULL, START, Cause, Instance, Name, Notice, Register, Skipped, Start, Started
from sagamesh.protocol import attempt as real
from sagamesh.protocol import commands, effects
from sagamesh.protocol.answers import Unanswered
from sagamesh.protocol.attempt import Fetch, Given, Operation, Put, Reply, Result, Steps
from sagamesh.protocol.effects import Ack, Call, CallKind, Known, Nak
from sagamesh.protocol.endings import outcome
from sagamesh.protocol.variables import announces
from sagamesh.rules.local import LocalRules
from sagamesh.simulation import faults
from sagamesh.simulation.apps import OVER, Apps, Fate
from sagamesh.simulation.broker import Broker, PendingDelivery
from sagamesh.simulation.chooser import Chooser
from sagamesh.simulation.outline import Outline

INSTANCE = Instance("default", "simulated", "i")
REPLICAS = 2
"""Of each participant: as many as it takes for one to overtake the other."""


@dataclass(frozen=True, slots=True)
class Handlers:
    """The code under test. The tests put mutants in its place."""

    attempt: Callable[..., Steps[Ack | Nak]] = real.attempt
    settle: Callable[[list[Ack | Nak], int], Ack | Nak | None] = real.settle
    cancel: Callable[..., Steps[None]] = commands.cancel


HANDLERS = Handlers()


class Handling:
    """One delivery in the hands of one replica: an attempt for each own step that it concerns."""

    __slots__ = ("delivery", "replica", "results", "steps")

    def __init__(self, delivery: PendingDelivery, replica: int, steps: int) -> None:
        self.delivery = delivery
        self.replica = replica
        self.steps = steps
        self.results: list[Ack | Nak] = []


class Task:
    """A generator under way, and what its last operation gave. `handling` is None for a cancel."""

    __slots__ = ("generator", "given", "handling", "known", "lease_lost", "participant", "process", "step", "under_way")

    def __init__(
        self,
        generator: Steps[Any],
        known: Known,
        participant: str,
        handling: Handling | None = None,
        step: str = "",
    ) -> None:
        self.generator = generator
        self.known = known
        self.participant = participant
        self.handling = handling
        self.step = step
        self.process = (participant, handling.replica if handling else 0)
        self.given: Given = None
        self.lease_lost = False
        self.under_way = False

    def advance(self) -> Operation:
        """The next operation, given what the last one gave, and whether the lease was lost since."""
        if not self.under_way:
            self.under_way, self.known.lease_lost = True, self.lease_lost
            return next(self.generator)
        return self.generator.send(Result(self.given, self.lease_lost))


class World:
    """A schedule. After `run`, `broker`, `apps` and `wrongs` tell what happened; `restless`: why it has no end.

    `forged`: the register that somebody wrote, whatever the facts: a notice, or the pivot's `begin`. `lost`: the
    participant that never comes back. `applied`: (step, done or undone) -> how many registers stood when it was.
    """

    def __init__(self, outline: Outline, chooser: Chooser, handlers: Handlers = HANDLERS) -> None:
        self.outline = outline
        self.handlers = handlers
        self.chooser = chooser
        self.faults = faults.draw(self.chooser)
        self.broker = Broker(outline.rules, self.chooser, self.faults)
        outline.draw(self.chooser)
        self.apps = Apps(outline, self.chooser, self.faults, self._fates())
        self.tasks: list[Task] = []
        self.attempts = 0
        self.cancelled = False
        self.forged: Name | None = None
        self.lost = ""
        self.applied: dict[tuple[str, str], int] = {}
        self.wrongs: list[str] = []
        self.restless = ""

    def _fates(self) -> dict[str, Fate]:
        """In half of the schedules every action succeeds; a retriable step's always does in the end."""
        rate = self.chooser.choice((0.0, 0.0, 0.15, 0.4))
        pivot = self.outline.saga.pivot
        may_fail = {n for n in self.outline.steps if n not in self.outline.must_succeed or (pivot and n == pivot.name)}
        return {n: "refused" if n in may_fail and self.chooser.random() < rate else "done" for n in self.outline.steps}

    @property
    def local(self) -> LocalRules:
        """What every participant's rules say alike of the saga as a whole."""
        return next(iter(self.outline.rules.values())).local

    @property
    def outcome(self) -> str:
        """What was decided: `Committed`, `Aborted`, or `None` for an instance that is still undecided."""
        return type(outcome(self.local, self.broker.registers)).__name__.removesuffix("Type")

    @property
    def forged_begin(self) -> bool:
        """Whether somebody forged how the pivot began."""
        return self.forged not in (None, ABORT)

    # -- the schedule --------------------------------------------------------------------------------------------

    def run(self) -> World:
        """The whole schedule. A step takes about twenty turns: so faults stop, and a cancel comes, anywhere on the way.

        The limit is more than ten times what a schedule was seen to take to come to rest without faults.
        """
        chooser, size = self.chooser, len(self.outline.steps)
        self.broker.store(Put(START, Start("start", "i", "app", "digest", NULL)), "start", "app")
        faulty = chooser.randrange(20 + 60 * size)
        cancel_at = chooser.randrange(10 + 30 * size) if chooser.random() < 0.3 else -1
        forge_at = chooser.randrange(10 + 30 * size) if chooser.random() < 0.2 else -1
        lose_at = chooser.randrange(10 + 30 * size) if chooser.random() < 0.2 else -1
        limit = faulty + 2_000 + 400 * size
        for turn in range(limit):
            if turn == cancel_at:
                self._cancel()
            if turn == forge_at:
                self._forge()
            if turn == lose_at:
                self._lose()
            if turn == faulty:
                self._calm()
            if not self._move():
                return self
        self.restless = f"still busy after {limit} turns"
        return self

    def _move(self) -> bool:
        """One random thing happens. False: nothing is left to happen."""
        chooser, faults, broker = self.chooser, self.faults, self.broker
        if faults.crash and chooser.random() < faults.crash:
            self._crash()
        if faults.away and chooser.random() < faults.away:
            self.apps.away ^= {chooser.choice(list(self.outline.rules))}
        if broker.ghosts and chooser.random() < 0.2:
            broker.let_ghost_in()
        self._repeat()
        waiting = [delivery for delivery in broker.deliveries if not delivery.hands and self.must_settle(delivery)]
        if not self.tasks and not waiting:
            return bool(broker.ghosts)
        chosen = chooser.randrange(len(self.tasks) + len(waiting))
        if chosen < len(self.tasks):
            self._advance(self.tasks[chosen])
        else:
            self._deliver(waiting[chosen - len(self.tasks)])
        return True

    def must_settle(self, delivery: PendingDelivery) -> bool:
        """Whether a delivery is still to be settled: not so what nobody takes, or what is held while it is false."""
        if delivery.acked or delivery.participant == self.lost:
            return False
        if self.faults is not faults.NONE:
            return True
        if self.forged == ABORT == delivery.register.name:
            return self.outcome == "Aborted"
        return delivery.held != self.broker.sequence  # the same would be said again

    def _forge(self) -> None:
        """Somebody who may write the notice does so, though nothing says that the saga is aborted.

        Or he writes how the pivot began, on behalf of any register that comes before it, or of one that does not.
        """
        put = self._forgery()
        if put.name not in self.broker.registers:
            self.forged = put.name
            self.broker.store(put, "forged", "somebody")

    def _forgery(self) -> Put:
        pivot = self.outline.saga.pivot
        if pivot is None or self.chooser.random() < 0.3:
            return Put(ABORT, Notice(Cause("cancelled", "forged")))
        inputs = [registers.end(producer) for producer in self.outline.inputs[pivot.name]]
        subject = INSTANCE.subject(self.chooser.choice((*inputs, *inputs, registers.end(pivot.name))))
        forgeries = (Started(subject), Skipped(subject, "dead"))
        return Put(registers.begin(pivot.name), self.chooser.choice(forgeries))

    def _lose(self) -> None:
        """A participant is gone, with all that it had in hand, and never comes back."""
        self.lost = self.chooser.choice([*self.outline.rules])
        for task in [task for task in self.tasks if task.participant == self.lost]:
            self._kill(task.process)

    def _calm(self) -> None:
        """The faults stop, and people mend what waits for them."""
        self.outline.mend()
        self.faults = self.broker.faults = self.apps.faults = faults.NONE
        self.apps.away.clear()

    def _repeat(self) -> None:
        """Hand a delivery out again that is in hand, or was acked."""
        chooser, faults = self.chooser, self.faults
        if faults.duplicate and chooser.random() < faults.duplicate:
            in_hand = [delivery for delivery in self.broker.deliveries if delivery.hands == 1]
            if in_hand:
                delivery = chooser.choice(in_hand)
                if chooser.random() < 0.5:
                    for task in self.tasks:
                        if task.handling is not None and task.handling.delivery is delivery:
                            task.lease_lost = True
                self._deliver(delivery)
        if faults.replay and chooser.random() < faults.replay:
            acked = [delivery for delivery in self.broker.deliveries if delivery.acked]
            if acked:
                chooser.choice(acked).acked = False

    def _deliver(self, delivery: PendingDelivery) -> None:
        """A replica takes a delivery: one attempt for each own step that it concerns."""
        delivery.delivered += 1
        delivery.hands += 1
        delivery.acked = False
        rules = self.outline.rules[delivery.participant]
        steps = rules.concerned(delivery.register.name)
        handling = Handling(delivery, self.chooser.randrange(REPLICAS), len(steps))
        handed = effects.Delivery(INSTANCE, delivery.register, delivery.delivered)
        for step in steps:
            known = self._known(delivery)
            generator = self.handlers.attempt(rules, known, handed, step)
            self.tasks.append(Task(generator, known, delivery.participant, handling, step.name))

    def _known(self, delivery: PendingDelivery) -> Known:
        self.attempts += 1
        known = Known(attempt_id=f"a{self.attempts}", late=delivery.delivered > 1)
        if delivery.participant in self.apps.away:
            known.app_away = self.chooser.random() < 0.7
        if self.faults.stale and self.chooser.random() < 0.1 and ABORT in self.broker.registers:
            known.registers[ABORT] = self.broker.registers[ABORT]  # a replica may know it from elsewhere
        return known

    def _advance(self, task: Task) -> None:
        """Let a task go on, and carry out what it asks for next."""
        try:
            operation = task.advance()
        except StopIteration as stop:
            self._end(task, stop.value)
            return
        except Exception as error:
            self.wrongs.append(f"{task.step} raised {error!r}")
            self._end(task, Nak(60.0, "a fault of the sidecar itself"))
            return
        task.given = self._execute(task, operation)

    def _end(self, task: Task, result: Ack | Nak) -> None:
        self.tasks.remove(task)
        if isinstance(result, Nak) and result.reason == real.STUCK:
            self.wrongs.append(f"{task.step} waits for what does not come")
        if task.handling is not None:
            self._settle(task.handling, result)

    def _execute(self, task: Task, operation: Operation) -> Given:
        match operation:
            case Put():
                begins = isinstance(operation.value, Started)
                if begins and task.known.app_away and not self.outline.is_hopeless(task.step):
                    self.wrongs.append(f"{task.step} begins though its app is away")
                return self.broker.put(operation, task.known.attempt_id, task.participant)
            case Fetch(names=names):
                return self.broker.fetch(names)
            case Call() if task.lease_lost:
                self.wrongs.append(f"{task.step} was called though the lease was lost")
                return Reply(Unanswered("reset"), 0.0)
            case Call(kind="action") if self.outline.is_hopeless(task.step):
                self.wrongs.append(f"{task.step} was called though its expressions cannot be evaluated")
                return Reply(Unanswered("reset"), 0.0)
            case Call():
                reply = self._call(task.step, operation.kind)
                for kind, steps in (("done", self.apps.done), ("undone", self.apps.undone)):
                    if task.step in steps:
                        self.applied.setdefault((task.step, kind), self.broker.sequence)
                return reply
            case _:
                return None

    def _call(self, step: str, kind: CallKind) -> Reply:
        if kind == "compensation":
            return Reply(self.apps.undo(step), 0.0)
        self.wrongs += too_soon(self.outline, step, self.broker.registers)
        over = self.faults.overdue and self.chooser.random() < self.faults.overdue
        return Reply(self.apps.act(step), OVER if over else 0.0)

    def _settle(self, handling: Handling, result: Ack | Nak) -> None:
        handling.results.append(result)
        settled = self.handlers.settle(handling.results, handling.steps)
        delivery = handling.delivery
        if len(handling.results) == handling.steps:
            delivery.hands -= 1
        if isinstance(settled, Nak) and settled.implausible:
            delivery.held = self.broker.sequence
        if isinstance(settled, Ack) and not (self.faults.lost_ack and self.chooser.random() < self.faults.lost_ack):
            delivery.acked = True

    def _crash(self) -> None:
        """A replica of a participant dies with everything that it had in hand, a cancel included."""
        if not self.tasks:
            return
        self._kill(self.chooser.choice(self.tasks).process)

    def _kill(self, victim: tuple[str, int]) -> None:
        for handling in {task.handling for task in self.tasks if task.process == victim}:
            if handling is not None:
                handling.delivery.hands -= 1
        self.tasks = [task for task in self.tasks if task.process != victim]

    def _cancel(self) -> None:
        """Somebody asks the starting participant's API to cancel."""
        self.cancelled = True
        self.attempts += 1
        known = Known(attempt_id=f"a{self.attempts}")
        participant = self.outline.saga.start.participant
        generator = self.handlers.cancel(self.outline.rules[participant], known, "changed my mind")
        self.tasks.append(Task(generator, known, participant))


def too_soon(outline: Outline, step: str, stored: Mapping[Name, Register]) -> Iterator[str]:
    """An action is called only after its inputs, and, where somebody else may forbid it, after its begin."""
    heard = []
    for producer, events in outline.inputs[step].items():
        end = stored.get(registers.end(producer))
        heard.append(end is not None and announces(end, events))
    if not (any(heard) if outline.steps[step].join == "any" else all(heard)):
        yield f"{step} was called before its inputs"
    begun = stored.get(registers.begin(step))
    if step not in outline.open and not (begun and isinstance(begun.value, Started)):
        yield f"{step} was called before its begin"
