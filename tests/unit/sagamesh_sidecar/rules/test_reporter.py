"""A sidecar's heartbeat: soon after a change, again when NATS is back, and never an error."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from sagamesh.distribution import buckets, heartbeat
from sagamesh.distribution.heartbeat import Heartbeat
from sagamesh.rules import codec
from sagamesh.rules.projection import project
from sagamesh_sidecar.adapters.memory import MemoryLog, MemoryServer
from sagamesh_sidecar.adapters.prometheus import PrometheusMetrics
from sagamesh_sidecar.rules.reporter import Reporter
from sagamesh_sidecar.rules.rulebook import Rulebook
from support.builders import shapes
from support.fakes.mesh import scenario

RULES = project(shapes.straight(1))["app"]
SUBJECT = "$KV.sagamesh-sidecars.default.app.app-1"
KEPT = {
    buckets.rules_subject(RULES): codec.encode_rules(RULES),
    buckets.active_subject("default", "app", "simulated"): RULES.revision.encode(),
}


class Heart:
    """A reporter on a server in memory, and what was heard of it."""

    def __init__(self, bucket: bool = True) -> None:
        self.server = MemoryServer()
        if bucket:
            self.server.create_stream(buckets.sidecars_bucket())
        log = MemoryLog(self.server)
        metrics = PrometheusMetrics(app_up=lambda: True, connected=lambda: True)
        self.heard: list[bytes] = []
        self.server.listen(SUBJECT, lambda _, body: self.heard.append(body))
        self.book = Rulebook("default", "app", log, metrics, poll=30.0)
        self.reporter = Reporter(log, self.book, pod="app-1", every=30.0)
        self.book.changed = self.reporter.changed

    @contextlib.asynccontextmanager
    async def beating(self) -> AsyncIterator[Heart]:
        task = asyncio.create_task(self.reporter.run())
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)


@scenario
async def test_a_burst_of_changes_is_told_in_one_or_two():
    async with Heart().beating() as heart:
        await heart.until(lambda: heart.heard)
        empty = Heartbeat(namespace="default", participant="app", pod="app-1")
        assert heartbeat.decode(heart.heard[0]) == empty
        heart.book.restore(KEPT)
        for _ in range(50):
            heart.reporter.changed()
            await asyncio.sleep(0)
        await heart.until(lambda: heartbeat.decode(heart.heard[-1]).starts)
        told = heartbeat.decode(heart.heard[-1])
        assert (told.holds, told.starts) == ({"simulated": (RULES.revision,)}, {"simulated": RULES.revision})
        assert len(heart.heard) <= 3


@scenario
async def test_it_tells_again_when_nats_is_back():
    async with Heart().beating() as heart:
        await heart.until(lambda: heart.heard)
        heart.server.down()
        heart.server.up()
        await heart.until(lambda: len(heart.heard) == 2)


@scenario
async def test_a_goodbye_is_an_empty_body_and_said_to_nobody_where_nobody_is():
    heart = Heart()
    async with heart.beating():
        await heart.until(lambda: heart.heard)
    await heart.reporter.stop()
    await heart.until(lambda: heart.heard[-1] == b"")
    heart.server.down()
    await heart.reporter.stop()


def test_without_a_bucket_nobody_is_troubled(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def play() -> None:
        async with Heart(bucket=False).beating() as heart:
            await heart.until(lambda: heart.heard)

    asyncio.run(play())
    assert caplog.records == []
