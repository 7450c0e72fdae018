"""The one loop: deliveries in, core's attempts carried out, settled. It decides nothing about sagas.

A delivery that several own steps listen to is handled for all of them at once, and settled when all of them are. While
it is in hand its lease is renewed by one ticker for all; once a lease may be lost, core starts no call any more.
"""

from __future__ import annotations

import asyncio
import logging
import random
from time import monotonic

from sagamesh import codec, registers
from sagamesh.attempt import attempt, settle
from sagamesh.effects import Ack, Delivery, Known, Nak
from sagamesh.errors import UnreadableError
from sagamesh.prepared import OwnStep, Rules
from sagamesh.registers import Instance, Register
from sagamesh_sidecar.executor import Executor, Work
from sagamesh_sidecar.gate import Gate
from sagamesh_sidecar.meters import Meters
from sagamesh_sidecar.parking import Parking
from sagamesh_sidecar.ports import Lease
from sagamesh_sidecar.rulebook import Rulebook

log = logging.getLogger("sagamesh.relay")

UNREADABLE_DELAY = 60.0
"""Seconds until a delivery that cannot be read is looked at again: only a newer version will help."""
LATE = 60.0
"""Seconds after which an instance may have been finished and deleted since a register of it was written."""


class Hand:
    """A delivery in hand. `renewed`: when its lease was last known to be ours, on the monotonic clock."""

    __slots__ = ("lease", "renewed", "task")

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.task = asyncio.current_task()
        self.renewed = monotonic()


class Relay:
    """Takes the deliveries of every saga of one participant. `pod` and `participant` sign what it writes."""

    def __init__(
        self,
        *,
        pod: str,
        executor: Executor,
        rulebook: Rulebook,
        gate: Gate,
        meters: Meters,
        parking: Parking,
        ack_wait: float,
    ) -> None:
        self.pod = pod
        self.executor = executor
        self.rulebook = rulebook
        self.gate = gate
        self.meters = meters
        self.parking = parking
        self.ack_wait = ack_wait
        self._in_hand: set[Hand] = set()

    async def accept(self, lease: Lease) -> None:
        """Handle one delivery to its end. Never raises but for cancellation; what goes wrong comes back later."""
        hand = Hand(lease)
        self._in_hand.add(hand)
        self.meters.in_flight(len(self._in_hand))
        try:
            settled = await self._handle(hand)
        except UnreadableError as error:
            self.meters.unreadable()
            log.error("unreadable register", extra={"subject": lease.message.subject, "reason": str(error)})
            settled = Nak(UNREADABLE_DELAY, "unreadable", at_least=UNREADABLE_DELAY)
        except Exception:
            log.exception("a delivery could not be handled", extra={"subject": lease.message.subject})
            settled = Nak(UNREADABLE_DELAY, "a fault of the sidecar itself")
        finally:
            self._in_hand.discard(hand)
            self.meters.in_flight(len(self._in_hand))
        await self._reply(hand, settled)

    async def _handle(self, hand: Hand) -> Ack | Nak:
        message = hand.lease.message
        instance, _ = registers.parse(message.subject)
        register = codec.decode(message)
        rules = self.rulebook.of(instance.saga, register.origin.revision)
        if rules is None:
            return Nak(1.0, f"revision {register.origin.revision} is not here yet")
        steps = rules.concerned(register.name)
        delivery = Delivery(instance, register, hand.lease.delivered)
        trace = message.headers.get(codec.TRACE, "")
        if len(steps) == 1:
            results = [await self._attempt(hand, rules, delivery, steps[0], trace)]
        else:
            attempts = (self._attempt(hand, rules, delivery, step, trace) for step in steps)
            results = list(await asyncio.gather(*attempts))
        for step, result in zip(steps, results, strict=True):
            self._park(rules, delivery, step.name, result)
        settled = settle(results, len(steps))
        assert settled is not None
        return settled

    async def _attempt(self, hand: Hand, rules: Rules, delivery: Delivery, step: OwnStep, trace: str) -> Ack | Nak:
        """One own step's attempt, operation by operation."""
        now = self.executor.log.now()
        late = delivery.delivered > 1 or now - delivery.register.time > LATE
        known = Known(attempt=self.executor.attempt_id(), late=late, app_away=self.gate.away)
        origin = delivery.register.origin._replace(pod=self.pod, attempt=known.attempt)
        work = Work(delivery.instance, origin, step.name, trace)
        generator = attempt(rules, known, delivery, step)
        result = None
        while True:
            known.lease_lost = monotonic() - hand.renewed > self.ack_wait
            try:
                operation = generator.send(result)
            except StopIteration as stop:
                settled: Ack | Nak = stop.value
                return settled
            result = await self.executor.execute(work, operation)
            if isinstance(result, Register):
                self._finished(rules, delivery.instance, result)

    def _finished(self, rules: Rules, instance: Instance, register: Register) -> None:
        """Count a saga's end, where this attempt wrote it."""
        outcome = registers.finishes(register, has_pivot=rules.local.pivot is not None)
        if outcome is not None:
            self.meters.finished(instance.saga, outcome, max(0.0, register.time - register.origin.start_time))

    def _park(self, rules: Rules, delivery: Delivery, step: str, result: Ack | Nak) -> None:
        """Remember what fails, and say once when it has failed for too long."""
        reason = result.trouble if isinstance(result, Nak) else ""
        late = self.executor.log.now() - delivery.register.time > rules.local.park_after
        instance = delivery.instance
        if self.parking.note(delivery.subject, instance, step, reason=reason, parked=bool(reason) and late):
            log.warning(
                "parked", extra={"saga": instance.saga, "instance": instance.id, "step": step, "reason": reason}
            )

    async def _reply(self, hand: Hand, settled: Ack | Nak) -> None:
        lease = hand.lease
        saga = registers.saga_of(lease.message.subject)
        if isinstance(settled, Ack):
            self.meters.delivered(saga, "ack")
            await lease.ack()
        else:
            self.meters.delivered(saga, "nak")
            if settled.trouble:
                log.info("again later", extra={"subject": lease.message.subject, "reason": settled.trouble})
            if monotonic() - hand.renewed < self.ack_wait:  # else it is another's by now
                await lease.nak(max(settled.at_least, random.uniform(0.0, settled.delay)))

    async def renew(self) -> None:
        """Keep the leases of everything in hand, every third of the time that they last."""
        while True:
            await asyncio.sleep(self.ack_wait / 3)
            self.parking.report()
            for hand in tuple(self._in_hand):
                held = monotonic() - hand.renewed < self.ack_wait
                if held and self.executor.log.connected:
                    await hand.lease.in_progress()
                    hand.renewed = monotonic()

    async def give_back(self) -> None:
        """At shutdown: what is still in hand is let go, and goes to another replica at once."""
        for hand in tuple(self._in_hand):
            if hand.task is not None:
                hand.task.cancel()
            await hand.lease.nak(0.0)
