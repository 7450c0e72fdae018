"""Events on their way to a cluster that is away, refuses, or has forgotten them: nothing of it reaches the webhook."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.injection import recorder
from sagamesh_operator.injection.events import PAUSE, Remark
from sagamesh_operator.injection.recorder import Recorder
from sagamesh_operator.ports import ClusterUnavailable
from sagamesh_operator.resource import Note

JOB = {"apiVersion": "batch/v1", "kind": "Job", "namespace": "shop", "name": "nightly", "uid": "u-1"}
REMARK = Remark(JOB, Note("Warning", "SidecarRefused", "a pod was refused"))
OTHER = Remark({**JOB, "uid": "u-2"}, REMARK.note)


class MemoryEvents:
    """The port `Events`. `fault`: what every request meets."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.asked = 0
        self.fault: Exception | None = None
        self.now = datetime(2026, 1, 2, tzinfo=UTC)

    async def create_event(self, document: JsonObject) -> None:
        self._meet()
        self.counts[document["metadata"]["name"] + document["regarding"]["uid"]] = 1

    async def repeat_event(self, namespace: str, name: str, series: JsonObject) -> bool:
        self._meet()
        stands = name + "u-1" in self.counts
        if stands:
            self.counts[name + "u-1"] = series["count"]
        return stands

    def _meet(self) -> None:
        self.asked += 1
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def events() -> MemoryEvents:
    return MemoryEvents()


@pytest.fixture
def made(events: MemoryEvents) -> Recorder:
    return Recorder(events, "injector-1", now=lambda: events.now)


def test_it_writes_and_counts(events: MemoryEvents, made: Recorder) -> None:
    made.hear(REMARK)
    asyncio.run(made.write())
    made.hear(REMARK)
    events.now += PAUSE
    asyncio.run(made.write())
    assert list(events.counts.values()) == [2]


def test_by_itself_it_takes_the_time_of_this_machine(events: MemoryEvents) -> None:
    made = Recorder(events, "injector-1")
    made.hear(REMARK)
    asyncio.run(made.write())
    assert list(events.counts.values()) == [1]


def test_one_that_the_cluster_has_forgotten_is_news_again(events: MemoryEvents, made: Recorder) -> None:
    made.hear(REMARK)
    asyncio.run(made.write())
    events.counts.clear()
    made.hear(REMARK)
    events.now += PAUSE
    asyncio.run(made.write())
    assert events.counts == {}
    made.hear(REMARK)
    asyncio.run(made.write())
    assert list(events.counts.values()) == [1]


@pytest.mark.parametrize(("status", "asked"), [(403, 2), (404, 2), (409, 2), (422, 2)])
def test_what_is_refused_is_dropped_and_told_once(
    status: int, asked: int, events: MemoryEvents, made: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    events.fault = ClusterUnavailable("Kubernetes refused", status)
    made.hear(REMARK)
    made.hear(OTHER)
    asyncio.run(made.write())
    asyncio.run(made.write())
    assert events.asked == asked
    assert [record.message for record in caplog.records] == ["an Event about a pod's maker cannot be written"]


@pytest.mark.parametrize("status", [0, 408, 429, 500, 503])
def test_what_cannot_be_written_now_is_tried_again(status: int, events: MemoryEvents, made: Recorder) -> None:
    events.fault = ClusterUnavailable("Kubernetes did not answer", status)
    made.hear(REMARK)
    made.hear(OTHER)
    with pytest.raises(ClusterUnavailable):
        asyncio.run(made.write())
    assert events.asked == 1, "the others are not tried in vain"
    events.fault = None
    asyncio.run(made.write())
    assert len(events.counts) == 2


def test_a_problem_that_was_over_is_told_again(
    events: MemoryEvents, made: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    for fault in (ClusterUnavailable("no", 403), None, ClusterUnavailable("no", 403)):
        events.fault = fault
        events.now += timedelta(hours=1)
        made.hear(REMARK)
        asyncio.run(made.write())
    assert len(caplog.records) == 2


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize("fault", [ClusterUnavailable("away"), ZeroDivisionError("ours")])
def test_it_goes_on_whatever_happens_and_tells_it(
    fault: Exception,
    events: MemoryEvents,
    made: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(recorder, "LOOK", 0.001)

    async def scenario() -> None:
        running = asyncio.create_task(made.run())
        events.fault = fault
        made.hear(REMARK)
        await _until(lambda: events.asked >= 2)
        events.fault = None
        await _until(lambda: events.counts)
        running.cancel()

    asyncio.run(scenario())
    assert caplog.records


@pytest.mark.parametrize("fault", [ClusterUnavailable("away"), ZeroDivisionError("ours")])
def test_a_cluster_that_is_in_trouble_is_left_alone_whatever_is_heard(
    fault: Exception, events: MemoryEvents, made: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LOOK", 3600.0)

    async def scenario() -> None:
        running = asyncio.create_task(made.run())
        events.fault = fault
        made.hear(REMARK)
        await _until(lambda: events.asked)
        made.hear(OTHER)
        for _ in range(10):
            await asyncio.sleep(0)
        assert events.asked == 1
        running.cancel()

    asyncio.run(scenario())


def test_a_remark_is_written_at_once(events: MemoryEvents, made: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "LOOK", 3600.0)

    async def scenario() -> None:
        running = asyncio.create_task(made.run())
        await asyncio.sleep(0)
        made.hear(REMARK)
        await _until(lambda: events.counts)
        running.cancel()

    asyncio.run(scenario())
