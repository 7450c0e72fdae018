"""ports.Log, over a MemoryServer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from sagamesh.distribution.topology import MAX_MESSAGE
from sagamesh.log.codec import Message
from sagamesh.protocol.attempt import WriteRefused
from sagamesh_sidecar import message_limits
from sagamesh_sidecar.adapters.memory.consumer import MemorySubscription
from sagamesh_sidecar.adapters.memory.server import MemoryServer
from sagamesh_sidecar.ports import Accept, Guard

Heard = Callable[[str, bytes], None]


class MemoryLog:
    """ports.Log, for one client of a MemoryServer. It needs no start and no close."""

    def __init__(self, server: MemoryServer, *, max_message: int = MAX_MESSAGE) -> None:
        self._server = server
        self._max_message = max_message

    @property
    def connected(self) -> bool:
        return self._server.available

    @property
    def connections(self) -> int:
        return self._server.ups

    def now(self) -> float:
        return self._server.clock()

    async def put(
        self, subject: str, headers: Mapping[str, str], body: bytes, *, guard: Guard | None = None
    ) -> int | WriteRefused:
        message_limits.check(subject, headers, body, self._max_message)
        await asyncio.sleep(0)  # others get their turn before and after, as they do while a request is on its way
        result = self._server.put(subject, headers, body, guard)
        await asyncio.sleep(0)
        return result

    async def read(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        await asyncio.sleep(0)
        messages = self._server.read(stream, subjects) if subjects else ()
        await asyncio.sleep(0)
        return messages

    async def read_after(self, stream: str, subject: str, sequence: int) -> tuple[Message, ...]:
        await asyncio.sleep(0)
        return tuple(message for message in self._server.read(stream, [subject]) if message.sequence > sequence)

    async def consume(self, stream: str, consumer: str, accept: Accept, *, slots: int) -> MemorySubscription:
        return MemorySubscription(self._server.consumer(stream, consumer), accept, slots)

    async def listen(self, subject: str, heard: Heard) -> None:
        self._server.listen(subject, heard)
