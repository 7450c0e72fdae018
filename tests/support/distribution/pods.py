"""Sidecars: the product's own rulebook and reporter, over a log in memory, and instances that they start.

What a saga does in between is the other simulation's: here an instance begins, and some time later it has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from sagamesh.distribution import buckets, heartbeat
from sagamesh.distribution.heartbeat import Heartbeat
from sagamesh.errors import SagameshError, UnavailableError
from sagamesh.log import codec, registers
from sagamesh.log.codec import Message
from sagamesh.log.registers import ABORT, OUTCOME, START, Instance, Name, Origin, Value
from sagamesh.protocol.attempt import WriteRefused
from sagamesh.rules.local import LocalRules
from sagamesh_jetstream.client.memory import MemoryStreams
from sagamesh_sidecar.rules.reporter import Reporter
from sagamesh_sidecar.rules.rulebook import Rulebook
from support.distribution.weather import Weather

POLL = 30.0


class PodLog:
    """As much of the port `Log` as rulebook and reporter need. `blind`: it hears of no rules, and cannot read them."""

    connected = True
    connections = 1

    def __init__(self, streams: MemoryStreams, weather: Weather) -> None:
        self.blind = False
        self.closed: list[Callable[[], None]] = []
        self._streams, self._weather = streams, weather

    async def put(self, subject: str, headers: Mapping[str, str], body: bytes) -> int | WriteRefused:
        await self._weather.travel()
        try:
            return self._streams.publish(subject, headers, body)
        except SagameshError:
            return WriteRefused.UNKNOWN

    async def read_after(self, stream: str, subject: str, sequence: int) -> tuple[Message, ...]:
        await self._weather.travel()
        if self.blind:
            raise UnavailableError("it cannot read the rules")
        return tuple(message for message in self._streams.last(stream, [subject]) if message.sequence > sequence)

    async def listen(self, subject: str, heard: Callable[[str, bytes], None]) -> None:
        loop = asyncio.get_running_loop()

        def push(subject: str, body: bytes) -> None:
            if not self.blind:
                loop.call_later(self._weather.chance.uniform(0.001, 0.03), heard, subject, body)

        self.closed.append(self._streams.listen(subject, push))


class Uncounted:
    """The port `Metrics` of a sidecar that nobody looks at."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_args, **_more: None


class Pod:
    """One sidecar of a participant in the namespace `shop`. `accepted`: who is told of each instance that began."""

    def __init__(
        self,
        participant: str,
        name: str,
        streams: MemoryStreams,
        weather: Weather,
        accepted: Callable[[Instance, LocalRules], None],
    ) -> None:
        self.participant, self.name = participant, name
        self.log = PodLog(streams, weather)
        self.starting = True
        """Whether it starts instances, of what it may start."""
        self.pause = 15.0
        """The most seconds between two of them."""
        self._weather = weather
        self._accepted = accepted
        self._number = 0
        sidecar: Any = self.log
        self.rulebook = Rulebook("shop", participant, sidecar, Uncounted(), poll=POLL)  # type: ignore[arg-type]
        self._reporter = Reporter(sidecar, self.rulebook, pod=name)
        self.rulebook.changed = self._reporter.changed
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        for work in (self.rulebook.run(), self._reporter.run(), self._start_now_and_then()):
            self._begin(work)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self, *, goodbye: bool) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.wait(tuple(self._tasks))
        for close in self.log.closed:
            close()
        if goodbye:
            await self._reporter.stop()

    async def _start_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._weather.chance.uniform(0.03, 1.0) * self.pause)
            startable = self.rulebook.startable
            if self.starting and startable:
                self._begin(self._start(self._weather.chance.choice(startable).local))

    async def _start(self, rules: LocalRules) -> None:
        self._number += 1
        instance = Instance("shop", rules.saga, f"{self.name}-{self._number}")
        value = registers.Start(event=rules.start_event, id=instance.id, source="test", digest="d")
        await self._weather.travel()
        if write(self.log._streams, instance, START, value, rules.revision):
            self._accepted(instance, rules)


class OldPod:
    """A sidecar that cannot read today's rules: it tells so, and nothing else."""

    def __init__(self, participant: str, name: str, streams: MemoryStreams) -> None:
        told = Heartbeat(namespace="shop", participant=participant, pod=name, formats=(7,))
        self._subject, self._body = buckets.heartbeat_subject("shop", participant, name), heartbeat.encode(told)
        self._streams = streams

    async def run(self) -> None:
        while True:
            try:
                self._streams.publish(self._subject, {}, self._body)
            except SagameshError:
                await asyncio.sleep(1.0)
            else:
                await asyncio.sleep(buckets.HEARTBEAT_EVERY)


def write(streams: MemoryStreams, instance: Instance, name: Name, value: Value, revision: str) -> bool:
    """Write a register; whether it is there now."""
    headers, body = codec.encode(name, value, Origin("run", 1, 1.0, revision, "pod", "attempt"), "orders")
    try:
        streams.publish(instance.subject(name), headers, body)
    except SagameshError:
        return any(streams.last(instance.stream, [instance.subject(name)]))
    return True


def way_out(rules: LocalRules, *, commits: bool) -> tuple[tuple[Name, Value], ...]:
    """The registers by which an instance ends, the last of them being its end. A pivot is the only sink here."""
    cause = registers.Cause(kind="refused", reason="no", step="charge")
    if rules.pivot is None:
        outcome = registers.Committed() if commits else registers.Aborted(cause=cause)
        decides: tuple[tuple[Name, Value], ...] = ((OUTCOME, outcome),)
    elif commits:
        began, ended = registers.Started(delivery="d"), registers.Done(event="charged", data=registers.NULL)
        decides = (registers.begin(rules.pivot), began), (registers.end(rules.pivot), ended)
    else:
        decides = ((registers.begin(rules.pivot), registers.Cancelled(cause=cause)),)
    if commits:
        return decides
    undone: list[tuple[Name, Value]] = [(registers.compensation(step), registers.Undone()) for step in rules.last]
    return (*decides, *(undone or [(ABORT, registers.Notice(cause=cause))]))
