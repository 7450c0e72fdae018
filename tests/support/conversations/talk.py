"""Plays a conversation: the real attempts, starts and cancels, on the simulation's broker, as the commands say.

Nothing of the protocol is here. An attempt runs until it calls the app, or comes to where it was told to stop; what the
log does to it was said with the command. `spoken` reads those, `wording` says what happened.
"""

from __future__ import annotations

from typing import Any

from sagamesh.language.model import Saga
from sagamesh.log.registers import START, Name, Register, Start, Value
from sagamesh.protocol import commands, effects, endings
from sagamesh.protocol.answers import Answer, Answered
from sagamesh.protocol.attempt import Fetch, Operation, Put, Reply, WriteRefused
from sagamesh.protocol.effects import Ack, Call, Known, Nak, Tell
from sagamesh.rules.compiled import prepare
from sagamesh.rules.projection import project
from sagamesh.simulation.broker import Broker, PendingDelivery
from sagamesh.simulation.faults import NONE
from sagamesh.simulation.world import HANDLERS, INSTANCE, Handlers, Handling
from support.conversations import wording
from support.conversations.speaker import FATES, Conditions, Speaker
from support.conversations.wording import Row, dotted

MOST_OPERATIONS = 200
"""Of one attempt without a call: whoever needs more goes round in a circle."""
DOES_IT = Answered(200, {}, b"")


class ImpossibleError(Exception):
    """What was said cannot happen now. In words that go on `cannot`."""


class Unmoved:
    """A chooser for a world in which nothing is left to chance: what does not strike for certain does not strike."""

    def random(self) -> float:
        return 0.5

    def randrange(self, stop: int, /) -> int:
        return 0

    def choice(self, options: Any, /) -> Any:
        return options[0]


class Talk:
    """One instance. What its methods do is told in `rows`."""

    def __init__(self, saga: Saga, handlers: Handlers = HANDLERS) -> None:
        self.saga = saga
        self.handlers = handlers
        self.rules = {name: prepare(local) for name, local in project(saga).items()}
        self.broker = Broker(self.rules, Unmoved(), NONE)
        self.speakers: list[Speaker] = []
        self.rows: list[Row] = []
        self._numbers = 0

    # -- what may happen -----------------------------------------------------------------------------------------

    def start(self, value: Start, conditions: Conditions) -> None:
        """The app of the starting participant sends the starting event."""
        known = self._known(conditions)
        speaker = Speaker(commands.start(known, value), known, self.saga.start.participant, conditions)
        stands = self._run(speaker)
        if not isinstance(stands, Register):
            self.rows.append(Row("says", "unknown: send it again"))
        elif stands.origin.attempt_id != known.attempt_id:
            assert isinstance(stands.value, Start)
            same = stands.value.digest == value.digest
            self.rows.append(Row("says", "started before, with " + ("this payload" if same else "another payload")))

    def cancel(self, reason: str, conditions: Conditions) -> None:
        """Somebody asks the starting participant to cancel. As its API, it has read the start."""
        known = self._known(conditions)
        known.late = True
        known.registers[START] = self.there(START)
        participant = self.saga.start.participant
        generator = self.handlers.cancel(self.rules[participant], known, reason)
        self._run(Speaker(generator, known, participant, conditions))

    def deliver(self, name: Name, participant: str, replica: int, conditions: Conditions) -> None:
        """A replica takes a delivery: one attempt for each own step that it concerns."""
        found = [d for d in self.broker.deliveries if d.participant == participant and d.register.name == name]
        if not found:
            raise ImpossibleError(f"deliver it: {participant} does not listen to {dotted(name)}, or it is not there")
        delivery, rules = found[-1], self.rules[participant]
        delivery.delivered += 1
        delivery.hands += 1
        delivery.acked = False
        steps = rules.concerned(name)
        handling = Handling(delivery, replica, len(steps))
        handed = effects.Delivery(INSTANCE, delivery.register, delivery.delivered)
        for step in steps:
            known = self._known(conditions)
            known.late = known.late or delivery.delivered > 1
            generator = self.handlers.attempt(rules, known, handed, step)
            self._run(Speaker(generator, known, participant, conditions, handling, step.name))

    def answer(self, step: str, replica: int, answer: Answer, after: float, conditions: Conditions) -> None:
        """The app answers the call of a step, so many seconds after what was stored last."""
        waiting = [it for it in self._calling() if it.step == step and it.replica == replica]
        if not waiting:
            raise ImpossibleError(f"be answered: {step} was not called")
        waiting[0].conditions = conditions
        waiting[0].given = Reply(answer, self.broker.sequence + after)
        self._run(waiting[0])

    def go_on(self, participant: str, replica: int, conditions: Conditions) -> None:
        """What was stopped goes on."""
        stopped = [it for it in self._of(participant, replica) if it.pending and not isinstance(it.pending, Call)]
        if not stopped:
            raise ImpossibleError(f"go on: {participant} has not stopped")
        stopped[0].conditions = conditions
        self._carry_out(stopped[0], stopped[0].pending)
        self._run(stopped[0])

    def crash(self, participant: str, replica: int) -> None:
        """A replica dies with all that it has in hand."""
        for handling in dict.fromkeys(it.handling for it in self._of(participant, replica)):
            if handling is not None:
                handling.delivery.hands -= 1
                self.rows.append(Row("drops", dotted(handling.delivery.register.name)))
        self.speakers = [it for it in self.speakers if it not in self._of(participant, replica)]

    def lose_lease(self, participant: str, replica: int) -> None:
        """Another replica may have the deliveries by now that this one has in hand."""
        for speaker in self._of(participant, replica):
            speaker.lease_lost = True

    def arrive(self, name: Name) -> None:
        """A write that was held up arrives."""
        held = next((ghost for ghost in self.broker.ghosts if ghost[0].name == name), None)
        if held is None:
            raise ImpossibleError(f"arrive: no write of {dotted(name)} is held up")
        self.broker.ghosts.remove(held)
        put, attempt_id, participant = held
        self.rows.append(wording.write(put, self.broker.store(put, attempt_id, participant)))

    def forge(self, name: Name, value: Value) -> None:
        """Somebody who may write a register does so, though the protocol would not."""
        put = Put(name, value)
        self.rows.append(wording.write(put, self.broker.store(put, "forged", "somebody")))

    def delete(self) -> None:
        """All registers of the instance are deleted."""
        self.broker.registers.clear()

    def carry_on(self, until: Name | None) -> None:
        """Deliver what is waiting, in order, to apps that do what they are asked; again, as long as that helps."""
        before = -1
        while before != (before := self._progress()):
            for delivery in tuple(self.broker.deliveries):
                if until is None or until not in self.broker.registers:
                    self._carry_through(delivery)

    def end(self) -> None:
        """The log, what was decided, and what is still to come."""
        found = sorted(self.broker.registers.values(), key=lambda register: register.sequence)
        self.rows += wording.log(found)
        local = next(iter(self.rules.values())).local
        outcome, last = (ask(local, self.broker.registers) for ask in (endings.outcome, endings.ending))
        decided = wording.word_of(outcome) if outcome else "undecided"
        ended = f"ended by {dotted(last.name)}" if last else "not ended"
        self.rows.append(Row("", f"{decided}, and {ended}"))
        waiting = [f"{dotted(d.register.name)} to {d.participant}" for d in self.broker.deliveries if not d.acked]
        self.rows.append(Row("", f"on the way: {', '.join(waiting) or 'nothing'}"))

    # -- how it happens ------------------------------------------------------------------------------------------

    def there(self, name: Name) -> Register:
        if name not in self.broker.registers:
            raise ImpossibleError(f"be: {dotted(name)} is not there")
        return self.broker.registers[name]

    def _known(self, conditions: Conditions) -> Known:
        self._numbers += 1
        now = float(self.broker.sequence)
        known = Known(f"attempt {self._numbers}", late=conditions.late, app_away=conditions.app_away, began=now)
        known.registers.update((name, self.there(name)) for name in conditions.knows)
        return known

    def _of(self, participant: str, replica: int) -> list[Speaker]:
        return [it for it in self.speakers if it.participant == participant and it.replica == replica]

    def _calling(self) -> list[Speaker]:
        return [it for it in self.speakers if isinstance(it.pending, Call)]

    def _progress(self) -> int:
        """Grows with everything that cannot happen again."""
        return self.broker.sequence + sum(delivery.acked for delivery in self.broker.deliveries)

    def _carry_through(self, delivery: PendingDelivery) -> None:
        """Hand out a delivery that nobody has, and answer its calls: told in one line."""
        if delivery.acked or delivery.hands:
            return
        told, self.rows = self.rows, []
        self.deliver(delivery.register.name, delivery.participant, 1, Conditions())
        while calling := [it for it in self._calling() if it.handling and it.handling.delivery is delivery]:
            self.answer(calling[0].step, 1, DOES_IT, 0.0, Conditions())
        told.append(wording.in_short(delivery.register.name, delivery.participant, self.rows))
        self.rows = told

    def _run(self, speaker: Speaker) -> Any:
        """Let it go on until it stops, or is done; then its result."""
        speaker.lease_lost = speaker.lease_lost or speaker.conditions.lease_lost
        if speaker not in self.speakers:
            self.speakers.append(speaker)
        for _ in range(MOST_OPERATIONS):
            try:
                operation = speaker.advance()
            except StopIteration as stop:
                self.speakers.remove(speaker)
                if speaker.handling is not None:
                    self._settle(speaker.handling, speaker.step, stop.value)
                return stop.value
            except Exception as error:
                raise ImpossibleError(f"go on: {speaker.participant} raised {error!r}") from error
            if self._stops(speaker, operation):
                return None
            self._carry_out(speaker, operation)
        raise ImpossibleError(f"end: {speaker.participant} goes round in a circle")

    def _stops(self, speaker: Speaker, operation: Operation) -> bool:
        """At a call, whose answer is a command; and where it was said."""
        conditions, speaker.pending = speaker.conditions, None
        match operation:
            case Call():
                row = wording.call(operation)
            case Put(name=name) if name == conditions.until:
                row = Row("stops", f"before it writes {dotted(name)}")
            case Fetch(names=names) if conditions.until in names:
                row = Row("stops", f"before it reads {', '.join(map(dotted, names))}")
            case _:
                return False
        if not isinstance(operation, Call) and conditions.let_pass:
            conditions.let_pass -= 1
            return False
        self._tell(speaker, row)
        speaker.pending = operation
        return True

    def _carry_out(self, speaker: Speaker, operation: Operation | None) -> None:
        """Let the broker do a write or a read as it was said, and tell it."""
        match operation:
            case Put():
                speaker.given = given = self._put(speaker, operation)
                self._tell(speaker, wording.write(operation, given))
            case Fetch(names=names):
                unseen = speaker.conditions.unseen
                seen = [name for name in names if not unseen[name]]
                unseen.subtract(name for name in names if unseen[name])
                speaker.given = found = self.broker.fetch(tuple(seen))
                self._tell(speaker, wording.read(names, found))
            case Tell():
                speaker.given = None
                self._tell(speaker, wording.tell(operation))
            case _:
                speaker.given = None

    def _put(self, speaker: Speaker, put: Put) -> Register | WriteRefused:
        fates = speaker.conditions.fates.get(put.name)
        self.broker.faults = FATES[fates.pop(0)] if fates else NONE
        return self.broker.put(put, speaker.known.attempt_id, speaker.participant)

    def _settle(self, handling: Handling, step: str, result: Ack | Nak) -> None:
        """As a relay does: with the last of its steps a delivery is settled."""
        handling.results.append(result)
        settled = self.handlers.settle(handling.results, handling.steps)
        if handling.steps > 1:
            self.rows.append(wording.settled(result)._replace(step=step))
        if len(handling.results) == handling.steps:
            handling.delivery.hands -= 1
        if settled is not None:
            self.rows.append(wording.settled(settled))
            handling.delivery.acked = isinstance(settled, Ack)

    def _tell(self, speaker: Speaker, row: Row) -> None:
        several = speaker.handling is not None and speaker.handling.steps > 1
        self.rows.append(row._replace(step=speaker.step) if several else row)
