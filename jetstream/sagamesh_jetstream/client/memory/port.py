"""The port `JetStream`, for one client of streams in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sagamesh.log.codec import Message
from sagamesh_jetstream.client.memory.server import Heard, MemoryStreams
from sagamesh_jetstream.client.ports import JsonObject


class MemoryJetStream:
    """Others get their turn before and after each request, as they do while it is on its way."""

    def __init__(self, streams: MemoryStreams) -> None:
        self._streams = streams

    async def api(self, verb: str, body: JsonObject | None = None) -> JsonObject:
        await asyncio.sleep(0)
        reply = self._streams.api(verb, body)
        await asyncio.sleep(0)
        return reply

    async def publish(self, subject: str, body: bytes) -> int:
        await asyncio.sleep(0)
        sequence = self._streams.publish(subject, {}, body)
        await asyncio.sleep(0)
        return sequence

    async def last(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        await asyncio.sleep(0)
        found = self._streams.last(stream, subjects)
        await asyncio.sleep(0)
        return found

    async def listen(self, subject: str, heard: Heard) -> None:
        """Call `heard` with subject and body of whatever is published there, a little later."""
        loop = asyncio.get_running_loop()

        def pushed(subject: str, body: bytes) -> None:
            loop.call_soon(heard, subject, body)

        self._streams.listen(subject, pushed)
