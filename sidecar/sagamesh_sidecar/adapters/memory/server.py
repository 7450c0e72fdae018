"""Streams, who listens, and what may go wrong on the way to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from sagamesh.distribution.topology import Config
from sagamesh.errors import UnavailableError
from sagamesh.log.codec import Message
from sagamesh.protocol.attempt import WriteRefused
from sagamesh_jetstream.client.memory.subjects import matches
from sagamesh_sidecar.adapters.memory.consumer import Consumer
from sagamesh_sidecar.adapters.memory.stream import Stream
from sagamesh_sidecar.ports import Guard

Heard = Callable[[str, bytes], None]


class MemoryServer:
    """Streams, their consumers, and who listens. `clock` is what stamps the messages."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.available = True
        self.ups = 1
        self._streams: dict[str, Stream] = {}
        self._listeners: list[tuple[str, Heard]] = []
        self._lost_replies = 0
        self._stale_reads = 0

    def create_stream(self, config: Config) -> None:
        """Once more does no harm."""
        self._streams.setdefault(config["name"], Stream(config))

    def create_consumer(self, stream: str, config: Config) -> None:
        """A durable pull consumer. Once more takes the new filters and keeps the position."""
        self._streams[stream].create_consumer(config, lambda: self.available)

    def messages(self, stream: str) -> tuple[Message, ...]:
        """All that the stream holds, in its order."""
        return tuple(self._streams[stream].messages.values())

    def idle(self, stream: str) -> bool:
        """Whether all that the stream's consumers had to hand out is settled."""
        return all(consumer.idle for consumer in self._streams[stream].consumers.values())

    # What may go wrong.

    def lose_replies(self, count: int) -> None:
        """The next puts are carried out, and answered UNKNOWN."""
        self._lost_replies += count

    def stale(self, count: int) -> None:
        """The next reads find nothing."""
        self._stale_reads += count

    def down(self) -> None:
        """From now on nobody is answered, and nothing delivered; what is in hand stays there, acks get lost."""
        self.available = False

    def up(self) -> None:
        self.available = True
        self.ups += 1
        for stream in self._streams.values():
            stream.pump()

    def forget_leases(self) -> None:
        """What is in hand is handed out again, as after a change of leader that did not hear of it."""
        for stream in self._streams.values():
            stream.forget_leases()

    # What clients ask for.

    def put(self, subject: str, headers: Mapping[str, str], body: bytes, guard: Guard | None) -> int | WriteRefused:
        if not self.available:
            return WriteRefused.UNKNOWN
        self._publish(subject, body)
        stream = next((one for one in self._streams.values() if matches(subject, one.subjects)), None)
        if stream is None:
            return WriteRefused.UNKNOWN
        result = stream.store(subject, headers, body, guard, self.clock())
        if isinstance(result, int) and (pushed := stream.republished(subject)):
            self._publish(pushed, body)
        stream.pump()
        if self._lost_replies:
            self._lost_replies -= 1
            return WriteRefused.UNKNOWN
        return result

    def read(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        if not self.available or stream not in self._streams:
            raise UnavailableError(f"nobody answers for stream {stream}")
        if self._stale_reads:
            self._stale_reads -= 1
            return ()
        return tuple(self._streams[stream].last(subjects))

    def consumer(self, stream: str, name: str) -> Consumer:
        return self._streams[stream].consumers[name]

    def listen(self, subject: str, heard: Heard) -> None:
        self._listeners.append((subject, heard))

    def _publish(self, subject: str, body: bytes) -> None:
        for filter_, heard in self._listeners:
            if matches(subject, (filter_,)):
                asyncio.get_running_loop().call_soon(heard, subject, body)
