"""An operator's ways to NATS and to Kubernetes: slow, lossy, cut and found again, and the places where it may crash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sagamesh.distribution import buckets
from sagamesh.errors import UnavailableError
from sagamesh.log.codec import Message
from sagamesh.log.registers import SagaKey
from sagamesh_jetstream.client.memory import MemoryStreams
from sagamesh_jetstream.client.ports import JetStreamError, JsonObject
from sagamesh_operator.ports import ClusterUnavailable
from sagamesh_operator.resource import Note, Resource
from support.distribution.weather import Weather
from support.fakes.memory_cluster import MemoryCluster

Effect = Callable[[], Any]


class Traveller(Protocol):
    """Who asks."""

    def crash(self) -> None: ...


class Observer(Protocol):
    """Who is told what operators do. `who`: one operator, from its start to its end."""

    def writes(self, who: str, verb: str, body: Any) -> None:
        """A request that changes something has arrived, and is carried out next. `verb`: or a subject."""
        ...

    def reads(self, who: str, verb: str, reply: JsonObject) -> None:
        """What is told of a stream or a consumer."""
        ...

    def says(self, who: str, resource: Resource, status: JsonObject) -> None:
        """A status is about to be sent."""
        ...

    def records(self, who: str, key: SagaKey, note: Note) -> None:
        """An Event is about to be sent."""
        ...


class NatsLine:
    """The port `JetStream`, as the product's `Session` gives it to an operator.

    `opened` and `lost` are called as there, and news of heartbeats are pushed in their order while it is up.
    """

    def __init__(self, name: str, who: Traveller, streams: MemoryStreams, weather: Weather, observer: Observer) -> None:
        self.opened: Callable[[], None] = lambda: None
        self.lost: Callable[[], None] = lambda: None
        self.heard: Callable[[str, bytes], None] = lambda _subject, _body: None
        self.up = False
        self._name, self._who = name, who
        self._streams, self._weather, self._observer = streams, weather, observer
        self._epoch = 0
        self._known_to_be_down = True
        self._last_push = 0.0
        self._unlisten: Callable[[], None] = lambda: None

    def connect(self) -> None:
        self.up, self._known_to_be_down = True, False
        self._epoch += 1
        self._unlisten = self._streams.listen(buckets.heartbeat_subjects(), self._push)
        self.opened()

    def cut(self) -> None:
        """Nothing comes through any more. The operator does not know it before `notice`."""
        if self.up:
            self.up = False
            self._epoch += 1
            self._unlisten()

    def notice(self) -> None:
        if not self.up and not self._known_to_be_down:
            self._known_to_be_down = True
            self.lost()

    async def api(self, verb: str, body: JsonObject | None = None) -> JsonObject:
        def effect() -> JsonObject:
            if ".INFO" not in verb and ".LIST" not in verb and ".GET" not in verb:
                self._observer.writes(self._name, verb, body or {})
                return self._streams.api(verb, body)
            reply = self._streams.api(verb, body)
            self._observer.reads(self._name, verb, reply)
            return reply

        return await self._ask(effect)

    async def publish(self, subject: str, body: bytes) -> int:
        def effect() -> int:
            self._observer.writes(self._name, subject, body)
            return self._streams.publish(subject, {}, body)

        return await self._ask(effect)

    async def last(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        return await self._ask(lambda: self._streams.last(stream, subjects))

    async def _ask(self, effect: Effect) -> Any:
        if self._known_to_be_down:
            raise UnavailableError("there is no connection to NATS")
        epoch = self._epoch
        await _under_way(self._who, self._weather)
        if self._epoch != epoch or not self.up or self._weather.draws(self._weather.lost):
            await self._silence()
        refused, reply = None, None
        try:
            reply = effect()
        except JetStreamError as error:
            refused = error
        if self._weather.draws(self._weather.unanswered):
            await self._silence()
        await _under_way(self._who, self._weather)
        if self._epoch != epoch:
            await self._silence()
        if refused is not None:
            raise refused
        return reply

    async def _silence(self) -> None:
        await asyncio.sleep(self._weather.chance.uniform(0.1, 3.0))
        raise UnavailableError("NATS did not answer")

    def _push(self, subject: str, body: bytes) -> None:
        loop, epoch = asyncio.get_running_loop(), self._epoch
        self._last_push = max(self._last_push + 1e-6, loop.time() + self._weather.chance.uniform(0.001, 0.03))
        loop.call_at(self._last_push, lambda: self._epoch == epoch and self.heard(subject, body))


class KubernetesLine:
    """The port `Cluster`, of one operator, and its watch, which tells everything in its order, a little later."""

    def __init__(self, name: str, who: Traveller, cluster: MemoryCluster, weather: Weather, observer: Observer) -> None:
        self.told: Callable[[str | None, JsonObject], None] = lambda _kind, _document: None
        self.lag = 0.0
        """Seconds that the watch is behind, beside the way."""
        self._name, self._who = name, who
        self._cluster, self._weather, self._observer = cluster, weather, observer
        self._watching: object | None = None
        self._last_event = 0.0

    def watch(self) -> None:
        """Begin: what is there is told at first, as kopf does; what was deleted meanwhile is not."""
        self._watching = object()
        for document in tuple(self._cluster.objects.values()):
            self.tell(None, document)

    def stop_watching(self) -> None:
        self._watching = None

    def tell(self, kind: str | None, document: JsonObject) -> None:
        """To be called with each change of the cluster."""
        if (watching := self._watching) is None:
            return
        loop = asyncio.get_running_loop()
        soon = loop.time() + self.lag + self._weather.chance.uniform(0.001, 0.05)
        self._last_event = max(self._last_event + 1e-6, soon)
        loop.call_at(self._last_event, lambda: self._watching is watching and self.told(kind, document))

    async def sagas(self) -> tuple[list[JsonObject], int]:
        return await self._ask(self._cluster.listed)

    async def apply_status(self, resource: Resource, status: JsonObject) -> str | None:
        self._observer.says(self._name, resource, status)
        return await self._ask(lambda: self._cluster.write_status(resource, status))

    async def record(self, key: SagaKey, uid: str, note: Note) -> None:
        self._observer.records(self._name, key, note)
        await self._ask(lambda: self._cluster.write_event(key, uid, note))

    async def _ask(self, effect: Effect) -> Any:
        await _under_way(self._who, self._weather)
        if self._weather.draws(self._weather.lost):
            raise ClusterUnavailable("the API server was not reached")
        reply = effect()
        if self._weather.draws(self._weather.unanswered):
            raise ClusterUnavailable("the API server did not answer")
        await _under_way(self._who, self._weather)
        return reply


async def _under_way(who: Traveller, weather: Weather) -> None:
    """One way of a request; whoever asks may end before it begins, and never hear of it."""
    if weather.draws(weather.crash):
        who.crash()
        await asyncio.get_running_loop().create_future()
    await weather.travel()
