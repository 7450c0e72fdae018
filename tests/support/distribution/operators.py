"""One operator from its start to its end: the product's loop, its lines, and what it has been told so far."""

from __future__ import annotations

import asyncio

from sagamesh.log.registers import SagaKey
from sagamesh_jetstream.client.memory import MemoryStreams
from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.metrics import OperatorMetrics
from support.distribution.lines import KubernetesLine, NatsLine, Observer
from support.distribution.product import Product
from support.distribution.weather import Weather
from support.fakes.memory_cluster import MemoryCluster

INSTALLATION = "ours"
EPOCH = 1_000_000_000.0
"""When virtual time begins, in seconds since the epoch."""


class Operator:
    """`knows`: the Sagas that are there by its watch: uid, and since when. `forgotten`: the uids of those that were."""

    def __init__(
        self,
        name: str,
        product: Product,
        streams: MemoryStreams,
        cluster: MemoryCluster,
        weathers: tuple[Weather, Weather],
        observer: Observer,
        resync: float,
    ) -> None:
        self.name = name
        self.alive = True
        self.knows: dict[SagaKey, tuple[str, float]] = {}
        self.forgotten: set[str] = set()
        self.metrics = OperatorMetrics()
        self.nats = NatsLine(name, self, streams, weathers[0], observer)
        self.kubernetes = KubernetesLine(name, self, cluster, weathers[1], observer)
        self.loop = product.Reconciler(
            self.nats,
            self.kubernetes,
            self.metrics,
            installation=INSTALLATION,
            resync=resync,
            now=lambda: EPOCH + asyncio.get_running_loop().time(),
        )
        self.nats.opened, self.nats.lost, self.nats.heard = (
            self.loop.connected,
            self.loop.disconnected,
            self.loop.heard,
        )
        self.kubernetes.told = self._told
        self._task = asyncio.create_task(self.loop.run())

    def crash(self) -> None:
        """It does nothing more, and nobody hears of it."""
        self.alive = False
        self.nats.cut()
        self.kubernetes.stop_watching()
        self._task.cancel()

    def lose_watch(self) -> None:
        """Nothing is told any more, and so nothing is known for sure."""
        self.kubernetes.stop_watching()
        self.knows.clear()

    def _told(self, kind: str | None, document: JsonObject) -> None:
        key = SagaKey(document["metadata"]["namespace"], document["metadata"]["name"])
        if kind == "DELETED":
            self.knows.pop(key, None)
            self.forgotten.add(document["metadata"]["uid"])
        else:
            uid = document["metadata"]["uid"]
            known, since = self.knows.get(key, ("", 0.0))
            self.knows[key] = uid, since if uid == known else asyncio.get_running_loop().time()
        self.loop.told(kind, document)

    @property
    def failure(self) -> BaseException | None:
        """What ended its loop, which nothing should."""
        done = self._task.done() and not self._task.cancelled()
        return self._task.exception() if done else None

    def gauge(self, name: str) -> dict[SagaKey, dict[str, float]]:
        """The samples of a gauge about sagas: saga -> the rest of its labels -> value."""
        found: dict[SagaKey, dict[str, float]] = {}
        for family in self.metrics.registry.collect():
            for sample in family.samples:
                if sample.name == f"sagamesh_operator_{name}":
                    labels = dict(sample.labels)
                    key = SagaKey(labels.pop("namespace"), labels.pop("saga"))
                    found.setdefault(key, {})[",".join(labels.values())] = sample.value
        return found
