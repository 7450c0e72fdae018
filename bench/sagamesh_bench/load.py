"""So many sagas at once, for so long: each is started over HTTP, and its last register is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

from sagamesh.log import registers
from sagamesh.protocol.answers import Answered
from sagamesh_bench.rig import Rig
from sagamesh_bench.sagas import SHAPES, event
from sagamesh_jetstream.client.session import NatsJetStream, connect
from sagamesh_sidecar.adapters.app_client import AppClient

HEADERS = {"content-type": "application/cloudevents+json"}
PATIENCE = 30.0
"""Seconds after which a saga is lost, and the measurement with it: the slowest of 256 at once takes four."""
WARM = 0.5
"""Seconds between two looks whether it is warm: of one at a time dozens end in it."""


class Measured(NamedTuple):
    """What one run showed. `p50`, `p99`: seconds from sending the event until the last register is stored."""

    sagas_per_second: float
    p50: float
    p99: float
    cpu: dict[str, float]
    """CPU seconds for each saga, by kind of process."""

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds for each saga, over all processes."""
        return 1000 * sum(self.cpu.values())


class Load:
    """A client of one API that starts one kind of saga."""

    def __init__(self, saga: str, api: AppClient) -> None:
        self.saga = saga
        self.api = api
        self.run = secrets.token_hex(3)
        self.numbers = itertools.count()
        self.waiting: dict[str, asyncio.Future[None]] = {}
        self.latencies: list[float] = []

    async def once(self) -> None:
        """One saga, from its start to its end."""
        key = f"{self.run}-{next(self.numbers)}"
        ended = self.waiting[key] = asyncio.get_running_loop().create_future()
        begun = time.perf_counter()
        answer = await self.api.post("/v1/events", HEADERS, event(self.saga, key), timeout=PATIENCE)
        if not isinstance(answer, Answered) or answer.status != 202:
            raise RuntimeError(f"a start was answered: {answer}")
        async with asyncio.timeout(PATIENCE):
            await ended
        self.latencies.append(time.perf_counter() - begun)
        del self.waiting[key]

    def heard(self, subject: str, _: bytes) -> None:
        """The last register of an instance."""
        ended = self.waiting.get(subject.split(".")[3])
        if ended is not None and not ended.done():
            ended.set_result(None)


@contextlib.asynccontextmanager
async def loading(rig: Rig, namespace: str, saga: str, connections: int) -> AsyncIterator[Load]:
    """A load that hears of ends by a consumer of its own, of what is stored rather than of what is sent."""
    api = AppClient(rig.apis[namespace], connections=connections)
    load = Load(saga, api)
    try:
        async with connect(rig.server.url) as js:
            await _listen(js, load, namespace, saga)
            yield load
    finally:
        await api.close()


async def _listen(js: NatsJetStream, load: Load, namespace: str, saga: str) -> None:
    inbox, [stream] = f"_INBOX.{load.run}", registers.streams(namespace, saga)
    await js.listen(inbox, load.heard)
    config = {
        "deliver_subject": inbox,
        "filter_subject": registers.filter_subject(namespace, saga, SHAPES[saga].last),
        "ack_policy": "none",
        "deliver_policy": "new",
        "mem_storage": True,
        "num_replicas": 1,
    }
    await js.api(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": config})


async def measure(rig: Rig, namespace: str, saga: str, at_once: int, *, seconds: float) -> Measured:
    """Keep so many sagas going; what happened in `seconds`, once as many have ended. Raises RuntimeError."""
    async with loading(rig, namespace, saga, at_once) as load:
        workers = [asyncio.create_task(_forever(load)) for _ in range(at_once)]
        try:
            while len(load.latencies) < at_once:
                await _rest(workers, WARM)
            load.latencies.clear()
            begun, cpu = time.perf_counter(), rig.cpu()
            await _rest(workers, seconds)
            passed, latencies = time.perf_counter() - begun, sorted(load.latencies)
            used = {kind: after - cpu[kind] for kind, after in rig.cpu().items()}
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
    done = len(latencies)
    if not done:
        raise RuntimeError(f"no saga {saga} ended within {seconds:g} s")
    each = {kind: seconds / done for kind, seconds in used.items()}
    return Measured(done / passed, quantile(latencies, 0.5), quantile(latencies, 0.99), each)


async def _forever(load: Load) -> None:
    while True:
        await load.once()


async def _rest(workers: list[asyncio.Task[None]], seconds: float) -> None:
    """Wait, unless one of them fails."""
    failed, _ = await asyncio.wait(workers, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for worker in failed:
        raise RuntimeError(f"a saga was lost: {worker.exception()!r}") from worker.exception()


def quantile(ordered: list[float], share: float) -> float:
    """Of values in order."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
