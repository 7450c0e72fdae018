"""What an app or a person may ask about instances: start one, look at one, cancel one.

Carries out core's `commands` through the executor. `routes` speaks HTTP about it.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

from sagamesh.errors import EventError
from sagamesh.log import codec, registers
from sagamesh.log.registers import START, Instance, Origin, Register, Start
from sagamesh.protocol import commands
from sagamesh.protocol.attempt import TooLarge
from sagamesh.protocol.effects import Known
from sagamesh.rules.compiled import Rules
from sagamesh_sidecar.deliveries.executor import Executor
from sagamesh_sidecar.deliveries.work import Work
from sagamesh_sidecar.metrics import Metrics


class StartResult(NamedTuple):
    """The answer to a start. `run` is the one that stands; `same`: with this very payload."""

    id: str
    run: str
    duplicate: bool
    same: bool


class Instances:
    """One participant's window on the log."""

    def __init__(self, executor: Executor, metrics: Metrics, *, pod: str) -> None:
        self.executor = executor
        self.metrics = metrics
        self.pod = pod

    async def start(self, rules: Rules, name: str, event: Start, trace: str = "") -> StartResult | TooLarge | None:
        """Start an instance by an event. `name`: its id, as `commands` makes it. None: unknown, to be sent again."""
        local = rules.local
        instance = Instance(local.namespace, local.saga, name)
        known = Known(attempt_id=self.executor.attempt_id())
        run = secrets.token_hex(8)
        origin = Origin(run, 0, 0.0, local.revision, self.pod, known.attempt_id)
        stands = await self.executor.run(Work(instance, origin, trace=trace), commands.start(known, event))
        if not isinstance(stands, Register):
            return stands
        assert isinstance(stands.value, Start)
        mine = stands.origin.attempt_id == known.attempt_id
        if mine:
            self.metrics.started(local.saga)
        return StartResult(instance.id, stands.origin.run, not mine, stands.value.digest == event.digest)

    async def look(self, saga: Instance) -> tuple[Register, ...]:
        """Every register of an instance that is there, but for markers, in the order of the log.

        Raises UnavailableError, UnreadableError, and EventError for an id that cannot be one.
        """
        if not registers.is_instance_id(saga.id):
            raise EventError(f"{saga.id!r} is not an instance id")
        messages = await self.executor.log.read(saga.stream, [saga.wildcard])
        return tuple(codec.decode(message) for message in messages if ".absent." not in message.subject)

    async def cancel(self, rules: Rules, start: Register, instance: Instance, reason: str) -> Known:
        """Abort an instance, if that is still possible, under the trace of its start. What is known then tells."""
        known = Known(attempt_id=self.executor.attempt_id(), registers={START: start}, late=True)
        origin = start.origin._replace(pod=self.pod, attempt_id=known.attempt_id)
        await self.executor.run(Work(instance, origin, trace=start.trace), commands.cancel(rules, known, reason))
        self.executor.count_end(rules, known)
        return known
