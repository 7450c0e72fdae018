"""All participants of a saga in one loop: real relays, the log in memory or real, apps as plain Python."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Any

from msgspec import Raw

from sagamesh.distribution import buckets, topology
from sagamesh.distribution.plan import needed_filters
from sagamesh.language.model import Saga
from sagamesh.log import codec, registers
from sagamesh.log.codec import Message
from sagamesh.log.registers import Instance, Name, Register, Start, Value
from sagamesh.protocol import commands
from sagamesh.protocol.answers import Answer, Answered, Away, Unanswered
from sagamesh.protocol.attempt import WriteRefused
from sagamesh.protocol.effects import Known
from sagamesh.protocol.endings import ending, outcome
from sagamesh.protocol.view.instance import View
from sagamesh.rules.codec import encode_rules
from sagamesh.rules.local import LocalRules
from sagamesh.rules.projection import project
from sagamesh_sidecar.adapters.memory import MemoryLog, MemoryServer
from sagamesh_sidecar.adapters.prometheus import PrometheusMetrics
from sagamesh_sidecar.api.instances import Instances, StartResult
from sagamesh_sidecar.api.lookups import Views
from sagamesh_sidecar.deliveries.availability import Availability
from sagamesh_sidecar.deliveries.executor import Executor
from sagamesh_sidecar.deliveries.parking import Parking
from sagamesh_sidecar.deliveries.relay import Relay
from sagamesh_sidecar.deliveries.retry_budget import RetryBudget
from sagamesh_sidecar.deliveries.subscriptions import Subscriptions
from sagamesh_sidecar.deliveries.tally import Tally
from sagamesh_sidecar.ports import Guard
from sagamesh_sidecar.rules.rulebook import Rulebook
from support.fakes.virtual_loop import play

SLOTS = 32


def ok(data: object = None, status: int = 200, **headers: str) -> Answered:
    return Answered(status, headers, json.dumps(data).encode())


class FakeApp:
    """Answers 200 to everything, unless `answers` has something else for the path. Records what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.calls: list[tuple[str, Mapping[str, str], Any]] = []
        self.away = False

    async def post(self, path: str, headers: Mapping[str, str], body: bytes, *, timeout: float) -> Answer:
        if self.away:
            return Away()
        self.calls.append((path, dict(headers), json.loads(body)))
        answer: Answer | Callable[[], Awaitable[Answer]] = self.answers.get(path, ok({"from": path}))
        return await answer() if callable(answer) else answer

    async def reachable(self, timeout: float = 1.0) -> bool:
        return not self.away

    @property
    def paths(self) -> list[str]:
        return [path for path, _, _ in self.calls]


class CountingLog(MemoryLog):
    """Counts what the relay costs."""

    def __init__(self, server: MemoryServer) -> None:
        super().__init__(server)
        self.counts: Counter[str] = Counter()

    async def put(
        self, subject: str, headers: Mapping[str, str], body: bytes, *, guard: Guard | None = None
    ) -> int | WriteRefused:
        self.counts["writes"] += subject.startswith("saga.")
        return await super().put(subject, headers, body, guard=guard)

    async def read(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        self.counts["reads"] += stream.startswith("SAGA_")
        return await super().read(stream, subjects)


class Peer:
    """A sidecar of one participant, and its app."""

    def __init__(self, mesh: Mesh, participant: str, ack_wait: float, grace: float) -> None:
        self.log = CountingLog(mesh.server)
        self.app = FakeApp()
        self.availability = Availability(self.app, interval=0.02, now=asyncio.get_running_loop().time)
        self.metrics = PrometheusMetrics(app_up=lambda: not self.availability.away, connected=lambda: True)
        self.rulebook = Rulebook(mesh.saga.namespace, participant, self.log, self.metrics, poll=30.0)
        clock = asyncio.get_running_loop().time
        self.executor = Executor(participant, self.log, self.app, self.availability, self.metrics, now=clock)
        self.relay = Relay(
            pod=f"{participant}-1",
            executor=self.executor,
            rulebook=self.rulebook,
            availability=self.availability,
            metrics=self.metrics,
            parking=Parking(self.metrics, now=clock),
            tally=Tally(now=clock),
            retry_budget=RetryBudget(SLOTS, now=clock),
            ack_wait=ack_wait,
        )
        self.subscriptions = Subscriptions(self.log, self.relay, self.metrics, slots=SLOTS, grace=grace)
        self.rulebook.learned = self.subscriptions.learned
        self.instances = Instances(self.executor, self.metrics, pod=f"{participant}-1")
        self.views = Views(self.instances, self.rulebook, self.relay.parking, self.relay.tally, self.log.now)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Peer]:
        """At work until the end of the block, and then until it has drained."""
        await self.availability.look()
        async with asyncio.TaskGroup() as group:
            works = (self.availability.run(), self.relay.renew(), self.rulebook.run(), self.subscriptions.run())
            tasks = [group.create_task(work) for work in works]
            await self.rulebook.loaded.wait()
            try:
                yield self
                await self.subscriptions.drain()
            finally:
                for task in tasks:
                    task.cancel()

    def parking_reasons(self, instance: Instance) -> dict[str, str]:
        return {trouble.step: trouble.reason for trouble in self.relay.parking.of(instance)}

    async def view(self, instance: Instance) -> View:
        """The instance as this sidecar's API shows it."""
        seen = self.views.show(instance, await self.views.find(instance))
        assert seen is not None
        return seen

    async def calls(self, instance: Instance) -> dict[str, int]:
        """Step -> how often its app was called, as this sidecar's API shows it."""
        return {step.name: step.calls for step in (await self.view(instance)).steps}

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"sagamesh_{name}", labels) or 0.0


class Mesh:
    """A saga and its peers. `ack_wait`: seconds that a lease lasts; `grace`: that calls may take yet at the end."""

    def __init__(self, saga: Saga, *, ack_wait: float = 10.0, grace: float = 10.0) -> None:
        self.saga = saga
        self.server = MemoryServer()
        self.documents = project(saga)
        [self.stream] = registers.streams(saga.namespace, saga.name)
        self.ack_wait = ack_wait
        self.grace = grace
        self.peers = {name: self.peer(name) for name in self.documents}

    def peer(self, participant: str) -> Peer:
        """One more of a participant, not at work yet."""
        return Peer(self, participant, self.ack_wait, self.grace)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Mesh]:
        self.server.create_stream(buckets.rules_bucket())
        for config in topology.streams(self.saga.namespace, self.saga.name):
            self.server.create_stream(config)
        for name, subjects in needed_filters(self.documents).items():
            config = {**topology.consumer(name, subjects), "ack_wait": int(self.ack_wait * topology.SECOND)}
            self.server.create_consumer(self.stream, config)
        await self.distribute()
        async with contextlib.AsyncExitStack() as stack:
            for peer in self.peers.values():
                await stack.enter_async_context(peer.running())
            yield self

    async def distribute(self) -> None:
        log = MemoryLog(self.server)
        for name, rules in self.documents.items():
            await log.put(buckets.rules_subject(rules), {}, encode_rules(rules))
            active = buckets.active_subject(self.saga.namespace, name, self.saga.name)
            if name == self.saga.start.participant:
                await log.put(active, {}, rules.revision.encode())

    @property
    def starter(self) -> Peer:
        return self.peers[self.saga.start.participant]

    async def start(self, key: str = "i-1", data: object = None, trace: str = "") -> StartResult:
        peer = self.starter
        rules = peer.rulebook.active(self.saga.name)
        assert rules is not None
        raw = Raw(json.dumps(data).encode())
        event = self.saga.start.event
        value = Start(event, key, "test", commands.digest(event, raw), raw)
        started = await peer.instances.start(rules, commands.instance_id(rules, value), value, trace)
        assert started is not None
        return started

    async def cancel(self, reason: str = "changed my mind", key: str = "i-1") -> Known:
        """As the starting participant's API does it."""
        starter, instance = self.starter, self.instance(key)
        start = next(register for register in await starter.views.find(instance) if register.name == registers.START)
        rules = starter.rulebook.of(instance.saga, start.origin.revision)
        assert rules is not None
        return await starter.instances.cancel(rules, start, instance, reason)

    def instance(self, key: str = "i-1") -> Instance:
        return Instance(self.saga.namespace, self.saga.name, key)

    def registers(self, key: str = "i-1") -> dict[Name, Register]:
        """Every register of an instance but its markers."""
        stored = (codec.decode(m) for m in self.server.messages(self.stream) if m.subject.split(".")[3] == key)
        return {register.name: register for register in stored if not register.name.register.startswith("absent")}

    def values(self, key: str = "i-1") -> dict[Name, Value]:
        """What stands in them."""
        return {name: register.value for name, register in self.registers(key).items()}

    async def until(self, condition: Callable[[], object], seconds: float = 10.0) -> None:
        """Wait for a condition on what is in the log, or in the apps."""
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)

    async def value(self, name: Name, key: str = "i-1") -> Value:
        """What stands in a register, once it does."""
        await self.until(lambda: name in self.values(key))
        return self.values(key)[name]

    async def ended(self, key: str = "i-1") -> str:
        """How an instance has ended, once it has: `committed` or `aborted`."""
        await self.until(lambda: ending(self._local, self.registers(key)) is not None)
        return type(outcome(self._local, self.registers(key))).__name__.lower()

    @property
    def _local(self) -> LocalRules:
        return next(iter(self.documents.values()))


def scenario(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make `async def test(...)` a test, in virtual time, and in bounded time, too."""

    @functools.wraps(test)
    def run(**fixtures: object) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(600.0):
                await test(**fixtures)

        play(Random(1), bounded())

    return run


LOST = Unanswered("reset")
