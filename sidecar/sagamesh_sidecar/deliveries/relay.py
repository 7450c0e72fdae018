"""The one loop: deliveries in, core's attempts carried out, settled. It decides nothing about sagas.

A delivery that several own steps listen to is handled for all of them at once, and settled when all of them are. While
it is in hand its lease is renewed by one ticker for all; once a lease may be lost, core starts no call any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from sagamesh.errors import UnreadableError
from sagamesh.log import codec, line_fields, registers
from sagamesh.log.codec import Message
from sagamesh.log.line_fields import Fields
from sagamesh.protocol.answers import APP_AWAY, Answer, Away
from sagamesh.protocol.attempt import Result, attempt, settle
from sagamesh.protocol.decision import FORWARD
from sagamesh.protocol.effects import Ack, CallKind, Delivery, Known, Nak
from sagamesh.protocol.view.standing import PARK_AFTER, trouble_of
from sagamesh.rules.compiled import OwnStep, Rules
from sagamesh.text import cut
from sagamesh_sidecar.deliveries.availability import Availability
from sagamesh_sidecar.deliveries.executor import Executor
from sagamesh_sidecar.deliveries.failures import Failures
from sagamesh_sidecar.deliveries.parking import Parking
from sagamesh_sidecar.deliveries.retry_budget import RetryBudget
from sagamesh_sidecar.deliveries.tally import Tally
from sagamesh_sidecar.deliveries.work import Work
from sagamesh_sidecar.metrics import Metrics
from sagamesh_sidecar.ports import Lease
from sagamesh_sidecar.rules.rulebook import Rulebook

logger = logging.getLogger("sagamesh.relay")

UNREADABLE_DELAY = 60.0
"""Seconds until a delivery that cannot be read is looked at again: only a newer version will help."""
SHORTAGE_DELAY = 2.0
"""Seconds at most until a delivery is tried again for which there was no memory: calls in hand end and free some."""
LATE = 60.0
"""Seconds after which an instance may have been finished and deleted since a register of it was written: far less than
anybody keeps instances, and more than all but the slowest deliveries take, for a late one costs a read."""
STEPS = 32
"""Own steps of one delivery that are handled at once. A saga may have hundreds; the app and NATS have their limits."""
HOLD = 1.0
"""Seconds at most until a delivery whose rules are missing is looked at again: a push usually brings them sooner."""


class Hand:
    """A delivery in hand. `renewed`: when its lease was last known to be ours, on the executor's clock.

    `taken`: when it came. `spent`: seconds that the app took with it.
    """

    __slots__ = ("lease", "renewed", "spent", "taken", "task")

    def __init__(self, lease: Lease, now: float) -> None:
        self.lease = lease
        self.spent = 0.0
        self.task = asyncio.current_task()
        self.taken = self.renewed = now


class Relay:
    """Takes the deliveries of every saga of one participant. `pod` and `participant` sign what it writes."""

    def __init__(
        self,
        *,
        pod: str,
        executor: Executor,
        rulebook: Rulebook,
        availability: Availability,
        metrics: Metrics,
        parking: Parking,
        tally: Tally,
        retry_budget: RetryBudget,
        ack_wait: float,
    ) -> None:
        self.pod = pod
        self.executor = executor
        self.rulebook = rulebook
        self.availability = availability
        self.metrics = metrics
        self.parking = parking
        self.tally = tally
        self.retry_budget = retry_budget
        self.ack_wait = ack_wait
        self._now = executor.now
        self._failures = Failures(now=executor.now)
        self._in_hand: dict[Hand, None] = {}  # in the order in which they came

    @property
    def in_flight(self) -> int:
        """Deliveries in hand."""
        return len(self._in_hand)

    async def accept(self, lease: Lease) -> None:
        """Handle one delivery to its end. Never raises but for cancellation; what goes wrong comes back later."""
        hand = Hand(lease, self._now())
        self._in_hand[hand] = None
        self.retry_budget.came(lease.message.subject)
        try:
            settled = await self._safely(lease.message, "", self._handle(hand))
        finally:
            del self._in_hand[hand]
        await self._reply(hand, settled)

    async def _safely(self, message: Message, step: str, work: Awaitable[Ack | Nak]) -> Ack | Nak:
        """What cannot be read, and what is our own fault, comes back by the minute: a newer version may help.

        `step`: the own one that it is handled for; empty: the whole delivery.
        """
        try:
            return await work
        except UnreadableError as error:
            self.metrics.unreadable()
            about = line_fields.fields_of(message.subject, message.headers, step)
            logger.error("unreadable register", extra={**about, "reason": cut(str(error))})
            return Nak(UNREADABLE_DELAY, f"unreadable: {error}", at_least=UNREADABLE_DELAY)
        except MemoryError:
            about = line_fields.fields_of(message.subject, message.headers, step)
            logger.error("no memory left to handle a delivery", extra=about)
            return Nak(SHORTAGE_DELAY, "the sidecar has no memory left", at_least=SHORTAGE_DELAY / 2)
        except Exception:
            about = line_fields.fields_of(message.subject, message.headers, step)
            logger.exception("a delivery could not be handled", extra=about)
            return Nak(UNREADABLE_DELAY, "a fault of the sidecar itself; its log says more", at_least=UNREADABLE_DELAY)

    async def _handle(self, hand: Hand) -> Ack | Nak:
        message = hand.lease.message
        instance, _ = registers.parse(message.subject)
        register = codec.decode(message)
        delivery = Delivery(instance, register, hand.lease.delivered)
        rules = self.rulebook.of(instance.saga, register.origin.revision)
        if rules is None:
            return self._hold(delivery)
        self.parking.clear((message.subject, ""))
        steps = rules.concerned(register.name)
        if len(steps) == 1:  # as nearly always: no task of its own for that
            return await self._step(hand, rules, delivery, steps[0])
        turns = asyncio.Semaphore(STEPS)

        async def in_turn(step: OwnStep) -> Ack | Nak:
            async with turns:
                return await self._step(hand, rules, delivery, step)

        results = await asyncio.gather(*map(in_turn, steps))
        settled = settle(results, len(steps))
        assert settled is not None
        return settled

    def _hold(self, delivery: Delivery) -> Nak:
        """Without its rules a delivery waits for help. How long that may take, another revision's rules say."""
        saga = delivery.instance.saga
        newest = self.rulebook.newest(saga)
        missing = self.rulebook.lacking(saga, delivery.register.origin.revision)
        self._note(delivery, "", missing, newest.local.park_after if newest else PARK_AFTER, called=False)
        return Nak(HOLD, missing)

    async def _step(self, hand: Hand, rules: Rules, delivery: Delivery, step: OwnStep) -> Ack | Nak:
        """One own step, whatever happens to the others."""
        key = (delivery.subject, step.name)
        result = await self._safely(hand.lease.message, step.name, self._attempt(hand, rules, delivery, step))
        self.tally.put_down(key, ended=isinstance(result, Ack))
        if isinstance(result, Nak) and result.implausible:
            self.metrics.implausible(result.implausible)
            about = {**_fields(delivery, step.name), "subject": delivery.subject, "reason": result.reason}
            logger.error("implausible register", extra=about)
        if isinstance(result, Ack) or not result.reason:
            self.parking.clear(key)
        else:
            self._note(delivery, step.name, result.reason, rules.local.park_after, called=not result.waits)
        return result

    def _note(self, delivery: Delivery, step: str, reason: str, park_after: float, *, called: bool) -> None:
        """What does not go on is remembered, and told: each time by the way, and aloud when it is parked by that."""
        instance, now, key = delivery.instance, self.executor.log.now(), (delivery.subject, step)
        before = self.parking.trouble(key)
        trouble = trouble_of(delivery, step, reason, now=now, park_after=park_after, before=before)
        about = {**_fields(delivery, step), "reason": reason}
        logger.log(logging.INFO if called else logging.DEBUG, "again later", extra=about)
        if self.parking.note(key, instance, trouble, called=called):
            logger.warning("parked", extra={**about, "reason": trouble.reason})

    async def _attempt(self, hand: Hand, rules: Rules, delivery: Delivery, step: OwnStep) -> Ack | Nak:
        """One attempt, operation by operation."""
        key = (delivery.subject, step.name)
        kind: CallKind = "action" if delivery.register.name.register in FORWARD else "compensation"
        count = self.tally.take_up(key, delivery.instance, kind)
        spec = step.rules.action if kind == "action" else step.rules.compensation
        refusal = self.availability.refusal(spec.path if spec is not None else "")
        known = Known(
            attempt_id=self.executor.attempt_id(),
            late=delivery.delivered > 1 or self.executor.log.now() - delivery.register.time > LATE,
            lease_lost=not self._is_ours(hand),  # the process may have stood still since it came
            app_away=bool(refusal),
            why_away=refusal or APP_AWAY,
            failures=self.parking.failures(key),
            called=count.made,
            began=self.executor.log.now(),
        )
        origin = delivery.register.origin._replace(pod=self.pod, attempt_id=known.attempt_id)
        trace = delivery.register.trace
        work = Work(delivery.instance, origin, step.name, trace, delivered=delivery.delivered, count=count)
        generator = attempt(rules, known, delivery, step)
        result: Result[Any] | None = None
        while True:
            try:
                operation = next(generator) if result is None else generator.send(result)
            except StopIteration as stop:
                self.executor.count_end(rules, known, step)
                hand.spent += work.spent
                settled: Ack | Nak = stop.value
                self._tell(work, known.answer, settled)
                return settled
            given = await self.executor.execute(work, operation)
            result = Result(given, lease_lost=not self._is_ours(hand))

    def _tell(self, work: Work, answer: Answer | None, settled: Ack | Nak) -> None:
        """People hear at once of a call that has to be made again: it may be so for long.

        Not where nobody listens: then none failed, and `availability` tells it.
        """
        if isinstance(settled, Nak) and settled.reason and not isinstance(answer, Away | None):
            self._failures.tell(work, answer, settled.reason)

    async def _reply(self, hand: Hand, settled: Ack | Nak) -> None:
        lease = hand.lease
        saga = registers.saga_name_of(lease.message.subject)
        if isinstance(settled, Ack):
            self.metrics.delivered(saga, "ack")
            await lease.ack()
        else:
            self.metrics.delivered(saga, "nak")
            if self._is_ours(hand):
                held = self._now() - hand.taken
                await lease.nak(self.retry_budget.delay(lease.message.subject, settled, held=held, spent=hand.spent))

    async def renew(self) -> None:
        """Keep the leases of everything in hand, every third of the time that they last."""
        while True:
            await asyncio.sleep(self.ack_wait / 3)
            self.parking.sweep()
            self.tally.sweep()
            self.retry_budget.sweep()
            await asyncio.gather(*(self._renew(hand) for hand in tuple(self._in_hand)))

    async def _renew(self, hand: Hand) -> None:
        """A lease is ours from when we asked, if the server says so. One that may be lost is not taken back.

        Nor one that was settled since the ticker looked: the log would take that for a word after a nak.
        """
        asked = self._now()
        if hand in self._in_hand and self._is_ours(hand) and await hand.lease.in_progress():
            hand.renewed = asked

    def _is_ours(self, hand: Hand) -> bool:
        """Whether nobody else can have it by now."""
        return self._now() - hand.renewed < self.ack_wait

    async def give_back(self) -> None:
        """At shutdown: what is still in hand is let go, and goes to another replica at once, if it is not there yet."""
        hands = tuple(self._in_hand)
        for hand in hands:  # all of them first: while one goes back, the others would go on
            if hand.task is not None:
                hand.task.cancel()
        for hand in hands:
            if self._is_ours(hand):
                await hand.lease.nak(0.0)


def _fields(delivery: Delivery, step: str) -> Fields:
    """What a line about a delivery says, and about the own step that it is handled for."""
    register = delivery.register
    return line_fields.fields(delivery.instance, register.origin.run, register.trace, step)
