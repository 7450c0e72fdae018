"""Carries out the operations of core's generators on the log and the app. Decides nothing.

The relay drives attempts at deliveries with it, `instances` drives what an app or a person asks for.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Callable
from itertools import count
from time import monotonic
from typing import Any, TypeVar

from sagamesh.errors import UnavailableError
from sagamesh.log import codec
from sagamesh.log.registers import START, Instance, Name, Register
from sagamesh.protocol import calls
from sagamesh.protocol.answers import Away
from sagamesh.protocol.attempt import Fetch, Given, Operation, Pause, Put, Reply, Result, Steps, TooLarge, WriteRefused
from sagamesh.protocol.effects import Call, Known, Tell
from sagamesh.protocol.endings import ended_by
from sagamesh.rules.compiled import OwnStep, Rules
from sagamesh_sidecar.deliveries.availability import Availability
from sagamesh_sidecar.deliveries.work import Work
from sagamesh_sidecar.message_limits import OversizedError
from sagamesh_sidecar.metrics import Metrics
from sagamesh_sidecar.ports import App, Guard, Log

logger = logging.getLogger("sagamesh.executor")

Settled = TypeVar("Settled")


class Executor:
    """Operations to the ports, and their replies back.

    `now`, `uniform`: a clock in seconds, and where chance is from.
    """

    def __init__(
        self,
        participant: str,
        log: Log,
        app: App,
        availability: Availability,
        metrics: Metrics,
        *,
        now: Callable[[], float] = monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.participant = participant
        self.log = log
        self.app = app
        self.availability = availability
        self.metrics = metrics
        self.now = now
        self._uniform = uniform
        self._process = secrets.token_hex(6)
        self._numbers = count(1)

    def attempt_id(self) -> str:
        """A new attempt's id: random by process, numbered within."""
        return f"{self._process}-{next(self._numbers)}"

    async def execute(self, work: Work, operation: Operation) -> Given:
        """What one operation gives. Raises UnreadableError for a register that this version cannot read."""
        match operation:
            case Put():
                return await self._put(work, operation)
            case Fetch(names=names):
                return await self._fetch(work.instance, names)
            case Call():
                return await self._call(work, operation)
            case Pause(turn=turn):
                await asyncio.sleep(self._pause(turn))
                return None
            case Tell():
                self._tell(work, operation)
                return None

    def _tell(self, work: Work, failed: Tell) -> None:
        """What the saga's author must mend is told, and counted, each time that it is met."""
        self.metrics.unevaluable(work.instance.saga, work.step, failed.place)
        about = {**work.fields, "place": failed.place, "reason": failed.reason}
        logger.warning("an expression cannot be evaluated", extra=about)

    async def run(self, work: Work, generator: Steps[Settled]) -> Settled:
        """Drive a generator to its end."""
        result: Result[Any] | None = None
        while True:
            try:
                operation = next(generator) if result is None else generator.send(result)
            except StopIteration as stop:
                settled: Settled = stop.value
                return settled
            result = Result(await self.execute(work, operation))

    def count_end(self, rules: Rules, known: Known, step: OwnStep | None = None) -> None:
        """Count an instance's end, where this attempt wrote it; also where the log's answer to that was lost."""
        ended = ended_by(rules, known, step)
        if ended is not None:
            last = ended.register
            self.metrics.finished(rules.local.saga, ended.outcome, max(0.0, last.time - last.origin.start_time))

    async def _put(self, work: Work, put: Put) -> Register | WriteRefused | TooLarge:
        headers, body = codec.encode(put.name, put.value, work.origin, self.participant, work.trace)
        subject = work.instance.subject
        guard = Guard(subject(put.absent), 0) if put.absent else None
        if put.while_started:
            guard = Guard(subject(START), work.origin.start_sequence)
        try:
            stored = await self.log.put(subject(put.name), headers, body, guard=guard)
        except OversizedError as error:
            return TooLarge(error.size, error.most)
        self.metrics.wrote(put.name, stored)
        if isinstance(stored, WriteRefused):
            return stored
        return Register(put.name, put.value, stored, self.log.now(), work.origin, self.participant, work.trace)

    async def _fetch(self, instance: Instance, names: tuple[Name, ...]) -> tuple[Register, ...]:
        """Read, whatever it takes: a log that does not answer proves nothing."""
        subjects = [instance.subject(name) for name in names]
        for turn in count():
            try:
                messages = await self.log.read(instance.stream, subjects)
            except UnavailableError:
                await asyncio.sleep(self._pause(turn))
            else:
                return tuple(codec.decode(message) for message in messages)
        raise AssertionError("unreachable")

    async def _call(self, work: Work, call: Call) -> Reply:
        self.availability.call(call.path)
        headers = calls.headers(
            call, work.instance, work.origin.run, work.step, delivered=work.delivered, trace=work.trace
        )
        begun = self.now()
        work.count.under_way += 1
        try:
            answer = await self.app.post(call.path, headers, call.body, timeout=call.timeout)
        finally:
            work.count.under_way -= 1
        work.count.made += not isinstance(answer, Away)
        seconds = self.now() - begun
        work.spent += seconds
        self.availability.observe(call.path, answer)
        self.metrics.called(work.instance.saga, work.step, call.kind, answer, seconds)
        return Reply(answer, self.log.now(), work.count.made)

    def _pause(self, turn: int) -> float:
        """Seconds to wait before a log that did not answer is asked again: growing to a second, never in step."""
        return min(1.0, 0.02 * 2.0 ** min(turn, 10)) * self._uniform(0.5, 1.0)
