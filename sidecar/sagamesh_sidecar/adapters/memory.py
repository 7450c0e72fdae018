"""The log in memory, for tests and small demos: a server's worth of streams and consumers, and a log that talks to it.

It takes the very configurations of `sagamesh.topology` and behaves as JetStream does (one contract suite runs over
both), in one event loop, without persistence. What a server on a network may do to its clients, a test can ask for:
`lose_replies`, `stale`, `down` and `up`.

    MemoryServer         streams, consumers and listeners
    MemoryLog            ports.Log, of one client
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from sagamesh.attempt import Refused
from sagamesh.codec import Message
from sagamesh.topology import MAX_MESSAGE, SECOND, Config

from sagamesh_sidecar import sendable
from sagamesh_sidecar.ports import Accept, Guard, UnavailableError

log = logging.getLogger(__name__)

Heard = Callable[[str, bytes], None]


@lru_cache(maxsize=1024)
def _pattern(subject: str) -> re.Pattern[str]:
    tokens = {"*": r"[^.]+", ">": r".+"}
    return re.compile(r"\.".join(tokens.get(token, re.escape(token)) for token in subject.split(".")))


def _matches(subject: str, filters: Iterable[str]) -> bool:
    return any(_pattern(one).fullmatch(subject) for one in filters)


class MemoryServer:
    """Streams, their consumers, and who listens. `clock` is what stamps the messages."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.available = True
        self._streams: dict[str, _Stream] = {}
        self._listeners: list[tuple[str, Heard]] = []
        self._lost_replies = 0
        self._stale_reads = 0

    def create_stream(self, config: Config) -> None:
        """Once more does no harm."""
        self._streams.setdefault(config["name"], _Stream(config))

    def create_consumer(self, stream: str, config: Config) -> None:
        """A durable pull consumer. Once more takes the new filters and keeps the position."""
        self._streams[stream].create_consumer(config, self)

    def messages(self, stream: str) -> tuple[Message, ...]:
        """All that the stream holds, in its order."""
        return tuple(self._streams[stream].messages.values())

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
        for stream in self._streams.values():
            stream.pump()

    # What clients ask for.

    def put(self, subject: str, headers: Mapping[str, str], body: bytes, guard: Guard | None) -> int | Refused:
        if not self.available:
            return Refused.UNKNOWN
        self._publish(subject, body)
        stream = next((one for one in self._streams.values() if _matches(subject, one.subjects)), None)
        if stream is None:
            return Refused.UNKNOWN
        result = stream.store(subject, headers, body, guard, self.clock())
        if isinstance(result, int) and (pushed := stream.republished(subject)):
            self._publish(pushed, body)
        stream.pump()
        if self._lost_replies:
            self._lost_replies -= 1
            return Refused.UNKNOWN
        return result

    def read(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        if not self.available or stream not in self._streams:
            raise UnavailableError(f"nobody answers for stream {stream}")
        if self._stale_reads:
            self._stale_reads -= 1
            return ()
        return tuple(self._streams[stream].last(subjects))

    def consumer(self, stream: str, name: str) -> _Consumer:
        return self._streams[stream].consumers[name]

    def listen(self, subject: str, heard: Heard) -> None:
        self._listeners.append((subject, heard))

    def _publish(self, subject: str, body: bytes) -> None:
        for filter_, heard in self._listeners:
            if _matches(subject, (filter_,)):
                asyncio.get_running_loop().call_soon(heard, subject, body)


class _Stream:
    """Messages in their order, at most one a subject."""

    def __init__(self, config: Config) -> None:
        self.subjects: Sequence[str] = config["subjects"]
        self.messages: dict[int, Message] = {}
        self.consumers: dict[str, _Consumer] = {}
        self.sequence = 0
        self._write_once = config.get("discard_new_per_subject", False)
        self._republish: Mapping[str, str] | None = config.get("republish")
        self._last: dict[str, int] = {}

    def create_consumer(self, config: Config, server: MemoryServer) -> None:
        consumer = self.consumers.setdefault(config["durable_name"], _Consumer(self, server))
        consumer.filters = config["filter_subjects"]
        consumer.ack_wait = config["ack_wait"] / SECOND
        consumer.pump()

    def pump(self) -> None:
        for consumer in self.consumers.values():
            consumer.pump()

    def store(
        self, subject: str, headers: Mapping[str, str], body: bytes, guard: Guard | None, now: float
    ) -> int | Refused:
        if guard is not None and self._last.get(guard.subject, 0) != guard.sequence:
            return Refused.GUARD  # also where the register exists: the server looks at guards first
        if subject in self._last:
            if self._write_once:
                return Refused.EXISTS
            del self.messages[self._last[subject]]
        self.sequence += 1
        self._last[subject] = self.sequence
        kept = {name: value.strip() for name, value in headers.items()}
        at = int(now * 1_000_000) / 1_000_000
        self.messages[self.sequence] = Message(subject, kept, bytes(body), self.sequence, at)
        return self.sequence

    def last(self, subjects: Sequence[str]) -> Iterator[Message]:
        return (message for message in self.messages.values() if _matches(message.subject, subjects))

    def republished(self, subject: str) -> str | None:
        """Where a message is pushed, too. Both ends of `republish` are `prefix.>`."""
        if self._republish is None or not _matches(subject, (self._republish["src"],)):
            return None
        prefix, target = self._republish["src"].removesuffix(">"), self._republish["dest"].removesuffix(">")
        return target + subject.removeprefix(prefix)


class _Consumer:
    """Where a group of clients got to, and what they have in hand."""

    def __init__(self, stream: _Stream, server: MemoryServer) -> None:
        self.filters: Sequence[str] = ()
        self.ack_wait = 0.0
        self.clients: deque[_Subscription] = deque()
        self._stream = stream
        self._server = server
        self._position = 0
        self._out: dict[int, _Lease] = {}
        self._again: deque[int] = deque()

    def pump(self) -> None:
        """Hand out what can be handed out, to one client after the other."""
        while self._server.available and (client := self._free_client()) and (message := self._next()):
            before = self._out.get(message.sequence)
            lease = _Lease(self, message, before.delivered + 1 if before else 1)
            self._out[message.sequence] = lease
            lease.timer = self._later(self.ack_wait, message.sequence)
            client.take(lease)

    def settle(self, sequence: int) -> None:
        if self._server.available and (lease := self._out.pop(sequence, None)) is not None:
            lease.timer.cancel()
            if sequence in self._again:
                self._again.remove(sequence)

    def postpone(self, sequence: int, delay: float) -> None:
        """Hand it out again, after so long: a nak, or a sign of life, which postpones that to `ack_wait` from now."""
        lease = self._out.get(sequence)
        if self._server.available and lease is not None and sequence not in self._again:
            lease.timer.cancel()
            lease.timer = self._later(delay, sequence)

    def _later(self, delay: float, sequence: int) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(delay, self._due, sequence)

    def _due(self, sequence: int) -> None:
        self._again.append(sequence)
        self.pump()

    def _free_client(self) -> _Subscription | None:
        for _ in range(len(self.clients)):
            self.clients.rotate(-1)
            if self.clients[0].free:
                return self.clients[0]
        return None

    def _next(self) -> Message | None:
        """Redeliveries come first."""
        if self._again:
            return self._out[self._again.popleft()].message
        while self._position < self._stream.sequence:
            self._position += 1
            message = self._stream.messages.get(self._position)
            if message is not None and _matches(message.subject, self.filters):
                return message
        return None


class _Lease:
    """ports.Lease."""

    __slots__ = ("_consumer", "delivered", "message", "timer")

    def __init__(self, consumer: _Consumer, message: Message, delivered: int) -> None:
        self._consumer = consumer
        self.message = message
        self.delivered = delivered
        self.timer: asyncio.TimerHandle

    async def ack(self) -> None:
        self._consumer.settle(self.message.sequence)

    async def nak(self, delay: float) -> None:
        self._consumer.postpone(self.message.sequence, delay)

    async def in_progress(self) -> None:
        self._consumer.postpone(self.message.sequence, self._consumer.ack_wait)


class _Subscription:
    """ports.Subscription."""

    def __init__(self, consumer: _Consumer, accept: Accept, slots: int) -> None:
        self._consumer = consumer
        self._accept = accept
        self._slots = slots
        self._tasks: set[asyncio.Task[None]] = set()
        consumer.clients.append(self)
        consumer.pump()

    @property
    def free(self) -> bool:
        return len(self._tasks) < self._slots

    def take(self, lease: _Lease) -> None:
        task = asyncio.create_task(self._handle(lease))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def close(self) -> None:
        if self in self._consumer.clients:
            self._consumer.clients.remove(self)
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _handle(self, lease: _Lease) -> None:
        try:
            await self._accept(lease)
        except Exception:
            log.exception("%s: the handler of deliveries raised, which it must not", lease.message.subject)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():  # else the loop comes to its end
            self._consumer.pump()


class MemoryLog:
    """ports.Log, for one client of a MemoryServer. It needs no start and no close."""

    def __init__(self, server: MemoryServer, *, max_message: int = MAX_MESSAGE) -> None:
        self._server = server
        self._max_message = max_message

    @property
    def connected(self) -> bool:
        return self._server.available

    def now(self) -> float:
        return self._server.clock()

    async def put(
        self, subject: str, headers: Mapping[str, str], body: bytes, *, guard: Guard | None = None
    ) -> int | Refused:
        sendable.check(subject, headers, body, self._max_message)
        await asyncio.sleep(0)  # others get their turn before and after, as they do while a request is on its way
        result = self._server.put(subject, headers, body, guard)
        await asyncio.sleep(0)
        return result

    async def read(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        await asyncio.sleep(0)
        found = self._server.read(stream, subjects) if subjects else ()
        await asyncio.sleep(0)
        return found

    async def consume(self, stream: str, consumer: str, accept: Accept, *, slots: int) -> _Subscription:
        return _Subscription(self._server.consumer(stream, consumer), accept, slots)

    async def listen(self, subject: str, heard: Heard) -> None:
        self._server.listen(subject, heard)
