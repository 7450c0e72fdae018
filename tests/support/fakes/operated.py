"""The operator's loop in virtual time, over JetStream and a cluster in memory: what it is told, and what it says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from sagamesh.distribution import buckets, heartbeat
from sagamesh.distribution.heartbeat import Heartbeat
from sagamesh.log.registers import START, Instance, SagaKey
from sagamesh_jetstream.client.memory import MemoryStreams
from sagamesh_operator.metrics import OperatorMetrics
from sagamesh_operator.sagas.reconciler import Reconciler
from support.fakes.memory_cluster import MemoryCluster
from support.fakes.virtual_loop import play
from support.fakes.wiretap import Wiretap

EPOCH = 1e9
"""Seconds since the epoch when the loop begins."""
SERVERS = 5
"""More than an operator needs."""


class Operated:
    """One operator, its ways to NATS (`js`) and to Kubernetes (`cluster`).

    `stopped`: its clock stands still, at so many seconds since the epoch. `log`: level and sentence of what it logged.
    """

    def __init__(self) -> None:
        self.streams = MemoryStreams(servers=SERVERS)
        self.js = Wiretap(self.streams)
        self.cluster = MemoryCluster()
        self.stopped: float | None = None
        self.log: list[str] = []
        self.recruit()

    def recruit(self) -> None:
        """An operator that knows nothing yet. What was said of sagas stands in the cluster."""
        self.metrics = OperatorMetrics()
        self.operator = Reconciler(self.js, self.cluster, self.metrics, installation="ours", now=self._now)
        self.cluster.watched = self.operator.told

    def _now(self) -> float:
        return EPOCH + asyncio.get_running_loop().time() if self.stopped is None else self.stopped

    def begin(self, *, connected: bool = True) -> asyncio.Task[None]:
        """Let it run; `connected`: there is a connection to NATS, as it hears."""
        if connected:
            self.operator.connected()
        return asyncio.create_task(self.operator.run())

    def beat(self, participant: str, pod: str = "1", *, heard: bool = True, **told: Any) -> None:
        """A sidecar writes its heartbeat. `heard`: the operator hears it as it is written."""
        subject = buckets.heartbeat_subject("shop", participant, pod)
        body = heartbeat.encode(Heartbeat(namespace="shop", participant=participant, pod=pod, **told))
        self.streams.publish(subject, {}, body)
        if heard:
            self.operator.heard(subject, body)

    def start_an_instance(self, name: str = "a") -> None:
        self.streams.publish(Instance("shop", name, "1").subject(START), {}, b"{}")

    def revision(self, name: str) -> str:
        """What stands in NATS as active; empty where nothing does."""
        found = self.streams.last(buckets.RULES_STREAM, [buckets.active_subject("shop", "orders", name)])
        return found[0].body.decode() if found else ""

    def stands(self, name: str) -> bool:
        """Whether there is a log of it."""
        return self.streams.stream(f"SAGA_shop_{name}") is not None

    def status(self, name: str) -> dict[str, object]:
        return self.cluster.objects[SagaKey("shop", name)]["status"]

    def sample(self, name: str, **labels: str) -> float | None:
        """A measurement of the operator's; None where there is none."""
        return self.metrics.registry.get_sample_value(f"sagamesh_operator_{name}", labels)

    def turns(self, result: str) -> float:
        """How many have ended so."""
        return self.sample("reconciles_total", result=result) or 0.0


class _Listening(logging.Handler):
    """Puts what is logged where a test sees it."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        self.log.append(f"{record.levelname} {record.getMessage()}")


def unbegun(body: Callable[[Operated], Awaitable[None]]) -> Callable[[], None]:
    """Make `async def test(on)` a test, in which nothing runs yet."""

    def test() -> None:
        on, logger = Operated(), logging.getLogger("sagamesh.operator")
        listening, level = _Listening(on.log), logger.level
        logger.addHandler(listening)
        logger.setLevel(logging.INFO)
        try:
            play(Random(1), body(on))
        finally:
            logger.setLevel(level)
            logger.removeHandler(listening)

    test.__name__, test.__doc__ = body.__name__, body.__doc__
    return test


def scenario(body: Callable[[Operated], Awaitable[None]]) -> Callable[[], None]:
    """The same with an operator that runs and has a connection. It fails, too, where the operator ends."""

    async def whole(on: Operated) -> None:
        running = on.begin()
        await asyncio.sleep(0.1)  # it has looked at everything
        await body(on)
        assert not running.done(), running.exception()

    whole.__name__, whole.__doc__ = body.__name__, body.__doc__
    return unbegun(whole)
