"""A sidecar's line to the log: requests and their replies travel, and may get lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import Any, TypeVar

from sagamesh.errors import UnavailableError
from sagamesh.log.codec import Message
from sagamesh.protocol.attempt import WriteRefused
from sagamesh_sidecar.adapters.memory import MemoryServer
from sagamesh_sidecar.adapters.memory.consumer import MemorySubscription
from sagamesh_sidecar.ports import Accept, Guard, Lease
from support.deliveries.storm import Storm
from support.deliveries.witness import HandedOut, Witness

PATIENCE = 2.0
"""Seconds after which a request counts as not answered."""
LAG = 3.0
"""Seconds that a copy of the log is behind at most."""
IN_HAND: ContextVar[HandedOut | None] = ContextVar("in hand", default=None)
"""On whose behalf something is asked of the log, or of the app."""

T = TypeVar("T")


class Outside:
    """What is on its way, and goes on while a sidecar stands still, or when it is no more."""

    def __init__(self) -> None:
        self._context: Context = copy_context()
        self._tasks: set[asyncio.Task[Any]] = set()

    def send(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Carried out in any case."""
        task = asyncio.create_task(work, context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Carried out in any case, and waited for."""
        return await asyncio.shield(self.send(work))


class Line:
    """ports.Log of one sidecar. `gaps`: how often it stood still."""

    connections = 1

    def __init__(self, server: MemoryServer, storm: Storm, witness: Witness, outside: Outside, ack_wait: float) -> None:
        self.gaps = 0
        self.subscription: MemorySubscription | None = None
        self.put_takes = self.in_progress_takes = 0.0
        """Seconds more that these take."""
        self.taken: Callable[[HandedOut], None] = lambda _handed: None
        """Called with what is handed to it."""
        self._arrived = 0.0
        self.ack_wait = ack_wait
        self.server = server
        self.storm = storm
        self.witness = witness
        self.outside = outside

    @property
    def connected(self) -> bool:
        return self.server.available

    def now(self) -> float:
        return self.server.clock()

    async def put(
        self, subject: str, headers: Mapping[str, str], body: bytes, *, guard: Guard | None = None
    ) -> int | WriteRefused:
        handed = IN_HAND.get()
        self.witness.puts(handed, subject, guard)
        result = await self.outside.ask(self._put(subject, headers, body, guard))
        if handed is not None and result is WriteRefused.UNKNOWN:
            handed.fail()
        return result

    async def _put(
        self, subject: str, headers: Mapping[str, str], body: bytes, guard: Guard | None
    ) -> int | WriteRefused:
        storm = self.storm
        await storm.travel()
        if storm.draws(storm.lost):
            return await self._not_answered()
        if storm.draws(storm.ghost):
            self.outside.send(self._put_late(subject, headers, body, guard))
            return await self._not_answered()
        result = self.server.put(subject, headers, body, guard)
        await asyncio.sleep(self.put_takes)
        if storm.draws(storm.unanswered) or result is WriteRefused.UNKNOWN:
            return await self._not_answered()
        await storm.travel()
        return result

    async def _put_late(self, subject: str, headers: Mapping[str, str], body: bytes, guard: Guard | None) -> None:
        await asyncio.sleep(self.storm.chance.uniform(0.0, 30.0))
        self.server.put(subject, headers, body, guard)

    async def _not_answered(self) -> WriteRefused:
        await asyncio.sleep(PATIENCE)
        return WriteRefused.UNKNOWN

    async def read(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        found = await self.outside.ask(self._read(stream, subjects))
        if found is None:
            raise UnavailableError("the log does not answer")
        return found

    async def _read(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...] | None:
        storm = self.storm
        await storm.travel()
        try:
            found = self.server.read(stream, subjects)
        except UnavailableError:
            return None
        if storm.draws(storm.stale):
            old = self.now() - storm.chance.uniform(0.0, LAG)
            found = tuple(message for message in found if message.time < old)
        await storm.travel()
        return found

    async def arrive(self) -> None:
        """What is said of deliveries arrives in its order: all of it goes over one connection."""
        now = asyncio.get_running_loop().time()
        self._arrived = max(self._arrived + 1e-6, now + self.storm.travel_time())
        await asyncio.sleep(self._arrived - now)

    async def read_after(self, stream: str, subject: str, sequence: int) -> tuple[Message, ...]:
        return tuple(message for message in await self.read(stream, [subject]) if message.sequence > sequence)

    async def listen(self, subject: str, heard: Callable[[str, bytes], None]) -> None:
        raise NotImplementedError("rules do not come this way here")

    async def consume(self, stream: str, consumer: str, accept: Accept, *, slots: int) -> MemorySubscription:
        async def handle(lease: Lease) -> None:
            handed = HandedOut(lease, self.ack_wait, asyncio.get_running_loop().time())
            self.taken(handed)
            IN_HAND.set(handed)
            await accept(LineLease(self, lease, handed))

        self.subscription = MemorySubscription(self.server.consumer(stream, consumer), handle, slots)
        return self.subscription


class LineLease:
    """ports.Lease."""

    def __init__(self, line: Line, lease: Lease, handed: HandedOut) -> None:
        self._line = line
        self._lease = lease
        self._handed = handed
        self._gaps = line.gaps

    @property
    def message(self) -> Message:
        return self._lease.message

    @property
    def delivered(self) -> int:
        return self._lease.delivered

    async def ack(self) -> None:
        self._line.witness.acks(self._handed)
        self._line.outside.send(self._say(self._lease.ack))
        await self._line.storm.travel()

    async def nak(self, delay: float) -> None:
        self._line.witness.naks(self._handed, delay)
        self._line.outside.send(self._say(partial(self._lease.nak, delay)))
        await self._line.storm.travel()

    async def in_progress(self) -> bool:
        asked = asyncio.get_running_loop().time()
        self._line.witness.renews(self._handed)
        confirmed = await self._line.outside.ask(self._renew()) and self._line.gaps == self._gaps
        if confirmed:
            self._handed.renewed = asked
        return confirmed

    async def _say(self, word: Callable[[], Awaitable[None]]) -> None:
        storm = self._line.storm
        await self._line.arrive()
        if not storm.draws(storm.unheard):
            await word()

    async def _renew(self) -> bool:
        storm = self._line.storm
        await self._line.arrive()
        heard = not storm.draws(storm.unheard) and await self._lease.in_progress()
        await asyncio.sleep(self._line.in_progress_takes if heard else PATIENCE)
        await storm.travel()
        return heard and not storm.draws(storm.unheard)
