"""Deliveries: a durable consumer, the clients that pull from it, and what they have in hand."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context

from sagamesh.log import line_fields
from sagamesh.log.codec import Message
from sagamesh_jetstream.client.memory.subjects import matches
from sagamesh_sidecar.ports import Accept

logger = logging.getLogger(__name__)


class Consumer:
    """Where a group of clients got to, and what they have in hand."""

    def __init__(self, messages: dict[int, Message], available: Callable[[], bool]) -> None:
        self.filters: Sequence[str] = ()
        self.ack_wait = 0.0
        self.clients: deque[MemorySubscription] = deque()
        self._messages = messages
        self._available = available
        self._position = 0
        self._out: dict[int, MemoryLease] = {}
        self._again: deque[int] = deque()
        self._context = copy_context()  # of the server: its timers are nobody else's

    def pump(self) -> None:
        """Hand out what can be handed out, to one client after the other."""
        while self._available() and (client := self._free_client()) and (message := self._next()):
            before = self._out.get(message.sequence)
            lease = MemoryLease(self, message, before.delivered + 1 if before else 1)
            self._out[message.sequence] = lease
            lease.timer = self._later(self.ack_wait, message.sequence)
            client.take(lease)

    @property
    def idle(self) -> bool:
        """Whether all that there was to hand out is settled."""
        return not self._out and self._position >= next(reversed(self._messages), 0)

    def hand_out_again(self) -> None:
        """What is in hand is due, as if its time were over."""
        for sequence, lease in self._out.items():
            if sequence not in self._again:
                lease.timer.cancel()
                self._again.append(sequence)
        self.pump()

    def settle(self, sequence: int) -> None:
        if self._available() and (lease := self._out.pop(sequence, None)) is not None:
            lease.timer.cancel()
            if sequence in self._again:
                self._again.remove(sequence)

    def postpone(self, sequence: int, delay: float) -> bool:
        """Hand it out again, after so long: a nak, or a sign of life, which postpones that to `ack_wait` from now.

        Whether anybody has heard that.
        """
        lease = self._out.get(sequence)
        if self._available() and lease is not None and sequence not in self._again:
            lease.timer.cancel()
            lease.timer = self._later(delay, sequence)
        return self._available()

    def _later(self, delay: float, sequence: int) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        return loop.call_later(delay, self._due, sequence, context=self._context)

    def _due(self, sequence: int) -> None:
        self._again.append(sequence)
        self.pump()

    def _free_client(self) -> MemorySubscription | None:
        for _ in range(len(self.clients)):
            self.clients.rotate(-1)
            if self.clients[0].free:
                return self.clients[0]
        return None

    def _next(self) -> Message | None:
        """Redeliveries come first."""
        if self._again:
            return self._out[self._again.popleft()].message
        last = next(reversed(self._messages), 0)
        while self._position < last:
            self._position += 1
            message = self._messages.get(self._position)
            if message is not None and matches(message.subject, self.filters):
                return message
        return None


class MemoryLease:
    """ports.Lease."""

    __slots__ = ("_consumer", "delivered", "message", "timer")

    def __init__(self, consumer: Consumer, message: Message, delivered: int) -> None:
        self._consumer = consumer
        self.message = message
        self.delivered = delivered
        self.timer: asyncio.TimerHandle

    async def ack(self) -> None:
        self._consumer.settle(self.message.sequence)

    async def nak(self, delay: float) -> None:
        self._consumer.postpone(self.message.sequence, delay)

    async def in_progress(self) -> bool:
        return self._consumer.postpone(self.message.sequence, self._consumer.ack_wait)


class MemorySubscription:
    """ports.Subscription. What it takes is handled in the context of who asked for it, whoever wrote it."""

    problem = ""

    def __init__(self, consumer: Consumer, accept: Accept, slots: int) -> None:
        self._consumer = consumer
        self._accept = accept
        self._slots = slots
        self._tasks: set[asyncio.Task[None]] = set()
        self._context = copy_context()
        consumer.clients.append(self)
        consumer.pump()

    @property
    def free(self) -> bool:
        return len(self._tasks) < self._slots

    def take(self, lease: MemoryLease) -> None:
        task = asyncio.create_task(self._handle(lease), context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def cut(self) -> None:
        """Its client asks for nothing any more. What it has in hand comes again when its time is over."""
        if self in self._consumer.clients:
            self._consumer.clients.remove(self)

    async def close(self) -> None:
        self.cut()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _handle(self, lease: MemoryLease) -> None:
        try:
            await self._accept(lease)
        except Exception:
            about = line_fields.fields_of(lease.message.subject, lease.message.headers)
            logger.exception("the handler of deliveries raised, which it must not", extra=about)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():  # else the loop comes to its end
            self._consumer.pump()
